"""Figures as tables, for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich import box
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from rich.console import Console

    from tests.benchmarks.growth import Growth
    from tests.benchmarks.harness import Figure, Goal, Row

__all__ = ["show", "show_growth"]


def show(console: Console, figure: Figure) -> None:
    """Print a figure: who took what, and the ratios, each over its range."""
    table = Table(box=box.SIMPLE_HEAD, title=Text(figure.title), title_justify="left")
    table.add_column("", no_wrap=True)
    headings = [figure.unit]
    headings += ["CPU s"] if _known("cpu", figure) else []
    headings += ["peak MiB"] if _known("peak", figure) else []
    for heading in headings:
        table.add_column(heading, justify="right")
    ratios = {(ratio.ours, ratio.peer): ratio for ratio in figure.ratios()}
    peers = [row.name for row in figure.rows if row.peer and figure.compared]
    for name in peers:
        table.add_column(_heading(name), justify="right")
    for row in figure.rows:
        cells = _cells(row, figure)
        for name in peers:
            ratio = ratios.get((row.name, name))
            if ratio is None:
                cells.append(Text(""))
                continue
            text = _ranging(ratio.value, ratio.low, ratio.high)
            cells.append(_judged(text, ratio.value, figure.goal(row.name, name)))
        table.add_row(*cells)
    console.print(table)
    for note in figure.notes:
        console.print(f"  {note}", markup=False, soft_wrap=True)


def show_growth(console: Console, growth: Growth) -> None:
    """Print what so many items take, and whether each takes more than it may."""
    table = Table(box=box.SIMPLE_HEAD, title=Text(growth.title), title_justify="left")
    for heading in (growth.items, "ms", "ms each", "ms each more"):
        table.add_column(heading, justify="right")
    for point, more in zip(growth.points, growth.more(), strict=True):
        milliseconds = [1000 * seconds for seconds in point.seconds]
        table.add_row(
            str(point.size),
            _ranging(1000 * point.total, min(milliseconds), max(milliseconds)),
            _number(1000 * point.each),
            "" if more is None else _number(1000 * more),
        )
    console.print(table)
    if growth.factor is not None:
        text = f"  ms each, where there are most, is {_number(growth.factor)} times"
        text += " that of the first ten or more"
        if growth.most is not None:
            text += f", wanted <= {growth.most:g}: {'yes' if growth.well else 'NO'}"
        style = {True: "green", False: "red", None: ""}[growth.well]
        console.print(text, style=style, markup=False, soft_wrap=True)
    for note in growth.notes:
        console.print(f"  {note}", markup=False, soft_wrap=True)


def _heading(name: str) -> str:
    """Write the name of a peer so that several have room beside each other."""
    return f"/ {name}".replace("-", "-\n", 1)


def _cells(row: Row, figure: Figure) -> list[Text]:
    text = _ranging(row.median, min(row.values), max(row.values))
    cells = [
        Text(row.name),
        _judged(text, row.median, figure.goal(row.name, None)),
    ]
    if _known("cpu", figure):
        cells.append(Text("" if row.cpu is None else _number(row.cpu)))
    if _known("peak", figure):
        cells.append(Text("" if row.peak is None else f"{row.peak / (1 << 20):.0f}"))
    return cells


def _known(what: str, figure: Figure) -> bool:
    return any(getattr(row, what) is not None for row in figure.rows)


def _judged(text: str, value: float, goal: Goal | None) -> Text:
    if goal is None:
        return Text(text)
    well = goal.reached(value)
    return Text(
        f"{text}\nwanted {goal}: {'yes' if well else 'NO'}",
        style="green" if well else "red",
    )


def _ranging(value: float, low: float, high: float) -> str:
    between = " to " if low < 0 else "-"
    return f"{_number(value)}\n{_number(low)}{between}{_number(high)}"


def _number(value: float) -> str:
    """Write a number with three digits that count."""
    if abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.2f}" if abs(value) >= 1 else f"{value:.3f}"
