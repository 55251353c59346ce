"""Errors of a registry: a client tries again within reason, then says what failed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from conformance.case import Feature, Level, case
from conformance.cases._content import DISTRIBUTION, assert_not_crashed
from conformance.cases._wire import assert_bounded, met

if TYPE_CHECKING:
    from conformance.bench import Bench, Pull
    from fakeregistry import Fault

CODES: Final = f"{DISTRIBUTION}#error-codes"
ERROR_LIST: Final = (
    b'{"errors":[{"code":"DENIED","message":"the quota of pulls is used up"}]}'
)
ODD_BODIES: Final = (
    b"",
    b"<html><body>403 Forbidden</body></html>",
    b'{"errors":null}',
    b'{"errors":[]}',
    b'{"errors":[null,5,"text",[]]}',
    b'{"errors":{"code":"DENIED"}}',
    b'{"errors":[{"code":403,"message":["no"],"detail":[{}]}]}',
    b"[" * 2000,
    b"\xff\xfe\x00",
)


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


@case(
    clause="RFC 9110 sections 15.6.1 to 15.6.5; none of them asks for another try",
    level=Level.MAY,
    catalogue=("retry-5xx-manifest",),
)
def test_5xx_of_a_manifest_may_be_tried_again(bench: Bench) -> None:
    """One 500, 502, 503 or 504 for the tag: tried again, or the end of the pull?

    containerd up to 1.7 gives up, newer clients try again after a pause.
    """
    told = []
    for status in (500, 502, 503, 504):
        image = bench.publish(f"library/test:v{status}")
        down = bench.registry.fault(reference=image.tag, times=1, status=status)
        pull = bench.pull(image)
        met(down)
        told.append(f"{status}: {'tried again' if pull.ok else 'fails'}")
    bench.observe(", ".join(told))


@case(
    clause="RFC 9110 section 10.2.3 and 15.6.4: Retry-After",
    level=Level.MAY,
    catalogue=("retry-503-retry-after",),
)
def test_503_that_says_when_to_come_back(bench: Bench) -> None:
    """A layer is not there for a second, and the registry says so."""
    image = bench.publish()
    down = _busy(bench, image.layers[0].digest, status=503, after="1")
    bench.observe(_waited(bench, bench.pull(image), down))


@case(
    clause="RFC 9110 section 10.2.3; RFC 6585 section 4: MAY include Retry-After",
    level=Level.MAY,
    catalogue=("retry-429-retry-after-seconds",),
)
def test_429_that_says_when_to_come_back(bench: Bench) -> None:
    """A registry counts pulls, and asks for a pause of a second."""
    image = bench.publish()
    busy = _busy(bench, image.layers[0].digest, status=429, after="1")
    bench.observe(_waited(bench, bench.pull(image), busy))


@case(
    clause="RFC 9110 section 10.2.3: HTTP-date / delay-seconds",
    level=Level.MAY,
    catalogue=("retry-429-retry-after-date",),
)
def test_429_that_says_nonsense_about_when(bench: Bench) -> None:
    """``Retry-After: soon``, or a date that is over: neither is a reason to wait."""
    told = []
    for after in ("soon", "Wed, 21 Oct 2015 07:28:00 GMT"):
        image = bench.publish(
            f"library/test:{after[:4].strip(',').lower()}", seed=after
        )
        busy = _busy(bench, image.layers[0].digest, status=429, after=after)
        told.append(f"{after}: {_waited(bench, bench.pull(image, deadline=10), busy)}")
    bench.observe("; ".join(told))


@case(
    clause="OCI distribution-spec v1.1.1, Error Codes: a client SHOULD parse and "
    "present them",
    level=Level.SHOULD,
    twin="verify.layer-intact",
    link=CODES,
    catalogue=("retry-error-json-surfaced",),
)
def test_words_of_the_registry_reach_the_user(bench: Bench) -> None:
    """What a registry says of its error is in what the client says.

    "403 Forbidden" has a user look for a password that is right all along.
    """
    image = bench.publish()
    denied = bench.registry.fault(
        method="GET",
        digest=image.layers[0].digest,
        status=403,
        headers={"Content-Type": "application/json"},
        body=ERROR_LIST,
    )
    pull = bench.pull(image)
    bench.must_reject(pull, denied)
    said = f"{pull.error} {pull.stderr} {pull.stdout}"
    assert "quota of pulls" in said, f"the client says: {pull.last_words()}"


@case(
    clause="OCI distribution-spec v1.1.1, Error Codes: a response body MAY be in any "
    "format",
    level=Level.MUST,
    twin="verify.layer-intact",
    link=CODES,
    catalogue=("retry-error-body-odd",),
)
def test_odd_words_of_the_registry_do_no_harm(bench: Bench) -> None:
    """Whatever the body of an error is, the client fails with an error of its own."""
    for body in ODD_BODIES:
        image = bench.publish()
        denied = bench.registry.fault(
            method="GET",
            digest=image.layers[0].digest,
            status=403,
            headers={"Content-Type": "application/json"},
            body=body,
        )
        bench.fresh_store()
        pull = bench.pull(image)
        bench.must_reject(pull, denied)
        assert_not_crashed(pull)
        denied.remove()


@case(
    clause="RFC 9110 section 15: treat an unrecognized status code as x00",
    level=Level.MAY,
    catalogue=("retry-nonstandard-status",),
)
def test_status_that_nobody_knows(bench: Bench) -> None:
    """299, 499, 522 and 599 for a layer: each counts by its first digit.

    Balancers and CDNs have made them up. With 299 the layer is there, and whole.
    """
    told = []
    for status in (299, 499, 522, 599):
        image = bench.publish(f"library/test:v{status}", seed=status)
        odd = bench.registry.fault(
            method="GET", digest=image.layers[0].digest, change_status=status
        )
        pull = bench.pull(image)
        met(odd)
        told.append(f"{status}: {'taken' if pull.ok else 'an error'}")
    bench.observe(", ".join(told))


@case(
    clause="OCI distribution-spec v1.1.1, Error Codes; containerd issue 8969",
    level=Level.MAY,
    link=CODES,
    catalogue=("resolve-head-403-error-detail",),
)
def test_refusal_of_a_head_has_no_words(bench: Bench) -> None:
    """HEAD is refused, and has no body: does the client ask why, with a GET?"""
    image = bench.publish()
    headers = {"Content-Type": "application/json"}
    denied = bench.registry.fault(
        path="/manifests/*", status=403, headers=headers, body=ERROR_LIST
    )
    pull = bench.pull(image)
    met(denied)
    heads = [e for e in denied.exchanges if e.method == "HEAD"]
    asked = heads and len(heads) < denied.fired
    said = "quota of pulls" in f"{pull.error} {pull.stderr} {pull.stdout}"
    how = "asks with GET" if asked else f"sends {denied.fired} requests"
    bench.observe(f"{how}; {'says why' if said else 'does not say why'}")


def _busy(bench: Bench, digest: str, *, status: int, after: str) -> Fault:
    """Let a layer be not there for one request."""
    headers = {"Retry-After": after}
    return bench.registry.fault(
        method="GET", digest=digest, times=1, status=status, headers=headers
    )


def _waited(bench: Bench, pull: Pull, busy: Fault) -> str:
    """Say how long a client waited before it came again."""
    (first,) = met(busy)
    again = [
        e
        for e in bench.registry.journal.requests(digest=first.reference)
        if e.started > first.started
    ]
    if not again:
        return f"does not come again, and {'succeeds' if pull.ok else 'fails'}"
    paused = again[0].started - first.started
    return "comes again after a pause" if paused >= 0.9 else "comes again at once"
