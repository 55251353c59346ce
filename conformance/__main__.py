"""The command `pull-conformance`.

    pull-conformance run --client skopeo --area verify --json report.json
    pull-conformance cases
    pull-conformance clients
    pull-conformance smoke --client skopeo
    pull-conformance explain verify.layer-intact
    pull-conformance replay verify.layer-intact --client skopeo
    pull-conformance fuzz --client skopeo --examples 200
    pull-conformance vectors conformance/vectors
    pull-conformance table skopeo.json podman.json

Commands for saved reports stand in conformance/cli_reports.py.

Exit status: 0 all that counts passed, 1 not, 2 misuse, 3 nothing ran.
"""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from conformance import __version__, cli_cases, cli_fuzz, cli_reports
from conformance.adapter import BUNDLED, AdapterError, Client, ClientInfo, bundled
from conformance.case import Case, CaseError, load_suite
from conformance.front import RunOptions, run_suite
from conformance.report.run import TRACES
from conformance.report.saved import ReportError
from conformance.report.table import TableError, read_clients, table
from conformance.session import DEFAULT_TIMEOUT, chosen_clients
from conformance.smoke import smoke
from conformance.vectors import runner
from conformance.vectors.known import read_known

if TYPE_CHECKING:
    from argparse import _SubParsersAction

    _Commands = _SubParsersAction[argparse.ArgumentParser]

