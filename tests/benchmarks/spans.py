"""Times that overlap."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["covered"]


def covered(spans: Iterable[tuple[float, float]], began: float, ended: float) -> float:
    """Return how much of a time is in at least one span."""
    total, reached = 0.0, began
    for start, stop in sorted(spans):
        first, last = max(start, reached), min(stop, ended)
        if last > first:
            total += last - first
            reached = last
    return total
