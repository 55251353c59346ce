"""Scenarios as documents, and as the files that `fakeregistry` reads.

A document is what fakeregistry/scenario.py describes, as plain data: tables for
``registry`` and ``auth``, lists of tables for ``image`` and ``fault``. What is
judged is always the file, so that a finding and its replay cannot differ.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

__all__ = ["BY_DIGEST", "Document", "key_of", "short_hash", "summary", "to_toml"]

Document = dict[str, Any]

#: An image of this tag is pulled by its digest: the file says all there is to say.
BY_DIGEST: Final = "by-digest"


def key_of(document: Document) -> str:
    """Return a text that two documents share only if they are equal."""
    return json.dumps(document, sort_keys=True)


def short_hash(document: Document) -> str:
    """Return eight hexadecimal digits that tell documents apart."""
    return hashlib.sha256(to_toml(document).encode()).hexdigest()[:8]


def to_toml(document: Document, comments: Iterable[str] = ()) -> str:
    """Return the text of a scenario file.

    Args:
        document: The scenario.
        comments: Lines to stand above it.
    """
    blocks = []
    head = "".join(f"# {line}".rstrip() + "\n" for line in comments)
    if head:
        blocks.append(head)
    for name, value in document.items():
        tables = value if isinstance(value, list) else [value]
        mark = f"[[{name}]]" if isinstance(value, list) else f"[{name}]"
        blocks += ["\n".join([mark, *_pairs(table)]) + "\n" for table in tables]
    return "\n".join(blocks)


def _pairs(table: Mapping[str, Any]) -> Iterator[str]:
    return (f"{_key(name)} = {_value(value)}" for name, value in table.items())


def _key(name: str) -> str:
    bare = name.replace("-", "").replace("_", "")
    return name if bare.isalnum() and name.isascii() else _value(name)


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, str):
        # TOML's basic strings are JSON's but for DEL, which is not drawn.
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, list):
        return f"[{', '.join(map(_value, value))}]"
    if isinstance(value, dict):
        return f"{{ {', '.join(_pairs(value))} }}"
    raise TypeError(f"{value!r} is nothing that scenarios hold")


def summary(document: Document) -> str:
    """Return a scenario in a few words, for people."""
    parts = [_told(image, skipped=("ref",)) for image in document.get("image", ())]
    said = [f"an image ({text or 'as it is by default'})" for text in parts]
    if registry := document.get("registry"):
        said.append(f"a registry with {_told(registry)}")
    if auth := document.get("auth"):
        said.append(f"{auth['kind']} authentication")
    faults = [_told(fault) for fault in document.get("fault", ())]
    said += [f"fault {number}: {text}" for number, text in enumerate(faults, 1)]
    return "; ".join(said if faults else [*said, "no fault"])


def _told(table: Mapping[str, Any], *, skipped: Iterable[str] = ()) -> str:
    return ", ".join(
        f"{name}={_value(value)}"
        for name, value in table.items()
        if name not in skipped
    )
