"""The servers of the benchmarks: ours in a process of its own, and its peers.

Each is private, listens on a port of the loopback that the kernel chooses, and ends
with the block that started it. Peers are used where they are installed:

    docker-registry  the distribution registry, as Debian has it
    containerd       the daemon behind ctr; it needs root

registries.py has those that Go programmers use, pullers.py and unpack.py the commands.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from conformance.process import client_environment
from tests.benchmarks.harness import BenchError
from tests.benchmarks.processes import background, pause

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from fakeregistry.tls import Authority

__all__ = [
    "HOST",
    "PROGRAMS",
    "Daemon",
    "Server",
    "absent",
    "containerd",
    "docker_registry",
    "fake_registry",
    "push",
    "push_all",
    "search",
    "versions",
    "wait_for",
]

HOST: Final = "127.0.0.1"
#: How long a server may take to start.
PATIENCE: Final = 60.0
#: What the benchmarks can use, and how it tells its version.
PROGRAMS: Final[Mapping[str, Sequence[str]]] = {
    "docker-registry": ("docker-registry", "--version"),
    "crane": ("crane", "version"),
    "olareg": ("olareg", "version"),
    "zot": ("zot", "--version"),
    "skopeo": ("skopeo", "--version"),
    "podman": ("podman", "--version"),
    "umoci": ("umoci", "--version"),
    "tar": ("tar", "--version"),
    "ctr": ("ctr", "--version"),
    "containerd": ("containerd", "--version"),
}
# The quietest log that still tells the port; fakeregistry keeps a journal, too.
_DOCKER_REGISTRY: Final = """\
version: 0.1
log: {{level: info, accesslog: {{disabled: true}}}}
storage: {{filesystem: {{rootdirectory: {data}}}}}
http: {{addr: "127.0.0.1:0"{tls}}}
"""
_DOCKER_TLS: Final = ', tls: {{certificate: "{0.server_cert}", key: "{0.server_key}"}}'
# CRI and "opt" would touch what is not in the folder; nothing is unpacked.
_CONTAINERD: Final = """\
version = 2
root = "{folder}/root"
state = "{folder}/state"
disabled_plugins = [
    "io.containerd.grpc.v1.cri", "io.containerd.internal.v1.opt",
    "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs",
    "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs",
    "io.containerd.snapshotter.v1.overlayfs",
]
[grpc]
address = "{folder}/sock"
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A registry that runs.

    Attributes:
        images: What it holds from the start, by name (serve.py tells).
        ca: File of the authority behind its certificate; None: it speaks no TLS.
    """

    pid: int
    port: int
    images: Mapping[str, Any] = field(default_factory=dict)
    ca: Path | None = None

    @property
    def host(self) -> str:
        """Host and port, as they stand in a reference."""
        return f"{HOST}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Daemon:
    """A containerd that runs."""

    pid: int
    socket: Path
    content: Path


def absent() -> dict[str, str]:
    """Return what cannot be used here, and why."""
    missing = {name: "not installed" for name in PROGRAMS if shutil.which(name) is None}
    if "containerd" not in missing and os.geteuid() != 0:
        missing["containerd"] = "its daemon needs root"
    return missing


def versions() -> dict[str, str]:
    """Return what the installed ones say of themselves."""
    told = {}
    for name, argv in PROGRAMS.items():
        if shutil.which(argv[0]):
            said = subprocess.run(argv, capture_output=True, text=True, check=False)
            lines = (said.stdout + said.stderr).strip().splitlines()
            told[name] = lines[0] if lines else "unknown"
    return told


@contextlib.contextmanager
def fake_registry(
    folder: Path,
    images: Sequence[str] = (),
    *,
    fault: bool = False,
    storage: bool = False,
    tls: bool = False,
) -> Iterator[Server]:
    """Run ours, with images as serve.py takes them.

    Args:
        folder: For what it writes; it is made.
        images: What it is to hold.
        fault: Set one, which never fires.
        storage: Keep everything in the folder, not in memory.
        tls: Speak TLS.
    """
    folder.mkdir()
    argv: list[str | Path] = [sys.executable, "-m", "tests.benchmarks.serve", *images]
    argv += ["--fault"] if fault else []
    argv += ["--storage", folder / "data"] if storage else []
    argv += ["--tls"] if tls else []
    log = folder / "log"
    with background(argv, log) as process:
        told = json.loads(wait_for(process, log, _complete))
        yield Server(
            pid=process.pid,
            port=told["port"],
            images=told["images"],
            ca=Path(told["ca"]) if tls else None,
        )


@contextlib.contextmanager
def docker_registry(folder: Path, *, tls: Authority | None = None) -> Iterator[Server]:
    """Run Debian's registry; what it holds lies in the folder."""
    folder.mkdir()
    config, log = folder / "config.yml", folder / "log"
    text = _DOCKER_REGISTRY.format(
        data=folder / "data", tls=_DOCKER_TLS.format(tls) if tls else ""
    )
    config.write_text(text, encoding="utf-8")
    argv = ["docker-registry", "serve", str(config)]
    with background(argv, log, env=client_environment(folder)) as process:
        port = wait_for(process, log, search(r"listening on [\d.]+:(\d+)"))
        yield Server(pid=process.pid, port=int(port), ca=tls.ca_file if tls else None)


