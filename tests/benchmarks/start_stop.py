"""How long it takes until there is a registry, and until it is gone.

It is measured the way a test does it: fakeregistry in the test's process, the
others as processes that are waited for. What the first one of a process costs is
told by first.py, in a process that has imported nothing yet.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from functools import partial
from typing import TYPE_CHECKING, Final

from fakeregistry import Registry
from tests.benchmarks.harness import BenchError, Figure, Goal, Row, Sample, interleave
from tests.benchmarks.load import get
from tests.benchmarks.peers import HOST
from tests.benchmarks.processes import ROOT
from tests.benchmarks.registries import DOCKER, OURS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.benchmarks.context import Context
    from tests.benchmarks.registries import Peer

__all__ = ["measure"]

_FIRST: Final = (sys.executable, "-m", "tests.benchmarks.first")


def measure(context: Context, peers: Mapping[str, Peer]) -> None:
    """Measure cycles of start, answer and stop, and the first start."""
    context.add(_first(context))
    cycles = 5 if context.quick else 50
    contestants = {OURS: partial(_cycle_ours, cycles)}
    for name, peer in peers.items():
        contestants[name] = partial(_cycle_peer, context, peer, max(cycles // 10, 1))
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


def _cycle_peer(context: Context, peer: Peer, cycles: int) -> Sample:
    seconds = 0.0
    cpu = _children()
    for _ in range(cycles):
        with context.fresh() as folder:
            began = time.monotonic()
            with peer.start(folder / "registry") as server:
                get(HOST, server.port, "/v2/")
            seconds += time.monotonic() - began
    return Sample(cycles / seconds, _children() - cpu)


def _children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _first(context: Context) -> Figure:
    """Measure what a process pays that never had a registry before."""
    context.tell("the first registry of a process")
    runs = [_run_first() for _ in range(context.rounds)]
    return Figure(
        name="registry.first",
        title="registry: the first one of a process, start to stop",
        unit="ms",
        rows=[Row(name, [Sample(run[name]) for run in runs]) for name in runs[0]],
    )


def _run_first() -> dict[str, float]:
    done = subprocess.run(_FIRST, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BenchError(f"the first registry: {done.stderr.strip()[-600:]}")
    took: dict[str, float] = json.loads(done.stdout)
    return took
