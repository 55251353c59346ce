"""Mirrors: containerd v1.5.18 metadata/db.go, metadata/buckets.go, namespaces/*.go.

The metadata in one SQLite file. A bolt bucket is a table here, its path the
primary key, and a bolt transaction an SQLite one. All of it blocks.

**Durability.** The write-ahead log with ``synchronous=NORMAL``: a killed process
loses nothing, a power cut may lose the last transactions but never garbles the
file. Only transactions that must outlast a power cut, since people or files rely
on them (an image is recorded, content is dropped), are ``durable`` and wait for
the disk; the log is written in order, so all earlier ones are on it then, too.
A small blob costs two transactions and no fsync of the log.
"""

import fcntl
import json
import os
import re
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import RLock
from typing import Any, Final

from refimpl.errdefs import (
    ContainerdError,
    ErrFailedPrecondition,
    ErrInvalidArgument,
    ErrUnknown,
    wrapped,
)
from refimpl.gotext import quote

__all__ = [
    "SCHEMA_VERSION",
    "Database",
    "decode_map",
    "decode_time",
    "encode_map",
    "encode_time",
    "require_namespace",
]

SCHEMA_VERSION: Final = 2

# In the header of the file: whose database it is ("rfpl").
_APPLICATION_ID: Final = 0x7266706C
_BUSY_SECONDS: Final = 30.0
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_IDENTIFIER: Final = re.compile(r"[A-Za-z0-9]+(?:[._-](?:[A-Za-z0-9]+))*", re.ASCII)

# Times are microseconds since 1970; labels and annotations are JSON objects.
_SCHEMA: Final = """
CREATE TABLE namespaces (
    name TEXT PRIMARY KEY
) WITHOUT ROWID;

CREATE TABLE images (
    namespace TEXT NOT NULL REFERENCES namespaces (name),
    name TEXT NOT NULL,
    media_type TEXT NOT NULL,
    digest TEXT NOT NULL,
    size INTEGER NOT NULL,
    annotations TEXT NOT NULL,
    labels TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (namespace, name)
) WITHOUT ROWID;

CREATE TABLE content (
    namespace TEXT NOT NULL REFERENCES namespaces (name),
    digest TEXT NOT NULL,
    size INTEGER NOT NULL,
    labels TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (namespace, digest)
) WITHOUT ROWID;

-- expected: the blob of another namespace that this ingest shares, or empty;
-- expires_at: when an ingest without a lease may go, or null.
CREATE TABLE ingests (
    namespace TEXT NOT NULL REFERENCES namespaces (name),
    ref TEXT NOT NULL,
    expected TEXT NOT NULL DEFAULT '',
    expires_at INTEGER,
    PRIMARY KEY (namespace, ref)
) WITHOUT ROWID;

CREATE TABLE leases (
    namespace TEXT NOT NULL REFERENCES namespaces (name),
    id TEXT NOT NULL,
    labels TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (namespace, id)
) WITHOUT ROWID;

-- type: content, ingests or snapshots/NAME; a resource need not exist.
CREATE TABLE lease_resources (
    namespace TEXT NOT NULL,
    lease TEXT NOT NULL,
    type TEXT NOT NULL,
    id TEXT NOT NULL,
    PRIMARY KEY (namespace, lease, type, id),
    FOREIGN KEY (namespace, lease) REFERENCES leases (namespace, id)
        ON DELETE CASCADE
) WITHOUT ROWID;

-- backend_key: what the snapshotter calls it; parent: the key of another row.
CREATE TABLE snapshots (
    namespace TEXT NOT NULL REFERENCES namespaces (name),
    snapshotter TEXT NOT NULL,
    key TEXT NOT NULL,
    backend_key TEXT NOT NULL,
    parent TEXT NOT NULL DEFAULT '',
    labels TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (namespace, snapshotter, key)
) WITHOUT ROWID;
"""

# What version 2 adds. value: bolt's sequence of a snapshotter's bucket;
# native_snapshots: refimpl/snapshots/storage.py, with bytes and inodes in use.
_SNAPSHOTS: Final = """
CREATE TABLE snapshot_sequences (
    namespace TEXT NOT NULL REFERENCES namespaces (name),
    snapshotter TEXT NOT NULL,
    value INTEGER NOT NULL,
    PRIMARY KEY (namespace, snapshotter)
) WITHOUT ROWID;

CREATE TABLE native_snapshots (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    kind INTEGER NOT NULL,
    parent TEXT NOT NULL,
    labels TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    inodes INTEGER NOT NULL DEFAULT 0,
    size INTEGER NOT NULL DEFAULT 0
);

CREATE INDEX native_snapshots_parent ON native_snapshots (parent);
"""


