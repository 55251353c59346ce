"""What the parts of a benchmark share: options, a folder, a screen, the figures."""

from __future__ import annotations

import contextlib
import itertools
import shutil
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from tests.benchmarks.tables import show

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from rich.console import Console

    from tests.benchmarks.harness import Figure

__all__ = ["Context"]


@dataclass(kw_only=True)
class Context:
    """One run of the benchmarks.

    Attributes:
        quick: Everything small: it shows that all of it works, and no more.
        absent: Programs that cannot be used here, with the reason.
        figures: What was measured so far.
        problems: What did not work.
    """

    console: Console
    root: Path
    rounds: int
    quick: bool
    absent: Mapping[str, str]
    figures: list[Figure] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def has(self, *programs: str) -> bool:
        """Whether all of these can be used."""
        return not any(program in self.absent for program in programs)

    def left_out(self, *programs: str) -> tuple[str, ...]:
        """Return a note on each of these that cannot be used."""
        return tuple(
            f"{program}: left out, {self.absent[program]}"
            for program in programs
            if program in self.absent
        )

    def place(self) -> Path:
        """Return the name of a folder that does not exist yet."""
        return self.root / str(next(self._numbers))

    @contextlib.contextmanager
    def fresh(self) -> Iterator[Path]:
        """Make an empty folder and remove it afterwards."""
        folder = self.place()
        folder.mkdir()
        try:
            yield folder
        finally:
            shutil.rmtree(folder)

    def tell(self, text: str) -> None:
        """Say what goes on, on a terminal; the next line takes its place."""
        if self.console.is_terminal:
            self.console.print(f"\x1b[K{text}", end="\r", markup=False)

    def add(self, figure: Figure) -> None:
        """Keep a figure and show it; small sizes reach no goals."""
        if self.quick:
            figure = replace(figure, goals=())
        self.figures.append(figure)
        self.tell("")
        show(self.console, figure)
