"""Mirrors: containerd v1.5.18 filters/*.go, metadata/adaptors.go.

A small language that selects objects by their fields: ``name==alpine``,
``labels."com.example/x"!=1``, ``target.mediatype~=oci``, ``labels.foo`` (is
present); a comma means *and*, several filters mean *or*.

    match = parse_all("name==a", "labels.x")
    match(lambda path: ("a", True) if path == ("name",) else ("", False))

Regular expressions are Python's: what only Go's RE2 knows matches nothing.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from refimpl.errdefs import ErrInvalidArgument
from refimpl.gotext import quote

__all__ = ["Adaptor", "Filter", "check_map", "parse_all"]

Adaptor = Callable[[tuple[str, ...]], tuple[str, bool]]
Filter = Callable[[Adaptor], bool]

_EOF: Final = ""
_OPERATORS: Final = {"==", "!=", "~="}
_ESCAPE: Final = re.compile(
    r"\\(?:([abfnrtv\\\"/|])|([0-7]{3})|x([0-9a-fA-F]{2})"
    r"|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8}))"
)
_SIMPLE: Final = {
    "a": 7, "b": 8, "f": 12, "n": 10, "r": 13, "t": 9, "v": 11
}  # fmt: skip
_DIGITS: Final = {"x": (16, 2), "u": (16, 4), "U": (16, 8)}


def check_map(path: tuple[str, ...], values: Mapping[str, str]) -> tuple[str, bool]:
    """Return the field of a map that the rest of a path names."""
    key = ".".join(path)
    return values.get(key, ""), key in values


def parse_all(*texts: str) -> Filter:
    """Return a filter that matches what any of the texts match; none match all.

    Raises:
        ErrInvalidArgument: a text is no filter; the error says where and why.
    """
    filters = [_Parser(text).parse() for text in texts]
    return lambda adaptor: not filters or any(match(adaptor) for match in filters)


@dataclass(frozen=True, slots=True)
class _Selector:
    path: tuple[str, ...]
    operator: str = ""
    value: str = ""

    def __call__(self, adaptor: Adaptor) -> bool:
        value, present = adaptor(self.path)
        match self.operator:
            case "==":
                return present and value == self.value
            case "!=":
                return value != self.value
            case "~=":
                try:
                    return re.search(self.value, value) is not None
                except re.error:
                    return False
        return present


class _Scanner:
    """Splits a text into tokens (filters/scanner.go)."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.start = 0
        self.end = 0
        self.error = ""
        self._value = False

    def peek(self) -> str:
        """Return the next character, spaces too."""
        return self.text[self.end : self.end + 1]

    def _next(self) -> str:
        char = self.peek()
        self.start, self.end = self.end, self.end + len(char)
        return char

    def scan(self) -> tuple[int, str, str]:
        """Return position, kind and text of the next token."""
        char = self._next()
        while char.isspace():
            char = self._next()
        position = self.start
        kind = self._scan_rest(char)
        return position, kind, self.text[position : self.end] if kind else ""

    def _scan_rest(self, char: str) -> str:
        if char in {_EOF, "\0"}:
            self.error = self.error or ("unexpected null" if char else "")
            return "illegal" if char else ""
        if char in '/|"':
            return "quoted" if self._scan_quoted(char) else "illegal"
        if char in ",.":
            self._value = False
            return "separator"
        if char in "=!~":
            self._skip(lambda c: c in "=!~")
            self._value = True
            return "operator"
        return self._scan_word(char)

    def _scan_word(self, char: str) -> str:
        if self._value:
            self._skip(lambda c: c != "," and c.isprintable() and not c.isspace())
            self._value = False
            return "value"
        if _is_field(char):
            self._skip(_is_field)
            return "field"
        return ""

    def _skip(self, wanted: Callable[[str], bool]) -> None:
        while (char := self.peek()) and wanted(char):
            self._next()

    def _scan_quoted(self, end: str) -> bool:
        legal, char = True, self._next()
        while char != end:
            if char in {"\n", _EOF, "\0"}:
                self.error = self.error or "quoted literal not terminated"
                return False
            if char == "\\":
                legal = self._scan_escape(end) and legal
            char = self._next()
        return legal

    def _scan_escape(self, end: str) -> bool:
        char = self._next()
        if char and (char in "abfnrtv\\" or char == end):
            return True
        if char and char in "01234567":
            base, count = 8, 2
        elif char in _DIGITS:
            base, count = _DIGITS[char]
        else:
            self.error = self.error or "illegal escape sequence"
            self._back()
            return False
        for _ in range(count):
            if _digit(self.peek()) >= base:
                self.error = self.error or "illegal numeric escape sequence"
                return False
            self._next()
        return True

    def _back(self) -> None:
        self.end = self.start


