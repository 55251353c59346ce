import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given, settings
from hypothesis import strategies as st

from fakeregistry.trustkeys import (
    TrustKey,
    decode,
    encode,
    key_id,
    trust_key,
    verify,
)

# RFC 6979, A.2.5, ECDSA on P-256 with SHA-256.
RFC_KEY = 0xC9AFA9D845BA75166B5C215767B1D6934E50C3DB36E89B127B8A622B120F6721
RFC_SIGNATURES = {
    b"sample": (
        "EFD48B2AACB6A8FD1140DD9CD45E81D69D2C877B56AAF991C34D0EA84EAF3716"
        "F7CB1C942D657C41D436C7A1B6E29F65F3E900DBB9AFF4064DC4AB2F843ACDA8"
    ),
    b"test": (
        "F1ABB023518351CD71D881567B1EA663ED3EFCF6C5132B354F28D3B0B7D38367"
        "019F4113742A2B14BD25926B49C649155F267E60D3814B4C0CC84250E46F0083"
    ),
}

# distribution v2.8, docs/spec/manifest-v2-1.md, Example Manifest.
DOCUMENTED_KEY = {
    "crv": "P-256",
    "kid": "OD6I:6DRK:JXEJ:KBM4:255X:NSAA:MUSF:E4VM:ZI6W:CUN2:L4Z6:LSF4",
    "kty": "EC",
    "x": "3gAwX48IQ5oaYQAYSxor6rYYc_6yjuLCjtQ9LUakg4A",
    "y": "t72ge6kIA1XOjqjVoEOiPPAURltJFBMGDSQvEGVB010",
}


@pytest.mark.parametrize("message", RFC_SIGNATURES)
def test_the_vectors_of_rfc_6979(message):
    key = TrustKey("ES256", ec.derive_private_key(RFC_KEY, ec.SECP256R1()))
    assert key.sign(message).hex().upper() == RFC_SIGNATURES[message]


def test_key_ids_are_those_of_libtrust():
    x, y = (int.from_bytes(decode(DOCUMENTED_KEY[axis])) for axis in "xy")
    numbers = ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1())
    assert key_id(numbers.public_key()) == DOCUMENTED_KEY["kid"]


def test_the_keys_never_change():
    """Signatures in reports and traces stay comparable between machines."""
    assert trust_key("ES256", "0/0").key_id == (
        "HX7O:VRIU:JMOO:G2CC:CG5J:H44S:VENG:27ZZ:Y5F7:WPLR:6XOZ:AVOJ"
    )
    assert trust_key("ES256", "1/0").key_id != trust_key("ES256", "0/0").key_id


@pytest.mark.slow
def test_rsa_keys_never_change():
    key = trust_key("RS256", "0")
    assert key.key_id == "T4AA:CL4A:2NJZ:DN3Y:KDCB:PHGY:HFFH:XV5H:2BMS:UZHR:PTMK:OTRT"
    assert key.private.key_size == 2048
    signature = key.sign(b"text")
    assert verify(key.jwk(), "RS256", b"text", signature) == key.key_id
    with pytest.raises(ValueError, match=r"^invalid signature$"):
        verify(key.jwk(), "RS256", b"other", signature)
    with pytest.raises(ValueError, match="does not sign with ES256"):
        verify(key.jwk(), "ES256", b"text", signature)


@settings(max_examples=25, deadline=None)
@given(st.text(), st.binary())
def test_signatures_verify_and_repeat(seed, data):
    """cryptography checks what was signed without it."""
    key = trust_key("ES256", seed)
    signature = key.sign(data)
    assert key.sign(data) == signature
    assert verify(key.jwk(), "ES256", data, signature) == key.key_id
    with pytest.raises(ValueError, match=r"^invalid signature$"):
        verify(key.jwk(), "ES256", data + b"x", signature)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kid": "A:B"}, "kid is not that of the key"),
        ({"kty": "oct"}, "jwk: an EC key"),
        ({"crv": "P-384"}, "jwk: an EC key"),
        ({"x": None}, "jwk: "),
        ({"x": "!"}, "no base64url"),
        ({"x": "AA"}, ""),
        ({"kty": "RSA"}, "jwk: 'e'"),
    ],
)
def test_keys_that_are_none(change, message):
    key = trust_key("ES256", "0/0")
    with pytest.raises(ValueError, match=f"^{message}"):
        verify(key.jwk() | change, "ES256", b"", key.sign(b""))


@pytest.mark.parametrize(
    ("algorithm", "signature"), [("ES256", b"short"), ("ES384", bytes(64))]
)
def test_signatures_that_are_none(algorithm, signature):
    jwk = trust_key("ES256", "0/0").jwk()
    with pytest.raises(ValueError, match="no ES256 signature"):
        verify(jwk, algorithm, b"", signature)


def test_unknown_algorithms():
    with pytest.raises(ValueError, match="'HS256': one of ES256, RS256"):
        trust_key("HS256", "0")


@given(st.binary())
def test_base64url_without_padding(data):
    """RFC 7515 section 2."""
    assert decode(encode(data)) == data
    assert "=" not in encode(data)
