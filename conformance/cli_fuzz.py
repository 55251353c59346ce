"""The command `fuzz`: scenarios that nobody thought of, and a client.

pull-conformance fuzz --client skopeo --examples 200 --seed 7
pull-conformance fuzz --replay fuzz-corrupt-1a2b3c4d.toml --client skopeo
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from conformance.client import Client
from conformance.contract import AdapterError
from conformance.fuzz.findings import FINDINGS
from conformance.session import DEFAULT_TIMEOUT, check_writable, chosen_clients
from fakeregistry.scenario import ScenarioError

if TYPE_CHECKING:
    from argparse import _SubParsersAction

    _Commands = _SubParsersAction[argparse.ArgumentParser]

__all__ = ["add_commands"]

EXAMPLES: Final = 100
NOTHING_RAN: Final = 3


def add_commands(commands: "_Commands") -> None:
    """Add the command to those of `pull-conformance`."""
    parser = commands.add_parser(
        "fuzz",
        help="look for a scenario that breaks a client, and make it small",
        description="Draw images, registries and faults, let the client pull, and hold "
        "what must hold whatever a registry does. The first scenario that breaks it is "
        "made as small as it gets and written as a file for `fakeregistry serve "
        "--scenario`.",
        epilog=f"Findings: {_told()}. Exit status: 0 nothing found, 1 a finding, or a "
        "client that cannot pull at all, 2 misuse, 3 the client is not installed.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--client", metavar="NAME", help="who pulls (default: refimpl)")
    add("--adapter", metavar="FILE", help="a client described in a TOML file")
    add("--command", dest="commands", metavar="COMMAND", help="one behind a command")
    add(
        "--examples",
        type=_at_least_one,
        metavar="N",
        help=f"scenarios to draw (default: {EXAMPLES})",
    )
    add(
        "--seed",
        type=_seed,
        metavar="S",
        help="the same seed draws the same scenarios (default: 0)",
    )
    add(
        "--timeout",
        type=_seconds,
        default=DEFAULT_TIMEOUT,
        metavar="S",
        help="deadline of one pull, in seconds (default: 60)",
    )
    add(
        "--finding",
        action="append",
        default=[],
        choices=tuple(FINDINGS),
        help="look for this alone; may be given several times",
    )
    add("--out", type=Path, metavar="FILE", help="where to write what was found")
    add("--json", type=Path, metavar="FILE", help="write what came of it as JSON")
    add("--replay", type=Path, metavar="FILE", help="judge this scenario file alone")
    parser.set_defaults(function=_fuzz)


def _told() -> str:
    return "; ".join(f"{name}: {text}" for name, text in FINDINGS.items())


def _fuzz(options: argparse.Namespace, _rest: Sequence[str]) -> int:
    _check(options)
    client, chosen = _chosen(options)
    missing = client.installed()
    if missing is not None:
        sys.stderr.write(
            f"pull-conformance fuzz: {client.name} cannot run: {missing}\n"
        )
        return NOTHING_RAN
    # hypothesis takes its time to import, and no other command needs it.
    from conformance.fuzz.run import replay_file, search_client  # noqa: PLC0415 - see above

    try:
        if options.replay is not None:
            return replay_file(
                client, options.replay, timeout=options.timeout, say=_say
            )
        return search_client(
            client,
            chosen,
            examples=options.examples or EXAMPLES,
            seed=options.seed or 0,
            wanted=options.finding,
            timeout=options.timeout,
            out=options.out,
            json_file=options.json,
            say=_say,
        )
    except BrokenPipeError:
        raise  # Whoever read our output has enough: main knows.
    except (ScenarioError, OSError) as err:
        raise AdapterError(str(err)) from err


def _check(options: argparse.Namespace) -> None:
    """Refuse what cannot be meant, before anything runs.

    Raises:
        AdapterError: Options contradict each other, or a file cannot be written.
    """
    if options.replay is not None:
        for name in ("examples", "seed", "finding", "out", "json"):
            if getattr(options, name) not in (None, []):
                raise AdapterError(f"--{name} is of no use with --replay")
    for file in (options.out, options.json):
        if file is not None:
            try:
                check_writable(file)
            except ValueError as err:
                raise AdapterError(str(err)) from err


def _chosen(options: argparse.Namespace) -> tuple[Client, list[str]]:
    """Return the client, and the options that name it."""
    given = (
        ("--client", options.client),
        ("--adapter", options.adapter),
        ("--command", options.commands),
    )
    words = [word for pair in given if pair[1] for word in pair]
    if len(words) > 2:
        raise AdapterError("one client is judged at a time")
    named = [[value] if value else [] for _, value in given]
    return chosen_clients(*named)[0], words


def _at_least_one(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} scenarios are none")
    return number


def _seed(text: str) -> int:
    number = int(text)
    if number < 0:
        raise argparse.ArgumentTypeError(f"{text}: a number from 0 on")
    return number


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 < seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is no time to wait")
    return seconds


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
