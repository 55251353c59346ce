"""OCI image layouts (image-spec v1.1, image-layout.md), read and written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fakeregistry.archive import ExchangeError, read_json
from fakeregistry.graph import collect, parse_descriptor
from fakeregistry.image import OCI_INDEX, Descriptor, Image, canonical_json

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from fakeregistry.archive import Source
    from fakeregistry.names import Name, Namer

__all__ = ["load_layout", "save_layout"]

MARKER: Final = "oci-layout"
INDEX: Final = "index.json"
VERSION: Final = "1.0.0"
REF_NAME: Final = "org.opencontainers.image.ref.name"
# What containerd and Docker add, because REF_NAME is most often just a tag.
IMAGE_NAME: Final = "io.containerd.image.name"


def load_layout(source: Source, namer: Namer) -> list[Image]:
    """Read all that ``index.json`` lists.

    Raises:
        ExchangeError: The layout is not valid.
    """
    _check_version(source)
    index = read_json(source, INDEX)
    entries = index.get("manifests") if isinstance(index, dict) else None
    where = f"{source.path}: {INDEX}"
    if not isinstance(entries, list):
        raise ExchangeError(f"{where} has no manifests")
    roots = [parse_descriptor(entry, where) for entry in entries]
    return [
        collect(
            root,
            lambda descriptor: source.read(_blob(descriptor)),
            repository=name.repository,
            tag=name.tag,
            where=str(source.path),
        )
        for root, name in _named(roots, namer)
    ]


def save_layout(images: Sequence[Image]) -> dict[str, bytes]:
    """Return the files of a layout that lists the images, by name."""
    marker = canonical_json({"imageLayoutVersion": VERSION})
    index = {
        "schemaVersion": 2,
        "mediaType": OCI_INDEX,
        "manifests": [_entry(image) for image in images],
    }
    files = {MARKER: marker, INDEX: canonical_json(index)}
    for image in images:
        for descriptor in image.blobs:
            files[_blob(descriptor)] = image.data[descriptor.digest]
    return files


def _check_version(source: Source) -> None:
    document = read_json(source, MARKER)
    found = document.get("imageLayoutVersion") if isinstance(document, dict) else None
    if found != VERSION:
        raise ExchangeError(
            f"{source.path}: {MARKER} has version {found!r}, not {VERSION}"
        )


def _named(
    roots: Sequence[Descriptor], namer: Namer
) -> Iterator[tuple[Descriptor, Name]]:
    for root in roots:
        annotations: Mapping[str, object] = root.annotations or {}
        full, short = annotations.get(IMAGE_NAME), annotations.get(REF_NAME)
        if isinstance(full, str):
            yield root, namer.full(full)
        elif isinstance(short, str):
            yield root, namer.short(short)
        else:
            yield root, namer.unnamed(alone=len(roots) == 1)


def _entry(image: Image) -> dict[str, object]:
    entry = image.descriptor.to_json()
    annotations = {IMAGE_NAME: image.name}
    if image.tag is not None:
        annotations[REF_NAME] = image.tag
    return {**entry, "annotations": annotations}


def _blob(descriptor: Descriptor) -> str:
    algorithm, _, value = descriptor.digest.partition(":")
    return f"blobs/{algorithm}/{value}"
