"""Indexes: several images, and other things, under one name.

image-spec v1.1.1 image-index.md says what a client does with entries; documents
that are two things at once are how one client is shown another image than the next
(CVE-2021-41190).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from conformance.case import Feature, Level, case
from conformance.cases._content import (
    CONFUSION,
    IMAGE,
    assert_no_record,
    member,
    must_refuse,
)
from conformance.cases._wire import assert_none
from fakeregistry.content import Entry
from fakeregistry.image import OCI_INDEX, OCI_MANIFEST, Descriptor, Platform

if TYPE_CHECKING:
    from conformance.bench import Bench
    from conformance.cases._content import Document
    from fakeregistry import Image

AMD64: Final = "linux/amd64"
ARM64: Final = "linux/arm64"
PLATFORM: Final = {Feature.PLATFORM}
NESTED: Final = (
    "OCI image-spec v1.1.1 image-index.md, manifests, mediaType: implementations "
    "SHOULD support application/vnd.oci.image.index.v1+json (nested index)"
)
FIRST: Final = (
    "OCI image-spec v1.1.1 image-index.md: If multiple manifests match a client or "
    "runtime's requirements, the first matching entry SHOULD be used."
)
KINDS: Final = (
    "CVE-2021-41190; OCI distribution-spec v1.1.1, Pulling manifests: clients SHOULD "
    "reject unless the mediaType field's value matches the type"
)


def _assert_chosen(bench: Bench, image: Image, number: int) -> None:
    """Hold that one manifest of an index was fetched, and no other."""
    asked = bench.registry.journal.requests
    for place, manifest in enumerate(image.manifests):
        found = asked(method="GET", digest=manifest.descriptor.digest)
        if place == number:
            assert found, f"entry {place} was never asked for"
        else:
            assert_none(found, f"entry {place} was asked for, entry {number} is right")


@case(
    clause="OCI image-spec v1.1.1 image-index.md: image consumers SHOULD be prepared "
    "to process [image indexes]",
    level=Level.SHOULD,
    link=f"{IMAGE}/image-index.md",
)
def test_index_intact(bench: Bench) -> None:
    """An image of several platforms is pulled for one of them.

    The twin of the cases that put something wrong into an index.
    """
    image = bench.publish(platforms=[AMD64, ARM64])
    bench.must_pull(image, platform=AMD64)
    asked = bench.registry.journal.requests
    assert any(asked(method="GET", digest=m.descriptor.digest) for m in image.manifests)


@case(
    clause=FIRST,
    level=Level.SHOULD,
    needs=PLATFORM,
    link=f"{IMAGE}/image-index.md",
    catalogue=("index-first-match",),
)
def test_first_of_equal_entries_is_used(bench: Bench) -> None:
    """Of two entries for the same platform the first one counts.

    Publishers rely on the order: it is the only way to say which one they mean.
    """
    image = bench.publish(platforms=[ARM64, AMD64, AMD64])
    bench.must_pull(image, platform=AMD64)
    _assert_chosen(bench, image, 1)


@case(
    clause=NESTED,
    level=Level.SHOULD,
    needs=PLATFORM,
    link=f"{IMAGE}/image-index.md",
    catalogue=("index-nested",),
)
def test_index_in_an_index_is_followed(bench: Bench) -> None:
    """An entry may be an index itself, with the platform that all of it is for.

    Build tools write these when they put several builds together.
    """
    image = bench.publish(
        platforms=[ARM64, Entry(platform=AMD64, children=[AMD64, ARM64])]
    )
    bench.must_pull(image, platform=AMD64)
    _assert_chosen(bench, image, 1)


@case(
    clause=NESTED,
    level=Level.SHOULD,
    needs=PLATFORM,
    link=f"{IMAGE}/image-index.md",
    catalogue=("index-nested-without-platform",),
)
def test_index_in_an_index_needs_no_platform(bench: Bench) -> None:
    """An index within an index has no platform of its own: its entries have.

    BuildKit writes its OCI layouts so.
    """
    image = bench.publish(platforms=[Entry(children=[ARM64, AMD64])])
    bench.must_pull(image, platform=AMD64)
    _assert_chosen(bench, image, 1)


@case(
    clause="OCI image-spec v1.1.1 image-index.md, manifests: the size of the array "
    "MAY be zero",
    level=Level.SHOULD,
    twin="index.index-intact",
    link=f"{IMAGE}/image-index.md",
    catalogue=("index-empty-manifests",),
)
def test_empty_index_is_no_image(bench: Bench) -> None:
    """An index without entries is valid, but there is nothing to pull.

    A client says so. It does not record an image that nobody can run.
    """
    must_refuse(bench, bench.publish(platforms=[]), platform=AMD64)


@case(
    clause="OCI image-spec v1.1.1 image-index.md, manifests, mediaType: An "
    "encountered mediaType that is unknown to the implementation MUST NOT generate an "
    "error.",
    level=Level.MUST,
    needs=PLATFORM,
    link=f"{IMAGE}/image-index.md",
    catalogue=("index-unknown-child-mediatype",),
)
def test_entry_of_an_unknown_type_is_passed_over(bench: Bench) -> None:
    """An entry of a kind that the client does not know does not spoil the others.

    It even comes first, for the wanted platform. Whoever adds a new kind of entry
    counts on today's clients passing it over.
    """
    strange = Entry(
        platform=AMD64, data=b"\x00strange", media_type="application/vnd.example.thing"
    )
    image = bench.publish(platforms=[strange, AMD64])
    bench.must_pull(image, platform=AMD64)
    _assert_chosen(bench, image, 0)


@case(
    clause=KINDS,
    level=Level.SHOULD,
    critical=True,
    twin="index.index-intact",
    link=CONFUSION,
    catalogue=("index-child-type-lie",),
)
def test_index_that_is_said_to_be_a_manifest_is_rejected(bench: Bench) -> None:
    """An entry says manifest, and behind it is an index: refused.

    A scanner that believes the one and a runtime that believes the other look at
    two different images.
    """
    image = bench.publish(
        platforms=[Entry(platform=AMD64, children=[AMD64], media_type=OCI_MANIFEST)]
    )
    inner = image.document()["manifests"][0]
    data = image.data[inner["digest"]]
    bench.registry.put_manifest(image.repository, data, media_type=OCI_MANIFEST)
    must_refuse(bench, image, platform=AMD64)


@case(
    clause=KINDS,
    level=Level.SHOULD,
    critical=True,
    twin="index.index-intact",
    link=CONFUSION,
    catalogue=("index-child-type-lie",),
)
def test_manifest_that_is_said_to_be_an_index_is_rejected(bench: Bench) -> None:
    """An entry says index, and behind it is a manifest: refused.

    The Content-Type lies too. Only the document itself tells what it is.
    """
    image = bench.publish(platforms=[Entry(platform=AMD64, media_type=OCI_INDEX)])
    data = image.data[image.manifests[0].descriptor.digest]
    bench.registry.put_manifest(image.repository, data, media_type=OCI_INDEX)
    must_refuse(bench, image, platform=AMD64)


@case(
    clause="OCI image-spec v1.1.1 descriptor.md, mediaType: the media type of the "
    "referenced content",
    level=Level.SHOULD,
    twin="index.index-intact",
    link=CONFUSION,
    catalogue=("index-child-type-lie",),
)
def test_entry_of_another_type_than_its_manifest_is_rejected(bench: Bench) -> None:
    """An entry says index; its manifest and the registry say manifest: refused.

    The entry is what was signed. Who goes by the Content-Type lets the registry
    choose how a document is read.
    """
    image = bench.publish(platforms=[Entry(platform=AMD64, media_type=OCI_INDEX)])
    must_refuse(bench, image, platform=AMD64)


@case(
    clause=KINDS,
    level=Level.SHOULD,
    critical=True,
    twin="verify.layer-intact",
    link=CONFUSION,
    catalogue=("security-manifest-index-confusion", "manifest-has-manifests-key"),
)
def test_manifest_with_entries_of_an_index_is_rejected(bench: Bench) -> None:
    """A document with config and layers, and with manifests too, is refused.

    Served under the one media type it is one image, under the other another one,
    and the digest is the same.
    """
    other = bench.publish("library/test:other", seed=1)
    entry = Descriptor(
        OCI_MANIFEST, other.digest, other.descriptor.size, platform=Platform()
    )
    image = bench.publish(
        media_type_field=False, edit_manifest=member("manifests", [entry.to_json()])
    )
    must_refuse(bench, image)


@case(
    clause="OCI image-spec v1.1.1 image-index.md, platform; BuildKit "
    "docs/attestations/attestation-storage.md",
    level=Level.SHOULD,
    needs=PLATFORM,
    link=f"{IMAGE}/image-index.md",
    catalogue=("index-attestation-skipped",),
)
def test_attestation_is_not_the_image(bench: Bench) -> None:
    """What BuildKit puts beside an image, for unknown/unknown, is left alone.

    Half the images of today have such entries. They stand first here, where a
    client that counts rather than reads takes them for the image.
    """

    def attestation_first(index: Document) -> None:
        index["manifests"].reverse()

    image = bench.publish(
        platforms=[AMD64, Entry(attestation=True)], edit_index=attestation_first
    )
    bench.must_pull(image, platform=AMD64)
    _assert_chosen(bench, image, 0)


@case(
    clause="OCI image-spec v1.1.1 image-index.md, manifests; containerd v1.5.18 "
    "images/handlers.go:227",
    level=Level.SHOULD,
    needs=PLATFORM,
    catalogue=("index-missing-other-platform",),
)
def test_missing_platform_that_nobody_wants_does_no_harm(bench: Bench) -> None:
    """A manifest of another platform that is gone does not matter.

    Mirrors often hold one platform only.
    """
    image = bench.publish(platforms=[ARM64, AMD64])
    other = image.manifests[0].descriptor.digest
    bench.registry.store.delete(image.repository, other)
    bench.must_pull(image, platform=AMD64)
    _assert_chosen(bench, image, 1)


@case(
    clause="containerd v1.5.18 pull.go:92, images/handlers.go:279",
    level=Level.REFERENCE,
    needs=PLATFORM,
    twin="index.first-of-equal-entries-is-used",
    catalogue=("index-missing-matching-child",),
)
def test_next_entry_does_not_stand_in_for_a_missing_one(bench: Bench) -> None:
    """When the best entry cannot be had the pull fails, and no other is tried.

    Otherwise a registry could choose what is run, by answering 404.
    """
    image = bench.publish(platforms=[AMD64, AMD64])
    first, second = (manifest.descriptor.digest for manifest in image.manifests)
    fault = bench.registry.fault(method="GET", digest=first, status=404)
    with bench.registry.gate(
        method="GET", when=lambda e: e.reference in (first, second)
    ) as gate:
        pull = bench.start_pull(image, platform=AMD64)
        gate.wait_for(1)
        gate.expect_no_more(within=0.1)
        gate.open()
        bench.must_reject(pull.wait(), fault)
    assert_none(bench.registry.journal.requests(digest=second), "the next was tried")
    assert_no_record(bench, image)


@case(
    clause="containerd v1.5.18 images/handlers.go:265",
    level=Level.REFERENCE,
    needs=PLATFORM,
    catalogue=("index-platformless-sorted-last",),
)
def test_entry_without_platform_comes_last(bench: Bench) -> None:
    """An entry with the right platform wins over an earlier one with none."""
    image = bench.publish(platforms=[None, AMD64])
    bench.must_pull(image, platform=AMD64)
    _assert_chosen(bench, image, 1)


@case(
    clause="OCI image-spec v1.1.1 image-index.md, platform: an OPTIONAL property",
    level=Level.SHOULD,
    link=f"{IMAGE}/image-index.md",
    catalogue=("index-no-platform-entries",),
)
def test_entry_without_platform_is_better_than_none(bench: Bench) -> None:
    """An index whose only entry names no platform is pulled all the same.

    The platform is optional; the config of the image has it.
    """
    bench.must_pull(bench.publish(platforms=[None]), platform=AMD64)


@case(
    clause="OCI image-spec v1.1.1 image-index.md, manifests",
    level=Level.SHOULD,
    needs=PLATFORM,
    link=f"{IMAGE}/image-index.md",
)
def test_manifest_listed_for_two_platforms_serves_both(bench: Bench) -> None:
    """One manifest may stand under several platforms.

    Images of scripts or data alone are published so.
    """

    def same_for_all(index: Document) -> None:
        one, other = index["manifests"]
        other.update(digest=one["digest"], size=one["size"])

    image = bench.publish(platforms=[AMD64, ARM64], edit_index=same_for_all)
    bench.must_pull(image, platform=ARM64)
    _assert_chosen(bench, image, 0)


@case(
    clause="OCI image-spec v1.1.1 image-index.md, subject: a weak association",
    level=Level.SHOULD,
    link=f"{IMAGE}/image-index.md",
    catalogue=("index-subject-artifacttype",),
)
def test_subject_of_an_index_is_not_followed(bench: Bench) -> None:
    """What an index is about is not a part of it, and may not even exist."""
    absent = Descriptor.of(b"never pushed", OCI_MANIFEST)
    image = bench.publish(
        platforms=[AMD64, ARM64], edit_index=member("subject", absent.to_json())
    )
    bench.must_pull(image, platform=AMD64)
    asked = bench.registry.journal.requests(digest=absent.digest)
    assert_none(asked, "the subject was asked for")


@case(
    clause="containerd v1.5.18 pull.go:128",
    level=Level.REFERENCE,
    catalogue=("referrers-not-called-on-pull",),
)
def test_nothing_about_the_image_is_looked_up(bench: Bench) -> None:
    """A pull asks for the image alone: no referrers, no tags, no catalog."""
    image = bench.publish(platforms=[AMD64])
    bench.must_pull(image, platform=AMD64)
    allowed = {image.tag, *(blob.digest for blob in image.blobs)}
    others = [
        e
        for e in bench.registry.journal
        if e.reference not in allowed or "/referrers/" in e.path
    ]
    assert_none(others, "something else was asked for")


@case(
    clause="containerd v1.5.18 images/handlers.go:240: the index is believed",
    level=Level.MAY,
    needs=PLATFORM,
    catalogue=("index-platform-contradicts-config",),
)
def test_config_of_another_platform_than_the_entry(bench: Bench) -> None:
    """The index says amd64 and the config says arm64: what does the client do?"""
    image = bench.publish(platforms=[Entry(platform=AMD64, config_platform=ARM64)])
    pull = bench.pull(image, platform=AMD64)
    if not pull.ok:
        assert_no_record(bench, image)
    bench.observe("the index is believed" if pull.ok else "refused")
