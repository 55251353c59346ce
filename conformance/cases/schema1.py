"""Docker's schema1 manifests: signed documents of before 2016.

Registries still hold them. Clients that convert them read a format with a signature
inside, no sizes, and an image in strings. More of this is in the areas schema1-signed
and schema1-layers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from conformance.case import Feature, Level, case
from conformance.cases._content import (
    FLOOD,
    assert_bounded,
    assert_not_crashed,
    member,
    must_refuse,
)
from conformance.cases._schema1 import (
    API,
    CONVERTED,
    CONVERTER,
    FORMAT,
    OLD,
    converted,
    publish,
    state_no_digest,
    times_asked,
    what_came_of,
)
from conformance.cases._wire import assert_none, met
from fakeregistry.image import OCI_CONFIG, OCI_MANIFEST, SCHEMA1_SIGNED
from fakeregistry.schema1 import Step

if TYPE_CHECKING:
    from conformance.bench import Bench
    from conformance.cases._schema1 import Document
    from fakeregistry import Image

PINNED: Final = OLD | {Feature.DIGEST_REF}
INTACT: Final = "schema1.signed-image-is-pulled"
DIGEST_HEADER: Final = (
    "distribution v2.8.3 docs/spec/api.md, Digest Header: For manifests, this is the "
    "manifest body without the signature content, also known as the JWS payload."
)


@case(
    clause="distribution v2.8.3 docs/spec/api.md, Pulling An Image: The first step in "
    "pulling an image is to retrieve the manifest. [...] the client will then use the "
    "digests to download the individual layers.",
    level=Level.MUST,
    needs=OLD,
    link=f"{API}#pulling-an-image",
)
def test_signed_image_is_pulled(bench: Bench) -> None:
    """A signed image is pulled, with every layer that its history does not call empty.

    The twin of the cases in which something about it is wrong.
    """
    image = publish(bench, layers=2, empty_layers=1)
    bench.must_pull(image)
    missing = [d.digest for d in image.layers if not times_asked(bench, d.digest)]
    assert not missing, f"layers that were never asked for: {missing}"


@case(
    clause=f"{CONVERTER}:149",
    level=Level.REFERENCE,
    needs=CONVERTED,
    catalogue=("schema1-signed-converts",),
)
def test_image_becomes_an_oci_image(bench: Bench) -> None:
    """What is recorded is an OCI manifest, with a configuration that never existed.

    The layers stay what they were, Docker's media type included, base first.
    """
    image = publish(bench, layers=3, empty_layers=2)
    found = converted(bench, image)
    assert found.record.target.media_type == OCI_MANIFEST
    assert found.manifest["config"]["mediaType"] == OCI_CONFIG
    assert found.layers == [layer.digest for layer in image.layers]
    types = {layer["mediaType"] for layer in found.manifest["layers"]}
    assert types == {"application/vnd.docker.image.rootfs.diff.tar.gzip"}
    assert found.empty == [False, False, False, True, True]


@case(
    clause=f"{CONVERTER}:176, 200",
    level=Level.REFERENCE,
    needs=CONVERTED,
    catalogue=("schema1-conversion-deterministic",),
)
def test_conversion_is_the_same_everywhere(bench: Bench) -> None:
    """Two empty stores get the same manifest of one image, to the byte.

    Otherwise no two nodes agree on what they run. The documents are indented by three
    spaces, and the manifest does not name its media type.
    """
    image = publish(bench, layers=3, empty_layers=1)
    first = converted(bench, image)
    bench.fresh_store()
    second = converted(bench, image)
    assert first.record.target.digest == second.record.target.digest
    assert first.text.startswith('{\n   "schemaVersion": 2,\n   "config": {\n      "')
    assert "mediaType" not in first.manifest


@case(
    clause=DIGEST_HEADER,
    level=Level.MUST,
    needs=PINNED,
    link=f"{API}#digest-header",
)
def test_image_is_pulled_by_its_digest(bench: Bench) -> None:
    """An image is pulled by the digest of its payload, whatever its tag says.

    The signatures do not count: who signs an image once more does not change it.
    """
    image = publish(bench)
    other = publish(bench, seed=1)
    assert other.tag == image.tag
    bench.must_pull(image, digest=True)
    assert times_asked(bench, image.layers[0].digest), "its layer was never asked for"
    others = bench.registry.journal.requests(digest=other.digest)
    assert_none(others, "the image behind the tag was asked for")


@case(
    clause=DIGEST_HEADER,
    level=Level.MUST,
    needs=OLD,
    twin=INTACT,
    link=f"{API}#digest-header",
    catalogue=("schema1-digest-is-payload",),
)
def test_digest_that_nobody_states_is_the_payload_s(bench: Bench) -> None:
    """A client that computes the digest itself takes the signatures out first.

    Nothing is found under the digest of the whole document.
    """
    state_no_digest(bench)
    image = publish(bench)
    bench.must_pull(image)
    known = (image.tag, image.digest)
    asked = bench.registry.journal.requests(path="/manifests/*")
    astray = [exchange for exchange in asked if exchange.reference not in known]
    assert_none(astray, "another digest was asked for")


@case(
    clause=f"{CONVERTER}:149, pull.go:148",
    level=Level.REFERENCE,
    needs=CONVERTED | PINNED,
    catalogue=("schema1-by-digest",),
)
def test_pull_by_digest_records_the_conversion(bench: Bench) -> None:
    """The record is named by the digest that was asked for, and points elsewhere.

    The document that has this digest is not kept.
    """
    image = publish(bench)
    found = converted(bench, image, digest=True)
    assert found.record.target.digest != image.digest
    assert found.record.target.media_type == OCI_MANIFEST
    assert not bench.stored({"content"}).has(image.digest), "schema1 was kept"


@case(
    clause="distribution v2.8.3 docs/spec/api.md, Digest Header: To maintain security, "
    "the client must always verify the content against the digest used to fetch the "
    "content.",
    level=Level.MUST,
    critical=True,
    needs=PINNED,
    twin="schema1.image-is-pulled-by-its-digest",
    link=f"{API}#digest-header",
    catalogue=("schema1-by-digest-substituted",),
)
def test_pinned_image_is_not_replaced_by_an_old_one(bench: Bench) -> None:
    """A registry answers a pinned digest with another image, and calls it schema1.

    The image that was pinned is not even of that kind. A client that checks digests,
    but not those of schema1, is told by the registry itself not to check.
    """
    pinned = bench.publish("library/old:pinned")
    evil = publish(bench, tag="evil")
    bench.registry.put_manifest(
        "library/old",
        evil.data[evil.digest],
        media_type=SCHEMA1_SIGNED,
        digest=pinned.digest,
    )
    must_refuse(bench, bench.registry.ref(pinned, digest=True))


def _assert_no_layer_asked(bench: Bench) -> None:
    blobs = bench.registry.journal.requests(path="/blobs/*")
    assert_none(blobs, "a layer was asked for")


@case(
    clause="distribution v2.8.3 docs/spec/manifest-v2-1.md, Note: the length of "
    "history must be equal to the length of fsLayers and entries in each are "
    "correlated by index",
    level=Level.MUST,
    needs=OLD,
    twin=INTACT,
    link=f"{FORMAT}#manifest-field-descriptions",
    catalogue=("schema1-history-mismatch",),
)
def test_history_of_another_length_is_rejected_unasked(bench: Bench) -> None:
    """With three layers and two entries, nobody knows which is whose.

    That is seen before anything is downloaded.
    """

    def shorten(manifest: Document) -> None:
        del manifest["history"][1]

    pull = must_refuse(bench, publish(bench, layers=3, edit_manifest=shorten))
    assert_not_crashed(pull)
    _assert_no_layer_asked(bench)


@case(
    clause=f"{CONVERTER}:436",
    level=Level.REFERENCE,
    needs=OLD,
    twin=INTACT,
    catalogue=("schema1-empty-history",),
)
def test_image_without_history_is_an_error(bench: Bench) -> None:
    """No layer and no entry: there is nothing that a configuration can be made of."""
    pull = must_refuse(bench, publish(bench, layers=0))
    assert_not_crashed(pull)


@case(
    clause="distribution v2.8.3 docs/spec/manifest-v2-1.md, v1Compatibility: This will "
    "contain the JSON object describing the V1 of this image.",
    level=Level.MUST,
    needs=OLD,
    twin=INTACT,
    link=f"{FORMAT}#manifest-field-descriptions",
    catalogue=("schema1-bad-v1compatibility",),
)
def test_entry_that_is_no_json_object_is_rejected(bench: Bench) -> None:
    """``not json``, an empty text and a list describe no image."""
    for number, text in enumerate(("not json", "", "[]")):

        def say(_image: Document, text: str = text) -> str:
            return text

        steps = [Step(layer=b"base", edit=say), Step(layer=b"top")]
        pull = must_refuse(bench, publish(bench, tag=f"v{number}", layers=steps))
        assert_not_crashed(pull)


@case(
    clause="CVE-2021-41190: the manifest and index documents are not self-describing "
    "and documents with a single digest could be interpreted as either",
    level=Level.MUST,
    needs=OLD,
    twin=INTACT,
    link="https://nvd.nist.gov/vuln/detail/CVE-2021-41190",
    catalogue=("schema1-mixed-document",),
)
def test_document_of_two_kinds_is_rejected(bench: Bench) -> None:
    """A signed document that has ``layers`` or ``manifests`` as well is refused.

    Whoever reads it as the other kind sees another image under the same digest.
    """
    for key in ("layers", "manifests"):
        image = publish(bench, tag=key, edit_manifest=member(key, []))
        must_refuse(bench, image)
        _assert_no_layer_asked(bench)


@case(
    clause="CVE-2020-1702: a malicious image can consume an unbounded amount of memory "
    "when being pulled",
    level=Level.MUST,
    needs=OLD,
    twin=INTACT,
    link="https://nvd.nist.gov/vuln/detail/CVE-2020-1702",
)
def test_document_without_end_is_given_up(bench: Bench) -> None:
    """A signed manifest is followed by blanks without end: not all are read.

    The payload is there and right, so that it is no error to stop and use it.
    """
    image = publish(bench)
    flood = bench.registry.fault(method="GET", path="/manifests/*", endless=FLOOD)
    pull = bench.pull(image)
    met(flood)
    assert_bounded(flood)
    bench.observe(what_came_of(bench, image, pull))


@case(
    clause="distribution v2.8.3 docs/spec/manifest-v2-1.md: name is the name of the "
    "image's repository, tag is the tag of the image",
    level=Level.MAY,
    needs=OLD,
    twin=INTACT,
    link=f"{FORMAT}#manifest-field-descriptions",
    catalogue=("schema1-name-tag-mismatch",),
)
def test_image_of_another_name(bench: Bench) -> None:
    """The payload says that it is another repository's: does it matter?

    Docker refused that, for a name is part of what was signed. containerd does not
    look.
    """

    def rename(manifest: Document) -> None:
        manifest.update(name="library/other", tag="other")

    image = publish(bench, edit_manifest=rename)
    bench.observe(what_came_of(bench, image, bench.pull(image)))


@case(
    clause="containerd v2.0 release notes: schema1 is no longer supported",
    level=Level.MAY,
    twin="verify.layer-intact",
    link="https://github.com/containerd/containerd/releases/tag/v2.0.0",
    catalogue=("schema1-refused-by-new-clients",),
)
def test_image_of_2015(bench: Bench) -> None:
    """What does a client make of schema1 at all?"""
    image = publish(bench)
    seen = _seen(bench, image)
    bench.observe(seen)


def _seen(bench: Bench, image: Image) -> str:
    """Say what came of an image that a client may not even ask for."""
    pull = bench.pull(image)
    if not bench.registry.journal.requests(path="/manifests/*"):
        return f"never asked for; {pull}"
    return what_came_of(bench, image, pull)
