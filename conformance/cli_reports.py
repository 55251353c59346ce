"""The commands that work on saved reports, and on the suite's own lists.

pull-conformance report skopeo.json crane.json --html matrix.html
pull-conformance merge shard-1.json shard-2.json --json all.json
pull-conformance compare old.json new.json
pull-conformance badge report.json --client skopeo
"""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from conformance import __version__
from conformance.case import load_suite
from conformance.recorder import record
from conformance.released import freeze
from conformance.report.badge import badge
from conformance.report.compare import compare, told
from conformance.report.html import write_html
from conformance.report.json import write_json
from conformance.report.junit import write_junit
from conformance.report.run import Run
from conformance.report.saved import ReportError, merged, read_report, side_by_side
from conformance.report.terminal import print_run
from conformance.session import check_writable

if TYPE_CHECKING:
    from argparse import _SubParsersAction

    _Commands = _SubParsersAction[argparse.ArgumentParser]

__all__ = ["add_commands"]

_WRITERS: Final[Sequence[tuple[str, str, Callable[[Run, Path], None]]]] = (
    ("json", "write the report as JSON", write_json),
    ("junit", "write the report as JUnit XML", write_junit),
    ("html", "write the report as one HTML page", write_html),
)


def add_commands(commands: "_Commands") -> None:
    """Add the commands to those of `pull-conformance`."""
    _add_report(commands)
    _add_merge(commands)
    _add_compare(commands)
    _add_badge(commands)
    _add_own(commands)


def _add_report(commands: "_Commands") -> None:
    report = commands.add_parser(
        "report",
        help="make one report of saved ones, client beside client",
        description="Make one report of saved ones, client beside client; nothing is "
        "judged anew, and the exit status says only whether it was written.",
        allow_abbrev=False,
    )
    _add_files(report, "REPORT")
    report.set_defaults(function=_report)


def _add_merge(commands: "_Commands") -> None:
    merge = commands.add_parser(
        "merge",
        help="put the reports of shards, or of repeated runs, together",
        description="Put the reports of shards together, and judge them as one run; "
        "a case that is in several is shown as it ended worst. Exit status as of run.",
        allow_abbrev=False,
    )
    _add_files(merge, "REPORT")
    merge.set_defaults(function=_merge)


def _add_compare(commands: "_Commands") -> None:
    parser = commands.add_parser(
        "compare",
        help="say what changed from one report to another",
        description="Say what got better and what got worse. Exit status: 1 if "
        "anything got worse.",
        allow_abbrev=False,
    )
    parser.add_argument("old", type=Path, metavar="OLD")
    parser.add_argument("new", type=Path, metavar="NEW")
    parser.add_argument("--json", action="store_true", help="as JSON")
    parser.set_defaults(function=_compare)


def _add_badge(commands: "_Commands") -> None:
    parser = commands.add_parser(
        "badge",
        help="print a badge's JSON, as shields.io takes it from an endpoint",
        allow_abbrev=False,
    )
    parser.add_argument("report", type=Path, metavar="REPORT")
    parser.add_argument("--client", metavar="NAME", help="if it is about several")
    parser.set_defaults(function=_badge)


def _add_own(commands: "_Commands") -> None:
    parser = commands.add_parser(
        "freeze",
        help="list the cases of a version that is released (for the suite's makers)",
        allow_abbrev=False,
    )
    parser.add_argument("version", nargs="?", default=__version__, metavar="VERSION")
    parser.set_defaults(function=_freeze)
    parser = commands.add_parser(
        "record",
        help="record what the reference asks (for the suite's makers)",
        allow_abbrev=False,
    )
    parser.set_defaults(function=_record)


def _add_files(parser: argparse.ArgumentParser, name: str) -> None:
    parser.add_argument("report", nargs="+", type=Path, metavar=name)
    for option, text, _ in _WRITERS:
        parser.add_argument(f"--{option}", type=Path, metavar="FILE", help=text)


def _report(options: argparse.Namespace, _rest: Sequence[str]) -> int:
    if not any(getattr(options, option) for option, _, _ in _WRITERS):
        raise ReportError("say what to write: --html, --json or --junit FILE")
    return _written(side_by_side(_read(options.report)), options)


def _merge(options: argparse.Namespace, _rest: Sequence[str]) -> int:
    run = merged(_read(options.report))
    print_run(run, sys.stdout)
    return max(_written(run, options), run.exit_status)


def _read(files: Sequence[Path]) -> list[Run]:
    return [read_report(file) for file in files]


def _written(run: Run, options: argparse.Namespace) -> int:
    for option, _, write in _WRITERS:
        file = getattr(options, option)
        if file is None:
            continue
        try:
            check_writable(file)
            write(run, file)
        except (OSError, ValueError) as err:
            raise ReportError(getattr(err, "strerror", None) or str(err)) from err
    return 0


def _compare(options: argparse.Namespace, _rest: Sequence[str]) -> int:
    changes = compare(read_report(options.old), read_report(options.new))
    if options.json:
        sys.stdout.write(json.dumps(changes, indent=1) + "\n")
    else:
        sys.stdout.writelines(f"{line}\n" for line in told(changes))
    return 1 if changes["worse"] else 0


def _badge(options: argparse.Namespace, _rest: Sequence[str]) -> int:
    made = badge(read_report(options.report), options.client)
    sys.stdout.write(json.dumps(made) + "\n")
    return 0


def _freeze(options: argparse.Namespace, _rest: Sequence[str]) -> int:
    suite = load_suite()
    try:
        file = freeze(options.version, suite)
    except ValueError as err:
        raise ReportError(str(err)) from err
    sys.stdout.write(f"{file}: {len(suite)} cases\n")
    return 0


def _record(_options: argparse.Namespace, _rest: Sequence[str]) -> int:
    status, changed = record()
    for case in changed:
        sys.stdout.write(f"changed: {case}\n")
    return status
