"""How fast registries answer: small replies, blobs, with and without TLS.

load.py puts the load on them, from processes of its own.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import subprocess
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.benchmarks.harness import BenchError, Figure, Goal, Row, Sample, interleave
from tests.benchmarks.load import get
from tests.benchmarks.peers import HOST, Server
from tests.benchmarks.processes import cpu_of, peak_of
from tests.benchmarks.registries import DOCKER, FAULTY, FOLDER, OURS, PEERS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.benchmarks.context import Context

__all__ = ["Load", "images", "loads", "loads_over_tls", "measure"]

_WORKER: Final = Path(__file__).with_name("load.py")
_WORKERS: Final = 2
_SMALL: Final = 1 << 20
_MANIFEST: Final = "small/manifests/v1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What is asked for, and by how many at once.

    Attributes:
        path: Below /v2/library/.
        digest: Of what comes back.
        seconds: For how long; what has begun is read to its end.
        size: Bytes of a reply, if the rate is to be one of bytes.
    """

    name: str
    title: str
    path: str
    digest: str
    connections: int
    seconds: float
    size: int | None = None
    goals: tuple[Goal, ...] = ()


def images(*, quick: bool) -> list[str]:
    """Return the images that a registry must hold, as serve.py takes them."""
    large = (16 if quick else 256) << 20
    return [f"small=1x{_SMALL}", f"large=1x{large}"]


def loads(server: Server, *, quick: bool) -> Iterator[Load]:
    """Yield what is asked for in the clear."""
    seconds = _seconds(quick=quick)
    small, large = server.images["small"], server.images["large"]
    yield Load(
        name="registry.manifest-1",
        title="registry: manifest GET, 1 keep-alive connection",
        path=_MANIFEST,
        digest=small["digest"],
        connections=1,
        seconds=seconds,
    )
    yield Load(
        name="registry.manifest-16",
        title="registry: manifest GET, 16 keep-alive connections",
        path=_MANIFEST,
        digest=small["digest"],
        connections=16,
        seconds=seconds,
        goals=(Goal(OURS, DOCKER, least=6), Goal(FAULTY, DOCKER, least=3)),
    )
    yield Load(
        name="registry.blob-1MiB",
        title="registry: blob of 1 MiB, 4 keep-alive connections",
        path=f"small/blobs/{small['layers'][0]}",
        digest=small["layers"][0],
        connections=4,
        seconds=seconds,
        size=_SMALL,
        goals=(Goal(OURS, DOCKER, least=3), Goal(FOLDER, DOCKER, least=3)),
    )
    yield Load(
        name="registry.blob-256MiB",
        title=f"registry: blob of {large['size'] >> 20} MiB, 1 connection",
        path=f"large/blobs/{large['layers'][0]}",
        digest=large["layers"][0],
        connections=1,
        seconds=seconds / 2,
        size=large["size"],
        goals=(Goal(OURS, DOCKER, least=0.9), Goal(FOLDER, DOCKER, least=0.9)),
    )


def loads_over_tls(server: Server, *, quick: bool) -> Iterator[Load]:
    """Yield what is asked for over TLS."""
    seconds = _seconds(quick=quick)
    small = server.images["small"]
    yield Load(
        name="registry.tls-manifest-16",
        title="registry: manifest GET over TLS, 16 keep-alive connections",
        path=_MANIFEST,
        digest=small["digest"],
        connections=16,
        seconds=seconds,
    )
    yield Load(
        name="registry.tls-blob-1MiB",
        title="registry: blob of 1 MiB over TLS, 4 keep-alive connections",
        path=f"small/blobs/{small['layers'][0]}",
        digest=small["layers"][0],
        connections=4,
        seconds=seconds,
        size=_SMALL,
    )


def _seconds(*, quick: bool) -> float:
    return 0.05 if quick else 2.0


def measure(context: Context, load: Load, servers: Mapping[str, Server]) -> None:
    """Put a load on every registry."""
    for name, server in servers.items():
        _check(load, name, server)
    took = interleave(
        {name: partial(_press, load, server) for name, server in servers.items()},
        rounds=context.rounds,
        tell=lambda text: context.tell(f"{load.name}: {text}"),
    )
    context.add(
        Figure(
            name=load.name,
            title=load.title,
            unit="requests/s" if load.size is None else "MB/s",
            rows=[Row(name, took[name], peer=name in PEERS) for name in servers],
            goals=load.goals,
            notes=("CPU seconds are the server's, of a round",),
        )
    )


def _check(load: Load, name: str, server: Server) -> None:
    """Make sure that a registry answers with what was asked for."""
    body = get(HOST, server.port, f"/v2/library/{load.path}", server.ca)
    if f"sha256:{hashlib.sha256(body).hexdigest()}" != load.digest:
        raise BenchError(f"{name} answers {load.path} with something else")


def _press(load: Load, server: Server) -> Sample:
    """Put the load on a registry for a while."""
    workers = min(_WORKERS, load.connections)
    argv = [sys.executable, "-I", "-S", str(_WORKER), HOST, str(server.port)]
    argv += [f"/v2/library/{load.path}", str(load.connections // workers)]
    argv += [str(server.ca)] if server.ca else []
    with contextlib.ExitStack() as stack:
        running = [
            stack.enter_context(
                subprocess.Popen(
                    argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
                )
            )
            for _ in range(workers)
        ]
        if not all(process.stdout and process.stdout.readline() for process in running):
            raise BenchError(f"the load on port {server.port} does not start")
        cpu = cpu_of(server.pid)
        for process in running:
            if process.stdin:
                process.stdin.write(f"{load.seconds}\n")
                process.stdin.flush()
        said = [process.communicate()[0] for process in running]
    if not all(said):
        raise BenchError(f"the load on port {server.port} broke off")
    told = [json.loads(text) for text in said]
    seconds = max(one["ended"] for one in told) - min(one["began"] for one in told)
    what = "replies" if load.size is None else "bytes"
    amount = sum(one[what] for one in told) / (1 if load.size is None else 1e6)
    return Sample(amount / seconds, cpu_of(server.pid) - cpu, peak_of(server.pid))
