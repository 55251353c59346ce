"""A store with more and more images in it, and what everything costs then.

Each record has a manifest of its own; config and layer they share. One store is
filled step by step; at each size every round pulls one more image, lists all,
collects garbage, and removes that image again.
"""

from __future__ import annotations

import time
from collections import defaultdict
from itertools import pairwise
from typing import TYPE_CHECKING, Final

import anyio

from refimpl import (
    Client,
    Descriptor,
    Digest,
    RemoteContext,
    ResolverOptions,
    images,
    new_resolver,
)
from refimpl.stores import content
from tests.benchmarks import contents
from tests.benchmarks.growth import Growth, Point
from tests.benchmarks.harness import BenchError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from tests.benchmarks.context import Context

__all__ = ["measure"]

_SIZES: Final = (1, 10, 100, 1000, 10_000)
_QUICK: Final = (1, 10, 20)
_HOW: Final = RemoteContext(platforms=("linux/amd64",))
_CREATE: Final = "one more record, with its manifest"
_PULL: Final = "one more pull"
_LIST: Final = "images ls"
_COLLECT: Final = "gc with nothing to remove"


def measure(context: Context, refs: Sequence[str]) -> list[Growth]:
    """Fill a store and measure.

    Args:
        context: Has the folder.
        refs: Images of one layer to pull, one a round.

    Raises:
        BenchError: The store has something else than it was given.
    """
    sizes = _QUICK if context.quick else _SIZES
    with context.fresh() as folder:
        points = anyio.run(_fill, context, folder / "store", sizes, refs)
    shown = zip(("create", "pull", "list", "gc"), points.items(), strict=True)
    return [
        Growth(
            name=f"scaling.records.{name}",
            title=f"scaling: records in a store, {what}",
            items="records",
            points=found,
        )
        for name, (what, found) in shown
    ]


async def _fill(
    context: Context, root: Path, sizes: Sequence[int], refs: Sequence[str]
) -> Mapping[str, list[Point]]:
    points: dict[str, list[Point]] = {_CREATE: [], _PULL: [], _LIST: [], _COLLECT: []}
    async with (
        new_resolver(ResolverOptions(plain_http=True)) as resolver,
        Client(root, resolver=resolver) as client,
    ):
        there = 0
        for size in sizes:
            context.tell(f"scaling: {size} records")
            began = time.perf_counter()
            await _create(client, range(there, size))
            seconds = (time.perf_counter() - began) / (size - there)
            points[_CREATE].append(Point(size, [seconds], shared=False))
            there = size
            rounds = defaultdict(list)
            for ref in refs:
                for name, took in (await _round(client, ref, size)).items():
                    rounds[name].append(took)
            for name, all_took in rounds.items():
                points[name].append(Point(size, all_took, shared=name != _PULL))
    return points


async def _create(client: Client, numbers: range) -> None:
    """Add records, as somebody does who imports images."""
    layer = contents.Blob(contents.LAYER, b"a layer\n" * 64)
    config = contents.config([layer.digest])
    store, records = client.content_store(), client.image_service()
    async with client.with_lease():
        for blob in (layer, config):
            await _write(store, blob, {})
        labels = {
            "containerd.io/gc.ref.content.config": config.digest,
            "containerd.io/gc.ref.content.l.0": layer.digest,
        }
        for number in numbers:
            annotations = {"org.example.number": str(number)}
            described = layer.descriptor(annotations=annotations)
            manifest = contents.manifest(config, [described])
            target = await _write(store, manifest, labels)
            name = f"registry.example/library/image-{number}:v1"
            await records.create(images.Image(name=name, target=target))


async def _write(
    store: content.Store, blob: contents.Blob, labels: Mapping[str, str]
) -> Descriptor:
    desc = Descriptor(
        media_type=blob.media_type, digest=Digest(blob.digest), size=len(blob.data)
    )
    await content.write_blob(store, blob.digest, blob.data, desc, labels=labels)
    return desc


async def _round(client: Client, ref: str, size: int) -> dict[str, float]:
    """Pull one more image, list, collect; then remove it."""
    times = [time.perf_counter()]
    image = await client.pull(ref, _HOW)
    times.append(time.perf_counter())
    listed = await client.image_service().list()
    times.append(time.perf_counter())
    removed = (await client.db.garbage_collect()).removed
    times.append(time.perf_counter())
    if len(listed) != size + 1 or removed:
        raise BenchError(f"{len(listed)} records of {size + 1}, {len(removed)} removed")
    await client.image_service().delete(image.name)
    await client.db.garbage_collect()
    pulled, was_listed, collected = (
        after - before for before, after in pairwise(times)
    )
    return {_PULL: pulled, _LIST: was_listed, _COLLECT: collected}
