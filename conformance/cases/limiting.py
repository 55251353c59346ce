"""A user who asks for at most N downloads at once gets no more, and all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from conformance.case import Feature, Level, case

if TYPE_CHECKING:
    from conformance.bench import Bench


@case(
    clause="containerd v1.5.18 pull.go:210, images/handlers.go:125",
    level=Level.REFERENCE,
    needs={Feature.LIMIT},
    catalogue=("store-limiter",),
)
def test_downloads_in_flight_stay_within_the_limit(bench: Bench) -> None:
    """A client told to use N downloads has at most N requests for blobs in flight.

    Users set the limit to spare a slow line or a small registry; a client that
    ignores it takes both down.
    """
    image = bench.publish(layers=6)
    with bench.registry.gate("/blobs/*", method="GET") as gate:
        pull = bench.start_pull(image, limit=2)
        gate.wait_for(2)
        gate.expect_no_more(within=0.2)
        gate.open()
    assert pull.wait().ok
    assert bench.registry.journal.max_in_flight("/blobs/*") <= 2


@case(
    clause="containerd v1.5.18 images/handlers.go:125",
    level=Level.REFERENCE,
    needs={Feature.LIMIT},
)
def test_the_limit_is_used_in_full(bench: Bench) -> None:
    """A place that becomes free is taken by the next download at once.

    Whoever asks for N wants the speed of N, until nothing is left to fetch.
    """
    image = bench.publish(layers=5)
    with bench.registry.gate("/blobs/*", method="GET") as gate:
        pull = bench.start_pull(image, limit=3)
        for _ in range(len(image.layers) - 2):
            gate.wait_for(3)
            gate.release()
        gate.open()
    assert pull.wait().ok


@case(
    clause="containerd v1.5.18 images/handlers.go:134",
    level=Level.REFERENCE,
    needs={Feature.LIMIT},
    catalogue=("store-limiter-one-no-deadlock",),
)
def test_limit_of_one_passes_through_nested_indexes(bench: Bench) -> None:
    """With a limit of one, an index within an index still comes to its layers.

    A client that keeps its only place while it looks at the children of an
    index waits for itself, and the pull hangs for ever.
    """
    image = bench.publish(layers=3, platforms=["linux/amd64"], nesting=2)
    bench.must_pull(image, limit=1, platform="linux/amd64")
    journal = bench.registry.journal
    assert journal.max_in_flight("/blobs/*") == 1
    for layer in image.layers:
        assert journal.requests(method="GET", digest=layer.digest)


@case(
    clause="containerd v1.5.18 images/handlers.go:125",
    level=Level.REFERENCE,
    needs={Feature.LIMIT},
)
def test_limit_counts_documents_and_blobs_alike(bench: Bench) -> None:
    """One limit holds for the whole pull: manifests take a place as layers do.

    With a limit of one, the requests come strictly one after another.
    """
    image = bench.publish(layers=3, platforms=["linux/amd64", "linux/arm64"])
    everywhere = bench.claims(Feature.ALL_PLATFORMS)
    with bench.registry.gate(
        method="GET", when=lambda e: image.digest not in e.path
    ) as gate:
        pull = bench.start_pull(image, limit=1, all_platforms=everywhere)
        gate.wait_for(1)
        gate.expect_no_more(within=0.2)
        gate.open()
    assert pull.wait().ok
    assert bench.registry.journal.max_in_flight("/v2/*") == 1
