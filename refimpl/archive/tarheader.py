r"""Mirrors: Go's archive/tar/reader.go:254, 309, 359 (used by containerd v1.5.18).

The pure part of reading a tar: one block of 512 bytes becomes a :class:`Header`,
and PAX records change it.

>>> parse_pax(b"30 mtime=1700000000.123456789\n")
{b'mtime': b'1700000000.123456789'}

Names are bytes, as they are on Linux.
"""

import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final
from zlib import adler32

from refimpl.archive.errors import ErrHeader
from refimpl.archive.numbers import (
    SECOND,
    parse_int,
    parse_numeric,
    parse_octal,
    parse_pax_time,
    text_of,
)
from refimpl.archive.sparse import PAX_SPARSE_MAP, PAX_SPARSE_PAIRS, Regions

__all__ = [
    "Header",
    "merge_pax",
    "parse_header",
    "parse_pax",
]

_FIELDS: Final = struct.Struct("100s8s8s8s12s12s8s1s100s6s2s32s32s8s8s155s12s")
_MAGIC_USTAR: Final = b"ustar\0"
_MAGIC_GNU: Final = b"ustar "
_LENGTH: Final = re.compile(rb"[+-]?[0-9]+ ")
# Records whose value must not hold a zero byte (strconv.go:340).
_TEXTS: Final = frozenset((b"path", b"linkpath", b"uname", b"gname"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """One entry of an archive.

    Attributes:
        size: how many bytes the file has, holes included.
        stored: how many bytes the archive has for it, the padding aside.
        mtime, atime: nanoseconds since 1970; no ``atime`` where none is told.
        sparse: offset and length of the data of a sparse file; None for others.
        pax: the PAX records in front of the entry.
    """

    name: bytes
    typeflag: bytes = b"0"
    linkname: bytes = b""
    size: int = 0
    stored: int = 0
    mode: int = 0
    uid: int = 0
    gid: int = 0
    mtime: int = 0
    atime: int | None = None
    devmajor: int = 0
    devminor: int = 0
    gnu: bool = False
    sparse: Regions | None = None
    pax: Mapping[bytes, bytes] = field(default_factory=dict)


def parse_header(block: bytes) -> Header:
    """Return what one block says (reader.go:359, readHeader).

    Raises:
        ErrHeader: the checksum is wrong, or a number is none.
    """
    raw = _FIELDS.unpack(block)
    name, mode, uid, gid, size, mtime, checksum, typeflag, linkname = raw[:9]
    magic, version, _, _, devmajor, devminor, prefix, trailer = raw[9:]
    _verify_checksum(block, checksum)
    ustar, gnu = magic == _MAGIC_USTAR, magic == _MAGIC_GNU and version == b" \0"
    atime = None
    if ustar and trailer.endswith(b"tar\0"):
        prefix, atime = prefix[:131], parse_numeric(block[476:488])
        parse_numeric(block[488:500])
    elif gnu:
        prefix, atime = _gnu_extras(block, prefix)
    elif not ustar:
        prefix = devmajor = devminor = b""
    name = text_of(name)
    if prefix := text_of(prefix):
        name = prefix + b"/" + name
    length = parse_numeric(size)
    return Header(
        name=name,
        typeflag=typeflag,
        linkname=text_of(linkname),
        size=length,
        stored=length,
        mode=parse_numeric(mode),
        uid=parse_numeric(uid),
        gid=parse_numeric(gid),
        mtime=parse_numeric(mtime) * SECOND,
        atime=None if atime is None else atime * SECOND,
        devmajor=parse_numeric(devmajor),
        devminor=parse_numeric(devminor),
        gnu=gnu,
    )


def _verify_checksum(block: bytes, field_: bytes) -> None:
    expected = parse_octal(field_)
    # The low half of an Adler-32 is one more than the sum of so few bytes, and
    # comes ten times faster than sum() does.
    parts = block[:148], block[156:334], block[334:]
    total = 8 * 0x20 + sum((adler32(part) & 0xFFFF) - 1 for part in parts)
    if expected == total:
        return
    # Sun's tar added signed bytes.
    negative = sum(byte >= 0x80 for part in parts for byte in part)
    if expected != total - 256 * negative:
        raise ErrHeader


def _gnu_extras(block: bytes, prefix: bytes) -> tuple[bytes, int | None]:
    """Return the prefix and the access time of a GNU header.

    GNU has times where USTAR has the prefix. Old versions of Go put a prefix
    there all the same, so what is no time may be one (reader.go:425).
    """
    access, change = block[345:357], block[357:369]
    try:
        atime = parse_numeric(access) if access[0] else None
        if change[0]:
            parse_numeric(change)
    except ErrHeader:
        text = text_of(prefix)
        return (text if text.isascii() else b""), None
    return b"", atime


def parse_pax(data: bytes) -> dict[bytes, bytes]:
    """Return the records of a PAX header (reader.go:309, parsePAX).

    The pairs of a sparse map in GNU's format 0.0 become one record, as in 0.1.

    Raises:
        ErrHeader: a record is not well-formed.
    """
    records: dict[bytes, bytes] = {}
    pairs: list[bytes] = []
    position = 0
    while position < len(data):
        key, value, position = _pax_record(data, position)
        if key in PAX_SPARSE_PAIRS:
            if key != PAX_SPARSE_PAIRS[len(pairs) % 2] or b"," in value:
                raise ErrHeader
            pairs.append(value)
        else:
            records[key] = value
    if pairs:
        records[PAX_SPARSE_MAP] = b",".join(pairs)
    return records


def _pax_record(data: bytes, start: int) -> tuple[bytes, bytes, int]:
    """Return key and value of the record at ``start``, and where the next begins."""
    match = _LENGTH.match(data, start, start + 32)
    if match is None:
        raise ErrHeader
    length = int(match.group())
    end = start + length
    if length < 5 or end > len(data) or end <= match.end():
        raise ErrHeader
    key, equals, value = data[match.end() : end - 1].partition(b"=")
    if data[end - 1 : end] != b"\n" or not equals or not key or b"\0" in key:
        raise ErrHeader
    if b"\0" in value and key in _TEXTS:
        raise ErrHeader
    return key, value, end


def merge_pax(header: Header, records: Mapping[bytes, bytes]) -> Header:
    """Return the header with what the records say instead (reader.go:254).

    Raises:
        ErrHeader: a number or a time is none.
    """
    if not records:
        return header
    size = _number(records, b"size", header.size)
    mtime, atime = _time(records, b"mtime"), _time(records, b"atime")
    return replace(
        header,
        name=records.get(b"path") or header.name,
        linkname=records.get(b"linkpath") or header.linkname,
        uid=_number(records, b"uid", header.uid),
        gid=_number(records, b"gid", header.gid),
        size=size,
        stored=size,
        mtime=header.mtime if mtime is None else mtime,
        atime=header.atime if atime is None else atime,
        pax=records,
    )


def _number(records: Mapping[bytes, bytes], key: bytes, value: int) -> int:
    text = records.get(key)
    return parse_int(text) if text else value


def _time(records: Mapping[bytes, bytes], key: bytes) -> int | None:
    text = records.get(key)
    return parse_pax_time(text) if text else None
