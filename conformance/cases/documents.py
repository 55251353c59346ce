"""How a client reads JSON that its authors did not think of.

Clients that read one document differently run different images (CVE-2021-41190 was
such a case). Where a specification leaves it open a case tells what the client did.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from conformance.case import Feature, Level, case
from conformance.cases._content import (
    IMAGE,
    assert_not_crashed,
    assert_nothing_false,
    member,
    must_refuse,
    without,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from conformance.bench import Bench
    from conformance.cases._content import Document
    from fakeregistry import Image

CONFUSION: Final = "https://nvd.nist.gov/vuln/detail/CVE-2021-41190"
CRASH: Final = "CVE-2021-21285: a malformed image manifest crashes the daemon"
JSON: Final = "https://www.rfc-editor.org/rfc/rfc8259"
VERSION: Final = (
    "OCI image-spec v1.1.1 manifest.md, schemaVersion: For this version of the "
    "specification, this MUST be 2"
)


def _written(change: Callable[[str], str]) -> Callable[[Document], bytes]:
    """Return an edit of a manifest that changes its text."""

    def edit(manifest: Document) -> bytes:
        return change(json.dumps(manifest, separators=(",", ":"))).encode()

    return edit


def _first_and_second(name: str) -> Callable[[Document], bytes]:
    """Return an edit that gives the layers one by one, under two names."""

    def edit(manifest: Document) -> bytes:
        first, second = (json.dumps([layer]) for layer in manifest.pop("layers"))
        text = json.dumps(manifest)[:-1]
        return f'{text},"layers":{first},"{name}":{second}}}'.encode()

    return edit


def _observe_layers(bench: Bench, image: Image) -> None:
    """Note which of two layers a client took."""
    pull = bench.pull(image)
    assert_not_crashed(pull)
    asked = bench.registry.journal.requests
    first, second = (bool(asked(method="GET", digest=d.digest)) for d in image.layers)
    if not pull.ok:
        bench.observe("refused")
    else:
        chosen = [n for n, taken in (("first", first), ("second", second)) if taken]
        bench.observe(f"took: {' and '.join(chosen) or 'neither'}")


@case(
    clause="RFC 8259 section 4: The names within an object SHOULD be unique.",
    level=Level.MAY,
    link=f"{JSON}#section-4",
    catalogue=("manifest-duplicate-keys",),
)
def test_layers_that_are_given_twice(bench: Bench) -> None:
    """``"layers"`` stands twice in a manifest: which one counts, or none?"""
    image = bench.publish(layers=2, edit_manifest=_first_and_second("layers"))
    _observe_layers(bench, image)


@case(
    clause="RFC 8259 section 8.3: string comparison; CVE-2021-41190",
    level=Level.MAY,
    link=CONFUSION,
    catalogue=("manifest-case-variant-keys",),
)
def test_layers_in_capitals(bench: Bench) -> None:
    """``"LAYERS"`` beside ``"layers"``: Go takes one for the other, Python does not."""
    image = bench.publish(layers=2, edit_manifest=_first_and_second("LAYERS"))
    _observe_layers(bench, image)


@case(
    clause="containerd v1.5.18 images/image.go:400",
    level=Level.REFERENCE,
    twin="verify.layer-intact",
    link=CONFUSION,
    catalogue=("manifest-has-fslayers-key",),
)
def test_manifest_with_layers_of_schema_1_is_rejected(bench: Bench) -> None:
    """``fsLayers`` in a manifest of schema 2 makes it two documents in one."""
    image = bench.publish(edit_manifest=member("fsLayers", []))
    must_refuse(bench, image)


@case(
    clause=VERSION,
    level=Level.MAY,
    link=f"{IMAGE}/manifest.md",
    catalogue=("manifest-schema-version",),
)
def test_schema_version_that_is_missing(bench: Bench) -> None:
    """A manifest does not say that it is of version 2: pulled or refused?"""
    pull = bench.pull(bench.publish(edit_manifest=without("schemaVersion")))
    assert_not_crashed(pull)
    bench.observe("pulled" if pull.ok else "refused")


@case(
    clause=VERSION,
    level=Level.MAY,
    link=f"{IMAGE}/manifest.md",
    catalogue=("manifest-schema-version",),
)
def test_schema_version_that_is_a_text(bench: Bench) -> None:
    """``"schemaVersion": "2"``, the right number as a text: pulled or refused?"""
    pull = bench.pull(bench.publish(edit_manifest=member("schemaVersion", "2")))
    assert_not_crashed(pull)
    bench.observe("pulled" if pull.ok else "refused")


@case(
    clause="RFC 8259 section 8.1: implementations that parse JSON texts MAY ignore the "
    "presence of a byte order mark rather than treating it as an error",
    level=Level.MAY,
    link=f"{JSON}#section-8.1",
    catalogue=("manifest-encoding",),
)
def test_byte_order_mark(bench: Bench) -> None:
    """A manifest that begins with U+FEFF, as some editors write it."""
    image = bench.publish(
        edit_manifest=_written("\N{ZERO WIDTH NO-BREAK SPACE}{}".format)
    )
    pull = bench.pull(image)
    assert_not_crashed(pull)
    assert_nothing_false(bench)
    bench.observe("the mark is passed over" if pull.ok else "refused")


@case(
    clause="RFC 8259 section 9: A JSON parser MAY accept non-JSON forms or extensions.",
    level=Level.MAY,
    link=f"{JSON}#section-9",
    catalogue=("manifest-encoding",),
)
def test_text_after_the_document(bench: Bench) -> None:
    """A second document follows the first: refused, or not looked at?"""
    pull = bench.pull(bench.publish(edit_manifest=_written("{}{{}}".format)))
    assert_not_crashed(pull)
    assert_nothing_false(bench)
    bench.observe("what follows is not looked at" if pull.ok else "refused")


@case(
    clause="OCI image-spec v1.1.1 considerations.md, Extensibility: Implementations "
    "storing or copying content MUST NOT modify or alter the content in a way that "
    "would change the digest of the content.",
    level=Level.MUST,
    needs={Feature.CONTENT},
    twin="manifest.bytes-of-a-manifest-are-kept",
    link=f"{IMAGE}/considerations.md#extensibility",
    catalogue=("manifest-encoding", "manifest-bytes-preserved"),
)
def test_text_that_is_no_utf_8_is_kept_or_refused(bench: Bench) -> None:
    """A byte that is no UTF-8, in an annotation, is not made better.

    A parser may put U+FFFD in its place for itself. What is stored is what came.
    """

    def spoil(manifest: Document) -> bytes:
        manifest["annotations"] = {"org.example.name": "caf?"}
        return json.dumps(manifest).encode().replace(b"caf?", b"caf\xe9")

    image = bench.publish(edit_manifest=spoil)
    pull = bench.pull(image)
    assert_not_crashed(pull)
    assert_nothing_false(bench)
    if pull.ok:
        assert bench.stored({"content"}).intact(image.digest), "not kept as it came"


@case(
    clause=f"{CRASH}; RFC 8259 section 6: numbers of any size are JSON",
    level=Level.MUST,
    twin="manifest.unknown-properties-are-passed-over",
    link=f"{JSON}#section-6",
    catalogue=("manifest-nan-and-bigint",),
)
def test_number_of_thousands_of_digits_does_not_crash_the_client(bench: Bench) -> None:
    """An integer of 5000 digits, in a property that nobody knows.

    Python refuses to read more than 4300 by default, with an error that few expect.
    """
    long = f'{{"x-tomorrow":{"7" * 5000},'
    image = bench.publish(edit_manifest=_written(lambda text: long + text[1:]))
    assert_not_crashed(bench.pull(image))


@case(
    clause="RFC 8259 section 6: Infinity and NaN are not permitted; section 9: A JSON "
    "parser MAY accept non-JSON forms or extensions.",
    level=Level.MAY,
    link=f"{JSON}#section-6",
    catalogue=("manifest-nan-and-bigint",),
)
def test_value_that_is_not_a_number(bench: Bench) -> None:
    """``NaN`` in a property that nobody knows: Python's parser takes it."""
    image = bench.publish(
        edit_manifest=_written(lambda text: '{"x-tomorrow":NaN,' + text[1:])
    )
    pull = bench.pull(image)
    assert_not_crashed(pull)
    assert_nothing_false(bench)
    bench.observe("taken" if pull.ok else "refused")


