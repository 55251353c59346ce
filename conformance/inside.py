"""What a case does inside a client: dispatch handlers, use its content store.

    run = bench.inside.dispatch([tree], ["index"], limit=2)
    store = bench.inside.content_store()
    with must_raise("ErrNotFound"):
        store.info(digest)

What the client raises fails the case that did not expect it, and nothing that the
client does takes longer than the deadline of a pull.
"""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final, Protocol, Self, TypeVar, cast

from conformance import whitebox
from conformance.case import DeadlineMissed, Feature, not_testable
from conformance.contract import Json
from conformance.tree import Tree, desc_of
from conformance.whitebox import METHODS, WhiteBox, error_class, outcome_of

if TYPE_CHECKING:
    from pathlib import Path

    from conformance.bench import Bench, Pull, RunningPull

__all__ = [
    "Info",
    "Inside",
    "Reader",
    "Status",
    "Store",
    "StoreError",
    "StoreWriter",
    "Witness",
    "must_raise",
]

T = TypeVar("T")

_OVERTAKERS: Final = 2


class Witness(Protocol):
    """Knows whether the client has met what is broken: a `fakeregistry.Fault` does."""

    @property
    def fired(self) -> int:
        """How often it was met."""
        ...

    @property
    def rule(self) -> object:
        """What is broken."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Info:
    """What a store knows about a blob."""

    digest: str
    size: int
    labels: Mapping[str, str]
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """How far an ingest has come."""

    ref: str
    offset: int
    total: int
    started_at: datetime
    updated_at: datetime


class StoreError(AssertionError):
    """What the client raised: a failure of the case, unless it wants just that.

    Attributes:
        name: The class, by containerd's name.
    """

    def __init__(self, what: str, err: Exception) -> None:
        self.name = error_class(err)
        super().__init__(f"{what} failed: {self.name}: {err}")


@contextmanager
def must_raise(name: str) -> Iterator[None]:
    """Hold that the client raises an error of this class in the block.

    Raises:
        AssertionError: It raised another one, or none.
    """
    try:
        yield
    except StoreError as err:
        if err.name != name:
            raise AssertionError(f"it must be {name}, but {err}") from err
    else:
        raise AssertionError(f"the client reported success; it must be {name}")


class Inside:
    """Drives what an adapter offers of `conformance.whitebox.WhiteBox`."""

    def __init__(self, bench: "Bench", *, timeout: float) -> None:
        self._bench = bench
        self._timeout = timeout
        self._opened: list[Store] = []
        self._trees: list[Tree] = []

    def start_dispatch(
        self,
        handlers: Sequence[Tree],
        names: Sequence[str],
        *,
        limit: int | None = None,
    ) -> "RunningPull":
        """Let the client begin to dispatch descriptors to a chain of handlers."""
        adapter, descs = self._offered(Feature.HANDLERS), [*map(desc_of, names)]
        self._trees += handlers
        return self._bench.start_call(
            f"dispatch of {', '.join(names)} (limit {limit})",
            lambda on_cancel: outcome_of(
                lambda: adapter.dispatch(handlers, descs, limit, on_cancel)
            ),
            lambda: _give_up(handlers),
        )

    def dispatch(
        self,
        handlers: Sequence[Tree],
        names: Sequence[str],
        *,
        limit: int | None = None,
    ) -> "Pull":
        """Let the client dispatch descriptors, and wait for the end.

        Raises:
            AssertionError: It reported success and has called no handler.
        """
        pull = self.start_dispatch(handlers, names, limit=limit).wait()
        return _ended(pull, handlers, names)

    def walk(self, handlers: Sequence[Tree], names: Sequence[str]) -> "Pull":
        """Let the client walk from descriptors, and wait for the end.

        Raises:
            AssertionError: It reported success and has called no handler.
        """
        adapter, descs = self._offered(Feature.HANDLERS), [*map(desc_of, names)]
        run = self._bench.start_call(
            f"walk of {', '.join(names)}",
            lambda _: outcome_of(lambda: adapter.walk(handlers, descs)),
            lambda: _give_up(handlers),
        )
        return _ended(run.wait(), handlers, names)

    def overtake(self) -> None:
        """Begin and end another dispatch, or two.

        What the client could have begun before it has begun them has begun then:
        that needs no sleep.
        """
        for _ in range(_OVERTAKERS):
            assert self.dispatch([Tree()], ["overtaking"]).ok  # noqa: S101 - the case's

    def content_store(self, root: "Path | None" = None) -> "Store":
        """Open the client's content store; it is closed when the case is over."""
        adapter = self._offered(Feature.CONTENT_STORE)
        where = str(self._bench.root if root is None else root)
        calls = _Calls(self._timeout)
        opened = calls("open", adapter.open_content_store, where)
        store = Store(calls, _checked(opened, whitebox.ContentStore))
        self._opened.append(store)
        return store

    def close(self) -> None:
        """Let go of handlers that are held, and close what is still open."""
        for tree in self._trees:
            tree.open()
        for store in self._opened:
            with suppress(StoreError, DeadlineMissed):
                store.close()

    def _offered(self, feature: Feature) -> WhiteBox:
        adapter = self._bench.client.adapter
        if not all(hasattr(adapter, name) for name in METHODS[feature]):
            not_testable(f"the adapter does not offer: {feature}")
        return cast("WhiteBox", adapter)


