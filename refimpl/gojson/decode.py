"""Mirrors: Go's encoding/json decode.go, for types that are described here.

A kind says what Go type a value has: :data:`STRING`, :data:`INT64`,
``Slice(STRING)``, ``Struct("v1.Platform", {...})``. What comes out is plain Python:
a struct is a dict with every field, zero values where the document said nothing.

As in Go, keys match in any case, a key that comes twice is decoded twice into the
same value (objects and the elements of arrays merge), ``null`` leaves a plain field
as it is, unknown keys are skipped, and the first value of a wrong type is an error
once all the rest is decoded.

    >>> point = Struct("main.Point", {"x": INT64, "y": INT64})
    >>> decode(b'{"X": 1, "z": {}}', point)
    {'x': 1, 'y': 0}
    >>> decode(b'{"x": "1"}', point)
    Traceback (most recent call last):
    refimpl.gojson.scan.JSONError: json: cannot unmarshal string into Go struct field \
Point.x of type int64
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, Final

from refimpl.gojson.scan import JSONError, Node, Number, Object, clean, parse

__all__ = [
    "BOOL",
    "EMPTY",
    "INT",
    "INT64",
    "RAW",
    "STRING",
    "Custom",
    "Kind",
    "Map",
    "Pointer",
    "Slice",
    "String",
    "Struct",
    "decode",
    "decode_node",
]


# What a kind makes of a document: the kind decides.
Value = Any


def decode(data: bytes, kind: "Kind") -> Value:
    """Return a document as a value of a kind (Go: json.Unmarshal).

    Raises:
        JSONError: the document is not JSON, or a value in it has another type.
    """
    return decode_node(parse(data), kind)


def decode_node(node: Node, kind: "Kind") -> Value:
    """Return a parsed document as a value of a kind.

    Raises:
        JSONError: a value in it has another type.
    """
    state = State()
    value = kind.decode(node, kind.zero(), state)
    if state.error is not None:
        raise state.error
    return value


class State:
    """Where in the document decoding is, and the first error there was."""

    def __init__(self) -> None:
        self.struct = ""
        self.fields: tuple[str, ...] = ()
        self.error: JSONError | None = None

    def mismatch(self, found: str, go_type: str) -> None:
        """Note that a value has the wrong type; decoding goes on."""
        if self.error is not None:
            return
        place = "Go value"
        if self.fields:
            place = f"Go struct field {self.struct}.{'.'.join(self.fields)}"
        self.error = JSONError(
            f"json: cannot unmarshal {found} into {place} of type {go_type}"
        )


class Kind(ABC):
    """A Go type."""

    go_type: str

    @abstractmethod
    def zero(self) -> Value:
        """Return the value before anything is decoded into it."""

    @abstractmethod
    def decode(self, node: Node, old: Value, state: State) -> Value:
        """Return what ``node`` makes of ``old``."""

    def mismatch(self, node: Node, old: Value, state: State) -> Value:
        """Keep ``old``; note an error unless the document says null."""
        if node is not None:
            state.mismatch(_describe(node), self.go_type)
        return old


def _describe(node: Node) -> str:
    if isinstance(node, Object):
        return "object"
    if isinstance(node, list):
        return "array"
    if isinstance(node, Number):
        return "number"
    return "string" if isinstance(node, str) else "bool"


class String(Kind):
    """Text, perhaps of a type of its own: ``String("digest.Digest")``."""

    def __init__(self, go_type: str) -> None:
        self.go_type = go_type

    def zero(self) -> str:
        """Return the empty string."""
        return ""

    def decode(self, node: Node, old: Value, state: State) -> Value:
        """Return the text."""
        if isinstance(node, str) and not isinstance(node, Number):
            return clean(node)
        return self.mismatch(node, old, state)


class _Bool(Kind):
    go_type = "bool"

    def zero(self) -> bool:
        return False

    def decode(self, node: Node, old: Value, state: State) -> Value:
        return node if isinstance(node, bool) else self.mismatch(node, old, state)


class _Int(Kind):
    def __init__(self, go_type: str) -> None:
        self.go_type = go_type

    def zero(self) -> int:
        return 0

    def decode(self, node: Node, old: Value, state: State) -> Value:
        if not isinstance(node, Number):
            return self.mismatch(node, old, state)
        if _INTEGER.fullmatch(node) and -(1 << 63) <= (value := int(node)) < 1 << 63:
            return value
        state.mismatch(f"number {node}", self.go_type)
        return old


# Longer numbers are out of range; Python would refuse to read the longest ones.
_INTEGER: Final = re.compile(r"-?[0-9]{1,19}", re.ASCII)


class _Raw(Kind):
    """Any value as it was parsed (Go: json.RawMessage), or ``RAW.ABSENT``."""

    go_type = "json.RawMessage"
    ABSENT: Final = object()

    def zero(self) -> object:
        return self.ABSENT

    def decode(self, node: Node, old: Value, state: State) -> Value:
        return node


class Custom(Kind):
    """A type with a decoder of its own (Go: json.Unmarshaler).

    Args:
        go_type: the name of the type.
        parse: makes a value of what was parsed; what it raises ends the decoding.
    """

    def __init__(self, go_type: str, parse: Callable[[Node], Value]) -> None:
        self.go_type = go_type
        self._parse = parse

    def zero(self) -> None:
        """Return None."""

    def decode(self, node: Node, old: Value, state: State) -> Value:
        """Return what the decoder makes of ``node``."""
        return old if node is None else self._parse(node)


class Pointer(Kind):
    """A value that may be missing: None is Go's nil."""

    def __init__(self, element: Kind) -> None:
        self._element = element
        self.go_type = f"*{element.go_type}"

    def zero(self) -> None:
        """Return None."""

    def decode(self, node: Node, old: Value, state: State) -> Value:
        """Return None for null, else what the pointer points at."""
        if node is None:
            return None
        if old is None:
            old = self._element.zero()
        return self._element.decode(node, old, state)


