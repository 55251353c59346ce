"""Mirrors: containerd v1.5.18 metadata/db.go (DB).

One root folder with all that a client keeps:

    ROOT/metadata.db   what is known (stores/database.py)
    ROOT/content/      blobs and ingests (stores/local.py)
    ROOT/locks         who is writing what (stores/locks.py)
    ROOT/snapshots/    a folder a snapshotter (refimpl/snapshots/native.py)

Several processes may use one root at a time, and any of them may be killed at
any moment.

    async with await DB.open(root) as db:
        store = db.content_store("default")
"""

from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

import anyio

from refimpl.digest import Digest
from refimpl.errdefs import ErrFailedPrecondition, ErrNotFound
from refimpl.snapshots.native import NativeSnapshotter
from refimpl.snapshots.snapshotter import Backend
from refimpl.stores.blobs import ContentStore
from refimpl.stores.database import Database, require_namespace
from refimpl.stores.gc import GCStats, Sweeper, collect, sweep_content
from refimpl.stores.images import ImageStore
from refimpl.stores.leases import LeaseManager
from refimpl.stores.local import LocalStore
from refimpl.stores.locks import RefLocks
from refimpl.stores.snapshots import MetadataSnapshotter
from refimpl.workers import run_blocking

__all__ = ["DB"]


class DB:
    """What all namespaces have, and where their files are (metadata/db.go:76)."""

    def __init__(self, root: Path, database: Database, local: LocalStore) -> None:
        self.root = root
        self.database = database
        self._local = local
        self._sweepers: list[Sweeper] = [partial(sweep_content, local=local)]
        self._snapshotters: dict[str, Backend] = {
            "native": NativeSnapshotter(root / "snapshots" / "native", local.locks)
        }

    @classmethod
    async def open(cls, root: Path) -> "DB":
        """Open a root folder, and create what is missing in it.

        Raises:
            ErrFailedPrecondition: the folder or its database cannot be used.
        """
        return await run_blocking(cls._open, root)

    @classmethod
    def _open(cls, root: Path) -> "DB":
        try:
            root.mkdir(parents=True, exist_ok=True)
            database = Database.open(root / "metadata.db")
            try:
                local = LocalStore(root / "content", RefLocks(root / "locks"))
                return cls(root, database, local)
            except BaseException:
                database.close()
                raise
        except OSError as err:
            raise ErrFailedPrecondition(f"{root} cannot hold a store: {err}") from err

    def content_store(self, namespace: str) -> ContentStore:
        """Return the content store of a namespace."""
        return ContentStore(self.database, self._local, require_namespace(namespace))

    def image_store(self, namespace: str) -> ImageStore:
        """Return the image store of a namespace."""
        namespace = require_namespace(namespace)
        return ImageStore(self.database, namespace, self._local.sync)

    def lease_manager(self, namespace: str) -> LeaseManager:
        """Return the lease manager of a namespace."""
        namespace = require_namespace(namespace)
        return LeaseManager(self.database, namespace, self.garbage_collect)

    def snapshotter(self, namespace: str, name: str) -> MetadataSnapshotter:
        """Return a snapshotter of a namespace.

        Raises:
            ErrNotFound: there is no snapshotter of that name.
        """
        namespace = require_namespace(namespace)
        if name not in self._snapshotters:
            raise ErrNotFound(f"snapshotter {name} was not found")
        backend = self._snapshotters[name]
        return MetadataSnapshotter(self.database, namespace, name, backend)

    def register_snapshotter(self, name: str, backend: Backend) -> None:
        """Let clients use a snapshotter of their own, beside ``native``."""
        self._snapshotters[name] = backend

    def blob_path(self, digest: Digest) -> Path:
        """Return the file that holds, or would hold, a blob.

        Raises:
            ErrInvalidArgument: the digest is none.
        """
        return self._local.blob_path(digest)

    def register_sweeper(self, sweeper: Sweeper) -> None:
        """Let ``sweeper`` remove files without rows after each collection.

        It runs in a worker thread, in the transaction that it is given, and
        returns how many files or folders it has removed.
        """
        self._sweepers.append(sweeper)

    async def garbage_collect(self) -> GCStats:
        """Remove all that no image, lease or root label needs, in all namespaces."""
        return await run_blocking(
            collect,
            self.database,
            self._local,
            tuple(self._sweepers),
            dict(self._snapshotters),
        )

    async def aclose(self) -> None:
        """Close the database. A second call does nothing."""
        with anyio.CancelScope(shield=True):
            await run_blocking(self._close)

    def _close(self) -> None:
        self.database.close()
        self._local.locks.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()
