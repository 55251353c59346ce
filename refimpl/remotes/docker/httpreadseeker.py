"""Mirrors: containerd v1.5.18 remotes/docker/httpreadseeker.go.

A body that is asked for when it is needed, and asked for again from where it
broke off:

    reader = HTTPReadSeeker(desc.size, open_at)
    await reader.seek(1000)
    moved = await reader.write_to(sink)
"""

from collections.abc import Awaitable, Callable
from typing import Final

from refimpl.errdefs import (
    ContainerdError,
    ErrInvalidArgument,
    ErrUnavailable,
    ErrUnexpectedEOF,
    wrapped,
)
from refimpl.remotes.docker.httpclient import Response

__all__ = ["MAX_RETRY", "HTTPReadSeeker"]

# httpreadseeker.go:29: how often in a row a body may break off at one offset.
MAX_RETRY: Final = 3

Sink = Callable[[memoryview], int]


class HTTPReadSeeker:
    """A content.Reader over HTTP (httpreadseeker.go:31).

    Args:
        size: how long the content is, or -1 where that is unknown.
        open_at: asks for the content from an offset on.
    """

    def __init__(
        self, size: int, open_at: Callable[[int], Awaitable[Response]]
    ) -> None:
        self._size = size
        self._open_at = open_at
        self._offset = 0
        self._response: Response | None = None
        self._closed = False

    async def seek(self, offset: int, /) -> None:
        """Let the next bytes come from ``offset`` (httpreadseeker.go:93).

        Raises:
            ErrUnavailable: the reader is closed.
            ErrInvalidArgument: the offset is negative.
        """
        if self._closed:
            raise ErrUnavailable("Fetcher.Seek: closed")
        if offset < 0:
            raise ErrInvalidArgument("Fetcher.Seek: negative offset")
        if offset != self._offset:
            self._drop_response()
            self._offset = offset

    async def write_to(self, sink: Sink, /) -> int:
        """Move all that is left into ``sink`` (httpreadseeker.go:51, Read).

        What the sink raises passes through.

        Raises:
            ErrUnexpectedEOF: the body broke off, and asking again did not help.
            ContainerdError: it cannot be had.
        """
        start = self._offset
        broken: ErrUnexpectedEOF | None = None
        without_progress = 0
        while not self._closed and await self._reopen(broken):
            before = self._offset
            try:
                await self._pump(sink)
            except ErrUnexpectedEOF as err:
                self._drop_response()
                broken = err
                # The break that ends some progress counts too (:61, reset and :66).
                progress = self._offset > before
                without_progress = 1 if progress else without_progress + 1
                if without_progress > MAX_RETRY:
                    raise
            else:
                break
        return self._offset - start

    async def _reopen(self, broken: ErrUnexpectedEOF | None) -> bool:
        """Make sure of a response; False says that nothing is left to ask for."""
        if self._response is not None:
            return True
        if 0 <= self._size <= self._offset:
            # Asking for nothing would be answered 416 (httpreadseeker.go:147).
            return False
        try:
            with wrapped("httpReadSeeker: failed open"):
                self._response = await self._open_at(self._offset)
        except ContainerdError as err:
            if broken is None:
                raise
            # What broke off counts more than that it could not be resumed (:82).
            raise broken from err
        return True

    async def _pump(self, sink: Sink) -> None:
        def counted(view: memoryview) -> int:
            written = sink(view)
            self._offset += len(view)
            return written

        if self._response is not None:
            await self._response.pump(counted)

    def _drop_response(self) -> None:
        response, self._response = self._response, None
        if response is not None:
            response.close()

    async def aclose(self) -> None:
        """Give the connection back. A second call does nothing."""
        self._closed = True
        self._drop_response()