class _Elements(list[Value]):
    """A slice, with what its array still holds behind the end.

    Go decodes into that again when a key comes twice, so it shows.
    """

    def __init__(self, elements: list[Value], spare: list[Value]) -> None:
        super().__init__(elements)
        self.spare = spare


class Slice(Kind):
    """A list of values of one kind; None is Go's nil slice."""

    def __init__(self, element: Kind) -> None:
        self._element = element
        self.go_type = f"[]{element.go_type}"

    def zero(self) -> None:
        """Return None."""

    def decode(self, node: Node, old: Value, state: State) -> Value:
        """Return a list, decoded into what was there."""
        if node is None:
            return None
        if not isinstance(node, list) or isinstance(node, Object):
            return self.mismatch(node, old, state)
        if not node:
            return _Elements([], [])
        array = [*old, *old.spare] if old is not None else []
        array.extend(self._element.zero() for _ in range(len(node) - len(array)))
        values = [
            self._element.decode(item, before, state)
            for item, before in zip(node, array, strict=False)
        ]
        return _Elements(values, array[len(values) :])


class Map(Kind):
    """Values of one kind by name; None is Go's nil map."""

    def __init__(self, element: Kind) -> None:
        self._element = element
        self.go_type = f"map[string]{element.go_type}"

    def zero(self) -> None:
        """Return None."""

    def decode(self, node: Node, old: Value, state: State) -> Value:
        """Return a dict; names that were there before stay."""
        if node is None:
            return None
        if not isinstance(node, Object):
            return self.mismatch(node, old, state)
        values = dict(old or {})
        for key, value in node:
            zero = self._element.zero()
            values[clean(key)] = self._element.decode(value, zero, state)
        return values


class Struct(Kind):
    """Named fields, each of its own kind.

    Args:
        go_type: the name with its package, "v1.Manifest".
        fields: the kind of every field by its JSON name, in Go's order.
    """

    def __init__(self, go_type: str, fields: Mapping[str, Kind]) -> None:
        self.go_type = go_type
        self.name = go_type.rpartition(".")[2]
        self.fields = dict(fields)
        self._folded = {_fold(name): name for name in fields}

    def zero(self) -> dict[str, Value]:
        """Return every field with its zero value."""
        return {name: kind.zero() for name, kind in self.fields.items()}

    def decode(self, node: Node, old: Value, state: State) -> Value:
        """Return the fields, decoded into what was there."""
        if not isinstance(node, Object):
            return self.mismatch(node, old, state)
        values = dict(old)
        outer = state.struct, state.fields
        for key, value in node:
            name = key if key in self.fields else self._folded.get(_fold(key))
            if name is None:
                continue
            state.struct, state.fields = self.name, (*outer[1], name)
            values[name] = self.fields[name].decode(value, values[name], state)
            state.struct, state.fields = outer
        return values


_FOLDS: Final = str.maketrans(
    {"\N{LATIN SMALL LETTER LONG S}": "s", "\N{KELVIN SIGN}": "k"}
    | {chr(upper): chr(upper + 32) for upper in range(ord("A"), ord("Z") + 1)}
)


def _fold(name: str) -> str:
    """Return what equal names have in common (fold.go): ASCII case, long s, Kelvin."""
    return name.translate(_FOLDS)


STRING: Final = String("string")
BOOL: Final = _Bool()
INT: Final = _Int("int")
INT64: Final = _Int("int64")
RAW: Final = _Raw()
EMPTY: Final = Struct("struct {}", {})
