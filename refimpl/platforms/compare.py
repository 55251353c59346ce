"""Mirrors: containerd v1.5.18 platforms/compare.go, platforms/defaults_unix.go.

What a user asks for becomes a matcher that also says which of two matches is
better, so that an index yields the best manifest and not just any.

>>> from refimpl.platforms import parse
>>> only(parse("linux/arm/v7")).match(parse("linux/arm/v6"))
True
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final, Protocol

from refimpl.descriptor import Platform
from refimpl.platforms.platforms import (
    Matcher,
    default_spec,
    new_matcher,
    normalize,
)

__all__ = [
    "ALL",
    "MatchComparer",
    "any_",
    "default",
    "default_strict",
    "only",
    "only_strict",
    "ordered",
]

_VERSION: Final = re.compile(r"[+-]?[0-9]{1,3}", re.ASCII)


class MatchComparer(Matcher, Protocol):
    """A matcher that also sorts (compare.go:28)."""

    def less(self, a: Platform, b: Platform, /) -> bool:
        """Return whether ``a`` is to be preferred to ``b``."""
        ...


def only(platform: Platform) -> MatchComparer:
    """Match a platform and those that its processors run as well (compare.go:95).

    arm/v7 also matches v6 and v5, arm64 all of arm from v8 down, amd64 also 386;
    the platform itself comes first.
    """
    return ordered(*_platform_vector(normalize(platform)))


def only_strict(platform: Platform) -> MatchComparer:
    """Match a platform in any spelling, and nothing else (compare.go:107)."""
    return ordered(platform)


def ordered(*platforms: Platform) -> MatchComparer:
    """Match any of the platforms and prefer the earlier ones (compare.go:113)."""
    return _Ordered(tuple(map(new_matcher, platforms)))


def any_(*platforms: Platform) -> MatchComparer:
    """Match any of the platforms and prefer none (compare.go:125, Any)."""
    return _Any(tuple(map(new_matcher, platforms)))


def default() -> MatchComparer:
    """Match what this host runs (defaults_unix.go:22)."""
    return only(default_spec())


def default_strict() -> MatchComparer:
    """Match exactly this host's platform (defaults.go:41)."""
    return only_strict(default_spec())


def _platform_vector(platform: Platform) -> Iterator[Platform]:
    """Yield a normalised platform and what else runs on it, best first."""
    yield platform
    if platform.architecture == "amd64":
        yield replace(platform, architecture="386")
    elif platform.architecture == "arm":
        for version in range(_arm_version(platform.variant) - 1, 4, -1):
            yield replace(platform, variant=f"v{version}")
    elif platform.architecture == "arm64":
        arm = replace(platform, architecture="arm", variant=platform.variant or "v8")
        yield from _platform_vector(arm)


def _arm_version(variant: str) -> int:
    """Return the number in a variant such as v7, or 0 if there is none."""
    # DEVIATION D26: containerd counts down from any number that the variant holds,
    # a matcher a step (platforms/compare.go:51): v4000000000 takes all memory.
    # ARM is at 9; longer numbers are none here.
    digits = variant.removeprefix("v")
    return int(digits) if _VERSION.fullmatch(digits) else 0


@dataclass(frozen=True, slots=True)
class _Ordered:
    """Prefers what an earlier matcher takes (compare.go:141)."""

    matchers: Sequence[Matcher]

    def match(self, platform: Platform, /) -> bool:
        """Return whether any matcher takes the platform."""
        return any(m.match(platform) for m in self.matchers)

    def less(self, a: Platform, b: Platform, /) -> bool:
        """Let the first matcher that takes either decide."""
        for m in self.matchers:
            takes_a, takes_b = m.match(a), m.match(b)
            if takes_a or takes_b:
                return takes_a and not takes_b
        return False


@dataclass(frozen=True, slots=True)
class _Any:
    """Prefers a match to none (compare.go:168)."""

    matchers: Sequence[Matcher]

    def match(self, platform: Platform, /) -> bool:
        """Return whether any matcher takes the platform."""
        return any(m.match(platform) for m in self.matchers)

    def less(self, a: Platform, b: Platform, /) -> bool:
        """Return whether only ``a`` matches."""
        return self.match(a) and not self.match(b)


@dataclass(frozen=True, slots=True)
class _All:
    """Takes everything in the order in which it comes (compare.go:202)."""

    def match(self, _platform: Platform, /) -> bool:
        """Return True."""
        return True

    def less(self, _a: Platform, _b: Platform, /) -> bool:
        """Return False."""
        return False


ALL: Final[MatchComparer] = _All()
