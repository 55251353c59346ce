"""The list of what differs for a reason: its form, and that its reasons exist."""

import re
from pathlib import Path

import pytest

from tests.differential.cli import load_scenarios
from tests.differential.compare import Difference
from tests.differential.explained import Explained, read_explained, sort_out

ENTRIES = read_explained()
PLACES = [f"{way}/{item.name}" for item in load_scenarios() for way in item.ways]
DEVIATIONS = Path(__file__).parents[2] / "refimpl/README.md"


def entry(**members) -> Explained:
    fields = {"where": ("fetch/a",), "what": "outcome", "reason": "D1: so"}
    return Explained(**{**fields, **members})


def difference(path="outcome", ours="pulled", theirs="failed") -> Difference:
    return Difference(path=path, ours=ours, theirs=theirs)


def written(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "explained.toml"
    file.write_text(text, encoding="utf-8")
    return file


@pytest.mark.parametrize("item", ENTRIES, ids=str)
def test_every_pattern_is_about_a_scenario(item):
    for pattern in item.where:
        alone = entry(where=(pattern,))
        assert any(alone.meets(place, difference()) for place in PLACES), pattern


def test_deviations_that_are_named_exist():
    table = set(re.findall(r"^\| (D[0-9]+) \|", DEVIATIONS.read_text("utf-8"), re.M))
    named = {
        number
        for item in ENTRIES
        for number in re.findall(r"\bD[0-9]+\b", item.reason.partition(":")[0])
    }
    assert named
    assert named <= table


@pytest.mark.parametrize(
    ("place", "found", "is_met"),
    [
        ("fetch/a", difference(), True),
        ("pull/a", difference(), False),
        ("fetch/ab", difference(), False),
        ("fetch/a", difference(path="outcomes"), False),
        ("fetch/a", difference(path="pull 2: outcome"), False),
    ],
)
def test_place_and_path_must_be_those_of_the_entry(place, found, is_met):
    assert entry().meets(place, found) == is_met


def test_only_the_star_is_special():
    item = entry(what="requests/GET /a?b=[c] *")
    assert item.meets("fetch/a", difference(path="requests/GET /a?b=[c] 200"))
    assert not item.meets("fetch/a", difference(path="requests/GET /axb=c 200"))


def test_values_can_be_asked_for():
    item = entry(ours="pulled", theirs="-")
    assert item.meets("fetch/a", difference(theirs=None))
    assert not item.meets("fetch/a", difference(theirs="failed"))
    assert not item.meets("fetch/a", difference(ours="failed", theirs=None))


def test_differences_are_sorted_out_and_counted():
    item = entry()
    strange = difference(path="leases")
    known, unknown = sort_out("fetch/a", [difference(), strange], [item])
    assert known == item.met == [difference()]
    assert unknown == [strange]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('what = "a"\nreason = "so it is"', "begins with"),
        ('what = "a"\nreason = "1.6: somewhere"', "file and line"),
        ('what = "a"\nreason = "D1: so"\nwhy = "a"', "why: there are"),
        ('what = "a"', "begins with"),
    ],
)
def test_an_entry_without_a_reason_is_refused(tmp_path, text, problem):
    with pytest.raises(ValueError, match=problem):
        read_explained(written(tmp_path, f"[[explained]]\n{text}\n"))


def test_what_may_be_left_out(tmp_path):
    text = '[[explained]]\nwhat = "a"\nreason = "1.6: see content/helpers.go:172"\n'
    (item,) = read_explained(written(tmp_path, text))
    assert item.meets("anywhere/at all", difference(path="a"))
