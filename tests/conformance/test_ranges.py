"""conformance/ranges.py: which versions of a client something is said of."""

import pytest

from conformance.ranges import check_range, in_range


@pytest.mark.parametrize(
    ("version", "text", "inside"),
    [
        ("1.9.3", ">=1.2, <2", True),
        ("1.10", ">1.9.9", True),
        ("v1.2.0-rc1+build", "==1.2", True),
        ("2", ">=1.2, <2", False),
        ("1.6.20~ds1", "!=1.6.20", False),
        ("1.6.20~ds1", "<=1.6", False),
    ],
)
def test_version_lies_within_every_bound(version, text, inside):
    check_range(text)
    assert in_range(version, text) is inside


@pytest.mark.parametrize("text", ["1.2", ">=", "~=1.2", ">=1.2 <2", ">=1.2,"])
def test_what_is_no_range(text):
    with pytest.raises(ValueError, match="is no bound like"):
        check_range(text)


def test_version_without_a_number():
    with pytest.raises(ValueError, match="'unknown' has no number"):
        in_range("unknown", "<2")
