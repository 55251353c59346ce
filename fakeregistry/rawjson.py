"""Documents that no serialiser writes: keys twice, keys in other cases, odd numbers.

    def twice(document):
        return raw_json(duplicated(document, "layers", []))

    build_image(edit_manifest=twice)

Parsers disagree on these: RFC 8259 section 4 calls what they do with duplicate
names unpredictable, and Go's encoding/json takes keys of any case.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["Members", "Verbatim", "duplicated", "raw_json", "renamed"]


@dataclass(frozen=True, slots=True)
class Verbatim:
    """JSON text that is written as it is, such as ``1e3`` or ``NaN``."""

    text: str


class Members(tuple[tuple[str, Any], ...]):
    """An object as its members, in order; a name may come again."""

    __slots__ = ()


def raw_json(value: object) -> bytes:
    """Write compact JSON of the usual values, ``Members`` and ``Verbatim``."""
    return _text(value).encode("utf-8", "surrogatepass")


def duplicated(
    document: Mapping[str, Any] | Members,
    key: str,
    value: object,
    *,
    first: bool = False,
) -> Members:
    """Add a member, behind the others or before them, whether or not it is there."""
    added = ((key, value),)
    members = tuple(_members(document))
    return Members((*added, *members) if first else (*members, *added))


def renamed(document: Mapping[str, Any] | Members, names: Mapping[str, str]) -> Members:
    """Give members other names, such as ``{"layers": "LAYERS"}``.

    Raises:
        ValueError: The document has no member of one of the old names.
    """
    members = tuple(_members(document))
    if missing := set(names).difference(key for key, _ in members):
        raise ValueError(f"the document has no member {min(missing)!r}")
    return Members((names.get(key, key), value) for key, value in members)


def _text(value: object) -> str:
    if isinstance(value, Verbatim):
        return value.text
    if isinstance(value, (Members, Mapping)):
        members = (f"{_plain(key)}:{_text(item)}" for key, item in _members(value))
        return f"{{{','.join(members)}}}"
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes, bytearray)):
        return f"[{','.join(_text(item) for item in value)}]"
    return _plain(value)


def _members(document: Mapping[str, Any] | Members) -> Iterable[tuple[str, Any]]:
    return document if isinstance(document, Members) else document.items()


def _plain(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
