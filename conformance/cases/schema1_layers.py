"""Layers of Docker's schema1: sizes unknown, some of them nothing, top first.

The manifest lists digests only. What a layer is, packed or not, empty or not, shows
in the history or when it has come.
"""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING, Final

from conformance.case import Feature, Level, case, not_testable
from conformance.cases._content import (
    assert_not_astray,
    assert_nothing_false,
    must_refuse,
)
from conformance.cases._schema1 import (
    API,
    CONVERTED,
    CONVERTER,
    EMPTY_LAYER,
    OLD,
    SCHEMA2,
    UNCOMPRESSED,
    conversion,
    converted,
    keeps,
    labels_of,
    publish,
    times_asked,
)
from conformance.cases._wire import assert_none, assert_ok, met
from fakeregistry.image import digest_of
from fakeregistry.layers import Layer, files_layer
from fakeregistry.schema1 import EMPTY_TAR, Step

if TYPE_CHECKING:
    from conformance.bench import Bench
    from conformance.cases._schema1 import Document
    from fakeregistry import Image

INTACT: Final = "schema1.signed-image-is-pulled"
NOTHING: Final = digest_of(EMPTY_TAR)
GZIP_TYPE: Final = "application/vnd.docker.image.rootfs.diff.tar.gzip"
PLAIN_TYPE: Final = "application/vnd.docker.image.rootfs.diff.tar"
VERIFIED: Final = (
    "distribution v2.8.3 docs/spec/api.md, Image Verification: After each layer is "
    "downloaded, the engine verifies the digest of the layer, ensuring that the "
    "content matches that specified by the manifest."
)


def _diff_ids(image: Image) -> list[str]:
    return [digest_of(gzip.decompress(image.data[d.digest])) for d in image.layers]


@case(
    clause="distribution v2.8.3 docs/spec/manifest-v2-2.md, layers: The layer list is "
    "ordered starting from the base image (opposite order of schema1).",
    level=Level.MUST,
    needs=CONVERTED,
    link=f"{SCHEMA2}#image-manifest-field-descriptions",
    catalogue=("schema1-order",),
)
def test_layers_are_turned_round(bench: Bench) -> None:
    """The first layer of schema1 is the top, that of its conversion the base.

    In the wrong order, deleted files come back and new ones are gone.
    """
    image = publish(bench, layers=3)
    pull = bench.must_pull(image)
    if keeps(pull.image, image):
        not_testable("the client keeps schema1 as it is")
    found = conversion(bench, bench.registry.ref(image))
    assert found.layers == [layer.digest for layer in image.layers]
    assert found.diff_ids == _diff_ids(image)


@case(
    clause=f"{CONVERTER}:498",
    level=Level.REFERENCE,
    needs=CONVERTED,
    catalogue=("schema1-throwaway-true",),
)
def test_throwaway_layers_are_not_asked_for(bench: Bench) -> None:
    """A step with ``throwaway`` has changed no file: its layer is left out unseen."""
    image = publish(bench, layers=2, empty_layers=2)
    found = converted(bench, image)
    assert not times_asked(bench, NOTHING), "an empty layer was asked for"
    assert found.empty == [False, False, True, True]
    assert found.diff_ids == _diff_ids(image)


@case(
    clause=f"{CONVERTER}:498",
    level=Level.REFERENCE,
    needs=CONVERTED,
    catalogue=("schema1-size-zero",),
)
def test_layers_of_size_zero_are_not_asked_for(bench: Bench) -> None:
    """Docker before 1.10 wrote ``Size``: 0 stands for a step without a layer."""
    image = publish(bench, layers=2, empty_layers=2, mark="size")
    found = converted(bench, image)
    assert not times_asked(bench, NOTHING), "an empty layer was asked for"
    assert found.empty == [False, False, True, True]


@case(
    clause=f"{CONVERTER}:577, containerd issue 2389",
    level=Level.REFERENCE,
    needs=CONVERTED,
    link="https://github.com/containerd/containerd/issues/2389",
    catalogue=("schema1-neither-flag",),
)
def test_layers_of_zeros_are_found_empty(bench: Bench) -> None:
    """A history that says nothing: 1024 zeros, which end every archive, are no layer.

    They have to be downloaded for that, once however many steps have them.
    """
    image = publish(bench, layers=1, empty_layers=3, mark=None)
    found = converted(bench, image)
    assert times_asked(bench, NOTHING) == 1
    assert found.empty == [False, True, True, True]
    assert found.layers == [image.layers[0].digest]


@case(
    clause=f"{CONVERTER}:100",
    level=Level.REFERENCE,
    needs=OLD,
    twin=INTACT,
    catalogue=("schema1-throwaway-blob-missing",),
)
def test_throwaway_layer_that_is_gone_is_not_missed(bench: Bench) -> None:
    """A registry has lost the empty layer: the image is pulled all the same."""
    image = publish(bench, layers=1, empty_layers=1)
    bench.registry.fault(digest=NOTHING, status=404)
    bench.must_pull(image)
    assert times_asked(bench, image.layers[0].digest), "its layer was never asked for"