MISUSE: Final = 2


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status."""
    parser = _parser()
    # What `run` does not know is for pytest to judge; the others know all theirs.
    options, rest = parser.parse_known_args(argv)
    if rest and options.command != "run":
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    try:
        status: int = options.function(options, rest)
        sys.stdout.flush()
    except (
        AdapterError,
        CaseError,
        ReportError,
        TableError,
        runner.VectorError,
    ) as err:
        sys.stderr.write(f"pull-conformance {options.command}: error: {err}\n")
        return MISUSE
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        return 1
    except BrokenPipeError:
        # Whoever read our output has enough; there is nobody left to tell.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return status


def _run(options: argparse.Namespace, rest: Sequence[str]) -> int:
    return run_suite(
        RunOptions(
            clients=options.client,
            adapters=options.adapter,
            commands=options.commands,
            cases=options.case,
            areas=options.area,
            levels=options.level,
            strict=options.strict,
            json=options.json,
            junit=options.junit,
            html=options.html,
            har=options.har,
            timeout=options.timeout,
            trace=options.trace,
            shard=options.shard,
            suite_version=options.suite_version,
            config=options.config,
        ),
        rest,
    )


def _cases(options: argparse.Namespace, _rest: Sequence[str]) -> int:
    suite = load_suite()
    if options.json:
        _say(json.dumps([_described(made) for made in suite.values()], indent=1))
        return 0
    width = max(map(len, suite), default=0)
    for made in suite.values():
        needs = f" (needs {', '.join(sorted(made.needs))})" if made.needs else ""
        level = f"{made.level}{'!' if made.critical else ''}"
        _say(f"{made.id:{width}}  {level:9}  {made.title}{needs}")
    return 0


def _described(made: Case) -> dict[str, Any]:
    return {
        "id": made.id,
        "area": made.area,
        "level": str(made.level),
        "critical": made.critical,
        "needs": sorted(made.needs),
        "twin": made.twin,
        "title": made.title,
        "description": made.docstring,
        "clause": made.clause,
        "link": made.link,
        "catalogue": list(made.catalogue),
    }


def _clients(options: argparse.Namespace, _rest: Sequence[str]) -> int:
    known = bundled()
    if options.json:
        _say(json.dumps([_told(info) for info in known], indent=1))
        return 0
    width = max((len(info.name) for info in known), default=0)
    for info in known:
        if info.missing is not None:
            _say(f"{info.name:{width}}  not installed: {info.missing}")
            if info.install and info.install not in info.missing:
                _say(f"{'':{width}}  install: {info.install}")
            continue
        _say(f"{info.name:{width}}  {info.version}")
        _say(f"{'':{width}}  {', '.join(sorted(info.features))}")
    return 0


def _told(info: ClientInfo) -> dict[str, Any]:
    return {
        "name": info.name,
        "installed": info.missing is None,
        "missing": info.missing,
        "version": info.version,
        "features": sorted(info.features),
        "description": info.description,
        "homepage": info.homepage,
        "install": info.install,
    }


def _smoke(options: argparse.Namespace, _rest: Sequence[str]) -> int:
    well = True
    for client in _chosen(options):
        try:
            client.setup()
            well &= smoke(client, timeout=options.timeout or DEFAULT_TIMEOUT, say=_say)
        finally:
            client.teardown()
    return 0 if well else 1


def _vectors(options: argparse.Namespace, _rest: Sequence[str]) -> int:
    files = runner.load(options.path)
    clients = _chosen(options)
    if len(clients) != 1:
        raise AdapterError("vectors are run with one client at a time")
    client = clients[0]
    try:
        client.setup()
        known = read_known(BUNDLED / f"{client.name}.vectors")
        return runner.run(client, files, _say, known=known).exit_status
    finally:
        client.teardown()


def _table(options: argparse.Namespace, _rest: Sequence[str]) -> int:
    sys.stdout.write(table(read_clients(options.report)))
    return 0


def _chosen(options: argparse.Namespace) -> list[Client]:
    """Return the clients asked for, all of them installed."""
    clients = chosen_clients(options.client, options.adapter, options.commands)
    for client in clients:
        missing = client.installed()
        if missing is not None:
            raise AdapterError(f"{client.name} cannot run: {missing}")
    return clients


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 < seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is no time to wait")
    return seconds


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="pull-conformance",
        description="Conformance tests for clients that pull container images.",
        epilog="Exit status: 0 all that counts passed, 1 not, 2 misuse, 3 nothing ran.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_run(commands)
    _add_cases(commands)
    _add_clients_command(commands)
    _add_smoke(commands)
    _add_vectors(commands)
    cli_cases.add_commands(commands)
    cli_fuzz.add_commands(commands)
    cli_reports.add_commands(commands)
    _add_table(commands)
    return parser


def _add_run(commands: "_Commands") -> None:
    run = commands.add_parser(
        "run",
        help="run the cases against clients",
        description="Run the cases against clients and say which clauses they keep.",
        epilog="Every other option is pytest's: -k EXPR, -x, -n N, -v, -s, --pdb, ...",
        allow_abbrev=False,
    )
    _add_clients(run)
    run.add_argument(
        "--case", action="append", default=[], metavar="ID", help="run only this case"
    )
    run.add_argument(
        "--area", action="append", default=[], metavar="A", help="run only this area"
    )
    run.add_argument(
        "--level",
        action="append",
        default=[],
        metavar="L",
        help="run only this level: MUST, SHOULD, MAY or REFERENCE",
    )
    run.add_argument(
        "--strict", action="store_true", help="a SHOULD that is not met is red, too"
    )
    run.add_argument("--json", metavar="FILE", help="write the report as JSON")
    run.add_argument("--junit", metavar="FILE", help="write the report as JUnit XML")
    run.add_argument("--html", metavar="FILE", help="write the report as one HTML page")
    run.add_argument(
        "--har",
        metavar="DIR",
        help="write DIR/CLIENT/CASE.har of each case that did not pass, for"
        " `fakeregistry serve --har`",
    )
    run.add_argument(
        "--trace",
        choices=TRACES,
        default="failures",
        help="of which cases the JSON report has the wire (default: %(default)s)",
    )
    run.add_argument("--shard", metavar="I/N", help="run the I-th of N parts")
    run.add_argument(
        "--suite-version",
        metavar="V",
        help="let only the cases of this released version be red",
    )
    run.add_argument(
        "--config",
        metavar="FILE",
        help="settings (default: pull-conformance.toml in the current folder)",
    )
    run.set_defaults(function=_run)


def _add_cases(commands: "_Commands") -> None:
    cases = commands.add_parser("cases", help="list the cases", allow_abbrev=False)
    cases.add_argument("--json", action="store_true", help="as JSON, with everything")
    cases.set_defaults(function=_cases)


def _add_clients_command(commands: "_Commands") -> None:
    clients = commands.add_parser(
        "clients", help="say which clients are installed", allow_abbrev=False
    )
    clients.add_argument("--json", action="store_true", help="as JSON")
    clients.set_defaults(function=_clients)


def _add_smoke(commands: "_Commands") -> None:
    check = commands.add_parser(
        "smoke", help="check an adapter before a run", allow_abbrev=False
    )
    _add_clients(check)
    check.set_defaults(function=_smoke)


def _add_vectors(commands: "_Commands") -> None:
    vectors = commands.add_parser(
        "vectors",
        help="run recorded outcomes of containerd's functions through a client",
        allow_abbrev=False,
    )
    _add_clients(vectors)
    vectors.add_argument(
        "path", nargs="+", type=Path, metavar="PATH", help="a file or folder of vectors"
    )
    vectors.set_defaults(function=_vectors)


def _add_table(commands: "_Commands") -> None:
    made = commands.add_parser(
        "table",
        help="make a table in Markdown of saved reports",
        description="Print Markdown: clients by level and by area.",
        allow_abbrev=False,
    )
    made.add_argument("report", nargs="+", type=Path, metavar="REPORT.json")
    made.set_defaults(function=_table)


def _add_clients(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--client",
        action="append",
        default=[],
        metavar="NAME",
        help="a client that `pull-conformance clients` knows (default: refimpl)",
    )
    parser.add_argument(
        "--adapter",
        action="append",
        default=[],
        metavar="FILE",
        help="a client described in a TOML file",
    )
    parser.add_argument(
        "--command",
        action="append",
        default=[],
        dest="commands",
        metavar="COMMAND",
        help="a client behind a command (see ADAPTER.md)",
    )
    parser.add_argument(
        "--timeout",
        type=_seconds,
        metavar="S",
        help="deadline of one run of the client, in seconds (default: 60)",
    )


if __name__ == "__main__":
    sys.exit(main())
