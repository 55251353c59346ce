"""Mirrors: containerd v1.5.18 platforms.

Which platform an image is for, which one is wanted, and which of several is best.

>>> wanted = only(parse("linux/arm64"))
>>> [wanted.match(parse(p)) for p in ("linux/arm64/v8", "linux/arm/v7", "linux/amd64")]
[True, True, False]
"""

from refimpl.platforms.compare import (
    ALL,
    MatchComparer,
    any_,
    default,
    default_strict,
    only,
    only_strict,
    ordered,
)
from refimpl.platforms.platforms import (
    Matcher,
    default_spec,
    default_string,
    format_platform,
    new_matcher,
    normalize,
    parse,
)

__all__ = [
    "ALL",
    "MatchComparer",
    "Matcher",
    "any_",
    "default",
    "default_spec",
    "default_strict",
    "default_string",
    "format_platform",
    "new_matcher",
    "normalize",
    "only",
    "only_strict",
    "ordered",
    "parse",
]
