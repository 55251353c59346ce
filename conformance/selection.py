"""Which cases run, and in which order.

What was asked for with -k, --case, --area and --level is selected; a selected
case brings its twin along, since without it a rejection proves nothing. Twins
come first, client by client.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from conformance.case import Case, Level, case_of, twins

if TYPE_CHECKING:
    import pytest


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What the options ask for; empty means everything."""

    cases: frozenset[str] = frozenset()
    areas: frozenset[str] = frozenset()
    levels: frozenset[Level] = frozenset()

    def has(self, made: Case) -> bool:
        """Say whether a case is asked for."""
        return (
            (not self.cases or made.id in self.cases)
            and (not self.areas or made.area in self.areas)
            and (not self.levels or made.level in self.levels)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Shard:
    """A part of a run: every ``count``-th case, beginning with the ``number``-th."""

    number: int
    count: int

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"


def parse_shard(text: str | None) -> Shard | None:
    """Return the shard that a text like "1/4" names, None if there is no text.

    Raises:
        ValueError: It names none.
    """
    if text is None:
        return None
    number, _, count = text.partition("/")
    if not (
        number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count)
    ):
        raise ValueError(f"{text!r} is no shard like 1/4")
    return Shard(number=int(number), count=int(count))


def wanted(
    suite: Mapping[str, Case],
    *,
    cases: Sequence[str] = (),
    areas: Sequence[str] = (),
    levels: Sequence[str] = (),
) -> Wanted:
    """Check what the options name.

    Raises:
        ValueError: There is no such case, area or level; the text is one line.
    """
    known_areas = sorted({made.area for made in suite.values()})
    _check("case", cases, suite, "`pull-conformance cases` lists them")
    _check("area", areas, known_areas, f"there are {', '.join(known_areas)}")
    _check("level", levels, list(Level), f"there are {', '.join(Level)}")
    return Wanted(
        cases=frozenset(cases),
        areas=frozenset(areas),
        levels=frozenset(Level(level) for level in levels),
    )


def _check(what: str, names: Sequence[str], known: object, hint: str) -> None:
    for name in names:
        if name not in known:  # type: ignore[operator]
            raise ValueError(f"unknown {what} {name!r}; {hint}")


def client_of(item: "pytest.Item") -> str:
    """Return the name of the client that an item runs."""
    callspec = getattr(item, "callspec", None)
    return "" if callspec is None else str(callspec.params.get("bench", ""))


def item_case(item: "pytest.Item") -> Case | None:
    """Return the case of an item, None if it is an ordinary test."""
    return case_of(getattr(item, "function", None))


def with_twins(
    selected: Sequence["pytest.Item"], everything: Sequence["pytest.Item"]
) -> list["pytest.Item"]:
    """Return the selected items and the twins they need, in order to run."""
    index = {
        (client_of(item), made.id): item
        for item in everything
        if (made := item_case(item)) is not None
    }
    suite = {made.id: made for item in everything if (made := item_case(item))}
    chosen = {id(item) for item in selected}
    depth: dict[int, int] = {}
    for item in everything:
        made = item_case(item)
        line = [] if made is None else list(twins(made, suite))
        depth[id(item)] = len(line)
        if id(item) in chosen:
            found = (index.get((client_of(item), twin)) for twin in line)
            chosen.update(id(twin) for twin in found if twin is not None)
    clients = list(dict.fromkeys(client_of(item) for item in everything))
    return sorted(
        (item for item in everything if id(item) in chosen),
        key=lambda item: (clients.index(client_of(item)), depth[id(item)]),
    )


def in_shard(
    items: Sequence["pytest.Item"], shard: Shard | None
) -> list["pytest.Item"]:
    """Return the items of one shard; a case is in one, whatever the clients.

    A case and its twin may fall into two: they are judged where reports are merged.
    """
    if shard is None:
        return list(items)
    cases = sorted({made.id for item in items if (made := item_case(item)) is not None})
    mine = set(cases[shard.number - 1 :: shard.count])
    return [
        item for item in items if (made := item_case(item)) is None or made.id in mine
    ]


def duplicates(items: Sequence["pytest.Item"]) -> str | None:
    """Name a case that would run twice with one client."""
    seen = set()
    for item in items:
        made = item_case(item)
        if made is None:
            continue
        key = (client_of(item), made.id)
        if key in seen:
            return made.id
        seen.add(key)
    return None
