"""Mirrors: containerd v1.5.18 content/local/store.go, readerat.go.

Blobs and ingests as files, laid out as containerd lays them out:

    blobs/<algorithm>/<hex>      finished, read-only
    ingest/<sha256 of the ref>/  ref, data, startedat, updatedat, total

All of it blocks: the metadata's content store (stores/blobs.py) calls it in
worker threads and guards it with transactions.

**What survives.** A blob's bytes are on disk (fsync) before it gets its name,
and its name is on disk before an image that needs it (:meth:`LocalStore.sync`).
The notes of an ingest are not synced, as containerd does with O_SYNC, nor is its
data before the commit. A small blob needs no folder and costs one fsync.
"""

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock
from typing import Final

from refimpl import digest as digests
from refimpl.descriptor import Descriptor
from refimpl.digest import Digest
from refimpl.errdefs import ErrInvalidArgument, ErrNotFound, wrapped
from refimpl.stores.content import Info, Status
from refimpl.stores.ingest import Ingest
from refimpl.stores.localwriter import CANONICAL, LocalWriter, open_writer
from refimpl.stores.locks import RefLock, RefLocks, ref_name

__all__ = ["LocalReaderAt", "LocalStore"]

_REF_NAME: Final = re.compile(r"[0-9a-f]{64}")


class LocalReaderAt:
    """Random access to one blob file."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb", buffering=0)
        self._size = os.fstat(self._file.fileno()).st_size

    @property
    def size(self) -> int:
        """Return the length of the blob."""
        return self._size

    def read_at(self, offset: int, length: int) -> bytes:
        """Return up to ``length`` bytes from ``offset``; fewer only at the end."""
        fd, parts = self._file.fileno(), []
        while length > 0 and (part := os.pread(fd, length, offset)):
            parts.append(part)
            offset += len(part)
            length -= len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def close(self) -> None:
        """Release the file. A second call does nothing."""
        self._file.close()


class LocalStore:
    """Blobs and ingests of all namespaces, without labels or leases."""

    def __init__(self, root: Path, locks: RefLocks) -> None:
        self._blobs = root / "blobs"
        self._ingests = root / "ingest"
        self.locks = locks
        self._unsynced: set[Path] = set()
        self._mutex = Lock()
        self._ingests.mkdir(parents=True, exist_ok=True)
        (self._blobs / CANONICAL).mkdir(parents=True, exist_ok=True)

    def blob_path(self, digest: Digest) -> Path:
        """Return where a blob is (content/local/store.go:627).

        Raises:
            ErrInvalidArgument: the digest is none, and must not become a path.
        """
        try:
            digests.validate(digest)
        except ErrInvalidArgument as err:
            raise ErrInvalidArgument(
                f"cannot calculate blob path from invalid digest: {err.detail}"
            ) from None
        return self._blobs / digests.algorithm(digest) / digests.encoded(digest)

    def info(self, digest: Digest) -> Info:
        """Return size and times of a blob."""
        with wrapped("calculating blob info path"):
            path = self.blob_path(digest)
        try:
            stat = path.stat()
        except FileNotFoundError:
            raise ErrNotFound(f"content {digest}") from None
        return Info(
            digest=digest,
            size=stat.st_size,
            created_at=datetime.fromtimestamp(stat.st_mtime, UTC),
            updated_at=datetime.fromtimestamp(stat.st_atime, UTC),
        )

    def reader_at(self, desc: Descriptor) -> LocalReaderAt:
        """Open a blob for reading."""
        with wrapped("calculating blob path for ReaderAt"):
            path = self.blob_path(desc.digest)
        try:
            return LocalReaderAt(path)
        except FileNotFoundError:
            text = f"blob {desc.digest} expected at {path}: blob not found"
            raise ErrNotFound(text) from None

    def writer(self, ref: str, lock: RefLock, total: int) -> LocalWriter:
        """Begin or resume an ingest whose ref is locked; the writer unlocks it."""
        return open_writer(self._ingest(ref), lock, total)

    def seal(self, writer: LocalWriter, size: int, expected: Digest) -> None:
        """Check what was written and bring it to the disk."""
        writer.seal(size, expected, self._blobs / CANONICAL)

    def publish(self, writer: LocalWriter) -> Digest:
        """Give a sealed ingest its name."""
        digest = writer.digest()
        target = self.blob_path(digest)
        writer.publish(target)
        with self._mutex:
            self._unsynced.update((target.parent, self._blobs))
        return digest

    def sync(self) -> None:
        """Bring the names of all blobs published so far to the disk."""
        with self._mutex:
            folders, self._unsynced = self._unsynced, set()
        for folder in folders:
            fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.fsync(fd)
            finally:
                os.close(fd)

    def status(self, ref: str) -> Status:
        """Return how far an ingest has come."""
        return self._ingest(ref).status()

    def abort(self, ref: str) -> None:
        """Remove an ingest and its data, whoever is writing it."""
        self._ingest(ref).remove()

    def _ingest(self, ref: str) -> Ingest:
        return Ingest(self._ingests / ref_name(ref), ref)

    def sweep(self, blobs: frozenset[str], refs: frozenset[str]) -> int:
        """Remove all blobs and ingests but the named ones; return how many.

        Mirrors metadata/content.go:775 (garbageCollect). An ingest that
        somebody is writing stays, whatever the metadata say.
        """
        count = 0
        for digest in self._walk():
            if digest not in blobs:
                self.blob_path(digest).unlink(missing_ok=True)
                count += 1
        keep = {ref_name(ref) for ref in refs}
        for path in _entries(self._ingests):
            if not _REF_NAME.fullmatch(path.name) or path.name in keep:
                continue
            lock = self.locks.try_acquire(path.name)
            if lock is None:
                continue
            with lock:
                shutil.rmtree(path, ignore_errors=True)
                count += 1
        return count

    def _walk(self) -> Iterator[Digest]:
        """Yield the digest of every blob file; other files are left alone."""
        for algorithm in digests.ALGORITHMS:
            for path in _entries(self._blobs / algorithm):
                digest = Digest(f"{algorithm}:{path.name}")
                with suppress(ErrInvalidArgument):
                    digests.validate(digest)
                    yield digest


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except FileNotFoundError:
        return []
