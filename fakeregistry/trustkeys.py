"""Keys that sign schema1 manifests, derived from a seed: for tests, never secret.

The same seed gives the same key and the same signature on every machine. ECDSA
with the deterministic nonce of RFC 6979 is written out here because OpenSSL
before 3.2 has none; RSASSA-PKCS1-v1_5 is deterministic anyway.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, Literal

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["ALGORITHMS", "Algorithm", "TrustKey", "trust_key", "verify"]

Algorithm = Literal["ES256", "RS256"]
PublicKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey

ALGORITHMS: Final = ("ES256", "RS256")
_CURVE: Final = ec.SECP256R1()
# The order of P-256's base point (SEC 2, section 2.4.2).
_ORDER: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_SIZE: Final = 32
_EXPONENT: Final = 65537
_PRIME_BITS: Final = 1024
_SIEVED: Final = 1 << 14


@dataclass(frozen=True, slots=True)
class TrustKey:
    """A private key with what libtrust says about its public half."""

    algorithm: Algorithm
    private: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey

    @property
    def key_id(self) -> str:
        """The fingerprint that libtrust gives the key."""
        return key_id(self.private.public_key())

    def jwk(self) -> dict[str, str]:
        """Return the public key as a JSON Web Key, members sorted (RFC 7517)."""
        public = self.private.public_key()
        if isinstance(public, rsa.RSAPublicKey):
            modulus = public.public_numbers()
            size = (public.key_size + 7) // 8
            return {
                "e": encode(_EXPONENT.to_bytes(3, "big")),
                "kid": self.key_id,
                "kty": "RSA",
                "n": encode(modulus.n.to_bytes(size, "big")),
            }
        point = public.public_numbers()
        return {
            "crv": "P-256",
            "kid": self.key_id,
            "kty": "EC",
            "x": encode(point.x.to_bytes(_SIZE, "big")),
            "y": encode(point.y.to_bytes(_SIZE, "big")),
        }

    def sign(self, data: bytes) -> bytes:
        """Sign as RFC 7518 sections 3.3 and 3.4 say."""
        if isinstance(self.private, rsa.RSAPrivateKey):
            return self.private.sign(data, padding.PKCS1v15(), SHA256())
        return _sign_ecdsa(self.private.private_numbers().private_value, data)


@lru_cache(maxsize=64)
def trust_key(algorithm: Algorithm, seed: str) -> TrustKey:
    """Derive a key; an RS256 one takes a good part of a second the first time."""
    if algorithm == "RS256":
        return TrustKey(algorithm, _rsa_key(seed))
    if algorithm != "ES256":
        raise ValueError(f"{algorithm!r}: one of {', '.join(ALGORITHMS)}")
    scalar = int.from_bytes(_stretched(f"ES256 {seed}", 2 * _SIZE), "big")
    private = ec.derive_private_key(1 + scalar % (_ORDER - 1), _CURVE)
    return TrustKey(algorithm, private)


def key_id(public: PublicKey) -> str:
    """Fingerprint a key: 240 bits of SHA-256 in twelve groups of base32."""
    der = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    text = base64.b32encode(hashlib.sha256(der).digest()[:30]).decode("ascii")
    return ":".join(text[start : start + 4] for start in range(0, len(text), 4))


def verify(
    jwk: Mapping[str, Any], algorithm: str, data: bytes, signature: bytes
) -> str:
    """Check a signature with the key that it brings along; return the key's ID.

    Raises:
        ValueError: The key is none, is named wrongly, or did not make it.
    """
    public = _public_key(jwk)
    if jwk.get("kid", key_id(public)) != key_id(public):
        raise ValueError("kid is not that of the key")
    try:
        _check(public, algorithm, data, signature)
    except InvalidSignature:
        raise ValueError("invalid signature") from None
    return key_id(public)


def encode(data: bytes) -> str:
    """Encode as RFC 7515 section 2 says: URL-safe, without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def decode(text: str) -> bytes:
    """Decode what ``encode`` wrote.

    Raises:
        ValueError: It is no base64url.
    """
    try:
        padded = text + "=" * (-len(text) % 4)
        return base64.b64decode(padded, altchars=b"-_", validate=True)
    except binascii.Error as err:
        raise ValueError(f"no base64url: {err}") from None


