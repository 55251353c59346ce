"""Mirrors: Go's encoding/json scanner.go, into a tree that keeps duplicate keys.

A valid document goes through Python's own parser, which is quick. Whatever that
refuses, and whatever is nested deeply, goes through a scanner of our own: it
needs no recursion, and its errors read as Go's do.

    >>> parse(b'{"size": 1, "SIZE": 2}')
    [('size', '1'), ('SIZE', '2')]
    >>> parse(b'{"size": }')
    Traceback (most recent call last):
    refimpl.gojson.scan.JSONError: invalid character '}' looking for beginning of value
"""

import codecs
import json
import re
from typing import Any, Final, NoReturn

from refimpl.errdefs import ContainerdError
from refimpl.gotext import quote

__all__ = ["MAX_DEPTH", "JSONError", "Node", "Number", "Object", "clean", "parse"]

# scanner.go: maxNestingDepth.
MAX_DEPTH: Final = 10_000

# An Object, list, str, Number, bool or None.
Node = Any


class JSONError(ContainerdError):
    """A document is not JSON, or not of the shape that was asked for."""


class Number(str):
    """The text of a number: what it may become depends on the field it is for."""

    __slots__ = ()


class Object(list[tuple[str, Node]]):
    """The members of an object in their order, duplicates and all."""

    __slots__ = ()


def parse(data: bytes) -> Node:
    """Return the tree of a JSON document.

    Bytes that are no UTF-8 become U+FFFD inside strings, one by one.

    Raises:
        JSONError: the document is not JSON, or nested more than ``MAX_DEPTH``.
    """
    if data.count(b"[") + data.count(b"{") <= MAX_DEPTH:
        try:
            return json.loads(
                data.decode("utf-8", _REPLACE),
                object_pairs_hook=Object,
                parse_int=Number,
                parse_float=Number,
                parse_constant=_refuse,
            )
        except (ValueError, RecursionError):
            pass  # the scanner below finds the words, or manages the depth
    return _Scanner(data).document()


def clean(text: str) -> str:
    """Return a string with U+FFFD for every surrogate that has no partner."""
    return text if text.isascii() else _SURROGATE.sub("\N{REPLACEMENT CHARACTER}", text)


def _refuse(constant: str) -> NoReturn:
    raise ValueError(constant)


def _replace_one_byte(err: UnicodeError) -> tuple[str, int]:
    """Replace one byte and go on after it, as Go's utf8.DecodeRune does."""
    if not isinstance(err, UnicodeDecodeError):
        raise err
    return "\N{REPLACEMENT CHARACTER}", err.start + 1


_REPLACE: Final = "refimpl-go-replace"
codecs.register_error(_REPLACE, _replace_one_byte)

_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_SPACE: Final = re.compile(r"[ \t\r\n]*")
_CHARACTERS: Final = (
    r'"[^"\\\x00-\x1f]*(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})[^"\\\x00-\x1f]*)*'
)
_STRING_START: Final = re.compile(_CHARACTERS)
_HEX: Final = re.compile(r"[0-9a-fA-F]*")
_NUMBER: Final = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
# How far a broken number goes, and what Go says of the character after it.
_BROKEN_NUMBERS: Final = (
    (re.compile(r"-(?![0-9])"), "in numeric literal"),
    (
        re.compile(r"-?(?:0|[1-9][0-9]*)\.(?![0-9])"),
        "after decimal point in numeric literal",
    ),
    (
        re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?[eE][+-]?+(?![0-9])"),
        "in exponent of numeric literal",
    ),
)
_LITERALS: Final[dict[str, tuple[str, Node]]] = {
    "t": ("true", True),
    "f": ("false", False),
    "n": ("null", None),
}
_END: Final = "unexpected end of JSON input"


