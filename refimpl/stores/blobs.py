"""Mirrors: containerd v1.5.18 metadata/content.go (contentStore).

The content store that clients use: blobs and ingests of one namespace, with
labels and leases, over the files of stores/local.py. Namespaces share files
(the "shared" policy, containerd's default): what one of them has, another gets
without a byte sent, if it knows the digest.

Files are locked, hashed and synced before a transaction, never in it.
"""

import random
import sqlite3
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

import anyio

from refimpl.descriptor import Descriptor
from refimpl.digest import Digest
from refimpl.errdefs import (
    ErrInvalidArgument,
    ErrNotFound,
    ErrUnavailable,
    wrapped,
)
from refimpl.gotext import quote
from refimpl.stores.blobwriter import (
    BlobWriter,
    Origin,
    backend_ref,
    open_blob_writer,
    validate_labels,
)
from refimpl.stores.content import (
    Info,
    ReaderAt,
    Status,
    adapt_info,
    adapt_status,
)
from refimpl.stores.database import (
    Database,
    decode_map,
    decode_time,
    encode_map,
    encode_time,
)
from refimpl.stores.filters import parse_all
from refimpl.stores.leases import remove_from_lease
from refimpl.stores.local import LocalStore
from refimpl.workers import run_blocking

__all__ = ["ContentStore"]

_NO_DESCRIPTOR: Final = Descriptor()
# content/local/store.go:467: so often a locked ref is tried before it is an error.
_LOCK_TRIES: Final = 10

_SELECT: Final = "SELECT digest, size, labels, created_at, updated_at FROM content "
_Row = tuple[str, int, str, int, int]


