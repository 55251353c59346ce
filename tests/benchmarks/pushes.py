"""How fast registries take an image of many small layers.

Every push has layers of fresh random bytes and a repository of its own: nothing
that it brings is there already.
"""

from __future__ import annotations

import itertools
import os
from functools import partial
from typing import TYPE_CHECKING, Final

from tests.benchmarks.harness import BenchError, Figure, Row, Sample, interleave
from tests.benchmarks.load import get
from tests.benchmarks.peers import HOST
from tests.benchmarks.processes import cpu_of, peak_of
from tests.benchmarks.registries import FAULTY, PEERS
from tests.benchmarks.upload import TAG, manifest_of, push

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.benchmarks.context import Context
    from tests.benchmarks.peers import Server

__all__ = ["measure"]

_SIZE: Final = 10_000


def measure(context: Context, servers: Mapping[str, Server]) -> None:
    """Push to every registry, for as long as a round lasts."""
    layers, seconds = (10, 0.0) if context.quick else (100, 1.0)
    numbers = itertools.count()
    contestants = {
        name: partial(_push_on, server, layers, seconds, numbers)
        for name, server in servers.items()
        if name != FAULTY
    }
    took = interleave(
        contestants,
        rounds=context.rounds,
        tell=lambda text: context.tell(f"registry.push: {text}"),
    )
    context.add(
        Figure(
            name="registry.push",
            title=f"registry: push of {layers} layers of {_SIZE} B, 1 connection",
            unit="layers/s",
            rows=[Row(name, took[name], peer=name in PEERS) for name in contestants],
            notes=("CPU seconds are the server's, of a round",),
        )
    )


def _push_on(
    server: Server, count: int, seconds: float, numbers: Iterator[int]
) -> Sample:
    """Push images, one at least, until the time is over."""
    cpu = cpu_of(server.pid)
    pushed, took = 0, 0.0
    while not pushed or took < seconds:
        layers = [os.urandom(_SIZE) for _ in range(count)]
        repository = f"pushed/n{next(numbers)}"
        took += push(HOST, server.port, repository, layers)
        pushed += count
    manifest = f"/v2/{repository}/manifests/{TAG}"
    if get(HOST, server.port, manifest) != manifest_of(layers):
        raise BenchError(f"the registry on port {server.port} kept something else")
    return Sample(pushed / took, cpu_of(server.pid) - cpu, peak_of(server.pid))
