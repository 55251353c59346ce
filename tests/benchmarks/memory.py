"""Memory of a pull: what its peak grows by with the size of a layer.

Everybody pulls an image of one small layer and one of one large layer. A client
that keeps a layer in memory grows by the size of it.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from tests.benchmarks import contents
from tests.benchmarks.harness import BenchError, Figure, Goal, Row, Sample, interleave
from tests.benchmarks.peers import HOST, Server, docker_registry
from tests.benchmarks.pullers import (
    OURS,
    PROGRAMS,
    SKOPEO,
    Puller,
    Wanted,
    notes_on,
    one_image,
)
from tests.benchmarks.upload import TAG, Uploader

if TYPE_CHECKING:
    from tests.benchmarks.context import Context

__all__ = ["run"]

_MIB: Final = 1 << 20
_ROUNDS: Final = 3


def run(context: Context) -> None:
    """Measure peaks.

    Raises:
        BenchError: A client failed, or stored something else.
    """
    if not context.has("docker-registry"):
        raise BenchError("memory needs docker-registry to pull from")
    small, large = (1, 16) if context.quick else (1, 1024)
    with docker_registry(context.place()) as server:
        context.tell("memory: two images go to docker-registry")
        images = _push(server, small), _push(server, large)
        pullers = one_image(context)
        if not context.has("skopeo"):
            del pullers[SKOPEO]
        took = interleave(
            {
                name: partial(_grown, context, puller, *images)
                for name, puller in pullers.items()
            },
            rounds=min(context.rounds, _ROUNDS),
            warm_up=0,
            tell=lambda text: context.tell(f"memory: {text}"),
        )
    context.add(
        Figure(
            name="memory.growth",
            title=f"memory: peak of a pull, {large} MiB less {small} MiB",
            unit="MiB",
            rows=[Row(name, took[name], peer=name != OURS) for name in pullers],
            goals=(Goal(OURS, most=20),),
            notes=(
                "peak and CPU seconds are those of the large layer",
                *notes_on(pullers),
                *context.left_out("skopeo", *PROGRAMS),
            ),
            compared=False,
        )
    )


def _push(server: Server, mebibytes: int) -> Wanted:
    layer = contents.Stream(mebibytes * _MIB)
    config = contents.config([layer.digest])
    manifest = contents.manifest(config, [layer.descriptor()])
    repository = f"library/of-{mebibytes}"
    with Uploader(HOST, server.port, repository) as uploader:
        uploader.stream(layer.digest, layer.size, layer.pieces())
        uploader.blob(config.digest, config.data)
        uploader.manifest(TAG, manifest.media_type, manifest.data)
    return Wanted(
        images={f"{server.host}/{repository}:{TAG}": manifest.digest},
        blobs=frozenset({layer.digest, config.digest}),
    )


def _grown(context: Context, puller: Puller, small: Wanted, large: Wanted) -> Sample:
    before, after = puller(context, small), puller(context, large)
    if before.peak is None or after.peak is None:
        raise BenchError("the peak of a client is not known")
    return Sample((after.peak - before.peak) / _MIB, after.cpu, after.peak)
