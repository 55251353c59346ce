"""Mirrors: containerd v1.5.18 metadata/snapshot.go.

The snapshots that clients use: each namespace has its own names, with labels,
parents and leases, over the files of a backend (refimpl/snapshots/native.py).

Files are copied and measured before a transaction, never in it.
"""

import sqlite3
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from refimpl import labels as label_rules
from refimpl.errdefs import (
    ErrAlreadyExists,
    ErrFailedPrecondition,
    ErrInvalidArgument,
    ErrNotFound,
    ErrUnknown,
    message,
    wrapped,
)
from refimpl.gotext import quote
from refimpl.snapshots.snapshotter import (
    SNAPSHOT_REF_LABEL,
    Backend,
    Info,
    Kind,
    Mount,
    Snapshotter,
    Usage,
    filter_inherited_labels,
    merge_labels,
)
from refimpl.stores.database import (
    Database,
    decode_map,
    decode_time,
    encode_map,
    encode_time,
)
from refimpl.stores.filters import Adaptor, check_map, parse_all
from refimpl.stores.leases import add_to_lease, remove_from_lease
from refimpl.workers import run_blocking

__all__ = ["MetadataSnapshotter", "Snapshotter", "prune"]


@dataclass(frozen=True, slots=True)
class _Row:
    """A snapshot as the metadata know it."""

    backend_key: str
    info: Info


_SELECT: Final = (
    "SELECT key, backend_key, parent, labels, created_at, updated_at FROM snapshots "
    "WHERE namespace = ? AND snapshotter = ? "
)