class _Parser:
    """Builds a filter from tokens (filters/parser.go:46)."""

    def __init__(self, text: str) -> None:
        self._scanner = _Scanner(text)

    def parse(self) -> Filter:
        """Return a filter that all selectors of the text must match."""
        if not self._scanner.text:
            return lambda _: True
        selectors = [self._selector()]
        while (char := self._scanner.peek()) != _EOF:
            if char != ",":
                raise self._error(self._scanner.end, f"unexpected input: {char}")
            self._scanner.scan()
            selectors.append(self._selector())
        return lambda adaptor: all(match(adaptor) for match in selectors)

    def _selector(self) -> _Selector:
        path = [self._field()]
        while self._scanner.peek() == ".":
            self._scanner.scan()
            path.append(self._field())
        if self._scanner.peek() in {",", _EOF}:
            return _Selector(tuple(path))
        operator = self._operator()
        value = self._value(any_quotes=operator == "~=")
        return _Selector(tuple(path), operator, value)

    def _field(self) -> str:
        position, kind, text = self._scanner.scan()
        if kind == "field":
            return text
        if kind == "quoted":
            return self._unquote(position, text, any_quotes=False)
        raise self._unexpected(position, kind, "expected field or quoted")

    def _operator(self) -> str:
        position, kind, text = self._scanner.scan()
        if kind != "operator":
            wanted = 'expected an operator ("=="|"!="|"~=")'
            raise self._unexpected(position, kind, wanted)
        if text not in _OPERATORS:
            raise self._error(position, f"unsupported operator {quote(text)}")
        return text

    def _value(self, *, any_quotes: bool) -> str:
        position, kind, text = self._scanner.scan()
        if kind in {"value", "field"}:
            return text
        if kind == "quoted":
            return self._unquote(position, text, any_quotes=any_quotes)
        raise self._unexpected(position, kind, "expected value or quoted")

    def _unquote(self, position: int, text: str, *, any_quotes: bool) -> str:
        if not any_quotes and text[0] != '"':
            raise self._error(position, "invalid quote encountered")
        try:
            return _unquote(text[1:-1])
        except ValueError:
            raise self._error(
                position, "unquoting failed: quote syntax error"
            ) from None

    def _unexpected(self, position: int, kind: str, text: str) -> ErrInvalidArgument:
        return self._error(position, self._scanner.error if kind == "illegal" else text)

    def _error(self, position: int, reason: str) -> ErrInvalidArgument:
        text = self._scanner.text
        where = text
        if position < len(text):
            where = f"{text[:position]} >|{text[position]}|< {text[position + 1 :]}"
        return ErrInvalidArgument(f"filters: parse error: [{where}]: {reason}")


def _unquote(text: str) -> str:
    """Replace the escapes of a quoted text, which may stand for single bytes."""
    out, position = bytearray(), 0
    for found in _ESCAPE.finditer(text):
        out += text[position : found.start()].encode("utf-8", "surrogatepass")
        out += _escaped(found)
        position = found.end()
    out += text[position:].encode("utf-8", "surrogatepass")
    return out.decode("utf-8", "surrogateescape")


def _escaped(found: "re.Match[str]") -> bytes:
    simple, octal, byte, short, long = found.groups()
    if simple:
        return bytes([_SIMPLE[simple]]) if simple in _SIMPLE else simple.encode()
    if octal or byte:
        return bytes([int(octal, 8) if octal else int(byte, 16)])
    code = int(short or long, 16)
    if code > 0x10FFFF:
        raise ValueError("no such character")
    # As Go: half a surrogate pair is no character.
    return chr(0xFFFD if 0xD800 <= code <= 0xDFFF else code).encode()


def _digit(char: str) -> int:
    return int(char, 16) if char and char in "0123456789abcdefABCDEF" else 16


def _is_field(char: str) -> bool:
    return char == "_" or (char.isascii() and char.isalnum())
