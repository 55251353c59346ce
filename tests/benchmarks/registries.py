"""The registries that fakeregistry is compared with.

    docker-registry  the distribution registry, as Debian has it; in a folder
    crane registry   go-containerregistry's `crane registry serve`; in memory
    olareg           regclient's, in memory, as it is embedded into tests
    zot              with its smallest configuration; in a folder

The last three are what Go programmers put into their tests. They are used where
somebody has built them:

    go install github.com/google/go-containerregistry/cmd/crane@latest
    go install github.com/olareg/olareg/cmd/olareg@latest
    git clone https://github.com/project-zot/zot && cd zot && go build ./cmd/zot
"""

from __future__ import annotations

import contextlib
import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from conformance.process import client_environment
from tests.benchmarks.peers import (
    HOST,
    PATIENCE,
    Server,
    docker_registry,
    search,
    wait_for,
)
from tests.benchmarks.processes import background, pause, port_of

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator, Mapping
    from contextlib import AbstractContextManager
    from pathlib import Path

    from fakeregistry.tls import Authority

__all__ = ["DOCKER", "FAULTY", "FOLDER", "OURS", "PEERS", "Peer"]

OURS: Final = "fakeregistry"
FAULTY: Final = "with a fault set"
FOLDER: Final = "from a folder"
DOCKER: Final = "docker-registry"


class Starter(Protocol):
    """Runs a registry for as long as a block lasts, what it writes in a folder."""

    def __call__(
        self, folder: Path, *, tls: Authority | None = None
    ) -> AbstractContextManager[Server]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """A registry of others.

    Attributes:
        program: What has to be installed.
        tls: Whether it speaks TLS by itself.
    """

    program: str
    start: Starter
    tls: bool = True


@contextlib.contextmanager
def crane_registry(folder: Path, *, tls: Authority | None = None) -> Iterator[Server]:
    """Run go-containerregistry's; it has no TLS."""
    del tls
    folder.mkdir()
    log = folder / "log"
    argv = ["crane", "registry", "serve", "--address", f"{HOST}:0"]
    with background(argv, log, env=client_environment(folder)) as process:
        port = wait_for(process, log, search(r"serving on port (\d+)"))
        yield Server(pid=process.pid, port=int(port))


@contextlib.contextmanager
def olareg(folder: Path, *, tls: Authority | None = None) -> Iterator[Server]:
    """Run olareg."""
    folder.mkdir()
    log = folder / "log"
    argv = ["olareg", "serve", "--addr", HOST, "--port", "0", "--store-type", "mem"]
    if tls is not None:
        argv += ["--tls-cert", str(tls.server_cert), "--tls-key", str(tls.server_key)]
    with background(argv, log, env=client_environment(folder)) as process:
        port = _port(process, log)
        yield Server(pid=process.pid, port=port, ca=tls.ca_file if tls else None)


@contextlib.contextmanager
def zot(folder: Path, *, tls: Authority | None = None) -> Iterator[Server]:
    """Run zot."""
    folder.mkdir()
    config, log = folder / "config.json", folder / "log"
    config.write_text(json.dumps(zot_config(folder / "data", tls)), encoding="utf-8")
    argv = ["zot", "serve", str(config)]
    with background(argv, log, env=client_environment(folder)) as process:
        port = _port(process, log)
        yield Server(pid=process.pid, port=port, ca=tls.ca_file if tls else None)


PEERS: Final[Mapping[str, Peer]] = {
    DOCKER: Peer(program="docker-registry", start=docker_registry),
    "crane registry": Peer(program="crane", start=crane_registry, tls=False),
    "olareg": Peer(program="olareg", start=olareg),
    "zot": Peer(program="zot", start=zot),
}


def zot_config(data: Path, tls: Authority | None) -> dict[str, object]:
    """Return a configuration for zot, with the quietest log that it has."""
    http: dict[str, object] = {"address": HOST, "port": "0"}
    if tls is not None:
        http["tls"] = {"cert": str(tls.server_cert), "key": str(tls.server_key)}
    return {
        "distSpecVersion": "1.1.1",
        "storage": {"rootDirectory": str(data)},
        "http": http,
        "log": {"level": "error"},
    }


def _port(process: subprocess.Popen[bytes], log: Path) -> int:
    """Wait for a server that does not say on which port it listens."""
    until = time.monotonic() + PATIENCE
    while (port := port_of(process.pid)) is None:
        pause(process, log, until=until)
    return port
