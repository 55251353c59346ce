r"""Vectors that a client is known to answer otherwise, and why.

A file NAME.vectors lies beside the adapter, one vector a line: the vectors' file, the
vector's name as JSON, the reason. What follows ``#`` at the start of a line is a
comment::

    auth_challenge.json | "Basic,Bearer realm=\"x\"" | D6

A listed vector that differs is skipped, and said; one that does not differ has failed,
so that the list never says more than is true.
"""

import json
from collections.abc import Mapping
from pathlib import Path

from conformance.vectors.runner import VectorError

__all__ = ["Known", "read_known"]

#: Reasons by the name of the file and that of the vector.
Known = Mapping[tuple[str, str], str]


def read_known(file: Path) -> Known:
    """Return what a file lists; nothing if there is no such file.

    Raises:
        VectorError: A line is wrong, or a vector is listed twice.
    """
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as err:
        raise VectorError(f"{file}: cannot be read: {err}") from err
    found: dict[tuple[str, str], str] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        vector, reason = _line(line, f"{file}:{number}")
        if vector in found:
            raise VectorError(f"{file}:{number}: {vector[1]!r} is listed twice")
        found[vector] = reason
    return found


def _line(line: str, place: str) -> tuple[tuple[str, str], str]:
    name, _, rest = line.partition(" | ")
    quoted, _, reason = rest.rpartition(" | ")
    try:
        vector = json.loads(quoted)
    except ValueError:
        vector = None
    if not isinstance(vector, str) or not reason.strip():
        raise VectorError(
            f"{place}: a line is 'file | \"vector\" | reason', not {line!r}"
        )
    return (name.strip(), vector), reason.strip()
