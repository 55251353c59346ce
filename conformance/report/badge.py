"""A badge for a README, as https://shields.io/badges/endpoint-badge takes it."""

from typing import Any, Final

from conformance.report.run import ClientRun, Run
from conformance.report.saved import ReportError
from conformance.verdict import Verdict

__all__ = ["badge"]

#: What says nothing about conformance.
_ASIDE: Final = frozenset({Verdict.INFO, Verdict.NOT_TESTABLE})


def badge(run: Run, name: str | None) -> dict[str, Any]:
    """Return what the badge of a client says.

    Of the cases that count and that could be judged it tells how many passed.

    Raises:
        ReportError: The report is not about that client, or about several.
    """
    client = _client(run, name)
    judged = [
        one
        for one in client.cases
        if one.verdict not in _ASIDE and not one.result.uncounted
    ]
    passed = sum(one.verdict is Verdict.PASS for one in judged)
    if not judged:
        message, color = "nothing judged", "lightgrey"
    else:
        message = f"{passed} of {len(judged)} pass"
        color = "brightgreen" if passed == len(judged) else "yellow"
        if run.broken or any(one.is_red(strict=run.strict) for one in judged):
            color = "red"
    return {
        "schemaVersion": 1,
        "label": f"OCI pull conformance {run.suite_version or run.suite}",
        "message": message,
        "color": color,
    }


def _client(run: Run, name: str | None) -> ClientRun:
    there = ", ".join(client.name for client in run.clients)
    found = [client for client in run.clients if name in (None, client.name)]
    if len(found) != 1:
        what = "name one client" if found else f"it has no client {name!r}"
        raise ReportError(f"{what}; the report is about {there or 'none'}")
    return found[0]
