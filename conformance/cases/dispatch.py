"""In which order an image is walked, and what happens beside a failure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from conformance.case import Feature, Level, case

if TYPE_CHECKING:
    from conformance.bench import Bench


@case(
    clause="containerd v1.5.18 images/handlers.go:120",
    level=Level.REFERENCE,
    catalogue=("store-dispatch-siblings-parallel",),
)
def test_siblings_are_fetched_at_the_same_time(bench: Bench) -> None:
    """Without a limit, the config and all layers are asked for at once.

    A pull that fetches one blob after another takes as long as all of them
    together.
    """
    image = bench.publish(layers=4)
    with bench.registry.gate("/blobs/*", method="GET") as gate:
        pull = bench.start_pull(image)
        gate.wait_for(1 + len(image.layers))
        gate.open()
    assert pull.wait().ok


@case(
    clause="OCI distribution-spec v1.1.1, Pull: the manifest comes first, and the "
    "blobs that it references after it",
    level=Level.MUST,
    link="https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#pull",
)
def test_no_blob_before_its_manifest(bench: Bench) -> None:
    """What a manifest names is asked for only once the manifest has come.

    A client that asks earlier took the names from somewhere else: a cache, or a
    guess.
    """
    image = bench.publish(layers=2)
    with bench.registry.gate("/manifests/*", method="GET") as gate:
        pull = bench.start_pull(image)
        gate.wait_for(1)
        assert not bench.registry.journal.requests(path="/blobs/*")
        gate.open()
    assert pull.wait().ok
    assert bench.registry.journal.requests(path="/blobs/*")


@case(
    clause="containerd v1.5.18 images/handlers.go:138",
    level=Level.REFERENCE,
    twin="verify.layer-intact",
)
def test_no_blob_of_a_manifest_that_was_refused(bench: Bench) -> None:
    """Nothing that a manifest with the wrong digest names is asked for.

    The names in it are somebody else's; asking for them already tells him.
    """
    image = bench.publish(layers=2)
    fault = bench.registry.fault(
        method="GET", digest=image.digest, flip=image.descriptor.size // 2
    )
    bench.must_reject(bench.pull(image), fault)
    assert not bench.registry.journal.requests(path="/blobs/*")


@case(
    clause="containerd v1.5.18 images/handlers.go:120, golang.org/x/sync/errgroup",
    level=Level.REFERENCE,
    twin="dispatch.siblings-are-fetched-at-the-same-time",
    catalogue=("retry-one-layer-fails-cancels",),
)
def test_first_failure_ends_the_siblings(bench: Bench) -> None:
    """When one layer cannot be had, the others are not waited for.

    Their bytes are of no use any more; a client that waits for them keeps its
    user waiting for a failure that is certain.
    """
    image = bench.publish(layers=3)
    missing, *others = image.layers
    fault = bench.registry.fault(method="GET", digest=missing.digest, status=404)
    gates = [bench.registry.gate(method="GET", digest=d.digest) for d in others]
    pull = bench.start_pull(image)
    outcome = pull.wait()  # the gates are still closed
    for gate in gates:
        gate.open()
    bench.must_reject(outcome, fault)


@case(
    clause="containerd v1.5.18 remotes/handlers.go:109, content/helpers.go:81",
    level=Level.SHOULD,
    catalogue=("store-concurrent-pulls-share", "manifest-duplicate-layer-digests"),
)
def test_blob_named_twice_is_kept_once(bench: Bench) -> None:
    """An image that lists the same layer several times is pulled like any other.

    Builders repeat the empty layer often. Two downloads of one blob at once
    must not trip over each other in the store.
    """
    image = bench.publish(layers=2, repeat_layers=3)
    bench.must_pull(image)
    for layer in image.layers:
        assert bench.registry.journal.requests(digest=layer.digest)
    stored = bench.stored({"content"})
    if stored.content is not None:
        assert all(stored.intact(layer.digest) for layer in image.layers)


@case(
    clause="containerd v1.5.18 images/handlers.go:120",
    level=Level.REFERENCE,
    needs={Feature.ALL_PLATFORMS},
)
def test_every_platform_is_walked_when_all_are_asked_for(bench: Bench) -> None:
    """All platforms means all: every manifest with its config and its layers."""
    image = bench.publish(layers=2, platforms=["linux/amd64", "linux/arm64", None])
    bench.must_pull(image, all_platforms=True)
    for blob in image.blobs:
        assert bench.registry.journal.requests(digest=blob.digest), blob
