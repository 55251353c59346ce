"""What of the reference a suite in the same process may drive piece by piece.

Mirrors nothing in containerd: it makes ``images.dispatch``, ``images.walk`` and the
content store callable from threads, with plain values, as conformance/ADAPTER.md says
of the optional part of its contract. Handlers come as functions that block; each call
of one has a worker thread of its own.
"""

from __future__ import annotations

from concurrent.futures import Future
from datetime import UTC, datetime
from functools import partial
from math import inf
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any, Final, TypeVar

import anyio

from refimpl import images
from refimpl.client import Client
from refimpl.descriptor import Descriptor
from refimpl.digest import Digest
from refimpl.errdefs import ErrSkipDesc, ErrStopHandler
from refimpl.stores.content import Info
from refimpl.workers import run_blocking

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from anyio.from_thread import BlockingPortal

    from refimpl.stores.content import ReaderAt, Status, Writer

    Handler = Callable[[Event, "Json"], Sequence["Json"] | None]

__all__ = ["ContentStore", "dispatch", "run_cancellable", "walk"]

Json = dict[str, Any]
T = TypeVar("T")

_SIGNALS: Final = {kind.__name__: kind for kind in (ErrSkipDesc, ErrStopHandler)}


def run_cancellable(
    portal: BlockingPortal,
    function: Callable[[], Awaitable[T]],
    on_cancel: Callable[[Callable[[], object]], object],
) -> T:
    """Run an async function from a thread, and wait until it has really ended.

    Args:
        portal: The event loop.
        function: What to run.
        on_cancel: Is given a function that cancels it from any thread.

    Raises:
        CancelledError: (of concurrent.futures) it was cancelled.
    """
    ended = Event()

    async def run() -> T:
        try:
            return await function()
        finally:
            ended.set()

    future = portal.start_task_soon(run)
    on_cancel(future.cancel)
    try:
        return future.result()
    except BaseException:
        if future.cancelled():
            ended.wait()  # a cancelled future does not wait for its task
        raise


async def dispatch(
    handlers: Sequence[Handler], descs: Sequence[Json], limit: int | None
) -> None:
    """Dispatch a chain of handlers; a limit of None or 0 is none."""
    limiter = anyio.Semaphore(limit) if limit else None
    chain = images.handlers(*map(_bridged, handlers))
    await images.dispatch(chain, limiter, *map(Descriptor.from_json, descs))


async def walk(handlers: Sequence[Handler], descs: Sequence[Json]) -> None:
    """Walk with a chain of handlers."""
    chain = images.handlers(*map(_bridged, handlers))
    await images.walk(chain, *map(Descriptor.from_json, descs))


def _bridged(handler: Handler) -> images.Handler:
    """Return a handler whose work is done by one that blocks.

    As in Go, where a context is all that a handler sees of a cancellation: it is
    told, and waited for; also one that begins when all is cancelled already.
    """

    async def handle(desc: Descriptor) -> Sequence[Descriptor]:
        done = Event()
        outcome: Future[Sequence[Json] | None] = Future()
        if anyio.current_effective_deadline() == -inf:
            done.set()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_tell, done)
            with anyio.CancelScope(shield=True):
                call = partial(handler, done, desc.to_json())
                await run_blocking(_settle, outcome, call)
            tasks.cancel_scope.cancel()
        try:
            found = outcome.result()
        except Exception as err:
            if (signal := _SIGNALS.get(type(err).__name__)) is not None:
                raise signal from err
            raise
        return [Descriptor.from_json(child) for child in found or ()]

    return handle


async def _tell(done: Event) -> None:
    """Set an event when this task is cancelled."""
    try:
        await anyio.sleep_forever()
    finally:
        done.set()


def _settle(outcome: Future[T], call: Callable[[], T]) -> None:
    """Keep what a call returns or raises: a task group would wrap an error."""
    try:
        outcome.set_result(call())
    except Exception as err:  # noqa: BLE001 - raised where the outcome is asked for
        outcome.set_exception(err)


class ContentStore:
    """The content store of a root, for threads; times are ISO-8601 texts."""

    def __init__(self, portal: BlockingPortal, root: str) -> None:
        self._portal = portal
        self._client = Client(Path(root))
        portal.call(self._client.__aenter__)
        self._store = self._client.content_store()

    def close(self) -> None:
        """Close it. A second call does nothing."""
        self._portal.call(self._client.__aexit__, None, None, None)

    def writer(self, ref: str, size: int, digest: str) -> ContentWriter:
        """Begin or resume an ingest."""
        desc = Descriptor(size=size, digest=Digest(digest))
        opened = self._portal.call(partial(self._store.writer, ref=ref, desc=desc))
        return ContentWriter(self._portal, opened)

    def reader_at(self, digest: str) -> ReaderAt:
        """Open a blob."""
        return self._portal.call(
            self._store.reader_at, Descriptor(digest=Digest(digest))
        )

    def info(self, digest: str) -> Json:
        """Return what is known of a blob."""
        return _info(self._portal.call(self._store.info, Digest(digest)))

    def update(
        self, digest: str, labels: Mapping[str, str], fieldpaths: Sequence[str]
    ) -> Json:
        """Change labels."""
        now = datetime.now(UTC)  # an update looks at the labels alone
        info = Info(
            digest=Digest(digest),
            size=0,
            created_at=now,
            updated_at=now,
            labels=labels,
        )
        return _info(self._portal.call(self._store.update, info, *fieldpaths))

    def walk(self, filters: Sequence[str]) -> list[Json]:
        """Return blobs."""
        return [_info(info) for info in self._portal.call(self._store.walk, *filters)]

    def delete(self, digest: str) -> None:
        """Remove a blob."""
        self._portal.call(self._store.delete, Digest(digest))

    def status(self, ref: str) -> Json:
        """Return how far an ingest has come."""
        return _status(self._portal.call(self._store.status, ref))

    def list_statuses(self, filters: Sequence[str]) -> list[Json]:
        """Return ingests."""
        found = self._portal.call(self._store.list_statuses, *filters)
        return [_status(status) for status in found]

    def abort(self, ref: str) -> None:
        """Remove an ingest."""
        self._portal.call(self._store.abort, ref)


class ContentWriter:
    """A writer of that store."""

    def __init__(self, portal: BlockingPortal, writer: Writer) -> None:
        self._portal = portal
        self._writer = writer

    def write(self, data: bytes) -> int:
        """Append."""
        return self._portal.call(run_blocking, self._writer.write, data)

    def status(self) -> Json:
        """Return how far the ingest has come."""
        return _status(self._writer.status())

    def digest(self) -> str:
        """Return the digest of what was written so far."""
        return self._writer.digest()

    def truncate(self, size: int) -> None:
        """Start again."""
        self._portal.call(self._writer.truncate, size)

    def commit(self, size: int, digest: str, labels: Mapping[str, str]) -> None:
        """Make a blob of it."""
        commit = partial(self._writer.commit, size, Digest(digest), labels=labels)
        self._portal.call(commit)

    def close(self) -> None:
        """Close without committing."""
        self._portal.call(self._writer.aclose)


def _info(info: Info) -> Json:
    return {
        "digest": info.digest,
        "size": info.size,
        "labels": dict(info.labels),
        "created_at": info.created_at.isoformat(),
        "updated_at": info.updated_at.isoformat(),
    }


def _status(status: Status) -> Json:
    return {
        "ref": status.ref,
        "offset": status.offset,
        "total": status.total,
        "started_at": status.started_at.isoformat(),
        "updated_at": status.updated_at.isoformat(),
    }
