"""HTTP and TLS underneath: what every registry may send, and whom to believe."""

from __future__ import annotations

from typing import TYPE_CHECKING

from conformance.case import Feature, Level, case
from conformance.cases._wire import assert_none, met
from fakeregistry.tls import authority

if TYPE_CHECKING:
    from conformance.bench import Bench


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
)
def test_warning_changes_nothing(bench: Bench) -> None:
    """A registry may warn its users in a header; the pull goes on as without it."""
    text = '299 - "This image is deprecated and will be removed soon."'
    warned = bench.registry.fault(path="/v2/*", headers={"Warning": text})
    bench.must_pull(bench.publish())
    assert warned.fired


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