class ContentStore:
    """Blobs and ingests of one namespace (metadata/content.go:38)."""

    def __init__(self, database: Database, local: LocalStore, namespace: str) -> None:
        self._database = database
        self._local = local
        self._namespace = namespace

    async def info(self, digest: Digest) -> Info:
        """Return what is known of a blob.

        Raises:
            ErrNotFound: the namespace has no such blob.
        """
        return await run_blocking(self._info, digest)

    def _info(self, digest: Digest) -> Info:
        with self._database.view() as tx:
            return self._read(tx, digest)

    def _read(self, tx: sqlite3.Connection, digest: Digest) -> Info:
        row: _Row | None = tx.execute(
            f"{_SELECT} WHERE namespace = ? AND digest = ?",
            (self._namespace, digest),
        ).fetchone()
        if row is None:
            raise ErrNotFound(f"content digest {digest}")
        return _to_info(row)

    async def update(self, info: Info, *fieldpaths: str) -> Info:
        """Change the labels: all of them, or only those that ``fieldpaths`` name.

        Args:
            info: names the blob and holds the new labels.
            fieldpaths: ``labels``, or ``labels.KEY`` for one; a label that is
                absent from ``info`` or empty is removed.

        Raises:
            ErrNotFound: the namespace has no such blob.
            ErrInvalidArgument: a field path names something else, or a label
                is too long.
        """
        return await run_blocking(self._update, info, fieldpaths)

    def _update(self, info: Info, fieldpaths: tuple[str, ...]) -> Info:
        with self._database.update() as tx:
            current = self._read(tx, info.digest)
            labels = _merge(current, info, fieldpaths or ("labels",))
            validate_labels(labels)
            with wrapped(f"writing labels for info {info.digest}"):
                stored, now = encode_map(labels), datetime.now(UTC)
            tx.execute(
                "UPDATE content SET labels = ?, updated_at = ? "
                "WHERE namespace = ? AND digest = ?",
                (stored, encode_time(now), self._namespace, info.digest),
            )
        return replace(current, labels=decode_map(stored), updated_at=now)

    async def walk(self, *filters: str) -> tuple[Info, ...]:
        """Return the blobs that any of the filters matches, sorted by digest.

        Args:
            filters: as in stores/filters.py, over ``digest`` and ``labels``; none
                match all blobs.

        Raises:
            ErrInvalidArgument: one is no filter.
        """
        matches = parse_all(*filters)
        infos = await run_blocking(self._walk)
        return tuple(info for info in infos if matches(adapt_info(info)))

    def _walk(self) -> tuple[Info, ...]:
        with self._database.view() as tx:
            rows: list[_Row] = tx.execute(
                f"{_SELECT} WHERE namespace = ? ORDER BY digest", (self._namespace,)
            ).fetchall()
        return tuple(map(_to_info, rows))

    async def delete(self, digest: Digest) -> None:
        """Remove a blob from the namespace; its file goes with the next collection.

        Raises:
            ErrNotFound: the namespace has no such blob.
        """
        await run_blocking(self._delete, digest)

    def _delete(self, digest: Digest) -> None:
        # Durable, for the file must not go before the row does.
        with self._database.update(durable=True) as tx:
            cursor = tx.execute(
                "DELETE FROM content WHERE namespace = ? AND digest = ?",
                (self._namespace, digest),
            )
            if not cursor.rowcount:
                raise ErrNotFound(f"content digest {digest}")
            remove_from_lease(tx, self._namespace, "content", digest)

    async def reader_at(self, desc: Descriptor) -> ReaderAt:
        """Open a blob; only the digest of ``desc`` counts.

        Raises:
            ErrNotFound: the namespace has no such blob.
        """
        return await run_blocking(self._reader_at, desc)

    def _reader_at(self, desc: Descriptor) -> ReaderAt:
        with self._database.view() as tx:
            self._read(tx, desc.digest)
        return self._local.reader_at(desc)

    async def status(self, ref: str) -> Status:
        """Return how far an ingest has come.

        Raises:
            ErrNotFound: the namespace has no such ingest.
        """
        return await run_blocking(self._status, ref)

    def _status(self, ref: str) -> Status:
        with self._database.view() as tx:
            self._expected(tx, ref)
        return self._local_status(ref)

    def _local_status(self, ref: str) -> Status:
        status = self._local.status(backend_ref(self._namespace, ref))
        return replace(status, ref=ref)

    def _expected(self, tx: sqlite3.Connection, ref: str) -> str:
        row = tx.execute(
            "SELECT expected FROM ingests WHERE namespace = ? AND ref = ?",
            (self._namespace, ref),
        ).fetchone()
        if row is None:
            raise ErrNotFound(f"reference {ref}")
        return str(row[0])

    async def list_statuses(self, *filters: str) -> tuple[Status, ...]:
        """Return the ingests that have begun to be written, sorted by ref.

        Args:
            filters: as in stores/filters.py, over ``ref``; none match all ingests.

        Raises:
            ErrInvalidArgument: one is no filter.
        """
        matches = parse_all(*filters)
        statuses = await run_blocking(self._list_statuses)
        return tuple(status for status in statuses if matches(adapt_status(status)))

    def _list_statuses(self) -> tuple[Status, ...]:
        with self._database.view() as tx:
            rows = tx.execute(
                "SELECT ref FROM ingests WHERE namespace = ? ORDER BY ref",
                (self._namespace,),
            ).fetchall()
        statuses = []
        for (ref,) in rows:
            try:
                statuses.append(self._local_status(ref))
            except ErrNotFound:
                continue  # shared, or committed meanwhile
        return tuple(statuses)

    async def abort(self, ref: str) -> None:
        """Remove an ingest and what it has written.

        Raises:
            ErrNotFound: the namespace has no such ingest.
        """
        await run_blocking(self._abort, ref)

    def _abort(self, ref: str) -> None:
        with self._database.update() as tx:
            expected = self._expected(tx, ref)
            tx.execute(
                "DELETE FROM ingests WHERE namespace = ? AND ref = ?",
                (self._namespace, ref),
            )
            remove_from_lease(tx, self._namespace, "ingests", ref)
        if not expected:
            self._local.abort(backend_ref(self._namespace, ref))

    async def writer(
        self, *, ref: str, desc: Descriptor = _NO_DESCRIPTOR
    ) -> BlobWriter:
        """Begin or resume the ingest named ``ref`` (metadata/content.go:360).

        Raises:
            ErrAlreadyExists: the blob that ``desc`` names is here; the lease in
                force keeps it now.
            ErrUnavailable: another writer holds ``ref``.
        """
        if not ref:
            raise ErrInvalidArgument("ref must not be empty")
        origin = Origin(self._database, self._local, self._namespace, ref)
        for attempt in range(_LOCK_TRIES - 1):
            try:
                return await run_blocking(open_blob_writer, origin, desc)
            except ErrUnavailable:
                wait = random.randrange(1 << attempt) / 1000  # noqa: S311 - a wait
                await anyio.sleep(wait)
        return await run_blocking(open_blob_writer, origin, desc)


def _merge(current: Info, wanted: Info, fieldpaths: tuple[str, ...]) -> dict[str, str]:
    """Return the labels after an update (metadata/content.go:97)."""
    labels = dict(current.labels)
    for path in fieldpaths:
        if path.startswith("labels."):
            key = path.removeprefix("labels.")
            labels[key] = wanted.labels.get(key, "")
        elif path == "labels":
            labels = dict(wanted.labels)
        else:
            raise ErrInvalidArgument(
                f"cannot update {quote(path)} field "
                f"on content info {quote(current.digest)}"
            )
    return labels


def _to_info(row: _Row) -> Info:
    digest, size, labels, created_at, updated_at = row
    return Info(
        digest=Digest(digest),
        size=size,
        labels=decode_map(labels),
        created_at=decode_time(created_at),
        updated_at=decode_time(updated_at),
    )
