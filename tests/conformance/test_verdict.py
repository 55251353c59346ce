"""conformance/verdict.py: from what a case found to what is said."""

import json
from dataclasses import replace

import pytest

from conformance.case import Case, Feature, Level
from conformance.verdict import (
    Outcome,
    Raw,
    Result,
    Verdict,
    exit_status,
    judge,
    judge_all,
    not_testable_because,
    result_of,
)

CASE = Case(
    id="area.one",
    area="area",
    title="It holds.",
    function=print,
    docstring="It holds.",
    clause="a spec",
    level=Level.MUST,
)


def make_result(outcome, *, reason="why", observed="", xfail=None, **options):
    """Make a result; options are parts of the case."""
    raw = Raw(outcome=outcome, reason=reason, observed=observed)
    return result_of(replace(CASE, **options), raw, client="c", xfail=xfail)


def verdict_of(outcome, *, twin_result=None, **options):
    return judge(make_result(outcome, **options), twin=twin_result).verdict


@pytest.mark.parametrize(
    ("level", "critical", "expected"),
    [
        (Level.MUST, False, "fail"),
        (Level.SHOULD, False, "warn"),
        (Level.SHOULD, True, "fail"),
        (Level.MAY, False, "info"),
        (Level.REFERENCE, False, "fail"),
    ],
)
def test_violation_weighs_as_its_level(level, critical, expected):
    assert verdict_of(Outcome.VIOLATED, level=level, critical=critical) == expected


@pytest.mark.parametrize("level", list(Level))
def test_satisfied_is_a_pass(level):
    assert verdict_of(Outcome.SATISFIED, level=level) == "pass"


def test_observation_of_a_may_is_information():
    judged = judge(
        make_result(Outcome.SATISFIED, level=Level.MAY, observed="asks twice"),
        twin=None,
    )
    assert (judged.verdict, judged.reason) == ("info", "asks twice")


def test_observation_of_a_must_is_still_a_pass():
    assert verdict_of(Outcome.SATISFIED, observed="asks twice") == "pass"


def test_violated_may_shows_both_what_was_noted_and_what_failed():
    judged = judge(
        make_result(Outcome.VIOLATED, level=Level.MAY, observed="asks", reason="no"),
        twin=None,
    )
    assert judged.reason == "asks; no"


@pytest.mark.parametrize("outcome", [Outcome.ERROR, Outcome.NOT_TESTABLE])
@pytest.mark.parametrize("xfail", [None, "known since 2019"])
def test_error_and_not_testable_stay_what_they_are(outcome, xfail):
    assert verdict_of(outcome, xfail=xfail) == outcome


@pytest.mark.parametrize(
    "twin", [Outcome.VIOLATED, Outcome.NOT_TESTABLE, Outcome.ERROR]
)
def test_satisfied_counts_for_nothing_if_the_twin_did_not_pass(twin):
    result = make_result(Outcome.SATISFIED, twin="area.twin")
    judged = judge(result, twin=make_result(twin, id="area.twin", reason="a\nb"))
    assert judged.verdict == "not-testable"
    assert judged.reason == "twin area.twin did not pass: a"


def test_satisfied_counts_for_nothing_if_the_twin_did_not_run():
    result = make_result(Outcome.SATISFIED, twin="area.twin")
    judged = judge(result, twin=None)
    assert (judged.verdict, judged.reason) == (
        "not-testable",
        "twin area.twin did not run",
    )


def test_satisfied_counts_if_the_twin_passed():
    twin = make_result(Outcome.SATISFIED, id="area.twin")
    assert verdict_of(Outcome.SATISFIED, twin="area.twin", twin_result=twin) == "pass"


def test_violation_counts_whatever_the_twin():
    twin = make_result(Outcome.VIOLATED, id="area.twin")
    assert verdict_of(Outcome.VIOLATED, twin="area.twin", twin_result=twin) == "fail"


