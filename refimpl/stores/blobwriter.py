"""Mirrors: containerd v1.5.18 metadata/content.go:360 on (Writer, namespacedWriter).

How an ingest of a namespace begins, is written and becomes a blob. A writer
whose blob another namespace has (it is *shared*) has no file of its own: it is
complete at once and only its commit is left to do.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

import anyio

from refimpl import labels as label_rules
from refimpl.descriptor import Descriptor
from refimpl.digest import Digest
from refimpl.errdefs import (
    ContainerdError,
    ErrAlreadyExists,
    ErrFailedPrecondition,
    ErrNotFound,
    ErrUnavailable,
    ErrUnexpectedEOF,
    wrapped,
)
from refimpl.gotext import quote
from refimpl.stores.content import Status
from refimpl.stores.database import Database, encode_map, encode_time
from refimpl.stores.leases import add_to_lease, remove_from_lease
from refimpl.stores.local import LocalStore
from refimpl.stores.localwriter import LocalWriter
from refimpl.stores.locks import RefLock
from refimpl.workers import run_blocking

if TYPE_CHECKING:
    import sqlite3

__all__ = ["BlobWriter", "Origin", "backend_ref", "open_blob_writer", "validate_labels"]

# metadata/content.go:439: when an ingest without a lease may be collected.
_STALE_AFTER: Final = timedelta(hours=24)
_BUFFER: Final = 1 << 20


def backend_ref(namespace: str, ref: str) -> str:
    """Return what the local store calls an ingest (metadata/snapshot.go:61).

    The number between is bolt's sequence in a bucket of the ref's own: 1.
    """
    return f"{namespace}/1/{ref}"


def validate_labels(labels: Mapping[str, str]) -> None:
    """Check the labels of a blob (metadata/content.go:709, validateInfo)."""
    with wrapped("info.Labels"):
        for key, value in labels.items():
            label_rules.validate(key, value)


@dataclass(frozen=True, slots=True)
class Origin:
    """Where an ingest belongs."""

    database: Database
    local: LocalStore
    namespace: str
    ref: str

    @property
    def backend_ref(self) -> str:
        """Return what the local store calls the ingest."""
        return backend_ref(self.namespace, self.ref)


def open_blob_writer(origin: Origin, desc: Descriptor) -> "BlobWriter":
    """Begin or resume an ingest. Blocks.

    The ref is locked before the transaction, which then only decides: so
    nobody waits for the database while bytes are hashed.

    Raises:
        ErrAlreadyExists: the namespace has the blob.
        ErrUnavailable: another writer holds the ref.
    """
    lock = _try_lock(origin)
    try:
        shared = _begin(origin, desc, lock)
    except BaseException:
        _release(lock)
        raise
    if shared is None and isinstance(lock, RefLock):
        return BlobWriter(origin, desc, _resume(origin, desc, lock))
    _release(lock)
    return BlobWriter(origin, replace(desc, size=shared or 0), None)


def _try_lock(origin: Origin) -> RefLock | ErrUnavailable:
    try:
        return origin.local.locks.acquire(origin.backend_ref)
    except ErrUnavailable as err:
        return err


def _release(lock: RefLock | ErrUnavailable) -> None:
    if isinstance(lock, RefLock):
        lock.release()


def _begin(
    origin: Origin, desc: Descriptor, lock: RefLock | ErrUnavailable
) -> int | None:
    """Record an ingest, and return the size of the blob if it is a shared one."""
    exists, shared = False, None
    with origin.database.update(origin.namespace) as tx:
        if desc.digest:
            exists = _has_blob(tx, origin.namespace, desc.digest)
            shared = None if exists else _shared_size(origin.local, desc)
        if exists:
            # Kept by this lease from now on, whoever else lets go of it.
            with wrapped("unable to lease content"):
                add_to_lease(tx, origin.namespace, "content", desc.digest)
        else:
            _record(tx, origin, desc.digest if shared is not None else "")
            if shared is None and isinstance(lock, ErrUnavailable):
                raise lock
    if exists:
        # Only now, so that the lease is committed.
        raise ErrAlreadyExists(f"content {desc.digest}")
    return shared


def _has_blob(tx: "sqlite3.Connection", namespace: str, digest: Digest) -> bool:
    row = tx.execute(
        "SELECT 1 FROM content WHERE namespace = ? AND digest = ?", (namespace, digest)
    ).fetchone()
    return row is not None


def _shared_size(local: LocalStore, desc: Descriptor) -> int | None:
    """Return the size of a blob that is there for another namespace."""
    try:
        size = local.info(desc.digest).size
    except ContainerdError:
        return None
    # A size that differs is the caller's to find out, at the commit.
    return size if desc.size in {0, size} else None


def _record(tx: "sqlite3.Connection", origin: Origin, expected: str) -> None:
    leased = add_to_lease(tx, origin.namespace, "ingests", origin.ref)
    stale_at = None if leased else encode_time(datetime.now(UTC) + _STALE_AFTER)
    tx.execute(
        "INSERT INTO ingests (namespace, ref, expected, expires_at) "
        "VALUES (?, ?, ?, ?) ON CONFLICT (namespace, ref) DO UPDATE SET "
        "expected = coalesce(nullif(excluded.expected, ''), expected), "
        "expires_at = coalesce(excluded.expires_at, expires_at)",
        (origin.namespace, origin.ref, expected, stale_at),
    )


def _resume(origin: Origin, desc: Descriptor, lock: RefLock) -> LocalWriter:
    """Open the file of an ingest; the lock is the writer's then."""
    writer = origin.local.writer(origin.backend_ref, lock, desc.size)
    # DEVIATION D12: containerd resumes an ingest that is complete but wrong at its
    # end (content/local/store.go:494), asks for nothing and fails, on this and
    # every later pull. What can only fail starts again from nothing.
    complete = 0 < desc.size <= writer.status().offset
    if complete and desc.digest and writer.digest() != desc.digest:
        try:
            writer.truncate(0)
        except BaseException:
            writer.close()
            raise
    return writer


