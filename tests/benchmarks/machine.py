"""What the figures were measured on."""

from __future__ import annotations

import os
import platform
import tempfile
from pathlib import Path
from typing import Any

__all__ = ["describe", "file_system"]


def describe() -> dict[str, Any]:
    """Return the machine, its load and the file system of temporary files."""
    return {
        "processor": _processor(),
        "processors": len(os.sched_getaffinity(0)),
        "load": [round(load, 2) for load in os.getloadavg()],
        "kernel": platform.release(),
        "python": platform.python_version(),
        "file_system": file_system(Path(tempfile.gettempdir())),
    }


def file_system(folder: Path) -> str:
    """Return the type of the file system that a folder is on (proc(5), mountinfo)."""
    wanted = os.fspath(folder.resolve())
    best, kind = "", "unknown"
    text = Path("/proc/self/mountinfo").read_text(encoding="utf-8")
    for line in text.splitlines():
        fields, _, rest = line.partition(" - ")
        point = fields.split()[4].replace("\\040", " ")
        inside = wanted == point or wanted.startswith(point.rstrip("/") + "/")
        # A later mount on the same point hides an earlier one.
        if inside and len(point) >= len(best):
            best, kind = point, rest.split()[0]
    return kind


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
