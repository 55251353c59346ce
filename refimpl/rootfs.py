"""Mirrors: containerd v1.5.18 rootfs/apply.go.

Layers become snapshots, one upon the other, from what is in the store: the way of an
image that was not unpacked while it was pulled.

    chain = await apply_layers(layers, snapshotter, applier)
"""

import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Protocol

import anyio

from refimpl.archive import ApplyOptions
from refimpl.descriptor import Descriptor
from refimpl.digest import Digest
from refimpl.errdefs import (
    ContainerdError,
    ErrAlreadyExists,
    ErrInvalidArgument,
    ErrNotFound,
    message,
    wrapped,
)
from refimpl.gotext import quote
from refimpl.identity import chain_id, chain_ids
from refimpl.images import ConfigFile
from refimpl.snapshots import Mount, Snapshotter, unpack_key
from refimpl.stores.content import Info, Manager
from refimpl.stores.leases import random_id

__all__ = [
    "Applier",
    "Layer",
    "apply_layer",
    "apply_layers",
    "check_rootfs_type",
    "exists",
    "removed_on_error",
    "set_label",
]

_log = logging.getLogger(__name__)

DEFAULT_OPTIONS: Final = ApplyOptions()

_NEVER: Final = datetime(1, 1, 1, tzinfo=UTC)
_Prepared = tuple[str, Sequence[Mount]]


