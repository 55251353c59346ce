"""Mirrors: containerd v1.5.18 cmd/ctr/commands/resolver.go:187 (--http-trace).

Let somebody watch the requests of a pull:

    with observed(lambda method, url, headers: MyExchange()):
        await client.pull(ref)

URLs come without what may be secret: user, password, query and fragment.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final, Protocol

__all__ = ["NOBODY", "Exchange", "Observer", "begin", "observed"]


class Exchange(Protocol):
    """Is told how one request goes on."""

    def answered(self, status: int, /) -> None:
        """Note that the head of the response is there."""

    def moved(self, size: int, /) -> None:
        """Note that so many bytes of the body have come; called in any thread."""

    def ended(self, error: BaseException | None, /) -> None:
        """Note that it is over; called once or more, and the first time counts."""


class _Nobody:
    """An exchange that nobody watches."""

    def answered(self, _status: int, /) -> None:
        """Do nothing."""

    def moved(self, _size: int, /) -> None:
        """Do nothing."""

    def ended(self, _error: BaseException | None, /) -> None:
        """Do nothing."""


NOBODY: Final[Exchange] = _Nobody()

#: Is given method, URL and header fields of a request that is about to be sent.
Observer = Callable[[str, str, Mapping[str, str]], Exchange]

_observer: ContextVar[Observer | None] = ContextVar("refimpl_observer", default=None)


@contextmanager
def observed(observer: Observer) -> Iterator[None]:
    """Let an observer see every request that is sent inside the block."""
    token = _observer.set(observer)
    try:
        yield
    finally:
        _observer.reset(token)


def begin(method: str, url: str, headers: Mapping[str, str]) -> Exchange:
    """Return who is to be told about a request."""
    observer = _observer.get()
    return NOBODY if observer is None else observer(method, url, headers)
