"""Mirrors: containerd v1.5.18 snapshots/native/native.go.

One folder a snapshot, named by a number:

    ROOT/snapshots/7        a snapshot; changed only while it is active
    ROOT/snapshots/new-X    a copy of a parent on its way; locked by who makes it
    ROOT/snapshots/rm-7-X   what nobody needs, on its way out

A snapshot starts as a copy of its parent, and its mounts are bind mounts of its
folder: who needs the files uses the folder. It takes disk and time, but works on
every file system and for every user.

**What survives.** A folder has its number before the transaction ends that records
it, and loses it after the one that forgets it: a process killed at any moment leaves
no row without a folder, and the next collection removes folders without a row.
Files are not synced to the disk, in containerd neither: after a power cut, a
committed snapshot may lack bytes.
"""

import secrets
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from functools import partial
from pathlib import Path
from typing import Final

from refimpl.errdefs import wrapped
from refimpl.snapshots import storage
from refimpl.snapshots.files import copy_dir, disk_usage, remove_tree
from refimpl.snapshots.snapshotter import Info, Kind, Mount, Usage
from refimpl.stores.locks import RefLocks

__all__ = ["NativeSnapshotter"]

_STAGED: Final = "new-"
_LEAVING: Final = "rm-"


class NativeSnapshotter:
    """The folders and rows of all namespaces' snapshots (native.go:34).

    Args:
        root: the folder of this snapshotter; made when it is missing.
        locks: say whether the process that makes a copy is still alive.
    """

    def __init__(self, root: Path, locks: RefLocks) -> None:
        self._snapshots = root / "snapshots"
        self._locks = locks
        self._snapshots.mkdir(mode=0o700, parents=True, exist_ok=True)

    def staged(
        self, tx: sqlite3.Connection, kind: Kind, parent: str
    ) -> AbstractContextManager[Path | None]:
        """Plan, in a transaction, what is then made outside of any: the files."""
        with wrapped("failed to create snapshot"):
            source = storage.get_parent(tx, parent) if parent else None
        if source is None:
            return self._staging(None)
        if kind is Kind.VIEW:
            return nullcontext()  # it shows its parent's folder
        return self._staging(self._folder(source.id))

    @contextmanager
    def _staging(self, source: Path | None) -> Iterator[Path | None]:
        """Make the folder of a snapshot under a name for the time being."""
        folder = self._snapshots / f"{_STAGED}{secrets.token_hex(8)}"
        with self._locks.acquire(_lock_ref(folder)):
            try:
                folder.mkdir()
                folder.chmod(0o755)
                if source is not None:
                    with wrapped("copying of parent failed"):
                        copy_dir(folder, source)
                yield folder
            finally:
                remove_tree(folder)

    def create(
        self, tx: sqlite3.Connection, staged: Path | None, info: Info
    ) -> tuple[Mount, ...]:
        """Record a snapshot and give the staged files their place.

        Raises:
            ErrAlreadyExists: the name is taken.
            ErrNotFound: there is no such parent any longer.
        """
        with wrapped("failed to create snapshot"):
            number = storage.create_snapshot(tx, info)
        if staged is not None:
            folder = self._folder(number)
            # There is one if a transaction that had this number was rolled back.
            self._put_aside(folder)
            with wrapped("failed to rename"):
                staged.rename(folder)
        return self.mounts(tx, info.name)

    def stat(self, tx: sqlite3.Connection, name: str) -> Info:
        """Return what is known of a snapshot.

        Raises:
            ErrNotFound: there is no such snapshot.
        """
        return storage.get(tx, name).info

    def update(
        self, tx: sqlite3.Connection, info: Info, fieldpaths: tuple[str, ...]
    ) -> Info:
        """Change labels.

        Raises:
            ErrNotFound: there is no such snapshot.
        """
        return storage.update_info(tx, info, fieldpaths)

    def usage(self, tx: sqlite3.Connection, name: str) -> Callable[[], Usage]:
        """Return what tells the usage; it may take its time, outside of ``tx``.

        Raises:
            ErrNotFound: there is no such snapshot.
        """
        record = storage.get(tx, name)
        if record.info.kind is Kind.ACTIVE:
            return partial(disk_usage, self._folder(record.id))
        return lambda: record.usage

    def mounts(self, tx: sqlite3.Connection, name: str) -> tuple[Mount, ...]:
        """Return how to reach the files of an active snapshot or a view.

        Raises:
            ErrNotFound: there is no such snapshot.
            ErrFailedPrecondition: it is committed.
        """
        with wrapped("failed to get snapshot mount"):
            record = storage.get_active(tx, name)
        access = "ro" if record.info.kind is Kind.VIEW else "rw"
        source = self.root(tx, name)
        return (Mount(type="bind", source=source, options=("rbind", access)),)

    def root(self, tx: sqlite3.Connection, name: str) -> Path:
        """Return the folder that a view of the snapshot shows.

        Raises:
            ErrNotFound: there is no such snapshot.
        """
        record = storage.get(tx, name)
        if record.info.kind is Kind.VIEW and record.info.parent:
            record = storage.get_parent(tx, record.info.parent)
        return self._folder(record.id)

    def commit(
        self, tx: sqlite3.Connection, info: Info, key: str, usage: Usage
    ) -> None:
        """Make the active snapshot ``key`` the committed one that ``info`` names.

        Raises:
            ErrAlreadyExists: the name is taken.
            ErrFailedPrecondition: the snapshot is not active.
        """
        with wrapped("failed to commit snapshot"):
            storage.commit_active(tx, key, info.name, usage=usage, labels=info.labels)

    def remove(self, tx: sqlite3.Connection, name: str) -> None:
        """Forget a snapshot; its files are left to :meth:`sweep`.

        Raises:
            ErrNotFound: there is no such snapshot.
            ErrFailedPrecondition: another one was made from it.
        """
        with wrapped("failed to remove"):
            storage.remove(tx, name)

    def walk(self, tx: sqlite3.Connection) -> tuple[Info, ...]:
        """Return every snapshot, a parent before its children."""
        return storage.walk_info(tx)

    def sweep(self, tx: sqlite3.Connection) -> int:
        """Put files without a row aside, and return how many snapshots had them.

        What another process is copying stays, though it has no row yet.
        """
        known = {str(number) for number in storage.ids(tx)}
        count = 0
        for folder in tuple(self._snapshots.iterdir()):
            if folder.name in known or folder.name.startswith(_LEAVING):
                continue
            if not folder.is_dir() or self._locks.held(_lock_ref(folder)):
                continue
            self._put_aside(folder)
            count += 1
        return count

    def cleanup(self) -> None:
        """Remove what was put aside (native.go:218)."""
        for folder in tuple(self._snapshots.iterdir()):
            if folder.name.startswith(_LEAVING):
                remove_tree(folder)

    def _put_aside(self, folder: Path) -> None:
        """Take the name from a folder that has no row."""
        aside = f"{_LEAVING}{folder.name}-{secrets.token_hex(4)}"
        with suppress(FileNotFoundError):
            folder.rename(folder.with_name(aside))

    def _folder(self, number: int) -> Path:
        return self._snapshots / str(number)


def _lock_ref(folder: Path) -> str:
    return f"snapshots/native/{folder.name}"