@case(
    clause="distribution v2.8.3 docs/spec/api.md, Pulling An Image: Layers are stored "
    "in as blobs in the V2 registry API, keyed by their digest.",
    level=Level.SHOULD,
    needs=OLD,
    twin=INTACT,
    link=f"{API}#pulling-an-image",
    catalogue=("schema1-duplicate-blobsum",),
)
def test_layer_that_is_listed_again_is_asked_for_once(bench: Bench) -> None:
    """Three steps with one layer: it is downloaded once."""
    image = publish(bench, layers=2, repeat_layers=3)
    bench.must_pull(image)
    counts = {d.digest: times_asked(bench, d.digest) for d in image.layers}
    assert set(counts.values()) == {1}, f"requests by layer: {counts}"


@case(
    clause=f"{CONVERTER}:93",
    level=Level.REFERENCE,
    needs=CONVERTED,
    catalogue=("schema1-duplicate-blobsum",),
)
def test_top_entry_says_what_a_layer_is(bench: Bench) -> None:
    """Of a layer that is listed twice the upper entry counts, for both.

    If that one says that it is empty, then the lower one has no layer either.
    """
    base, layer = (files_layer({name: b"hello"}) for name in ("base", "motd"))
    steps = [Step(layer=base), Step(layer=layer), Step(layer=layer, empty=True)]
    image = publish(bench, layers=steps)
    found = converted(bench, image)
    assert not times_asked(bench, digest_of(layer.data)), "the layer was asked for"
    assert found.empty == [False, True, True]


@case(
    clause=f"{CONVERTER}:350, containerd issue 1791",
    level=Level.REFERENCE,
    needs=CONVERTED,
    link="https://github.com/containerd/containerd/issues/1791",
    catalogue=("schema1-unknown-blob-size",),
)
def test_size_of_a_layer_is_found_out(bench: Bench) -> None:
    """A layer without a length, neither in a descriptor nor in its response.

    The conversion states the size that it turned out to have.
    """
    image = publish(bench, layers=2)
    chunked = bench.registry.fault(
        method="GET", digest=image.layers[0].digest, chunked=True
    )
    found = converted(bench, image)
    assert chunked.fired
    sizes = [layer["size"] for layer in found.manifest["layers"]]
    assert sizes == [layer.size for layer in image.layers]


@case(
    clause=f"{CONVERTER}:358",
    level=Level.REFERENCE,
    needs=CONVERTED,
    catalogue=("schema1-uncompressed-layer",),
)
def test_plain_layer_gets_its_type(bench: Bench) -> None:
    """A layer that is not packed is not called gzip in the conversion."""
    plain = files_layer({"etc/motd": b"hello"}, compression="none")
    image = publish(bench, layers=[plain, files_layer({"etc/issue": b"hello"})])
    found = converted(bench, image)
    types = [layer["mediaType"] for layer in found.manifest["layers"]]
    assert types == [PLAIN_TYPE, GZIP_TYPE]
    assert found.diff_ids[0] == found.layers[0]


@case(
    clause=VERIFIED,
    level=Level.SHOULD,
    critical=True,
    needs=OLD,
    twin=INTACT,
    link=f"{API}#image-verification",
    catalogue=("schema1-corrupt-layer",),
)
def test_layer_with_a_flipped_bit_is_rejected(bench: Bench) -> None:
    """A layer whose bytes do not match its blobSum is neither kept nor pulled.

    The layer is not packed, so that nothing but the digest tells.
    """
    image = publish(bench, layers=2, compression="none")
    layer = image.layers[0]
    fault = bench.registry.fault(
        method="GET", digest=layer.digest, flip=layer.size // 2
    )
    must_refuse(bench, image, fault)


@case(
    clause="CVE-2024-3727; distribution v2.8.3 docs/spec/manifest-v2-1.md, blobSum: A "
    "digest must be a sha256 hash.",
    level=Level.MUST,
    critical=True,
    needs=OLD,
    twin=INTACT,
    link="https://nvd.nist.gov/vuln/detail/CVE-2024-3727",
)
def test_blob_sum_that_is_a_path_is_rejected_unasked(bench: Bench) -> None:
    """A blobSum with ``../`` in it must never become a part of a URL.

    A manifest could otherwise make the client ask for anything with its user's
    credentials.
    """

    def lead_astray(manifest: Document) -> None:
        path = "sha256:../../../../secret/manifests/latest"
        manifest["fsLayers"][0]["blobSum"] = path

    image = publish(bench, edit_manifest=lead_astray)
    must_refuse(bench, image)
    assert_not_astray(bench, image)


