"""The report for programs; schema.json beside this file says what is in it.

It holds what was found besides what was said of it, so that shards can be judged
where they meet (conformance/report/saved.py).
"""

import json
import os
import tempfile
from pathlib import Path
from typing import Any, Final

from conformance.report.run import ClientRun, Run
from conformance.verdict import Judged, Verdict

#: Verdicts that somebody will want to look into.
TRACED: Final = frozenset(
    {
        *(Verdict.FAIL, Verdict.WARN, Verdict.KNOWN),
        *(Verdict.UNEXPECTED_PASS, Verdict.ERROR),
    }
)
SCHEMA: Final = Path(__file__).with_name("schema.json")


def to_json(run: Run) -> dict[str, Any]:
    """Return a run as plain data."""
    return {
        "suite": run.suite,
        "started": run.started.isoformat(timespec="milliseconds"),
        "seconds": round(run.seconds, 3),
        "strict": run.strict,
        "shard": run.shard or None,
        "suite_version": run.suite_version or None,
        "exit": run.exit_status,
        "broken": list(run.broken),
        "clients": [_client(client, run.trace) for client in run.clients],
    }


def _client(client: ClientRun, trace: str) -> dict[str, Any]:
    totals = client.totals
    return {
        "name": client.name,
        "version": client.version,
        "features": list(client.features),
        "totals": {str(verdict): totals[verdict] for verdict in Verdict},
        "cases": [_case(judged, trace) for judged in client.cases],
    }


def _case(judged: Judged, trace: str) -> dict[str, Any]:
    result = judged.result
    raw = result.raw
    expected = None
    if result.xfail is not None:
        expected = {"reason": result.xfail, "link": result.xfail_link}
    return {
        "id": result.id,
        "area": result.area,
        "title": result.title,
        "description": result.description,
        "level": str(result.level),
        "critical": result.critical,
        "clause": result.clause,
        "link": result.link,
        "twin": result.twin,
        "needs": list(result.needs),
        "selected": result.selected,
        "verdict": str(judged.verdict),
        "reason": judged.reason,
        "details": raw.details,
        "seconds": round(result.seconds, 4),
        "uncounted": result.uncounted,
        "flaky": result.flaky,
        "expected": expected,
        "found": {
            "outcome": str(raw.outcome),
            "reason": raw.reason,
            "observed": raw.observed,
        },
        "trace": result.trace if _wanted(trace, judged.verdict) else None,
    }


def _wanted(trace: str, verdict: Verdict) -> bool:
    return trace == "all" or (trace == "failures" and verdict in TRACED)


def write_json(run: Run, path: Path) -> None:
    """Write the report of a run."""
    write_whole(path, json.dumps(to_json(run), indent=1, ensure_ascii=False) + "\n")


def write_whole(path: Path, text: str) -> None:
    """Write a file so that nobody ever reads half of it.

    A path that is no regular file (/dev/stdout, a pipe) is written as it is.
    """
    if path.exists() and not path.is_file():
        path.write_text(text, encoding="utf-8")
        return
    target = path.resolve()
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
