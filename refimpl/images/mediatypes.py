"""Mirrors: containerd v1.5.18 images/mediatypes.go.

What a media type says of a blob, and under which label its parent keeps it.

>>> diff_compression("application/vnd.oci.image.layer.v1.tar+zstd")
'zstd'
>>> child_gc_labels(Descriptor(media_type=MEDIA_TYPE_IMAGE_MANIFEST))
('containerd.io/gc.ref.content.m.',)
"""

from typing import Final

from refimpl.descriptor import Descriptor
from refimpl.errdefs import ErrNotImplemented

__all__ = [
    "MEDIA_TYPE_CONTAINERD1_CHECKPOINT",
    "MEDIA_TYPE_CONTAINERD1_CHECKPOINT_CONFIG",
    "MEDIA_TYPE_DOCKER_SCHEMA1_MANIFEST",
    "MEDIA_TYPE_DOCKER_SCHEMA2_CONFIG",
    "MEDIA_TYPE_DOCKER_SCHEMA2_LAYER",
    "MEDIA_TYPE_DOCKER_SCHEMA2_LAYER_FOREIGN",
    "MEDIA_TYPE_DOCKER_SCHEMA2_LAYER_FOREIGN_GZIP",
    "MEDIA_TYPE_DOCKER_SCHEMA2_LAYER_GZIP",
    "MEDIA_TYPE_DOCKER_SCHEMA2_MANIFEST",
    "MEDIA_TYPE_DOCKER_SCHEMA2_MANIFEST_LIST",
    "MEDIA_TYPE_IMAGE_CONFIG",
    "MEDIA_TYPE_IMAGE_INDEX",
    "MEDIA_TYPE_IMAGE_LAYER",
    "MEDIA_TYPE_IMAGE_LAYER_GZIP",
    "MEDIA_TYPE_IMAGE_LAYER_NON_DISTRIBUTABLE",
    "MEDIA_TYPE_IMAGE_MANIFEST",
    "SCHEMA1_MEDIA_TYPES",
    "child_gc_labels",
    "child_gc_labels_filter_layers",
    "diff_compression",
    "is_config_type",
    "is_docker_type",
    "is_index_type",
    "is_known_config",
    "is_layer_type",
    "is_manifest_type",
    "is_non_distributable",
]

# image-spec v1.0.2 specs-go/v1/mediatype.go.
MEDIA_TYPE_IMAGE_MANIFEST: Final = "application/vnd.oci.image.manifest.v1+json"
MEDIA_TYPE_IMAGE_INDEX: Final = "application/vnd.oci.image.index.v1+json"
MEDIA_TYPE_IMAGE_CONFIG: Final = "application/vnd.oci.image.config.v1+json"
MEDIA_TYPE_IMAGE_LAYER: Final = "application/vnd.oci.image.layer.v1.tar"
MEDIA_TYPE_IMAGE_LAYER_GZIP: Final = f"{MEDIA_TYPE_IMAGE_LAYER}+gzip"
MEDIA_TYPE_IMAGE_LAYER_NON_DISTRIBUTABLE: Final = (
    "application/vnd.oci.image.layer.nondistributable.v1.tar"
)

_DOCKER: Final = "application/vnd.docker."
MEDIA_TYPE_DOCKER_SCHEMA2_LAYER: Final = f"{_DOCKER}image.rootfs.diff.tar"
MEDIA_TYPE_DOCKER_SCHEMA2_LAYER_FOREIGN: Final = (
    f"{_DOCKER}image.rootfs.foreign.diff.tar"
)
MEDIA_TYPE_DOCKER_SCHEMA2_LAYER_GZIP: Final = f"{MEDIA_TYPE_DOCKER_SCHEMA2_LAYER}.gzip"
MEDIA_TYPE_DOCKER_SCHEMA2_LAYER_FOREIGN_GZIP: Final = (
    f"{MEDIA_TYPE_DOCKER_SCHEMA2_LAYER_FOREIGN}.gzip"
)
MEDIA_TYPE_DOCKER_SCHEMA2_CONFIG: Final = f"{_DOCKER}container.image.v1+json"
MEDIA_TYPE_DOCKER_SCHEMA2_MANIFEST: Final = f"{_DOCKER}distribution.manifest.v2+json"
MEDIA_TYPE_DOCKER_SCHEMA2_MANIFEST_LIST: Final = (
    f"{_DOCKER}distribution.manifest.list.v2+json"
)
MEDIA_TYPE_DOCKER_SCHEMA1_MANIFEST: Final = (
    f"{_DOCKER}distribution.manifest.v1+prettyjws"
)
# Only the signed type is one: the unsigned ...v1+json is unknown to containerd.
SCHEMA1_MEDIA_TYPES: Final = (MEDIA_TYPE_DOCKER_SCHEMA1_MANIFEST,)