class BlobWriter:
    """One ingest of a namespace that is being written (metadata/content.go:488)."""

    def __init__(
        self, origin: Origin, desc: Descriptor, writer: LocalWriter | None
    ) -> None:
        self._origin = origin
        self._desc = desc
        self._writer = writer
        self._started = datetime.now(UTC)

    def status(self) -> Status:
        """Return how far the ingest has come."""
        if self._writer is not None:
            return replace(self._writer.status(), ref=self._origin.ref)
        return Status(
            ref=self._origin.ref,
            offset=self._desc.size,
            total=self._desc.size,
            expected=self._desc.digest,
            started_at=self._started,
            updated_at=self._started,
        )

    def digest(self) -> Digest:
        """Return the digest of all that was written so far."""
        return self._desc.digest if self._writer is None else self._writer.digest()

    def write(self, data: bytes | memoryview, /) -> int:
        """Append and hash. Blocks: call it in a worker thread."""
        if self._writer is None:
            if not data:
                return 0
            self._writer = self._unshare(self._desc.size)
        return self._writer.write(data)

    async def truncate(self, size: int) -> None:
        """Start again from the first byte; a shared blob keeps ``size`` bytes."""
        await run_blocking(self._truncate, size)

    def _truncate(self, size: int) -> None:
        if self._writer is None:
            self._writer = self._unshare(size)
        else:
            self._writer.truncate(size)

    def _unshare(self, size: int) -> LocalWriter:
        """Copy the start of the shared blob into an ingest of its own."""
        origin = self._origin
        lock = origin.local.locks.acquire(origin.backend_ref)
        writer = origin.local.writer(origin.backend_ref, lock, size)
        try:
            # What a failed writer of this ref has left is no part of the blob.
            writer.truncate(0)
            reader = origin.local.reader_at(self._desc)
            try:
                while (offset := writer.status().offset) < size:
                    part = reader.read_at(offset, min(_BUFFER, size - offset))
                    if not part:
                        raise ErrUnexpectedEOF(
                            "failed to read expected number of bytes"
                        )
                    writer.write(part)
            finally:
                reader.close()
        except BaseException:
            writer.close()
            raise
        return writer

    async def commit(
        self, size: int, expected: Digest, *, labels: Mapping[str, str] | None = None
    ) -> None:
        """Turn the ingest into a blob. Closes the writer, on errors too.

        Args:
            size: the expected length, or 0 for any.
            expected: the expected digest, or empty for any.
            labels: the labels that the blob starts with.

        Raises:
            ErrFailedPrecondition: the size or the digest is another one.
            ErrAlreadyExists: the namespace has such a blob.
        """
        try:
            await run_blocking(self._commit, size, expected, dict(labels or {}))
        finally:
            await self.aclose()

    def _commit(self, size: int, expected: Digest, labels: dict[str, str]) -> None:
        validate_labels(labels)
        size = self._seal(size, expected)
        origin, now = self._origin, encode_time(datetime.now(UTC))
        with origin.database.update(origin.namespace) as tx:
            digest = self._publish()
            cursor = tx.execute(
                "INSERT OR IGNORE INTO content "
                "(namespace, digest, size, labels, created_at, updated_at) "
                "VALUES (?, ?, ?, ?, ?, ?)",
                (origin.namespace, digest, size, encode_map(labels), now, now),
            )
            tx.execute(
                "DELETE FROM ingests WHERE namespace = ? AND ref = ?",
                (origin.namespace, origin.ref),
            )
            remove_from_lease(tx, origin.namespace, "ingests", origin.ref)
            add_to_lease(tx, origin.namespace, "content", digest)
        if self._writer is not None:
            self._writer.finish()
        if not cursor.rowcount:
            raise ErrAlreadyExists(f"content {digest}")

    def _seal(self, size: int, expected: Digest) -> int:
        """Check size and digest, and bring the bytes to the disk."""
        ref, actual = quote(self._origin.ref), self.status().offset
        if size not in {0, actual}:
            text = f"{ref} failed size validation: {actual} != {size}"
            raise ErrFailedPrecondition(text)
        if self._writer is not None:
            self._origin.local.seal(self._writer, actual, expected)
        elif expected not in {"", self._desc.digest}:
            raise ErrFailedPrecondition(f"{ref} unexpected digest")
        return actual

    def _publish(self) -> Digest:
        """Give the bytes their name, within the transaction that records them."""
        local = self._origin.local
        if self._writer is None:
            local.info(self._desc.digest)  # not collected meanwhile
            return self._desc.digest
        try:
            return local.publish(self._writer)
        except FileNotFoundError:
            # metadata/content.go:319: an abort takes the file from its writer.
            raise ErrNotFound(f"ingest ref {quote(self._origin.ref)}") from None

    async def aclose(self) -> None:
        """Close without committing. A second call does nothing."""
        if self._writer is not None and not self._writer.closed:
            with anyio.CancelScope(shield=True):
                await run_blocking(self._writer.close)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
        /,
    ) -> None:
        await self.aclose()
