"""Mirrors: containerd v1.5.18 gc/gc.go, metadata/gc.go, metadata/db.go:280 on.

What is needed is what can be reached: from images, leases that have not
expired, ingests that are not stale and content with the label
``containerd.io/gc.root``, along the labels ``containerd.io/gc.ref.content*`` and
``containerd.io/gc.ref.snapshot.*``. The rest goes: first the rows, in one
transaction, then the files that no row needs any longer. All of it blocks.
"""

import re
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import IntEnum
from typing import Final, NamedTuple

from refimpl.snapshots.snapshotter import Backend
from refimpl.stores.blobwriter import backend_ref
from refimpl.stores.database import Database, decode_map, encode_time
from refimpl.stores.leases import EXPIRE_LABEL
from refimpl.stores.local import LocalStore
from refimpl.stores.snapshots import prune

__all__ = [
    "GCStats",
    "Node",
    "ResourceType",
    "Sweeper",
    "collect",
    "sweep_content",
    "tricolor",
]

Sweeper = Callable[[sqlite3.Connection], int]

_ROOT_LABEL: Final = "containerd.io/gc.root"
_FLAT_LABEL: Final = "containerd.io/gc.flat"
_CONTENT_REF: Final = "containerd.io/gc.ref.content"
_SNAPSHOT_REF: Final = "containerd.io/gc.ref.snapshot."
_RFC3339: Final = re.compile(
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:[.,]\d+)?(?:Z|[+-]\d\d:\d\d)", re.ASCII
)


class ResourceType(IntEnum):
    """What a node stands for (metadata/gc.go:31)."""

    CONTENT = 1
    SNAPSHOT = 2
    LEASE = 5
    INGEST = 6
    CONTENT_FLAT = 0x21
    SNAPSHOT_FLAT = 0x22


_MAX_TYPE: Final = 0x1F


class Node(NamedTuple):
    """One resource of one namespace (gc/gc.go:39)."""

    type: ResourceType
    namespace: str
    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GCStats:
    """What a collection removed, and how long it took (metadata/db.go:268)."""

    removed: tuple[Node, ...] = ()
    files: int = 0
    elapsed: timedelta = field(default_factory=timedelta)

    def count(self, kind: ResourceType) -> int:
        """Return how many resources of a kind were removed."""
        return sum(node.type == kind for node in self.removed)


def tricolor(
    roots: Iterable[Node], refs: Callable[[Node], Iterable[Node]]
) -> set[Node]:
    """Return all that can be reached from the roots (gc/gc.go:62).

    Flat nodes count as what they stand for: the bit only tells ``refs`` not to
    follow labels.
    """
    grays, seen, reachable = list(roots), set[Node](), set[Node]()
    while grays:
        node = grays.pop()
        if node in seen:
            continue
        seen.add(node)
        grays.extend(target for target in refs(node) if target not in seen)
        reachable.add(node._replace(type=ResourceType(node.type & _MAX_TYPE)))
    return reachable


def collect(
    database: Database,
    local: LocalStore,
    sweepers: Sequence[Sweeper],
    snapshotters: Mapping[str, Backend],
) -> GCStats:
    """Collect once (metadata/db.go:280, GarbageCollect).

    An ingest that somebody is writing is a root, whatever its lease says:
    the writer may be another process, which containerd need not think of.

    Args:
        database: whose rows are looked at, in all namespaces.
        local: the files of content.
        sweepers: remove files without rows.
        snapshotters: the backends of snapshots by name; they forget what no
            namespace has, leaves first, and then remove its folders.

    Returns what was removed.
    """
    begun = time.monotonic()
    with database.update(durable=True) as tx:
        roots = (*_roots(tx, encode_time(datetime.now(UTC))), *_held(tx, local))
        marked = tricolor(roots, lambda node: _references(tx, node))
        removed = tuple(node for node in _all(tx) if node not in marked)
        for node in removed:
            _remove(tx, node)
        for name, backend in snapshotters.items():
            prune(tx, name, backend)
    # A transaction of its own: files go when their rows are gone for good. It
    # is one that writes, so that nobody publishes a blob meanwhile.
    with database.update() as tx:
        files = sum(sweep(tx) for sweep in sweepers)
        files += sum(backend.sweep(tx) for backend in snapshotters.values())
    for backend in snapshotters.values():
        backend.cleanup()
    elapsed = timedelta(seconds=time.monotonic() - begun)
    return GCStats(removed=removed, files=files, elapsed=elapsed)


