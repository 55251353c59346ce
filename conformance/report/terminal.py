"""The report for people: what a run says of each client.

On a terminal it has colours and a line that shows how far the run is; anywhere
else it is plain text, one case or one reason a line, that greps well.
"""

import os
import shutil
import time
from collections import Counter
from collections.abc import Sequence
from typing import Final, TextIO

from rich.console import Console
from rich.table import Table
from rich.text import Text

from conformance.adapter import known_names
from conformance.report.run import ClientRun, Run
from conformance.verdict import Judged, Verdict

PLAIN_WIDTH: Final = 100
REASON_LINES: Final = 4
LINE_LENGTH: Final = 400
#: More cases than these that have one reason are counted, not named.
NAMED: Final = 5
SHOW_EVERY: Final = 0.05

#: Columns, in order: the verdict, its heading, its colour.
_COLUMNS: Final = (
    (Verdict.PASS, "pass", "green"),
    (Verdict.FAIL, "fail", "bold red"),
    (Verdict.WARN, "warn", "yellow"),
    (Verdict.INFO, "info", "cyan"),
    (Verdict.NOT_TESTABLE, "not testable", "dim"),
    (Verdict.KNOWN, "known", "magenta"),
    (Verdict.UNEXPECTED_PASS, "unexpected pass", "bold red"),
    (Verdict.ERROR, "error", "bold red"),
)
_HEADINGS: Final = {verdict: heading for verdict, heading, _ in _COLUMNS}
_STYLES: Final = {verdict: style for verdict, _, style in _COLUMNS}
#: What is listed after the table, the gravest first; passes are not.
_LISTED: Final = (
    Verdict.ERROR,
    Verdict.FAIL,
    Verdict.UNEXPECTED_PASS,
    Verdict.WARN,
    Verdict.KNOWN,
    Verdict.INFO,
    Verdict.NOT_TESTABLE,
)
#: Verdicts of which what the client did on the wire is told.
_ACCOUNTED: Final = frozenset({Verdict.FAIL, Verdict.WARN, Verdict.KNOWN})
#: Verdicts that a column is shown for even if nothing got them.
_ALWAYS: Final = frozenset({Verdict.PASS, Verdict.FAIL, Verdict.WARN})


def console_for(file: TextIO) -> Console:
    """Return a console that colours terminals only, whatever the environment."""
    terminal = file.isatty()
    colour = terminal and "NO_COLOR" not in os.environ
    width = shutil.get_terminal_size((PLAIN_WIDTH, 24)).columns
    return Console(
        file=file,
        force_terminal=terminal,
        color_system="auto" if colour else None,
        no_color=not colour,
        width=width if terminal else PLAIN_WIDTH,
        highlight=False,
        markup=False,
        emoji=False,
        soft_wrap=True,
    )


class Progress:
    """One line that says how far a run is; nothing unless on a terminal."""

    def __init__(self, file: TextIO | None) -> None:
        self.total = 0
        self._file = file if file is not None and file.isatty() else None
        self._last = 0.0
        self._shown = False

    def show(self, done: int, what: str) -> None:
        """Say that so many cases are done, and which was the last."""
        now = time.monotonic()
        if self._file is None or now - self._last < SHOW_EVERY:
            return
        self._last = now
        self._shown = True
        width = shutil.get_terminal_size().columns
        line = f"  {done}/{self.total or '?'}  {what}"[: width - 1]
        self._file.write(f"\r\x1b[K{line}")
        self._file.flush()

    def clear(self) -> None:
        """Remove the line."""
        if self._file is not None and self._shown:
            self._file.write("\r\x1b[K")
            self._file.flush()
            self._shown = False


def print_run(run: Run, file: TextIO) -> None:
    """Print the report of a run."""
    console = console_for(file)
    for client in run.clients:
        _print_client(console, run, client)
    for line in run.broken:
        console.print(Text(f"broken: {line}", style="bold red"))
    console.print(_last_line(run))


def _print_client(console: Console, run: Run, client: ClientRun) -> None:
    console.print()
    console.print(Text(f"{client.name} {client.version}", style="bold"))
    console.print()
    if client.cases:
        console.print(_table(client), soft_wrap=False)
        console.print()
    for verdict in _LISTED:
        cases = [one for one in client.cases if one.verdict is verdict]
        if verdict is Verdict.NOT_TESTABLE:
            _print_not_testable(console, cases)
        else:
            for judged in cases:
                _print_case(console, judged)
        if verdict is Verdict.FAIL:
            _print_replays(console, client, cases)
        if cases:
            console.print()
    console.print(_totals(run, client))


