"""Signed JSON as Docker's libtrust writes it ("pretty signature").

A document is signed as the text that it is, the payload. The signatures are put
inside: after the first ``formatLength`` bytes of the payload comes a member
``signatures``, and the protected header of each keeps the rest of the payload
as ``formatTail``. To check, the payload is put together again and every
signature is verified over ``protected.payload`` in base64url (RFC 7515
section 5). The digest of a schema1 manifest is that of its payload.

distribution v2.8, docs/spec/manifest-v2-1.md, Signed Manifests.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from fakeregistry.trustkeys import TrustKey, decode, encode, verify

__all__ = ["Frame", "go_json", "payload_of", "pretty", "sign", "verified_keys"]

Document = dict[str, Any]
ProtectedEdit = Callable[[Document], Document | bytes | None]

INDENT: Final = "   "
_TIME: Final = "1970-01-01T00:00:00Z"
_SPACE: Final = b" \t\r\n"
# Go writes what HTML would mind as escapes, and knows fewer short ones.
_GO_ESCAPES: Final = re.compile(r"\\.|[<>&\u2028\u2029]")
_GO_SHORT: Final = {"\\b": "\\u0008", "\\f": "\\u000c"}


@dataclass(frozen=True, slots=True)
class Frame:
    """Where a payload is opened to take the signatures."""

    length: int
    tail: bytes

    @classmethod
    def of(cls, payload: bytes) -> Frame:
        """Open a payload before its last brace and the space in front of it.

        Raises:
            ValueError: It is no JSON object with members.
        """
        body = payload.rstrip(_SPACE)
        head = body[:-1].rstrip(_SPACE)
        if not body.endswith(b"}") or head.endswith((b"{", b",")) or not head:
            raise ValueError("only a JSON object with members can be signed")
        return cls(len(head), payload[len(head) :])


def sign(
    payload: bytes,
    key: TrustKey,
    *,
    format_length: int | None = None,
    edit_protected: ProtectedEdit | None = None,
) -> Document:
    """Make one signature of a payload.

    Args:
        payload: The text to be signed.
        key: Whose signature it is.
        format_length: What the protected header says in place of the truth.
        edit_protected: Gets the protected header as a dict before it is signed;
            changes it, or returns another dict, or bytes to be kept raw.
    """
    frame = Frame.of(payload)
    length = frame.length if format_length is None else format_length
    header: Document = {
        "formatLength": length,
        "formatTail": encode(frame.tail),
        "time": _TIME,
    }
    changed = None if edit_protected is None else edit_protected(header)
    raw = changed if isinstance(changed, bytes) else go_json(changed or header).encode()
    protected = encode(raw)
    return {
        "header": {"jwk": key.jwk(), "alg": key.algorithm},
        "signature": encode(key.sign(_signed_text(protected, payload))),
        "protected": protected,
    }


def pretty(
    payload: bytes,
    signatures: Sequence[Document],
    *,
    outside: Mapping[str, Any] | None = None,
) -> bytes:
    """Put signatures into a payload.

    Args:
        payload: The text that was signed.
        signatures: In the order in which they are to stand.
        outside: Members that stand before the signatures without being signed.
    """
    frame = Frame.of(payload)
    indent = _indent_of(payload)
    line = f"\n{indent}" if indent else ""
    colon = ": " if indent else ":"
    members = {**(outside or {}), "signatures": list(signatures)}
    parts = [payload[: frame.length]]
    for name, value in members.items():
        text = go_json(value, indent=indent).replace("\n", f"\n{indent}")
        parts.append(f",{line}{go_json(name)}{colon}{text}".encode())
    parts.append(b"\n}" if indent else b"}")
    return b"".join(parts)


def payload_of(document: bytes) -> bytes:
    """Take the signatures out: what is left is what was signed.

    Raises:
        ValueError: There are none, or they do not fit the document.
    """
    frame: Frame | None = None
    for signature in _signatures(document):
        found = _frame_in(signature, len(document))
        if frame is not None and frame != found:
            raise ValueError("the signatures disagree about formatLength or formatTail")
        frame = found
    if frame is None:
        raise ValueError("there is no signature")
    return document[: frame.length] + frame.tail


def verified_keys(document: bytes) -> tuple[str, ...]:
    """Check all signatures; return the IDs of the keys that made them.

    Raises:
        ValueError: One is not valid, or there is none.
    """
    payload = payload_of(document)
    return tuple(_verify(signature, payload) for signature in _signatures(document))


def go_json(value: object, *, indent: str = "") -> str:
    """Write JSON byte for byte as Go's encoding/json does (1.21 and before)."""
    separators = (",", ": ") if indent else (",", ":")
    text = json.dumps(
        value, ensure_ascii=False, indent=indent or None, separators=separators
    )
    return _GO_ESCAPES.sub(_go_escape, text)


def _go_escape(match: re.Match[str]) -> str:
    found = match.group()
    if found.startswith("\\"):
        return _GO_SHORT.get(found, found)
    return f"\\u{ord(found):04x}"


def _indent_of(payload: bytes) -> str:
    match = re.match(rb'\{\n([^"]*)"', payload)
    return match.group(1).decode("ascii", "replace") if match else ""


def _signed_text(protected: str, payload: bytes) -> bytes:
    return f"{protected}.{encode(payload)}".encode("ascii")


def _signatures(document: bytes) -> list[Document]:
    try:
        parsed = json.loads(document)
    except (ValueError, RecursionError):
        raise ValueError("the signed document is no JSON") from None
    found = parsed.get("signatures") if isinstance(parsed, dict) else None
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise ValueError("there is no list of signatures")
    return found


def _frame_in(signature: Document, limit: int) -> Frame:
    try:
        header = json.loads(decode(signature["protected"]))
        length, tail = header["formatLength"], decode(header["formatTail"])
    except (KeyError, TypeError, AttributeError, ValueError) as err:
        raise ValueError(f"protected header: {err}") from None
    if type(length) is not int or not 0 <= length <= limit:
        raise ValueError(f"formatLength {length!r} of {limit} bytes")
    return Frame(length, tail)


def _verify(signature: Document, payload: bytes) -> str:
    try:
        header = signature["header"]
        jwk, algorithm = header["jwk"], header["alg"]
        text = _signed_text(signature["protected"], payload)
        return verify(jwk, algorithm, text, decode(signature["signature"]))
    except (KeyError, TypeError, AttributeError) as err:
        raise ValueError(f"signature: {err}") from None
