"""What protects a download from the garbage collector while it is going on."""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from conformance.case import Feature, Level, case

if TYPE_CHECKING:
    from collections.abc import Mapping

    from conformance.bench import Bench

EXPIRE: Final = "containerd.io/gc.expire"


@case(
    clause="containerd v1.5.18 pull.go:59, lease.go:27",
    level=Level.REFERENCE,
    needs={Feature.LEASES},
    catalogue=("store-lease-lifetime",),
)
def test_lease_of_a_day_while_pulling_and_none_after(bench: Bench) -> None:
    """A pull holds one lease that expires in 24 hours, and drops it when done.

    Without it, a collection in the middle takes away what has just been
    fetched; without the expiry, a client that is killed leaves its content
    protected for ever.
    """
    image = bench.publish(layers=2)
    with bench.registry.gate("/blobs/*", method="GET") as gate:
        pull = bench.start_pull(image)
        gate.wait_for(1)
        held = bench.stored({"leases"}).leases or ()
        assert len(held) == 1, f"{len(held)} leases during the pull"
        assert EXPIRE in held[0].labels, "the lease never expires"
        assert _hours_left(held[0].labels) == 24
        gate.open()
    assert pull.wait().ok
    assert not bench.stored({"leases"}).leases


def _hours_left(labels: Mapping[str, str]) -> int:
    """Return the whole hours, rounded, until a lease expires."""
    expires = datetime.fromisoformat(labels[EXPIRE])
    return round((expires - datetime.now(expires.tzinfo)) / timedelta(hours=1))


@case(
    clause="containerd v1.5.18 pull.go:63",
    level=Level.REFERENCE,
    needs={Feature.LEASES},
    twin="leases.lease-of-a-day-while-pulling-and-none-after",
    catalogue=("store-lease-lifetime",),
)
def test_no_lease_is_left_by_a_pull_that_failed(bench: Bench) -> None:
    """A pull that fails takes its lease away, like one that succeeds.

    A lease for every failure would fill the disk with what nobody wants.
    """
    image = bench.publish(layers=2)
    fault = bench.registry.fault(
        method="GET", digest=image.layers[0].digest, status=404
    )
    bench.must_reject(bench.pull(image), fault)
    assert not bench.stored({"leases"}).leases


@case(
    clause="containerd v1.5.18 metadata/gc.go:62, pull.go:59",
    level=Level.REFERENCE,
    needs={Feature.LEASES, Feature.GC, Feature.CONTENT},
    twin="leases.lease-of-a-day-while-pulling-and-none-after",
)
def test_collection_during_a_pull_takes_nothing_away(bench: Bench) -> None:
    """Content that is part of a running pull survives a garbage collection.

    The record of the image comes last: until then, the lease is all that says
    somebody needs these blobs.
    """
    image = bench.publish(layers=2)
    first, last = image.layers
    with bench.registry.gate(method="GET", digest=last.digest) as gate:
        pull = bench.start_pull(image, limit=1)
        gate.wait_for(1)
        # Who cannot be limited to one at a time fetches the first beside the last.
        late = time.monotonic() + 10
        while not bench.stored({"content"}).intact(first.digest):
            assert time.monotonic() < late, "the first layer never came"
        bench.collect()
        assert bench.stored({"content"}).intact(first.digest)
        gate.open()
    assert pull.wait().ok
    stored = bench.stored({"content"})
    assert all(stored.intact(blob.digest) for blob in image.blobs)


@case(
    clause="containerd v1.5.18 metadata/gc.go:62",
    level=Level.REFERENCE,
    needs={Feature.LEASES, Feature.GC, Feature.CONTENT},
    twin="verify.layer-intact",
)
def test_collection_after_a_failed_pull_leaves_nothing(bench: Bench) -> None:
    """What a failed pull had fetched goes with the next collection."""
    image = bench.publish(layers=2)
    fault = bench.registry.fault(
        method="GET", digest=image.layers[1].digest, status=404
    )
    bench.must_reject(bench.pull(image), fault)
    bench.collect()
    assert not bench.stored({"content"}).content


@case(
    clause="containerd v1.5.18 images/handlers.go:182, metadata/gc.go:280",
    level=Level.REFERENCE,
    needs={Feature.GC, Feature.CONTENT},
)
def test_collection_after_a_pull_keeps_the_whole_image(bench: Bench) -> None:
    """What a record refers to, over any number of steps, survives a collection.

    Index, manifest, config and layers hang together by labels: one that is
    missing, and a part of the image is gone the next day.
    """
    image = bench.publish(layers=3, platforms=["linux/amd64"], nesting=1)
    bench.must_pull(image, platform="linux/amd64")
    bench.collect()
    stored = bench.stored({"content"})
    assert all(stored.intact(blob.digest) for blob in image.blobs)
