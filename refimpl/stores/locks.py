"""Mirrors: containerd v1.5.18 content/local/locks.go.

containerd's locks live in the one daemon that writes a store. Here every
process writes for itself, so there are two of each lock: an entry in a table of
this process, and one byte of a file that all processes lock (fcntl(2) record
locks; the ref's hash says which byte). Nothing is created for a lock or left
behind by it, and the kernel drops it when its holder dies.
"""

import fcntl
import os
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock
from typing import ClassVar, Final, Self

from refimpl.digest import encoded, from_bytes
from refimpl.errdefs import ErrUnavailable
from refimpl.gotext import format_time

__all__ = ["RefLock", "RefLocks", "ref_name"]

# 60 bits of the hash: an offset in a file is a signed 64 bit number.
_OFFSET_DIGITS: Final = 15


def ref_name(ref: str) -> str:
    """Return the file name for a ref: of constant length, safe in a path."""
    return encoded(from_bytes(ref.encode("utf-8", "surrogatepass")))


@dataclass(slots=True)
class _Table:
    """The locks that this process holds on one file, for all who opened it.

    A process must open the file once only: its record locks are gone as soon
    as it closes any descriptor of the file.
    """

    fd: int
    users: int = 0
    held: dict[str, datetime] = field(default_factory=dict)

    def lock(self, name: str) -> datetime | str | None:
        """Take a lock, or tell since when or by whom it is held."""
        if name in self.held:
            return self.held[name]
        try:
            fcntl.lockf(self.fd, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, _offset(name))
        except (BlockingIOError, PermissionError):
            return "by another process"
        self.held[name] = datetime.now(UTC)
        return None

    def unlock(self, name: str) -> None:
        """Give a lock back."""
        del self.held[name]
        if self.fd >= 0:
            fcntl.lockf(self.fd, fcntl.LOCK_UN, 1, _offset(name))


class RefLock:
    """A lock that is held, until :meth:`release`."""

    def __init__(self, locks: "RefLocks", name: str) -> None:
        self._locks = locks
        self._name = name
        self.held = True

    def release(self) -> None:
        """Give the lock back. A second call does nothing."""
        if self.held:
            self.held = False
            self._locks.release(self._name)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


class RefLocks:
    """The locks of one store: at most one writer for a ref."""

    _mutex: ClassVar[Lock] = Lock()
    _tables: ClassVar[dict[tuple[int, int], _Table]] = {}

    def __init__(self, path: Path) -> None:
        self._closed = False
        with self._mutex:
            # Not opened to find out: closing it again would drop the locks.
            table = self._tables.get(_identity(path)) if path.exists() else None
            if table is None:
                fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
                table = self._tables[_identity(path)] = _Table(fd)
            table.users += 1
            self._table = table

    def acquire(self, ref: str) -> RefLock:
        """Lock a ref without waiting.

        Raises:
            ErrUnavailable: somebody holds it.
        """
        name = ref_name(ref)
        with self._mutex:
            holder = self._table.lock(name)
        if holder is None:
            return RefLock(self, name)
        since = holder if isinstance(holder, str) else f"since {format_time(holder)}"
        raise ErrUnavailable(f"ref {ref} locked {since}")

    def try_acquire(self, name: str) -> RefLock | None:
        """Lock the ref whose :func:`ref_name` this is, or return nothing."""
        with self._mutex:
            return RefLock(self, name) if self._table.lock(name) is None else None

    def held(self, ref: str) -> bool:
        """Tell whether somebody is writing to the ref."""
        lock = self.try_acquire(ref_name(ref))
        if lock is not None:
            lock.release()
        return lock is None

    def release(self, name: str) -> None:
        """Give a lock back."""
        with self._mutex:
            self._table.unlock(name)

    def close(self) -> None:
        """Close the file when nobody in this process uses it any longer."""
        with self._mutex:
            if self._closed:
                return
            self._closed = True
            self._table.users -= 1
            if not self._table.users:
                os.close(self._table.fd)
                self._table.fd = -1
                for key in [k for k, t in self._tables.items() if t is self._table]:
                    del self._tables[key]


def _identity(path: Path) -> tuple[int, int]:
    stat = path.stat()
    return stat.st_dev, stat.st_ino


def _offset(name: str) -> int:
    """Return which byte of the file stands for a ref."""
    return int(name[:_OFFSET_DIGITS], 16)
