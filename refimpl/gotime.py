r"""Mirrors: Go's time.Time as JSON (time.go, format.go).

A moment stays the text that Go would write for it: whatever Python's datetime cannot
hold (nanoseconds, offsets) survives.

>>> normalize('"2016-10-07T21:03:58.1234567891+00:00"')
'2016-10-07T21:03:58.123456789Z'
"""

import calendar
import json
import re
from typing import Final

from refimpl.errdefs import ContainerdError
from refimpl.gojson import Node, Number, Object
from refimpl.gotext import quote

__all__ = ["TimeError", "normalize", "parse_json_time"]

_LAYOUT: Final = '"2006-01-02T15:04:05Z07:00"'
_YEAR: Final = re.compile(r"[0-9]{4}", re.ASCII)
_TWO: Final = re.compile(r"[0-9]{2}", re.ASCII)
_ONE_OR_TWO: Final = re.compile(r"[0-9]{1,2}", re.ASCII)
_FRACTION: Final = re.compile(r"(?:[.,]([0-9]+))?", re.ASCII)
_ZONE: Final = re.compile(r"Z|([+-])([0-9]{2}):([0-9]{2})", re.ASCII)


class TimeError(ContainerdError):
    """A text is no time as RFC 3339 has it; the words are Go's."""


def parse_json_time(node: Node) -> str:
    """Return a parsed JSON value as a time, for ``gojson.Custom("time.Time", ...)``.

    Raises:
        TimeError: the value is no time.
    """
    return normalize(_literal(node))


def _literal(node: Node) -> str:
    """Return about what the document had: Go reads, and reports, its raw text.

    Escapes are resolved here, and what objects and arrays hold is left out.
    """
    if isinstance(node, list):
        return "{}" if isinstance(node, Object) else "[]"
    if isinstance(node, Number):
        return str(node)
    return json.dumps(node, ensure_ascii=False)


def normalize(literal: str) -> str:
    """Return a JSON string that holds a time as Go writes it again (RFC3339Nano).

    Raises:
        TimeError: the text is no time.
    """
    reader = _Reader(literal)
    reader.skip('"')
    year = int(reader.match("2006", _YEAR)[0])
    reader.skip("-")
    month = reader.number("01", _TWO, 1, 12, "month")
    reader.skip("-")
    day = int(reader.match("02", _TWO)[0])
    reader.skip("T")
    hour = reader.number("15", _ONE_OR_TWO, 0, 23, "hour")
    reader.skip(":")
    minute = reader.number("04", _TWO, 0, 59, "minute")
    reader.skip(":")
    second = reader.number("05", _TWO, 0, 59, "second")
    fraction = _fraction(reader.match("05", _FRACTION)[1] or "")
    zone = _zone(reader.match("Z07:00", _ZONE))
    reader.skip('"')
    reader.end()
    if not 1 <= day <= _days(year, month):
        reader.fail("day out of range")
    return (
        f"{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}"
        f"{fraction}{zone}"
    )


def _fraction(digits: str) -> str:
    """Return nanoseconds without the zeros at their end; more digits are cut off."""
    return f".{digits[:9]}".rstrip("0").rstrip(".")


def _zone(match: re.Match[str]) -> str:
    if match[0] == "Z":
        return "Z"
    minutes = int(match[2]) * 60 + int(match[3])
    return f"{match[1]}{minutes // 60:02}:{minutes % 60:02}" if minutes else "Z"


def _days(year: int, month: int) -> int:
    # Go's calendar goes on before the year 1; Python's rules do not differ there.
    return calendar.monthrange(year or 400, month)[1]


class _Reader:
    """What is left of a text that is matched against the layout, left to right."""

    def __init__(self, literal: str) -> None:
        self._literal = literal
        self._rest = literal

    def skip(self, char: str) -> None:
        """Take one character of the layout."""
        self.match(char, re.compile(re.escape(char)))

    def match(self, element: str, pattern: re.Pattern[str]) -> re.Match[str]:
        """Take one element of the layout."""
        match = pattern.match(self._rest)
        if match is None:
            raise TimeError(
                f"parsing time {quote(self._literal)} as {quote(_LAYOUT)}: "
                f"cannot parse {quote(self._rest)} as {quote(element)}"
            )
        self._rest = self._rest[match.end() :]
        return match

    def number(
        self, element: str, pattern: re.Pattern[str], low: int, high: int, name: str
    ) -> int:
        """Take a number that has to lie in a range."""
        number = int(self.match(element, pattern)[0])
        if not low <= number <= high:
            self.fail(f"{name} out of range")
        return number

    def end(self) -> None:
        """Take nothing more."""
        if self._rest:
            self.fail(f"extra text: {quote(self._rest)}")

    def fail(self, message: str) -> None:
        """Refuse the text as a whole."""
        raise TimeError(f"parsing time {quote(self._literal)}: {message}")