@pytest.mark.parametrize("level", [Level.MUST, Level.SHOULD])
def test_expected_failure_is_known(level):
    judged = judge(
        make_result(Outcome.VIOLATED, level=level, xfail="never did", reason="seen"),
        twin=None,
    )
    assert (judged.verdict, judged.reason) == ("known", "never did (seen: seen)")


def test_expected_failure_that_passes_is_red():
    assert verdict_of(Outcome.SATISFIED, xfail="never did") == "unexpected-pass"


def test_expected_failure_whose_twin_fails_is_not_testable():
    twin = make_result(Outcome.VIOLATED, id="area.twin")
    verdict = verdict_of(
        Outcome.SATISFIED, twin="area.twin", twin_result=twin, xfail="never did"
    )
    assert verdict == "not-testable"


def test_clients_are_judged_apart():
    results = [
        replace(make_result(Outcome.SATISFIED, id="area.twin"), client="good"),
        replace(make_result(Outcome.VIOLATED, id="area.twin"), client="bad"),
        replace(make_result(Outcome.SATISFIED, twin="area.twin"), client="good"),
        replace(make_result(Outcome.SATISFIED, twin="area.twin"), client="bad"),
    ]
    verdicts = [one.verdict for one in judge_all(results)]
    assert verdicts == ["pass", "fail", "pass", "not-testable"]


def test_missing_features_are_named():
    made = replace(CASE, needs=frozenset({Feature.TLS, Feature.LIMIT}))
    assert not_testable_because(made, {"tls"}) == "the adapter does not offer: limit"
    assert not_testable_because(made, {"tls", "limit"}) is None


def test_reference_is_judged_only_where_it_is_claimed():
    made = replace(CASE, level=Level.REFERENCE)
    assert "does not claim" in (not_testable_because(made, set()) or "")
    assert not_testable_because(made, {"reference"}) is None


def test_result_travels_as_json():
    result = make_result(
        Outcome.VIOLATED, level=Level.MAY, needs=frozenset({Feature.TLS}), twin="a.b"
    )
    assert Result.from_json(json.loads(json.dumps(result.to_json()))) == result


def test_result_is_made_of_nothing_but_plain_values():
    """Between processes xdist carries str, and no class that derives from it."""

    def types(value):
        inside = []
        if isinstance(value, dict):
            inside = [*value, *value.values()]
        elif isinstance(value, list):
            inside = value
        return {type(value)}.union(*map(types, inside))

    result = make_result(Outcome.VIOLATED, needs=frozenset({Feature.TLS}))
    assert types(result.to_json()) <= {str, float, bool, type(None), list, dict}


def judged(*outcomes, **options):
    return [
        judge(make_result(outcome, id=f"area.{n}", **options), twin=None)
        for n, outcome in enumerate(outcomes)
    ]


@pytest.mark.parametrize(
    ("outcomes", "options", "expected"),
    [
        ([], {}, 3),
        ([Outcome.NOT_TESTABLE], {}, 3),
        ([Outcome.SATISFIED, Outcome.NOT_TESTABLE], {}, 0),
        ([Outcome.SATISFIED, Outcome.VIOLATED], {}, 1),
        ([Outcome.ERROR], {}, 1),
        ([Outcome.VIOLATED], {"level": Level.SHOULD}, 0),
        ([Outcome.VIOLATED], {"level": Level.MAY}, 0),
        ([Outcome.VIOLATED], {"xfail": "never did"}, 0),
        ([Outcome.SATISFIED], {"xfail": "never did"}, 1),
    ],
)
def test_exit_status(outcomes, options, expected):
    assert exit_status(judged(*outcomes, **options), strict=False) == expected


def test_strict_makes_warnings_red():
    warned = judged(Outcome.VIOLATED, level=Level.SHOULD)
    assert warned[0].verdict is Verdict.WARN
    assert exit_status(warned, strict=True) == 1


def test_twin_that_only_came_along_makes_no_run():
    result = replace(make_result(Outcome.SATISFIED), selected=False)
    along = judge_all([result])
    asked = judged(Outcome.NOT_TESTABLE)
    assert exit_status([*along, *asked], strict=False) == 3