@contextlib.contextmanager
def containerd(folder: Path) -> Iterator[Daemon]:
    """Run a daemon whose store and state lie in the folder."""
    folder.mkdir()
    config, log, path = folder / "config.toml", folder / "log", folder / "sock"
    config.write_text(_CONTAINERD.format(folder=folder), encoding="utf-8")
    argv = ["containerd", "--log-level", "error", "--config", str(config)]
    with background(argv, log, env=client_environment(folder)) as process:
        until = time.monotonic() + PATIENCE
        while not _answers(path):
            pause(process, log, until=until)
        yield Daemon(
            pid=process.pid,
            socket=path,
            content=folder / "root/io.containerd.content.v1.content",
        )


def push(source: Server, target: Server, name: str, folder: Path) -> None:
    """Let skopeo copy an image from one registry to another.

    Raises:
        BenchError: It could not.
    """
    _skopeo(
        folder,
        *("copy", "--quiet", "--src-tls-verify=false", "--dest-tls-verify=false"),
        f"docker://{source.host}/library/{name}:v1",
        f"docker://{target.host}/library/{name}:v1",
    )


def push_all(listed: str, target: Server, folder: Path) -> None:
    """Let skopeo copy images to library/ of a registry, from a list as sync reads it.

    Raises:
        BenchError: It could not.
    """
    images = folder / "images.yaml"
    images.write_text(listed, encoding="utf-8")
    _skopeo(
        folder,
        *("sync", "--src", "yaml", "--dest", "docker", "--dest-tls-verify=false"),
        *(str(images), f"{target.host}/library"),
    )


def _skopeo(folder: Path, *arguments: str) -> None:
    argv = ["skopeo", "--insecure-policy", "--tmpdir", str(folder), *arguments]
    env = client_environment(folder)
    done = subprocess.run(argv, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BenchError(f"skopeo cannot push: {done.stderr.strip()}")


def wait_for(
    process: subprocess.Popen[bytes], log: Path, find: Callable[[str], str | None]
) -> str:
    """Wait for what a server says when it is ready."""
    until = time.monotonic() + PATIENCE
    while True:
        found = find(log.read_text(encoding="utf-8", errors="replace"))
        if found is not None:
            return found
        pause(process, log, until=until)


def _complete(text: str) -> str | None:
    line, newline, _ = text.partition("\n")
    return line if newline and line.startswith("{") else None


def search(pattern: str) -> Callable[[str], str | None]:
    """Return what finds the first group of a pattern in a text."""

    def find(text: str) -> str | None:
        found = re.search(pattern, text)
        return found[1] if found else None

    return find


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe, contextlib.suppress(OSError):
        probe.connect(str(path))
        return True
    return False