_CHECKPOINT: Final = "application/vnd.containerd.container."
MEDIA_TYPE_CONTAINERD1_CHECKPOINT: Final = f"{_CHECKPOINT}criu.checkpoint.criu.tar"
MEDIA_TYPE_CONTAINERD1_CHECKPOINT_CONFIG: Final = (
    f"{_CHECKPOINT}checkpoint.config.v1+proto"
)

_GZIP_LAYERS: Final = (
    MEDIA_TYPE_DOCKER_SCHEMA2_LAYER_GZIP,
    MEDIA_TYPE_DOCKER_SCHEMA2_LAYER_FOREIGN_GZIP,
)
_PLAIN_LAYERS: Final = (
    MEDIA_TYPE_DOCKER_SCHEMA2_LAYER,
    MEDIA_TYPE_DOCKER_SCHEMA2_LAYER_FOREIGN,
)
_OCI_LAYERS: Final = (MEDIA_TYPE_IMAGE_LAYER, MEDIA_TYPE_IMAGE_LAYER_NON_DISTRIBUTABLE)


def diff_compression(media_type: str) -> str:
    """Return how a layer is compressed (mediatypes.go:66).

    Returns "" for not at all, "unknown" where Docker's type leaves it open.

    Raises:
        ErrNotImplemented: the media type is not a layer's.
    """
    base, extensions = _parse_media_type(media_type)
    if base in _PLAIN_LAYERS:
        return "" if extensions else "unknown"
    if base in _GZIP_LAYERS:
        return "" if extensions else "gzip"
    if base in _OCI_LAYERS:
        last = extensions[-1] if extensions else ""
        return last if last in ("gzip", "zstd") else ""
    raise ErrNotImplemented(f"unrecognised mediatype {media_type}")


def _parse_media_type(media_type: str) -> tuple[str, list[str]]:
    """Split a media type at its plus signs; what follows the first is sorted."""
    base, *extensions = media_type.split("+")
    return base, sorted(extensions)


def is_non_distributable(media_type: str) -> bool:
    """Return whether a layer is to be fetched from its URLs only."""
    return media_type.startswith(
        (
            "application/vnd.oci.image.layer.nondistributable.",
            "application/vnd.docker.image.rootfs.foreign.",
        )
    )


def is_layer_type(media_type: str) -> bool:
    """Return whether a media type is a layer's, whatever its suffixes."""
    if media_type.startswith("application/vnd.oci.image.layer."):
        return True
    return _parse_media_type(media_type)[0] in _PLAIN_LAYERS + _GZIP_LAYERS


def is_docker_type(media_type: str) -> bool:
    """Return whether a media type is one of Docker's."""
    return media_type.startswith(_DOCKER)


def is_manifest_type(media_type: str) -> bool:
    """Return whether a media type is a manifest's; schema1 is none."""
    return media_type in (MEDIA_TYPE_DOCKER_SCHEMA2_MANIFEST, MEDIA_TYPE_IMAGE_MANIFEST)


def is_index_type(media_type: str) -> bool:
    """Return whether a media type is an index's or a manifest list's."""
    return media_type in (
        MEDIA_TYPE_IMAGE_INDEX,
        MEDIA_TYPE_DOCKER_SCHEMA2_MANIFEST_LIST,
    )


def is_config_type(media_type: str) -> bool:
    """Return whether a media type is an image configuration's."""
    return media_type in (MEDIA_TYPE_DOCKER_SCHEMA2_CONFIG, MEDIA_TYPE_IMAGE_CONFIG)


def is_known_config(media_type: str) -> bool:
    """Return whether a media type is a configuration's, checkpoints included."""
    return is_config_type(media_type) or media_type in (
        MEDIA_TYPE_CONTAINERD1_CHECKPOINT,
        MEDIA_TYPE_CONTAINERD1_CHECKPOINT_CONFIG,
    )


def child_gc_labels(desc: Descriptor) -> tuple[str, ...]:
    """Return the labels by which a parent keeps a child from collection.

    A label that ends with a dot is numbered by who sets it.
    """
    if is_known_config(desc.media_type):
        return ("containerd.io/gc.ref.content.config",)
    if is_manifest_type(desc.media_type):
        return ("containerd.io/gc.ref.content.m.",)
    if is_layer_type(desc.media_type):
        return ("containerd.io/gc.ref.content.l.",)
    return ("containerd.io/gc.ref.content.",)


def child_gc_labels_filter_layers(desc: Descriptor) -> tuple[str, ...]:
    """Return the labels for a child, none for a layer: snapshots hold those."""
    return () if is_layer_type(desc.media_type) else child_gc_labels(desc)
