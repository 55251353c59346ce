"""The manifest as a document: kept as it is, read with care."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from conformance.case import Feature, Level, case
from conformance.cases._content import (
    IMAGE,
    assert_not_crashed,
    layer_says,
    member,
    must_refuse,
    without,
)
from conformance.cases._wire import assert_none
from fakeregistry.image import DOCKER_LAYER, OCI_MANIFEST, Descriptor

if TYPE_CHECKING:
    from conformance.bench import Bench
    from conformance.cases._content import Document

CONTENT: Final = {Feature.CONTENT}
UNKNOWN: Final = (
    "OCI image-spec v1.1.1 manifest.md, {}, mediaType: Implementations storing or "
    "copying image manifests MUST NOT error on encountering a value that is unknown "
    "to the implementation."
)


@case(
    clause="OCI image-spec v1.1.1 considerations.md, Extensibility: Implementations "
    "storing or copying content MUST NOT modify or alter the content in a way that "
    "would change the digest of the content.",
    level=Level.MUST,
    needs=CONTENT,
    link=f"{IMAGE}/considerations.md#extensibility",
    catalogue=("manifest-bytes-preserved",),
)
def test_bytes_of_a_manifest_are_kept(bench: Bench) -> None:
    """A manifest is stored as it came, with its blanks, line ends and all.

    Written anew it would be another document with another digest: nobody could
    find it by the name under which it was published, signed and scanned.
    """

    def spread(manifest: Document) -> bytes:
        return json.dumps(manifest, indent="\t").replace("\n", "\r\n").encode() + b"\n"

    image = bench.publish(edit_manifest=spread)
    bench.must_pull(image)
    kept = bench.stored({"content"}).intact(image.digest)
    assert kept, "no manifest with the digest that was published is kept"


@case(
    clause="OCI image-spec v1.1.1 considerations.md, Extensibility: Implementations "
    "processing content SHOULD NOT generate an error if they encounter an unknown "
    "property in a known media type.",
    level=Level.SHOULD,
    link=f"{IMAGE}/considerations.md#extensibility",
    catalogue=("manifest-unknown-properties",),
)
def test_unknown_properties_are_passed_over(bench: Bench) -> None:
    """Properties of tomorrow, in the manifest and in a descriptor, do no harm."""

    def extend(manifest: Document) -> None:
        manifest["x-tomorrow"] = {"nested": [1, 2.5, None, True]}
        manifest["layers"][0]["x-tomorrow"] = "yes"

    bench.must_pull(bench.publish(edit_manifest=extend))


@case(
    clause="OCI image-spec v1.1.1 manifest.md, mediaType: This property SHOULD be used",
    level=Level.SHOULD,
    link=f"{IMAGE}/manifest.md",
    catalogue=("manifest-no-mediatype-field",),
)
def test_media_type_field_may_be_missing(bench: Bench) -> None:
    """A manifest without ``mediaType`` is what its Content-Type says.

    Version 1.0 of the specification reserved the field: all its images lack it.
    """
    bench.must_pull(bench.publish(media_type_field=False, layers=2))


@case(
    clause=UNKNOWN.format("config"),
    level=Level.MUST,
    needs=CONTENT,
    link=f"{IMAGE}/manifest.md",
    catalogue=("manifest-artifact-config-type",),
)
def test_artifact_with_its_own_config_is_kept(bench: Bench) -> None:
    """What is no image of a container, such as a chart, is stored all the same.

    Registries and stores carry signatures, charts and models as artifacts today.
    """
    image = bench.publish(
        artifact_type="application/vnd.example.chart.v1",
        config=b"not JSON at all",
        config_media_type="application/vnd.example.chart.config.v1",
    )
    bench.must_pull(image)
    stored = bench.stored({"content"})
    assert stored.intact(image.config.digest), "the config of the artifact is missing"
    assert stored.intact(image.layers[0].digest), "the layer is missing"


@case(
    clause=UNKNOWN.format("layers"),
    level=Level.MUST,
    needs=CONTENT,
    link=f"{IMAGE}/manifest.md",
    catalogue=("manifest-artifact-layer-types",),
)
def test_layer_of_an_unknown_type_is_kept(bench: Bench) -> None:
    """A layer of a type that nobody knows is some bytes with a digest.

    To store it there is nothing to understand.
    """
    image = bench.publish(layer_media_type="application/vnd.example.weights")
    bench.must_pull(image)
    assert bench.stored({"content"}).intact(image.layers[0].digest)


@case(
    clause="OCI image-spec v1.1.1 media-types.md, Compatibility Matrix",
    level=Level.SHOULD,
    link=f"{IMAGE}/media-types.md#compatibility-matrix",
    catalogue=("manifest-mixed-docker-oci-types",),
)
def test_oci_manifest_may_have_a_layer_of_docker(bench: Bench) -> None:
    """Docker's and OCI's types for the same thing may stand side by side.

    Builders that put a layer on an older image leave the types below as they were.
    """
    gzip = f"{DOCKER_LAYER}.gzip"
    image = bench.publish(layers=2, edit_manifest=layer_says(mediaType=gzip))
    bench.must_pull(image)
    for layer in image.layers:
        assert bench.registry.journal.requests(method="GET", digest=layer.digest)


@case(
    clause="OCI image-spec v1.1.1 manifest.md, layers: For portability, layers SHOULD "
    "have at least one entry.",
    level=Level.SHOULD,
    link=f"{IMAGE}/manifest.md",
    catalogue=("manifest-empty-layers",),
)
def test_image_without_layers_is_pulled(bench: Bench) -> None:
    """No layers is a valid number of layers: ``FROM scratch`` with labels alone."""
    image = bench.publish(layers=0)
    bench.must_pull(image)
    assert bench.registry.journal.requests(method="GET", digest=image.config.digest)


@case(
    clause="OCI image-spec v1.1.1 manifest.md, layers: array of objects",
    level=Level.MAY,
    link=f"{IMAGE}/manifest.md",
    catalogue=("manifest-layers-missing-or-null",),
)
def test_manifest_whose_layers_are_null(bench: Bench) -> None:
    """``"layers": null`` in place of an empty list: what does the client make of it?

    Go programs write this by mistake. A crash is no answer.
    """
    pull = bench.pull(bench.publish(edit_manifest=member("layers", None)))
    assert_not_crashed(pull)
    bench.observe("taken for no layers" if pull.ok else "refused")


@case(
    clause="OCI image-spec v1.1.1 manifest.md, config: This REQUIRED property",
    level=Level.SHOULD,
    twin="verify.layer-intact",
    link=f"{IMAGE}/manifest.md",
    catalogue=("manifest-config-missing-or-null",),
)
def test_manifest_without_a_config_is_rejected(bench: Bench) -> None:
    """A manifest without a config is no image: nothing says what to run.

    An empty digest is not asked for either.
    """
    image = bench.publish(edit_manifest=without("config"))
    pull = must_refuse(bench, image)
    assert_not_crashed(pull)
    empty = bench.registry.journal.requests(when=lambda e: e.path.endswith("/blobs/"))
    assert_none(empty, "a blob without a name was asked for")


@case(
    clause="CVE-2021-21285: a malformed image manifest crashes the daemon",
    level=Level.MUST,
    twin="verify.layer-intact",
    link="https://nvd.nist.gov/vuln/detail/CVE-2021-21285",
    catalogue=("manifest-not-an-object",),
)
def test_manifest_cut_in_the_middle_is_rejected(bench: Bench) -> None:
    """A manifest that is half of a JSON document, with the digest of that half.

    The client says what is wrong; it does not crash.
    """

    def halve(manifest: Document) -> bytes:
        return json.dumps(manifest)[:150].encode()

    assert_not_crashed(must_refuse(bench, bench.publish(edit_manifest=halve)))


@case(
    clause="CVE-2021-21285: a malformed image manifest crashes the daemon",
    level=Level.MUST,
    twin="verify.layer-intact",
    link="https://nvd.nist.gov/vuln/detail/CVE-2021-21285",
    catalogue=("manifest-not-an-object",),
)
def test_manifest_that_is_a_list_is_rejected(bench: Bench) -> None:
    """Valid JSON of the wrong kind is no manifest, and no reason to crash."""
    image = bench.publish(edit_manifest=lambda _: b"[]")
    assert_not_crashed(must_refuse(bench, image))


@case(
    clause="CVE-2021-21285: a malformed image manifest crashes the daemon; RFC 8259 "
    "section 9: an implementation may set limits on the maximum depth of nesting",
    level=Level.MUST,
    twin="manifest.unknown-properties-are-passed-over",
    catalogue=("manifest-deep-nesting",),
)
def test_deep_nesting_does_not_crash_the_client(bench: Bench) -> None:
    """20000 lists in one another, in a property that nobody knows.

    40 kB that take all the stack of a parser that calls itself. To pull the image
    is fine, and so is an error.
    """
    deep = b'{"x-deep":' + b"[" * 20_000 + b"]" * 20_000 + b","

    def dig(manifest: Document) -> bytes:
        return deep + json.dumps(manifest).encode()[1:]

    assert_not_crashed(bench.pull(bench.publish(edit_manifest=dig)))


@case(
    clause="OCI image-spec v1.1.1 manifest.md, subject: a weak association",
    level=Level.SHOULD,
    link=f"{IMAGE}/manifest.md",
    catalogue=("manifest-subject-ignored",),
)
def test_subject_of_a_manifest_is_not_followed(bench: Bench) -> None:
    """What a manifest is about is not a part of it, and may not even exist.

    A registry must take a manifest whose subject is yet to be pushed.
    """
    absent = Descriptor.of(b"never pushed", OCI_MANIFEST)
    bench.must_pull(bench.publish(subject=absent))
    asked = bench.registry.journal.requests(digest=absent.digest)
    assert_none(asked, "the subject was asked for")


@case(
    clause="OCI image-spec v1.1.1 annotations.md, Rules: The annotations value MUST be "
    "a map where both the key and value MUST be strings.",
    level=Level.MAY,
    link=f"{IMAGE}/annotations.md#rules",
    catalogue=("manifest-annotations-types",),
)
def test_annotation_that_is_a_number(bench: Bench) -> None:
    """An annotation whose value is a number: refused or passed over, no crash."""
    edit = member("annotations", {"org.example.revision": 42})
    pull = bench.pull(bench.publish(edit_manifest=edit))
    assert_not_crashed(pull)
    bench.observe("passed over" if pull.ok else "refused")


@case(
    clause="CVE-2021-21285 (GHSA-6fj5-m822-rqx8)",
    level=Level.MUST,
    twin="verify.layer-intact",
    link="https://nvd.nist.gov/vuln/detail/CVE-2021-21285",
    catalogue=("security-empty-layer-digest-crash",),
)
def test_layer_without_a_digest_is_an_error(bench: Bench) -> None:
    """A layer whose digest is empty, null or missing is an error, and no crash.

    It took the whole Docker daemon with it.
    """

    def no_digest(manifest: Document) -> None:
        del manifest["layers"][0]["digest"]

    for edit in (layer_says(digest=""), layer_says(digest=None), no_digest):
        bench.fresh_store()
        assert_not_crashed(must_refuse(bench, bench.publish(edit_manifest=edit)))