def sweep_content(tx: sqlite3.Connection, local: LocalStore) -> int:
    """Remove blobs and ingests that no namespace has (metadata/content.go:775)."""
    blobs = {digest for (digest,) in tx.execute("SELECT digest FROM content")}
    refs = set()
    for namespace, ref, expected in tx.execute(
        "SELECT namespace, ref, expected FROM ingests"
    ):
        # The blob may be gone from the namespace that it was to be shared with.
        blobs.add(expected)
        refs.add(backend_ref(namespace, ref))
    return local.sweep(frozenset(blobs), frozenset(refs))


def _roots(tx: sqlite3.Connection, now: int) -> Iterator[Node]:
    """Yield what is needed for its own sake (metadata/gc.go:62, scanRoots)."""
    yield from _lease_roots(tx)
    for namespace, digest, labels in tx.execute(
        "SELECT namespace, digest, labels FROM images"
    ).fetchall():
        yield Node(ResourceType.CONTENT, namespace, digest)
        yield from _label_refs(namespace, decode_map(labels))
    for namespace, ref in tx.execute(
        "SELECT namespace, ref FROM ingests WHERE expires_at >= ?", (now,)
    ).fetchall():
        yield Node(ResourceType.INGEST, namespace, ref)
    for namespace, digest, labels in tx.execute(
        "SELECT namespace, digest, labels FROM content"
    ).fetchall():
        if _ROOT_LABEL in decode_map(labels):
            yield Node(ResourceType.CONTENT, namespace, digest)
    for namespace, name, key, labels in tx.execute(
        "SELECT namespace, snapshotter, key, labels FROM snapshots"
    ).fetchall():
        if _ROOT_LABEL in decode_map(labels):
            yield Node(ResourceType.SNAPSHOT, namespace, f"{name}/{key}")


def _lease_roots(tx: sqlite3.Connection) -> Iterator[Node]:
    for namespace, lease, text in tx.execute(
        "SELECT namespace, id, labels FROM leases"
    ).fetchall():
        labels = decode_map(text)
        if _expired(labels):
            continue
        yield Node(ResourceType.LEASE, namespace, lease)
        flat = _FLAT_LABEL in labels
        for kind, key in tx.execute(
            "SELECT type, id FROM lease_resources WHERE namespace = ? AND lease = ?",
            (namespace, lease),
        ).fetchall():
            yield _resource_node(namespace, kind, key, flat=flat)


def _resource_node(namespace: str, kind: str, key: str, *, flat: bool) -> Node:
    name, _, snapshotter = kind.partition("/")
    if name == "content":
        content = ResourceType.CONTENT_FLAT if flat else ResourceType.CONTENT
        return Node(content, namespace, key)
    if name == "ingests":
        return Node(ResourceType.INGEST, namespace, key)
    snapshot = ResourceType.SNAPSHOT_FLAT if flat else ResourceType.SNAPSHOT
    return Node(snapshot, namespace, f"{snapshotter}/{key}")


def _expired(labels: Mapping[str, str]) -> bool:
    """Tell whether a lease is over; a time that is none keeps it."""
    text = labels.get(EXPIRE_LABEL, "")
    if not _RFC3339.fullmatch(text):
        return False
    try:
        return datetime.now(UTC) > datetime.fromisoformat(text)
    except ValueError:
        return False


