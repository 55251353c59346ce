"""`pull-conformance explain ID`: a case as a lesson."""

import inspect
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from conformance.adapter import BUNDLED
from conformance.case import Case
from conformance.recording import load_recording
from conformance.whitebox import METHODS
from conformance.xfails import read_xfails

__all__ = ["exchange_line", "explain"]

WIDTH = 80


def explain(made: Case, suite: Mapping[str, Case]) -> Iterator[str]:
    """Yield the lines of the lesson."""
    critical = ", critical" if made.critical else ""
    yield f"{made.id}  ({made.level}{critical})"
    yield ""
    yield from _wrapped(made.docstring)
    yield ""
    yield "Why a client is held to it:"
    yield from _wrapped(made.clause, "    ")
    if made.link:
        yield f"    {made.link}"
    if made.needs:
        yield f"It is judged of clients with: {', '.join(sorted(made.needs))}."
    if made.twin:
        yield ""
        yield f"Its twin, the same without the fault: {made.twin}"
        yield from _wrapped(suite[made.twin].title, "    ")
    yield ""
    yield "What happens, as the suite has it:"
    source = textwrap.dedent(inspect.getsource(inspect.unwrap(made.function)))
    yield from textwrap.indent(_without_docstring(source), "    ").splitlines()
    yield from _recorded(made.id)
    yield from _known(made.id)
    yield ""
    # Nobody calls handlers by hand: a client does.
    who = " --client refimpl" if made.needs & METHODS.keys() else ""
    yield f"To try it: pull-conformance replay {made.id}{who}"


def exchange_line(exchange: Mapping[str, Any]) -> str:
    """Return an exchange in one line."""
    status = exchange["status"] or "no answer"
    line = f"{exchange['method']:4} {exchange['target']} -> {status}"
    if exchange["method"] != "HEAD":
        line += f", {exchange['bytes']} bytes"
    if exchange["outcome"] != "complete":
        line += f", {exchange['outcome'] or 'in flight'}"
    for name, value in (*exchange["request"], *exchange["response"]):
        if name.lower() in ("range", "location", "www-authenticate"):
            line += f"; {name}: {value}"
    if exchange["server"] != "registry":
        line += f" ({exchange['server']})"
    return line


def _recorded(case: str) -> Iterator[str]:
    recorded = load_recording().get(case)
    if recorded is None:
        return
    if recorded["faults"]:
        yield ""
        yield "What the registry does wrong, and to which requests:"
        yield from (f"    {fault}" for fault in recorded["faults"])
    yield ""
    yield "What the reference asks, and is answered:"
    yield from (f"    {exchange_line(one)}" for one in recorded["exchanges"])


def _known(case: str) -> Iterator[str]:
    """Yield what is known of the clients that come with the suite."""
    lines = []
    for file in sorted(BUNDLED.glob("*.xfails")):
        xfail = read_xfails(file).get(case)
        if xfail is not None:
            versions = f" {xfail.versions}" if xfail.versions else ""
            lines.append(f"    {file.stem}{versions}: {xfail.reason} ({xfail.link})")
    if lines:
        yield ""
        yield "Clients that are known to fail it:"
        yield from lines


def _wrapped(text: str, indent: str = "") -> Iterator[str]:
    for number, paragraph in enumerate(inspect.cleandoc(text).split("\n\n")):
        if number:
            yield ""
        yield from textwrap.wrap(
            paragraph, WIDTH, initial_indent=indent, subsequent_indent=indent
        )


def _without_docstring(source: str) -> str:
    before, mark, rest = source.partition('"""')
    _, end, after = rest.partition('"""')
    return before.rstrip() + after if mark and end else source
