"""Mirrors: containerd v1.5.18 image.go."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from refimpl import images

if TYPE_CHECKING:
    from collections.abc import Mapping

    from refimpl.client import Client
    from refimpl.descriptor import Descriptor
    from refimpl.platforms import MatchComparer

__all__ = ["Image"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """An image record, seen for one platform (image.go:41).

    Attributes:
        client: whose stores hold the image.
        metadata: the record.
        platform: picks the manifest where the target is an index.
    """

    client: Client
    metadata: images.Image
    platform: MatchComparer

    @property
    def name(self) -> str:
        """The reference that the image was pulled by."""
        return self.metadata.name

    @property
    def target(self) -> Descriptor:
        """The manifest or index that the record points at."""
        return self.metadata.target

    @property
    def labels(self) -> Mapping[str, str]:
        """The labels of the record."""
        return self.metadata.labels

    async def config(self) -> Descriptor:
        """Return the descriptor of the platform's configuration (image.go:251).

        Raises:
            ErrNotFound: no manifest matches, or content is missing.
        """
        return await images.config(
            self.client.content_store(), self.target, self.platform
        )
