"""Read what containerd's ctr prints: tables, labels and errors.

ctr's commands print for people. Two kinds of tables occur: padded with blanks,
where a cell starts below its heading and may hold blanks itself (``images ls``,
``leases ls``), and separated by tabs (``content ls``).
"""

import re
from typing import Final

__all__ = ["error_class", "parse_labels", "parse_table", "plain_text"]

_ANSI: Final = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
#: The last line of the progress bars, which are printed ten times a second.
_ELAPSED: Final = re.compile(r"^elapsed: .*\n", re.MULTILINE)
#: The headings that hold a blank.
_WIDE: Final = ("CREATED AT",)
#: How the errors of containerd's errdefs end, and what they are called there.
_CLASSES: Final = {
    "unknown": "ErrUnknown",
    "invalid argument": "ErrInvalidArgument",
    "not found": "ErrNotFound",
    "already exists": "ErrAlreadyExists",
    "failed precondition": "ErrFailedPrecondition",
    "unavailable": "ErrUnavailable",
    "not implemented": "ErrNotImplemented",
    "unexpected EOF": "ErrUnexpectedEOF",
}


def parse_table(text: str) -> list[dict[str, str]]:
    """Return the rows of a table, each by its headings."""
    lines = [line for line in text.splitlines() if line.strip()]
    if not lines:
        return []
    heading, rows = lines[0], lines[1:]
    if "\t" in heading:
        names = re.split(r"\t+", heading.strip())
        cells = [re.split(r"\t+", row.strip("\t")) for row in rows]
        return [dict(zip(names, row, strict=False)) for row in cells]
    return [_padded(heading, row) for row in rows]


def _padded(heading: str, row: str) -> dict[str, str]:
    pattern = "|".join([*map(re.escape, _WIDE), r"\S+"])
    columns = [(m[0], m.start()) for m in re.finditer(pattern, heading)]
    ends = [start for _, start in columns[1:]] + [len(row)]
    return {
        name: row[start:end].strip()
        for (name, start), end in zip(columns, ends, strict=True)
    }


def parse_labels(text: str) -> dict[str, str]:
    """Return labels that are printed as ``key=value,key=value``; ``-`` is none.

    A value may hold commas (the repositories of a distribution source do): what
    has no equals sign goes on with the value before it.
    """
    labels: dict[str, str] = {}
    last = ""
    for part in text.split(",") if text not in ("", "-") else ():
        key, equals, value = part.partition("=")
        if equals:
            last = key
            labels[key] = value
        elif last:
            labels[last] += f",{part}"
    return labels


def plain_text(raw: bytes) -> str:
    """Return what was printed without colours, and only the last progress bars."""
    text = _ANSI.sub("", raw.decode(errors="replace"))
    return "".join(_ELAPSED.split(text)[-2:])


def error_class(message: str) -> str:
    """Return the name of the error that a message ends with, if it has one."""
    ending = message.rstrip().rpartition(": ")[2]
    return _CLASSES.get(ending, "")
