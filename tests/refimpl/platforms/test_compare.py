"""platforms/compare.go."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refimpl.descriptor import Platform
from refimpl.platforms import ALL, any_, only, only_strict, ordered, parse

platforms = st.builds(
    Platform,
    os=st.sampled_from(["linux", "windows"]),
    architecture=st.sampled_from(["amd64", "386", "arm", "arm64", "s390x"]),
    variant=st.sampled_from(["", "v5", "v6", "v7", "v8", "v9"]),
)
comparers = st.one_of(
    st.builds(only, platforms),
    st.builds(only_strict, platforms),
    st.lists(platforms, max_size=3).map(lambda some: ordered(*some)),
    st.lists(platforms, max_size=3).map(lambda some: any_(*some)),
    st.just(ALL),
)


def accepted(wanted, *candidates):
    """Return the candidates that only() takes, best first."""
    matcher = only(parse(wanted))
    found = [c for c in candidates if matcher.match(parse(c))]
    best = []
    while found:
        first = next(
            a for a in found if not any(matcher.less(parse(b), parse(a)) for b in found)
        )
        best.append(first)
        found.remove(first)
    return best


@pytest.mark.parametrize(
    ("wanted", "best"),
    [
        ("linux/amd64", ["linux/amd64", "linux/386"]),
        ("linux/386", ["linux/386"]),
        ("linux/arm/v7", ["linux/arm/v7", "linux/arm/v6", "linux/arm/v5"]),
        ("linux/arm/v6", ["linux/arm/v6", "linux/arm/v5"]),
        (
            "linux/arm64",
            ["linux/arm64"] + [f"linux/arm/v{v}" for v in (8, 7, 6, 5)],
        ),
        ("linux/s390x", []),
    ],
)
def test_only_takes_what_runs_on_a_platform(wanted, best):
    candidates = ["linux/386", "linux/arm64", "linux/amd64", "linux/amd64/v2"]
    candidates += [f"linux/arm/v{v}" for v in (4, 5, 6, 7, 8)]
    assert accepted(wanted, *candidates) == best


@pytest.mark.parametrize(
    "variant", ["v4000000000", "vv7", "v7x", "v\N{ARABIC-INDIC DIGIT SEVEN}"]
)
def test_a_variant_that_is_no_number_matches_itself_only(variant):
    """Deviation D22: nobody waits for four billion matchers."""
    wanted = Platform(os="linux", architecture="arm", variant=variant)
    assert only(wanted).match(wanted)
    assert not only(wanted).match(parse("linux/arm/v5"))


@given(comparers, platforms, platforms, platforms)
def test_less_is_an_order(comparer, a, b, c):
    assert not comparer.less(a, a)
    assert not (comparer.less(a, b) and comparer.less(b, a))
    if comparer.less(a, b) and comparer.less(b, c):
        assert comparer.less(a, c)


@given(comparers, platforms, platforms)
def test_no_mismatch_is_better_than_a_match(comparer, a, b):
    if comparer.less(a, b):
        assert comparer.match(a)


@given(platforms, platforms)
def test_strict_is_only_without_the_others(wanted, other):
    if only_strict(wanted).match(other):
        assert only(wanted).match(other)


def test_any_prefers_none():
    matcher = any_(parse("linux/amd64"), parse("linux/arm64"))
    assert not matcher.less(parse("linux/amd64"), parse("linux/arm64"))
    assert matcher.less(parse("linux/arm64"), parse("linux/s390x"))
