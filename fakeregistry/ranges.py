"""Ranges of bytes, one or several (RFC 9110 section 14)."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Final

from fakeregistry.errors import RegistryError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fakeregistry.reply import Buffer, Reply

__all__ = ["RangeNotSatisfiable", "cut_to_ranges", "parse_ranges"]

_UNIT: Final = re.compile(r"bytes=", re.I)
_RANGE: Final = re.compile(r"[ \t]*([0-9]*)-([0-9]*)[ \t]*", re.ASCII)
# RFC 9110 section 17.15: many small ranges are how servers are brought down.
_MOST: Final = 64

Range = tuple[int, int]


class RangeNotSatisfiable(Exception):
    """No byte of the representation is in the ranges: 416."""


def parse_ranges(header: str, size: int) -> tuple[Range, ...]:
    """Read a Range header for a representation of ``size`` bytes.

    Returns:
        First byte and the one after the last, of each range, in order; nothing
        when the header is to be ignored: another unit, malformed, or more ranges
        or bytes than anybody needs.

    Raises:
        RangeNotSatisfiable: No byte is in any of them. A last position before the
            first one is an error that may be refused (section 14.2), and is.
    """
    unit = _UNIT.match(header)
    if unit is None:
        return ()
    # Empty members of a list count as nothing (section 5.6.1.2).
    specs = [spec for spec in header[unit.end() :].split(",") if spec.strip(" \t")]
    found: list[Range] = []
    for spec in specs:
        match = _RANGE.fullmatch(spec)
        if match is None or not (match[1] or match[2]):
            return ()
        part = _part(match[1], match[2], size)
        if part is not None:
            found.append(part)
    if specs and not found:
        raise RangeNotSatisfiable
    wanted = sum(stop - start for start, stop in found)
    if len(found) > _MOST or (len(found) > 1 and wanted > size):
        return ()
    # Nothing can be a suffix of nothing, yet the range counts as satisfiable
    # (section 14.1.2): the whole of it is the answer.
    return tuple(found) if size else ()


def cut_to_ranges(reply: Reply, header: str, *, multiple: bool = True) -> None:
    """Make 206 of a reply with all of the bytes, if the header says so.

    Args:
        reply: A reply with a whole body.
        header: The Range header.
        multiple: Whether more than one range is answered as such.

    Raises:
        RegistryError: 416, with the size in Content-Range.
    """
    size = reply.length or 0
    try:
        ranges = parse_ranges(header, size)
    except RangeNotSatisfiable:
        raise RegistryError(
            "UNSUPPORTED",
            416,
            message="the range is not satisfiable",
            headers={"Content-Range": f"bytes */{size}"},
        ) from None
    if not isinstance(reply.body, (bytes, memoryview)):
        return
    if len(ranges) == 1:
        _one(reply, memoryview(reply.body), *ranges[0])
    elif ranges and multiple:
        _several(reply, memoryview(reply.body), ranges)


def _part(first: str, last: str, size: int) -> Range | None:
    """Return the bytes of one range; None if none of them is there."""
    if not first:
        length = _number(last)
        return (max(size - length, 0), size) if length else None
    start = _number(first)
    stop = min(_number(last) + 1, size) if last else size
    return (start, stop) if start < stop else None


def _number(digits: str) -> int:
    # Python refuses to convert thousands of digits; no blob is that long.
    return int(digits) if len(digits) < 20 else 10**20


def _one(reply: Reply, view: memoryview, start: int, stop: int) -> None:
    reply.status = 206
    reply.headers["Content-Range"] = f"bytes {start}-{stop - 1}/{len(view)}"
    reply.body = view[start:stop]
    reply.length = stop - start


def _several(reply: Reply, view: memoryview, ranges: Sequence[Range]) -> None:
    """Put the parts into a multipart/byteranges body (section 14.6)."""
    media_type = reply.headers.get("Content-Type", "application/octet-stream")
    boundary = _boundary(view, ranges)
    pieces: list[Buffer] = []
    for start, stop in ranges:
        head = (
            f"\r\n--{boundary}\r\nContent-Type: {media_type}\r\n"
            f"Content-Range: bytes {start}-{stop - 1}/{len(view)}\r\n\r\n"
        )
        pieces += (head.encode("latin-1"), view[start:stop])
    pieces.append(f"\r\n--{boundary}--\r\n".encode())
    reply.status = 206
    reply.headers["Content-Type"] = f"multipart/byteranges; boundary={boundary}"
    reply.body = pieces
    reply.length = sum(len(piece) for piece in pieces)


def _boundary(view: memoryview, ranges: Sequence[Range]) -> str:
    """Return a delimiter that is the same for the same answer, and not in it."""
    # What would have to be in the content is a digest over that very content.
    found = hashlib.sha256(repr(ranges).encode())
    for start, stop in ranges:
        found.update(view[start:stop])
    return found.hexdigest()[:32]
