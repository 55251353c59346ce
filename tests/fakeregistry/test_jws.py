"""Documents signed as libtrust signs them."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fakeregistry.jws import Frame, go_json, payload_of, pretty, sign, verified_keys
from fakeregistry.trustkeys import decode, encode, trust_key

KEY = trust_key("ES256", "0/0")
OTHER = trust_key("ES256", "1/0")
PAYLOAD = b'{\n   "a": 1\n}'


def signed(payload=PAYLOAD, **knobs):
    return pretty(payload, [sign(payload, KEY, **knobs)])


def rewritten(document, **members):
    """Change members of the first signature, with the text around it in place."""
    parsed = json.loads(document)
    return pretty(PAYLOAD, [{**parsed["signatures"][0], **members}])


def test_signatures_stand_inside_of_the_payload():
    document = signed()
    lines = document.decode().split("\n")
    assert lines[:3] == ["{", '   "a": 1,', '   "signatures": [']
    assert lines[3:6] == ["      {", '         "header": {', '            "jwk": {']
    assert lines[-3:] == ["      }", "   ]", "}"]
    protected = json.loads(document)["signatures"][0]["protected"]
    assert decode(protected) == (
        b'{"formatLength":11,"formatTail":"Cn0","time":"1970-01-01T00:00:00Z"}'
    )


def test_compact_payloads_stay_compact():
    payload = b'{"a":1} \n'
    document = signed(payload)
    assert document.startswith(b'{"a":1,"signatures":[{"header":{"jwk":{"crv":')
    assert document.endswith(b'"}]}')
    assert payload_of(document) == payload


@pytest.mark.parametrize("payload", [b"", b"[]", b"{}", b"{ \n}", b'{"a":1,}', b"}"])
def test_only_objects_with_members_can_be_signed(payload):
    with pytest.raises(ValueError, match="only a JSON object with members"):
        Frame.of(payload)


def test_members_outside_of_the_payload_are_not_signed():
    """CVE-2014-8179: they must not count for a client."""
    document = pretty(PAYLOAD, [sign(PAYLOAD, KEY)], outside={"a": 2, "b": [1]})
    assert json.loads(document)["a"] == 2
    assert payload_of(document) == PAYLOAD
    assert verified_keys(document) == (KEY.key_id,)


def test_protected_headers_can_be_edited():
    def shorter(header):
        header["formatLength"] = 0
        del header["time"]

    document = signed(edit_protected=shorter)
    assert payload_of(document) == b"\n}"
    raw = json.loads(signed(edit_protected=lambda _: b"\xff"))["signatures"][0]
    assert decode(raw["protected"]) == b"\xff"
    other = json.loads(signed(edit_protected=lambda _: {"b": 1}))["signatures"][0]
    assert decode(other["protected"]) == b'{"b":1}'


@pytest.mark.parametrize("length", [-1, 99999, True, "11", 11.0, None])
def test_wrong_lengths(length):
    def lie(header):
        header["formatLength"] = length

    with pytest.raises(ValueError, match=f"^formatLength {length!r} of "):
        payload_of(signed(edit_protected=lie))


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (b"{", "the signed document is no JSON"),
        (b"[" * 100_000, "the signed document is no JSON"),
        (b"[]", "there is no list of signatures"),
        (b"{}", "there is no list of signatures"),
        (b'{"signatures": 1}', "there is no list of signatures"),
        (b'{"signatures": [1]}', "there is no list of signatures"),
        (b'{"signatures": []}', "there is no signature"),
        (b'{"signatures": [{}]}', "protected header: 'protected'"),
        (b'{"signatures": [{"protected": 1}]}', "protected header: "),
        (b'{"signatures": [{"protected": "!"}]}', "protected header: no base64url"),
        (b'{"signatures": [{"protected": "bm8"}]}', "protected header: "),
        (b'{"signatures": [{"protected": "W10"}]}', "protected header: "),
    ],
)
def test_documents_without_a_payload(document, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        payload_of(document)


def test_signatures_must_agree():
    """libtrust, ParsePrettySignature."""
    two = [sign(PAYLOAD, KEY), sign(PAYLOAD, OTHER, format_length=3)]
    with pytest.raises(ValueError, match=r"^the signatures disagree"):
        payload_of(pretty(PAYLOAD, two))


def test_all_signatures_are_checked():
    good, bad = sign(PAYLOAD, KEY), sign(b'{"b":1}', OTHER)
    bad["protected"] = good["protected"]
    assert verified_keys(pretty(PAYLOAD, [good, good])) == (KEY.key_id,) * 2
    with pytest.raises(ValueError, match=r"^invalid signature$"):
        verified_keys(pretty(PAYLOAD, [good, bad]))


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"header": None}, "signature: "),
        ({"header": {"alg": "ES256"}}, "signature: 'jwk'"),
        ({"header": {"alg": "ES256", "jwk": 1}}, ""),
        ({"signature": 1}, "signature: "),
        ({"signature": "!"}, "no base64url"),
        ({"signature": encode(bytes(64))}, "invalid signature"),
    ],
)
def test_signatures_that_cannot_be_checked(members, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        verified_keys(rewritten(signed(), **members))


def test_json_is_what_go_writes():
    """encoding/json escapes what HTML minds, and never writes \\b and \\f."""
    value = {"a<&>": ["\u2028\u2029é\\b", "\b\f\n\t\x01\x7f\\"], "e": [], "o": {}}
    assert go_json(value) == (
        '{"a\\u003c\\u0026\\u003e":["\\u2028\\u2029é\\\\b",'
        '"\\u0008\\u000c\\n\\t\\u0001\x7f\\\\"],"e":[],"o":{}}'
    )
    assert go_json({"a": [1]}, indent=" ") == '{\n "a": [\n  1\n ]\n}'


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=3,
)
# A payload with signatures of its own has no frame that a parser could find.
NAMES = st.text().filter(lambda name: name != "signatures")


@settings(max_examples=25, deadline=None)
@given(
    st.dictionaries(NAMES, JSON, min_size=1, max_size=3),
    st.sampled_from(["", "   ", "\t"]),
    st.sampled_from(["", "\n", " \r\n"]),
    st.lists(st.sampled_from([KEY, OTHER]), min_size=1, max_size=2),
)
def test_any_object_survives_being_signed(document, indent, end, keys):
    payload = (go_json(document, indent=indent) + end).encode("utf-8", "surrogatepass")
    assert json.loads(payload) == document
    result = pretty(payload, [sign(payload, key) for key in keys])
    assert payload_of(result) == payload
    assert verified_keys(result) == tuple(key.key_id for key in keys)
    assert result == pretty(payload, [sign(payload, key) for key in keys])