class _Scanner:
    """One pass over a document, a character for a byte.

    A space is appended: Go feeds its scanner one at the end of the input, so that
    a number or literal that was cut off is reported with it.
    """

    def __init__(self, data: bytes) -> None:
        self._text = data.decode("latin-1") + " "
        self._pos = 0
        self._open: list[Node] = []
        self._keys: list[str] = []

    def document(self) -> Node:
        """Return the tree."""
        while True:
            node = self._begin_value()
            if node is _OPENED:
                continue
            while self._open:
                self._attach(node)
                if not self._close():
                    break
                node = self._open.pop()
            else:
                if self._peek():
                    self._fail("after top-level value")
                return node

    def _begin_value(self) -> Node:
        """Read a scalar or an empty container; open any other one."""
        char = self._next()
        if char == "{":
            return self._begin_container(Object(), "}")
        if char == "[":
            return self._begin_container([], "]")
        if char == '"':
            return self._string()
        if char in _LITERALS:
            return self._literal(*_LITERALS[char])
        if char in "-0123456789":
            return self._number()
        return self._fail("looking for beginning of value")

    def _begin_container(self, container: Node, end: str) -> Node:
        if len(self._open) >= MAX_DEPTH:
            self._fail("exceeded max depth")
        self._pos += 1
        if self._next() == end:
            self._pos += 1
            return container
        self._open.append(container)
        if end == "}":
            self._key()
        return _OPENED

    def _key(self) -> None:
        if self._next() != '"':
            self._fail("looking for beginning of object key string")
        self._keys.append(self._string())
        if self._next() != ":":
            self._fail("after object key")
        self._pos += 1

    def _attach(self, node: Node) -> None:
        parent = self._open[-1]
        if isinstance(parent, Object):
            parent.append((self._keys.pop(), node))
        else:
            parent.append(node)

    def _close(self) -> bool:
        """Read what follows a member; return whether the container ends with it."""
        is_object = isinstance(self._open[-1], Object)
        char = self._next()
        if char not in (",}" if is_object else ",]"):
            self._fail(
                f"after {'object key:value pair' if is_object else 'array element'}"
            )
        self._pos += 1
        if char == "," and is_object:
            self._key()
        return char != ","

    def _string(self) -> str:
        match = _STRING_START.match(self._text, self._pos)
        end = match.end() if match else self._pos
        if self._text[end : end + 1] != '"':
            self._fail_in_string(end)
        raw = self._text[self._pos : end + 1].encode("latin-1")
        self._pos = end + 1
        value: str = json.loads(raw.decode("utf-8", _REPLACE))
        return value

    def _fail_in_string(self, pos: int) -> NoReturn:
        char = self._text[pos : pos + 1]
        if char != "\\":
            self._fail("in string literal", pos)
        if self._text[pos + 1 : pos + 2] != "u":
            self._fail("in string escape code", pos + 1)
        digits = _HEX.match(self._text, pos + 2)
        end = digits.end() if digits else pos + 2
        self._fail("in \\u hexadecimal character escape", end)

    def _number(self) -> Number:
        for pattern, context in _BROKEN_NUMBERS:
            if broken := pattern.match(self._text, self._pos):
                self._fail(context, broken.end())
        match = _NUMBER.match(self._text, self._pos)
        end = match.end() if match else self._pos
        number = Number(self._text[self._pos : end])
        self._pos = end
        return number

    def _literal(self, word: str, value: Node) -> Node:
        for offset, char in enumerate(word):
            if self._text[self._pos + offset : self._pos + offset + 1] != char:
                context = f"in literal {word} (expecting '{char}')"
                self._fail(context, self._pos + offset)
        self._pos += len(word)
        return value

    def _peek(self) -> str:
        """Skip white space; return the character there, or "" at the end."""
        match = _SPACE.match(self._text, self._pos)
        self._pos = match.end() if match else self._pos
        return self._text[self._pos : self._pos + 1]

    def _next(self) -> str:
        char = self._peek()
        if not char:
            raise JSONError(_END)
        return char

    def _fail(self, context: str, pos: int | None = None) -> NoReturn:
        pos = self._pos if pos is None else pos
        char = self._text[pos : pos + 1]
        if not char:
            raise JSONError(_END)
        raise JSONError(f"invalid character {_quote_char(char)} {context}")


_OPENED: Final = object()


def _quote_char(char: str) -> str:
    if char == "'":
        return r"'\''"
    return "'\"'" if char == '"' else f"'{quote(char)[1:-1]}'"
