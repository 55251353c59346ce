"""conformance/report/saved.py: reports read again, put together and judged."""

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from conformance.case import Case, Level
from conformance.report.json import to_json
from conformance.report.run import ClientRun, Run
from conformance.report.saved import ReportError, merged, read_report, side_by_side
from conformance.verdict import Outcome, Raw, combine, judge_all, result_of

CASE = Case(
    id="verify.bad",
    area="verify",
    title="It rejects.",
    function=print,
    docstring="It rejects.\n\nBecause.",
    clause="a spec",
    level=Level.MUST,
    twin="verify.good",
)
GOOD = replace(CASE, id="verify.good", twin=None)
WIRE = {"pulls": [], "faults": [], "exchanges": [], "omitted": 3}


def found(made=CASE, outcome=Outcome.SATISFIED, *, reason="", client="c", **options):
    raw = Raw(outcome=outcome, reason=reason, observed="o", details="d")
    return replace(result_of(made, raw, client=client), **options)


def a_run(*results, version="1.0", **options):
    names = dict.fromkeys(result.client for result in results)
    run = Run(
        started=datetime(2026, 11, 24, 12, 0, 0, tzinfo=UTC),
        seconds=1.0,
        strict=False,
        clients=tuple(
            ClientRun(
                name=name,
                version=version,
                features=("tls",),
                cases=judge_all(r for r in results if r.client == name),
            )
            for name in names
        ),
    )
    return replace(run, **options)


@pytest.fixture
def saved(tmp_path):
    def save(*runs):
        files = []
        for number, run in enumerate(runs):
            file = tmp_path / f"{number}.json"
            file.write_text(json.dumps(to_json(run)))
            files.append(file)
        return [read_report(file) for file in files]

    return save


def test_account_comes_along_and_may_be_missing(saved):
    told = {**WIRE, "account": {"sentence": "asked for nothing"}}
    bad = Outcome.VIOLATED
    for wire in (told, WIRE):
        (again,) = saved(a_run(found(outcome=bad, trace=wire)))
        assert again.cases[0].result.trace == wire
        assert merged([again, again]).cases[0].result.trace == wire


def verdicts(run):
    return {one.result.id: str(one.verdict) for one in run.cases}


def test_report_is_read_as_it_was(saved):
    result = found(
        outcome=Outcome.VIOLATED,
        reason="seen",
        xfail="since 2019",
        xfail_link="https://example.org",
        uncounted="not in suite 0.1.0",
        trace=WIRE,
        selected=False,
    )
    run = a_run(result, found(GOOD), suite_version="0.1.0", broken=("x",), trace="all")
    (again,) = saved(run)
    assert again == replace(run, broken=("x",))


def test_twins_in_two_shards_are_judged_where_they_meet(saved):
    shards = saved(
        a_run(found(trace=WIRE), shard="1/2"),
        a_run(found(GOOD, outcome=Outcome.VIOLATED, reason="no"), shard="2/2"),
    )
    assert verdicts(shards[0]) == {"verify.bad": "not-testable"}
    assert shards[0].exit_status == 0
    run = merged(shards)
    assert run.cases[0].reason == "twin verify.good did not pass: no"
    assert (run.exit_status, run.seconds, run.shard) == (1, 2.0, "")
    good = saved(a_run(found(), shard="1/2"), a_run(found(GOOD), shard="2/2"))
    assert verdicts(merged(good)) == {"verify.bad": "pass", "verify.good": "pass"}
    assert merged(good).exit_status == 0


def test_shard_that_is_missing_is_red():
    run = merged([a_run(found(GOOD), shard="2/3"), a_run(found(), shard="1/3")])
    assert run.broken == ("shard 3/3 is missing",)
    assert run.exit_status == 1


@pytest.mark.parametrize(
    ("what", "value"),
    [("suite", "9.9.9"), ("strict", True), ("suite_version", "0.0.9")],
)
def test_what_does_not_belong_together_is_refused(what, value):
    runs = [a_run(found(GOOD)), a_run(found(), **{what: value})]
    with pytest.raises(ReportError, match=f"do not agree in '{what}'"):
        merged(runs)
    assert len(side_by_side(runs).clients) == 1


def test_versions_of_a_client_stand_beside_each_other():
    run = side_by_side(
        [a_run(found(GOOD)), a_run(found(GOOD), version="1.1"), a_run(found())]
    )
    assert [(c.version, len(c.cases)) for c in run.clients] == [("1.0", 2), ("1.1", 1)]


RUNS = {
    "alike": ([Outcome.VIOLATED] * 2, Outcome.VIOLATED, False),
    "once": ([Outcome.SATISFIED, Outcome.VIOLATED], Outcome.VIOLATED, True),
    "lost": ([Outcome.NOT_TESTABLE, Outcome.SATISFIED], Outcome.NOT_TESTABLE, True),
    "ours": ([Outcome.VIOLATED, Outcome.ERROR], Outcome.ERROR, True),
}


@pytest.mark.parametrize("kind", RUNS)
def test_runs_that_do_not_end_alike_are_told(kind):
    outcomes, kept, flaky = RUNS[kind]
    one = combine([found(outcome=o, reason=f"was {o}") for o in outcomes])
    assert (one.raw.outcome, one.flaky) == (kept, flaky)
    assert one.raw.reason.endswith(f"was {kept}")
    assert ("did not end alike" in one.raw.reason) is flaky


def test_client_that_passes_now_and_then_fails(saved):
    bad = found(outcome=Outcome.VIOLATED, reason="a race", selected=False)
    run = merged(saved(a_run(found(), found(GOOD)), a_run(bad, found(GOOD))))
    judged = {one.result.id: one for one in run.cases}["verify.bad"]
    assert judged.verdict == "fail"
    assert judged.reason == (
        "runs of it did not end alike (satisfied 1x, violated 1x): a race"
    )
    assert judged.result.selected
    assert to_json(run)["clients"][0]["cases"][0]["flaky"]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("{", "is not JSON"),
        ("[]", "is no report of this version of the suite: TypeError"),
        ('{"started": "2026-11-24"}', "KeyError: 'seconds'"),
    ],
)
def test_what_is_no_report_is_one_line(tmp_path, text, complaint):
    file = tmp_path / "x.json"
    file.write_text(text)
    with pytest.raises(ReportError) as caught:
        read_report(file)
    assert complaint in str(caught.value)
    assert "\n" not in str(caught.value)


def test_report_that_is_not_there(tmp_path):
    with pytest.raises(ReportError, match="cannot be read: No such file"):
        read_report(tmp_path / "x.json")
