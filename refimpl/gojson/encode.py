r"""Mirrors: Go's encoding/json encode.go and indent.go.

What containerd writes itself (converted manifests and configurations) has to come
out byte for byte, because its digest names it. Objects are written in the order of
their dict: that of a Go struct's fields; the keys of a Go map are to be sorted
before.

    >>> marshal({"a": "<\u2028>", "b": []})
    b'{"a":"\\u003c\\u2028\\u003e","b":[]}'
"""

import re
from collections.abc import Iterator, Mapping
from typing import Final

__all__ = ["JSON", "marshal", "marshal_indent"]

JSON = (
    str | int | bool | None | Mapping[str, "JSON"] | list["JSON"] | tuple["JSON", ...]
)

# <, > and & are escaped for HTML, U+2028 and U+2029 for JavaScript. Go before 1.22
# has no short form for \b and \f.
_SPECIAL: Final = re.compile('[\x00-\x1f"\\\\<>&\u2028\u2029\ud800-\udfff]')
_SHORT: Final = {'"': r"\"", "\\": r"\\", "\n": r"\n", "\r": r"\r", "\t": r"\t"}


def marshal(value: JSON) -> bytes:
    """Return a value as JSON without white space (Go: json.Marshal)."""
    return "".join(_pieces(value, None, "")).encode()


def marshal_indent(value: JSON, indent: str) -> bytes:
    """Return a value as JSON, a member a line (Go: json.MarshalIndent).

    Empty objects and arrays stay on one line, and no line end follows the last.
    """
    return "".join(_pieces(value, indent, "\n")).encode()


def _pieces(value: JSON, indent: str | None, newline: str) -> Iterator[str]:
    match value:
        case None:
            yield "null"
        case bool():
            yield "true" if value else "false"
        case int():
            yield str(value)
        case str():
            yield _string(value)
        case Mapping():
            colon = ":" if indent is None else ": "
            members = [(_string(key) + colon, item) for key, item in value.items()]
            yield from _container("{}", members, indent, newline)
        case list() | tuple():
            yield from _container("[]", [("", item) for item in value], indent, newline)
        case _:
            raise TypeError(f"cannot write {type(value).__name__} as JSON")


def _container(
    brackets: str, members: list[tuple[str, JSON]], indent: str | None, newline: str
) -> Iterator[str]:
    if not members:
        yield brackets
        return
    inner = newline + (indent or "")
    yield brackets[0]
    for number, (key, item) in enumerate(members):
        yield "," + inner if number else inner
        yield key
        yield from _pieces(item, indent, inner)
    yield newline + brackets[1]


def _string(text: str) -> str:
    return '"' + _SPECIAL.sub(_escape, text) + '"'


def _escape(match: re.Match[str]) -> str:
    char = match[0]
    if char in _SHORT:
        return _SHORT[char]
    code = ord(char)
    return r"\ufffd" if 0xD800 <= code <= 0xDFFF else f"\\u{code:04x}"
