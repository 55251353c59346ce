"""Mirrors: containerd v1.5.18 diff.go, diff/apply/apply_linux.go.

Extracts layers onto a snapshot's mounts: the tar archives are refimpl/archive's
business, where the files go is decided here.
"""

from collections.abc import Sequence

from refimpl.archive import ApplyOptions
from refimpl.descriptor import Descriptor
from refimpl.diff.apply import apply
from refimpl.errdefs import ErrNotImplemented
from refimpl.rootfs import DEFAULT_OPTIONS
from refimpl.snapshots import Mount
from refimpl.stores.content import Provider

__all__ = ["DiffService"]


class DiffService:
    """Extracts what a content store has (diff.go:38)."""

    def __init__(self, provider: Provider) -> None:
        self._provider = provider

    async def apply(
        self,
        desc: Descriptor,
        mounts: Sequence[Mount],
        *,
        options: ApplyOptions = DEFAULT_OPTIONS,
    ) -> Descriptor:
        """Extract a layer, and return the descriptor of the tar that was inside.

        containerd mounts in a temporary folder (apply_linux.go:77). A bind mount of
        a folder shows that folder, so it is used as it is.

        Raises:
            ErrNotFound: the layer is not in the store.
            ErrNotImplemented: the mounts are no single bind mount.
            ContainerdError: the layer cannot be extracted.
        """
        if len(mounts) != 1 or mounts[0].type != "bind":
            types = ", ".join(mount.type for mount in mounts)
            raise ErrNotImplemented(f"mounts of a snapshot: {types or 'none'}")
        return await apply(self._provider, desc, mounts[0].source, options=options)