def _give_up(handlers: Sequence[Tree]) -> None:
    for handler in handlers:
        handler.give_up("the client has ended")


def _ended(pull: "Pull", handlers: Sequence[Tree], names: Sequence[str]) -> "Pull":
    """Return how a call ended; a success without a handler called is none."""
    asked = names and handlers
    if pull.ok and asked and not any(handler.calls for handler in handlers):
        raise AssertionError("the client reported success and called no handler")
    return pull


class _Calls:
    """Calls what may hang, and says what was called when it fails."""

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout

    def __call__(self, what: str, function: Callable[..., T], *args: object) -> T:
        """Call a function of the client in a thread that may be left behind.

        Raises:
            StoreError: It raised something.
            DeadlineMissed: It did not return in time.
        """
        found: list[T] = []
        raised: list[Exception] = []

        def call() -> None:
            try:
                found.append(function(*args))
            except Exception as err:  # noqa: BLE001 - raised again below
                raised.append(err)

        thread = threading.Thread(target=call, name=what, daemon=True)
        thread.start()
        thread.join(self._timeout)
        if thread.is_alive():
            raise DeadlineMissed(
                f"the client missed its deadline: {what} took over {self._timeout:g} s"
            )
        if raised:
            raise StoreError(what, raised[0]) from raised[0]
        return found[0]


class Store:
    """The client's content store, as a case uses it."""

    def __init__(self, calls: _Calls, store: whitebox.ContentStore) -> None:
        self._calls = calls
        self._store = store

    def writer(self, ref: str, *, size: int = 0, digest: str = "") -> "StoreWriter":
        """Begin or resume an ingest."""
        opened = self._calls(f"writer of {ref}", self._store.writer, ref, size, digest)
        return StoreWriter(self._calls, _checked(opened, whitebox.Writer))

    def reader_at(self, digest: str) -> "Reader":
        """Open a blob."""
        opened = self._calls("reader_at", self._store.reader_at, digest)
        return Reader(self._calls, _checked(opened, whitebox.ReaderAt))

    def read(self, digest: str) -> bytes:
        """Return a whole blob."""
        with self.reader_at(digest) as reader:
            return reader.read_at(0, reader.size)

    def add(self, ref: str, data: bytes, **labels: str) -> str:
        """Store a blob, and return its digest, as the client has computed it."""
        writer = self.writer(ref)
        writer.write(data)
        digest = writer.digest()
        writer.commit(len(data), digest, labels)
        return digest

    def info(self, digest: str) -> Info:
        """Return what is known of a blob."""
        return _info(self._calls("info", self._store.info, digest))

    def update(self, digest: str, labels: Mapping[str, str], *fieldpaths: str) -> Info:
        """Change labels."""
        return _info(
            self._calls("update", self._store.update, digest, labels, fieldpaths)
        )

    def walk(self, *filters: str) -> tuple[Info, ...]:
        """Return blobs."""
        return _all(_info, self._calls("walk", self._store.walk, filters))

    def has(self, digest: str) -> bool:
        """Say whether there is such a blob."""
        return digest in {info.digest for info in self.walk()}

    def delete(self, digest: str) -> None:
        """Remove a blob."""
        self._calls("delete", self._store.delete, digest)

    def status(self, ref: str) -> Status:
        """Return how far an ingest has come."""
        return _status(self._calls(f"status of {ref}", self._store.status, ref))

    def list_statuses(self, *filters: str) -> tuple[Status, ...]:
        """Return ingests."""
        found = self._calls("list_statuses", self._store.list_statuses, filters)
        return _all(_status, found)

    def abort(self, ref: str) -> None:
        """Remove an ingest."""
        self._calls(f"abort of {ref}", self._store.abort, ref)

    def close(self) -> None:
        """Close the store."""
        self._calls("close", self._store.close)


