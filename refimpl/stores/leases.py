"""Mirrors: containerd v1.5.18 leases/*.go, metadata/leases.go.

A lease keeps what it names from the garbage collector. Within
``with with_lease(id):`` all that is written or found present is added to it.

    lease = await manager.create(expiration=timedelta(hours=24))
    with with_lease(lease.id):
        await write_blob(store, ...)
    await manager.delete(lease)
"""

import base64
import secrets
import sqlite3
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol

from refimpl import digest as digests
from refimpl.errdefs import (
    ContainerdError,
    ErrAlreadyExists,
    ErrInvalidArgument,
    ErrNotFound,
    ErrNotImplemented,
)
from refimpl.gotext import quote
from refimpl.stores.database import (
    Database,
    decode_map,
    decode_time,
    encode_map,
    encode_time,
)
from refimpl.stores.filters import Adaptor, check_map, parse_all
from refimpl.workers import run_blocking

__all__ = [
    "EXPIRE_LABEL",
    "Lease",
    "LeaseManager",
    "Manager",
    "Resource",
    "add_to_lease",
    "from_context",
    "random_id",
    "remove_from_lease",
    "with_lease",
]

EXPIRE_LABEL: Final = "containerd.io/gc.expire"

_current: ContextVar[str | None] = ContextVar("refimpl_lease", default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """A name under which resources are kept (leases/lease.go:42)."""

    id: str
    created_at: datetime
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """What a lease may keep: ``content``, ``ingests`` or ``snapshots/NAME``."""

    id: str
    type: str


class Manager(Protocol):
    """Makes leases and knows what they keep (leases/lease.go:31)."""

    async def create(
        self,
        *,
        id: str | None = None,  # noqa: A002 - the field's name
        labels: Mapping[str, str] | None = None,
        expiration: timedelta | None = None,
    ) -> Lease:
        """Create a lease; without an id it gets a random one."""
        ...

    async def delete(self, lease: Lease, *, synchronous: bool = False) -> None:
        """Delete a lease, and collect before returning if ``synchronous``."""
        ...

    async def list(self, *filters: str) -> tuple[Lease, ...]:
        """Return the leases that any filter matches, sorted by id."""
        ...

    async def add_resource(self, lease: Lease, resource: Resource) -> None:
        """Keep a resource, which need not exist."""
        ...

    async def delete_resource(self, lease: Lease, resource: Resource) -> None:
        """Keep a resource no longer; one that is not kept is no error."""
        ...

    async def list_resources(self, lease: Lease) -> tuple[Resource, ...]:
        """Return what a lease keeps, sorted by type and id."""
        ...


@contextmanager
def with_lease(lease_id: str) -> Iterator[None]:
    """Add what is written in this block to a lease (leases/context.go:24)."""
    token = _current.set(lease_id)
    try:
        yield
    finally:
        _current.reset(token)


def from_context() -> str | None:
    """Return the id of the lease in force, if any (leases/context.go:33)."""
    return _current.get()


def random_id() -> str:
    """Return a new id: nanoseconds of the second, and noise (leases/id.go:27)."""
    noise = base64.urlsafe_b64encode(secrets.token_bytes(3)).decode("ascii")
    return f"{time.time_ns() % 1_000_000_000}-{noise}"


class LeaseManager:
    """The leases of one namespace (metadata/leases.go:37)."""

    def __init__(
        self,
        database: Database,
        namespace: str,
        collect: Callable[[], Awaitable[object]],
    ) -> None:
        self._database = database
        self._namespace = namespace
        self._collect = collect

    async def create(
        self,
        *,
        id: str | None = None,  # noqa: A002 - the field's name
        labels: Mapping[str, str] | None = None,
        expiration: timedelta | None = None,
    ) -> Lease:
        """Create a lease; without an id it gets a random one.

        Raises:
            ErrAlreadyExists: the id is taken.
        """
        now = datetime.now(UTC)
        labels = dict(labels or {})
        if expiration is not None:
            # RFC 3339 with whole seconds (leases/lease.go:82).
            labels[EXPIRE_LABEL] = f"{now + expiration:%Y-%m-%dT%H:%M:%SZ}"
        lease_id = random_id() if id is None else id
        if not lease_id:
            raise ContainerdError("lease id must be provided")
        lease = Lease(id=lease_id, created_at=now, labels=labels)
        await run_blocking(self._create, lease)
        return lease

    def _create(self, lease: Lease) -> None:
        labels, created_at = encode_map(lease.labels), encode_time(lease.created_at)
        with self._database.update(self._namespace) as tx:
            cursor = tx.execute(
                "INSERT OR IGNORE INTO leases (namespace, id, labels, created_at) "
                "VALUES (?, ?, ?, ?)",
                (self._namespace, lease.id, labels, created_at),
            )
            if not cursor.rowcount:
                raise ErrAlreadyExists(f"lease {quote(lease.id)}")

    async def delete(self, lease: Lease, *, synchronous: bool = False) -> None:
        """Delete a lease, and collect before returning if ``synchronous``.

        Raises:
            ErrNotFound: there is no such lease.
        """
        await run_blocking(self._delete, lease.id)
        if synchronous:
            await self._collect()

    def _delete(self, lease_id: str) -> None:
        with self._database.update() as tx:
            cursor = tx.execute(
                "DELETE FROM leases WHERE namespace = ? AND id = ?",
                (self._namespace, lease_id),
            )
            if not cursor.rowcount:
                raise ErrNotFound(f"lease {quote(lease_id)}")

    async def list(self, *filters: str) -> tuple[Lease, ...]:
        """Return the leases that any filter matches, expired ones too, sorted by id.

        Args:
            filters: as in stores/filters.py; none match all leases.

        Raises:
            ErrInvalidArgument: a filter is none.
        """
        try:
            matches = parse_all(*filters)
        except ErrInvalidArgument as err:
            raise ErrInvalidArgument(str(err)) from None  # metadata/leases.go:138
        leases = await run_blocking(self._list)
        return tuple(lease for lease in leases if matches(_adaptor(lease)))

    def _list(self) -> tuple[Lease, ...]:
        with self._database.view() as tx:
            rows = tx.execute(
                "SELECT id, created_at, labels FROM leases "
                "WHERE namespace = ? ORDER BY id",
                (self._namespace,),
            ).fetchall()
        return tuple(
            Lease(id=key, created_at=decode_time(at), labels=decode_map(labels))
            for key, at, labels in rows
        )

    async def add_resource(self, lease: Lease, resource: Resource) -> None:
        """Keep a resource, which need not exist."""
        await run_blocking(self._change, lease.id, resource, _ADD)

    async def delete_resource(self, lease: Lease, resource: Resource) -> None:
        """Keep a resource no longer; one that is not kept is no error."""
        await run_blocking(self._change, lease.id, resource, _REMOVE)

    def _change(self, lease_id: str, resource: Resource, statement: str) -> None:
        with self._database.update() as tx:
            _require(tx, self._namespace, lease_id, f"lease {quote(lease_id)}")
            _check_resource(resource)
            tx.execute(
                statement, (self._namespace, lease_id, resource.type, resource.id)
            )

    async def list_resources(self, lease: Lease) -> tuple[Resource, ...]:
        """Return what a lease keeps, sorted by type and id."""
        return await run_blocking(self._list_resources, lease.id)

    def _list_resources(self, lease_id: str) -> tuple[Resource, ...]:
        with self._database.view() as tx:
            _require(tx, self._namespace, lease_id, f"lease {quote(lease_id)}")
            rows = tx.execute(
                "SELECT type, id FROM lease_resources "
                "WHERE namespace = ? AND lease = ? ORDER BY type, id",
                (self._namespace, lease_id),
            ).fetchall()
        return tuple(Resource(type=kind, id=key) for kind, key in rows)


_ADD: Final = "INSERT OR IGNORE INTO lease_resources VALUES (?, ?, ?, ?)"
_REMOVE: Final = (
    "DELETE FROM lease_resources "
    "WHERE namespace = ? AND lease = ? AND type = ? AND id = ?"
)


def add_to_lease(tx: sqlite3.Connection, namespace: str, kind: str, key: str) -> bool:
    """Add a resource to the lease in force (metadata/leases.go:372, :416).

    Returns:
        whether a lease is in force.

    Raises:
        ErrNotFound: the lease in force does not exist.
    """
    lease_id = from_context()
    if lease_id is None:
        return False
    _require(tx, namespace, lease_id, "lease does not exist")
    tx.execute(_ADD, (namespace, lease_id, kind, key))
    return True


def remove_from_lease(
    tx: sqlite3.Connection, namespace: str, kind: str, key: str
) -> None:
    """Remove a resource from the lease in force (metadata/leases.go:396, :444)."""
    lease_id = from_context()
    if lease_id is not None:
        tx.execute(_REMOVE, (namespace, lease_id, kind, key))


def _adaptor(lease: Lease) -> Adaptor:
    """Tell filters the fields of a lease (metadata/adaptors.go:102)."""

    def field(path: tuple[str, ...]) -> tuple[str, bool]:
        if path[0] == "id":
            return lease.id, bool(lease.id)
        return check_map(path[1:], lease.labels) if path[0] == "labels" else ("", False)

    return field


def _require(
    tx: sqlite3.Connection, namespace: str, lease_id: str, detail: str
) -> None:
    row = tx.execute(
        "SELECT 1 FROM leases WHERE namespace = ? AND id = ?", (namespace, lease_id)
    ).fetchone()
    if row is None:
        raise ErrNotFound(detail)


def _check_resource(resource: Resource) -> None:
    """Check type and id (metadata/leases.go:464, parseLeaseResource)."""
    kind, *rest = resource.type.split("/")
    if kind in {"content", "ingests"}:
        if rest:
            raise ErrInvalidArgument(f"invalid resource type {resource.type}")
        if kind == "content":
            _check_digest(resource.id)
    elif kind == "snapshots":
        if len(rest) != 1:
            raise ErrInvalidArgument(f"invalid snapshot resource type {resource.type}")
    else:
        raise ErrNotImplemented(f"resource type {resource.type} not supported yet")


def _check_digest(text: str) -> None:
    try:
        digests.validate(text)
    except ErrInvalidArgument as err:
        raise ErrInvalidArgument(
            f"invalid content resource id {text}: {err.detail}"
        ) from None