def _table(client: ClientRun) -> Table:
    counts: dict[str, Counter[Verdict]] = {}
    for judged in client.cases:
        counts.setdefault(judged.result.area, Counter())[judged.verdict] += 1
    totals = client.totals
    columns = [c for c in _COLUMNS if c[0] in _ALWAYS or totals[c[0]]]
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_footer=True)
    table.add_column("area", footer="all", header_style="dim", footer_style="bold")
    for verdict, heading, style in columns:
        table.add_column(
            heading,
            footer=Text(
                str(totals[verdict]), style=style if totals[verdict] else "dim"
            ),
            justify="right",
            header_style="dim",
            no_wrap=True,
        )
    for area, count in counts.items():
        cells = [
            Text(str(count[verdict]), style=style)
            if count[verdict]
            else Text("-", "dim")
            for verdict, _, style in columns
        ]
        table.add_row(area, *cells)
    return table


def _print_case(console: Console, judged: Judged) -> None:
    result = judged.result
    line = Text()
    line.append(_HEADINGS[judged.verdict], style=_STYLES[judged.verdict])
    line.append(f"  {result.id}")
    critical = ", critical" if result.critical else ""
    line.append(f"  ({result.level}{critical})", style="dim")
    if result.uncounted:
        line.append(f"  does not count: {result.uncounted}", style="dim")
    console.print(line)
    reason = result.raw.details or judged.reason
    for text in _lines(reason, limit=None if result.raw.details else REASON_LINES):
        console.print(Text(f"    {text}"))
    account = (result.trace or {}).get("account")
    if account and judged.verdict in _ACCOUNTED:
        for text in _lines(f"on the wire: {account['sentence']}", limit=1):
            console.print(Text(f"    {text}"))
    if judged.verdict in {Verdict.FAIL, Verdict.WARN}:
        console.print(Text(f"    {result.title}", style="dim"))
        console.print(Text(f"    [{result.clause}]", style="dim"))


def _print_replays(
    console: Console, client: ClientRun, cases: Sequence[Judged]
) -> None:
    """Print the commands that play failed cases again."""
    known = client.name in known_names()
    who = f"--client {client.name}" if known else "--adapter FILE"
    few = len(cases) <= NAMED
    for judged in cases if few else cases[:1]:
        line = f"pull-conformance replay {judged.result.id} {who} --run"
        more = "" if few else "  (and so on)"
        console.print(Text(f"    again: {line}{more}", style="dim"))


def _print_not_testable(console: Console, cases: Sequence[Judged]) -> None:
    """Print the cases reason by reason: they are often many."""
    reasons: dict[str, list[str]] = {}
    for judged in cases:
        line = next(iter(_lines(judged.reason, limit=1)), "no reason given")
        reasons.setdefault(line, []).append(judged.result.id)
    for reason, ids in reasons.items():
        console.print(
            Text.assemble(("not testable", "dim"), f"  {_count(len(ids))}: {reason}")
        )
        if len(ids) <= NAMED:
            for case in ids:
                console.print(Text(f"    {case}", style="dim"))


def _lines(text: str, *, limit: int | None) -> list[str]:
    lines = [
        _printable(line)[:LINE_LENGTH] for line in text.splitlines() if line.strip()
    ]
    if limit is not None and len(lines) > limit:
        return [*lines[:limit], f"... {len(lines) - limit} more lines"]
    return lines


def _printable(line: str) -> str:
    """Make what a client printed harmless for a terminal."""
    return "".join(c if c.isprintable() else "?" for c in line.expandtabs())


def _totals(run: Run, client: ClientRun) -> Text:
    totals = client.totals
    parts = [f"{totals[v]} {_HEADINGS[v]}" for v in Verdict if totals[v]]
    line = Text(f"{client.name}: ", style="bold")
    line.append(
        f"{_count(len(client.cases))}: {', '.join(parts)}" if parts else "no case"
    )
    ran = [j for j in client.cases if j.result.raw.outcome != "not-testable"]
    if ran:
        seconds = sum(judged.result.seconds for judged in ran)
        line.append(f"; {1000 * seconds / len(ran):.1f} ms a case", style="dim")
    return line


def _last_line(run: Run) -> Text:
    says = {
        0: ("ok", "bold green"),
        1: ("not ok", "bold red"),
        3: ("nothing was judged", "bold yellow"),
    }
    word, style = says[run.exit_status]
    line = Text(word, style=style)
    line.append(f" - {_count(len(run.cases))} in {run.seconds:.1f} s", style="dim")
    if run.strict:
        line.append(", strict", style="dim")
    if run.shard:
        line.append(f", shard {run.shard}: merge judges it with the others", "dim")
    return line


def _count(cases: int) -> str:
    return "1 case" if cases == 1 else f"{cases} cases"
