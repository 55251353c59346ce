"""Images of old builders, whose config calls itself application/octet-stream.

Docker before 1.10 pushed such manifests (docker/distribution issue 1622), and
they are still in registries. containerd gives their config its proper type.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from conformance.case import Feature, Level, case
from fakeregistry.image import OCI_MANIFEST

if TYPE_CHECKING:
    from conformance.bench import Bench
    from fakeregistry import Image

RECORD: Final = {Feature.IMAGE_RECORD, Feature.CONTENT}
CONFIG: Final = "application/vnd.docker.container.image.v1+json"


def _pulled(bench: Bench, image: Image, *, digest: bool = False) -> tuple[str, Any]:
    """Pull, and return the digest and the document that the record points at."""
    bench.must_pull(image, digest=digest)
    stored = bench.stored()
    record = stored.image(bench.registry.ref(image, digest=digest))
    assert record is not None
    blob = (stored.content or {}).get(record.target.digest)
    assert blob is not None, "the record points at what is not in the store"
    assert blob.path is not None
    return record.target.digest, json.loads(blob.path.read_bytes())


@case(
    clause="distribution v2.8.3 docs/spec/manifest-v2-2.md: config, mediaType",
    level=Level.MAY,
    twin="verify.layer-intact",
)
def test_image_with_an_octet_stream_config(bench: Bench) -> None:
    """An image of 2016 whose config has no proper media type: what happens?"""
    image = bench.publish(legacy_config=True, layers=2)
    pull = bench.pull(image)
    asked = all(bench.registry.journal.requests(digest=d.digest) for d in image.layers)
    layers = "layers fetched" if asked else "layers not fetched"
    bench.observe(f"{'pulled' if pull.ok else 'refused'}, {layers}")


@case(
    clause="containerd v1.5.18 remotes/docker/converter.go:58",
    level=Level.REFERENCE,
    needs=RECORD,
    catalogue=("legacy-config-oci-manifest",),
)
def test_config_of_an_oci_manifest_gets_dockers_media_type(bench: Bench) -> None:
    """An OCI manifest with such a config stays one, and the config becomes Docker's."""
    image = bench.publish(legacy_config=True, format="oci")
    _, manifest = _pulled(bench, image)
    assert manifest["mediaType"] == OCI_MANIFEST
    assert manifest["config"]["mediaType"] == CONFIG


@case(
    clause="containerd v1.5.18 remotes/docker/converter.go:44",
    level=Level.REFERENCE,
    needs=RECORD,
    catalogue=("legacy-config-converted",),
)
def test_config_gets_its_media_type(bench: Bench) -> None:
    """The manifest is written anew with the config's proper type, and recorded.

    Nothing else in it changes: the config and the layers stay what they were.
    """
    image = bench.publish(legacy_config=True, layers=2)
    digest, manifest = _pulled(bench, image)
    assert digest != image.digest
    assert manifest["config"]["mediaType"] == CONFIG
    assert manifest["config"]["digest"] == image.config.digest
    assert [d["digest"] for d in manifest["layers"]] == [
        layer.digest for layer in image.layers
    ]


@case(
    clause="containerd v1.5.18 remotes/docker/converter.go:78",
    level=Level.REFERENCE,
    needs=RECORD | {Feature.LABELS},
    catalogue=("legacy-config-gc-labels",),
)
def test_new_manifest_is_labelled_with_its_children(bench: Bench) -> None:
    """The manifest that was written keeps config and layers from collection."""
    image = bench.publish(legacy_config=True, layers=2)
    digest, _ = _pulled(bench, image)
    labels = (bench.stored({"content"}).content or {})[digest].labels
    children = [image.config, *image.layers]
    assert dict(labels) == {
        f"containerd.io/gc.ref.content.{number}": child.digest
        for number, child in enumerate(children)
    }


@case(
    clause="containerd v1.5.18 remotes/docker/converter.go:44",
    level=Level.REFERENCE,
    needs=RECORD | {Feature.DIGEST_REF},
    catalogue=("legacy-config-pull-by-digest",),
)
def test_pull_by_digest_records_the_new_manifest(bench: Bench) -> None:
    """Also a pull by digest records the manifest that was written."""
    image = bench.publish(legacy_config=True)
    digest, manifest = _pulled(bench, image, digest=True)
    assert digest != image.digest
    assert manifest["config"]["mediaType"] == CONFIG


@case(
    clause="containerd v1.5.18 remotes/docker/converter.go:43",
    level=Level.REFERENCE,
    needs=RECORD,
    catalogue=("legacy-config-under-index",),
)
def test_nothing_changes_below_an_index(bench: Bench) -> None:
    """A manifest list is kept as it is: the record still points at it."""
    image = bench.publish(legacy_config=True, platforms=["linux/amd64"])
    bench.must_pull(image, platform="linux/amd64")
    stored = bench.stored()
    record = stored.image(bench.registry.ref(image))
    assert record is not None
    assert record.target.digest == image.digest


@case(
    clause="containerd v1.5.18 pull.go:180, remotes/docker/converter.go:63",
    level=Level.REFERENCE,
    needs=RECORD,
    catalogue=("legacy-config-octet-stream-layer-only",),
)
def test_only_the_config_counts(bench: Bench) -> None:
    """A layer of that type changes nothing when the config has its proper one."""

    def edit(manifest: dict[str, Any]) -> None:
        manifest["layers"][0]["mediaType"] = "application/octet-stream"

    image = bench.publish(format="docker", layers=2, edit_manifest=edit)
    bench.must_pull(image)
    record = bench.stored({"images"}).image(bench.registry.ref(image))
    assert record is not None
    assert record.target.digest == image.digest


@case(
    clause="containerd v1.5.18 remotes/docker/converter.go:68, image-spec v1.0.2",
    level=Level.REFERENCE,
    needs=RECORD,
    catalogue=("legacy-config-drops-unknown-fields",),
)
def test_unknown_fields_are_dropped(bench: Bench) -> None:
    """Writing anew keeps the fields of the specification and no others."""

    def edit(manifest: dict[str, Any]) -> None:
        manifest["x-vendor"] = {"note": "not in the specification"}
        manifest["annotations"] = {"kept": "yes"}

    image = bench.publish(legacy_config=True, edit_manifest=edit)
    _, manifest = _pulled(bench, image)
    assert "x-vendor" not in manifest
    assert manifest.get("annotations") == {"kept": "yes"}
