"""From a reference to a manifest: what is asked, and which answers are believed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from conformance.case import Feature, Level, case
from conformance.cases._content import (
    CONFUSION,
    DISTRIBUTION,
    assert_no_record,
    assert_not_astray,
    assert_nothing_false,
    must_refuse,
)
from conformance.cases._wire import assert_none, met
from fakeregistry.image import (
    DOCKER_LIST,
    DOCKER_MANIFEST,
    OCI_INDEX,
    OCI_MANIFEST,
    digest_of,
)

if TYPE_CHECKING:
    from conformance.bench import Bench

PINNED: Final = {Feature.DIGEST_REF}
PULLING: Final = f"{DISTRIBUTION}#pulling-manifests"
LEGACY: Final = (
    "OCI distribution-spec v1.1.1, Legacy Docker support HTTP headers: These headers "
    "are OPTIONAL and clients SHOULD NOT depend on them."
)
BY_DIGEST: Final = (
    "OCI distribution-spec v1.1.1, Pulling manifests: If the <reference> part of a "
    "manifest request is a digest, clients SHOULD verify the returned manifest "
    "matches this digest."
)
TYPES: Final = (OCI_MANIFEST, OCI_INDEX, DOCKER_MANIFEST, DOCKER_LIST)


@case(
    clause="containerd v1.5.18 remotes/docker/resolver.go:260, "
    "remotes/docker/fetcher.go:102",
    level=Level.REFERENCE,
    catalogue=("resolve-head-tag-then-get-digest",),
)
def test_tag_is_asked_with_head_and_its_digest_with_get(bench: Bench) -> None:
    """A tag is turned into a digest once; all that follows is asked for by digest.

    So a tag that moves in the middle of a pull changes nothing.
    """
    image = bench.publish()
    bench.must_pull(image)
    asked = bench.registry.journal.requests(path="/manifests/*")
    assert [(e.method, e.reference) for e in asked] == [
        ("HEAD", image.tag),
        ("GET", image.digest),
    ]


@case(
    clause="OCI distribution-spec v1.1.1, Pulling manifests: <reference> MUST be "
    "either (a) the digest of the manifest or (b) a tag",
    level=Level.MUST,
    needs=PINNED,
    link=PULLING,
)
def test_image_is_pulled_by_digest(bench: Bench) -> None:
    """An image is pulled by its digest, whatever its tags say.

    The twin of the cases in which a registry does not keep to the digest.
    """
    image = bench.publish()
    other = bench.publish(seed=1)
    assert other.tag == image.tag
    bench.must_pull(image, digest=True)
    asked = bench.registry.journal.requests
    assert asked(method="GET", path="/manifests/*", digest=image.digest)
    assert_none(asked(digest=other.digest), "the image behind the tag was asked for")


@case(
    clause="OCI distribution-spec v1.1.1, Pulling manifests: The client SHOULD include "
    "an Accept header indicating which manifest content types it supports.",
    level=Level.SHOULD,
    link=PULLING,
    catalogue=("resolve-accept-header",),
)
def test_accept_names_the_manifest_types(bench: Bench) -> None:
    """Each request for a manifest says which types of manifest it can take.

    Without that, old registries answer with the format of 2014.
    """
    image = bench.publish()
    bench.must_pull(image)
    asked = bench.registry.journal.requests(path="/manifests/*")
    assert asked, "no manifest was asked for"
    for exchange in asked:
        accept = ",".join(exchange.request_headers.get_all("Accept"))
        assert any(known in accept for known in TYPES), f"{exchange!r}: {accept!r}"


@case(
    clause="OCI distribution-spec v1.1.1, Pulling manifests: The client SHOULD include "
    "an Accept header indicating which manifest content types it supports.",
    level=Level.SHOULD,
    link=PULLING,
    catalogue=("resolve-accept-missing-gets-schema1",),
)
def test_registry_that_obeys_accept_has_the_image(bench: Bench) -> None:
    """A registry that has only what a client accepts finds an OCI index for it.

    A client that supports OCI images, and does not say so, gets 404 there.
    """
    bench.new_registry(strict_accept=True)
    bench.must_pull(bench.publish(platforms=["linux/amd64"]), platform="linux/amd64")


@case(
    clause=LEGACY,
    level=Level.SHOULD,
    link=f"{DISTRIBUTION}#legacy-docker-support-http-headers",
    catalogue=(
        "resolve-head-no-digest-header",
        "resolve-docker-distribution-api-version-absent",
    ),
)
def test_headers_of_docker_may_be_missing(bench: Bench) -> None:
    """A registry without Docker's headers is pulled from like any other.

    Docker-Content-Digest is one of them. A client that wants a digest computes it
    from the manifest.
    """
    names = ["Docker-Content-Digest", "Docker-Distribution-API-Version", "Etag"]
    bare = bench.registry.fault(path="/v2/*", remove_headers=names)
    bench.must_pull(bench.publish())
    assert bare.fired


@case(
    clause="OCI distribution-spec v1.1.1, Checking if content exists in the registry: "
    "A successful response SHOULD contain the size in bytes in Content-Length.",
    level=Level.SHOULD,
    link=f"{DISTRIBUTION}#checking-if-content-exists-in-the-registry",
    catalogue=("resolve-head-no-content-length",),
)
def test_head_may_lack_the_length(bench: Bench) -> None:
    """A HEAD that tells no length is no obstacle: the manifest itself has one.

    Proxies that compress drop the header.
    """
    image = bench.publish()
    bare = bench.registry.fault(
        method="HEAD", path="/manifests/*", remove_headers=["Content-Length"]
    )
    pull = bench.pull(image)
    met(bare)
    assert pull.ok, f"the pull must succeed; {pull}"


@case(
    clause="containerd v1.5.18 remotes/handlers.go:126",
    level=Level.REFERENCE,
    twin="verify.layer-intact",
    catalogue=("resolve-head-content-length-zero",),
)
def test_manifest_of_length_zero_is_an_error(bench: Bench) -> None:
    """A HEAD that says the manifest is empty ends the pull, with nothing stored."""
    image = bench.publish()
    fault = bench.registry.fault(
        method="HEAD", path="/manifests/*", headers={"Content-Length": "0"}
    )
    must_refuse(bench, image, fault)


@case(
    clause="containerd v1.5.18 remotes/docker/resolver.go:610",
    level=Level.REFERENCE,
    catalogue=("resolve-head-405-get",),
)
def test_get_where_head_is_not_allowed(bench: Bench) -> None:
    """A registry that does not know HEAD is asked with GET."""
    image = bench.publish()
    bench.registry.fault(method="HEAD", path="/manifests/*", status=405)
    bench.must_pull(image)


@case(
    clause="OCI distribution-spec v1.1.1, Checking if content exists in the registry: "
    "If not found, the response code MUST be 404",
    level=Level.MAY,
    catalogue=("resolve-head-404-get-200",),
)
def test_head_is_not_found_and_get_is(bench: Bench) -> None:
    """HEAD says 404 and GET would have the manifest: whom does the client believe?"""
    image = bench.publish()
    denied = bench.registry.fault(method="HEAD", path="/manifests/*", status=404)
    pull = bench.pull(image)
    met(denied)
    bench.observe("asks with GET as well" if pull.ok else "believes HEAD")


@case(
    clause="OCI distribution-spec v1.1.1, Pulling manifests: Most clients MAY ignore "
    "the value [of Docker-Content-Digest], but if it is used, the client MUST verify "
    "the value matches the returned manifest.",
    level=Level.MUST,
    critical=True,
    twin="verify.layer-intact",
    link=PULLING,
    catalogue=("resolve-digest-header-lies",),
)
def test_digest_header_is_verified_if_it_is_used(bench: Bench) -> None:
    """A registry states a digest and serves a whole, valid image of another one.

    The client fails, or else keeps nothing under the digest that was stated: what
    a scanner has cleared under that digest is not this image.
    """
    stated = digest_of(b"the image that was scanned")
    served = bench.publish("library/test:other")
    data = served.data[served.digest]
    bench.registry.put_manifest(
        "library/test", data, media_type=OCI_MANIFEST, tag="v1", digest=stated
    )
    ref = f"{bench.registry.host}/library/test:v1"
    pull = bench.pull(ref)
    asked = bench.registry.journal.requests(method="GET", path="/manifests/*")
    if pull.ok and bench.claims(Feature.IMAGE_RECORD) and pull.image is not None:
        assert pull.image.target.digest != stated, "recorded under the digest stated"
    assert_nothing_false(bench)
    by_digest = [e for e in asked if e.reference == stated]
    assert not (pull.ok and by_digest), "asked for the digest, and took another one"
    bench.observe("the header is ignored" if pull.ok else "refused")


@case(
    clause="CVE-2024-3727; image-spec v1.1.1 descriptor.md, Digests",
    level=Level.MUST,
    critical=True,
    link="https://nvd.nist.gov/vuln/detail/CVE-2024-3727",
    twin="verify.layer-intact",
    catalogue=("resolve-head-digest-path-traversal", "resolve-head-digest-malformed"),
)
def test_digest_header_that_is_a_path_leads_nowhere(bench: Bench) -> None:
    """A path in Docker-Content-Digest must not become a part of a URL.

    With it, a registry could send its users' credentials to any of its paths.
    """
    image = bench.publish()
    lie = {"Docker-Content-Digest": "sha256:../../../../secret/manifests/latest"}
    lies = bench.registry.fault(path="/manifests/*", headers=lie)
    pull = bench.pull(image)
    met(lies)
    assert_not_astray(bench, image)
    assert_nothing_false(bench)
    if not pull.ok:
        assert_no_record(bench, image)


@case(
    clause=BY_DIGEST,
    level=Level.SHOULD,
    critical=True,
    needs=PINNED,
    twin="resolve.image-is-pulled-by-digest",
    link=PULLING,
    catalogue=("resolve-by-digest-wrong-manifest",),
)
def test_pinned_image_is_not_replaced_by_another(bench: Bench) -> None:
    """An evil registry serves another whole, valid image under a pinned digest.

    It says that the digest is right, in every header. Pinning is worth nothing to
    a client that takes its word.
    """
    pinned = bench.publish("library/test:pinned")
    evil = bench.publish("library/test:evil", seed=1)
    bench.registry.put_manifest(
        "library/test",
        evil.data[evil.digest],
        media_type=OCI_MANIFEST,
        digest=pinned.digest,
    )
    ref = bench.registry.ref(pinned, digest=True)
    must_refuse(bench, ref)


@case(
    clause="RFC 9110 section 15: 5xx, the server failed to fulfil the request",
    level=Level.SHOULD,
    twin="verify.layer-intact",
    catalogue=("resolve-get-fallback-error-page",),
)
def test_error_page_is_not_the_manifest(bench: Bench) -> None:
    """HEAD gives no digest and GET answers 500: the error's body is no manifest.

    A client that computes the digest of what it got must look at the status too.
    """
    image = bench.publish()
    page = json.dumps({"errors": [{"code": "UNKNOWN", "message": "try later"}]})
    bench.registry.fault(
        method="HEAD",
        path="/manifests/*",
        remove_headers=["Docker-Content-Digest", "Etag"],
    )
    failing = bench.registry.fault(
        method="GET",
        path="/manifests/*",
        status=500,
        headers={"Content-Type": OCI_MANIFEST},
        body=page.encode(),
    )
    must_refuse(bench, image, failing)
    asked = bench.registry.journal.requests(reference=digest_of(page.encode()))
    assert_none(asked, "the digest of the error page was asked for")


@case(
    clause="OCI distribution-spec v1.1.1, Pulling manifests: a manifest is at "
    "/v2/<name>/manifests/<reference>",
    level=Level.SHOULD,
    needs=PINNED,
    twin="resolve.image-is-pulled-by-digest",
    link=PULLING,
    catalogue=("resolve-by-digest-500-then-blobs-octet-stream",),
)
def test_failing_registry_has_no_manifests_among_its_blobs(bench: Bench) -> None:
    """The manifests fail with 500 while the blobs are there: the pull fails.

    Some registries serve manifests as blobs, too, without their type. Who takes
    one from there records an image that nothing can run.
    """
    image = bench.publish()
    bench.registry.put_blob(image.repository, image.data[image.digest])
    failing = bench.registry.fault(path="/manifests/*", status=500)
    bench.must_reject(bench.pull(image, digest=True), failing)
    assert_no_record(bench, bench.registry.ref(image, digest=True))


@case(
    clause="OCI distribution-spec v1.1.1, Pulling manifests: The client SHOULD ignore "
    "parameters on the Content-Type header.",
    level=Level.SHOULD,
    link=PULLING,
    catalogue=("resolve-content-type-parameters",),
)
def test_parameters_of_the_content_type_are_ignored(bench: Bench) -> None:
    """``; charset=utf-8`` behind the media type of a manifest means nothing.

    Web frameworks add it unasked.
    """
    image = bench.publish()
    typed = {"Content-Type": f"{OCI_MANIFEST}; charset=utf-8"}
    bench.registry.fault(path="/manifests/*", headers=typed)
    pull = bench.must_pull(image)
    if bench.claims(Feature.IMAGE_RECORD) and pull.image is not None:
        assert ";" not in pull.image.target.media_type


@case(
    clause="OCI distribution-spec v1.1.1, Pulling manifests: the Content-Type header "
    "will indicate the type of the returned manifest",
    level=Level.MAY,
    link=PULLING,
    catalogue=("resolve-head-without-content-type",),
)
def test_head_without_a_content_type(bench: Bench) -> None:
    """HEAD names no type and GET does, as the specification promises: pulled?"""
    image = bench.publish()
    bare = bench.registry.fault(
        method="HEAD", path="/manifests/*", remove_headers=["Content-Type"]
    )
    pull = bench.pull(image)
    met(bare)
    bench.observe("takes the type from GET" if pull.ok else "refuses")


@case(
    clause="OCI distribution-spec v1.1.1, Pulling manifests: If the manifest has a "
    "mediaType field, clients SHOULD reject unless the mediaType field's value "
    "matches the type specified by the Content-Type header.",
    level=Level.SHOULD,
    twin="verify.layer-intact",
    link=CONFUSION,
    catalogue=("resolve-mediatype-field-mismatch",),
)
def test_manifest_served_as_an_index_is_rejected(bench: Bench) -> None:
    """The header says index, the document says manifest: neither is believed.

    CVE-2021-41190: two clients that believe one each see two different images
    under one digest.
    """
    image = bench.publish()
    bench.registry.fault(path="/manifests/*", headers={"Content-Type": OCI_INDEX})
    must_refuse(bench, image)


@case(
    clause="OCI distribution-spec v1.1.1, Pulling manifests: the Content-Type header "
    "will indicate the type of the returned manifest",
    level=Level.SHOULD,
    twin="verify.layer-intact",
    link=PULLING,
    catalogue=("resolve-html-login-page",),
)
def test_login_page_is_not_an_image(bench: Bench) -> None:
    """A hotel's network answers every request with its login page, and 200.

    That is no image. Nothing of it is recorded, or the user finds the page again
    at home.
    """
    image = bench.publish()
    page = b"<!DOCTYPE html><html><body>Welcome! Please log in.</body></html>"
    portal = bench.registry.fault(
        path="/v2/*", status=200, headers={"Content-Type": "text/html"}, body=page
    )
    must_refuse(bench, image, portal)


@case(
    clause="containerd v1.5.18 remotes/docker/fetcher.go:102",
    level=Level.REFERENCE,
    catalogue=("resolve-tag-moves-between-head-and-get",),
)
def test_tag_that_moves_during_a_pull_changes_nothing(bench: Bench) -> None:
    """The image that the tag meant at first is pulled, all of it.

    Never a mix: the manifest of one build with the layers of the next.
    """
    image = bench.publish("library/test:v1")
    later = bench.publish("library/test:v2", seed=1)
    with bench.registry.gate("/manifests/*", method="GET") as gate:
        pull = bench.start_pull(image)
        gate.wait_for(1)
        bench.registry.tag(image.repository, "v1", later.digest)
        gate.open()
    assert pull.wait().ok
    asked = bench.registry.journal.requests
    assert asked(method="GET", digest=image.layers[0].digest)
    assert_none(asked(digest=later.layers[0].digest), "a layer of the next build")
