"""Reports that were saved, read again and put together.

    run = merged([read_report(Path(name)) for name in ("1.json", "2.json")])

A saved report carries what was found, so that a case and its twin are judged
together though they ran in two shards, on two machines.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from conformance.case import Level
from conformance.report.run import ClientRun, Run
from conformance.verdict import Outcome, Raw, Result, combine, judge_all

__all__ = ["ReportError", "merged", "read_report", "side_by_side"]


class ReportError(Exception):
    """A report cannot be used; the text is one line."""


def read_report(file: Path) -> Run:
    """Return the run that a JSON report tells of.

    Raises:
        ReportError: It is none, or one of a version that cannot be read.
    """
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
    except OSError as err:
        raise ReportError(f"{file}: cannot be read: {err.strerror}") from err
    except ValueError as err:
        raise ReportError(f"{file}: is not JSON: {err}") from err
    try:
        return _run(data)
    except (KeyError, TypeError, ValueError, AttributeError) as err:
        raise ReportError(
            f"{file}: is no report of this version of the suite: "
            f"{type(err).__name__}: {err}"
        ) from err


def _run(data: dict[str, Any]) -> Run:
    return Run(
        started=datetime.fromisoformat(data["started"]),
        seconds=data["seconds"],
        strict=data["strict"],
        broken=tuple(data["broken"]),
        suite=data["suite"],
        trace="all",
        shard=data["shard"] or "",
        suite_version=data["suite_version"] or "",
        clients=tuple(_client(client) for client in data["clients"]),
    )


def _client(data: dict[str, Any]) -> ClientRun:
    results = [_result(case, data["name"]) for case in data["cases"]]
    return ClientRun(
        name=data["name"],
        version=data["version"],
        features=tuple(data["features"]),
        cases=judge_all(results),
    )


def _result(data: dict[str, Any], client: str) -> Result:
    expected, found = data["expected"], data["found"]
    return Result(
        client=client,
        id=data["id"],
        area=data["area"],
        title=data["title"],
        description=data["description"],
        clause=data["clause"],
        link=data["link"],
        level=Level(data["level"]),
        critical=data["critical"],
        needs=tuple(data["needs"]),
        twin=data["twin"],
        xfail=None if expected is None else expected["reason"],
        xfail_link="" if expected is None else expected["link"],
        selected=data["selected"],
        uncounted=data["uncounted"],
        flaky=data["flaky"],
        seconds=data["seconds"],
        raw=Raw(
            outcome=Outcome(found["outcome"]),
            reason=found["reason"],
            observed=found["observed"],
            details=data["details"],
        ),
        trace=data["trace"],
    )


def merged(runs: Sequence[Run]) -> Run:
    """Return one run of several: shards of one, or the same one again.

    Results of a case by one client, seen more than once, are combined
    (`conformance.verdict.combine`). A shard that is missing breaks the run.

    Raises:
        ReportError: The reports do not belong together.
    """
    for what in ("suite", "strict", "suite_version"):
        values = {str(getattr(run, what)) for run in runs}
        if len(values) > 1:
            said = " and ".join(sorted(map(repr, values)))
            raise ReportError(f"the reports do not agree in {what!r}: {said}")
    made = side_by_side(runs)
    return replace(made, broken=(*made.broken, *_missing(runs)), shard="")


def side_by_side(runs: Sequence[Run]) -> Run:
    """Return one run with the clients of all, whatever they were run with.

    Versions of a client are clients of their own.
    """
    found: dict[tuple[str, str], list[ClientRun]] = {}
    for run in runs:
        for client in run.clients:
            found.setdefault((client.name, client.version), []).append(client)
    return Run(
        started=min(run.started for run in runs),
        seconds=sum(run.seconds for run in runs),
        strict=any(run.strict for run in runs),
        broken=tuple(line for run in runs for line in run.broken),
        suite=", ".join(sorted({run.suite for run in runs})),
        suite_version=", ".join(sorted({r.suite_version for r in runs} - {""})),
        trace="all",
        clients=tuple(_together(clients) for clients in found.values()),
    )


def _together(clients: Sequence[ClientRun]) -> ClientRun:
    results: dict[str, list[Result]] = {}
    for client in clients:
        for judged in client.cases:
            results.setdefault(judged.result.id, []).append(judged.result)
    features = {feature for client in clients for feature in client.features}
    return replace(
        clients[0],
        features=tuple(sorted(features)),
        cases=judge_all(combine(results[case]) for case in sorted(results)),
    )


def _missing(runs: Iterable[Run]) -> list[str]:
    """Say which shards are not there."""
    there: dict[str, set[int]] = {}
    for run in runs:
        if run.shard:
            number, _, count = run.shard.partition("/")
            there.setdefault(count, set()).add(int(number))
    return [
        f"shard {number}/{count} is missing"
        for count, numbers in there.items()
        for number in range(1, int(count) + 1)
        if number not in numbers
    ]
