"""From what a case found to what is said about the client.

A case runs where pytest runs it, perhaps in another process; what it found
is a `Result`. Judging is done where all results of a run meet, because a
negative case counts only if its twin passed with the same client in the same
run: a client that rejects everything has not shown that it checks anything.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from enum import StrEnum
from typing import Any, Final

from conformance.case import Case, Feature, Level


class Outcome(StrEnum):
    """What one run of one case gave, before it is judged."""

    SATISFIED = "satisfied"
    VIOLATED = "violated"
    NOT_TESTABLE = "not-testable"
    ERROR = "error"


class Verdict(StrEnum):
    """What the report says."""

    PASS = "pass"  # noqa: S105 - a verdict
    FAIL = "fail"
    WARN = "warn"
    INFO = "info"
    NOT_TESTABLE = "not-testable"
    KNOWN = "known"
    UNEXPECTED_PASS = "unexpected-pass"  # noqa: S105 - a verdict
    ERROR = "error"


RED: Final = frozenset({Verdict.FAIL, Verdict.UNEXPECTED_PASS, Verdict.ERROR})


@dataclass(frozen=True, slots=True, kw_only=True)
class Raw:
    """The outcome of a case, and why.

    Attributes:
        reason: What was seen, in a line or a few.
        observed: What the case noted on its way.
        details: The traceback, if the case itself broke.
    """

    outcome: Outcome
    reason: str = ""
    observed: str = ""
    details: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """A case, a client and what came of them: plain data that can travel.

    Attributes:
        selected: It was asked for, and did not only come along as a twin.
        description: What the case is about, in full.
        xfail: Why it is expected to fail, None if it is not.
        xfail_link: Where that can be seen.
        uncounted: Why it is never red, empty if it may be.
        flaky: Several runs of it did not end alike.
        trace: The wire and the client's output (conformance/evidence.py).
    """

    client: str
    id: str
    area: str
    title: str
    clause: str
    link: str | None
    level: Level
    critical: bool
    needs: tuple[str, ...]
    twin: str | None
    xfail: str | None
    selected: bool
    seconds: float
    raw: Raw
    description: str = ""
    xfail_link: str = ""
    uncounted: str = ""
    flaky: bool = False
    trace: Mapping[str, Any] | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the result as what JSON, and xdist, can carry."""
        made = {field.name: getattr(self, field.name) for field in fields(self)}
        made["raw"] = asdict(self.raw)
        made["level"] = str(self.level)
        made["needs"] = list(self.needs)
        made["raw"]["outcome"] = str(self.raw.outcome)
        return made

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Result":
        """Return the result that `to_json` was given."""
        raw = data["raw"]
        return cls(
            **{
                **data,
                "level": Level(data["level"]),
                "needs": tuple(data["needs"]),
                "raw": Raw(**{**raw, "outcome": Outcome(raw["outcome"])}),
            }
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A result with its verdict and the reason in one line or a few."""

    result: Result
    verdict: Verdict
    reason: str

    def is_red(self, *, strict: bool) -> bool:
        """Say whether this makes a run fail."""
        red = self.verdict in RED or (strict and self.verdict is Verdict.WARN)
        return red and not self.result.uncounted


def result_of(  # noqa: PLR0913 - what a run adds to a case, each part named
    made: Case,
    raw: Raw,
    *,
    client: str,
    xfail: str | None = None,
    selected: bool = True,
    seconds: float = 0.0,
) -> Result:
    """Return what a run of the case gave."""
    return Result(
        client=client,
        id=made.id,
        area=made.area,
        title=made.title,
        clause=made.clause,
        link=made.link,
        level=made.level,
        critical=made.critical,
        needs=tuple(sorted(map(str, made.needs))),
        twin=made.twin,
        xfail=xfail,
        selected=selected,
        seconds=seconds,
        raw=raw,
        description=made.docstring,
    )


def not_testable_because(made: Case, features: Collection[str]) -> str | None:
    """Say why a client with these features cannot be judged on the case."""
    if made.level is Level.REFERENCE and Feature.REFERENCE not in features:
        return "containerd's choice, which this client does not claim"
    missing = sorted(made.needs.difference(features))
    if missing:
        return f"the adapter does not offer: {', '.join(missing)}"
    return None


def judge_all(results: Iterable[Result]) -> tuple[Judged, ...]:
    """Judge the results of a run, each client's apart, in the order given."""
    found = {(result.client, result.id): result for result in results}
    return tuple(
        judge(result, twin=found.get((result.client, result.twin or "")))
        for result in found.values()
    )


def judge(result: Result, *, twin: Result | None) -> Judged:
    """Say what a result is worth, given the result of the case's twin."""
    verdict, reason = _by_level(result)
    if verdict in (Verdict.PASS, Verdict.INFO):
        doubt = _doubt(result, twin)
        if doubt is not None:
            return Judged(result=result, verdict=Verdict.NOT_TESTABLE, reason=doubt)
    if result.xfail is not None:
        verdict, reason = _expected_failure(verdict, reason, result.xfail)
    return Judged(result=result, verdict=verdict, reason=reason)


def _by_level(result: Result) -> tuple[Verdict, str]:
    raw = result.raw
    match raw.outcome:
        case Outcome.ERROR:
            return Verdict.ERROR, raw.reason
        case Outcome.NOT_TESTABLE:
            return Verdict.NOT_TESTABLE, raw.reason
        case Outcome.SATISFIED:
            seen = result.level is Level.MAY and raw.observed
            return Verdict.INFO if seen else Verdict.PASS, raw.observed
    if result.level is Level.MAY:
        return Verdict.INFO, "; ".join(filter(None, (raw.observed, raw.reason)))
    if result.level is Level.SHOULD and not result.critical:
        return Verdict.WARN, raw.reason
    return Verdict.FAIL, raw.reason


def _doubt(result: Result, twin: Result | None) -> str | None:
    """Say why a satisfied case proves nothing: its twin did not pass."""
    if result.twin is None or result.raw.outcome is not Outcome.SATISFIED:
        return None
    if twin is None:
        return f"twin {result.twin} did not run"
    if twin.raw.outcome is Outcome.SATISFIED:
        return None
    first = (twin.raw.reason or str(twin.raw.outcome)).splitlines()[0]
    return f"twin {result.twin} did not pass: {first}"


def _expected_failure(
    verdict: Verdict, reason: str, expected: str
) -> tuple[Verdict, str]:
    if verdict in (Verdict.FAIL, Verdict.WARN):
        return Verdict.KNOWN, f"{expected} (seen: {reason})" if reason else expected
    if verdict is Verdict.PASS:
        return Verdict.UNEXPECTED_PASS, f"listed as a known failure: {expected}"
    return verdict, reason


#: The outcomes of which one is shown when runs differ, the one that says most first.
_GRAVEST: Final = (
    Outcome.ERROR,
    Outcome.VIOLATED,
    Outcome.NOT_TESTABLE,
    Outcome.SATISFIED,
)


def combine(runs: Sequence[Result]) -> Result:
    """Return one result of several runs of a case by a client.

    Runs that end alike are one. Of those that do not, the gravest is kept, and its
    reason says how often it was so: a client that passes now and then has not passed.
    """
    selected = any(one.selected for one in runs)
    kept = min(runs, key=lambda one: _GRAVEST.index(one.raw.outcome))
    counts = Counter(one.raw.outcome for one in runs)
    if len(counts) == 1:
        return replace(kept, selected=selected, flaky=any(one.flaky for one in runs))
    said = ", ".join(f"{outcome} {number}x" for outcome, number in counts.items())
    reason = f"runs of it did not end alike ({said})"
    if kept.raw.reason:
        reason = f"{reason}: {kept.raw.reason}"
    raw = replace(kept.raw, reason=reason)
    return replace(kept, raw=raw, selected=selected, flaky=True)


def exit_status(judged: Collection[Judged], *, strict: bool) -> int:
    """Return 0 if all that counts passed, 1 if not, 3 if nothing was judged."""
    if any(one.is_red(strict=strict) for one in judged):
        return 1
    counted = [one for one in judged if one.result.selected]
    if all(one.verdict is Verdict.NOT_TESTABLE for one in counted):
        return 3
    return 0
