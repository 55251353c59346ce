"""The optional part of the contract: what a Python object lets the suite drive inside.

A client in Python may let its walk of an image (Feature.HANDLERS) and its content
store (Feature.CONTENT_STORE) be called piece by piece, in this process. Everything is
synchronous and may block; descriptors, infos and statuses are plain dicts. ADAPTER.md
teaches it, with an example that runs.

Errors cross this border in both directions by the names of their classes, which are
containerd's (errdefs): ``ErrNotFound`` is an exception whose class, or a base class of
it, has that name, whoever wrote it.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol, runtime_checkable

from conformance.case import Feature
from conformance.contract import AdapterError, Json, OnCancel

__all__ = [
    "METHODS",
    "ContentStore",
    "Done",
    "ErrSkipDesc",
    "ErrStopHandler",
    "Handler",
    "ReaderAt",
    "WhiteBox",
    "Writer",
    "check_methods",
    "error_class",
    "outcome_of",
]

#: What an adapter has that claims the feature.
METHODS: Final[Mapping[Feature, tuple[str, ...]]] = {
    Feature.HANDLERS: ("dispatch", "walk"),
    Feature.CONTENT_STORE: ("open_content_store",),
}


class ErrSkipDesc(Exception):
    """A handler wants no children of this descriptor to be visited."""


class ErrStopHandler(Exception):
    """A handler wants the handlers behind it not to be asked, and no error."""


class Done(Protocol):
    """Tells a handler that its work is of no use any more (Go: ``ctx.Done()``).

    A `threading.Event` is one.
    """

    def is_set(self) -> bool:
        """Say whether it is so."""
        ...

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it is so, at most so many seconds; say whether it is."""
        ...


#: What the suite hands to the client: it blocks, and returns children, or None.
Handler = Callable[[Done, Json], Sequence[Json] | None]


@runtime_checkable
class ReaderAt(Protocol):
    """One blob, open for reading (content.ReaderAt)."""

    @property
    def size(self) -> int:
        """Return its length in bytes."""
        ...

    def read_at(self, offset: int, length: int) -> bytes:
        """Return up to ``length`` bytes from ``offset``; fewer only at the end."""
        ...

    def close(self) -> None:
        """Close it."""
        ...


@runtime_checkable
class Writer(Protocol):
    """One ingest, open for writing (content.Writer)."""

    def write(self, data: bytes) -> int:
        """Append bytes, and return how many."""
        ...

    def status(self) -> Json:
        """Return ref, offset, total, started_at and updated_at."""
        ...

    def digest(self) -> str:
        """Return the digest of all that the ingest holds."""
        ...

    def truncate(self, size: int) -> None:
        """Start again with so many bytes; 0 is enough."""
        ...

    def commit(self, size: int, digest: str, labels: Mapping[str, str]) -> None:
        """Make a blob of it, and close the writer, on errors too.

        Size 0 and an empty digest say that they are not known.
        """
        ...

    def close(self) -> None:
        """Close it without a commit; what was written stays. Twice is fine."""
        ...


@runtime_checkable
class ContentStore(Protocol):
    """One content store (content.Store).

    An info is ``{"digest", "size", "labels", "created_at", "updated_at"}``, a status
    ``{"ref", "offset", "total", "started_at", "updated_at"}``; times are ISO-8601
    texts. A total of 0 says that it is not known.
    """

    def writer(self, ref: str, size: int, digest: str) -> Writer:
        """Begin or resume an ingest; size 0 and an empty digest are not known."""
        ...

    def reader_at(self, digest: str) -> ReaderAt:
        """Open a blob."""
        ...

    def info(self, digest: str) -> Json:
        """Return the info of a blob."""
        ...

    def update(
        self, digest: str, labels: Mapping[str, str], fieldpaths: Sequence[str]
    ) -> Json:
        """Change the labels that field paths name, or all; return the info."""
        ...

    def walk(self, filters: Sequence[str]) -> Sequence[Json]:
        """Return the infos that any of the filters matches, or all."""
        ...

    def delete(self, digest: str) -> None:
        """Remove a blob."""
        ...

    def status(self, ref: str) -> Json:
        """Return the status of an ingest."""
        ...

    def list_statuses(self, filters: Sequence[str]) -> Sequence[Json]:
        """Return the statuses that any of the filters matches, or all."""
        ...

    def abort(self, ref: str) -> None:
        """Remove an ingest."""
        ...

    def close(self) -> None:
        """Close the store; what is in it stays under its root."""
        ...


class WhiteBox(Protocol):
    """What an adapter has beside `conformance.contract.Adapter`."""

    def dispatch(
        self,
        handlers: Sequence[Handler],
        descs: Sequence[Json],
        limit: int | None,
        on_cancel: OnCancel,
    ) -> None:
        """Run images.Dispatch with a chain of handlers, and return when it has ended.

        At most ``limit`` handlers run at once; None sets no limit. ``on_cancel`` is
        given a function that cancels it from any thread.
        """
        ...

    def walk(self, handlers: Sequence[Handler], descs: Sequence[Json]) -> None:
        """Run images.Walk with a chain of handlers, and return when it has ended."""
        ...

    def open_content_store(self, root: str) -> ContentStore:
        """Open the content store under a root, and make it where there is none."""
        ...


def check_methods(adapter: object, features: frozenset[Feature], *, where: str) -> None:
    """Make sure that an adapter has what it claims.

    Raises:
        AdapterError: It has not.
    """
    for feature, names in METHODS.items():
        missing = [name for name in names if not hasattr(adapter, name)]
        if feature in features and missing:
            raise AdapterError(
                f"{where}: claims {feature}, and has no {' and no '.join(missing)}: "
                "only a Python object can"
            )


def error_class(err: BaseException) -> str:
    """Return containerd's name for an error, or else that of its class."""
    names = [kind.__name__ for kind in type(err).__mro__]
    return next((name for name in names if name.startswith("Err")), names[0])


def outcome_of(call: Callable[[], object]) -> Json:
    """Return a call's end as the result of a pull has it: an error is one, too."""
    try:
        call()
    except AdapterError:
        raise
    except Exception as err:  # noqa: BLE001 - whatever it raises is the outcome
        error = {"class": error_class(err), "message": f"{error_class(err)}: {err}"}
        return {"ok": False, "error": error}
    return {"ok": True}