class Applier(Protocol):
    """Extracts a layer onto mounts (diff/diff.go:60)."""

    async def apply(
        self,
        desc: Descriptor,
        mounts: Sequence[Mount],
        *,
        options: ApplyOptions = DEFAULT_OPTIONS,
    ) -> Descriptor:
        """Extract, and return the descriptor of the tar archive that was inside."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """A layer as it is stored, and what is in it (rootfs/apply.go:36).

    Attributes:
        diff: the tar archive; its digest is the diff id.
        blob: what was pulled, compressed or not.
    """

    diff: Descriptor
    blob: Descriptor


def check_rootfs_type(config: ConfigFile, digest: Digest) -> None:
    """Check that an image's root file system is made of layers.

    Raises:
        ErrInvalidArgument: the configuration says something else, or nothing.
    """
    # DEVIATION D51: containerd does not look at the type (unpacker.go:93,
    # image.go:427). "Implementations MUST generate an error if they encounter a
    # unknown value while verifying or unpacking an image" (image-spec v1.1.1
    # config.md): what its layers mean then, nobody knows.
    if config.rootfs_type != "layers":
        raise ErrInvalidArgument(
            f"config {digest}: rootfs.type is {quote(config.rootfs_type)}, "
            'and only "layers" can be unpacked'
        )


async def apply_layers(
    layers: Sequence[Layer],
    snapshotter: Snapshotter,
    applier: Applier,
    *,
    options: ApplyOptions = DEFAULT_OPTIONS,
) -> Digest:
    """Apply layers, base first, and return their chain id (rootfs/apply.go:53).

    Raises:
        ErrNotFound: a layer is not in the store.
        ContainerdError: a layer cannot be extracted, or is not what its diff id says.
    """
    chain = [layer.diff.digest for layer in layers]
    name = chain_id(chain)
    # The top tells of all the others: a snapshot keeps its parents.
    if not await exists(snapshotter, name):
        run = _Run(snapshotter, applier, {}, options)
        with suppress(ErrAlreadyExists):
            await run.apply_layers(layers, chain)
    return name


async def apply_layer(  # noqa: PLR0913 - Go's parameters, the options named
    layer: Layer,
    chain: Sequence[Digest],
    snapshotter: Snapshotter,
    applier: Applier,
    *,
    labels: Mapping[str, str] | None = None,
    options: ApplyOptions = DEFAULT_OPTIONS,
) -> bool:
    """Apply one layer upon those of a chain (rootfs/apply.go:90).

    Args:
        layer: what to apply.
        chain: the diff ids of the layers below it.
        snapshotter: has the layers below, and gets this one.
        applier: extracts it.
        labels: labels of the snapshot.
        options: how to extract.

    Returns whether it was applied; False if its snapshot was there.

    Raises:
        ErrNotFound: the layer is not in the store, or the chain has no snapshot.
        ContainerdError: it cannot be extracted, or is not what its diff id says.
    """
    whole = [*chain, layer.diff.digest]
    if await exists(snapshotter, chain_id(whole)):
        return False
    run = _Run(snapshotter, applier, labels or {}, options)
    try:
        await run.apply_layers([layer], whole)
    except ErrAlreadyExists:
        return False
    return True


async def exists(snapshotter: Snapshotter, name: str) -> bool:
    """Return whether there is a snapshot of that name."""
    try:
        with wrapped(f"failed to stat snapshot {name}"):
            await snapshotter.stat(name)
    except ErrNotFound:
        return False
    return True


@dataclass(frozen=True, slots=True)
class _Run:
    """What stays the same from layer to layer."""

    snapshotter: Snapshotter
    applier: Applier
    labels: Mapping[str, str]
    options: ApplyOptions

    async def apply_layers(
        self, layers: Sequence[Layer], chain: Sequence[Digest]
    ) -> None:
        """Apply the last layers of a chain (rootfs/apply.go:115).

        The top is tried first, then what is below it: once a snapshot is being made
        upon a parent, nobody can remove that one.

        Raises:
            ErrAlreadyExists: somebody else was faster with the top.
        """
        names = chain_ids(chain)[-len(layers) :]
        parents = (chain_id(chain[: -len(layers)]), *names)
        number = len(layers) - 1
        while (prepared := await self._prepare(names[number], parents[number])) is None:
            if not number:
                raise ErrNotFound(f"parent snapshot {parents[0]} does not exist")
            number -= 1
        while number < len(layers) - 1:
            with suppress(ErrAlreadyExists):
                await self._apply(layers[number], names[number], prepared)
            number += 1
            prepared = await self._prepare(names[number], parents[number])
            if prepared is None:
                raise ErrNotFound(f"parent snapshot {parents[number]} does not exist")
        await self._apply(layers[number], names[number], prepared)

    async def _prepare(self, name: Digest, parent: Digest) -> _Prepared | None:
        """Prepare a snapshot, if the one below it is there."""
        while True:
            key = unpack_key(random_id(), name)
            try:
                with wrapped(f"failed to prepare extraction snapshot {quote(key)}"):
                    return key, await self.snapshotter.prepare(
                        key, parent, labels=self.labels
                    )
            except ErrNotFound:
                return None
            except ErrAlreadyExists:
                continue  # the key was taken: take another one

    async def _apply(self, layer: Layer, name: Digest, prepared: _Prepared) -> None:
        key, mounts = prepared
        async with removed_on_error(self.snapshotter, key):
            with wrapped(f"failed to extract layer {layer.diff.digest}"):
                diff = await self.applier.apply(
                    layer.blob, mounts, options=self.options
                )
            if diff.digest != layer.diff.digest:
                raise ContainerdError(
                    f'wrong diff id calculated on extraction "{diff.digest}"'
                )
            with wrapped(f"failed to commit snapshot {key}"):
                await self.snapshotter.commit(name, key, labels=self.labels)


async def set_label(manager: Manager, digest: Digest, key: str, value: str) -> None:
    """Set one label of a blob; an empty value removes it."""
    info = Info(
        digest=digest,
        size=0,
        created_at=_NEVER,
        updated_at=_NEVER,
        labels={key: value},
    )
    await manager.update(info, f"labels.{key}")


@asynccontextmanager
async def removed_on_error(snapshotter: Snapshotter, key: str) -> AsyncIterator[None]:
    """Remove an active snapshot if what is done with it fails."""
    try:
        yield
    except BaseException:
        with anyio.CancelScope(shield=True):
            try:
                await snapshotter.remove(key)
            except ContainerdError as err:
                _log.warning("failed to cleanup %s: %s", quote(key), message(err))
        raise
