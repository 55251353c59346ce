"""Mirrors: containerd v1.5.18 content/content.go, content/adaptor.go, helpers.go.

What a content store is (Protocols), and what can be said of any of them:
:func:`read_blob`, :func:`open_writer`, :func:`copy`, :func:`write_blob`.

    await write_blob(store, "layer-1", data, desc)
    assert await read_blob(store, desc) == data
"""

import random
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from types import TracebackType
from typing import Final, Protocol, Self

import anyio
from anyio.from_thread import check_cancelled

from refimpl.descriptor import Descriptor
from refimpl.digest import Digest
from refimpl.errdefs import (
    ErrAlreadyExists,
    ErrFailedPrecondition,
    ErrUnavailable,
    ErrUnexpectedEOF,
    wrapped,
)
from refimpl.gotext import quote
from refimpl.stores.filters import Adaptor, check_map
from refimpl.workers import run_blocking

__all__ = [
    "BytesReader",
    "Info",
    "IngestManager",
    "Ingester",
    "Manager",
    "Provider",
    "Reader",
    "ReaderAt",
    "Sink",
    "Status",
    "Store",
    "Writer",
    "adapt_info",
    "adapt_status",
    "copy",
    "open_writer",
    "read_blob",
    "write_blob",
]

Sink = Callable[[memoryview], int]

_CHUNK: Final = 1 << 20
_NO_DESCRIPTOR: Final = Descriptor()
_NO_DIGEST: Final = Digest("")


@dataclass(frozen=True, slots=True, kw_only=True)
class Info:
    """What a store knows about one blob (content/content.go:53)."""

    digest: Digest
    size: int
    created_at: datetime
    updated_at: datetime
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """How far an ingest has come (content/content.go:62)."""

    ref: str
    offset: int
    total: int
    expected: Digest = _NO_DIGEST
    started_at: datetime
    updated_at: datetime


class ReaderAt(Protocol):
    """Random access to one blob. The methods block: call them in a worker thread."""

    @property
    def size(self) -> int:
        """Return the length of the blob."""
        ...

    def read_at(self, offset: int, length: int) -> bytes:
        """Return up to ``length`` bytes from ``offset``; fewer only at the end."""
        ...

    def close(self) -> None:
        """Release the file. A second call does nothing."""
        ...


