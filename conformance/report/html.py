"""The report as one HTML page, for people: clients beside each other, case by case.

The page holds all it needs, and asks the network for nothing. What the matrix shows
is plain JSON in it; what a cell opens (reason, output, wire) is packed case by case
and unpacked by the browser, so that a thousand cases of twenty clients stay a page
that opens at once.
"""

import base64
import gzip
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from conformance.recording import load_recording
from conformance.report.json import write_whole
from conformance.report.run import ClientRun, Run
from conformance.verdict import Judged, Verdict

__all__ = ["to_html", "write_html"]

Json = dict[str, Any]

HERE: Final = Path(__file__).parent
REFERENCE: Final = "refimpl"
#: Characters of a reason that the matrix shows; a cell's page has all of it.
SHOWN: Final = 160
#: As page.js has them; "." is a case that a client did not run.
LETTERS: Final[Mapping[Verdict, str]] = {
    Verdict.PASS: "p",
    Verdict.FAIL: "f",
    Verdict.WARN: "w",
    Verdict.INFO: "i",
    Verdict.NOT_TESTABLE: "n",
    Verdict.KNOWN: "k",
    Verdict.UNEXPECTED_PASS: "u",
    Verdict.ERROR: "e",
}
ABSENT: Final = "."


def write_html(run: Run, path: Path) -> None:
    """Write the report of a run."""
    write_whole(path, to_html(run))


def to_html(run: Run) -> str:
    """Return the page of a run, or of several put together."""
    rows = _rows(run)
    reasons: dict[str, int] = {"": 0}
    data = {
        "suite": run.suite,
        "suiteVersion": run.suite_version,
        "started": run.started.isoformat(timespec="seconds"),
        "strict": run.strict,
        "broken": list(run.broken),
        "clients": [{"name": c.name, "version": c.version} for c in run.clients],
        "cases": [_shown(row, reasons) for row in rows],
    }
    data["reasons"] = list(reasons)
    recorded = load_recording()
    details = [_packed(_details(run, row, recorded)) for row in rows]
    page = (HERE / "page.html").read_text(encoding="utf-8")
    for name, text in (
        ("css", (HERE / "page.css").read_text(encoding="utf-8")),
        ("js", (HERE / "page.js").read_text(encoding="utf-8")),
        ("data", _embedded(data)),
        ("details", _embedded(details)),
    ):
        before, after = page.split(f"@@{name}@@")
        page = before + text + after
    return page


Row = list[Judged | None]


def _rows(run: Run) -> list[Row]:
    """Return a line of verdicts for each case, areas together."""
    found: dict[str, Row] = {}
    for place, client in enumerate(run.clients):
        for judged in client.cases:
            row = found.setdefault(judged.result.id, [None] * len(run.clients))
            row[place] = judged
    return sorted(found.values(), key=lambda row: _any(row).result.area)


def _any(row: Row) -> Judged:
    return next(judged for judged in row if judged is not None)


def _shown(row: Row, reasons: dict[str, int]) -> Json:
    result = _any(row).result
    shown = {
        "id": result.id,
        "area": result.area,
        "title": result.title,
        "level": str(result.level),
        "critical": result.critical,
        "v": "".join(ABSENT if j is None else LETTERS[j.verdict] for j in row),
        "r": [reasons.setdefault(_first_line(j), len(reasons)) for j in row],
    }
    light = [n for n, j in enumerate(row) if j is not None and j.result.uncounted]
    return {**shown, "u": light} if light else shown


def _first_line(judged: Judged | None) -> str:
    lines = [] if judged is None else judged.reason.strip().splitlines()
    return lines[0][:SHOWN] if lines else ""


def _details(run: Run, row: Row, recorded: Mapping[str, Any]) -> Json:
    result = _any(row).result
    return {
        "description": result.description,
        "clause": result.clause,
        "link": result.link,
        "twin": result.twin,
        "needs": list(result.needs),
        "cells": [None if judged is None else _cell(judged) for judged in row],
        "reference": _reference(run.clients, row, recorded),
    }


def _cell(judged: Judged) -> Json:
    result = judged.result
    expected = None
    if result.xfail is not None:
        expected = {"reason": result.xfail, "link": result.xfail_link}
    return {
        "reason": judged.reason,
        "details": result.raw.details,
        "uncounted": result.uncounted,
        "flaky": result.flaky,
        "expected": expected,
        "trace": result.trace,
    }


def _reference(
    clients: tuple[ClientRun, ...], row: Row, recorded: Mapping[str, Any]
) -> Json | None:
    """Return the reference's exchanges: of this run, or else as they were recorded."""
    for client, judged in zip(clients, row, strict=True):
        if client.name == REFERENCE and judged is not None and judged.result.trace:
            exchanges = judged.result.trace["exchanges"]
            return {"origin": "in this report", "exchanges": exchanges}
    found = recorded.get(_any(row).result.id)
    if found is None:
        return None
    return {"origin": "as recorded", "exchanges": found["exchanges"]}


def _packed(details: Json) -> str:
    text = json.dumps(details, ensure_ascii=False, separators=(",", ":"))
    return base64.b64encode(gzip.compress(text.encode(), 6, mtime=0)).decode()


def _embedded(value: object) -> str:
    """Return JSON that cannot end the script element that it stands in."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace("@@", "@\\u0040")
