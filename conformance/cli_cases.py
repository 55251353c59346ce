"""The commands about one case: `explain` and `replay`."""

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from conformance.case import Case, load_suite
from conformance.contract import AdapterError
from conformance.explain import explain
from conformance.replay import replay
from conformance.session import chosen_clients

if TYPE_CHECKING:
    from argparse import _SubParsersAction

    _Commands = _SubParsersAction[argparse.ArgumentParser]

__all__ = ["add_commands"]


def add_commands(commands: "_Commands") -> None:
    """Add the commands to those of `pull-conformance`."""
    parser = commands.add_parser(
        "explain", help="tell what a case is about", allow_abbrev=False
    )
    parser.add_argument("case", metavar="ID")
    parser.set_defaults(function=_explain)
    parser = commands.add_parser(
        "replay",
        help="start the registry of a case, to pull from it by hand",
        description="Start the registry of a case, say what to pull and how, and tell "
        "what happened. Exit status: 0 the case holds, 1 not, 3 no verdict.",
        allow_abbrev=False,
    )
    parser.add_argument("case", metavar="ID")
    parser.add_argument(
        "--port",
        type=int,
        default=5000,
        metavar="P",
        help="of the registry; others of the case have the next ones (default: 5000)",
    )
    add = parser.add_argument
    add("--client", metavar="NAME", help="whose command is shown, and store read")
    add("--adapter", metavar="FILE", help="the same of a client described in TOML")
    add("--command", dest="commands", metavar="COMMAND", help="the same of a command")
    add("--run", action="store_true", help="let the client itself pull")
    parser.set_defaults(function=_replay)


def _case(name: str) -> Case:
    made = load_suite().get(name)
    if made is None:
        raise AdapterError(
            f"unknown case {name!r}; `pull-conformance cases` lists them"
        )
    return made


def _explain(options: argparse.Namespace, _rest: Sequence[str]) -> int:
    made = _case(options.case)
    for line in explain(made, load_suite()):
        _say(line)
    return 0


def _replay(options: argparse.Namespace, _rest: Sequence[str]) -> int:
    made = _case(options.case)
    named = [
        [value] if value else []
        for value in (options.client, options.adapter, options.commands)
    ]
    asked = sum(map(len, named))
    if asked > 1:
        raise AdapterError("a case is replayed with one client")
    if options.run and not asked:
        raise AdapterError("--run goes with --client, --adapter or --command")
    client = chosen_clients(*named)[0] if asked else None
    if client is None:
        return replay(made, None, port=options.port, by_hand=True, say=_say)
    missing = client.installed()
    if missing is not None:
        raise AdapterError(f"{client.name} cannot run: {missing}")
    try:
        client.setup()
        return replay(
            made, client, port=options.port, by_hand=not options.run, say=_say
        )
    finally:
        client.teardown()


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
