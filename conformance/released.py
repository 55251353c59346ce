"""Which cases count for a released version of the suite (conformance/released).

A client's CI that names a version does not turn red because the suite has grown.

    counted = cases_of("0.1.0", load_suite())
"""

import json
import re
from collections.abc import Collection
from pathlib import Path
from typing import Any, Final

from conformance.case import CaseError
from conformance.report.json import write_whole

__all__ = ["cases_of", "freeze", "versions"]

FOLDER: Final = Path(__file__).with_name("released")
_VERSION: Final = re.compile(r"\d+\.\d+\.\d+")


def versions() -> list[str]:
    """Return the versions that have a list, the oldest first."""
    found = [file.stem for file in FOLDER.glob("*.json")]
    return sorted(found, key=lambda text: [int(part) for part in text.split(".")])


def cases_of(version: str, suite: Collection[str]) -> frozenset[str]:
    """Return the ids, as they are today, of the cases that a version had.

    Raises:
        ValueError: There is no list of that version; the text is one line.
        CaseError: The list names a case that does not exist, and does not say
            what became of it.
    """
    if version not in versions():
        there = ", ".join(versions()) or "none yet"
        raise ValueError(f"unknown suite version {version!r}; there are {there}")
    table = json.loads((FOLDER / f"{version}.json").read_text(encoding="utf-8"))
    return _checked(table, suite, where=f"released/{version}.json")


def freeze(version: str, suite: Collection[str]) -> Path:
    """Write the list of a version, and return its file.

    Raises:
        ValueError: It is no version, or has been released already.
    """
    if not _VERSION.fullmatch(version):
        raise ValueError(f"{version!r} is no version like 1.2.3")
    file = FOLDER / f"{version}.json"
    if file.exists():
        raise ValueError(f"{file.name} exists: {version} has been released")
    table = {
        "version": version,
        "cases": sorted(suite),
        "renamed": {},
        "removed": {},
    }
    FOLDER.mkdir(exist_ok=True)
    write_whole(file, json.dumps(table, indent=1) + "\n")
    return file


def _checked(
    table: dict[str, Any], suite: Collection[str], *, where: str
) -> frozenset[str]:
    renamed, removed = table["renamed"], table["removed"]
    found = set()
    for listed in table["cases"]:
        if listed in removed:
            continue
        case = listed
        while case in renamed:
            case = renamed[case]
        if case not in suite:
            raise CaseError(
                f"{where}: {case} is no case; name it under 'renamed' or 'removed'"
            )
        found.add(case)
    return frozenset(found)