@case(
    clause=f"RFC 1952 section 2.3.1, FHCRC: CRC16; against it, {CONVERTER}:327",
    level=Level.MUST,
    needs=OLD,
    twin=INTACT,
    link="https://www.rfc-editor.org/rfc/rfc1952#section-2.3.1",
)
def test_layer_that_cannot_be_unpacked_ends_the_pull(bench: Bench) -> None:
    """A layer begins as gzip does, with a header whose checksum is wrong.

    Its digest is right, so that a client may keep the image as it is. To convert it
    the layer has to be unpacked, which fails: the pull comes to an end all the same.
    """
    header = b"\x1f\x8b\x08\x02" + bytes(6) + b"\xff\xff"
    image = publish(bench, layers=[Layer(data=header + bytes(200_000))])
    pull = bench.pull(image, deadline=20)
    assert times_asked(bench, image.layers[0].digest), "the layer was never asked for"
    if pull.ok and bench.claims(Feature.IMAGE_RECORD):
        assert keeps(pull.image, image), "the client reported success, and converted it"


@case(
    clause="OCI distribution-spec v1.1.1, Pulling blobs: clients SHOULD verify that "
    "the response body matches the requested digest",
    level=Level.SHOULD,
    needs=OLD,
    twin=INTACT,
)
def test_broken_layer_does_not_spoil_the_next_pull(bench: Bench) -> None:
    """After wrong bytes, a registry that is well again is pulled from.

    No size says when a layer of schema1 is complete. Who goes on where the wrong
    bytes ended fails for good.
    """
    image = publish(bench, compression="none")
    (layer,) = image.layers
    wrong = bench.registry.fault(
        method="GET", digest=layer.digest, times=1, flip=layer.size // 2
    )
    first = bench.pull(image)
    met(wrong)
    if first.ok:
        not_testable("the client took the wrong bytes for right")
    assert_ok(bench.pull(image), "the pull after a broken one must succeed")
    assert_nothing_false(bench)


@case(
    clause=f"{CONVERTER}:211",
    level=Level.REFERENCE,
    needs=CONVERTED | {Feature.LABELS},
    catalogue=("schema1-gc-labels",),
)
def test_labels_name_what_the_conversion_needs(bench: Bench) -> None:
    """The manifest keeps configuration and layers, numbered, from collection.

    A layer is labelled with what it turned out to be, for the next conversion.
    """
    image = publish(bench, layers=2)
    found = converted(bench, image)
    children = [found.manifest["config"]["digest"], *found.layers]
    assert dict(labels_of(bench, found.record.target.digest)) == {
        f"containerd.io/gc.ref.content.{number}": digest
        for number, digest in enumerate(children)
    }
    for layer, diff_id in zip(found.layers, found.diff_ids, strict=True):
        labels = {EMPTY_LAYER: "false", UNCOMPRESSED: diff_id}
        assert dict(labels_of(bench, layer)) == labels


@case(
    clause=f"{CONVERTER}:211",
    level=Level.REFERENCE,
    needs=CONVERTED | {Feature.GC},
    catalogue=("schema1-gc-labels",),
)
def test_collection_leaves_the_conversion(bench: Bench) -> None:
    """What an image was converted to is still there when all else was collected."""
    image = publish(bench, layers=2, empty_layers=1, mark=None)
    before = converted(bench, image)
    bench.collect()
    stored = bench.stored({"content"})
    assert conversion(bench, bench.registry.ref(image)) == before
    lost = [digest for digest in before.layers if not stored.intact(digest)]
    assert not lost, f"layers that were collected: {lost}"
    assert not stored.has(NOTHING), "the empty layer, which nothing refers to, is kept"


@case(
    clause=f"{CONVERTER}:385",
    level=Level.REFERENCE,
    needs=CONVERTED | {Feature.LABELS},
    catalogue=("schema1-reuse-existing-blob",),
)
def test_layer_of_an_earlier_conversion_is_not_asked_for(bench: Bench) -> None:
    """A second image with the same base downloads its own layer only."""
    base = files_layer({"etc/motd": b"hello"})
    bench.must_pull(publish(bench, tag="first", layers=[base]))
    bench.registry.journal.clear()
    image = publish(bench, tag="second", layers=[base, files_layer({"a": b"1"})])
    found = converted(bench, image)
    again = bench.registry.journal.requests(digest=digest_of(base.data))
    assert_none(again, "the layer that is there was asked for")
    assert found.diff_ids == _diff_ids(image)


@case(
    clause=f"{CONVERTER}:281",
    level=Level.REFERENCE,
    needs=CONVERTED,
    catalogue=("schema1-reuse-existing-blob",),
)
def test_layer_of_a_newer_image_is_not_asked_for(bench: Bench) -> None:
    """A layer that came with an OCI image says nothing of itself: it is read here."""
    base = files_layer({"etc/motd": b"hello"})
    bench.must_pull(bench.publish("library/old:oci", layers=[base]))
    bench.registry.journal.clear()
    image = publish(bench, layers=[base])
    found = converted(bench, image)
    again = bench.registry.journal.requests(digest=digest_of(base.data))
    assert_none(again, "the layer that is there was asked for")
    assert found.diff_ids == _diff_ids(image)
