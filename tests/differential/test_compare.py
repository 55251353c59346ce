"""What differs is found, and said in one line."""

from hypothesis import given
from hypothesis import strategies as st

from tests.differential.compare import Difference, differences, without

FACTS = st.dictionaries(st.text("ab/", max_size=4), st.text("xy", max_size=2))


def test_values_that_differ_and_facts_that_are_missing():
    found = differences({"a": "1", "b": "2", "c": "3"}, {"a": "1", "b": "9", "d": "4"})
    assert [str(item) for item in found] == [
        "b: refimpl 2, containerd 9",
        "c: refimpl 3, containerd -",
        "d: refimpl -, containerd 4",
    ]


@given(FACTS)
def test_nobody_differs_from_himself(facts):
    assert differences(facts, facts) == ()


@given(FACTS, FACTS)
def test_everything_that_differs_is_found(ours, theirs):
    found = {item.path: (item.ours, item.theirs) for item in differences(ours, theirs)}
    for path in {*ours, *theirs}:
        pair = (ours.get(path), theirs.get(path))
        assert found.get(path, (pair[0], pair[0])) == pair
    assert set(found) <= {*ours, *theirs}


def test_sides_are_not_mixed_up():
    (found,) = differences({"a": "ours"}, {"a": "theirs"})
    assert found == Difference(path="a", ours="ours", theirs="theirs")


def test_what_is_not_sure_is_left_out():
    facts = {
        "content/<config>": "1",
        "content/<layer 0>": "2",
        "requests/GET <config>": "3",
        "order": "4",
    }
    assert without(facts, ["<config>"]) == {"content/<layer 0>": "2"}
    assert without(facts, []) == facts


def test_what_is_not_sure_of_one_kind_is_left_out():
    facts = {"content/<config>": "1", "pull 2: requests/GET <config>": "3"}
    assert without(facts, ["<config>"], of="requests") == {"content/<config>": "1"}
