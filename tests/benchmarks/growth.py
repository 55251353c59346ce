"""Whether the cost of an item stays what it is when there are many of them.

    growth = Growth(
        name="scaling.layers",
        title="layers of one image",
        items="layers",
        points=(Point(10, (0.05, 0.06)), Point(1000, (2.1, 2.2))),
    )
    assert growth.factor == pytest.approx(0.39, abs=0.01)

A fixed cost makes the first sizes look dear: what each item costs beyond those of
the size before is given, too.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Growth", "Point"]

#: The size from which on a fixed cost does not hide everything else.
_FROM: Final = 10


@dataclass(frozen=True, slots=True)
class Point:
    """All rounds of one size.

    Attributes:
        size: How many items there are.
        seconds: What all took, round by round.
        shared: Whether they are shared by all items; or by one that came to them.
    """

    size: int
    seconds: Sequence[float]
    shared: bool = True

    @property
    def total(self) -> float:
        """The median of the rounds, in seconds."""
        return statistics.median(self.seconds)

    @property
    def each(self) -> float:
        """What an item takes, in seconds."""
        return self.total / self.size if self.shared else self.total


@dataclass(frozen=True, slots=True, kw_only=True)
class Growth:
    """What a number of items takes, for several numbers.

    Attributes:
        items: What is counted.
        points: By size, the smallest first.
        most: How many times as much an item may take at the largest size as at the
            smallest of ten or more; None: nothing is wanted.
    """

    name: str
    title: str
    items: str
    points: Sequence[Point]
    most: float | None = 2.0
    notes: Sequence[str] = ()

    @property
    def factor(self) -> float | None:
        """How many times as much an item takes where there are most of them.

        None where less than two sizes are large enough.
        """
        large = [point for point in self.points if point.size >= _FROM]
        return large[-1].each / large[0].each if len(large) > 1 else None

    @property
    def well(self) -> bool | None:
        """Whether it grows no more than it may; None: nothing is wanted."""
        if self.most is None or self.factor is None:
            return None
        return self.factor <= self.most

    def more(self) -> list[float | None]:
        """Return what an item took beyond those of the size before, by size."""
        later = [
            (point.total - before.total) / (point.size - before.size)
            if point.shared
            else None
            for before, point in pairwise(self.points)
        ]
        return [None, *later]

    def to_json(self) -> dict[str, Any]:
        """Return it as plain data; times are seconds."""
        return {
            "name": self.name,
            "title": self.title,
            "items": self.items,
            "points": [
                {
                    "size": point.size,
                    "median": point.total,
                    "low": min(point.seconds),
                    "high": max(point.seconds),
                    "values": list(point.seconds),
                    "each": point.each,
                    "each_more": more,
                }
                for point, more in zip(self.points, self.more(), strict=True)
            ],
            "factor": self.factor,
            "most": self.most,
            "reached": self.well,
            "notes": list(self.notes),
        }
