"""Mirrors: containerd v1.5.18 content/local/writer.go, store.go:525 (writer).

Appends to an ingest and makes a blob of it. Making a file costs more than
writing a few kilobytes, and an ingest's folder has six: so a small ingest stays
in memory, and gets its folder when it grows or is closed unfinished. Until then
it shows in no status, and a killed process has nothing of it to resume.
All of it blocks.
"""

import os
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from refimpl.digest import Digest, hasher
from refimpl.errdefs import ContainerdError, ErrFailedPrecondition
from refimpl.stores.content import Status
from refimpl.stores.hashing import Hashing
from refimpl.stores.ingest import Ingest
from refimpl.stores.locks import RefLock

if TYPE_CHECKING:
    from hashlib import _Hash

__all__ = ["CANONICAL", "LocalWriter", "open_writer"]

# The algorithm that all content is hashed with (go-digest algorithm.go:43).
CANONICAL: Final = "sha256"

_SMALL: Final = 1 << 16
# After so many bytes the system is told to begin to bring them to the disk.
_WRITE_BACK: Final = 8 << 20


def open_writer(ingest: Ingest, lock: RefLock, total: int) -> "LocalWriter":
    """Begin or resume an ingest. The writer takes the lock over."""
    try:
        digester = hasher(CANONICAL)
        # DEVIATION D12: containerd keeps the data of an ingest that it cannot
        # resume (content/local/store.go:557) and writes over its start, so that a
        # longer rest fails every later commit. Here it begins empty.
        status = ingest.resume(total, digester)
        if status is None:
            now, total = datetime.now(UTC), max(total, 0)
            status = Status(
                ref=ingest.ref, offset=0, total=total, started_at=now, updated_at=now
            )
            return LocalWriter(ingest, lock, status, digester)
        fd = ingest.open_data()
        os.lseek(fd, status.offset, os.SEEK_SET)
    except BaseException:
        lock.release()
        raise
    return LocalWriter(ingest, lock, status, digester, fd)