class Database:
    """One connection for all threads of a process, used by one at a time."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self._path = path
        self._connection = connection
        self._mutex = RLock()

    @classmethod
    def open(cls, path: Path) -> "Database":
        """Open or create the database.

        Raises:
            ErrFailedPrecondition: the file is something else, or newer.
        """
        with _creation_lock(path.parent), _errors(path):
            if not path.exists() or not path.stat().st_size:
                _create(path)
            connection = sqlite3.connect(
                path,
                timeout=_BUSY_SECONDS,
                isolation_level=None,
                check_same_thread=False,
            )
            try:
                _prepare(connection, path)
            except BaseException:
                connection.close()
                raise
        return cls(path, connection)

    def close(self) -> None:
        """Close the connection. A second call does nothing."""
        with self._mutex:
            self._connection.close()

    @contextmanager
    def view(self) -> Iterator[sqlite3.Connection]:
        """Read in one transaction (bolt's View)."""
        with self._transaction("BEGIN") as tx:
            yield tx

    @contextmanager
    def update(
        self, namespace: str = "", *, durable: bool = False
    ) -> Iterator[sqlite3.Connection]:
        """Change in one transaction (bolt's Update): all of the block, or nothing.

        Args:
            namespace: create it if it is new.
            durable: on return, this and all earlier ones outlast a power cut.
        """
        with self._transaction("BEGIN IMMEDIATE", durable=durable) as tx:
            if namespace:
                tx.execute("INSERT OR IGNORE INTO namespaces VALUES (?)", (namespace,))
            yield tx

    @contextmanager
    def _transaction(
        self, begin: str, *, durable: bool = False
    ) -> Iterator[sqlite3.Connection]:
        with self._mutex, _errors(self._path):
            tx = self._connection
            if durable:
                tx.execute("PRAGMA synchronous=FULL")
            try:
                tx.execute(begin)
                yield tx
                tx.execute("COMMIT")
            finally:
                if tx.in_transaction:
                    tx.execute("ROLLBACK")
                if durable:
                    tx.execute("PRAGMA synchronous=NORMAL")


@contextmanager
def _creation_lock(folder: Path) -> Iterator[None]:
    """Let one process at a time open or create the database in a folder."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def _create(path: Path) -> None:
    """Make an empty database aside and give it its name when it is whole.

    So a crash leaves none or a good one, and one fsync is enough.
    """
    aside = path.with_name(f"{path.name}.new")
    # The log of a database that was deleted must not be replayed on this one.
    for leftover in (aside, f"{aside}-wal", f"{path}-wal", f"{path}-shm"):
        Path(leftover).unlink(missing_ok=True)
    connection = sqlite3.connect(aside, isolation_level=None)
    try:
        connection.executescript(
            "PRAGMA locking_mode=EXCLUSIVE; PRAGMA journal_mode=OFF;"
            f"PRAGMA synchronous=OFF; BEGIN; {_SCHEMA} {_SNAPSHOTS}"
            f"PRAGMA application_id={_APPLICATION_ID};"
            f"PRAGMA user_version={SCHEMA_VERSION}; COMMIT;"
            "PRAGMA journal_mode=WAL;"
        )
    finally:
        connection.close()
    with aside.open("rb") as file:
        os.fsync(file.fileno())
    aside.rename(path)


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    """Check whose database it is (metadata/db.go:126, Init)."""
    owner = _pragma(connection, "application_id")
    version = _pragma(connection, "user_version")
    if owner != _APPLICATION_ID:
        raise ErrFailedPrecondition(
            f"{path} is the database of another program: choose another root"
        )
    if version == 1:
        _migrate(connection)
        version = SCHEMA_VERSION
    if version != SCHEMA_VERSION:
        raise ErrFailedPrecondition(
            f"{path} has schema version {version}, this program knows "
            f"{SCHEMA_VERSION}: use the program that made it, or another root"
        )
    connection.execute("PRAGMA synchronous=NORMAL")
    connection.execute("PRAGMA foreign_keys=ON")


def _migrate(connection: sqlite3.Connection) -> None:
    """Bring a database of version 1 up to date: all of it, or nothing."""
    try:
        connection.executescript(
            f"BEGIN IMMEDIATE; {_SNAPSHOTS}"
            f"PRAGMA user_version={SCHEMA_VERSION}; COMMIT;"
        )
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    return int(connection.execute(f"PRAGMA {name}").fetchone()[0])


@contextmanager
def _errors(path: Path) -> Iterator[None]:
    """Turn SQLite's errors into ours, in one place."""
    try:
        yield
    except sqlite3.Error as err:
        code = getattr(err, "sqlite_errorname", "")
        if code.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
            # Not ErrUnavailable: that means a locked ref and is waited for.
            raise ContainerdError(
                f"{path} is kept busy by another process for {_BUSY_SECONDS:.0f} s"
            ) from err
        if code.startswith(("SQLITE_NOTADB", "SQLITE_CORRUPT")):
            raise ErrFailedPrecondition(
                f"{path} is damaged or no database ({err}): "
                "move it away, or choose another root"
            ) from err
        raise ErrUnknown(f"metadata database {path}: {err}") from err


def require_namespace(namespace: str) -> str:
    """Return a namespace whose name is valid (namespaces/context.go:60).

    Raises:
        ErrFailedPrecondition: it is empty.
        ErrInvalidArgument: it is too long or has other characters.
    """
    if not namespace:
        raise ErrFailedPrecondition("namespace is required")
    with wrapped("namespace validation"):
        if len(namespace) > 76:
            raise ErrInvalidArgument(
                f"identifier {quote(namespace)} greater than maximum length "
                "(76 characters)"
            )
        if not _IDENTIFIER.fullmatch(namespace):
            raise ErrInvalidArgument(
                f"identifier {quote(namespace)} must match "
                f"{quote(f'^{_IDENTIFIER.pattern}$')}"
            )
    return namespace


def encode_map(values: Mapping[str, str]) -> str:
    """Return labels as stored: no empty values (metadata/boltutil/helpers.go:78).

    Raises:
        ErrUnknown: a value has no key.
    """
    kept = {key: value for key, value in sorted(values.items()) if value}
    if "" in kept:
        # bolt has no empty keys.
        value = quote(kept[""])
        raise ErrUnknown(f'failed to set label ""={value}: key required')
    return json.dumps(kept)


def decode_map(text: str) -> dict[str, str]:
    """Return labels from what :func:`encode_map` made."""
    values: dict[str, Any] = json.loads(text)
    return values


def encode_time(moment: datetime) -> int:
    """Return a time as it is stored."""
    return (moment - _EPOCH) // timedelta(microseconds=1)


def decode_time(value: int) -> datetime:
    """Return a time from what :func:`encode_time` made."""
    return _EPOCH + timedelta(microseconds=value)
