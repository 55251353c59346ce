"""From a descriptor to its content: where it is asked for, and how often."""

from __future__ import annotations

from typing import TYPE_CHECKING

from conformance.case import Feature, Level, case
from conformance.cases._content import (
    DISTRIBUTION,
    assert_no_record,
    assert_nothing_false,
)
from conformance.cases._wire import assert_none, met

if TYPE_CHECKING:
    from conformance.bench import Bench


@case(
    clause="OCI distribution-spec v1.1.1, Endpoints: end-2 for blobs, end-3 for "
    "manifests",
    level=Level.MUST,
    link=f"{DISTRIBUTION}#endpoints",
)
def test_manifests_and_blobs_have_endpoints_of_their_own(bench: Bench) -> None:
    """Indexes and manifests are asked for as manifests, all else as blobs.

    Registries keep the two apart; some look for a manifest among the blobs, and
    some do not.
    """
    image = bench.publish(platforms=["linux/amd64"], layers=2)
    bench.must_pull(image, platform="linux/amd64")
    asked = bench.registry.journal.requests
    for document in image.documents:
        assert_none(asked(path=f"/blobs/{document.digest}"), "a document as a blob")
    for blob in image.contents:
        assert asked(method="GET", path=f"/blobs/{blob.digest}"), blob
        assert_none(asked(path=f"/manifests/{blob.digest}"), "a blob as a manifest")


@case(
    clause="containerd v1.5.18 remotes/docker/fetcher.go:153",
    level=Level.REFERENCE,
)
def test_accept_names_the_type_of_the_content(bench: Bench) -> None:
    """Each document and blob is asked for by its own media type, or any other."""
    image = bench.publish(platforms=["linux/amd64"])
    bench.must_pull(image, platform="linux/amd64")
    for blob in image.blobs:
        for exchange in bench.registry.journal.requests(
            method="GET", digest=blob.digest
        ):
            accept = exchange.request_headers.get("Accept")
            assert accept == f"{blob.media_type}, */*"


@case(
    clause="containerd v1.5.18 remotes/handlers.go:110",
    level=Level.REFERENCE,
)
def test_everything_is_asked_for_once(bench: Bench) -> None:
    """Each document and blob takes one GET, and no HEAD before it."""
    image = bench.publish(platforms=["linux/amd64"], layers=3)
    bench.must_pull(image, platform="linux/amd64")
    for blob in image.blobs:
        asked = bench.registry.journal.requests(digest=blob.digest)
        assert [exchange.method for exchange in asked] == ["GET"]


@case(
    clause="RFC 9110 section 8.4: Content-Encoding; OCI distribution-spec v1.1.1, "
    "Pulling manifests",
    level=Level.SHOULD,
    needs={Feature.CONTENT},
    critical=True,
    twin="verify.layer-intact",
    link=f"{DISTRIBUTION}#pulling-manifests",
    catalogue=("transport-manifest-content-encoding-gzip",),
)
def test_encoded_manifest_is_decoded_or_refused(bench: Bench) -> None:
    """A manifest that a proxy packed with gzip is unpacked, or the pull fails.

    The digest is that of the document: its packed bytes are never kept under it.
    """
    image = bench.publish()
    packed = bench.registry.fault(method="GET", path="/manifests/*", encode="gzip")
    pull = bench.pull(image)
    met(packed)
    assert_nothing_false(bench)
    if pull.ok:
        assert bench.stored({"content"}).intact(image.digest)


@case(
    clause="containerd v1.5.18 remotes/docker/resolver.go:249",
    level=Level.REFERENCE,
    needs={Feature.DIGEST_REF},
    catalogue=("resolve-by-digest-blobs-fallback",),
)
def test_pinned_blob_is_found_among_the_blobs(bench: Bench) -> None:
    """What is no manifest by that digest may be a blob: it is asked for there, too.

    A client that unpacks what it has fetched may say then that this is no image.
    """
    image = bench.publish()
    digest = image.layers[0].digest
    pull = bench.pull(f"{bench.registry.host}/{image.repository}@{digest}")
    asked = [(e.method, e.path) for e in bench.registry.journal]
    manifest, blob = (
        f"/v2/{image.repository}/{kind}/{digest}" for kind in ("manifests", "blobs")
    )
    wanted = [("HEAD", manifest), ("HEAD", blob), ("GET", blob)]
    assert asked == wanted, f"it was not asked for there; {pull}"


@case(
    clause="OCI distribution-spec v1.1.1, Pulling manifests: the Content-Type header "
    "will indicate the type of the returned manifest",
    level=Level.SHOULD,
    twin="verify.layer-intact",
    link=f"{DISTRIBUTION}#pulling-manifests",
    catalogue=("resolve-content-type-octet-stream-manifest",),
)
def test_manifest_without_a_type_is_an_image_or_an_error(bench: Bench) -> None:
    """A file server calls a manifest application/octet-stream.

    A client looks into it and pulls its layers, or fails. A record of an image without
    its layers helps nobody.
    """
    image = bench.publish()
    typed = {"Content-Type": "application/octet-stream"}
    untyped = bench.registry.fault(path="/manifests/*", headers=typed)
    pull = bench.pull(image)
    met(untyped)
    if pull.ok:
        for layer in image.layers:
            asked = bench.registry.journal.requests(method="GET", digest=layer.digest)
            assert asked, f"success without {layer.digest}"
    else:
        assert_no_record(bench, image)
    bench.observe("looks into it" if pull.ok else "fails")
