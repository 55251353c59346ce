"""Mirrors: containerd v1.5.18 images/image.go, image-spec v1.0.2 specs-go/v1.

The record of an image, and the documents that make one: what they hold and how they
are read. Nothing here does I/O: ``images/documents.py`` reads them from a store.

>>> parse_manifest(b'{"CONFIG": {"size": 5}, "layers": null}').config.size
5
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from refimpl.descriptor import Descriptor, Platform
from refimpl.digest import Digest
from refimpl.errdefs import ContainerdError
from refimpl.gojson import (
    BOOL,
    EMPTY,
    INT,
    INT64,
    RAW,
    STRING,
    Custom,
    Map,
    Node,
    Pointer,
    Slice,
    String,
    Struct,
    decode,
    decode_node,
    parse,
)
from refimpl.gotime import parse_json_time
from refimpl.images.mediatypes import is_index_type, is_manifest_type

__all__ = [
    "CONFIG",
    "DESCRIPTOR",
    "INDEX",
    "MANIFEST",
    "ConfigFile",
    "ErrMediaType",
    "Image",
    "Index",
    "Manifest",
    "index_from",
    "manifest_from",
    "parse_config",
    "parse_manifest",
    "validate_media_type",
    "validated",
]

_EPOCH: Final = datetime(1, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """A record in the image store: a name for content (image.go:33).

    Attributes:
        name: the reference that the image was pulled by.
        target: the manifest or index.
        labels: whatever a user wants to keep with the record.
        created_at: when the record was made; set by the store.
        updated_at: when it last changed; set by the store.
    """

    name: str
    target: Descriptor
    labels: Mapping[str, str] = field(default_factory=dict)
    created_at: datetime = _EPOCH
    updated_at: datetime = _EPOCH


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """A manifest; ``layers`` is None where the document has none (Go: nil)."""

    schema_version: int = 0
    media_type: str = ""
    config: Descriptor = field(default_factory=Descriptor)
    layers: tuple[Descriptor, ...] | None = None
    annotations: Mapping[str, str] | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the manifest as the JSON object that Go writes."""
        out: dict[str, Any] = {"schemaVersion": self.schema_version}
        if self.media_type:
            out["mediaType"] = self.media_type
        out["config"] = self.config.to_json()
        layers = self.layers
        out["layers"] = None if layers is None else [d.to_json() for d in layers]
        if self.annotations:
            out["annotations"] = dict(sorted(self.annotations.items()))
        return out


@dataclass(frozen=True, slots=True, kw_only=True)
class Index:
    """An index or a manifest list."""

    schema_version: int = 0
    media_type: str = ""
    manifests: tuple[Descriptor, ...] = ()
    annotations: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigFile:
    """What pulling and unpacking need of an image's configuration.

    Attributes:
        platform: operating system and architecture; image-spec v1.0.2 has no
            variant here.
        rootfs_type: "layers", or whatever the document says.
        diff_ids: the digest of every layer before compression, base first.
    """

    platform: Platform
    rootfs_type: str
    diff_ids: tuple[Digest, ...]


class ErrMediaType(ContainerdError):
    """A document is not what its media type says (image.go:397)."""


_DIGEST: Final = String("digest.Digest")
_TIME: Final = Pointer(Custom("time.Time", parse_json_time))
_STRINGS: Final = Slice(STRING)
_STRING_MAP: Final = Map(STRING)

