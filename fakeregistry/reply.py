"""One response on its way out: what a handler says, and how the wire breaks it.

A handler fills in ``status``, ``headers``, ``body`` and ``length``; faults set
the wire directives; the server writes ``head()`` and then every one of
``pieces()``, and closes when ``must_close()`` says so. Framing (RFC 9112
section 6) is decided here and nowhere else, so that a lie about a length is
always meant.

    reply = Reply(200, Headers({"ETag": '"x"'}), b"hello", 5)
    connection.sendall(reply.head())
    for data, payload in reply.pieces():
        connection.sendall(data)
        exchange.body_sent += payload
"""

from __future__ import annotations

from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, Literal

from werkzeug.datastructures import Headers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from threading import Event

Buffer = bytes | memoryview
Framing = Literal["none", "length", "chunked", "close"]
Outcome = Literal["complete", "truncated", "reset", "client-gone", "held", "stalled"]

_REASONS: Final = {int(status): status.phrase for status in HTTPStatus}


@dataclass(slots=True)
class Reply:
    """A response and the directives that say how to send it.

    Handlers build the same reply for GET and HEAD: ``body`` and ``length`` say
    what a GET gets, and the server leaves the body out for HEAD
    (``head_only=True``). ``headers`` need not hold Content-Length,
    Transfer-Encoding or Connection: they are derived; one that is there is sent
    as it is, even when it lies.

    Attributes:
        status: Any three digits, known or not; 0 where no head is sent.
        headers: In the order in which they are sent.
        body: Bytes, or an iterable that is consumed while it is sent.
        length: Number of bytes of ``body``; None when nobody can know it.
        announce_length: Content-Length to send in place of ``length``.
        announce: False leaves Content-Length out; the body then ends with the
            connection, unless it is chunked.
        chunked: Send with Transfer-Encoding: chunked.
        chunk_size: Longest chunk of a chunked body; None: as the body comes.
        chunk_extension: Text after each chunk size, such as ``;a=b``.
        send_head: False sends nothing at all before the connection ends.
        cut_after: Number of body bytes after which the connection ends.
        reset: The connection ends with RST in place of FIN (SO_LINGER 0).
        close: Announce Connection: close and close after the reply.
        hang_up: Close after the reply without having said so.
        delay: Seconds to wait before the head.
        stall_after: Number of body bytes after which nothing is sent until
            ``released`` is set.
        released: Ends delays and stalls; set by a fault, or when the registry
            stops.
        on_stall: Called when a stall begins, unless it is released already.
        version: Protocol version of the status line.
        interim: Status codes of 1xx responses that go first.
        lower_case: Send header names in lower case.
        raw: The whole response as bytes; everything above but ``delay``,
            ``cut_after`` and ``reset`` is ignored, and the connection closes.
    """

    status: int = 200
    headers: Headers = field(default_factory=Headers)
    body: bytes | memoryview | Iterable[bytes | memoryview] = b""
    length: int | None = 0
    announce_length: int | None = None
    announce: bool = True
    chunked: bool = False
    chunk_size: int | None = None
    chunk_extension: str = ""
    send_head: bool = True
    cut_after: int | None = None
    reset: bool = False
    close: bool = False
    hang_up: bool = False
    delay: float = 0.0
    stall_after: int | None = None
    released: Event | None = None
    on_stall: Callable[[], object] = lambda: None
    version: str = "HTTP/1.1"
    interim: tuple[int, ...] = ()
    lower_case: bool = False
    raw: bytes | None = None

    @property
    def plain(self) -> bool:
        """Whether the reply can be sent at once, with no directive to obey."""
        return (
            self.send_head
            and self.raw is None
            and self.length is not None
            and self.delay == 0
            and self.stall_after is None
            and self.framing == "length"
            and not self.must_close()
        )

    @property
    def framing(self) -> Framing:
        """How the reader learns where the body ends (RFC 9112 section 6.3)."""
        if self.status in {204, 304} or self.status < 200:
            return "none"
        if self.chunked:
            return "chunked"
        if "Content-Length" in self.headers:
            return "length"
        if self.announce and (self.announce_length, self.length) != (None, None):
            return "length"
        if self.announce and self.version == "HTTP/1.1":
            return "chunked"
        return "close"

    def announced(self) -> str | None:
        """Return the Content-Length that goes out, or None for none."""
        if "Content-Length" in self.headers:
            return self.headers["Content-Length"]
        if self.framing != "length":
            return None
        length = self.length if self.announce_length is None else self.announce_length
        return str(length)

    def must_close(self, *, head_only: bool = False) -> bool:
        """Say whether the connection is of no use after this reply."""
        if self.close or self.hang_up or self.reset or self.raw is not None:
            return True
        if not self.send_head or self.cut_after is not None:
            return True
        if self.version != "HTTP/1.1":
            return True
        if head_only or self.framing in {"none", "chunked"}:
            return False
        return self.announced() != str(self.length)

    def wire_headers(self, *, head_only: bool = False) -> list[tuple[str, str]]:
        """Return all headers to send, framing included, in order."""
        if not self.send_head or self.raw is not None:
            return []
        pairs = list(self.headers)
        framing = self.framing
        announced = self.announced()
        if announced is not None and "Content-Length" not in self.headers:
            pairs.append(("Content-Length", announced))
        if framing == "chunked" and "Transfer-Encoding" not in self.headers:
            pairs.append(("Transfer-Encoding", "chunked"))
        says_close = self.close or (framing == "close" and not head_only)
        if says_close and "Connection" not in self.headers:
            pairs.append(("Connection", "close"))
        if self.lower_case:
            return [(name.lower(), value) for name, value in pairs]
        return pairs

    def head(self, *, head_only: bool = False) -> bytes:
        """Return everything that goes before the body, as bytes."""
        if not self.send_head or self.raw is not None:
            return b""
        lines = [f"{self.version} {_status(code)}\r\n" for code in self.interim]
        lines.append(f"{self.version} {_status(self.status)}")
        lines.extend(
            f"{name}: {value}" for name, value in self.wire_headers(head_only=head_only)
        )
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")

    def wait_delay(self) -> None:
        """Wait out ``delay``, or less when ``released`` is set before."""
        if self.delay > 0 and self.released is not None:
            self.released.wait(self.delay)

    def pieces(self, *, head_only: bool = False) -> Iterator[tuple[Buffer, int]]:
        """Yield what to send after the head, with the body bytes it holds.

        Waits inside when a stall is due. An empty piece asks the server to send
        what it has kept back (the head, say) before it asks for the next one.
        """
        if self.raw is not None:
            raw = self.raw if self.cut_after is None else self.raw[: self.cut_after]
            yield raw, len(raw)
            return
        if head_only or not self.send_head or self.framing == "none":
            return
        payload = self._stalling(self._cutting(self._buffers()))
        if self.framing != "chunked":
            for data in payload:
                yield data, len(data)
            return
        for data in payload:
            yield (self._chunk(data), len(data)) if data else (b"", 0)
        if self.cut_after is None:
            yield b"0\r\n\r\n", 0

    def outcome(self, sent: int, *, head_only: bool = False) -> Outcome:
        """Name how the exchange ended after ``sent`` bytes of the body."""
        if self.reset:
            return "reset"
        if not self.send_head:
            return "truncated"
        if self.cut_after is None or head_only or sent == self.length:
            return "complete"
        bodyless = self.framing == "none" and self.raw is None
        return "complete" if bodyless else "truncated"

    def _buffers(self) -> Iterator[Buffer]:
        if isinstance(self.body, (bytes, memoryview)):
            source: Iterable[Buffer] = (self.body,)
        else:
            source = self.body
        size = self.chunk_size if self.framing == "chunked" else None
        for data in source:
            step = size or max(len(data), 1)
            for start in range(0, len(data), step):
                yield data[start : start + step]

    def _cutting(self, buffers: Iterable[Buffer]) -> Iterator[Buffer]:
        left = self.cut_after
        if left is None:
            yield from buffers
            return
        for data in buffers:
            if left <= 0:
                return
            yield data[:left]
            left -= len(data)

    def _stalling(self, buffers: Iterable[Buffer]) -> Iterator[Buffer]:
        ahead = self.stall_after
        for data in buffers:
            if ahead is None or ahead > len(data):
                yield data
                ahead = None if ahead is None else ahead - len(data)
                continue
            yield data[:ahead]
            self._wait_for_release()
            yield data[ahead:]
            ahead = None
        if ahead is not None:
            yield b""
            self._wait_for_release()

    def _wait_for_release(self) -> None:
        if self.released is not None and not self.released.is_set():
            self.on_stall()
            self.released.wait()

    def _chunk(self, data: Buffer) -> bytes:
        size = f"{len(data):x}{self.chunk_extension}\r\n".encode("latin-1")
        return b"".join((size, data, b"\r\n"))


def _status(code: int) -> str:
    return f"{code:03d} {_REASONS.get(code, '')}"
