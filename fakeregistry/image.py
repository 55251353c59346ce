"""Images as a registry holds them: descriptors, manifests, bytes.

Values only; ``content.build_image`` makes them.
"""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

OCI_INDEX: Final = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST: Final = "application/vnd.oci.image.manifest.v1+json"
OCI_CONFIG: Final = "application/vnd.oci.image.config.v1+json"
OCI_EMPTY: Final = "application/vnd.oci.empty.v1+json"
OCI_LAYER: Final = "application/vnd.oci.image.layer.v1.tar"
OCI_FOREIGN_LAYER: Final = "application/vnd.oci.image.layer.nondistributable.v1.tar"
DOCKER_LIST: Final = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST: Final = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_CONFIG: Final = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER: Final = "application/vnd.docker.image.rootfs.diff.tar"
DOCKER_FOREIGN_LAYER: Final = "application/vnd.docker.image.rootfs.foreign.diff.tar"
SCHEMA1: Final = "application/vnd.docker.distribution.manifest.v1+json"
SCHEMA1_SIGNED: Final = "application/vnd.docker.distribution.manifest.v1+prettyjws"
SCHEMA1_LAYER: Final = "application/vnd.docker.container.image.rootfs.diff+x-gtar"
LEGACY_CONFIG: Final = "application/octet-stream"
IN_TOTO: Final = "application/vnd.in-toto+json"


def digest_of(data: bytes, algorithm: str = "sha256") -> str:
    """Return the digest of bytes, as ``algorithm:hex``."""
    return f"{algorithm}:{hashlib.new(algorithm, data).hexdigest()}"


def canonical_json(document: object) -> bytes:
    """Return a document as compact JSON, keys in the order in which they are."""
    text = json.dumps(document, separators=(",", ":"), ensure_ascii=False)
    return text.encode("utf-8", "surrogatepass")


@dataclass(frozen=True, slots=True)
class Platform:
    """A platform of image-spec v1.1 (image-index.md, ``platform``)."""

    os: str = "linux"
    architecture: str = "amd64"
    variant: str = ""
    os_version: str = ""
    os_features: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Platform:
        """Read ``os/architecture[/variant]``, taken as it is written.

        Raises:
            ValueError: There are not two or three parts.
        """
        parts = text.split("/")
        if len(parts) not in {2, 3} or not all(parts):
            raise ValueError(f"platform {text!r}: os/architecture[/variant] expected")
        return cls(parts[0], parts[1], "".join(parts[2:]))

    def to_json(self) -> dict[str, Any]:
        """Return the object of an index entry, without empty members."""
        document = {
            "architecture": self.architecture,
            "os": self.os,
            "os.version": self.os_version,
            "os.features": list(self.os_features),
            "variant": self.variant,
        }
        return {
            key: value
            for key, value in document.items()
            if value or key in {"architecture", "os"}
        }

    def __str__(self) -> str:
        parts = (self.os, self.architecture, self.variant)
        return "/".join(part for part in parts if part)


@dataclass(frozen=True, slots=True)
class Descriptor:
    """Type, digest and size of some content (image-spec v1.1, descriptor.md).

    Attributes:
        data: The content itself, embedded; it is written in base64.
    """

    media_type: str
    digest: str
    size: int
    platform: Platform | None = None
    annotations: Mapping[str, str] | None = None
    urls: tuple[str, ...] = ()
    artifact_type: str | None = None
    data: bytes | None = field(default=None, repr=False)

    @classmethod
    def of(
        cls, data: bytes, media_type: str, *, algorithm: str = "sha256"
    ) -> Descriptor:
        """Describe bytes truthfully."""
        return cls(media_type, digest_of(data, algorithm), len(data))

    def to_json(self) -> dict[str, Any]:
        """Return the object that goes into a document."""
        document: dict[str, Any] = {
            "mediaType": self.media_type,
            "digest": self.digest,
            "size": self.size,
        }
        if self.urls:
            document["urls"] = list(self.urls)
        if self.annotations is not None:
            document["annotations"] = dict(self.annotations)
        if self.platform is not None:
            document["platform"] = self.platform.to_json()
        if self.artifact_type is not None:
            document["artifactType"] = self.artifact_type
        if self.data is not None:
            document["data"] = base64.b64encode(self.data).decode("ascii")
        return document

    def __hash__(self) -> int:
        return hash((self.media_type, self.digest, self.size))


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """One image manifest, or artifact, with what it was built from.

    ``config`` and ``layers`` tell the truth about the bytes, also where an edit
    makes the document say something else.
    """

    descriptor: Descriptor
    config: Descriptor
    layers: tuple[Descriptor, ...]
    platform: Platform | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Image:
    """A built image: what its root is, all that belongs to it, and the bytes.

    Attributes:
        descriptor: The root: an index or a manifest.
        manifests: Image manifests and artifacts, depth first as they are listed.
        documents: Manifests and indexes with other entries of indexes, the root
            first: what a registry serves under /manifests/.
        contents: Configs and layers, each once: what it serves under /blobs/.
        data: The bytes of all of them, by digest.
    """

    repository: str
    tag: str | None
    descriptor: Descriptor
    manifests: tuple[Manifest, ...]
    documents: tuple[Descriptor, ...]
    contents: tuple[Descriptor, ...]
    data: Mapping[str, bytes]

    @property
    def name(self) -> str:
        """``repository:tag``, or ``repository@digest`` without a tag."""
        if self.tag is None:
            return f"{self.repository}@{self.digest}"
        return f"{self.repository}:{self.tag}"

    @property
    def digest(self) -> str:
        """The digest of the root."""
        return self.descriptor.digest

    @property
    def blobs(self) -> tuple[Descriptor, ...]:
        """All descriptors, each digest once, the root first."""
        return tuple(unique((*self.documents, *self.contents)).values())

    @property
    def config(self) -> Descriptor:
        """The config of the first manifest."""
        return self.manifest().config

    @property
    def layers(self) -> tuple[Descriptor, ...]:
        """The layers of the first manifest."""
        return self.manifest().layers

    def manifest(self, platform: str | Platform | None = None) -> Manifest:
        """Return the first manifest, or the first one of exactly this platform.

        Raises:
            LookupError: There is none.
        """
        wanted = Platform.parse(platform) if isinstance(platform, str) else platform
        for manifest in self.manifests:
            if wanted is None or manifest.platform == wanted:
                return manifest
        raise LookupError(f"{self.name} has no manifest for {wanted or 'any platform'}")

    def document(self, descriptor: Descriptor | None = None) -> Any:  # noqa: ANN401 - JSON
        """Return the parsed JSON of a descriptor, of the root without one."""
        return json.loads(self.data[(descriptor or self.descriptor).digest])

    def __repr__(self) -> str:
        counts = f"{len(self.documents)} documents, {len(self.contents)} blobs"
        return f"<Image {self.name}, {self.digest}, {counts}>"


def unique(descriptors: Iterable[Descriptor]) -> dict[str, Descriptor]:
    """Return the first descriptor of every digest, in order."""
    found: dict[str, Descriptor] = {}
    for descriptor in descriptors:
        found.setdefault(descriptor.digest, descriptor)
    return found


def frozen(data: Mapping[str, bytes]) -> Mapping[str, bytes]:
    """Return a view of the bytes that cannot be changed."""
    return MappingProxyType(dict(data))
