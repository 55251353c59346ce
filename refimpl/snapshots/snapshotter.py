"""Mirrors: containerd v1.5.18 snapshots/snapshotter.go, mount/mount.go.

A snapshot is a file system: *active* while it is written, *committed* and from then
on unchanged, or a *view* that is only read. It is made from a committed parent or
from nothing. An image's layers become a chain of committed snapshots.

    mounts = await snapshotter.prepare("extract-1", parent)
    ...                                             # write below the mounts' source
    await snapshotter.commit(chain_id, "extract-1")

What clients use is in stores/snapshots.py; a :class:`Backend` has the files.
"""

import sqlite3
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import IntEnum
from pathlib import Path
from typing import Final, Protocol

from refimpl.errdefs import ErrInvalidArgument
from refimpl.gotext import quote

__all__ = [
    "SNAPSHOT_REF_LABEL",
    "Backend",
    "Info",
    "Kind",
    "Mount",
    "Snapshotter",
    "Usage",
    "filter_inherited_labels",
    "merge_labels",
    "unpack_key",
]

# Names the snapshot that an extraction is going to be committed as.
SNAPSHOT_REF_LABEL: Final = "containerd.io/snapshot.ref"
_INHERITED_PREFIX: Final = "containerd.io/snapshot/"

_EPOCH: Final = datetime(1, 1, 1, tzinfo=UTC)


class Kind(IntEnum):
    """What may be done with a snapshot (snapshots/snapshotter.go:38)."""

    UNKNOWN = 0
    VIEW = 1
    ACTIVE = 2
    COMMITTED = 3

    def __str__(self) -> str:
        """Return the kind as Go prints it: ``Committed``."""
        return self.name.title()


@dataclass(frozen=True, slots=True, kw_only=True)
class Info:
    """What is known of a snapshot (snapshots/snapshotter.go:88).

    Attributes:
        name: the key of an active snapshot or a view, the name of a committed one.
        kind: what may be done with it.
        parent: the name of the snapshot that it was made from, or empty.
        labels: whatever a user wants to keep with it.
        created_at: when it was made or committed.
        updated_at: when its labels last changed.
    """

    name: str
    kind: Kind = Kind.UNKNOWN
    parent: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    created_at: datetime = _EPOCH
    updated_at: datetime = _EPOCH


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What a snapshot takes: inodes, and bytes of blocks (snapshotter.go:107)."""

    inodes: int = 0
    size: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """How a snapshot would be mounted (mount/mount.go:24); nothing here mounts it."""

    type: str
    source: Path
    options: tuple[str, ...] = ()


class Snapshotter(Protocol):
    """Makes, keeps and forgets snapshots (snapshots/snapshotter.go:124)."""

    async def stat(self, key: str) -> Info:
        """Return what is known of a snapshot."""
        ...

    async def update(self, info: Info, *fieldpaths: str) -> Info:
        """Change labels: all of them, or only those that ``fieldpaths`` name."""
        ...

    async def usage(self, key: str) -> Usage:
        """Return what a snapshot takes, its parents left out."""
        ...

    async def mounts(self, key: str) -> tuple[Mount, ...]:
        """Return how to reach the files of an active snapshot or a view."""
        ...

    async def prepare(
        self, key: str, parent: str, *, labels: Mapping[str, str] | None = None
    ) -> tuple[Mount, ...]:
        """Create an active snapshot from a committed one, or from nothing."""
        ...

    async def view(
        self, key: str, parent: str, *, labels: Mapping[str, str] | None = None
    ) -> tuple[Mount, ...]:
        """Create a snapshot that is only read."""
        ...

    async def commit(
        self, name: str, key: str, *, labels: Mapping[str, str] | None = None
    ) -> None:
        """Make an active snapshot a committed one, under a name."""
        ...

    async def remove(self, key: str) -> None:
        """Forget a snapshot that no other one was made from."""
        ...

    async def walk(self, *filters: str) -> tuple[Info, ...]:
        """Return the snapshots that any filter matches, sorted by name."""
        ...


class Backend(Protocol):
    """Keeps the files of snapshots, and rows of its own beside the metadata.

    All of it blocks. containerd's backends have a database and transactions of
    their own, and what a crash leaves between the two is for the collector. Here,
    they share one transaction: neither side is ever without the other.
    """

    def staged(
        self, tx: sqlite3.Connection, kind: Kind, parent: str
    ) -> AbstractContextManager[Path | None]:
        """Plan, in a transaction, what is then made outside of any: the files."""
        ...

    def create(
        self,
        tx: sqlite3.Connection,
        staged: Path | None,
        info: Info,
    ) -> tuple[Mount, ...]:
        """Record a snapshot and give the staged files their place."""
        ...

    def stat(self, tx: sqlite3.Connection, name: str) -> Info:
        """Return what is known of a snapshot."""
        ...

    def update(
        self, tx: sqlite3.Connection, info: Info, fieldpaths: tuple[str, ...]
    ) -> Info:
        """Change labels."""
        ...

    def usage(self, tx: sqlite3.Connection, name: str) -> Callable[[], Usage]:
        """Return what tells the usage; it may take its time, outside of ``tx``."""
        ...

    def mounts(self, tx: sqlite3.Connection, name: str) -> tuple[Mount, ...]:
        """Return how to reach the files of an active snapshot or a view."""
        ...

    def root(self, tx: sqlite3.Connection, name: str) -> Path:
        """Return the folder that a view of the snapshot shows."""
        ...

    def commit(
        self, tx: sqlite3.Connection, info: Info, key: str, usage: Usage
    ) -> None:
        """Make the active snapshot ``key`` the committed one that ``info`` names."""
        ...

    def remove(self, tx: sqlite3.Connection, name: str) -> None:
        """Forget a snapshot; its files are left to ``sweep``."""
        ...

    def walk(self, tx: sqlite3.Connection) -> tuple[Info, ...]:
        """Return every snapshot, a parent before its children."""
        ...

    def sweep(self, tx: sqlite3.Connection) -> int:
        """Put files without a row aside, and return how many snapshots had them."""
        ...

    def cleanup(self) -> None:
        """Remove what ``sweep`` put aside."""
        ...


def unpack_key(unique: str, chain_id: str) -> str:
    """Return the key of a snapshot for extraction (snapshots/snapshotter.go:30)."""
    return f"extract-{unique} {chain_id}"


def filter_inherited_labels(labels: Mapping[str, str] | None) -> dict[str, str]:
    """Return the labels that a backend gets, too (snapshots/snapshotter.go:352)."""
    return {
        key: value
        for key, value in (labels or {}).items()
        if key == SNAPSHOT_REF_LABEL or key.startswith(_INHERITED_PREFIX)
    }


def merge_labels(
    current: Info, wanted: Info, fieldpaths: tuple[str, ...]
) -> dict[str, str]:
    """Return the labels after an update (metadata/snapshot.go:175).

    Raises:
        ErrInvalidArgument: a field path names something else.
    """
    labels = dict(current.labels)
    for path in fieldpaths or ("labels",):
        if path.startswith("labels."):
            key = path.removeprefix("labels.")
            labels[key] = wanted.labels.get(key, "")
        elif path == "labels":
            labels = dict(wanted.labels)
        else:
            raise ErrInvalidArgument(
                f"cannot update {quote(path)} field on snapshot {quote(wanted.name)}"
            )
    return labels
