"""What cases about Docker's schema1 publish, and what became of it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from conformance.case import Feature
from fakeregistry.image import digest_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from conformance.bench import Bench, Pull
    from conformance.stored import StoredImage
    from fakeregistry import Image

DISTRIBUTION: Final = "https://github.com/distribution/distribution/blob/v2.8.3/docs"
API: Final = f"{DISTRIBUTION}/spec/api.md"
FORMAT: Final = f"{DISTRIBUTION}/spec/manifest-v2-1.md"
SCHEMA2: Final = f"{DISTRIBUTION}/spec/manifest-v2-2.md"
CONVERTER: Final = "containerd v1.5.18 remotes/docker/schema1/converter.go"

OLD: Final = {Feature.SCHEMA1}
# What it takes to see what an image was converted to.
CONVERTED: Final = OLD | {Feature.IMAGE_RECORD, Feature.CONTENT}

EMPTY_LAYER: Final = "containerd.io/docker.schema1.empty-layer"
UNCOMPRESSED: Final = "containerd.io/uncompressed"

Document = dict[str, Any]


class Conversion(NamedTuple):
    """What a client made of an image: its record and both documents."""

    record: StoredImage
    manifest: Document
    config: Document
    text: str

    @property
    def layers(self) -> list[str]:
        """The digests of the layers, in the order of the manifest."""
        return [layer["digest"] for layer in self.manifest["layers"]]

    @property
    def diff_ids(self) -> list[str]:
        """The digests of the layers before compression."""
        found: list[str] = self.config["rootfs"]["diff_ids"]
        return found

    @property
    def empty(self) -> list[bool]:
        """Which entries of the history say that they have no layer."""
        return [entry.get("empty_layer", False) for entry in self.config["history"]]


def publish(bench: Bench, tag: str = "v1", **knobs: Any) -> Image:  # noqa: ANN401 - of build_schema1
    """Publish a schema1 image, signed unless the knobs say otherwise."""
    return bench.publish(f"library/old:{tag}", format="schema1", **knobs)


def state_no_digest(bench: Bench) -> None:
    """Leave out the header that states a digest, so that a client computes it."""
    names = ["Docker-Content-Digest", "Etag"]
    bench.registry.fault(path="/manifests/*", remove_headers=names)


def keeps(record: StoredImage | None, image: Image) -> bool:
    """Say whether a record is of the document itself, and not of a conversion."""
    # By the digest of its payload, or by that of all of it.
    own = (image.digest, digest_of(image.data[image.digest]))
    return record is not None and record.target.digest in own


def converted(bench: Bench, image: Image, *, digest: bool = False) -> Conversion:
    """Pull an image, and return what it was converted to."""
    bench.must_pull(image, digest=digest)
    return conversion(bench, bench.registry.ref(image, digest=digest))


def conversion(bench: Bench, ref: str) -> Conversion:
    """Return what the image behind a record was converted to."""
    record = bench.stored({"images"}).image(ref)
    assert record is not None, f"there is no record of {ref}"
    text = _text(bench, record.target.digest)
    manifest = json.loads(text)
    assert manifest.get("schemaVersion") == 2, "the record's target is no conversion"
    config = json.loads(_text(bench, manifest["config"]["digest"]))
    return Conversion(record, manifest, config, text)


def _text(bench: Bench, digest: str) -> str:
    blob = (bench.stored({"content"}).content or {}).get(digest)
    assert blob is not None, f"not in the store: {digest}"
    assert blob.path is not None
    return blob.path.read_text("utf-8")


def labels_of(bench: Bench, digest: str) -> Mapping[str, str]:
    """Return the labels of a blob that must be there."""
    blob = (bench.stored({"content"}).content or {}).get(digest)
    assert blob is not None, f"not in the store: {digest}"
    return blob.labels


def times_asked(bench: Bench, digest: str) -> int:
    """Return how often a blob was asked for."""
    return len(bench.registry.journal.requests(method="GET", digest=digest))


def what_came_of(bench: Bench, image: Image, pull: Pull) -> str:
    """Say whether an image was pulled, and whether it was taken for an image."""
    if not pull.ok:
        return "refused"
    whole = all(times_asked(bench, layer.digest) for layer in image.layers)
    return f"pulled, layers {'fetched' if whole else 'not fetched'}"