def _check(public: PublicKey, algorithm: str, data: bytes, signature: bytes) -> None:
    if isinstance(public, rsa.RSAPublicKey):
        if algorithm != "RS256":
            raise ValueError(f"an RSA key does not sign with {algorithm}")
        public.verify(signature, data, padding.PKCS1v15(), SHA256())
        return
    if algorithm != "ES256" or len(signature) != 2 * _SIZE:
        raise ValueError(f"no ES256 signature: {algorithm}, {len(signature)} bytes")
    r = int.from_bytes(signature[:_SIZE], "big")
    s = int.from_bytes(signature[_SIZE:], "big")
    public.verify(encode_dss_signature(r, s), data, ec.ECDSA(SHA256()))


def _public_key(jwk: Mapping[str, Any]) -> PublicKey:
    try:
        if jwk["kty"] == "EC" and jwk["crv"] == "P-256":
            point = ec.EllipticCurvePublicNumbers(
                _number(jwk["x"]), _number(jwk["y"]), _CURVE
            )
            return point.public_key()
        if jwk["kty"] == "RSA":
            numbers = rsa.RSAPublicNumbers(_number(jwk["e"]), _number(jwk["n"]))
            return numbers.public_key()
    except (KeyError, TypeError, AttributeError) as err:
        raise ValueError(f"jwk: {err}") from None
    raise ValueError("jwk: an EC key on P-256 or an RSA key is expected")


def _number(text: str) -> int:
    return int.from_bytes(decode(text), "big")


def _sign_ecdsa(private: int, data: bytes) -> bytes:
    """Sign as FIPS 186-4 section 6.4 says, with the nonce of RFC 6979."""
    digest = hashlib.sha256(data).digest()
    reduced = int.from_bytes(digest, "big") % _ORDER
    key, value = bytes(_SIZE), b"\x01" * _SIZE
    secret = private.to_bytes(_SIZE, "big") + reduced.to_bytes(_SIZE, "big")
    # RFC 6979 section 3.2, steps d to g.
    for mark in (b"\x00", b"\x01"):
        key = _hmac(key, value + mark + secret)
        value = _hmac(key, value)
    while True:
        value = _hmac(key, value)
        nonce = int.from_bytes(value, "big")
        if 0 < nonce < _ORDER:
            point = ec.derive_private_key(nonce, _CURVE).public_key().public_numbers()
            r = point.x % _ORDER
            s = pow(nonce, -1, _ORDER) * (reduced + r * private) % _ORDER
            if r and s:
                return r.to_bytes(_SIZE, "big") + s.to_bytes(_SIZE, "big")
        key = _hmac(key, value + b"\x00")
        value = _hmac(key, value)


def _hmac(key: bytes, data: bytes) -> bytes:
    return hmac.digest(key, data, "sha256")


def _rsa_key(seed: str) -> rsa.RSAPrivateKey:
    p, q = (_prime(f"RS256 {seed} {name}") for name in "pq")
    private = pow(_EXPONENT, -1, (p - 1) * (q - 1))
    numbers = rsa.RSAPrivateNumbers(
        p=p,
        q=q,
        d=private,
        dmp1=rsa.rsa_crt_dmp1(private, p),
        dmq1=rsa.rsa_crt_dmq1(private, q),
        iqmp=rsa.rsa_crt_iqmp(p, q),
        public_numbers=rsa.RSAPublicNumbers(_EXPONENT, p * q),
    )
    return numbers.private_key()


def _prime(seed: str) -> int:
    """Return the first prime after a number drawn from the seed.

    One Fermat test is enough for numbers that nobody chose: a composite passes
    with a chance below 2^-100 (Handbook of Applied Cryptography, section 4.4.1).
    """
    drawn = int.from_bytes(_stretched(seed, _PRIME_BITS // 8), "big")
    # Two top bits, for a modulus of full length; odd.
    start = drawn | 3 << _PRIME_BITS - 2 | 1
    composite = bytearray(_SIEVED)
    for factor in range(3, _SIEVED, 2):
        first = -start * pow(2, -1, factor) % factor
        composite[first::factor] = b"\x01" * len(range(first, _SIEVED, factor))
    for index in range(_SIEVED):
        candidate = start + 2 * index
        if not composite[index] and pow(2, candidate - 1, candidate) == 1:
            return candidate
    raise ValueError(f"seed {seed!r}: there is no prime near its number")


def _stretched(seed: str, size: int) -> bytes:
    return hashlib.shake_256(f"fakeregistry {seed}".encode()).digest(size)
