"""Mirrors: opencontainers/image-spec v1.0.2 specs-go/v1/descriptor.go.

A descriptor points at content: its media type, its digest and its size in bytes.
``to_json`` gives the fields in Go's order and leaves out what Go leaves out.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

from refimpl.digest import Digest

__all__ = ["Descriptor", "Platform"]

_NO_DIGEST: Final = Digest("")


@dataclass(frozen=True, slots=True, kw_only=True)
class Platform:
    """What a manifest is meant to run on."""

    architecture: str = ""
    os: str = ""
    os_version: str = ""
    os_features: tuple[str, ...] = ()
    variant: str = ""

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Return the platform that a decoded JSON object describes."""
        return cls(
            architecture=value.get("architecture", ""),
            os=value.get("os", ""),
            os_version=value.get("os.version", ""),
            os_features=tuple(value.get("os.features") or ()),
            variant=value.get("variant", ""),
        )

    def to_json(self) -> dict[str, Any]:
        """Return the platform as the JSON object that Go writes."""
        out: dict[str, Any] = {"architecture": self.architecture, "os": self.os}
        if self.os_version:
            out["os.version"] = self.os_version
        if self.os_features:
            out["os.features"] = list(self.os_features)
        if self.variant:
            out["variant"] = self.variant
        return out


@dataclass(frozen=True, slots=True, kw_only=True)
class Descriptor:
    """A reference to content by digest.

    ``annotations`` is compared but never changed; ``size`` is in bytes and -1
    where it is unknown (schema1).
    """

    media_type: str = ""
    digest: Digest = _NO_DIGEST
    size: int = 0
    urls: tuple[str, ...] = ()
    annotations: Mapping[str, str] | None = None
    platform: Platform | None = None

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Return the descriptor that a decoded JSON object describes.

        The values are taken as they are: types are the decoder's business, and
        whether the digest is one is asked where it is used.
        """
        platform = value.get("platform")
        return cls(
            media_type=value.get("mediaType", ""),
            digest=Digest(value.get("digest", "")),
            size=value.get("size", 0),
            urls=tuple(value.get("urls") or ()),
            annotations=value.get("annotations"),
            platform=None if platform is None else Platform.from_json(platform),
        )

    def to_json(self) -> dict[str, Any]:
        """Return the descriptor as the JSON object that Go writes."""
        out: dict[str, Any] = {}
        if self.media_type:
            out["mediaType"] = self.media_type
        out["digest"] = self.digest
        out["size"] = self.size
        if self.urls:
            out["urls"] = list(self.urls)
        if self.annotations:
            out["annotations"] = dict(sorted(self.annotations.items()))
        if self.platform is not None:
            out["platform"] = self.platform.to_json()
        return out
