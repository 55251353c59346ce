"""fakeregistry against the registries that people put into their tests.

All of them hold the same images, pushed by skopeo, and the same load (load.py) is
put on them, one at a time, each in a process of its own. Starting and stopping is
measured the way a test does it: fakeregistry in the test's process, the others as
processes that are waited for.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from fakeregistry import Registry
from tests.benchmarks.harness import BenchError, Figure, Goal, Row, Sample, interleave
from tests.benchmarks.load import get
from tests.benchmarks.peers import (
    HOST,
    Server,
    crane_registry,
    docker_registry,
    fake_registry,
    push,
)
from tests.benchmarks.processes import cpu_of, peak_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.benchmarks.context import Context

__all__ = ["run"]

OURS: Final = "fakeregistry"
FAULTY: Final = "with a fault set"
DOCKER: Final = "docker-registry"
CRANE: Final = "crane registry"
_WORKER: Final = Path(__file__).with_name("load.py")
_WORKERS: Final = 2

Starter = Callable[[Path], AbstractContextManager[Server]]


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


def run(context: Context) -> None:
    """Measure everything about registries."""
    peers = _peers(context)
    _life(context, peers)
    if not context.has("skopeo"):
        peers = {}
    with contextlib.ExitStack() as stack:
        servers = _servers(context, peers, stack)
        for load in _loads(context, servers[OURS]):
            _measure(context, load, servers)


def _peers(context: Context) -> dict[str, Starter]:
    peers: dict[str, Starter] = {}
    if context.has("docker-registry"):
        peers[DOCKER] = docker_registry
    if context.has("crane"):
        peers[CRANE] = crane_registry
    return peers


# -- starting and stopping ---------------------------------------------------------


def _life(context: Context, peers: Mapping[str, Starter]) -> None:
    cycles = 5 if context.quick else 50
    contestants = {OURS: partial(_cycle_ours, cycles)}
    for name, start in peers.items():
        contestants[name] = partial(_cycle_peer, context, start, max(cycles // 10, 1))
    took = interleave(contestants, rounds=context.rounds, tell=context.tell)
    context.add(
        Figure(
            name="registry.start-stop",
            title="registry: start, answer GET /v2/, stop",
            unit="cycles/s",
            rows=[Row(name, took[name], peer=name in peers) for name in took],
            goals=(Goal(OURS, DOCKER, least=10),),
            notes=("CPU seconds of a round: ours in process, a peer's process",),
        )
    )


def _cycle_ours(cycles: int) -> Sample:
    began, cpu = time.monotonic(), time.process_time()
    for _ in range(cycles):
        with Registry() as registry:
            get(HOST, registry.port, "/v2/")
    seconds = time.monotonic() - began
    return Sample(cycles / seconds, time.process_time() - cpu)


def _cycle_peer(context: Context, start: Starter, cycles: int) -> Sample:
    seconds = 0.0
    cpu = _children()
    for _ in range(cycles):
        with context.fresh() as folder:
            began = time.monotonic()
            with start(folder / "registry") as server:
                get(HOST, server.port, "/v2/")
            seconds += time.monotonic() - began
    return Sample(cycles / seconds, _children() - cpu)


def _children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


# -- throughput --------------------------------------------------------------------


def _servers(
    context: Context, peers: Mapping[str, Starter], stack: contextlib.ExitStack
) -> dict[str, Server]:
    """Start all registries, with the same images in them."""
    large = (16 if context.quick else 256) << 20
    images = [f"small=1x{1 << 20}", f"large=1x{large}"]
    servers = {
        name: stack.enter_context(
            fake_registry(context.place(), images, fault=name == FAULTY)
        )
        for name in (OURS, FAULTY)
    }
    for name, start in peers.items():
        servers[name] = stack.enter_context(start(context.place()))
        for image in servers[OURS].images:
            context.tell(f"{image} goes to {name}")
            with context.fresh() as folder:
                push(servers[OURS], servers[name], image, folder)
    return servers


def _loads(context: Context, server: Server) -> Iterator[Load]:
    seconds = 0.2 if context.quick else 2.0
    small, large = server.images["small"], server.images["large"]
    manifest = "small/manifests/v1"
    yield Load(
        name="registry.manifest-1",
        title="registry: manifest GET, 1 keep-alive connection",
        path=manifest,
        digest=small["digest"],
        connections=1,
        seconds=seconds,
    )
    yield Load(
        name="registry.manifest-16",
        title="registry: manifest GET, 16 keep-alive connections",
        path=manifest,
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
        size=1 << 20,
        goals=(Goal(OURS, DOCKER, least=3),),
    )
    yield Load(
        name="registry.blob-256MiB",
        title=f"registry: blob of {large['size'] >> 20} MiB, 1 connection",
        path=f"large/blobs/{large['layers'][0]}",
        digest=large["layers"][0],
        connections=1,
        seconds=seconds / 4,
        size=large["size"],
        goals=(Goal(OURS, DOCKER, least=0.9),),
    )


def _measure(context: Context, load: Load, servers: Mapping[str, Server]) -> None:
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
            rows=[
                Row(name, took[name], peer=name not in {OURS, FAULTY})
                for name in servers
            ],
            goals=load.goals,
            notes=("CPU seconds are the server's, of a round",),
        )
    )


def _check(load: Load, name: str, server: Server) -> None:
    """Make sure that a registry answers with what was asked for."""
    body = get(HOST, server.port, f"/v2/library/{load.path}")
    if f"sha256:{hashlib.sha256(body).hexdigest()}" != load.digest:
        raise BenchError(f"{name} answers {load.path} with something else")


def _press(load: Load, server: Server) -> Sample:
    """Put the load on a registry for a while."""
    workers = min(_WORKERS, load.connections)
    argv = [sys.executable, "-I", "-S", str(_WORKER), HOST, str(server.port)]
    argv += [f"/v2/library/{load.path}", str(load.connections // workers)]
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
