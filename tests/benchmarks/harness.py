"""How things are compared: interleaved rounds, medians, ratios.

What is compared runs in the same rounds, one after the other, so that a machine
that slows down slows all of them down. Nobody always follows the same one: the
order changes from round to round. The median stands for the rounds; lowest and
highest say how far to trust it. Rates of a shared machine drift: only ratios
inside one run mean anything.

    took = interleave({"ours": pull, "theirs": copy}, rounds=5)
    figure = Figure(
        name="pull.one-layer",
        title="one layer",
        unit="s",
        rows=(Row("ours", took["ours"]), Row("theirs", took["theirs"], peer=True)),
        goals=(Goal("ours", "theirs", most=0.5),),
    )
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

__all__ = ["BenchError", "Figure", "Goal", "Ratio", "Row", "Sample", "interleave"]

T = TypeVar("T")


class BenchError(Exception):
    """Something that was to be measured did not work."""


def order(names: Sequence[str], number: int) -> list[str]:
    """Return who comes when in a round.

    Every second round goes backwards, every two rounds start one place further on:
    with two, A B and B A have equal shares; with three, all six orders come up.
    """
    start = number // 2 % len(names) if names else 0
    turned = [*names[start:], *names[:start]]
    return turned[::-1] if number % 2 else turned


def interleave(
    contestants: Mapping[str, Callable[[], T]],
    *,
    rounds: int,
    warm_up: int = 1,
    tell: Callable[[str], object] = lambda _: None,
) -> dict[str, list[T]]:
    """Run every contestant once a round; return what each gave, round by round.

    Args:
        contestants: What runs, by name.
        rounds: How many rounds count.
        warm_up: How many go before them and do not.
        tell: Is told who runs, and in which round.
    """
    results: dict[str, list[T]] = {name: [] for name in contestants}
    for number in range(-warm_up, rounds):
        for name in order(list(contestants), max(number, 0)):
            tell(f"{name}, round {number + 1}" if number >= 0 else f"{name}, warm-up")
            result = contestants[name]()
            if number >= 0:
                results[name].append(result)
    return results


@dataclass(frozen=True, slots=True)
class Sample:
    """One round of one contestant.

    Attributes:
        value: In the unit of the figure.
        cpu: Seconds of all processors, if known.
        peak: The most memory it had, in bytes, if known.
    """

    value: float
    cpu: float | None = None
    peak: int | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """All rounds of one contestant; a peer is what ours are compared with."""

    name: str
    samples: Sequence[Sample]
    peer: bool = False

    @property
    def values(self) -> list[float]:
        """The values, round by round."""
        return [sample.value for sample in self.samples]

    @property
    def median(self) -> float:
        """The value in the middle."""
        return statistics.median(self.values)

    @property
    def cpu(self) -> float | None:
        """The median of the processor seconds."""
        known = [sample.cpu for sample in self.samples if sample.cpu is not None]
        return statistics.median(known) if known else None

    @property
    def peak(self) -> int | None:
        """The highest peak of all rounds."""
        return max((s.peak for s in self.samples if s.peak is not None), default=None)

    def to_json(self) -> dict[str, Any]:
        """Return the row as plain data."""
        return {
            "name": self.name,
            "peer": self.peer,
            "median": self.median,
            "low": min(self.values),
            "high": max(self.values),
            "values": self.values,
            "cpu_seconds": self.cpu,
            "peak_bytes": self.peak,
        }


@dataclass(frozen=True, slots=True)
class Goal:
    """A figure to reach: the ratio to a peer, or without one the median itself."""

    ours: str
    peer: str | None = None
    least: float | None = None
    most: float | None = None

    def reached(self, value: float) -> bool:
        """Whether a value is as good as it is to be."""
        return (self.least is None or value >= self.least) and (
            self.most is None or value <= self.most
        )

    def __str__(self) -> str:
        if self.least is not None:
            return f">= {self.least:g}"
        return f"<= {self.most:g}"


@dataclass(frozen=True, slots=True)
class Ratio:
    """One of ours over one peer.

    Attributes:
        value: Median over median.
        low: The lowest ratio of two values of one round; high: the highest.
    """

    ours: str
    peer: str
    value: float
    low: float
    high: float

    @classmethod
    def of(cls, ours: Row, peer: Row) -> Ratio:
        """Compare two rows of the same rounds."""
        paired = [
            mine / theirs for mine, theirs in zip(ours.values, peer.values, strict=True)
        ]
        return cls(
            ours=ours.name,
            peer=peer.name,
            value=ours.median / peer.median,
            low=min(paired),
            high=max(paired),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """What one comparison gave.

    Attributes:
        compared: Whether ratios say anything; they do not of differences.
    """

    name: str
    title: str
    unit: str
    rows: Sequence[Row] = ()
    goals: Sequence[Goal] = ()
    notes: Sequence[str] = field(default_factory=tuple)
    compared: bool = True

    def ratios(self) -> list[Ratio]:
        """Return every one of ours over every peer."""
        if not self.compared:
            return []
        ours = [row for row in self.rows if not row.peer]
        peers = [row for row in self.rows if row.peer]
        return [Ratio.of(mine, theirs) for mine in ours for theirs in peers]

    def goal(self, ours: str, peer: str | None) -> Goal | None:
        """Return what a ratio, or without a peer a median, is to reach."""
        for goal in self.goals:
            if (goal.ours, goal.peer) == (ours, peer):
                return goal
        return None

    def to_json(self) -> dict[str, Any]:
        """Return the figure as plain data."""
        return {
            "name": self.name,
            "title": self.title,
            "unit": self.unit,
            "rows": [
                {**row.to_json(), **self._judged(row.name, None, row.median)}
                for row in self.rows
            ],
            "ratios": [
                {
                    "ours": ratio.ours,
                    "peer": ratio.peer,
                    "value": ratio.value,
                    "low": ratio.low,
                    "high": ratio.high,
                    **self._judged(ratio.ours, ratio.peer, ratio.value),
                }
                for ratio in self.ratios()
            ],
            "notes": list(self.notes),
        }

    def _judged(self, ours: str, peer: str | None, value: float) -> dict[str, Any]:
        goal = self.goal(ours, peer)
        if goal is None:
            return {}
        return {"goal": str(goal), "reached": goal.reached(value)}
