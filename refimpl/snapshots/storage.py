"""Mirrors: containerd v1.5.18 snapshots/storage/bolt.go.

What the native snapshotter knows of its snapshots, in a table of its own beside the
metadata. All of it runs in the caller's transaction and blocks.
"""

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from refimpl.errdefs import (
    ErrAlreadyExists,
    ErrFailedPrecondition,
    ErrInvalidArgument,
    ErrNotFound,
)
from refimpl.gotext import quote
from refimpl.snapshots.snapshotter import Info, Kind, Usage, merge_labels
from refimpl.stores.database import decode_map, decode_time, encode_map, encode_time

__all__ = [
    "Record",
    "commit_active",
    "create_snapshot",
    "get",
    "get_active",
    "get_parent",
    "ids",
    "remove",
    "update_info",
    "walk_info",
]

_SELECT = (
    "SELECT id, name, kind, parent, labels, created_at, updated_at, inodes, size "
    "FROM native_snapshots "
)
_Values = tuple[int, str, int, str, str, int, int, int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A snapshot with what the storage adds to it.

    Attributes:
        id: the name of its folder; never used again.
        info: what its users know.
        usage: what it took when it was committed.
    """

    id: int
    info: Info
    usage: Usage


def get(tx: sqlite3.Connection, name: str) -> Record:
    """Return a snapshot (bolt.go:79).

    Raises:
        ErrNotFound: there is no such snapshot.
    """
    record = _find(tx, name)
    if record is None:
        raise ErrNotFound("snapshot does not exist")
    return record


def get_active(tx: sqlite3.Connection, key: str) -> Record:
    """Return an active snapshot or a view (bolt.go:183).

    Raises:
        ErrNotFound: there is no such snapshot.
        ErrFailedPrecondition: it is committed.
    """
    record = get(tx, key)
    if record.info.kind not in {Kind.ACTIVE, Kind.VIEW}:
        raise ErrFailedPrecondition(f"requested snapshot {key} not active or view")
    return record


def get_parent(tx: sqlite3.Connection, name: str) -> Record:
    """Return a snapshot that others may be made from (bolt.go:236).

    Raises:
        ErrNotFound: there is no such snapshot.
        ErrInvalidArgument: it is not committed.
    """
    record = _find(tx, name)
    if record is None:
        raise ErrNotFound(f"missing parent {quote(name)} bucket")
    if record.info.kind is not Kind.COMMITTED:
        raise ErrInvalidArgument(f"parent {quote(name)} is not committed snapshot")
    return record


def create_snapshot(tx: sqlite3.Connection, info: Info) -> int:
    """Record an active snapshot or a view, and return its id (bolt.go:218).

    Raises:
        ErrAlreadyExists: the name is taken.
        ErrNotFound: there is no such parent.
        ErrInvalidArgument: the parent is not committed.
    """
    if info.parent:
        get_parent(tx, info.parent)
    if _find(tx, info.name) is not None:
        raise ErrAlreadyExists(f"snapshot {info.name}")
    now = encode_time(datetime.now(UTC))
    cursor = tx.execute(
        "INSERT INTO native_snapshots (name, kind, parent, labels, created_at, "
        "updated_at) VALUES (?, ?, ?, ?, ?, ?)",
        (info.name, info.kind, info.parent, encode_map(info.labels), now, now),
    )
    assert cursor.lastrowid is not None  # noqa: S101 - an INSERT has one, for mypy
    return cursor.lastrowid


def update_info(
    tx: sqlite3.Connection, info: Info, fieldpaths: tuple[str, ...]
) -> Info:
    """Change labels, and return what is known then (bolt.go:97).

    Raises:
        ErrNotFound: there is no such snapshot.
        ErrInvalidArgument: a field path names something else.
    """
    current = get(tx, info.name).info
    labels = encode_map(merge_labels(current, info, fieldpaths))
    tx.execute(
        "UPDATE native_snapshots SET labels = ?, updated_at = ? WHERE name = ?",
        (labels, encode_time(datetime.now(UTC)), info.name),
    )
    return get(tx, info.name).info


def commit_active(
    tx: sqlite3.Connection,
    key: str,
    name: str,
    *,
    usage: Usage,
    labels: Mapping[str, str],
) -> None:
    """Make an active snapshot a committed one of another name (bolt.go:354).

    Its id stays, and so does its folder; its labels are replaced.

    Raises:
        ErrAlreadyExists: the name is taken.
        ErrNotFound: there is no such snapshot.
        ErrFailedPrecondition: it is not active.
    """
    if _find(tx, name) is not None:
        raise ErrAlreadyExists(f"committed snapshot {name}")
    record = _find(tx, key)
    if record is None:
        raise ErrNotFound(f"failed to get active snapshot {quote(key)}")
    if record.info.kind is not Kind.ACTIVE:
        raise ErrFailedPrecondition(f"snapshot {quote(key)} is not active")
    now = encode_time(datetime.now(UTC))
    tx.execute(
        "UPDATE native_snapshots SET name = ?, kind = ?, labels = ?, created_at = ?, "
        "updated_at = ?, inodes = ?, size = ? WHERE id = ?",
        (
            name,
            Kind.COMMITTED,
            encode_map(labels),
            now,
            now,
            usage.inodes,
            usage.size,
            record.id,
        ),
    )


def remove(tx: sqlite3.Connection, name: str) -> None:
    """Forget a snapshot (bolt.go:299).

    Raises:
        ErrNotFound: there is no such snapshot.
        ErrFailedPrecondition: another one was made from it.
    """
    record = _find(tx, name)
    if record is None:
        raise ErrNotFound(f"snapshot {name}")
    if tx.execute(
        "SELECT 1 FROM native_snapshots WHERE parent = ?", (name,)
    ).fetchone():
        raise ErrFailedPrecondition("cannot remove snapshot with child")
    tx.execute("DELETE FROM native_snapshots WHERE id = ?", (record.id,))


def walk_info(tx: sqlite3.Connection) -> tuple[Info, ...]:
    """Return every snapshot, a parent before its children (bolt.go:152)."""
    rows: list[_Values] = tx.execute(f"{_SELECT} ORDER BY id").fetchall()
    return tuple(_to_record(row).info for row in rows)


def ids(tx: sqlite3.Connection) -> frozenset[int]:
    """Return the id of every snapshot (bolt.go:421)."""
    return frozenset(
        value for (value,) in tx.execute("SELECT id FROM native_snapshots")
    )


def _find(tx: sqlite3.Connection, name: str) -> Record | None:
    row: _Values | None = tx.execute(f"{_SELECT} WHERE name = ?", (name,)).fetchone()
    return None if row is None else _to_record(row)


def _to_record(row: _Values) -> Record:
    number, name, kind, parent, labels, created_at, updated_at, inodes, size = row
    info = Info(
        name=name,
        kind=Kind(kind),
        parent=parent,
        labels=decode_map(labels),
        created_at=decode_time(created_at),
        updated_at=decode_time(updated_at),
    )
    return Record(id=number, info=info, usage=Usage(inodes=inodes, size=size))
