"""Mirrors: containerd v1.5.18 unpacker.go.

Images are unpacked while they are pulled. The unpacker wraps the handlers: it keeps a
manifest's layers from the walk, and once the configuration is here, which names the
layers' contents, it downloads them itself and applies one upon the other as they come.

    unpacker = Unpacker(client, remote_context)
    async with errgroup() as eg:
        handler = unpacker.handler_wrapper(eg)(handler)
        await images.dispatch(handler, limiter, desc)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import anyio

from refimpl import images
from refimpl.digest import Digest
from refimpl.errdefs import ContainerdError, ErrAlreadyExists, ErrSkipDesc, wrapped
from refimpl.errgroup import Group, errgroup
from refimpl.gotext import quote
from refimpl.identity import chain_ids
from refimpl.images.documents import parse_blob, read_bounded
from refimpl.labels import UNCOMPRESSED
from refimpl.remotes.docker import LEGACY_CONFIG_MEDIA_TYPE
from refimpl.rootfs import check_rootfs_type, exists, removed_on_error, set_label
from refimpl.snapshots import (
    SNAPSHOT_REF_LABEL,
    filter_inherited_labels,
    unpack_key,
)
from refimpl.stores.leases import random_id

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from refimpl.client import Client, RemoteContext
    from refimpl.descriptor import Descriptor
    from refimpl.snapshots import Mount

__all__ = ["Unpacker"]

# unpacker.go:167: so often a key that is taken is replaced.
_PREPARE_TRIES: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class _Layer:
    """A layer on its way to a snapshot.

    Attributes:
        blob: what is downloaded.
        diff_id: the digest of what is inside.
        parent: the chain id of the layers below, or empty.
        name: the chain id with this layer: the name of its snapshot.
    """

    blob: Descriptor
    diff_id: Digest
    parent: Digest
    name: Digest


class Unpacker:
    """Unpacks what one pull brings (unpacker.go:46).

    Attributes:
        unpacks: how many images it has begun to unpack.

    Raises:
        ErrNotFound: there is no such snapshotter.
    """

    def __init__(self, client: Client, r_ctx: RemoteContext) -> None:
        self.unpacks = 0
        self._client = client
        self._r_ctx = r_ctx
        self._name = client.resolve_snapshotter_name(r_ctx.snapshotter)
        self._snapshotter = client.snapshot_service(self._name)
        # Its own, of the same size as the walk's (unpacker.go:69)
        self._limiter = None
        if r_ctx.max_concurrent_downloads > 0:
            self._limiter = anyio.Semaphore(r_ctx.max_concurrent_downloads)

    def handler_wrapper(self, eg: Group) -> Callable[[images.Handler], images.Handler]:
        """Return what wraps the handlers; unpacking runs in ``eg`` (unpacker.go:296).

        Layers are handled by the wrapped handler as they would have been.
        """

        def wrap(handler: images.Handler) -> images.Handler:
            layers: dict[Digest, tuple[Descriptor, ...]] = {}

            async def handle(desc: Descriptor) -> Sequence[Descriptor]:
                children = await handler(desc)
                if images.is_manifest_type(desc.media_type):
                    children, deferred = _split(children)
                    for number, child in enumerate(children):
                        if _may_be_config(number, child):
                            layers[child.digest] = deferred
                elif _is_config(desc) and layers.get(desc.digest):
                    self.unpacks += 1
                    eg.go(self._unpack, handler, desc, layers[desc.digest])
                return children

            return handle

        return wrap

    async def _unpack(
        self,
        handler: images.Handler,
        config: Descriptor,
        blobs: Sequence[Descriptor],
    ) -> None:
        """Unpack one image whose configuration is here (unpacker.go:76)."""
        layers = await self._read_layers(config, blobs)
        async with errgroup() as eg:
            downloads = _Downloads(eg, self._limiter, handler, blobs)
            try:
                for number, layer in enumerate(layers):
                    await self._unpack_layer(layer, downloads, number)
            finally:
                downloads.cancel()
        key = f"containerd.io/gc.ref.snapshot.{self._name}"
        store = self._client.content_store()
        await set_label(store, config.digest, key, layers[-1].name)

    async def _read_layers(
        self, config: Descriptor, blobs: Sequence[Descriptor]
    ) -> tuple[_Layer, ...]:
        """Return the layers with what the configuration says of them."""
        data = await read_bounded(self._client.content_store(), config)
        with wrapped("unmarshal image config"):
            file = await parse_blob(images.parse_config, data)
        diff_ids, names = file.diff_ids, chain_ids(file.diff_ids)
        if len(blobs) != len(diff_ids):
            raise ContainerdError(
                "number of layers and diffIDs don't match: "
                f"{len(blobs)} != {len(diff_ids)}"
            )
        check_rootfs_type(file, config.digest)
        if self._r_ctx.unpack_config.check_platform_supported:
            self._client.check_snapshotter_support(
                self._name, file.platform, config.digest
            )
        return tuple(
            _Layer(blob=blob, diff_id=diff_id, parent=parent, name=name)
            for blob, diff_id, parent, name in zip(
                blobs, diff_ids, (Digest(""), *names[:-1]), names, strict=True
            )
        )

    async def _unpack_layer(
        self, layer: _Layer, downloads: _Downloads, number: int
    ) -> None:
        """Make the snapshot of a layer, unless it is there (unpacker.go:139)."""
        if await exists(self._snapshotter, layer.name):
            return
        labels = {
            **self._r_ctx.snapshotter_labels,
            **filter_inherited_labels(layer.blob.annotations),
            SNAPSHOT_REF_LABEL: layer.name,
        }
        prepared = await self._prepare(layer, labels)
        if prepared is None:
            return
        key, mounts = prepared
        await downloads.wait_for(number)
        async with removed_on_error(self._snapshotter, key):
            await self._extract(layer, mounts)
            committed = await self._commit(layer, key, labels)
        if committed:
            # Only now is it verified
            store, digest = self._client.content_store(), layer.blob.digest
            await set_label(store, digest, UNCOMPRESSED, layer.diff_id)

    async def _prepare(
        self, layer: _Layer, labels: dict[str, str]
    ) -> tuple[str, Sequence[Mount]] | None:
        """Prepare a snapshot, unless somebody else has made it (unpacker.go:167)."""
        tries = 0
        while True:
            tries += 1
            key = unpack_key(random_id(), layer.name)
            try:
                return key, await self._snapshotter.prepare(
                    key, layer.parent, labels=labels
                )
            except ErrAlreadyExists as err:
                if await exists(self._snapshotter, layer.name):
                    return None
                if tries == _PREPARE_TRIES:
                    err.add_note("unable to prepare extraction snapshot")
                    raise
            except Exception as err:
                err.add_note(f"failed to prepare extraction snapshot {quote(key)}")
                raise

    async def _extract(self, layer: _Layer, mounts: Sequence[Mount]) -> None:
        """Extract a layer and check what was inside (unpacker.go:236)."""
        with wrapped(f"failed to extract layer {layer.diff_id}"):
            diff = await self._client.diff_service().apply(
                layer.blob, mounts, options=self._r_ctx.unpack_config.apply_options
            )
        if diff.digest != layer.diff_id:
            raise ContainerdError(
                f'wrong diff id calculated on extraction "{layer.diff_id}"'
            )

    async def _commit(self, layer: _Layer, key: str, labels: dict[str, str]) -> bool:
        """Commit, and return False if somebody else was faster (unpacker.go:246)."""
        try:
            with wrapped(f"failed to commit snapshot {key}"):
                await self._snapshotter.commit(layer.name, key, labels=labels)
        except ErrAlreadyExists:
            await self._snapshotter.remove(key)
            return False
        return True


class _Downloads:
    """The layers of one image, fetched together from the first that is needed on.

    Those below it have their snapshots: they are not fetched (unpacker.go:206).
    """

    def __init__(
        self,
        eg: Group,
        limiter: anyio.Semaphore | None,
        handler: images.Handler,
        layers: Sequence[Descriptor],
    ) -> None:
        self._eg = eg
        self._limiter = limiter
        self._handler = handler
        self._layers = layers
        self._done = [anyio.Event() for _ in layers]
        self._scope = anyio.CancelScope()
        self._started = False
        self._error: Exception | None = None

    async def wait_for(self, number: int) -> None:
        """Wait until a layer is here, or until one of them cannot be had.

        Raises:
            ContainerdError: a layer, perhaps another one, could not be fetched.
        """
        if not self._started:
            self._started = True
            self._eg.go(self._fetch_all, number)
        await self._done[number].wait()
        if self._error is not None:
            raise self._error

    def cancel(self) -> None:
        """Stop what is not needed any longer."""
        self._scope.cancel()

    async def _fetch_all(self, first: int) -> None:
        """Fetch in the order of the layers (unpacker.go:262)."""
        with self._scope:
            try:
                async with errgroup() as eg:
                    for number in range(first, len(self._layers)):
                        if self._limiter is not None:
                            await self._limiter.acquire()
                        eg.go(self._fetch, number)
            except Exception as err:  # noqa: BLE001 - raised where it is waited for
                self._error = err
                for done in self._done:
                    done.set()

    async def _fetch(self, number: int) -> None:
        try:
            await self._handler(self._layers[number])
        except ErrSkipDesc:
            pass  # what is not wanted is not waited for
        finally:
            if self._limiter is not None:
                self._limiter.release()
        self._done[number].set()


def _split(
    children: Sequence[Descriptor],
) -> tuple[tuple[Descriptor, ...], tuple[Descriptor, ...]]:
    """Return what is walked on to, and the layers, which are not (unpacker.go:314)."""
    layers = tuple(d for d in children if images.is_layer_type(d.media_type))
    others = tuple(d for d in children if not images.is_layer_type(d.media_type))
    return others, layers


def _may_be_config(number: int, child: Descriptor) -> bool:
    """Return whether a manifest's child that is no layer may be its configuration."""
    return number == 0 or child.media_type != LEGACY_CONFIG_MEDIA_TYPE


def _is_config(desc: Descriptor) -> bool:
    # DEVIATION D50: containerd takes application/octet-stream, which it converts
    # later, for no configuration (unpacker.go:338): the layers are never fetched, and
    # the pull fails when the image is recorded. An image that can be pulled can be
    # unpacked here.
    legacy = desc.media_type == LEGACY_CONFIG_MEDIA_TYPE
    return legacy or desc.media_type in {
        images.MEDIA_TYPE_DOCKER_SCHEMA2_CONFIG,
        images.MEDIA_TYPE_IMAGE_CONFIG,
    }