class Writer(Protocol):
    """One ingest that is being written (content/content.go:112).

    Use it as an async context manager: leaving the block closes the writer,
    and what was written stays for the next writer of the same ref.
    """

    def status(self) -> Status:
        """Return how far the ingest has come."""
        ...

    def digest(self) -> Digest:
        """Return the digest of all that was written so far."""
        ...

    def write(self, data: bytes | memoryview, /) -> int:
        """Append and hash. Blocks: call it in a worker thread."""
        ...

    async def truncate(self, size: int) -> None:
        """Start again from the first byte; only ``size`` 0 is supported."""
        ...

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
            ErrAlreadyExists: the store has such a blob.
        """
        ...

    async def aclose(self) -> None:
        """Close without committing. A second call does nothing."""
        ...

    async def __aenter__(self) -> Self:
        """Return the writer."""
        ...

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
        /,
    ) -> None:
        """Close the writer."""
        ...


class Provider(Protocol):
    """Opens blobs for reading."""

    async def reader_at(self, desc: Descriptor) -> ReaderAt:
        """Open a blob; only the digest of ``desc`` counts."""
        ...


class Ingester(Protocol):
    """Opens ingests for writing."""

    async def writer(self, *, ref: str, desc: Descriptor = _NO_DESCRIPTOR) -> Writer:
        """Begin or resume the ingest named ``ref``.

        Raises:
            ErrAlreadyExists: the blob that ``desc`` names is here.
            ErrUnavailable: another writer holds ``ref``.
        """
        ...


class Manager(Protocol):
    """Knows, labels, lists and deletes blobs."""

    async def info(self, digest: Digest) -> Info:
        """Return what is known of a blob."""
        ...

    async def update(self, info: Info, *fieldpaths: str) -> Info:
        """Change the labels: all of them, or only those that ``fieldpaths`` name."""
        ...

    async def walk(self, *filters: str) -> tuple[Info, ...]:
        """Return the blobs that any of the filters matches, sorted by digest.

        Args:
            filters: as in stores/filters.py, over ``digest`` and ``labels``; none
                match all blobs.

        Raises:
            ErrInvalidArgument: one is no filter.
        """
        ...

    async def delete(self, digest: Digest) -> None:
        """Remove a blob."""
        ...


class IngestManager(Protocol):
    """Knows and aborts ingests."""

    async def status(self, ref: str) -> Status:
        """Return how far an ingest has come."""
        ...

    async def list_statuses(self, *filters: str) -> tuple[Status, ...]:
        """Return the ingests that any of the filters matches, sorted by ref.

        Args:
            filters: as in stores/filters.py, over ``ref``; none match all ingests.

        Raises:
            ErrInvalidArgument: one is no filter.
        """
        ...

    async def abort(self, ref: str) -> None:
        """Remove an ingest and what it has written."""
        ...


class Store(Manager, Provider, IngestManager, Ingester, Protocol):
    """A complete content store."""


def adapt_info(info: Info) -> Adaptor:
    """Tell filters the fields of a blob (content/adaptor.go:26)."""

    def field_of(path: tuple[str, ...]) -> tuple[str, bool]:
        match path:
            case ("digest", *_):
                return info.digest, True
            case ("labels", *rest):
                return check_map(tuple(rest), info.labels)
        return "", False

    return field_of


def adapt_status(status: Status) -> Adaptor:
    """Tell filters the fields of an ingest (metadata/adaptors.go:90)."""
    return lambda path: (status.ref, True) if path[:1] == ("ref",) else ("", False)


class Reader(Protocol):
    """A body on its way, as a fetcher returns it."""

    async def seek(self, offset: int, /) -> None:
        """Let the next bytes come from ``offset``; needs no I/O yet."""
        ...

    async def write_to(self, sink: Sink, /) -> int:
        """Move all that is left into ``sink``, in a worker thread.

        Returns how many bytes were moved. What the sink raises passes
        through as it is: a reader retries its own errors only.
        """
        ...

    async def aclose(self) -> None:
        """Release the connection or file. A second call does nothing."""
        ...


class BytesReader:
    """A Reader over bytes in memory."""

    def __init__(self, data: bytes) -> None:
        self._data = memoryview(data)
        self._offset = 0

    async def seek(self, offset: int, /) -> None:
        """Let the next bytes come from ``offset``."""
        self._offset = offset

    async def write_to(self, sink: Sink, /) -> int:
        """Move all that is left into ``sink``."""
        start, self._offset = self._offset, len(self._data)
        return await run_blocking(_pour, self._data[start:], sink)

    async def aclose(self) -> None:
        """Do nothing: there is nothing to release."""


def _pour(data: memoryview, sink: Sink) -> int:
    for start in range(0, len(data), _CHUNK):
        check_cancelled()
        sink(data[start : start + _CHUNK])
    return len(data)


async def read_blob(
    provider: Provider, desc: Descriptor, *, limit: int | None = None
) -> bytes:
    """Return a whole blob (content/helpers.go:55). Not for layers.

    Args:
        provider: where the blob is.
        desc: names the blob.
        limit: refuse blobs with more bytes than this.

    Raises:
        ErrNotFound: there is no such blob.
        ErrFailedPrecondition: the blob is larger than ``limit``.
        ErrUnexpectedEOF: the file behind the blob is shorter than it was.
    """
    reader = await provider.reader_at(desc)
    try:
        if limit is not None and reader.size > limit:
            raise ErrFailedPrecondition(
                f"content {desc.digest} has {reader.size} bytes, "
                f"more than the limit of {limit}"
            )
        data = await run_blocking(reader.read_at, 0, reader.size)
    finally:
        reader.close()
    if len(data) != reader.size:
        raise ErrUnexpectedEOF
    return data


async def write_blob(
    ingester: Ingester,
    ref: str,
    data: bytes,
    desc: Descriptor,
    *,
    labels: Mapping[str, str] | None = None,
) -> None:
    """Store bytes under the digest of ``desc`` (content/helpers.go:82).

    A blob that exists is fine and is not written again.
    """
    try:
        with wrapped("failed to open writer"):
            writer = await open_writer(ingester, ref=ref, desc=desc)
    except ErrAlreadyExists:
        return
    async with writer:
        await copy(writer, BytesReader(data), desc.size, desc.digest, labels=labels)


async def open_writer(
    ingester: Ingester, *, ref: str, desc: Descriptor = _NO_DESCRIPTOR
) -> Writer:
    """Open a writer, waiting while another one holds the ref.

    The waits are random and grow to two seconds (content/helpers.go:98). A
    caller that does not want to wait for ever cancels.
    """
    retry = 16
    while True:
        try:
            return await ingester.writer(ref=ref, desc=desc)
        except ErrUnavailable:
            await anyio.sleep(random.randrange(retry) / 1000)  # noqa: S311 - a wait
        if retry < 2048:
            retry <<= 1


class _TooLong(Exception):
    """More bytes came than the descriptor allows."""


async def copy(
    writer: Writer,
    reader: Reader,
    size: int,
    expected: Digest,
    *,
    labels: Mapping[str, str] | None = None,
) -> None:
    """Move a body into a writer and commit it (content/helpers.go:140).

    Resumes where the writer stands. A blob that another writer has committed
    meanwhile is fine. Too few bytes show at the commit, as in containerd,
    which computes io.ErrUnexpectedEOF there and drops it (helpers.go:174).

    Args:
        writer: where the bytes go.
        reader: where the bytes come from.
        size: how many bytes the blob has, or 0 where that is unknown.
        expected: the digest of the blob, or empty where that is unknown.
        labels: the labels that the blob starts with.

    Raises:
        ErrFailedPrecondition: the size or the digest of what came is wrong.
    """
    status = writer.status()
    if status.offset > 0:
        with wrapped(f"unable to resume write to {status.ref}"):
            await reader.seek(status.offset)
    with wrapped("failed to copy"), suppress(_TooLong):  # the commit names both sizes
        await reader.write_to(_bounded(writer, status.offset, size))
    try:
        with wrapped(f"failed commit on ref {quote(status.ref)}"):
            await writer.commit(size, expected, labels=labels)
    except ErrAlreadyExists:
        return


def _bounded(writer: Writer, offset: int, size: int) -> Sink:
    """Return a sink that stops the reader once ``size`` bytes are exceeded."""
    position = offset

    def sink(data: memoryview) -> int:
        nonlocal position
        count = writer.write(data)
        position += count
        # DEVIATION D16: containerd goes on for as long as a registry sends and
        # checks the size at the end (content/helpers.go:160); the disk fills.
        if 0 < size < position:
            raise _TooLong
        return count

    return sink if size > 0 else writer.write
