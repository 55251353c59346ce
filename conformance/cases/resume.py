"""Interrupted downloads: what came is kept, what is missing is asked for.

Whatever a client does after an interruption, a blob that is put together from
parts is that blob or it is nothing. The cases that need the feature "resume" are
for clients that say they ask for the rest of a blob.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Final

from conformance.case import Feature, Level, NotTestable, case
from conformance.cases._wire import (
    LONG,
    asked_anew,
    assert_bounded,
    assert_none,
    assert_ok,
    met,
    start_half_a_pull,
)

if TYPE_CHECKING:
    from conformance.bench import Bench
    from fakeregistry import Descriptor, Fault, Image

USE_CASE: Final = "distribution-spec v1.1.1, Use Cases, Resumable Pull"
BLOBS: Final = (
    "distribution-spec v1.1.1, Pulling blobs: clients SHOULD verify that the "
    "response body matches the requested digest"
)
CUT: Final = 1000


@case(
    clause=USE_CASE,
    level=Level.SHOULD,
    needs={Feature.RESUME},
    catalogue=("resume-truncated-content-length", "resume-206-correct"),
)
def test_rest_of_a_cut_body_is_asked_for(bench: Bench) -> None:
    """When a connection ends early, a client asks for the rest with Range.

    A layer of gigabytes over a bad line never arrives otherwise.
    """
    image, layer = _publish(bench)
    cut = _cut(bench, layer)
    bench.must_pull(image)
    assert cut.fired
    resumed = bench.registry.journal.requests(digest=layer.digest, range=True)
    assert resumed, "the blob was asked for again from its beginning"
    assert 0 < _start(resumed[0].request_headers.get("Range")) <= CUT


@case(
    clause=USE_CASE,
    level=Level.SHOULD,
    needs={Feature.RESUME},
    catalogue=("resume-connection-reset",),
)
def test_rest_is_asked_for_after_a_reset(bench: Bench) -> None:
    """A connection that is reset is resumed like one that is closed.

    Firewalls and load balancers end connections with RST.
    """
    image, layer = _publish(bench)
    reset = bench.registry.fault(method="GET", digest=layer.digest, times=1, reset=CUT)
    bench.must_pull(image)
    assert reset.fired


@case(
    clause="RFC 9112 section 8: a client MUST record an incomplete message as such",
    level=Level.MUST,
    twin="verify.layer-intact",
    critical=True,
    catalogue=("resume-truncated-chunked",),
)
def test_chunked_body_without_its_end_is_incomplete(bench: Bench) -> None:
    """A chunked body that lacks the last chunk is not the blob.

    Nothing else tells how long it is: clients that miss this keep half a layer
    and report success.
    """
    image, layer = _publish(bench)
    cut = bench.registry.fault(method="GET", digest=layer.digest, times=1, cut=CUT)
    pull = bench.pull(image)
    met(cut)
    if pull.ok:
        again = bench.registry.journal.requests(method="GET", digest=layer.digest)
        assert len(again) > 1, "half a layer was taken for the whole"
    _assert_nothing_corrupt(bench)


@case(
    clause="RFC 9110 section 15.3.7: a client MUST inspect Content-Range",
    level=Level.MUST,
    needs={Feature.RESUME},
    twin="resume.rest-of-a-cut-body-is-asked-for",
    catalogue=("resume-206-wrong-start",),
)
def test_part_of_another_range_is_not_appended(bench: Bench) -> None:
    """A 206 that says it holds another part than the one asked for is not used.

    A client that does not look appends bytes at the wrong place. The bytes are
    right here, so that only looking at Content-Range makes a difference.
    """
    image, layer = _publish(bench)
    _cut(bench, layer)
    lie = bench.registry.fault(
        digest=layer.digest,
        range=True,
        content_range=f"bytes 0-{layer.size - 1}/{layer.size}",
    )
    pull = bench.pull(image)
    met(lie)
    if pull.ok:
        assert asked_anew(bench.registry, layer.digest), "a wrong part was taken"


@case(
    clause="RFC 9110 section 14.2: a server MAY ignore the Range header field",
    level=Level.SHOULD,
    needs={Feature.RESUME},
    catalogue=("resume-200-ignores-range",),
)
def test_whole_body_in_place_of_the_rest_is_understood(bench: Bench) -> None:
    """A server may answer 200 with all of it: the first bytes are skipped or dropped.

    To append the whole to what is there gives a broken blob. Some clients refuse
    such servers instead, since every resumption costs the whole blob.
    """
    image, layer = _publish(bench)
    _cut(bench, layer)
    whole = bench.registry.fault(digest=layer.digest, range=True, ignore_range=True)
    pull = bench.pull(image)
    met(whole)
    _assert_nothing_corrupt(bench)
    assert_ok(pull, "the whole blob came, yet the pull failed")


@case(
    clause="RFC 9110 section 15.5.17",
    level=Level.SHOULD,
    needs={Feature.RESUME},
    twin="resume.rest-of-a-cut-body-is-asked-for",
    catalogue=("resume-416",),
)
def test_range_that_is_refused_comes_to_an_end(bench: Bench) -> None:
    """A server that answers 416 although bytes are missing is not asked for ever.

    The client starts again from the first byte, or fails.
    """
    image, layer = _publish(bench)
    _cut(bench, layer)
    refused = bench.registry.fault(
        digest=layer.digest,
        range=True,
        status=416,
        headers={"Content-Range": f"bytes */{layer.size}"},
    )
    pull = bench.pull(image)
    met(refused)
    assert_bounded(bench.registry)
    if pull.ok:
        assert asked_anew(bench.registry, layer.digest), "half a layer was taken"
    _assert_nothing_corrupt(bench)


@case(
    clause=BLOBS,
    level=Level.SHOULD,
    needs={Feature.RESUME},
    twin="resume.rest-of-a-cut-body-is-asked-for",
    critical=True,
    catalogue=("resume-content-changed",),
)
def test_parts_of_different_content_are_no_blob(bench: Bench) -> None:
    """When the rest comes from other bytes, the digest of all of it tells."""
    image, layer = _publish(bench)
    _cut(bench, layer)
    changed = bench.registry.fault(digest=layer.digest, range=True, flip=9)
    pull = bench.pull(image)
    met(changed)
    if not asked_anew(bench.registry, layer.digest):
        bench.must_reject(pull, changed)
    _assert_nothing_corrupt(bench)


@case(
    clause="safety (no unbounded use); RFC 9112 section 8",
    level=Level.MUST,
    twin="verify.layer-intact",
    catalogue=("resume-no-progress-limit",),
)
def test_body_that_never_comes_ends_the_pull(bench: Bench) -> None:
    """A blob whose connections all end before its first byte is given up.

    A client that resumes for ever hangs without a word, and floods the server.
    """
    image, layer = _publish(bench)
    nothing = bench.registry.fault(method="GET", digest=layer.digest, truncate=0)
    bench.must_reject(bench.pull(image), nothing)
    assert_bounded(bench.registry)


@case(
    clause="containerd v1.5.18 remotes/docker/httpreadseeker.go:61",
    level=Level.REFERENCE,
    needs={Feature.RESUME},
    catalogue=("resume-progress-resets-limit",),
)
def test_progress_makes_up_for_interruptions(bench: Bench) -> None:
    """As long as bytes come, a blob may be interrupted any number of times."""
    image, layer = _publish(bench)
    cut = bench.registry.fault(method="GET", digest=layer.digest, truncate=CUT)
    bench.must_pull(image)
    assert cut.fired >= layer.size // CUT


@case(
    clause="containerd v1.5.18 content/helpers.go:146",
    level=Level.REFERENCE,
    needs={Feature.RESUME},
    catalogue=("resume-across-pulls",),
)
def test_next_pull_goes_on_where_the_last_one_stopped(bench: Bench) -> None:
    """What a failed pull has got of a blob is not fetched again by the next."""
    image, layer = _publish(bench)
    cut = _cut(bench, layer)
    with bench.registry.fault(digest=layer.digest, range=True, status=404):
        bench.must_reject(bench.pull(image), cut)
    bench.registry.journal.clear()
    bench.must_pull(image)
    first = bench.registry.journal.requests(method="GET", digest=layer.digest)[0]
    assert first.request_headers.get("Range") == f"bytes={CUT}-"


@case(
    clause=BLOBS,
    level=Level.SHOULD,
    twin="verify.layer-intact",
    catalogue=("resume-poisoned-partial",),
)
def test_broken_download_does_not_spoil_the_next_pull(bench: Bench) -> None:
    """After wrong bytes, a registry that is well again is pulled from.

    A client that keeps the wrong bytes as a finished download fails for good, and
    its user has to find out what to delete.
    """
    image, layer = _publish(bench)
    wrong = bench.registry.fault(
        method="GET", digest=layer.digest, times=1, flip=layer.size // 2
    )
    first = bench.pull(image)
    met(wrong)
    if first.ok:
        raise NotTestable("the client took the wrong bytes for right")
    second = bench.pull(image)
    assert_ok(second, "the pull after a broken one must succeed")


@case(
    clause=USE_CASE,
    level=Level.SHOULD,
    needs={Feature.CANCEL},
    catalogue=("resume-across-pulls",),
)
def test_pull_after_a_cancelled_one_is_whole(bench: Bench) -> None:
    """A pull that its user ended leaves nothing that breaks the next one."""
    image = bench.publish(layer_size=LONG)
    running, stall = start_half_a_pull(bench, image)
    running.cancel()
    stall.release()
    bench.must_pull(image)
    _assert_nothing_corrupt(bench)


@case(
    clause=USE_CASE,
    level=Level.SHOULD,
    needs={Feature.RESUME},
    catalogue=("redirect-presigned-expired-on-resume",),
)
def test_resumption_starts_at_the_registry(bench: Bench) -> None:
    """The URL of a redirect is good once: the rest is asked for at the registry.

    Signed URLs of object stores run out after some minutes, in the midst of
    large layers.
    """
    image, layer = _publish(bench)
    store, tickets = bench.new_registry(), itertools.count()
    store.add_image(image)
    store.fault(method="GET", digest=layer.digest, times=1, truncate=CUT)
    store.fault(when=lambda e: e.query == "ticket=0", range=True, status=403)
    bench.registry.fault(
        method="GET",
        digest=layer.digest,
        redirect=lambda e: f"{store.url}{e.target}?ticket={next(tickets)}",
    )
    bench.must_pull(image)
    resumed = store.journal.requests(digest=layer.digest, range=True)
    assert resumed
    assert resumed[0].query != "ticket=0", "the old URL was used again"


@case(
    clause="RFC 9110 section 15.3.7.1: the server MUST generate Content-Range",
    level=Level.REFERENCE,
    needs={Feature.RESUME},
    twin="resume.rest-of-a-cut-body-is-asked-for",
    catalogue=("resume-206-no-content-range",),
)
def test_part_that_does_not_say_which_is_not_guessed(bench: Bench) -> None:
    """A 206 without Content-Range could be any part: the pull fails, keeps nothing."""
    image, layer = _publish(bench)
    _cut(bench, layer)
    bare = bench.registry.fault(
        digest=layer.digest, range=True, remove_headers=["Content-Range"]
    )
    bench.must_reject(bench.pull(image), bare)
    _assert_nothing_corrupt(bench)


@case(
    clause="RFC 9110 section 15.3.7: 206 answers a range request; section 14.2",
    level=Level.MUST,
    twin="verify.layer-intact",
    catalogue=("resume-206-without-range",),
)
def test_part_that_was_not_asked_for_is_not_the_blob(bench: Bench) -> None:
    """A GET without Range is answered with 206 and half of the blob.

    A cache that mixes up its entries does that. The half is not kept for the whole;
    a client may well ask for the rest.
    """
    image, layer = _publish(bench)
    half = layer.size // 2
    part = bench.registry.fault(
        method="GET",
        digest=layer.digest,
        range=False,
        change_status=206,
        shorten=half,
        content_range=f"bytes 0-{half - 1}/{layer.size}",
    )
    pull = bench.pull(image)
    met(part)
    _assert_nothing_corrupt(bench)
    if pull.ok:
        rest = bench.registry.journal.requests(digest=layer.digest, range=True)
        assert rest, "half a layer was taken for all of it"


@case(
    clause="RFC 9110 section 15.3.7.2: a server MUST NOT generate a multipart response "
    "to a request for a single range",
    level=Level.SHOULD,
    needs={Feature.RESUME},
    twin="resume.rest-of-a-cut-body-is-asked-for",
    critical=True,
    catalogue=("resume-multipart-byteranges",),
)
def test_parts_in_an_envelope_are_not_appended(bench: Bench) -> None:
    """The rest comes as multipart/byteranges, with lines of text around it.

    Who does not look at the type appends the envelope to the blob.
    """
    image, layer = _publish(bench)
    data = image.data[layer.digest]
    _cut(bench, layer)
    span = f"Content-Range: bytes {CUT}-{layer.size - 1}/{layer.size}".encode()
    body = b"--EDGE\r\n" + span + b"\r\n\r\n" + data[CUT:] + b"\r\n--EDGE--\r\n"
    wrapped = bench.registry.fault(
        digest=layer.digest,
        range=True,
        status=206,
        headers={"Content-Type": "multipart/byteranges; boundary=EDGE"},
        body=body,
    )
    pull = bench.pull(image)
    met(wrapped)
    _assert_nothing_corrupt(bench)
    if pull.ok:
        assert asked_anew(bench.registry, layer.digest), "the envelope was taken"


@case(
    clause="RFC 9110 sections 14.2 and 12.5.3: a range is one of the encoded bytes",
    level=Level.SHOULD,
    needs={Feature.RESUME},
    catalogue=("resume-identity-coding-only",),
)
def test_rest_is_asked_for_without_an_encoding(bench: Bench) -> None:
    """Who asks for the rest of a blob does not offer to take it packed.

    The bytes of a packed blob are others: a range of them does not fit.
    """
    image, layer = _publish(bench)
    _cut(bench, layer)
    bench.must_pull(image)
    resumed = bench.registry.journal.requests(digest=layer.digest, range=True)
    assert resumed, "the rest was never asked for"
    for exchange in resumed:
        offered = exchange.request_headers.get("Accept-Encoding")
        assert offered in ("", "identity"), f"offered {offered} for a range"


@case(
    clause="containerd v1.5.18 remotes/docker/fetcher.go:159: Accept-Ranges cannot be "
    "trusted",
    level=Level.REFERENCE,
    needs={Feature.RESUME},
    catalogue=("resume-accept-ranges-lies",),
)
def test_rest_is_asked_for_though_nobody_offers_it(bench: Bench) -> None:
    """A server that does not say ``Accept-Ranges: bytes`` may know ranges all the same.

    Most registries say nothing.
    """
    image, layer = _publish(bench)
    bench.registry.fault(path="/blobs/*", remove_headers=["Accept-Ranges"])
    _cut(bench, layer)
    bench.must_pull(image)
    resumed = bench.registry.journal.requests(digest=layer.digest, range=True)
    assert resumed, "the blob was asked for again from its beginning"


@case(
    clause="containerd v1.5.18 remotes/docker/fetcher.go:158: offset > 0",
    level=Level.REFERENCE,
    catalogue=("resume-range-zero-not-sent",),
)
def test_whole_blob_is_asked_for_without_a_range(bench: Bench) -> None:
    """The first request for a blob has no Range: ``bytes=0-`` is another request.

    Some stores behind registries do not cache the answers to ranges.
    """
    image, layer = _publish(bench)
    bench.must_pull(image)
    asked = bench.registry.journal.requests(method="GET", digest=layer.digest)
    assert asked, "the layer was never asked for"
    ranged = [e for e in asked if e.request_headers.get("Range")]
    assert_none(ranged, "a range of the whole was asked for")


def _publish(bench: Bench) -> tuple[Image, Descriptor]:
    """Publish an image with one layer that is longer than the cut."""
    image = bench.publish(layer_size=8192)
    return image, image.layers[0]


def _cut(bench: Bench, layer: Descriptor) -> Fault:
    """End the first connection on which the layer is asked for early."""
    return bench.registry.fault(
        method="GET", digest=layer.digest, times=1, truncate=CUT
    )


def _start(header: str) -> int:
    """Return the first byte that ``bytes=N-`` or ``bytes=N-M`` asks for."""
    return int(header.removeprefix("bytes=").partition("-")[0])


def _assert_nothing_corrupt(bench: Bench) -> None:
    if bench.claims(Feature.CONTENT):
        corrupt = bench.stored({"content"}).corrupt()
        assert not corrupt, f"kept under a digest that it lacks: {corrupt[0]}"
