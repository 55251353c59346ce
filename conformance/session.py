"""What the cases of one process share: the suite, the clients, a place for stores."""

import itertools
import tempfile
from argparse import Namespace
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from conformance.adapter import AdapterError, Client, load_clients
from conformance.bench import remove_tree
from conformance.case import Case, load_suite
from conformance.config import Config, find_config
from conformance.released import cases_of
from conformance.selection import Shard, Wanted, parse_shard, wanted
from conformance.verdict import Result
from conformance.xfails import check_xfails

DEFAULT_CLIENT: Final = "refimpl"
DEFAULT_TIMEOUT: Final = 60.0


@dataclass(kw_only=True)
class Session:
    """What the cases of one process share."""

    suite: Mapping[str, Case]
    clients: dict[str, Client]
    wanted: Wanted
    timeout: float
    strict: bool
    config: Config = field(default_factory=Config)
    trace: str = "failures"
    har: Path | None = None
    shard: Shard | None = None
    suite_version: str = ""
    counted: frozenset[str] | None = None
    results: dict[tuple[str, str], Result] = field(default_factory=dict)
    _ready: dict[str, AdapterError | None] = field(default_factory=dict)
    _folder: Path | None = None
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def ready(self, name: str) -> Client:
        """Return a client, made ready when first needed.

        Raises:
            AdapterError: It cannot be made ready; said again every time.
        """
        client = self.clients[name]
        if name not in self._ready:
            self._ready[name] = None
            try:
                client.setup()
            except AdapterError as err:
                self._ready[name] = err
        if (error := self._ready[name]) is not None:
            raise error
        return client

    def switched_off(self, made: Case) -> str | None:
        """Return why a case is not to run; one that was named on the way here is."""
        if made.id in self.wanted.cases or made.area in self.wanted.areas:
            return None
        return self.config.switched_off(made)

    def uncounted(self, made: Case) -> str:
        """Return why a case cannot be red, empty if it can."""
        if self.counted is not None and made.id not in self.counted:
            return f"not in suite {self.suite_version}"
        if made.level not in (self.wanted.levels or self.config.levels):
            return f"the level {made.level} does not count here"
        return ""

    def folder(self) -> Path:
        """Return the name of a folder for one case; it does not exist yet."""
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="pull-conformance-"))
        return self._folder / str(next(self._numbers))

    def check_clients(self) -> None:
        """Make sure that every client can run and is described rightly.

        Raises:
            AdapterError: One is not.
        """
        for client in self.clients.values():
            missing = client.installed()
            if missing is not None:
                raise AdapterError(f"{client.name} cannot run: {missing}")
            check_xfails(client.xfails, self.suite)
            # Asked now, so that an adapter that cannot tell is a plain error.
            _ = client.version, client.features
            for xfail in client.xfails.values():
                xfail.lapsed(client.version)

    def close(self) -> None:
        """End what clients keep running and remove what is left."""
        for name in self._ready:
            self.clients[name].teardown()
        self._ready.clear()
        if self._folder is not None:
            remove_tree(self._folder)


def open_session(option: Namespace) -> Session:
    """Load the suite and the clients that the options of the plugin name.

    Options win over what pull-conformance.toml says.

    Raises:
        AdapterError: A client is unknown or described wrongly.
        CaseError: The suite itself is wrong.
        ValueError: Another option, or the file, makes no sense.
    """
    config = find_config(option.conformance_config)
    timeout = option.client_timeout
    if timeout is None:
        timeout = config.timeout or DEFAULT_TIMEOUT
    if not timeout > 0:
        raise ValueError(f"a deadline of {timeout} s is none")
    for file in (
        option.conformance_json,
        option.conformance_junit,
        option.conformance_html,
    ):
        if file is not None:
            check_writable(Path(file))
    if option.conformance_har is not None:
        check_folder(Path(option.conformance_har))
    suite = load_suite()
    config.check(suite)
    version = option.suite_version or config.suite_version
    asked = wanted(suite, cases=option.case, areas=option.area, levels=option.level)
    return Session(
        suite=suite,
        clients=_clients(option, config),
        wanted=asked,
        timeout=timeout,
        strict=option.conformance_strict or config.strict,
        config=config,
        # A page shows whatever somebody may click on.
        trace="all" if option.conformance_html else option.conformance_trace,
        har=None if option.conformance_har is None else Path(option.conformance_har),
        shard=parse_shard(option.shard),
        suite_version=version,
        counted=cases_of(version, suite) if version else None,
    )


def _clients(option: Namespace, config: Config) -> dict[str, Client]:
    asked = option.client, option.adapter, option.command
    # An option may ask for one of the file's clients: the others are no mistakes.
    all_asked = not any(asked)
    if all_asked:
        asked = config.clients, config.adapters, config.commands
    found = {client.name: client for client in chosen_clients(*asked)}
    if all_asked:
        config.check_clients(found)
    for client in found.values():
        client.xfails = config.xfails_of(client.name, client.xfails)
    return found


def chosen_clients(
    names: Sequence[str], adapters: Sequence[str], commands: Sequence[str]
) -> list[Client]:
    """Return the clients asked for; the reference if none is.

    Raises:
        AdapterError: A client is unknown or described wrongly.
    """
    if not (names or adapters or commands):
        names = [DEFAULT_CLIENT]
    return load_clients(names, adapters, commands)


def check_folder(folder: Path) -> None:
    """Make a folder for what a run leaves, if it is not there.

    Raises:
        ValueError: It cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as err:
        raise ValueError(f"cannot write to {folder}: {err.strerror or err}") from err


def check_writable(file: Path) -> None:
    """Make sure that a report can be written, before a run is spent on it.

    Raises:
        ValueError: It cannot.
    """
    if not file.absolute().parent.is_dir():
        raise ValueError(f"cannot write {file}: there is no such folder")
    if file.is_dir():
        raise ValueError(f"cannot write {file}: it is a folder")
