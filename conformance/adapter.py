"""The clients that the suite can drive, whatever kind of adapter they have.

The one module that the engine imports: where clients come from (bundled with
the suite, installed beside it as entry points, a TOML file, a command) and what
they look like once loaded. ADAPTER.md says how to write an adapter.

    for client in load_clients(["refimpl", "skopeo"]):
        print(client.name, client.version, sorted(client.features))
"""

import shlex
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Final

from conformance.adapters.containerd import ContainerdAdapter, CtrAdapter
from conformance.adapters.cri import CriAdapter
from conformance.adapters.docker import DockerAdapter
from conformance.adapters.nerdctl import NerdctlAdapter
from conformance.client import Client, ClientInfo, PullResult, Running
from conformance.command import CommandAdapter, is_template
from conformance.contract import (
    Adapter,
    AdapterError,
    check_capabilities,
    check_name,
)
from conformance.description import Description
from conformance.executable import ExecutableAdapter
from conformance.library import LibraryAdapter
from conformance.xfails import Xfail, read_xfails

__all__ = [
    "BUNDLED",
    "Adapter",
    "AdapterError",
    "Client",
    "ClientInfo",
    "PullResult",
    "Running",
    "Xfail",
    "bundled",
    "known_names",
    "load_clients",
]

#: Where authors of Python adapters put theirs (pyproject.toml of this project too).
GROUP: Final = "pull_conformance.adapters"
#: Clients that need a daemon, which no adapter file describes.
DAEMONS: Final = (
    *(ContainerdAdapter, CtrAdapter, CriAdapter, DockerAdapter),
    NerdctlAdapter,
)
BUNDLED: Final = Path(__file__).parent / "adapters"


def load_clients(
    names: Sequence[str] = (),
    adapter_files: Sequence[Path | str] = (),
    commands: Sequence[str] = (),
) -> list[Client]:
    """Return the clients that a user asked for, in that order.

    Raises:
        AdapterError: A client is unknown, its description is wrong, or two have
            the same name. Whether it is installed is not looked at here.
    """
    clients = [_named(name) for name in dict.fromkeys(names)]
    clients += [_described(Path(file)) for file in adapter_files]
    clients += [_commanded(command) for command in commands]
    seen: set[str] = set()
    for client in clients:
        if client.name in seen:
            raise AdapterError(f"two clients have the name {client.name!r}")
        seen.add(client.name)
    return clients


def bundled() -> list[ClientInfo]:
    """Return what can be told of every client that has a name, sorted by name.

    A client that is ready to run is asked for its version; the others say in
    ``missing`` what to install.
    """
    with ThreadPoolExecutor(max_workers=8) as pool:
        return list(pool.map(_look, sorted(_known())))


def _look(name: str) -> ClientInfo:
    try:
        client = _named(name)
        missing = client.installed()
        if missing is not None:
            return replace(client.info, missing=missing)
        return replace(client.info, version=client.version, features=client.features)
    except AdapterError as err:
        return ClientInfo(name=name, kind="broken", missing=str(err))


def known_names() -> list[str]:
    """Return the names of clients that `load_clients` knows, sorted."""
    return sorted(_known())


def _known() -> dict[str, EntryPoint | Path | Callable[[], Adapter]]:
    known: dict[str, EntryPoint | Path | Callable[[], Adapter]] = {
        point.name: point for point in entry_points(group=GROUP)
    }
    known |= {file.stem: file for file in BUNDLED.glob("*.toml")}
    known |= {adapter.name: adapter for adapter in DAEMONS}
    return known


def _named(name: str) -> Client:
    known = _known()
    source = known.get(name)
    if source is None:
        raise AdapterError(
            f"unknown client {name!r}; known are {', '.join(sorted(known)) or 'none'}"
        )
    if isinstance(source, Path):
        return _described(source)
    made = _imported(source) if isinstance(source, EntryPoint) else source()
    info = ClientInfo(
        name=name,
        kind="python",
        description=getattr(made, "description", ""),
        homepage=getattr(made, "homepage", ""),
        install=getattr(made, "install", ""),
    )
    xfails = read_xfails(BUNDLED / f"{name}.xfails")
    return Client(adapter=made, info=info, xfails=xfails)


def _imported(point: EntryPoint) -> Adapter:
    where = f"entry point {point.name} = {point.value}"
    try:
        made = point.load()()
    except Exception as err:  # whatever somebody's module raises when imported
        raise AdapterError(f"{where}: {type(err).__name__}: {err}") from err
    if not isinstance(made, Adapter):
        raise AdapterError(f"{where}: has no capabilities, pull and inspect")
    return made


def _described(file: Path) -> Client:
    told = Description.read(file)
    adapter: CommandAdapter | LibraryAdapter
    if "executable" in told.table:
        adapter = LibraryAdapter(told)
    else:
        adapter = CommandAdapter.described(told)
    return Client(
        adapter=adapter,
        info=adapter.info,
        xfails=read_xfails(file.with_suffix(".xfails")),
    )


def _commanded(command: str) -> Client:
    try:
        words = shlex.split(command)
    except ValueError as err:
        raise AdapterError(f"--command {command!r}: {err}") from err
    if not words:
        raise AdapterError("--command: is empty")
    if is_template(words):
        adapter = CommandAdapter.from_words(words)
        return Client(adapter=adapter, info=adapter.info)
    speaking = ExecutableAdapter(words)
    told = check_capabilities(speaking.capabilities(), where=speaking.where)
    name = check_name(told["name"], where=speaking.where)
    info = ClientInfo(name=name, kind="executable", description=command)
    xfails = read_xfails(speaking.program.with_suffix(".xfails"))
    return Client(adapter=speaking, info=info, xfails=xfails)