@case(
    clause="OCI image-spec v1.1.1 descriptor.md, data: an OPTIONAL property",
    level=Level.SHOULD,
    link=f"{IMAGE}/descriptor.md#embedded-content",
    catalogue=("verify-data-field-valid",),
)
def test_config_that_is_embedded_is_pulled(bench: Bench) -> None:
    """The config comes with its descriptor, rightly: the image is like any other.

    A client may take it from there, or ask for it as ever.
    """
    image = bench.publish(embed=["config"])
    bench.must_pull(image)
    if bench.claims(Feature.CONTENT):
        stored = bench.stored({"content"})
        assert stored.intact(image.config.digest), "the config is not kept"


@case(
    clause=f"{CRASH}; OCI image-spec v1.1.1 descriptor.md, data: Values MUST conform "
    "to the Base 64 encoding",
    level=Level.MUST,
    twin="documents.config-that-is-embedded-is-pulled",
    link=f"{IMAGE}/descriptor.md#embedded-content",
    catalogue=("verify-data-field-bad-base64",),
)
def test_embedded_content_that_is_no_base_64_does_no_harm(bench: Bench) -> None:
    """``"data": "***"`` is a reason to ask for the blob, or to fail with a word."""

    def scribble(manifest: Document) -> None:
        manifest["config"]["data"] = "***"

    pull = bench.pull(bench.publish(edit_manifest=scribble))
    assert_not_crashed(pull)
    assert_nothing_false(bench)


@case(
    clause="OCI image-spec v1.1.1 manifest.md, config and layers: descriptors",
    level=Level.MAY,
    link=f"{IMAGE}/manifest.md",
    catalogue=("manifest-config-equals-layer-digest",),
)
def test_config_and_layer_that_are_one_blob(bench: Bench) -> None:
    """The config's descriptor names a layer's digest: two downloads of one blob.

    Whatever the client makes of it, it comes to an end.
    """

    def merge(manifest: Document) -> None:
        layer, config = manifest["layers"][0], manifest["config"]
        config.update(digest=layer["digest"], size=layer["size"])

    pull = bench.pull(bench.publish(edit_manifest=merge))
    assert_not_crashed(pull)
    bench.observe("pulled" if pull.ok else "refused")
