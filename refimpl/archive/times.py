"""Mirrors: containerd v1.5.18 archive/time.go."""

from typing import Final

__all__ = ["bound_time", "latest_time"]

# time.go:31: what fits into 64 bits of nanoseconds, up to the year 2262.
_MAX_TIME: Final = (1 << 63) - 1


def bound_time(time: int) -> int:
    """Return a time in nanoseconds since 1970, or 0 for one out of bounds."""
    return time if 0 <= time <= _MAX_TIME else 0


def latest_time(first: int | None, second: int) -> int:
    """Return the later of two times; the first may be unknown."""
    return second if first is None or first < second else first
