"""The command line of the benchmarks; bench.py says how to use it."""

from __future__ import annotations

import argparse
import compileall
import json
import signal
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from rich.console import Console

from tests.benchmarks import memory, peers, pull, registry, scaling, suite, unpack
from tests.benchmarks.context import Context
from tests.benchmarks.harness import BenchError
from tests.benchmarks.machine import describe
from tests.benchmarks.markdown import to_markdown
from tests.benchmarks.processes import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

__all__ = ["main"]

PARTS: Final[Mapping[str, Callable[[Context], None]]] = {
    "registry": registry.run,
    "suite": suite.run,
    "pull": pull.run,
    "unpack": unpack.run,
    "memory": memory.run,
    "scaling": scaling.run,
}
_WIDTH: Final = 120


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmarks and return the exit status."""
    parser = _parser()
    options = parser.parse_args(argv)
    if options.markdown:
        try:
            sys.stdout.write(f"{to_markdown(options.markdown)}\n")
        except BenchError as err:
            parser.error(str(err))
        return 0
    if options.json and not options.json.absolute().parent.is_dir():
        parser.error(f"--json {options.json}: there is no such folder")
    if options.store and not options.store.is_dir():
        parser.error(f"--store {options.store}: there is no such folder")
    console = Console(width=None if sys.stdout.isatty() else _WIDTH, highlight=False)
    # What was started ends when this process is told to end.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    # As pip leaves an installed one: nobody compiles at every start.
    compileall.compile_dir(ROOT / "refimpl", quiet=1)
    started = datetime.now(UTC)
    machine = describe()
    with tempfile.TemporaryDirectory(prefix="pull-bench-") as root:
        context = Context(
            console=console,
            root=Path(root),
            rounds=options.rounds or (2 if options.quick else 5),
            quick=options.quick,
            absent=peers.absent(),
            store=options.store,
        )
        told = peers.versions()
        _introduce(context, machine, told)
        for name in options.only or PARTS:
            _run_part(context, name)
    if options.json:
        document = {
            "started": started.isoformat(timespec="seconds"),
            "quick": options.quick,
            "rounds": context.rounds,
            "machine": machine,
            "versions": told,
            "absent": dict(context.absent),
            "problems": context.problems,
            "figures": [figure.to_json() for figure in context.figures],
            "growths": [growth.to_json() for growth in context.growths],
        }
        options.json.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    return 1 if context.problems else 0


def _run_part(context: Context, name: str) -> None:
    try:
        PARTS[name](context)
    except (BenchError, OSError) as err:
        context.tell("")
        context.problems.append(f"{name}: {err}")
        context.console.print(f"{name}: {err}", style="bold red", markup=False)


def _introduce(
    context: Context, machine: Mapping[str, Any], versions: Mapping[str, str]
) -> None:
    def say(text: str) -> None:
        context.console.print(text, markup=False, soft_wrap=True)

    load = " ".join(f"{value:.2f}" for value in machine["load"])
    say(f"{machine['processors']} x {machine['processor']}, load {load}")
    say(f"Linux {machine['kernel']}, Python {machine['python']}")
    say(f"stores on {machine['file_system']} ({tempfile.gettempdir()})")
    for name, version in versions.items():
        say(f"{name}: {version}")
    for name, reason in context.absent.items():
        say(f"{name}: left out, {reason}")
    rounds = f"{context.rounds} interleaved rounds: medians, lowest and highest"
    say(f"{rounds}; quick: sizes too small to mean much" if context.quick else rounds)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="bench.py", description="What things cost, against named peers."
    )
    parser.add_argument(
        "--only",
        action="extend",
        nargs="+",
        choices=PARTS,
        help="only these parts",
    )
    parser.add_argument("--rounds", type=_count, metavar="N", help="default: 5")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write it all there")
    parser.add_argument(
        "--store", type=_folder, metavar="DIR", help="unpack there; default: /dev/shm"
    )
    parser.add_argument("--quick", action="store_true", help="everything small")
    parser.add_argument(
        "--markdown",
        type=Path,
        nargs="+",
        metavar="FILE",
        help="measure nothing; make a table of what --json wrote",
    )
    return parser


def _folder(text: str) -> Path:
    return Path(text).absolute()


def _count(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of rounds")
    return int(text)
