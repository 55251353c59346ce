"""Archives as ``docker save`` writes them: configs, layers and ``manifest.json``.

They hold no manifests: what is loaded gets a Docker schema2 manifest with the
layers as they are in the archive, packed or not, and what is saved loses its own.
Docker Engine documentation, image spec v1.2, Combined Image JSON + Filesystem
Changeset Format.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from fakeregistry.archive import ExchangeError, parse_json, read_json
from fakeregistry.content import build_image
from fakeregistry.graph import MANIFESTS
from fakeregistry.image import DOCKER_LAYER, Image, Platform, canonical_json
from fakeregistry.layers import Layer, compression_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fakeregistry.archive import Source
    from fakeregistry.names import Name, Namer

__all__ = ["load_archive", "save_archive"]

MANIFEST: Final = "manifest.json"
_SUFFIXES: Final = {"gzip": ".gzip", "zstd": ".zstd", "none": ""}


def load_archive(source: Source, namer: Namer) -> list[Image]:
    """Read all that ``manifest.json`` lists.

    Raises:
        ExchangeError: The archive is not valid.
    """
    items = read_json(source, MANIFEST)
    if not isinstance(items, list):
        raise ExchangeError(f"{source.path}: {MANIFEST} is no list")
    images: list[Image] = []
    for item in items:
        config, layers, tags = _item(source, item)
        names = [namer.full(tag) for tag in tags]
        names = names or [namer.unnamed(alone=len(items) == 1)]
        images.extend(_image(source, config, layers, name) for name in names)
    return images


def save_archive(images: Sequence[Image]) -> dict[str, bytes]:
    """Return the files of an archive with the images, by name.

    Raises:
        ExchangeError: An image is none that an archive can hold.
    """
    files: dict[str, bytes] = {}
    items: dict[str, dict[str, Any]] = {}
    for image in images:
        item = items.setdefault(image.digest, _saved(image, files))
        if image.tag is not None:
            item["RepoTags"].append(image.name)
    return {**files, MANIFEST: canonical_json(list(items.values()))}


def _item(source: Source, item: object) -> tuple[str, list[str], list[str]]:
    where = f"{source.path}: {MANIFEST}"
    if not isinstance(item, dict):
        raise ExchangeError(f"{where}: an image is an object")
    config, layers = item.get("Config"), item.get("Layers")
    tags = item.get("RepoTags") or []
    if not isinstance(config, str):
        raise ExchangeError(f"{where}: an image without Config")
    for key, value in (("Layers", layers), ("RepoTags", tags)):
        if not isinstance(value, list) or not all(isinstance(v, str) for v in value):
            raise ExchangeError(f"{where}: {key} is no list of texts")
    return config, layers or [], tags


def _image(source: Source, config: str, layers: Sequence[str], name: Name) -> Image:
    data = _read(source, config)
    document = parse_json(data, f"{source.path}: {config}")
    image = build_image(
        name.repository,
        name.tag,
        format="docker",
        config=data,
        layers=[_layer(_read(source, layer)) for layer in layers],
    )
    _check_diff_ids(source, config, document, layers, image)
    platform = Platform(
        str(document.get("os") or "linux"),
        str(document.get("architecture") or "amd64"),
        str(document.get("variant") or ""),
    )
    return replace(image, manifests=(replace(image.manifest(), platform=platform),))


def _read(source: Source, name: str) -> bytes:
    data = source.read(name)
    if data is None:
        raise ExchangeError(f"{source.path}: {name} is missing")
    return data


def _layer(data: bytes) -> Layer:
    media_type = DOCKER_LAYER + _SUFFIXES[compression_of(data)]
    return Layer(data=data, media_type=media_type)


def _check_diff_ids(
    source: Source,
    config: str,
    document: object,
    layers: Sequence[str],
    image: Image,
) -> None:
    """Check layers against the config, the only thing that names them."""
    root = document.get("rootfs") if isinstance(document, dict) else None
    diff_ids = root.get("diff_ids") if isinstance(root, dict) else None
    if not isinstance(diff_ids, list) or len(diff_ids) != len(layers):
        raise ExchangeError(
            f"{source.path}: {config} has no diff_ids for {len(layers)} layers"
        )
    for name, diff_id, descriptor in zip(layers, diff_ids, image.layers, strict=True):
        layer = Layer(data=image.data[descriptor.digest])
        # There is nothing to unpack zstd with in Python 3.11.
        if compression_of(layer.data) != "zstd" and layer.content_digest() != diff_id:
            raise ExchangeError(f"{source.path}: {name} does not match {diff_id}")


def _saved(image: Image, files: dict[str, bytes]) -> dict[str, Any]:
    if image.descriptor.media_type not in MANIFESTS:
        raise ExchangeError(
            f"{image.name}: {image.descriptor.media_type} does not go into a"
            " docker-archive; save one manifest, or an oci-layout"
        )
    config = f"{_hex(image.config.digest)}.json"
    names = [f"{_hex(layer.digest)}.tar" for layer in image.layers]
    for name, item in zip((config, *names), (image.config, *image.layers), strict=True):
        if item.digest not in image.data:
            raise ExchangeError(f"{image.name}: {item.digest} is not stored here")
        files[name] = image.data[item.digest]
    return {"Config": config, "RepoTags": [], "Layers": names}


def _hex(digest: str) -> str:
    return digest.partition(":")[2]
