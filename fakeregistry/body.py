"""Bodies of requests, read when somebody wants them.

A handler takes what it needs, in blocks or at once; the beginning is kept for
the journal, and what nobody wanted is read and dropped, so that a refusal
reaches a client that is still sending.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

__all__ = ["MAX_BODY", "MAX_DRAIN", "NO_BODY", "BadRequest", "Body"]

# Bytes of a body that are kept, and that are read although nobody wants them.
MAX_BODY: Final = 1024 * 1024
MAX_DRAIN: Final = 64 * 1024 * 1024


class BadRequest(Exception):
    """The bytes are no request: answer with the status and hang up."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason

    @property
    def phrase(self) -> str:
        """The reason phrase of the status line."""
        return HTTPStatus(self.status).phrase


class Body:
    """The body of one request.

    Args:
        source: Gives the blocks; raises BadRequest when they end too soon.
        ask: Sends 100 Continue to a client that waits for it; None if none does.
        length: Number of bytes that were announced; None: they come chunked.
    """

    __slots__ = ("_ask", "_keep", "_kept", "_source", "ended", "length", "size")

    def __init__(
        self,
        source: Iterable[bytes],
        *,
        ask: Callable[[], None] | None = None,
        length: int | None = None,
    ) -> None:
        self._source = iter(source)
        self._ask = ask
        self._keep = MAX_BODY
        self._kept = bytearray()
        self.ended = False
        self.length = length
        self.size = 0

    @classmethod
    def of(cls, data: bytes) -> Body:
        """Make a body of bytes that are there; they count as read."""
        body = cls((data,), length=len(data))
        body.drain()
        return body

    @property
    def kept(self) -> bytes:
        """The beginning of what was read so far."""
        return bytes(self._kept)

    def blocks(self) -> Iterator[bytes]:
        """Read what is left.

        Raises:
            BadRequest: It ends before its end, or its framing is broken.
        """
        if self._ask is not None:
            self._ask()
            self._ask = None
        for block in self._source:
            if len(self._kept) < self._keep:
                self._kept += block[: self._keep - len(self._kept)]
            self.size += len(block)
            yield block
        self.ended = True

    def read(self, limit: int) -> bytes | None:
        """Read all of it; None if it is longer than ``limit``.

        Raises:
            BadRequest: It ends before its end, or its framing is broken.
        """
        if self.length is not None and self.length > limit:
            return None
        data = bytearray()
        for block in self.blocks():
            data += block
            if len(data) > limit:
                return None
        return bytes(data)

    def drain(self) -> bool:
        """Read and drop the rest.

        Returns:
            Whether another request can follow: not when the client still waits to
            be asked, or sends without an end.
        """
        if self.ended:
            return True
        if self._ask is not None:
            return False
        end = self.size + MAX_DRAIN
        try:
            for _ in self.blocks():
                if self.size > end:
                    return False
        except BadRequest:
            return False
        return True

    def keep(self, limit: int) -> None:
        """Keep no more than ``limit`` bytes, of what was read and what comes."""
        self._keep = limit
        del self._kept[limit:]


NO_BODY: Final = Body.of(b"")
