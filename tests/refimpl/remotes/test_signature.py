"""converter.go, stripSignature."""

import base64
import json

import pytest

from refimpl.errdefs import ContainerdError, ErrInvalidArgument
from refimpl.remotes.docker.signature import strip_signature

PAYLOAD = b'{\n   "schemaVersion": 1\n}'


def sign(payload=PAYLOAD, *, pad=False, **block):
    """Return a document signed as libtrust does, without a real signature."""
    body = payload[:-2]
    tail = base64.urlsafe_b64encode(payload[-2:]).rstrip(b"=").decode()
    block = {"formatLength": len(body), "formatTail": tail} | block
    protected = base64.urlsafe_b64encode(json.dumps(block).encode()).decode()
    protected = protected if pad else protected.rstrip("=")
    signature = json.dumps([{"protected": protected, "signature": "x"}])
    return body + b',\n   "signatures": ' + signature.encode() + b"\n}"


@pytest.mark.parametrize("pad", [False, True])
def test_the_payload_comes_back(pad):
    assert strip_signature(sign(pad=pad)) == PAYLOAD


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"{}",
        b'{"signatures":[]}',
        b'{"signatures":[{"protected":"a"}]}',
        b'{"signatures":[{"protected":"!!!!"}]}',
        b'{"signatures":[{"protected":"bm8="}]}',
        sign(formatLength=10**6),
        sign(formatLength="1"),
        sign(formatTail="a"),
        b"[" * 10**5,
    ],
    ids=range(10),
)
def test_what_is_not_signed_is_refused(document):
    with pytest.raises(ContainerdError):
        strip_signature(document)


def test_a_negative_length_is_refused():
    """Deviation D20."""
    with pytest.raises(ErrInvalidArgument):
        strip_signature(sign(formatLength=-1))
