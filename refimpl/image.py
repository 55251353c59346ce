"""Mirrors: containerd v1.5.18 image.go."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import anyio

from refimpl import images
from refimpl.descriptor import Descriptor
from refimpl.errdefs import ContainerdError, wrapped
from refimpl.identity import chain_id
from refimpl.labels import UNCOMPRESSED
from refimpl.rootfs import (
    DEFAULT_OPTIONS,
    Layer,
    apply_layer,
    check_rootfs_type,
    exists,
    set_label,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from refimpl.archive import ApplyOptions
    from refimpl.client import Client
    from refimpl.digest import Digest
    from refimpl.platforms import MatchComparer

__all__ = ["Image", "UnpackConfig"]


@dataclass(frozen=True, slots=True, kw_only=True)
class UnpackConfig:
    """How to unpack: every UnpackOpt of v1.5.18 (image.go:278).

    Attributes:
        apply_options: how layers are extracted, and within which limits.
        snapshot_labels: labels of the snapshots that :meth:`Image.unpack` makes; a
            pull has ``snapshotter_labels`` for that.
        check_platform_supported: refuse an image for a platform that the snapshotter
            is not for.
    """

    apply_options: ApplyOptions = DEFAULT_OPTIONS
    snapshot_labels: Mapping[str, str] = field(default_factory=dict)
    check_platform_supported: bool = False


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

    async def root_fs(self) -> tuple[Digest, ...]:
        """Return the digests of the layers before compression (image.go:157).

        Raises:
            ErrNotFound: no manifest matches, or content is missing.
        """
        return await images.rootfs(self.client.content_store(), await self.config())

    async def size(self) -> int:
        """Return the bytes that the platform's documents state (image.go:157).

        Raises:
            ErrNotFound: no manifest matches, or a document is missing.
        """
        children_handler = images.children_handler(self.client.content_store())
        handler = images.limit_manifests(children_handler, self.platform, 1)
        total = 0

        async def count(desc: Descriptor) -> Sequence[Descriptor]:
            nonlocal total
            found = await handler(desc)
            total += max(desc.size, 0)
            return found

        await images.dispatch(count, anyio.Semaphore(3), self.target)
        return total

    async def is_unpacked(self, snapshotter: str = "") -> bool:
        """Return whether a snapshotter has all of the image (image.go:257).

        Raises:
            ErrNotFound: no manifest matches, or content or the snapshotter is missing.
        """
        service = self.client.snapshot_service(snapshotter)
        return await exists(service, chain_id(await self.root_fs()))

    async def unpack(
        self, snapshotter: str = "", config: UnpackConfig | None = None
    ) -> None:
        """Make snapshots of an image that was pulled without them (image.go:301).

        Args:
            snapshotter: the name of the snapshotter; empty takes the default.
            config: how to unpack.

        Raises:
            ErrNotFound: no manifest matches, or content or the snapshotter is missing.
            ContainerdError: a layer cannot be extracted, or is not what the
                configuration says.
        """
        config = config or UnpackConfig()
        async with self.client.with_lease():
            await self._unpack(snapshotter, config)

    async def _unpack(self, snapshotter: str, config: UnpackConfig) -> None:
        store, applier = self.client.content_store(), self.client.diff_service()
        manifest = await images.manifest(store, self.target, self.platform)
        layers = await self._layers(manifest)
        name = self.client.resolve_snapshotter_name(snapshotter)
        service = self.client.snapshot_service(name)
        if config.check_platform_supported:
            file = await images.config_file(store, manifest.config)
            self.client.check_snapshotter_support(
                name, file.platform, manifest.config.digest
            )

        chain: list[Digest] = []
        for layer in layers:
            unpacked = await apply_layer(
                layer,
                chain,
                service,
                applier,
                labels=config.snapshot_labels,
                options=config.apply_options,
            )
            if unpacked:
                # Only now is it verified
                digest, diff_id = layer.blob.digest, layer.diff.digest
                await set_label(store, digest, UNCOMPRESSED, diff_id)
            chain.append(layer.diff.digest)

        key = f"containerd.io/gc.ref.snapshot.{name}"
        await set_label(store, manifest.config.digest, key, chain_id(chain))

    async def _layers(self, manifest: images.Manifest) -> tuple[Layer, ...]:
        """Return the layers with what the configuration says of them (image.go:390)."""
        store = self.client.content_store()
        with wrapped("failed to resolve rootfs"):
            file = await images.config_file(store, manifest.config)
        blobs = manifest.layers or ()
        if len(file.diff_ids) != len(blobs):
            raise ContainerdError("mismatched image rootfs and manifest layers")
        check_rootfs_type(file, manifest.config.digest)
        return tuple(
            Layer(
                diff=Descriptor(
                    media_type=images.MEDIA_TYPE_IMAGE_LAYER, digest=diff_id
                ),
                blob=blob,
            )
            for diff_id, blob in zip(file.diff_ids, blobs, strict=True)
        )
