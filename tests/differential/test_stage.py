"""Pulls that ended in different ways, and pulls that left something open."""

import pytest

from tests.differential.stage import SCENARIOS, Outcome, Played, scenario


def played(said=None, unsure=(), loose=(), **facts) -> Played:
    outcome = "pulled" if said is None else "failed, no class"
    return Played(
        number=1,
        facts={"outcome": outcome, **facts},
        said=said,
        as_told=True,
        unsure=unsure,
        loose=loose,
    )


def paths(ours, theirs) -> list[str]:
    return [item.path for item in ours.differences(theirs)]


def test_equal_pulls_do_not_differ():
    assert paths(played(leases="0 left"), played(leases="0 left")) == []


def test_if_one_fails_that_is_the_difference():
    ours, theirs = played(leases="0 left"), played("it broke", leases="1 left")
    (found,) = ours.differences(theirs)
    assert (found.ours, found.theirs) == ("pulled", "failed, no class")


def test_what_may_be_there_or_not_counts_if_both_succeed():
    ours, theirs = played(unsure=("<x>",)), played(unsure=("<x>",), **{"<x>": "1"})
    assert paths(ours, theirs) == ["<x>"]


def test_what_may_be_there_or_not_does_not_count_if_both_fail():
    facts = {"content/<x>": "1", "content/<y>": "1"}
    ours = played("no", unsure=("<x>",))
    assert paths(ours, played("no", unsure=("<x>",), **facts)) == ["content/<y>"]


def test_after_a_failure_what_was_open_may_be_asked_for_or_not():
    facts = {"requests/GET <x>": "1", "content/<x>": "1"}
    ours = played(loose=("<x>",))
    assert paths(ours, played(loose=("<x>",), **facts)) == ["content/<x>"]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("ctr: no such thing: not found", "ErrNotFound"),
        ("failed to read: unexpected EOF", "ErrUnexpectedEOF"),
        ("401 Unauthorized", ""),
    ],
)
def test_the_text_of_an_error_tells_its_class(text, name):
    assert Outcome.failed(text) == Outcome(error=text, error_class=name)


def test_two_scenarios_of_one_name_are_refused():
    def twice(stage):
        """Nothing."""

    scenario("fetch")(twice)
    with pytest.raises(ValueError, match="two of that name"):
        scenario("fetch")(twice)
    del SCENARIOS["twice"]