def _held(tx: sqlite3.Connection, local: LocalStore) -> Iterator[Node]:
    for namespace, ref in tx.execute("SELECT namespace, ref FROM ingests").fetchall():
        if local.locks.held(backend_ref(namespace, ref)):
            yield Node(ResourceType.INGEST, namespace, ref)


def _references(tx: sqlite3.Connection, node: Node) -> Iterator[Node]:
    """Yield what a node needs (metadata/gc.go:280); one that is gone needs nothing."""
    if node.type == ResourceType.CONTENT:
        row = tx.execute(
            "SELECT labels FROM content WHERE namespace = ? AND digest = ?",
            (node.namespace, node.key),
        ).fetchone()
        if row:
            yield from _label_refs(node.namespace, decode_map(row[0]))
    elif node.type == ResourceType.INGEST:
        row = tx.execute(
            "SELECT expected FROM ingests WHERE namespace = ? AND ref = ?",
            (node.namespace, node.key),
        ).fetchone()
        if row and row[0]:
            yield Node(ResourceType.CONTENT, node.namespace, row[0])
    elif node.type in {ResourceType.SNAPSHOT, ResourceType.SNAPSHOT_FLAT}:
        yield from _snapshot_references(tx, node)


def _snapshot_references(tx: sqlite3.Connection, node: Node) -> Iterator[Node]:
    snapshotter, _, key = node.key.partition("/")
    row = tx.execute(
        "SELECT parent, labels FROM snapshots "
        "WHERE namespace = ? AND snapshotter = ? AND key = ?",
        (node.namespace, snapshotter, key),
    ).fetchone()
    if row is None:
        return
    parent, labels = row
    if parent:
        yield node._replace(key=f"{snapshotter}/{parent}")
    if node.type == ResourceType.SNAPSHOT:
        yield from _label_refs(node.namespace, decode_map(labels))


def _label_refs(namespace: str, labels: Mapping[str, str]) -> Iterator[Node]:
    """Yield what labels refer to (metadata/gc.go:466, sendLabelRefs)."""
    for key, value in labels.items():
        if key.startswith(_CONTENT_REF):
            # A name may follow after . or /; "contentX" is another label.
            if key[len(_CONTENT_REF) :][:1] in {"", ".", "/"}:
                yield Node(ResourceType.CONTENT, namespace, value)
        elif key.startswith(_SNAPSHOT_REF):
            snapshotter = key.removeprefix(_SNAPSHOT_REF).partition("/")[0]
            yield Node(ResourceType.SNAPSHOT, namespace, f"{snapshotter}/{value}")


def _all(tx: sqlite3.Connection) -> Iterator[Node]:
    """Yield every resource that can be removed (metadata/gc.go:332, scanAll)."""
    for kind, statement in (
        (ResourceType.LEASE, "SELECT namespace, id FROM leases"),
        (
            ResourceType.SNAPSHOT,
            "SELECT namespace, snapshotter || '/' || key FROM snapshots",
        ),
        (ResourceType.INGEST, "SELECT namespace, ref FROM ingests"),
        (ResourceType.CONTENT, "SELECT namespace, digest FROM content"),
    ):
        for namespace, key in tx.execute(statement).fetchall():
            yield Node(kind, namespace, key)


_DELETE: Final = {
    ResourceType.LEASE: "DELETE FROM leases WHERE namespace = ? AND id = ?",
    ResourceType.SNAPSHOT: (
        "DELETE FROM snapshots WHERE namespace = ? AND snapshotter || '/' || key = ?"
    ),
    ResourceType.INGEST: "DELETE FROM ingests WHERE namespace = ? AND ref = ?",
    ResourceType.CONTENT: "DELETE FROM content WHERE namespace = ? AND digest = ?",
}


def _remove(tx: sqlite3.Connection, node: Node) -> None:
    tx.execute(_DELETE[node.type], (node.namespace, node.key))
