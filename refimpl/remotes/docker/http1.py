"""HTTP/1.1 heads and bodies off a socket (RFC 9112), for a client.

containerd leaves this to Go's net/http. What is here is what a pull needs of it,
strict where laxness would mix up two messages, and quick: a body goes from the
socket into the caller's buffer without a copy in between.

    incoming = Incoming(sock)
    head = read_head(incoming)
    body = Body(incoming, framing(head, "GET"), release)
    while n := body.read_into(view):
        ...
"""

import re
import socket
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, NamedTuple

import httpx

__all__ = ["Body", "Framing", "Head", "Incoming", "framing", "read_head"]

# Go's net/http takes ten times as much (http.Transport MaxResponseHeaderBytes).
MAX_HEAD: Final = 1 << 20
MAX_LINE: Final = 1 << 16
# As many interim responses as Go's net/http reads before it gives up.
MAX_INTERIM: Final = 5

_READ_AHEAD: Final = 1 << 16
_BUFFER: Final = 1 << 18

_STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9]{2})(?: ([^\r\n]*))?")
_FIELD = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*(.*?)[ \t]*", re.DOTALL)
_LENGTH = re.compile(rb"[0-9]{1,18}")
_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;.*)?")


class Incoming:
    """What comes from a socket; what was read too far stays for the next reader."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._ahead = b""
        self._start = 0

    @property
    def pending(self) -> int:
        """Return how many bytes were read from the socket and not yet used."""
        return len(self._ahead) - self._start

    def peek(self) -> bool:
        """Wait for something to come; False says that the connection has ended."""
        if not self.pending:
            self._ahead, self._start = self._sock.recv(_READ_AHEAD), 0
        return bool(self.pending)

    def readline(self) -> bytes:
        """Return the next line without its end.

        Raises:
            httpx.RemoteProtocolError: the line is too long, or the connection
                ends before it does.
        """
        while (end := self._ahead.find(b"\n", self._start)) < 0:
            if self.pending > MAX_LINE:
                raise httpx.RemoteProtocolError("a line of the response is too long")
            more = self._sock.recv(_READ_AHEAD)
            if not more:
                raise httpx.RemoteProtocolError("the server closed the connection")
            self._ahead = self._ahead[self._start :] + more
            self._start = 0
        line = self._ahead[self._start : end]
        self._start = end + 1
        return line.removesuffix(b"\r")

    def read_into(self, view: memoryview) -> int:
        """Fill the start of ``view``; 0 says that the connection has ended."""
        if not self.pending:
            return self._sock.recv_into(view)
        piece = self._ahead[self._start : self._start + len(view)]
        view[: len(piece)] = piece
        self._start += len(piece)
        return len(piece)


class Head(NamedTuple):
    """A status line and the fields below it."""

    minor: int
    status: int
    reason: bytes
    headers: list[tuple[bytes, bytes]]

    def tokens(self, name: bytes) -> list[bytes]:
        """Return the comma-separated parts of a field, lower-cased."""
        values = [value for key, value in self.headers if key.lower() == name]
        parts = b",".join(values).lower().split(b",")
        return [part for part in map(bytes.strip, parts) if part]


def read_head(incoming: Incoming) -> Head:
    """Read a response up to its body, skipping interim (1xx) responses.

    Raises:
        httpx.RemoteProtocolError: what comes is no response.
    """
    for _ in range(MAX_INTERIM + 1):
        head = _read_one_head(incoming)
        if head.status >= 200:
            return head
        if head.status == 101:
            break
    raise httpx.RemoteProtocolError("the server never sent a final response")


def _read_one_head(incoming: Incoming) -> Head:
    line = incoming.readline()
    match = _STATUS_LINE.fullmatch(line)
    if match is None:
        raise httpx.RemoteProtocolError("malformed HTTP status line")
    headers: list[tuple[bytes, bytes]] = []
    size = len(line)
    while line := incoming.readline():
        size += len(line)
        if size > MAX_HEAD:
            raise httpx.RemoteProtocolError("the head of the response is too long")
        _add_field(headers, line)
    return Head(int(match[1]), int(match[2]), match[3] or b"", headers)


def _add_field(headers: list[tuple[bytes, bytes]], line: bytes) -> None:
    if line[:1] in (b" ", b"\t") and headers:
        # RFC 9112 5.2: a folded line is joined with a space.
        name, value = headers[-1]
        headers[-1] = name, value + b" " + line.strip(b" \t")
        return
    match = _FIELD.fullmatch(line)
    if match is None or b"\0" in line or b"\r" in line:
        raise httpx.RemoteProtocolError("malformed header field in the response")
    headers.append((match[1], match[2]))


@dataclass(frozen=True, slots=True)
class Framing:
    """How a body ends.

    Attributes:
        length: the bytes that come, or None: in chunks or until the close.
        chunked: the body comes in chunks.
        keep_alive: the connection can be used again after the body.
    """

    length: int | None
    chunked: bool = False
    keep_alive: bool = True


def framing(head: Head, method: str) -> Framing:
    """Tell how the body of a response ends (RFC 9112 section 6.3).

    Raises:
        httpx.RemoteProtocolError: the response contradicts itself.
    """
    keep_alive = _keeps_alive(head)
    length = _content_length(head)
    if method == "HEAD" or head.status in (204, 304):
        return Framing(0, keep_alive=keep_alive)
    codings = head.tokens(b"transfer-encoding")
    if codings and head.minor:
        if codings != [b"chunked"]:
            raise httpx.RemoteProtocolError("unsupported transfer coding")
        return Framing(None, chunked=True, keep_alive=keep_alive)
    if length is None:
        return Framing(None, keep_alive=False)
    return Framing(length, keep_alive=keep_alive)


def _keeps_alive(head: Head) -> bool:
    tokens = head.tokens(b"connection")
    return b"close" not in tokens and (head.minor == 1 or b"keep-alive" in tokens)


def _content_length(head: Head) -> int | None:
    lengths = set(head.tokens(b"content-length"))
    if not lengths:
        return None
    # RFC 9110 8.6: different values would let two readers cut differently.
    if len(lengths) > 1 or not _LENGTH.fullmatch(value := lengths.pop()):
        raise httpx.RemoteProtocolError("invalid Content-Length")
    return int(value)


class Body(httpx.SyncByteStream):
    """The body of a response, as httpx streams it or into a buffer of the caller's.

    Args:
        incoming: the connection, just behind the head.
        frame: how the body ends.
        release: called once, on close, with whether the connection can be used
            again.
    """

    def __init__(
        self, incoming: Incoming, frame: Framing, release: Callable[[bool], None]
    ) -> None:
        self._incoming = incoming
        self._frame = frame
        self._release: Callable[[bool], None] | None = release
        # What is left of the body or of the chunk; None: until the close.
        self._left = 0 if frame.chunked else frame.length
        self._ended = frame.length == 0

    def read_into(self, view: memoryview) -> int:
        """Fill the start of ``view`` with what comes next; 0 is the end.

        Raises:
            httpx.RemoteProtocolError: the body ends too early or is malformed.
        """
        if self._frame.chunked and not self._left and not self._ended:
            self._next_chunk()
        if self._ended:
            return 0
        size = self._incoming.read_into(view[: self._left])
        if self._left is None:
            self._ended = not size
            return size
        if not size:
            raise httpx.RemoteProtocolError("the body ends too early")
        self._left -= size
        if not self._left:
            self._end_of_part()
        return size

    def _end_of_part(self) -> None:
        if not self._frame.chunked:
            self._ended = True
        elif self._incoming.readline():
            raise httpx.RemoteProtocolError("malformed chunked body")

    def _next_chunk(self) -> None:
        match = _CHUNK_SIZE.fullmatch(self._incoming.readline())
        if match is None:
            raise httpx.RemoteProtocolError("malformed chunked body")
        self._left = int(match[1], 16)
        if self._left:
            return
        size = 0
        while line := self._incoming.readline():
            size += len(line)
            if size > MAX_HEAD:
                raise httpx.RemoteProtocolError("the trailer is too long")
        self._ended = True

    def __iter__(self) -> Iterator[bytes]:
        view = memoryview(bytearray(_BUFFER))
        while size := self.read_into(view):
            yield bytes(view[:size])

    def close(self) -> None:
        """Give the connection back. A second call does nothing."""
        release, self._release = self._release, None
        if release is not None:
            self._use_up_what_came()
            clean = self._ended and not self._incoming.pending
            release(clean and self._frame.keep_alive)

    def _use_up_what_came(self) -> None:
        """Skip a short rest that is here already, to keep the connection.

        It never waits for the socket: a server that stalls would stall us.
        """
        with suppress(httpx.RemoteProtocolError):
            while not self._ended and self._rest_is_pending():
                self.read_into(memoryview(bytearray(self._incoming.pending)))

    def _rest_is_pending(self) -> bool:
        return self._left is not None and 0 < self._left <= self._incoming.pending
