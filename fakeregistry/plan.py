"""What an image is to be like: the options of ``content.build_image``, checked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Final, Literal, TypedDict

from fakeregistry.image import (
    DOCKER_CONFIG,
    DOCKER_FOREIGN_LAYER,
    DOCKER_LAYER,
    DOCKER_LIST,
    DOCKER_MANIFEST,
    LEGACY_CONFIG,
    OCI_CONFIG,
    OCI_EMPTY,
    OCI_FOREIGN_LAYER,
    OCI_INDEX,
    OCI_LAYER,
    OCI_MANIFEST,
    Descriptor,
    Image,
    Platform,
)
from fakeregistry.layers import COMPRESSIONS, Compression, Layer

Format = Literal["oci", "docker"]
Document = dict[str, Any]
Edit = Callable[[Document], Document | bytes | None]
DescriptorEdit = Callable[[Document], Document | None]
Layers = int | Sequence[bytes | Layer]

Embedded = Literal["config", "layers", "manifests"]

_FORMATS: Final = ("oci", "docker")
_EMBEDDED: Final = ("config", "layers", "manifests")


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One entry of an index, where a platform alone does not say enough.

    Attributes:
        platform: What the index says; None leaves it out.
        config_platform: What the config says; None: the same as ``platform``.
        annotations: Those of the entry's descriptor.
        layers: Layers of this manifest; None: as for the whole image.
        media_type: What the descriptor says; None: the truth.
        artifact_type: ``artifactType`` of the descriptor.
        data: Raw bytes in place of a manifest; needs ``media_type``.
        children: Make the entry an index of these.
        attestation: Make it a BuildKit attestation of the entry before it
            (unknown/unknown unless ``platform`` is given).
        edit: Edits the document of the entry, as ``edit_manifest`` does.
        edit_descriptor: Edits the descriptor in the index.
    """

    platform: str | Platform | None = None
    config_platform: str | Platform | None = None
    annotations: Mapping[str, str] | None = None
    layers: Layers | None = None
    media_type: str | None = None
    artifact_type: str | None = None
    data: bytes | None = None
    children: Sequence[str | Platform | Entry | None] | None = None
    attestation: bool = False
    edit: Edit | None = None
    edit_descriptor: DescriptorEdit | None = None


