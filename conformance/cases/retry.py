"""Errors of a registry: a client tries again within reason, then says what failed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from conformance.case import Feature, Level, case
from conformance.cases._wire import assert_bounded, met

if TYPE_CHECKING:
    from conformance.bench import Bench


@case(
    clause="safety (half an image is no image); distribution-spec v1.1.1, Pulling "
    "blobs: if the blob is not found, the response code MUST be 404",
    level=Level.MUST,
    twin="verify.layer-intact",
    critical=True,
    catalogue=("retry-404-not-retried",),
)
def test_missing_layer_fails_the_pull(bench: Bench) -> None:
    """An image that lacks one layer is not pulled, and there is no record of it.

    A record of half an image is found out when it is run, by somebody else.
    """
    image = bench.publish(layers=3)
    missing = bench.registry.fault(digest=image.layers[1].digest, status=404)
    pull = bench.pull(image)
    bench.must_reject(pull, missing)
    if bench.claims(Feature.IMAGE_RECORD):
        assert pull.image is None, "the client has a record of the image"


@case(
    clause="safety (no unbounded use); RFC 6585 section 4",
    level=Level.MUST,
    twin="verify.layer-intact",
    catalogue=("retry-429-forever",),
)
def test_registry_that_is_always_busy_is_given_up(bench: Bench) -> None:
    """A client that is told to slow down does not try for ever.

    Docker Hub counts pulls: each try that is refused brings the next no nearer.
    """
    image = bench.publish()
    busy = bench.registry.fault(
        path="/manifests/*", status=429, headers={"Retry-After": "0"}
    )
    bench.must_reject(bench.pull(image), busy)
    assert_bounded(bench.registry)


@case(
    clause="safety (no unbounded use); RFC 9110 section 15.6.1",
    level=Level.MUST,
    twin="verify.layer-intact",
    catalogue=("retry-5xx-storm-bounded",),
)
def test_registry_that_is_broken_is_given_up(bench: Bench) -> None:
    """A registry that answers 500 to everything gets a bounded number of requests.

    Clients that insist keep a registry down that tries to come up again.
    """
    image = bench.publish()
    broken = bench.registry.fault(path="/v2/*", status=500)
    bench.must_reject(bench.pull(image), broken)
    assert_bounded(bench.registry)


@case(
    clause="containerd v1.5.18 remotes/docker/resolver.go:618",
    level=Level.REFERENCE,
    catalogue=("retry-429-immediate",),
)
def test_429_is_tried_again(bench: Bench) -> None:
    """A registry that is busy for a moment does not fail the pull."""
    image = bench.publish()
    busy = bench.registry.fault(path="/manifests/*", times=2, status=429)
    bench.must_pull(image)
    assert busy.fired == 2


@case(
    clause="containerd v1.5.18 remotes/docker/resolver.go:618",
    level=Level.REFERENCE,
    catalogue=("retry-408",),
)
def test_408_is_tried_again(bench: Bench) -> None:
    """A registry that lost its patience with a connection is asked once more."""
    image = bench.publish()
    late = bench.registry.fault(
        method="GET", digest=image.layers[0].digest, times=1, status=408
    )
    bench.must_pull(image)
    assert late.fired == 1


@case(
    clause="RFC 9110 section 15.6.4",
    level=Level.MAY,
    catalogue=("retry-5xx-blob",),
)
def test_503_of_a_layer_may_be_tried_again(bench: Bench) -> None:
    """One 503 among many layers: the client tries again, or it fails."""
    image = bench.publish(layers=3)
    layer = image.layers[1]
    down = bench.registry.fault(method="GET", digest=layer.digest, times=1, status=503)
    pull = bench.pull(image)
    met(down)
    asked = len(bench.registry.journal.requests(method="GET", digest=layer.digest))
    bench.observe("tried again" if asked > 1 else "gave up at once")
    assert pull.ok == (asked > 1), f"{asked} requests for the layer; {pull}"