class MetadataSnapshotter:
    """The snapshots of one namespace (metadata/snapshot.go:44)."""

    def __init__(
        self, database: Database, namespace: str, name: str, backend: Backend
    ) -> None:
        self._database = database
        self._namespace = namespace
        self._name = name
        self._backend = backend

    async def stat(self, key: str) -> Info:
        """Return what is known of a snapshot.

        Raises:
            ErrNotFound: there is no such snapshot.
        """
        return await run_blocking(self._stat, key)

    def _stat(self, key: str) -> Info:
        with self._database.view() as tx:
            row = self._read(tx, key)
            return _overlay(self._backend.stat(tx, row.backend_key), row.info)

    async def update(self, info: Info, *fieldpaths: str) -> Info:
        """Change labels: all of them, or only those that ``fieldpaths`` name.

        Args:
            info: names the snapshot and holds the new labels.
            fieldpaths: ``labels``, or ``labels.KEY`` for one; a label that is
                absent from ``info`` or empty is removed.

        Raises:
            ErrNotFound: there is no such snapshot.
            ErrInvalidArgument: a field path names something else, or a label
                is too long.
        """
        if not info.name:
            raise ErrInvalidArgument
        return await run_blocking(self._update, info, fieldpaths)

    def _update(self, info: Info, fieldpaths: tuple[str, ...]) -> Info:
        with self._database.update() as tx:
            row = self._read(tx, info.name)
            labels = merge_labels(row.info, info, fieldpaths)
            _validate(labels)
            stored, now = encode_map(labels), encode_time(datetime.now(UTC))
            tx.execute(
                "UPDATE snapshots SET labels = ?, updated_at = ? "
                "WHERE namespace = ? AND snapshotter = ? AND key = ?",
                (stored, now, self._namespace, self._name, info.name),
            )
            inner = Info(name=row.backend_key, labels=filter_inherited_labels(labels))
            updated = self._backend.update(tx, inner, fieldpaths)
            return _overlay(updated, self._read(tx, info.name).info)

    async def usage(self, key: str) -> Usage:
        """Return what a snapshot takes, its parents left out.

        Raises:
            ErrNotFound: there is no such snapshot.
        """
        return await run_blocking(self._usage, key)

    def _usage(self, key: str) -> Usage:
        with self._database.view() as tx:
            measure = self._backend.usage(tx, self._read(tx, key).backend_key)
        return measure()

    async def mounts(self, key: str) -> tuple[Mount, ...]:
        """Return how to reach the files of an active snapshot or a view.

        Raises:
            ErrNotFound: there is no such snapshot.
            ErrFailedPrecondition: it is committed: make a view of it.
        """
        return await run_blocking(self._mounts, key)

    def _mounts(self, key: str) -> tuple[Mount, ...]:
        with self._database.view() as tx:
            return self._backend.mounts(tx, self._read(tx, key).backend_key)

    async def root(self, key: str) -> Path:
        """Return the folder with a snapshot's files, for who only reads them.

        containerd makes a view for that; a folder that is not mounted needs none.

        Raises:
            ErrNotFound: there is no such snapshot.
        """
        return await run_blocking(self._root, key)

    def _root(self, key: str) -> Path:
        with self._database.view() as tx:
            return self._backend.root(tx, self._read(tx, key).backend_key)

    async def prepare(
        self, key: str, parent: str, *, labels: Mapping[str, str] | None = None
    ) -> tuple[Mount, ...]:
        """Create an active snapshot from a committed one, or from nothing.

        A label ``containerd.io/snapshot.ref`` names the snapshot that this one is
        going to become; if that exists, there is nothing to prepare.

        Raises:
            ErrAlreadyExists: the key is taken, or the label's snapshot exists.
            ErrNotFound: there is no such parent, or the lease in force is gone.
            ErrInvalidArgument: the parent is not committed, or a label is too long.
        """
        return await run_blocking(
            self._create, Kind.ACTIVE, key, parent, dict(labels or {})
        )

    async def view(
        self, key: str, parent: str, *, labels: Mapping[str, str] | None = None
    ) -> tuple[Mount, ...]:
        """Create a snapshot that is only read; it raises what ``prepare`` does."""
        return await run_blocking(
            self._create, Kind.VIEW, key, parent, dict(labels or {})
        )

    def _create(
        self, kind: Kind, key: str, parent: str, labels: dict[str, str]
    ) -> tuple[Mount, ...]:
        """Create a snapshot (metadata/snapshot.go:283).

        The parent is copied before the transaction that records the copy, and
        whether it is still the parent is asked again there.
        """
        _validate(labels)
        target = labels.get(SNAPSHOT_REF_LABEL, "")
        with self._database.view() as tx:
            backend_parent = self._check_new(tx, key, parent, target)
            staging = self._backend.staged(tx, kind, backend_parent)
        found = None
        with staging as staged, self._database.update(self._namespace) as tx:
            if self._check_new(tx, key, parent, target) != backend_parent:
                raise ErrNotFound(f"parent snapshot {parent} does not exist")
            info = Info(
                name=self._next_key(tx, key),
                kind=kind,
                parent=backend_parent,
                labels=filter_inherited_labels(labels),
            )
            try:
                mounts = self._backend.create(tx, staged, info)
            except ErrAlreadyExists as err:
                found = self._adopted(tx, info, target, err)
                key, info, labels = target, found, {**found.labels, **labels}
            add_to_lease(tx, self._namespace, f"snapshots/{self._name}", key)
            self._insert(tx, key, info.name, parent, labels)
        if found is not None:
            # Only now, so that what was found is recorded.
            text = f"target snapshot {quote(target)} from snapshotter"
            raise ErrAlreadyExists(text)
        return mounts

    def _check_new(
        self, tx: sqlite3.Connection, key: str, parent: str, target: str
    ) -> str:
        """Return the backend's key of the parent of a snapshot that may be made."""
        if target and self._find(tx, target) is not None:
            raise ErrAlreadyExists(f"target snapshot {quote(target)}")
        if self._find(tx, key) is not None:
            raise ErrAlreadyExists(f"snapshot {quote(key)}")
        return self._parent_key(tx, parent) if parent else ""

    def _parent_key(self, tx: sqlite3.Connection, parent: str) -> str:
        row = self._find(tx, parent)
        if row is None:
            raise ErrNotFound(f"parent snapshot {parent} does not exist")
        return row.backend_key

    def _adopted(
        self, tx: sqlite3.Connection, info: Info, target: str, err: ErrAlreadyExists
    ) -> Info:
        """Return what the backend has for a target already (metadata/snapshot.go:361).

        Some backends fetch snapshots themselves, or share them between namespaces.
        """
        if not target:
            # The key is new, so callers would draw the wrong conclusion.
            raise ErrUnknown(f"unexpected error from snapshotter: {message(err)}")
        for other in self._backend.walk(tx):
            is_target = other.labels.get(SNAPSHOT_REF_LABEL) == target
            if (
                is_target
                and other.kind is Kind.COMMITTED
                and other.parent == info.parent
            ):
                return other
        raise ErrNotFound(f"target snapshot {quote(target)} in backend") from None

    def _next_key(self, tx: sqlite3.Connection, key: str) -> str:
        """Return a new name for the backend (metadata/snapshot.go:61)."""
        tx.execute(
            "INSERT INTO snapshot_sequences VALUES (?, ?, 1) "
            "ON CONFLICT (namespace, snapshotter) DO UPDATE SET value = value + 1",
            (self._namespace, self._name),
        )
        (value,) = tx.execute(
            "SELECT value FROM snapshot_sequences "
            "WHERE namespace = ? AND snapshotter = ?",
            (self._namespace, self._name),
        ).fetchone()
        return f"{self._namespace}/{value}/{key}"

    def _insert(
        self,
        tx: sqlite3.Connection,
        key: str,
        backend_key: str,
        parent: str,
        labels: Mapping[str, str],
    ) -> None:
        now = encode_time(datetime.now(UTC))
        tx.execute(
            "INSERT INTO snapshots (namespace, snapshotter, key, backend_key, parent, "
            "labels, created_at, updated_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                self._namespace,
                self._name,
                key,
                backend_key,
                parent,
                encode_map(labels),
                now,
                now,
            ),
        )

    async def commit(
        self, name: str, key: str, *, labels: Mapping[str, str] | None = None
    ) -> None:
        """Make an active snapshot a committed one, under a name.

        The labels replace those of the active snapshot.

        Raises:
            ErrAlreadyExists: the name is taken.
            ErrNotFound: there is no such snapshot, or the lease in force is gone.
            ErrFailedPrecondition: the snapshot is a view, or committed.
            ErrInvalidArgument: a label is too long.
        """
        await run_blocking(self._commit, name, key, dict(labels or {}))

    def _commit(self, name: str, key: str, labels: dict[str, str]) -> None:
        """Commit (metadata/snapshot.go:466); the usage is told beforehand."""
        _validate(labels)
        with self._database.view() as tx:
            self._check_commit(tx, name, key)
            measure = self._backend.usage(tx, self._read(tx, key).backend_key)
        usage = measure()
        resource = f"snapshots/{self._name}"
        with self._database.update() as tx:
            row = self._check_commit(tx, name, key)
            info = Info(
                name=self._next_key(tx, name),
                kind=Kind.COMMITTED,
                labels=filter_inherited_labels(labels),
            )
            self._delete(tx, key)
            self._insert(tx, name, info.name, row.info.parent, labels)
            add_to_lease(tx, self._namespace, resource, name)
            remove_from_lease(tx, self._namespace, resource, key)
            self._backend.commit(tx, info, row.backend_key, usage)

    def _check_commit(self, tx: sqlite3.Connection, name: str, key: str) -> _Row:
        if self._find(tx, name) is not None:
            raise ErrAlreadyExists(f"snapshot {quote(name)}")
        return self._read(tx, key)

    async def remove(self, key: str) -> None:
        """Forget a snapshot; its files go with the next collection.

        Raises:
            ErrNotFound: there is no such snapshot.
            ErrFailedPrecondition: another one was made from it.
        """
        await run_blocking(self._remove, key)

    def _remove(self, key: str) -> None:
        with self._database.update() as tx:
            self._read(tx, key)
            child = tx.execute(
                "SELECT 1 FROM snapshots "
                "WHERE namespace = ? AND snapshotter = ? AND parent = ?",
                (self._namespace, self._name, key),
            ).fetchone()
            if child:
                raise ErrFailedPrecondition("cannot remove snapshot with child")
            self._delete(tx, key)
            remove_from_lease(tx, self._namespace, f"snapshots/{self._name}", key)

    def _delete(self, tx: sqlite3.Connection, key: str) -> None:
        tx.execute(
            "DELETE FROM snapshots WHERE namespace = ? AND snapshotter = ? AND key = ?",
            (self._namespace, self._name, key),
        )

    async def walk(self, *filters: str) -> tuple[Info, ...]:
        """Return the snapshots that any filter matches, sorted by name.

        Args:
            filters: as in stores/filters.py, over ``name``, ``parent``, ``kind``
                and ``labels.KEY``; none match all snapshots.

        Raises:
            ErrInvalidArgument: a filter is none.
        """
        matches = parse_all(*filters)
        infos = await run_blocking(self._walk)
        return tuple(info for info in infos if matches(_adaptor(info)))

    def _walk(self) -> tuple[Info, ...]:
        with self._database.view() as tx:
            known = {info.name: info for info in self._backend.walk(tx)}
            rows = tuple(
                _to_row(values)
                for values in tx.execute(
                    f"{_SELECT} ORDER BY key", (self._namespace, self._name)
                ).fetchall()
            )
        return tuple(
            _overlay(known[row.backend_key], row.info)
            for row in rows
            if row.backend_key in known
        )

    def _read(self, tx: sqlite3.Connection, key: str) -> _Row:
        row = self._find(tx, key)
        if row is None:
            raise ErrNotFound(f"snapshot {key} does not exist")
        return row

    def _find(self, tx: sqlite3.Connection, key: str) -> _Row | None:
        values = tx.execute(
            f"{_SELECT} AND key = ?", (self._namespace, self._name, key)
        ).fetchone()
        return None if values is None else _to_row(values)


