"""Saved reports as a table in Markdown: clients by level and by area.

    pull-conformance table skopeo.json podman.json >> README.md

It reads what every report in JSON has (DESIGN.md, schema.json). A cell says how
many of the cases that could be judged were passed; a failure that is expected is a
failure here.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

__all__ = ["TableError", "read_clients", "table"]

Client = Mapping[str, Any]
Case = Mapping[str, Any]

LEVELS: Final = ("MUST", "SHOULD", "REFERENCE")
PASSED: Final = "pass"
FAILED: Final = ("fail", "warn", "known")
_LEGEND: Final = (
    "Passed of judged; `-`: nothing could be judged. Critical: digests, credentials, "
    "and nothing written outside its place; of these, what failed."
)


class TableError(Exception):
    """A file is no report; the text is one line."""


def read_clients(files: Iterable[Path]) -> list[Client]:
    """Return the clients of reports, sorted by name; of one version, the last seen.

    Raises:
        TableError: A file cannot be read, or is no report.
    """
    found: dict[tuple[str, str], Client] = {}
    for file in files:
        for client in _clients(file):
            found[str(client["name"]), str(client["version"])] = client
    return [found[key] for key in sorted(found)]


def _clients(file: Path) -> list[Client]:
    try:
        report = json.loads(file.read_text(encoding="utf-8"))
        clients: list[Client] = report["clients"]
        for client in clients:
            _ = client["name"], client["version"]
            for case in client["cases"]:
                _ = case["id"], case["area"], case["level"], case["verdict"]
    except OSError as err:
        raise TableError(f"{file}: cannot be read: {err.strerror}") from err
    except (ValueError, KeyError, TypeError) as err:
        raise TableError(f"{file}: is no report: {type(err).__name__}: {err}") from err
    return clients


def table(clients: Sequence[Client]) -> str:
    """Return the tables, by level and by area."""
    areas = sorted(
        {str(case["area"]) for client in clients for case in client["cases"]}
    )
    by_level: list[tuple[str, Callable[[Client], str]]] = [
        *((level, _counter("level", level)) for level in LEVELS),
        ("critical", _critical),
        ("not testable", _not_testable),
    ]
    by_area = [(area, _counter("area", area)) for area in areas]
    parts = (_rows(clients, by_level), _LEGEND, _rows(clients, by_area))
    return "\n\n".join(parts) + "\n"


def _rows(
    clients: Sequence[Client], columns: Sequence[tuple[str, Callable[[Client], str]]]
) -> str:
    heading = ["client", "version", *(name for name, _ in columns)]
    lines = [heading, ["---", "---", *("--:" for _ in columns)]]
    for client in clients:
        cells = [cell(client) for _, cell in columns]
        lines.append([str(client["name"]), str(client["version"]), *cells])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _counter(key: str, value: str) -> Callable[[Client], str]:
    def count(client: Client) -> str:
        verdicts = [c["verdict"] for c in client["cases"] if c[key] == value]
        passed = verdicts.count(PASSED)
        judged = passed + sum(verdicts.count(verdict) for verdict in FAILED)
        return f"{passed}/{judged}" if judged else "-"

    return count


def _critical(client: Client) -> str:
    critical = [case for case in client["cases"] if case.get("critical")]
    failed = sum(case["verdict"] in FAILED for case in critical)
    return f"{failed} failed" if failed else "0"


def _not_testable(client: Client) -> str:
    return str(sum(case["verdict"] == "not-testable" for case in client["cases"]))
