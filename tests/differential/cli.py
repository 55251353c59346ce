"""Play the scenarios, and say what differs."""

import argparse
import importlib
import importlib.util
import os
import pkgutil
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

from conformance.process import client_environment, run
from refimpl.platforms import default_string
from tests.differential import scenarios
from tests.differential.clients.containerd import Containerd
from tests.differential.clients.reference import ReferenceClient
from tests.differential.compare import Difference
from tests.differential.explained import Explained, read_explained, sort_out
from tests.differential.stage import (
    SCENARIOS,
    WAYS,
    Client,
    Played,
    Registries,
    Scenario,
    play,
)

__all__ = ["load_scenarios", "main"]

#: The release that refimpl is held against: Debian 12's.
VERSION: Final = "1.6"


def main(argv: Sequence[str] | None = None) -> int:
    """Run what is asked for; return 1 if anything differs that is not explained."""
    options = _parse(argv)
    chosen = [
        item
        for item in load_scenarios()
        if not options.k or any(text in item.name for text in options.k)
    ]
    if options.list:
        for item in chosen:
            _say(f"{item.name} ({', '.join(item.ways)}): {item.what}")
        return 0
    if not chosen:
        _say(f"no scenario has {options.k} in its name")
        return 2
    missing = _missing()
    if missing:
        _say(f"skipped: {missing}")
        return 0
    whole = not options.k and options.way is None
    plays = _Run(chosen, options.way or WAYS, verbose=options.verbose)
    return plays.play(whole=whole)


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="differential", description="refimpl and containerd side by side"
    )
    parser.add_argument(
        "-k",
        action="append",
        default=[],
        metavar="TEXT",
        help="names with this text; several for any",
    )
    parser.add_argument("--way", action="append", choices=WAYS, help="by this way only")
    parser.add_argument("--list", action="store_true", help="list the scenarios")
    parser.add_argument(
        "-v", "--verbose", action="store_true", help="show every difference and fact"
    )
    return parser.parse_args(argv)


def load_scenarios() -> Sequence[Scenario]:
    """Return all scenarios, in the order of their modules."""
    for module in pkgutil.iter_modules(scenarios.__path__):
        importlib.import_module(f"{scenarios.__name__}.{module.name}")
    return tuple(SCENARIOS.values())


def _missing() -> str | None:
    """Return why nothing can be played here, or None."""
    if os.geteuid() != 0:
        return "containerd needs root"
    for program in ("containerd", "ctr"):
        if shutil.which(program) is None:
            return f"{program} is not installed (apt-get install containerd)"
    for module in ("grpc", "google"):
        if importlib.util.find_spec(module) is None:
            return "its Python client is not installed (pip install grpcio protobuf)"
    with tempfile.TemporaryDirectory() as root:
        env = client_environment(root)
        version = run(["ctr", "--version"], env=env, timeout=30).last_line()
    if not re.search(rf"\b{re.escape(VERSION)}\.", version):
        return f"explained.toml is about containerd {VERSION}, this is {version}"
    return None


class _Run:
    """One run: a daemon, the registries, and the counts."""

    def __init__(
        self, chosen: Sequence[Scenario], ways: Sequence[str], *, verbose: bool
    ) -> None:
        self._plays = [(s, way) for s in chosen for way in s.ways if way in ways]
        self._verbose = verbose
        self._explained = read_explained()
        self._places: list[str] = []
        self._known = self._unknown = 0

    def play(self, *, whole: bool) -> int:
        """Play everything; ``whole`` says that no entry may be left unused."""
        started = time.monotonic()
        containerd, registries = Containerd(), Registries()
        try:
            for item, way in self._plays:
                self._play(item, way, containerd, registries)
        finally:
            registries.close()
            containerd.close()
        stale = list(self._stale()) if whole else []
        for entry in stale:
            _say(f"explains nothing any more: {entry}")
        names = {item.name for item, _ in self._plays}
        _say(
            f"{len(names)} scenarios, {len(self._places)} compared, "
            f"{self._known} explained differences, {self._unknown} unexplained "
            f"({time.monotonic() - started:.0f} s)"
        )
        return 1 if self._unknown or stale else 0

    def _play(
        self, item: Scenario, way: str, containerd: Containerd, registries: Registries
    ) -> None:
        place = f"{way}/{item.name}"
        self._places.append(place)
        with tempfile.TemporaryDirectory(prefix="differential-") as scratch:
            folder = Path(scratch)
            client: Client = ReferenceClient(folder / "store", way, default_string())
            ours = play(item, way, client, registries, folder / "ours")
            client = containerd.client(way)
            theirs = play(item, way, client, registries, folder / "theirs")
        found = list(_differences(ours, theirs))
        known, unknown = sort_out(place, found, self._explained)
        self._known += len(known)
        self._unknown += len(unknown)
        _say(f"{place}: {_verdict(known, unknown)}")
        for difference in unknown if self._verbose else unknown[:1]:
            _say(f"    {difference}")
        if self._verbose:
            for difference in known:
                _say(f"    explained: {difference}")
            for name, played in (("refimpl", ours), ("containerd", theirs)):
                for pull in played:
                    if pull.said is not None:
                        _say(f"    {name} said: {pull.said}")

    def _stale(self) -> Iterator[Explained]:
        return (entry for entry in self._explained if not entry.met)


def _differences(
    ours: Iterable[Played], theirs: Iterable[Played]
) -> Iterator[Difference]:
    for our, their in zip(ours, theirs, strict=True):
        if not their.as_told:
            yield Difference(
                path="not as the scenario says", ours=our.said, theirs=their.said
            )
        yield from our.differences(their)
        if (our.said is None) != (their.said is None):
            return  # what comes after has another past


def _verdict(known: Sequence[Difference], unknown: Sequence[Difference]) -> str:
    if unknown:
        return f"{len(unknown)} unexplained, {len(known)} explained"
    return f"equal but for {len(known)} explained" if known else "equal"


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