class StoreWriter:
    """A writer of the client's content store."""

    def __init__(self, calls: _Calls, writer: whitebox.Writer) -> None:
        self._calls = calls
        self._writer = writer

    def write(self, data: bytes) -> None:
        """Append bytes, all of them."""
        count = self._calls("write", self._writer.write, data)
        if count != len(data):
            raise AssertionError(f"write took {count!r} of {len(data)} bytes")

    def status(self) -> Status:
        """Return how far the ingest has come."""
        return _status(self._calls("status", self._writer.status))

    def digest(self) -> str:
        """Return the digest of what the ingest holds."""
        return self._calls("digest", self._writer.digest)

    def truncate(self) -> None:
        """Start again from the first byte."""
        self._calls("truncate", self._writer.truncate, 0)

    def commit(
        self, size: int = 0, digest: str = "", labels: Mapping[str, str] | None = None
    ) -> None:
        """Make a blob of the ingest."""
        self._calls("commit", self._writer.commit, size, digest, dict(labels or {}))

    def close(self) -> None:
        """Close the writer without a commit."""
        self._calls("close", self._writer.close)


class Reader:
    """A blob of the client's content store, open for reading."""

    def __init__(self, calls: _Calls, reader: whitebox.ReaderAt) -> None:
        self._calls = calls
        self._reader = reader

    @property
    def size(self) -> int:
        """The length of the blob."""
        return self._calls("size", lambda: self._reader.size)

    def read_at(self, offset: int, length: int) -> bytes:
        """Return bytes from anywhere."""
        return self._calls("read_at", self._reader.read_at, offset, length)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._calls("close", self._reader.close)


def _all(parse: Callable[[Json], T], answer: Sequence[Json]) -> tuple[T, ...]:
    if not isinstance(answer, list | tuple):
        raise AssertionError(f"{answer!r} is no list")
    return tuple(map(parse, answer))


def _checked(opened: T, kind: type) -> T:
    """Return what was opened, if it has the methods of a protocol."""
    if not isinstance(opened, kind):
        raise AssertionError(f"{opened!r} is no {kind.__name__} (ADAPTER.md)")
    return opened


def _info(answer: Json) -> Info:
    try:
        return Info(
            digest=answer["digest"],
            size=answer["size"],
            labels=dict(answer["labels"]),
            created_at=datetime.fromisoformat(answer["created_at"]),
            updated_at=datetime.fromisoformat(answer["updated_at"]),
        )
    except (KeyError, TypeError, ValueError) as err:
        raise AssertionError(f"{answer!r} is no info ({err!r})") from err


def _status(answer: Json) -> Status:
    try:
        return Status(
            ref=answer["ref"],
            offset=answer["offset"],
            total=answer["total"],
            started_at=datetime.fromisoformat(answer["started_at"]),
            updated_at=datetime.fromisoformat(answer["updated_at"]),
        )
    except (KeyError, TypeError, ValueError) as err:
        raise AssertionError(f"{answer!r} is no status ({err!r})") from err
