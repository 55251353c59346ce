"""Mirrors: Go's archive/tar/reader.go:183, 470 (used by containerd v1.5.18).

Where the data of a sparse file lies: pairs of offset and length, in one of GNU's
four formats. The oldest has them in the header, the others in PAX records (0.0 and
0.1) or in front of the data (1.0).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final, Literal

from refimpl.archive.errors import (
    ErrHeader,
    ErrMissData,
    ErrSparseTooLong,
    ErrUnrefData,
)
from refimpl.archive.numbers import BLOCK, parse_int, parse_numeric

__all__ = [
    "MAX_SPECIAL",
    "PAX_SPARSE_MAP",
    "PAX_SPARSE_PAIRS",
    "Regions",
    "check_regions",
    "map_from_data",
    "map_from_header",
    "map_from_records",
    "pax_version",
]

Regions = tuple[tuple[int, int], ...]

# What stands in front of a file may have this many bytes, as in libarchive.
MAX_SPECIAL: Final = 1 << 20

PAX_SPARSE_MAP: Final = b"GNU.sparse.map"
PAX_SPARSE_PAIRS: Final = (b"GNU.sparse.offset", b"GNU.sparse.numbytes")

_PAIR: Final = 24
_IN_HEADER: Final = 4
_IN_EXTENSION: Final = 21


def pax_version(records: Mapping[bytes, bytes]) -> Literal["", "0.1", "1.0"]:
    """Return which format PAX records speak of, "" for none (reader.go:209)."""
    major = records.get(b"GNU.sparse.major", b"")
    minor = records.get(b"GNU.sparse.minor", b"")
    if major == b"0" and minor in (b"0", b"1"):
        return "0.1"
    if major == b"1" and minor == b"0":
        return "1.0"
    guessed = not major and not minor and records.get(PAX_SPARSE_MAP)
    return "0.1" if guessed else ""


def map_from_records(records: Mapping[bytes, bytes]) -> Regions:
    """Return the map that stands in PAX records (reader.go:574)."""
    count = parse_int(records.get(b"GNU.sparse.numblocks", b""))
    text = records.get(PAX_SPARSE_MAP, b"")
    numbers = [parse_int(part) for part in text.split(b",")] if text else []
    if len(numbers) != 2 * count:
        raise ErrHeader
    return _pairs(numbers)


def map_from_data(read: Callable[[int], bytes]) -> Regions:
    """Return the map that stands in front of the data (reader.go:521).

    Args:
        read: gives the next bytes of the entry, a block at a time.
    """
    # DEVIATION D45: what v1.5.18 was built with (Go 1.17) reads a map of any length
    # into memory (archive/tar.go:209); later ones stop at a megabyte too.
    blocks: list[bytes] = []
    lines, wanted = 0, 1
    while lines < wanted:
        if len(blocks) * BLOCK >= MAX_SPECIAL:
            raise ErrSparseTooLong
        block = read(BLOCK)
        blocks.append(block)
        known, lines = lines, lines + block.count(b"\n")
        if not known and lines:
            count = parse_int(b"".join(blocks).partition(b"\n")[0])
            if count < 0:
                raise ErrHeader
            wanted = 1 + 2 * count
    text = b"".join(blocks)
    return _pairs([parse_int(line) for line in text.split(b"\n")[1:wanted]])


def map_from_header(block: bytes, read: Callable[[int], bytes]) -> Regions:
    """Return the map that stands in a GNU header and the blocks behind it.

    Mirrors reader.go:470.

    Args:
        block: the header.
        read: gives the next bytes of the archive.
    """
    numbers = _old_pairs(block[386:], _IN_HEADER)
    extended, total = block[482], BLOCK
    while extended:
        if total >= MAX_SPECIAL:
            raise ErrSparseTooLong
        block = read(BLOCK)
        total += BLOCK
        numbers += _old_pairs(block, _IN_EXTENSION)
        extended = block[504]
    return _pairs(numbers)


def _old_pairs(data: bytes, count: int) -> list[int]:
    numbers: list[int] = []
    for start in range(0, count * _PAIR, _PAIR):
        if not data[start]:
            break
        numbers.append(parse_numeric(data[start : start + 12]))
        numbers.append(parse_numeric(data[start + 12 : start + _PAIR]))
    return numbers


def _pairs(numbers: Sequence[int]) -> Regions:
    return tuple(zip(numbers[::2], numbers[1::2], strict=True))


def check_regions(regions: Regions, size: int, stored: int) -> None:
    """Check that a map fits its file (common.go:257, reader.go:735).

    Args:
        regions: the map.
        size: how many bytes the file has.
        stored: how many bytes of data the archive has for it.

    Raises:
        ErrHeader: regions overlap, are out of order or end behind the file.
        ErrMissData: there is less data than the map speaks of.
        ErrUnrefData: there is more.
    """
    end = total = 0
    for offset, length in regions:
        if offset < end or length < 0:
            raise ErrHeader
        end = offset + length
        total += length
    if size < end:
        raise ErrHeader
    if total > stored:
        raise ErrMissData
    if total < stored:
        raise ErrUnrefData