_PLATFORM: Final = Struct(
    "v1.Platform",
    {
        "architecture": STRING,
        "os": STRING,
        "os.version": STRING,
        "os.features": _STRINGS,
        "variant": STRING,
    },
)
DESCRIPTOR: Final = Struct(
    "v1.Descriptor",
    {
        "mediaType": STRING,
        "digest": _DIGEST,
        "size": INT64,
        "urls": _STRINGS,
        "annotations": _STRING_MAP,
        "platform": Pointer(_PLATFORM),
    },
)
MANIFEST: Final = Struct(
    "v1.Manifest",
    {
        "schemaVersion": INT,
        "mediaType": STRING,
        "config": DESCRIPTOR,
        "layers": Slice(DESCRIPTOR),
        "annotations": _STRING_MAP,
    },
)
INDEX: Final = Struct(
    "v1.Index",
    {
        "schemaVersion": INT,
        "mediaType": STRING,
        "manifests": Slice(DESCRIPTOR),
        "annotations": _STRING_MAP,
    },
)
_CONTAINER_CONFIG: Final = Struct(
    "v1.ImageConfig",
    {
        "User": STRING,
        "ExposedPorts": Map(EMPTY),
        "Env": _STRINGS,
        "Entrypoint": _STRINGS,
        "Cmd": _STRINGS,
        "Volumes": Map(EMPTY),
        "WorkingDir": STRING,
        "Labels": _STRING_MAP,
        "StopSignal": STRING,
    },
)
_ROOT_FS: Final = Struct("v1.RootFS", {"type": STRING, "diff_ids": Slice(_DIGEST)})
_HISTORY: Final = Struct(
    "v1.History",
    {
        "created": _TIME,
        "created_by": STRING,
        "author": STRING,
        "comment": STRING,
        "empty_layer": BOOL,
    },
)
CONFIG: Final = Struct(
    "v1.Image",
    {
        "created": _TIME,
        "author": STRING,
        "architecture": STRING,
        "os": STRING,
        "config": _CONTAINER_CONFIG,
        "rootfs": _ROOT_FS,
        "history": Slice(_HISTORY),
    },
)
_UNKNOWN_DOCUMENT: Final = Struct(
    "images.unknownDocument",
    {
        "mediaType": STRING,
        "config": RAW,
        "layers": RAW,
        "manifests": RAW,
        "fsLayers": RAW,
    },
)


def parse_manifest(data: bytes) -> Manifest:
    """Return the manifest in a document, whatever else the document may be.

    Raises:
        JSONError: the document is not JSON, or a field has another type.
    """
    return manifest_from(parse(data))


def manifest_from(document: Node) -> Manifest:
    """Return the manifest in a parsed document.

    Raises:
        JSONError: a field has another type.
    """
    fields = decode_node(document, MANIFEST)
    layers = fields["layers"]
    return Manifest(
        schema_version=fields["schemaVersion"],
        media_type=fields["mediaType"],
        config=Descriptor.from_json(fields["config"]),
        layers=None if layers is None else _descriptors(layers),
        annotations=fields["annotations"],
    )


def index_from(document: Node) -> Index:
    """Return the index in a parsed document.

    Raises:
        JSONError: a field has another type.
    """
    fields = decode_node(document, INDEX)
    return Index(
        schema_version=fields["schemaVersion"],
        media_type=fields["mediaType"],
        manifests=_descriptors(fields["manifests"] or ()),
        annotations=fields["annotations"],
    )


def parse_config(data: bytes) -> ConfigFile:
    """Return the configuration of an image.

    Raises:
        JSONError: the document is not JSON, or a field has another type.
    """
    fields = decode(data, CONFIG)
    return ConfigFile(
        platform=Platform(os=fields["os"], architecture=fields["architecture"]),
        rootfs_type=fields["rootfs"]["type"],
        diff_ids=tuple(map(Digest, fields["rootfs"]["diff_ids"] or ())),
    )


def _descriptors(values: Sequence[Mapping[str, Any]]) -> tuple[Descriptor, ...]:
    return tuple(map(Descriptor.from_json, values))


def validated(data: bytes, media_type: str) -> Node:
    """Parse a document that has to be what its media type says (image.go:397).

    A document that is both a manifest and an index is read differently by
    different clients (CVE-2021-41190), so the mere presence of the other kind's
    fields is an error, whatever they hold.

    Raises:
        JSONError: the document is not JSON.
        ErrMediaType: the document is of another kind, or ambiguous.
    """
    document = parse(data)
    fields = decode_node(document, _UNKNOWN_DOCUMENT)
    present = {name for name in fields if fields[name] is not RAW.ABSENT}
    own_type = fields["mediaType"]
    if "fsLayers" in present:
        raise ErrMediaType("media-type: schema 1 not supported")
    looks_like_index = "manifests" in present or is_index_type(own_type)
    looks_like_manifest = present & {"config", "layers"} or is_manifest_type(own_type)
    if is_manifest_type(media_type) and looks_like_index:
        raise ErrMediaType(
            f"media-type: expected manifest but found index ({media_type})"
        )
    if is_index_type(media_type) and looks_like_manifest:
        raise ErrMediaType(
            f"media-type: expected index but found manifest ({media_type})"
        )
    return document


def validate_media_type(data: bytes, media_type: str) -> None:
    """Check that a document is what its media type says.

    Raises:
        JSONError: the document is not JSON.
        ErrMediaType: the document is of another kind, or ambiguous.
    """
    validated(data, media_type)
