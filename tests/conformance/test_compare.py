"""conformance/report/compare.py and badge.py: what a report says beside another."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from conformance.case import Case, Level
from conformance.report.badge import badge
from conformance.report.compare import compare, told
from conformance.report.run import ClientRun, Run
from conformance.report.saved import ReportError
from conformance.verdict import Judged, Outcome, Raw, Verdict, result_of

CASE = Case(
    id="a.one",
    area="a",
    title="It holds.",
    function=print,
    docstring="It holds.",
    clause="a spec",
    level=Level.MUST,
)


def judged(verdict, *, case="a.one", client="c", **options):
    made = result_of(
        replace(CASE, id=case), Raw(outcome=Outcome.SATISFIED), client=client
    )
    return Judged(
        result=replace(made, **options), verdict=Verdict(verdict), reason="why\nmore"
    )


def a_run(*clients, **options):
    return Run(
        started=datetime(2026, 11, 24, tzinfo=UTC),
        seconds=1.0,
        strict=False,
        clients=tuple(
            ClientRun(name=name, version="1", features=(), cases=tuple(cases))
            for name, *cases in clients
        ),
        **options,
    )


CHANGES = [
    ("pass", "pass", None),
    ("pass", "fail", "worse"),
    ("pass", "known", "worse"),
    ("pass", "not-testable", "worse"),
    ("warn", "fail", "worse"),
    ("not-testable", "fail", "worse"),
    ("info", "error", "worse"),
    ("fail", "pass", "better"),
    ("known", "unexpected-pass", "better"),
    ("fail", "warn", "better"),
    ("not-testable", "info", "better"),
    ("pass", "info", "changed"),
    ("fail", "error", "changed"),
    ("not-testable", "warn", "changed"),
    ("fail", "not-testable", "changed"),
    (None, "pass", "new"),
    ("pass", None, "gone"),
]


@pytest.mark.parametrize(("old", "new", "kind"), CHANGES)
def test_change_of_a_verdict(old, new, kind):
    before, after = (["c"] if v is None else ["c", judged(v)] for v in (old, new))
    changes = compare(a_run(before), a_run(after))
    expected = dict.fromkeys(("worse", "better", "changed", "new", "gone"), 0)
    if kind is not None:
        expected[kind] = 1
        assert (changes[kind][0]["old"], changes[kind][0]["new"]) == (old, new)
    assert {k: len(found) for k, found in changes.items()} == expected


def test_clients_are_matched_by_name():
    old = a_run(["c", judged("pass")], ["d", judged("fail", client="d")])
    new = a_run(["d", judged("pass", client="d")], ["e", judged("fail", client="e")])
    changes = compare(old, new)
    assert [one["client"] for one in changes["better"]] == ["d"]
    assert [one["client"] for one in changes["gone"]] == ["c"]
    assert [one["client"] for one in changes["new"]] == ["e"]


def test_one_client_is_compared_with_another():
    changes = compare(a_run(["c", judged("pass")]), a_run(["d", judged("fail")]))
    assert len(changes["worse"]) == 1


def test_changes_are_told_in_lines():
    old = a_run(["c", judged("pass"), judged("fail", case="a.two")])
    new = a_run(["c", judged("fail"), judged("pass", case="a.two")])
    assert list(told(compare(old, new))) == [
        "worse    c  a.one: pass -> fail",
        "         why",
        "better   c  a.two: fail -> pass",
        "1 worse, 1 better, 0 changed, 0 new, 0 gone",
    ]


@pytest.mark.parametrize(
    ("verdicts", "message", "color"),
    [
        (["pass", "pass", "info", "not-testable"], "2 of 2 pass", "brightgreen"),
        (["pass", "warn"], "1 of 2 pass", "yellow"),
        (["pass", "known"], "1 of 2 pass", "yellow"),
        (["pass", "fail"], "1 of 2 pass", "red"),
        (["not-testable"], "nothing judged", "lightgrey"),
    ],
)
def test_badge_counts_what_was_judged(verdicts, message, color):
    cases = [judged(v, case=f"a.n{n}") for n, v in enumerate(verdicts)]
    made = badge(a_run(["c", *cases], suite_version="0.1.0"), None)
    assert made == {
        "schemaVersion": 1,
        "label": "OCI pull conformance 0.1.0",
        "message": message,
        "color": color,
    }


def test_badge_leaves_out_what_does_not_count():
    fail = judged("fail", case="a.two", uncounted="not in suite 0.1.0")
    made = badge(a_run(["c", judged("pass"), fail]), "c")
    assert (made["message"], made["color"]) == ("1 of 1 pass", "brightgreen")


@pytest.mark.parametrize("name", [None, "x"])
def test_badge_is_about_one_client(name):
    with pytest.raises(ReportError, match="the report is about c, d"):
        badge(a_run(["c"], ["d"]), name)
