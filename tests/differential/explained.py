"""Differences that are meant, each with its reason.

explained.toml has a table for each:

    [[explained]]
    where = "*/token-*"             # WAY/SCENARIO
    what = "requests/POST /token*"  # path of the fact
    ours = "*"                      # its value with refimpl; "-" where it has none
    theirs = "*"                    # the same for containerd
    reason = "D4: ..."

All but ``reason`` are shell patterns in which only ``*`` is special, and ``*`` where
they are missing; ``where`` may be a list. A reason says what the difference comes
from: ``1.6:`` (a change after v1.5.18, with file and line of v1.6.20), ``ctr:`` or
``cri:`` (what these callers ask for), or ``Dn:`` (a deviation of refimpl/README.md).
"""

import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from tests.differential.compare import Difference

__all__ = ["Explained", "read_explained", "sort_out"]

FILE: Final = Path(__file__).with_name("explained.toml")
_SOURCE: Final = re.compile(r"(1\.6|ctr|cri|D[0-9]+(, D[0-9]+)*): \S")
_LINE: Final = re.compile(r"\w\.go:[0-9]+")
_KEYS: Final = ("where", "what", "ours", "theirs", "reason")


@dataclass(slots=True, kw_only=True)
class Explained:
    """An entry of the list, and what it has explained so far."""

    where: Sequence[str]
    what: str
    reason: str
    ours: str = "*"
    theirs: str = "*"
    met: list[Difference] = field(default_factory=list)

    def meets(self, place: str, difference: Difference) -> bool:
        """Say whether this is why the clients differ."""
        values = (
            (self.ours, "-" if difference.ours is None else difference.ours),
            (self.theirs, "-" if difference.theirs is None else difference.theirs),
        )
        return (
            any(_matches(pattern, place) for pattern in self.where)
            and _matches(self.what, difference.path)
            and all(_matches(pattern, value) for pattern, value in values)
        )

    def concerns(self, places: Iterable[str]) -> bool:
        """Say whether one of the places played is meant."""
        return any(_matches(pattern, item) for pattern in self.where for item in places)

    def __str__(self) -> str:
        return f"{', '.join(self.where)}: {self.what}: {self.reason}"


def read_explained(file: Path = FILE) -> tuple[Explained, ...]:
    """Read the list.

    Raises:
        ValueError: An entry is not formed as the module's docstring says.
    """
    entries = tomllib.loads(file.read_text(encoding="utf-8")).get("explained", [])
    return tuple(_entry(entry) for entry in entries)


def _entry(entry: Mapping[str, Any]) -> Explained:
    for key in entry:
        if key not in _KEYS:
            raise ValueError(f"{key}: there are {', '.join(_KEYS)}")
    reason = entry.get("reason", "")
    source = _SOURCE.match(reason)
    if source is None:
        raise ValueError(f"reason {reason!r}: begins with 1.6:, ctr:, cri: or Dn:")
    if source[1] == "1.6" and not _LINE.search(reason):
        raise ValueError(f"reason {reason!r}: file and line of v1.6.20 are missing")
    where = entry.get("where", "*")
    return Explained(
        where=(where,) if isinstance(where, str) else tuple(where),
        what=entry["what"],
        reason=reason,
        ours=entry.get("ours", "*"),
        theirs=entry.get("theirs", "*"),
    )


def sort_out(
    place: str, found: Iterable[Difference], explained: Sequence[Explained]
) -> tuple[list[Difference], list[Difference]]:
    """Return the differences that are explained, and those that are not."""
    known: list[Difference] = []
    unknown: list[Difference] = []
    for difference in found:
        entry = next((e for e in explained if e.meets(place, difference)), None)
        if entry is None:
            unknown.append(difference)
        else:
            entry.met.append(difference)
            known.append(difference)
    return known, unknown


@lru_cache(maxsize=512)
def _pattern(pattern: str) -> re.Pattern[str]:
    return re.compile(".*".join(map(re.escape, pattern.split("*"))), re.DOTALL)


def _matches(pattern: str, text: str) -> bool:
    return _pattern(pattern).fullmatch(text) is not None