class ImageOptions(TypedDict, total=False):
    """The keywords of ``build_image``, for signatures."""

    layers: Layers
    layer_size: int
    platforms: Sequence[str | Platform | Entry | None] | None
    format: Format | None
    legacy_config: bool
    compression: Compression
    annotations: Mapping[str, str] | None
    index_annotations: Mapping[str, str] | None
    seed: int | str
    config: Mapping[str, Any] | bytes | None
    config_media_type: str | None
    layer_media_type: str | None
    repeat_layers: int
    nesting: int
    nesting_platform: str | Platform | None
    media_type_field: bool
    artifact_type: str | None
    subject: Descriptor | Image | None
    algorithm: str
    document_algorithm: str
    embed: Sequence[Embedded]
    manifest_size: int | None
    index_size: int | None
    edit_manifest: Edit | None
    edit_index: Edit | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """All that is asked for, checked; ``build_image`` says what each means.

    Raises:
        ValueError: A value makes no sense, or contradicts another one.
    """

    layers: Layers = 1
    layer_size: int = 1024
    platforms: Sequence[str | Platform | Entry | None] | None = None
    format: Format | None = None
    legacy_config: bool = False
    compression: Compression = "gzip"
    annotations: Mapping[str, str] | None = None
    index_annotations: Mapping[str, str] | None = None
    seed: int | str = 0
    config: Mapping[str, Any] | bytes | None = None
    config_media_type: str | None = None
    layer_media_type: str | None = None
    repeat_layers: int = 1
    nesting: int = 0
    nesting_platform: str | Platform | None = None
    media_type_field: bool = True
    artifact_type: str | None = None
    subject: Descriptor | Image | None = None
    algorithm: str = "sha256"
    document_algorithm: str = "sha256"
    embed: Sequence[Embedded] = ()
    manifest_size: int | None = None
    index_size: int | None = None
    edit_manifest: Edit | None = None
    edit_index: Edit | None = None

    def __post_init__(self) -> None:
        if self.format not in (None, *_FORMATS):
            raise ValueError(f"format={self.format!r}: one of {', '.join(_FORMATS)}")
        if self.compression not in COMPRESSIONS:
            choices = ", ".join(COMPRESSIONS)
            raise ValueError(f"compression={self.compression!r}: one of {choices}")
        for name, least in (("layer_size", 0), ("repeat_layers", 1), ("nesting", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"{name}={getattr(self, name)!r}: at least {least}")
        if isinstance(self.layers, int) and self.layers < 0:
            raise ValueError(f"layers={self.layers!r}: at least 0")
        if self.legacy_config and self.config_media_type is not None:
            raise ValueError("config_media_type: contradicts legacy_config")
        if isinstance(self.platforms, str):
            raise ValueError("platforms: a sequence of platforms, not one string")
        self._check_choices()
        if self.platforms is None:
            self._check_single()

    def _check_choices(self) -> None:
        for name in ("algorithm", "document_algorithm"):
            if (given := getattr(self, name)) not in {"sha256", "sha384", "sha512"}:
                raise ValueError(f"{name}={given!r}: sha256, sha384 or sha512")
        if isinstance(self.embed, str) or not set(self.embed).issubset(_EMBEDDED):
            choices = ", ".join(_EMBEDDED)
            raise ValueError(f"embed={self.embed!r}: a sequence of {choices}")

    def _check_single(self) -> None:
        for name in ("edit_index", "index_annotations", "index_size"):
            if getattr(self, name) is not None and not self.nesting:
                raise ValueError(f"{name}: there is no index without platforms=")

    @property
    def is_docker(self) -> bool:
        """Whether documents have Docker's media types."""
        return (self.format or ("docker" if self.legacy_config else "oci")) == "docker"

    @property
    def index_type(self) -> str:
        """Media type of indexes."""
        return DOCKER_LIST if self.is_docker else OCI_INDEX

    @property
    def manifest_type(self) -> str:
        """Media type of manifests."""
        return DOCKER_MANIFEST if self.is_docker else OCI_MANIFEST

    @property
    def config_type(self) -> str:
        """Media type of configs."""
        if self.config_media_type is not None:
            return self.config_media_type
        if self.legacy_config:
            return LEGACY_CONFIG
        if self.artifact_type is not None:
            return OCI_EMPTY
        return DOCKER_CONFIG if self.is_docker else OCI_CONFIG

    @property
    def layer_type(self) -> str:
        """Media type of layers."""
        if self.layer_media_type is not None:
            return self.layer_media_type
        base = DOCKER_LAYER if self.is_docker else OCI_LAYER
        return base + self._suffix

    @property
    def foreign_type(self) -> str:
        """Media type of layers that are not to be distributed."""
        base = DOCKER_FOREIGN_LAYER if self.is_docker else OCI_FOREIGN_LAYER
        return base + self._suffix

    @property
    def _suffix(self) -> str:
        if self.compression == "none":
            return ""
        return ("." if self.is_docker else "+") + self.compression

    @property
    def subject_descriptor(self) -> Descriptor | None:
        """What manifests refer to."""
        subject = self.subject
        return subject.descriptor if isinstance(subject, Image) else subject


_OPTIONS: Final = tuple(item.name for item in fields(Plan))


def make_plan(options: ImageOptions) -> Plan:
    """Check the keywords of ``build_image``.

    Raises:
        ValueError: One is unknown, or has a value that makes no sense.
    """
    for name in options:
        if name not in _OPTIONS:
            raise ValueError(
                f"{name}: unknown keyword; there are {', '.join(_OPTIONS)}"
            )
    return Plan(**options)
