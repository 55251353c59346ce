"""What an item costs refpull when there are many: layers, entries, labels, records.

    scaling.layers   pull of an image of so many layers; and unpacking them, too
    scaling.entries  pull of one platform out of an index of so many
    scaling.labels   pull of a small image, with so many labels for its record
    scaling.records  a store of so many images: one more, one more pull, `images ls`
                     and gc

All is done in this process, with a client that is open, so that starting costs
nothing here. Where it is a pull, it is from a docker-registry, whose share does not
depend on what the store has.
"""

from __future__ import annotations

import time
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import anyio

from refimpl import Client, RemoteContext, ResolverOptions, new_resolver
from tests.benchmarks import contents, records
from tests.benchmarks.growth import Growth, Point
from tests.benchmarks.harness import BenchError, interleave
from tests.benchmarks.machine import file_system
from tests.benchmarks.peers import HOST, Server, docker_registry
from tests.benchmarks.upload import TAG, Uploader

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from tests.benchmarks.context import Context

__all__ = ["run"]

_SIZES: Final = (1, 10, 100, 1000)
_UNPACKED: Final = (1, 10, 100, 300)
_QUICK: Final = (1, 10, 20)
# More than all layers unpacked need at a time, a page a file.
_ROOM: Final = 1 << 30
_ONE: Final = RemoteContext(platforms=("linux/amd64",))


def run(context: Context) -> None:
    """Measure all of it.

    Raises:
        BenchError: A pull brought something else.
    """
    if not context.has("docker-registry"):
        raise BenchError("scaling needs docker-registry to pull from")
    with docker_registry(context.place()) as server:
        for growth in _layers(context, server):
            context.add_growth(growth)
        context.add_growth(_entries(context, server))
        context.add_growth(_labels(context, server))
        refs = [_push_layers(server, f"one-more-{n}", 1) for n in range(context.rounds)]
        for growth in records.measure(context, refs):
            context.add_growth(growth)


def _layers(context: Context, server: Server) -> Iterator[Growth]:
    sizes = _sizes(context)
    # A thousand layers on top of each other would take minutes.
    unpacked = _QUICK if context.quick else _UNPACKED
    refs = {}
    for size in sorted({*sizes, *unpacked}):
        context.tell(f"an image of {size} layers goes to docker-registry")
        refs[size] = _push_layers(server, f"layers-{size}", size)
    # Every blob: the layers, the config and the manifest.
    yield Growth(
        name="scaling.layers",
        title="scaling: layers of one small file of one image, a pull",
        items="layers",
        points=_pulls(context, {size: (refs[size], _ONE, size + 2) for size in sizes}),
    )
    how = replace(_ONE, unpack=True)
    with context.roomy(_ROOM) as there:
        yield Growth(
            name="scaling.unpacked-layers",
            title="scaling: the same, unpacked",
            items="layers",
            points=_pulls(there, {n: (refs[n], how, n + 2) for n in unpacked}),
            notes=(
                "the native snapshotter copies, for each layer, those below it",
                f"stores on {file_system(there.root)} ({there.root.parent})",
            ),
        )


def _entries(context: Context, server: Server) -> Growth:
    refs = {}
    for size in _sizes(context):
        context.tell(f"an index of {size} entries goes to docker-registry")
        refs[size] = _push_index(server, f"entries-{size}", size)
    return Growth(
        name="scaling.entries",
        title="scaling: entries of an index, a pull of the last one",
        items="entries",
        points=_pulls(context, {size: (ref, _ONE, 4) for size, ref in refs.items()}),
    )


def _labels(context: Context, server: Server) -> Growth:
    ref = _push_layers(server, "labels", 1)
    asked = {}
    for size in _sizes(context):
        labels = {f"org.example.label-{number}": "x" for number in range(size)}
        asked[size] = ref, replace(_ONE, labels=labels), 3
    return Growth(
        name="scaling.labels",
        title="scaling: labels of a record, a pull of one layer",
        items="labels",
        points=_pulls(context, asked),
    )


def _sizes(context: Context) -> tuple[int, ...]:
    return _QUICK if context.quick else _SIZES


def _pulls(
    context: Context, asked: Mapping[int, tuple[str, RemoteContext, int]]
) -> tuple[Point, ...]:
    """Pull each of these once a round, into a fresh store.

    Args:
        context: Has the folders, and says how many rounds.
        asked: By size: the reference, how to pull it, and how many blobs come.
    """
    took = interleave(
        {str(size): partial(_pull, context, *how) for size, how in asked.items()},
        rounds=context.rounds,
        tell=lambda text: context.tell(f"scaling: {text}"),
    )
    return tuple(Point(size, took[str(size)]) for size in asked)


def _pull(context: Context, ref: str, how: RemoteContext, blobs: int) -> float:
    with context.fresh() as folder:
        return anyio.run(_pulled, folder, ref, how, blobs)


async def _pulled(folder: Path, ref: str, how: RemoteContext, blobs: int) -> float:
    async with (
        new_resolver(ResolverOptions(plain_http=True)) as resolver,
        Client(folder / "store", resolver=resolver) as client,
    ):
        began = time.perf_counter()
        image = await client.pull(ref, how)
        seconds = time.perf_counter() - began
        found = len(await client.content_store().walk())
        if found != blobs or image.labels != how.labels:
            raise BenchError(f"{ref}: {found} blobs and {len(image.labels)} labels")
        return seconds


def _push_layers(server: Server, name: str, count: int) -> str:
    """Push an image of so many layers of its own; return its reference."""
    repository = f"library/{name}"
    layers = [
        contents.archive(f"file-{number}", f"{name}\n".encode() * 64)
        for number in range(count)
    ]
    config = contents.config([layer.digest for layer in layers])
    manifest = contents.manifest(config, [layer.descriptor() for layer in layers])
    with Uploader(HOST, server.port, repository) as uploader:
        for blob in (*layers, config):
            uploader.blob(blob.digest, blob.data)
        uploader.manifest(TAG, manifest.media_type, manifest.data)
    return f"{server.host}/{repository}:{TAG}"


def _push_index(server: Server, name: str, count: int) -> str:
    """Push an index of so many platforms, the last one linux/amd64."""
    repository = f"library/{name}"
    layer = contents.Blob(contents.LAYER, f"{name}\n".encode() * 64)
    entries: list[dict[str, Any]] = []
    with Uploader(HOST, server.port, repository) as uploader:
        uploader.blob(layer.digest, layer.data)
        for number in reversed(range(count)):
            architecture = f"made-up-{number}" if number else "amd64"
            config = contents.config([layer.digest], architecture=architecture)
            manifest = contents.manifest(config, [layer.descriptor()])
            uploader.blob(config.digest, config.data)
            uploader.manifest(manifest.digest, manifest.media_type, manifest.data)
            platform = {"os": "linux", "architecture": architecture}
            entries.append(manifest.descriptor(platform=platform))
        index = contents.index(entries)
        uploader.manifest(TAG, index.media_type, index.data)
    return f"{server.host}/{repository}:{TAG}"
