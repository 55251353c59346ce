"""What the parts of a benchmark share: options, a folder, a screen, the figures."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.benchmarks.tables import show, show_growth

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from rich.console import Console

    from tests.benchmarks.growth import Growth
    from tests.benchmarks.harness import Figure

__all__ = ["Context"]

#: Where Linux has a file system in memory that everybody may use (shm_overview(7)).
_MEMORY: Final = Path("/dev/shm")  # noqa: S108 - what is made there has names of its own


@dataclass(kw_only=True)
class Context:
    """One run of the benchmarks.

    Attributes:
        quick: Everything small: it shows that all of it works, and no more.
        store: Where what is unpacked goes; None: into memory.
        absent: Programs that cannot be used here, with the reason.
        figures: What was measured so far.
        growths: The same, where it is by size.
        problems: What did not work.
    """

    console: Console
    root: Path
    rounds: int
    quick: bool
    absent: Mapping[str, str]
    store: Path | None = None
    figures: list[Figure] = field(default_factory=list)
    growths: list[Growth] = field(default_factory=list)
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
    def roomy(self, room: int) -> Iterator[Context]:
        """Return a context whose folders lie in memory, or where the user said.

        Where there is no room for that many bytes in memory, it is where all is.
        """
        store = self.store or _in_memory(room)
        if store is None:
            yield self
            return
        with tempfile.TemporaryDirectory(prefix="pull-bench-", dir=store) as root:
            yield replace(self, root=Path(root))

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

    def add_growth(self, growth: Growth) -> None:
        """Keep what grows and show it; of small sizes nothing is wanted."""
        if self.quick:
            growth = replace(growth, most=None)
        self.growths.append(growth)
        self.tell("")
        show_growth(self.console, growth)

    def add(self, figure: Figure) -> None:
        """Keep a figure and show it; small sizes reach no goals."""
        if self.quick:
            figure = replace(figure, goals=())
        self.figures.append(figure)
        self.tell("")
        show(self.console, figure)


def _in_memory(room: int) -> Path | None:
    with contextlib.suppress(OSError):
        if os.access(_MEMORY, os.W_OK) and shutil.disk_usage(_MEMORY).free >= room:
            return _MEMORY
    return None
