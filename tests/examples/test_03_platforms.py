"""Lesson 3: which image of an index a machine gets.

A matcher answers two questions: will this one run here (`match`), and which of two runs
better (`less`). An index is filtered by the first and sorted by the second.
"""

from functools import cmp_to_key

from refimpl.platforms import format_platform, normalize, only, only_strict, parse


def best_first(matcher, names):
    """Leave out what does not run, and sort the rest as an index is sorted."""

    def compare(a, b):
        return matcher.less(b, a) - matcher.less(a, b)

    running = filter(matcher.match, map(parse, names))
    return list(map(format_platform, sorted(running, key=cmp_to_key(compare))))


def test_platforms():
    # Names have more than one spelling.
    assert format_platform(parse("x86_64")) == "linux/amd64"
    assert format_platform(normalize(parse("linux/arm"))) == "linux/arm/v7"

    # A processor runs what its predecessors ran, and prefers its own.
    names = ["linux/arm/v5", "linux/arm/v7", "linux/amd64", "linux/arm/v6"]
    armv7 = only(parse("linux/arm/v7"))
    assert best_first(armv7, names) == ["linux/arm/v7", "linux/arm/v6", "linux/arm/v5"]

    # Other systems and processors never match; nor do older ones, if one is strict.
    assert not armv7.match(parse("windows/arm/v7"))
    assert not only_strict(parse("linux/arm/v7")).match(parse("linux/arm/v6"))
