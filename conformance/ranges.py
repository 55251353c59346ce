"""Ranges of a client's versions: ">=1.2, <2".

Clients number their versions as they like ("1.9.3", "4.3.1-rhel", "v0.12"); what is
compared are the numbers at the start.
"""

import re
from collections.abc import Callable, Mapping
from itertools import zip_longest
from operator import eq, ge, gt, le, lt, ne
from typing import Final

__all__ = ["check_range", "in_range"]

_NUMBERS: Final = re.compile(r"v?(\d+(?:\.\d+)*)")
_BOUND: Final = re.compile(r"(>=|<=|==|!=|>|<)\s*v?(\d+(?:\.\d+)*)")
_COMPARISONS: Final[Mapping[str, Callable[[int, int], bool]]] = {
    ">=": ge,
    "<=": le,
    "==": eq,
    "!=": ne,
    ">": gt,
    "<": lt,
}


def check_range(text: str) -> None:
    """Make sure that a text is a range.

    Raises:
        ValueError: It is none.
    """
    for part in text.split(","):
        if not _BOUND.fullmatch(part.strip()):
            raise ValueError(f"{part.strip()!r} is no bound like '>=1.2' or '<2'")


def in_range(version: str, text: str) -> bool:
    """Say whether a version lies within every bound of a range.

    Raises:
        ValueError: The version has no numbers to compare.
    """
    found = _NUMBERS.match(version)
    if found is None:
        raise ValueError(f"{version!r} has no number to compare with {text!r}")
    return all(
        _COMPARISONS[bound[1]](_compare(found[1], bound[2]), 0)
        for bound in _BOUND.finditer(text)
    )


def _compare(one: str, other: str) -> int:
    """Return -1, 0 or 1; 1.2 and 1.2.0 are equal."""
    pairs = zip_longest(
        map(int, one.split(".")), map(int, other.split(".")), fillvalue=0
    )
    return next(((a > b) - (a < b) for a, b in pairs if a != b), 0)
