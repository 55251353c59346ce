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
from conformance.selection import Wanted, wanted
from conformance.verdict import Result
from conformance.xfails import check_xfails

DEFAULT_CLIENT: Final = "refimpl"


@dataclass(kw_only=True)
class Session:
    """What the cases of one process share."""

    suite: Mapping[str, Case]
    clients: dict[str, Client]
    wanted: Wanted
    timeout: float
    strict: bool
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

    def close(self) -> None:
        """End what clients keep running and remove what is left."""
        for name in self._ready:
            self.clients[name].teardown()
        self._ready.clear()
        if self._folder is not None:
            remove_tree(self._folder)


def open_session(option: Namespace) -> Session:
    """Load the suite and the clients that the options of the plugin name.

    Raises:
        AdapterError: A client is unknown or described wrongly.
        CaseError: The suite itself is wrong.
        ValueError: Another option makes no sense.
    """
    if not option.client_timeout > 0:
        raise ValueError(f"a deadline of {option.client_timeout} s is none")
    for file in (option.conformance_json, option.conformance_junit):
        if file is not None:
            _check_writable(Path(file))
    suite = load_suite()
    asked = wanted(suite, cases=option.case, areas=option.area, levels=option.level)
    clients = chosen_clients(option.client, option.adapter, option.command)
    return Session(
        suite=suite,
        clients={client.name: client for client in clients},
        wanted=asked,
        timeout=option.client_timeout,
        strict=option.conformance_strict,
    )


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


def _check_writable(file: Path) -> None:
    if not file.absolute().parent.is_dir():
        raise ValueError(f"cannot write {file}: there is no such folder")
    if file.is_dir():
        raise ValueError(f"cannot write {file}: it is a folder")
