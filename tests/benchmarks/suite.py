"""What the suite costs: a case against the reference, and a case around a command.

The first is the README's first command. The second is skopeo's run with a clock at
its adapter (probe.py): what a case takes beyond the time in which the client runs.
"""

from __future__ import annotations

import json
import statistics
import sys
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from tests.benchmarks.harness import Figure, Goal, Row, Sample, interleave
from tests.benchmarks.processes import Took, measured

if TYPE_CHECKING:
    from pathlib import Path

    from tests.benchmarks.context import Context

__all__ = ["run"]

OURS: Final = "refimpl"
CLIENT: Final = "skopeo"
#: Statuses of a run that took place: all well, or something is red.
_RAN: Final = (0, 1)
_NAMED: Final = 3
_ROUNDS: Final = 3


@dataclass(frozen=True, slots=True)
class _Run:
    """One run of the suite: what it took, its report, what the probe saw."""

    took: Took
    report: dict[str, Any]
    probed: list[dict[str, Any]]

    @property
    def cases(self) -> list[dict[str, Any]]:
        """The cases that ran."""
        cases: list[dict[str, Any]] = self.report["clients"][0]["cases"]
        return [case for case in cases if case["verdict"] != "not-testable"]


def run(context: Context) -> None:
    """Measure runs of the suite."""
    contestants = {OURS: partial(_run, context, OURS)}
    if context.has("skopeo"):
        contestants[CLIENT] = partial(_run, context, CLIENT)
    rounds = min(context.rounds, _ROUNDS)
    took = interleave(
        contestants,
        rounds=rounds,
        warm_up=0 if context.quick else 1,
        tell=lambda text: context.tell(f"suite: {text}"),
    )
    for figure in _about_reference(took[OURS]):
        context.add(figure)
    if CLIENT in took:
        context.add(_about_command(took[CLIENT]))


def _run(context: Context, client: str) -> _Run:
    with context.fresh() as folder:
        report, probed = folder / "report.json", folder / "probe.json"
        argv = [sys.executable, "-m", "conformance", "run", "--client", client]
        argv += ["--json", str(report)]
        if client != OURS:
            argv += ["-p", "tests.benchmarks.probe", "--probe-json", str(probed)]
        if context.quick:
            argv += ["--area", "verify"]
        took = measured(argv, allowed=_RAN)
        return _Run(took, _read(report), _read(probed) if client != OURS else [])


def _read(file: Path) -> Any:
    return json.loads(file.read_text(encoding="utf-8"))


def _about_reference(runs: list[_Run]) -> list[Figure]:
    cases = len(runs[-1].cases)
    each = [
        Sample(1000 * sum(case["seconds"] for case in run.cases) / len(run.cases))
        for run in runs
    ]
    whole = [Sample(run.took.seconds, run.took.cpu, run.took.peak) for run in runs]
    longest = sorted(runs[-1].cases, key=lambda case: -float(case["seconds"]))[:_NAMED]
    named = ", ".join(f"{c['id']} {1000 * c['seconds']:.0f} ms" for c in longest)
    return [
        Figure(
            name="suite.case",
            title=f"suite: a case against the reference, in process ({cases} cases)",
            unit="ms",
            rows=[Row(OURS, each)],
            goals=(Goal(OURS, most=25),),
            notes=(f"mean of a run's cases, as its report says; longest: {named}",),
        ),
        Figure(
            name="suite.command",
            title="suite: `pull-conformance run`, from start to end",
            unit="s",
            rows=[Row(OURS, whole)],
            goals=(Goal(OURS, most=15),),
            notes=tuple(_red(runs[-1])),
        ),
    ]


def _about_command(runs: list[_Run]) -> Figure:
    samples = [Sample(statistics.mean(_costs(run).values())) for run in runs]
    costs = _costs(runs[-1])
    largest = sorted(costs, key=lambda case: -costs[case])[:_NAMED]
    named = ", ".join(f"{case} {costs[case]:.0f} ms" for case in largest)
    share = 1000 * statistics.mean(case["client"] for case in runs[-1].probed)
    return Figure(
        name="suite.harness",
        title=f"suite: a case around a command, beyond its own time ({len(costs)})",
        unit="ms",
        rows=[Row(CLIENT, samples)],
        goals=(Goal(CLIENT, most=10),),
        notes=(
            f"mean; median {statistics.median(costs.values()):.1f} ms; "
            f"the client itself {share:.0f} ms; largest: {named}",
            *_red(runs[-1]),
        ),
    )


def _costs(run: _Run) -> dict[str, float]:
    """Return the milliseconds of every case that are not the client's."""
    return {case["case"]: 1000 * (case["all"] - case["client"]) for case in run.probed}


def _red(run: _Run) -> list[str]:
    """Say so if cases were red: they may have taken a shorter or longer way."""
    red = [c for c in run.cases if c["verdict"] in {"fail", "error", "unexpected-pass"}]
    return [f"{len(red)} cases were red"] if red else []