class LocalWriter:
    """Appends to one ingest, then makes a blob of it in three steps.

    :meth:`seal` checks and syncs the bytes, :meth:`publish` gives them their
    name (within the metadata's transaction), :meth:`finish` cleans up.
    """

    def __init__(
        self,
        ingest: Ingest,
        lock: RefLock,
        status: Status,
        digester: "_Hash",
        fd: int = -1,
    ) -> None:
        self._ingest = ingest
        self._lock = lock
        self._status = status
        self._hashing = Hashing(digester)
        self._fd = fd  # of the folder's data, or of a sealed file without a name
        self._in_folder = fd >= 0
        self._buffer = bytearray()  # all that was written, until there is a folder
        self._hinted = status.offset
        self._sealed = False

    @property
    def closed(self) -> bool:
        """Tell whether nothing is left to be closed."""
        return not self._lock.held

    def status(self) -> Status:
        """Return how far the ingest has come."""
        return self._status

    def digest(self) -> Digest:
        """Return the digest of all that was written so far."""
        return Digest(f"{CANONICAL}:{self._hashing.hexdigest()}")

    def write(self, data: bytes | memoryview, /) -> int:
        """Append and hash."""
        if self.closed or self._sealed:
            raise ErrFailedPrecondition("cannot write to closed writer")
        view, written = memoryview(data), 0
        if not self._in_folder and len(self._buffer) + len(view) > _SMALL:
            self._make_folder()
        self._hashing.begin(view)
        try:
            if self._in_folder:
                while written < len(view):
                    written += os.write(self._fd, view[written:])
            else:
                self._buffer += view
                written = len(view)
        finally:
            # Also when the disk is full: the hash says what the file holds.
            self._hashing.end(written)
            self._status = replace(
                self._status,
                offset=self._status.offset + written,
                updated_at=datetime.now(UTC),
            )
        self._write_back()
        return written

    def _write_back(self) -> None:
        """Let what has come go to the disk while more comes.

        The fsync at the end has less to wait for then. Pages that are not on the
        disk yet are kept in memory, whatever the name of the advice says.
        """
        size = self._status.offset - self._hinted
        if self._in_folder and size >= _WRITE_BACK:
            advice = os.POSIX_FADV_DONTNEED
            os.posix_fadvise(self._fd, self._hinted, size, advice)
            self._hinted += size

    def _make_folder(self) -> None:
        """Bring what is in memory to the disk."""
        self._ingest.start(self._status)
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = self._ingest.open_data()
        self._in_folder = True
        _write_all(self._fd, self._buffer)
        self._buffer = bytearray()

    def truncate(self, size: int) -> None:
        """Start again from the first byte."""
        if size != 0:
            raise ContainerdError("Truncate: unsupported size")
        self._buffer = bytearray()
        if self._in_folder:
            os.ftruncate(self._fd, 0)
            os.lseek(self._fd, 0, os.SEEK_SET)
        self._hashing.close()
        self._hashing = Hashing(hasher(CANONICAL))
        self._status = replace(self._status, offset=0)
        self._hinted = 0

    def seal(self, size: int, expected: Digest, blobs: Path) -> None:
        """Check what was written and bring it to the disk; takes no more bytes.

        Args:
            size: the expected length, or 0 for any.
            expected: the expected digest, or empty for any.
            blobs: the folder that the blob will be in.
        """
        if self.closed or self._sealed:
            raise ErrFailedPrecondition("cannot commit on closed writer")
        try:
            self._check(size, expected)
            if not self._in_folder and not self._make_nameless(blobs):
                self._make_folder()
            # Read-only before it has its name: no crash leaves a blob that can
            # be written to.
            os.fchmod(self._fd, os.fstat(self._fd).st_mode & 0o444)
            os.fsync(self._fd)
        except BaseException:
            self.close()
            raise
        self._sealed = True

    def _check(self, size: int, expected: Digest) -> None:
        actual = self._status.offset
        if 0 < size != actual:
            text = f"unexpected commit size {actual}, expected {size}"
            raise ErrFailedPrecondition(text)
        digest = self.digest()
        if expected and expected != digest:
            text = f"unexpected commit digest {digest}, expected {expected}"
            raise ErrFailedPrecondition(text)

    def _make_nameless(self, folder: Path) -> bool:
        """Write what is in memory to a file without a name, if that is possible."""
        try:
            flags = os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC
            self._fd = os.open(folder, flags, 0o644)
        except OSError:
            return False  # not on this file system
        _write_all(self._fd, self._buffer)
        return True

    def publish(self, target: Path) -> None:
        """Give the sealed bytes their name; what has it already stays."""
        if target.exists():
            return
        if not self._in_folder:
            try:
                # src_dir_fd is for Python to call linkat(2), which follows the
                # link in /proc; an absolute path makes no other use of it.
                source = f"/proc/self/fd/{self._fd}"
                os.link(source, target, src_dir_fd=self._fd, follow_symlinks=True)
            except OSError:  # without /proc, say
                self._make_folder()
                os.fchmod(self._fd, 0o444)
                os.fsync(self._fd)
        if self._in_folder:
            self._ingest.data.rename(target)

    def finish(self) -> None:
        """Remove the ingest and give the lock back."""
        try:
            os.close(self._fd)
            self._fd = -1
            if self._in_folder:
                self._ingest.remove()
        finally:
            self._hashing.close()
            self._lock.release()

    def close(self) -> None:
        """Close; what was written stays for the next writer of the ref."""
        if self.closed:
            return
        try:
            if self._in_folder:
                self._ingest.touch(self._status.updated_at)
            else:
                self._make_folder()
        finally:
            if self._fd >= 0:
                os.close(self._fd)
                self._fd = -1
            self._hashing.close()
            self._lock.release()


def _write_all(fd: int, data: bytearray) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
