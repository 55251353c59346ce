r"""Mirrors: Go's archive/tar/strconv.go (used by containerd v1.5.18).

Numbers and times as archives write them.

>>> parse_octal(b"0000644\0")
420
>>> parse_pax_time(b"1700000000.5")
1700000000500000000
"""

import re
from functools import lru_cache
from typing import Final

from refimpl.archive.errors import ErrHeader

__all__ = [
    "BLOCK",
    "SECOND",
    "parse_int",
    "parse_numeric",
    "parse_octal",
    "parse_pax_time",
    "text_of",
]

BLOCK: Final = 512
SECOND: Final = 1_000_000_000

_DECIMAL: Final = re.compile(rb"[+-]?[0-9]+")
_FRACTION: Final = re.compile(rb"[0-9]*")


def text_of(data: bytes) -> bytes:
    """Return the bytes up to the first zero byte (strconv.go:54)."""
    end = data.find(b"\0")
    return data if end < 0 else data[:end]


# An archive says the same owner, mode and time again and again.
@lru_cache(maxsize=1024)
def parse_numeric(data: bytes) -> int:
    """Return a number in base 256 or octal (strconv.go:93); it may be negative.

    Raises:
        ErrHeader: it is none, or has more than 64 bits.
    """
    if not data or not data[0] & 0x80:
        return parse_octal(data)
    value = int.from_bytes(data, "big") & ~(0x80 << 8 * (len(data) - 1))
    if data[0] & 0x40:
        value -= 1 << 8 * len(data) - 1
    if not -(1 << 63) <= value < 1 << 63:
        raise ErrHeader
    return value


def parse_octal(data: bytes) -> int:
    """Return an octal number; blank is 0 (strconv.go:146)."""
    digits = data.strip(b" \0")
    if not digits:
        return 0
    digits = text_of(digits)
    if not digits.isdigit():
        raise ErrHeader
    try:
        return int(digits, 8)
    except ValueError:
        raise ErrHeader from None


def parse_int(text: bytes) -> int:
    """Return a decimal number of 64 bits, as Go's strconv.ParseInt reads it.

    Raises:
        ErrHeader: it is none.
    """
    if len(text) > 64 or not _DECIMAL.fullmatch(text):
        raise ErrHeader
    value = int(text)
    if not -(1 << 63) <= value < 1 << 63:
        raise ErrHeader
    return value


def parse_pax_time(text: bytes) -> int:
    """Return nanoseconds since 1970; what is finer is cut off (strconv.go:193).

    Raises:
        ErrHeader: it is no time.
    """
    seconds, _, fraction = text.partition(b".")
    whole = parse_int(seconds) * SECOND
    if not _FRACTION.fullmatch(fraction):
        raise ErrHeader
    nanoseconds = int(fraction[:9].ljust(9, b"0"))
    return whole - nanoseconds if text.startswith(b"-") else whole + nanoseconds
