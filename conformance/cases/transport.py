"""HTTP and TLS underneath: what every registry may send, and whom to believe."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from conformance.case import Feature, Level, case
from conformance.cases._content import assert_nothing_false
from conformance.cases._wire import LONG, assert_none, met, start_half_a_pull
from fakeregistry.tls import authority

if TYPE_CHECKING:
    from conformance.bench import Bench

HEAD: Final = "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\n{}\r\n"


@case(
    clause="RFC 9112 section 7.1: a recipient MUST be able to parse the chunked "
    "transfer coding",
    level=Level.MUST,
    catalogue=("transport-chunked-manifest",),
)
def test_chunked_bodies_are_understood(bench: Bench) -> None:
    """Manifests and blobs may come in chunks, of any size and with extensions.

    Proxies that compress or rewrite on the way send everything so.
    """
    chunked = bench.registry.fault(
        method="GET", path="/v2/*", chunked=97, chunk_extension=";a=b"
    )
    bench.must_pull(bench.publish(layers=2))
    assert chunked.fired


@case(
    clause="RFC 9112 section 6.3, rule 8",
    level=Level.SHOULD,
    catalogue=("transport-http10",),
)
def test_body_may_end_with_the_connection(bench: Bench) -> None:
    """An HTTP/1.0 server that gives no length is understood all the same.

    Descriptors say how long everything is: nothing is lost with the header.
    """
    old = bench.registry.fault(
        method="GET",
        path="/v2/*",
        version="HTTP/1.0",
        remove_headers=["Content-Length"],
    )
    bench.must_pull(bench.publish(layers=2))
    assert old.fired


@case(
    clause="RFC 9110 section 15.2: a client MUST be able to parse 1xx responses",
    level=Level.MUST,
    catalogue=("transport-1xx-interim",),
)
def test_interim_response_is_passed_over(bench: Bench) -> None:
    """103 Early Hints comes before the answer and is not the answer."""
    hints = bench.registry.fault(path="/v2/*", interim=103)
    bench.must_pull(bench.publish())
    assert hints.fired


@case(
    clause="RFC 9110 section 5.1: field names are case-insensitive",
    level=Level.MUST,
    catalogue=("transport-header-case",),
)
def test_headers_have_no_case(bench: Bench) -> None:
    """``docker-content-digest`` is ``Docker-Content-Digest``.

    Gateways between HTTP/2 and HTTP/1.1 write all names in lower case.
    """
    lower = bench.registry.fault(path="/v2/*", lower_case=True)
    bench.must_pull(bench.publish())
    assert lower.fired


@case(
    clause="RFC 9112 section 9.6",
    level=Level.MUST,
    catalogue=("transport-connection-close-each",),
)
def test_closed_connection_is_followed_by_another(bench: Bench) -> None:
    """A server that closes every connection after one answer is a good server."""
    closing = bench.registry.fault(path="/v2/*", close=True)
    bench.must_pull(bench.publish(layers=2))
    assert closing.fired


@case(
    clause="distribution-spec v1.1.1, Warnings: clients MUST NOT take any automated "
    "action based on the presence or contents of warnings",
    level=Level.MUST,
    catalogue=("resolve-warning-header",),
)
def test_warning_changes_nothing(bench: Bench) -> None:
    """A registry may warn its users in a header; the pull goes on as without it.

    No request is left out or sent besides.
    """
    image = bench.publish()
    bench.must_pull(image)
    without = sorted(bench.registry.journal.paths())
    bench.fresh_store()
    bench.registry.journal.clear()
    text = '299 - "This image is deprecated and will be removed soon."'
    warned = bench.registry.fault(path="/v2/*", headers={"Warning": text})
    bench.must_pull(image)
    assert warned.fired
    assert sorted(bench.registry.journal.paths()) == without


@case(
    clause="RFC 9110 section 4.2.2",
    level=Level.MUST,
    needs={Feature.TLS},
)
def test_trusted_registry_is_pulled_from_over_tls(bench: Bench) -> None:
    """A registry with a certificate of an authority that the client trusts."""
    registry = bench.new_registry(tls=True)
    image = bench.publish()
    bench.must_pull(image)
    assert registry.journal.requests(digest=image.layers[0].digest)


@case(
    clause="RFC 9110 section 4.3.4",
    level=Level.MUST,
    needs={Feature.TLS},
    twin="transport.trusted-registry-is-pulled-from-over-tls",
    critical=True,
    catalogue=(
        "security-tls-untrusted-cert",
        "security-no-http-downgrade-on-tls-failure",
    ),
)
def test_certificate_of_an_unknown_authority_is_refused(bench: Bench) -> None:
    """A certificate that nobody vouches for may be that of anybody on the way.

    The client is told to trust another certificate here. Without a choice of its
    user it must not go on, and not fall back to plain http.
    """
    registry = bench.new_registry(tls=True)
    pull = bench.pull(bench.publish(), ca=authority().client_cert)
    bench.must_reject(pull)
    assert_none(tuple(registry.journal), "a request was sent")


@case(
    clause="RFC 9110 section 4.3.4; RFC 9525 section 6",
    level=Level.MUST,
    needs={Feature.TLS},
    twin="transport.trusted-registry-is-pulled-from-over-tls",
    critical=True,
    catalogue=("security-tls-untrusted-cert",),
)
def test_certificate_for_another_name_is_refused(bench: Bench) -> None:
    """A good certificate of another host proves nothing about this one.

    The certificate is for 127.0.0.1 and localhost, the registry is 127.0.0.2.
    """
    registry = bench.new_registry(tls=True, host="127.0.0.2")
    pull = bench.pull(bench.publish())
    bench.must_reject(pull)
    assert_none(tuple(registry.journal), "a request was sent")


@case(
    clause="RFC 9110 section 8.4; distribution-spec v1.1.1, Pulling blobs",
    level=Level.SHOULD,
    needs={Feature.CONTENT},
    twin="verify.layer-intact",
    critical=True,
    catalogue=("transport-blob-content-encoding-x-gzip",),
)
def test_layer_said_to_be_encoded_is_not_kept_unpacked(bench: Bench) -> None:
    """A gzip layer under the header ``Content-Encoding: gzip`` stays what it is.

    Who unpacks it on the way keeps a tar archive under the digest of a gzip file.
    To fail is fine: the header is wrong.
    """
    image = bench.publish()
    (layer,) = image.layers
    labelled = bench.registry.fault(
        method="GET", digest=layer.digest, headers={"Content-Encoding": "gzip"}
    )
    pull = bench.pull(image)
    met(labelled)
    stored = bench.stored({"content"})
    assert not stored.corrupt(), "kept under a digest that it lacks"
    if pull.ok and stored.content is not None:
        assert stored.has(layer.digest)


@case(
    clause="RFC 9112 sections 9.3.1 and 9.5",
    level=Level.SHOULD,
    catalogue=("retry-idle-connection-closed",),
)
def test_connection_closed_while_idle_is_replaced(bench: Bench) -> None:
    """A server may close an idle connection at any time: a GET is sent again.

    Servers and balancers do so after some seconds, often in between two requests.
    """
    gone = bench.registry.fault(path="/v2/*", hang_up=True)
    bench.must_pull(bench.publish(layers=2))
    assert gone.fired


def _answer(*fields: str) -> bytes:
    """Return the start of an answer, with header fields as they are given."""
    return HEAD.format("".join(f"{field}\r\n" for field in fields)).encode("ascii")


@case(
    clause="RFC 9112 section 6.3, rule 5: multiple Content-Length values that differ "
    "are an unrecoverable error",
    level=Level.MUST,
    twin="verify.layer-intact",
    catalogue=("transport-conflicting-content-length",),
)
def test_two_lengths_are_none(bench: Bench) -> None:
    """An answer with two different lengths is not used; both could be the lie.

    Whoever takes one of them, and a proxy the other, can be made to take the end of
    a body for the next answer.
    """
    image = bench.publish()
    (layer,) = image.layers
    lengths = f"Content-Length: {layer.size}", f"Content-Length: {layer.size + 9}"
    body = image.data[layer.digest] + b"HTTP/1.1 "
    torn = bench.registry.fault(
        method="GET", digest=layer.digest, raw=_answer(*lengths) + body
    )
    bench.must_reject(bench.pull(image), torn)


@case(
    clause="RFC 9112 section 6.3, rule 3: Transfer-Encoding overrides Content-Length",
    level=Level.SHOULD,
    needs={Feature.CONTENT},
    twin="verify.layer-intact",
    critical=True,
    catalogue=("transport-te-and-cl",),
)
def test_chunks_count_where_a_length_is_given_too(bench: Bench) -> None:
    """With chunks and a length the chunks count, or the answer is refused.

    The length is that of the chunked bytes here: who believes it keeps the chunks'
    sizes as a part of the blob.
    """
    image = bench.publish()
    (layer,) = image.layers
    data = image.data[layer.digest]
    body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(data), data)
    fields = "Transfer-Encoding: chunked", f"Content-Length: {len(body)}"
    both = bench.registry.fault(
        method="GET", digest=layer.digest, raw=_answer(*fields) + body
    )
    pull = bench.pull(image)
    met(both)
    assert_nothing_false(bench)
    if pull.ok:
        assert bench.stored({"content"}).intact(layer.digest), "the layer is missing"


@case(
    clause="RFC 9112 section 6.3, rule 1: a response to HEAD is terminated by the "
    "first empty line",
    level=Level.SHOULD,
    twin="verify.layer-intact",
    catalogue=("transport-head-with-body",),
)
def test_body_behind_a_head_is_no_answer(bench: Bench) -> None:
    """Bytes that follow the answer to a HEAD are not the answer to what comes next.

    They look like one: another image's manifest, whole and with its header.
    """
    image = bench.publish()
    other = bench.publish("library/test:other", seed=1)
    document = other.data[other.digest]
    manifest = image.data[image.digest]
    fields = [
        "Content-Type: application/vnd.oci.image.manifest.v1+json",
        f"Docker-Content-Digest: {image.digest}",
    ]
    answer = "\r\n".join(["HTTP/1.1 200 OK", *fields, ""])
    smuggled = f"{answer}Content-Length: {len(document)}\r\n\r\n".encode() + document
    head = f"{answer}Content-Length: {len(manifest)}\r\n\r\n".encode()
    behind = bench.registry.fault(method="HEAD", raw=head + smuggled)
    pull = bench.pull(image)
    met(behind)
    asked = bench.registry.journal.requests
    astray = asked(digest=other.layers[0].digest)
    assert_none(astray, "the bytes were taken for an answer")
    assert pull.ok, f"the image is there; {pull}"
    assert asked(digest=image.layers[0].digest)


@case(
    clause="safety (what is half there is not there)",
    level=Level.SHOULD,
    needs={Feature.CANCEL},
    twin="verify.layer-intact",
    critical=True,
    catalogue=("transport-stalled-body",),
)
def test_pull_that_stands_still_can_be_ended(bench: Bench) -> None:
    """A body stops in the middle and the connection stays open: the user gives up.

    The client ends at once and keeps nothing false. How long it would wait by itself
    is its own affair, and too long for a case.
    """
    image = bench.publish(layer_size=LONG)
    (layer,) = image.layers
    running, stalled = start_half_a_pull(bench, image)
    pull = running.cancel()
    stalled.release()
    assert not pull.ok, "the client reported success"
    assert pull.reason in (None, "cancelled"), f"it did not end: {pull.reason}"
    if bench.claims(Feature.CONTENT):
        assert_nothing_false(bench)
        assert not bench.stored({"content"}).has(layer.digest), "half a layer is kept"


@case(
    clause="RFC 9110 section 8.4: Content-Encoding names a coding that was applied",
    level=Level.SHOULD,
    needs={Feature.CONTENT},
    twin="verify.layer-intact",
    critical=True,
    catalogue=("transport-bogus-content-encoding",),
)
def test_encoding_that_is_a_lie_does_no_harm(bench: Bench) -> None:
    """``Content-Encoding: br`` on bytes that nobody has packed: an error, or ignored.

    A layer that is kept has the bytes of its digest in any case.
    """
    image = bench.publish(compression="none")
    (layer,) = image.layers
    for coding in ("br", "gzip", "x-made-up"):
        bench.fresh_store()
        lie = bench.registry.fault(
            method="GET", digest=layer.digest, headers={"Content-Encoding": coding}
        )
        pull = bench.pull(image)
        met(lie)
        assert_nothing_false(bench)
        if pull.ok:
            kept = bench.stored({"content"}).has(layer.digest)
            assert kept, f"{coding}: success without the layer"
        lie.remove()
