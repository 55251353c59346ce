"""A content store in memory, for tests and for whoever wants to try things out.

It keeps the contract of stores/content.py and the error texts of containerd's
metadata store (metadata/content.go), but nothing survives it.

    store = MemoryStore()
    store.put(digest, b"...", labels={})
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from types import TracebackType
from typing import Final, Self

from refimpl import labels as label_rules
from refimpl.descriptor import Descriptor
from refimpl.digest import Digest, algorithm, hasher
from refimpl.errdefs import (
    ErrAlreadyExists,
    ErrFailedPrecondition,
    ErrInvalidArgument,
    ErrNotFound,
    ErrUnavailable,
)
from refimpl.gotext import quote
from refimpl.stores.content import Info, Status, adapt_info, adapt_status
from refimpl.stores.filters import parse_all

__all__ = ["MemoryStore"]

_NO_DESCRIPTOR: Final = Descriptor()


@dataclass(slots=True)
class _Ingest:
    """What was written under a ref; ``locked`` while a writer is open."""

    expected: Digest
    total: int
    started_at: datetime
    updated_at: datetime
    data: bytearray = field(default_factory=bytearray)
    locked: bool = False


class MemoryStore:
    """Blobs, labels and ingests in dictionaries."""

    def __init__(self) -> None:
        self._blobs: dict[Digest, bytes] = {}
        self._infos: dict[Digest, Info] = {}
        self._ingests: dict[str, _Ingest] = {}

    def put(
        self, digest: Digest, data: bytes, labels: Mapping[str, str] | None = None
    ) -> None:
        """Add a blob as it is: whether the digest is its own is not asked."""
        now = datetime.now(UTC)
        self._blobs[digest] = data
        self._infos[digest] = Info(
            digest=digest,
            size=len(data),
            created_at=now,
            updated_at=now,
            labels=_written(labels or {}),
        )

    async def reader_at(self, desc: Descriptor) -> "_Reader":
        """Open a blob."""
        await self.info(desc.digest)
        return _Reader(self._blobs[desc.digest])

    async def info(self, digest: Digest) -> Info:
        """Return what is known of a blob."""
        if digest not in self._infos:
            raise ErrNotFound(f"content digest {digest}")
        return self._infos[digest]

    async def update(self, info: Info, *fieldpaths: str) -> Info:
        """Change the labels: all of them, or only those that ``fieldpaths`` name."""
        old = await self.info(info.digest)
        labels = dict(old.labels) if fieldpaths else dict(info.labels)
        for path in fieldpaths:
            if path == "labels":
                labels = dict(info.labels)
            elif key := path.removeprefix("labels.") if "." in path else "":
                labels[key] = info.labels.get(key, "")
            else:
                raise ErrInvalidArgument(
                    f"cannot update {quote(path)} field on content info "
                    f"{quote(info.digest)}"
                )
        for key, value in labels.items():
            label_rules.validate(key, value)
        new = replace(old, labels=_written(labels), updated_at=datetime.now(UTC))
        self._infos[info.digest] = new
        return new

    async def walk(self, *filters: str) -> tuple[Info, ...]:
        """Return the blobs that any of the filters matches, sorted by digest."""
        matches = parse_all(*filters)
        infos = (self._infos[digest] for digest in sorted(self._infos))
        return tuple(info for info in infos if matches(adapt_info(info)))

    async def delete(self, digest: Digest) -> None:
        """Remove a blob."""
        await self.info(digest)
        del self._infos[digest], self._blobs[digest]

    async def writer(self, *, ref: str, desc: Descriptor = _NO_DESCRIPTOR) -> "_Writer":
        """Begin or resume an ingest."""
        if not ref:
            raise ErrInvalidArgument("ref must not be empty")
        if desc.digest in self._infos:
            raise ErrAlreadyExists(f"content {desc.digest}")
        now = datetime.now(UTC)
        ingest = self._ingests.setdefault(
            ref, _Ingest(desc.digest, max(desc.size, 0), now, now)
        )
        if ingest.locked:
            raise ErrUnavailable(f"ref {ref} locked")
        ingest.locked = True
        return _Writer(self, ref, ingest)

    async def status(self, ref: str) -> Status:
        """Return how far an ingest has come."""
        if ref not in self._ingests:
            raise ErrNotFound(f"ref {ref}")
        return _status(ref, self._ingests[ref])

    async def list_statuses(self, *filters: str) -> tuple[Status, ...]:
        """Return the ingests that any of the filters matches, sorted by ref."""
        matches = parse_all(*filters)
        found = (_status(ref, self._ingests[ref]) for ref in sorted(self._ingests))
        return tuple(status for status in found if matches(adapt_status(status)))

    async def abort(self, ref: str) -> None:
        """Remove an ingest and what it has written."""
        if self._ingests.pop(ref, None) is None:
            raise ErrNotFound(f"ref {ref}")


def _written(labels: Mapping[str, str]) -> dict[str, str]:
    """Leave out empty values, as the metadata store does (boltutil/helpers.go:78)."""
    return {key: value for key, value in labels.items() if value}


def _status(ref: str, ingest: _Ingest) -> Status:
    return Status(
        ref=ref,
        offset=len(ingest.data),
        total=ingest.total,
        expected=ingest.expected,
        started_at=ingest.started_at,
        updated_at=ingest.updated_at,
    )


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data = data

    @property
    def size(self) -> int:
        return len(self._data)

    def read_at(self, offset: int, length: int) -> bytes:
        return self._data[offset : offset + length]

    def close(self) -> None:
        pass  # nothing is held


class _Writer:
    def __init__(self, store: MemoryStore, ref: str, ingest: _Ingest) -> None:
        self._store = store
        self._ref = ref
        self._ingest: _Ingest | None = ingest

    def status(self) -> Status:
        return _status(self._ref, self._opened())

    def digest(self) -> Digest:
        ingest = self._opened()
        name = algorithm(ingest.expected) or "sha256"
        content = hasher(name)
        content.update(ingest.data)
        return Digest(f"{name}:{content.hexdigest()}")

    def write(self, data: bytes | memoryview, /) -> int:
        ingest = self._opened()
        ingest.data += data
        ingest.updated_at = datetime.now(UTC)
        return len(data)

    async def truncate(self, size: int) -> None:
        if size != 0:
            raise ErrInvalidArgument("truncate: unsupported size")
        self._opened().data.clear()

    async def commit(
        self, size: int, expected: Digest, *, labels: Mapping[str, str] | None = None
    ) -> None:
        ingest, found = self._opened(), self.digest()
        await self.aclose()
        if size not in (0, len(ingest.data)):
            raise ErrFailedPrecondition(
                f"{quote(self._ref)} failed size validation: "
                f"{len(ingest.data)} != {size}"
            )
        if expected not in ("", found):
            raise ErrFailedPrecondition(
                f"unexpected commit digest {found}, expected {expected}"
            )
        await self._store.abort(self._ref)
        if found in {info.digest for info in await self._store.walk()}:
            raise ErrAlreadyExists(f"content {found}")
        self._store.put(found, bytes(ingest.data), labels)

    async def aclose(self) -> None:
        if self._ingest is not None:
            self._ingest.locked = False
            self._ingest = None

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

    def _opened(self) -> _Ingest:
        if self._ingest is None:
            raise ErrFailedPrecondition(f"cannot use closed writer of {self._ref}")
        return self._ingest
