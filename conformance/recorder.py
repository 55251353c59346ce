"""`pull-conformance record`: what the reference asks, written down for all others."""

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from conformance.front import RunOptions, run_suite
from conformance.recording import (
    FILE,
    compact,
    load_recording,
    parse,
    same_requests,
    to_text,
)
from conformance.report.json import write_whole
from conformance.whitebox import METHODS

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["record"]

Json = dict[str, Any]

REFERENCE: Final = "refimpl"


def record(file: Path = FILE) -> tuple[int, list[str]]:
    """Run the reference through the suite and write what it asked.

    Returns the exit status of the run, and the ids of the cases whose requests are
    not those that were recorded before.
    """
    with tempfile.TemporaryDirectory(prefix="pull-conformance-") as folder:
        report = Path(folder) / "report.json"
        options = RunOptions(
            clients=[REFERENCE], json=str(report), trace="all", config="/dev/null"
        )
        status = run_suite(options, [])
        cases = json.loads(report.read_text())["clients"][0]["cases"]
    before: Mapping[str, Json] = {}
    if file.exists():
        before = parse(file.read_text(encoding="utf-8"))
    made: dict[str, Json] = {}
    changed = sorted(before.keys() - {case["id"] for case in cases})
    for case in sorted(cases, key=lambda case: str(case["id"])):
        if case["trace"] is None or METHODS.keys() & case["needs"]:
            continue  # without a registry there is nothing to ask
        new = compact(case["trace"])
        old = before.get(case["id"])
        if old is not None and same_requests(old, new):
            new = old
        else:
            changed.append(case["id"])
        made[case["id"]] = new
    write_whole(file, to_text(made))
    load_recording.cache_clear()
    return status, changed