def _to_row(values: tuple[str, str, str, str, int, int]) -> _Row:
    key, backend_key, parent, labels, created_at, updated_at = values
    info = Info(
        name=key,
        parent=parent,
        labels=decode_map(labels),
        created_at=decode_time(created_at),
        updated_at=decode_time(updated_at),
    )
    return _Row(backend_key, info)


def _overlay(inner: Info, local: Info) -> Info:
    """Return the metadata's view of a backend's snapshot (metadata/snapshot.go:243)."""
    return replace(local, kind=inner.kind, labels={**inner.labels, **local.labels})


def _validate(labels: Mapping[str, str]) -> None:
    with wrapped("info.Labels"):
        for key, value in labels.items():
            label_rules.validate(key, value)


def _adaptor(info: Info) -> Adaptor:
    """Tell filters the fields of a snapshot (metadata/adaptors.go:123)."""

    def field_of(path: tuple[str, ...]) -> tuple[str, bool]:
        match path:
            case ("kind", *_):
                return str(info.kind).lower(), info.kind is not Kind.UNKNOWN
            case ("name", *_):
                return info.name, True
            case ("parent", *_):
                return info.parent, True
            case ("labels", *_):
                return check_map(path[1:], info.labels)
        return "", False

    return field_of


def prune(tx: sqlite3.Connection, snapshotter: str, backend: Backend) -> None:
    """Let a backend forget what no namespace has, leaves first (snapshot.go:743)."""
    needed = {
        key
        for (key,) in tx.execute(
            "SELECT backend_key FROM snapshots WHERE snapshotter = ?", (snapshotter,)
        )
    }
    for info in reversed(backend.walk(tx)):
        if info.name not in needed:
            with suppress(ErrFailedPrecondition):
                backend.remove(tx, info.name)
