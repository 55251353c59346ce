"""Mirrors: containerd v1.5.18 remotes/docker/schema1/converter.go (stripSignature).

A signed schema1 manifest carries its signatures inside. Its digest is that of the
payload: the document before it was signed.

    payload = strip_signature(document)
"""

import base64
import binascii
from typing import Final

from refimpl import gojson
from refimpl.errdefs import ContainerdError, ErrInvalidArgument, wrapped
from refimpl.gotext import quote

__all__ = ["strip_signature"]

_PARSED_SIGNATURE: Final = gojson.Struct(
    "schema1.jsParsedSignature", {"protected": gojson.STRING}
)
_SIGNATURE: Final = gojson.Struct(
    "schema1.signature", {"signatures": gojson.Slice(_PARSED_SIGNATURE)}
)
_PROTECTED: Final = gojson.Struct(
    "schema1.protectedBlock",
    {"formatLength": gojson.INT, "formatTail": gojson.STRING},
)


def strip_signature(document: bytes) -> bytes:
    """Return the payload of a signed document (converter.go:548).

    The first signature says how the payload ends. No signature is verified.

    Raises:
        ContainerdError: the document is no JSON, or carries no signature.
        ErrInvalidArgument: the signature names a payload of negative length.
    """
    signatures = gojson.decode(document, _SIGNATURE)["signatures"]
    if not signatures:
        raise ContainerdError("no signatures")
    protected = signatures[0]["protected"]
    with wrapped(f"could not decode {protected}"):
        header = _jose_base64_url_decode(protected)
    block = gojson.decode(header, _PROTECTED)
    length: int = block["formatLength"]
    if length > len(document):
        raise ContainerdError("invalid protected length block")
    # DEVIATION D20: Go slices with a negative length, and the process dies.
    if length < 0:
        raise ErrInvalidArgument("invalid protected length block")
    with wrapped("invalid tail base 64 value"):
        return document[:length] + _jose_base64_url_decode(block["formatTail"])


def _jose_base64_url_decode(text: str) -> bytes:
    """Decode base64url with or without padding (converter.go:533)."""
    if len(text) % 4 == 1:
        raise ContainerdError("illegal base64url string")
    padded = text + "=" * (-len(text) % 4)
    try:
        standard = padded.replace("-", "+").replace("_", "/").encode("ascii")
        return base64.b64decode(standard, validate=True)
    except (binascii.Error, UnicodeError) as err:
        raise ContainerdError(f"illegal base64 data: {quote(text[:40])}") from err
