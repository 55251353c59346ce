"""Replies on their way onto a socket, and the ways in which connections end.

What is recorded is recorded before the last bytes go out: a client that has
its reply finds it complete in the journal.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import socket
import ssl
import struct
import termios
import time
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

if TYPE_CHECKING:
    from threading import Event

    from fakeregistry.journal import Exchange
    from fakeregistry.reply import Buffer, Reply

__all__ = ["Outlet", "hang_up", "reset", "send_reply"]

# What a head and the beginning of its body may measure to be sent as one.
_JOINED: Final = 64 * 1024
# A long body goes through a short buffer: what a client on this machine reads is then
# still in the processor's cache. One that may grow to megabytes drives it out.
_LONG: Final = 8 * 1024 * 1024
_SHORT_BUFFER: Final = 128 * 1024
_LINGER_SECONDS: Final = 1.0
_LINGER_BYTES: Final = 64 * 1024 * 1024
# How long a client may take to read what came before a stall.
_READ_SECONDS: Final = 5.0
_SOCKETS: Final = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
_RST: Final = struct.pack("ii", 1, 0)


class Outlet(Protocol):
    """What sending needs of a socket."""

    def send(self, data: Buffer, /) -> int:
        """Hand bytes to the system; return how many it took."""

    def setsockopt(self, level: int, option: int, value: int, /) -> None:
        """Set an option of the socket."""

    def fileno(self) -> int:
        """Return the descriptor of the socket."""

    def getsockname(self) -> tuple[Any, ...]:
        """Return our end."""

    def getpeername(self) -> tuple[Any, ...]:
        """Return the client's end."""


def send_reply(
    sock: Outlet, exchange: Exchange, reply: Reply, *, head_only: bool
) -> bool:
    """Send a reply as its directives say.

    Returns:
        Whether the connection can carry another one.
    """
    sender = _Sender(sock, exchange, reply, head_only=head_only)
    # No fault met it: nothing but what a handler says is to be obeyed.
    plain = not (exchange.met or reply.close) and reply.length is not None
    try:
        if plain and isinstance(reply.body, (bytes, memoryview)):
            sender.send_plain(reply.body, reply.length or 0)
            return True
        sender.send()
    except OSError:
        exchange.finish("client-gone")
        # It may have been recorded as complete before the last bytes failed.
        exchange.outcome = "client-gone"
        exchange.body_sent = sender.sent
        raise
    return not reply.must_close(head_only=head_only)


class _Sender:
    """Sends one reply and counts the bytes of its body."""

    def __init__(
        self, sock: Outlet, exchange: Exchange, reply: Reply, *, head_only: bool
    ) -> None:
        self._sock = sock
        self._exchange = exchange
        self._reply = reply
        self._head_only = head_only
        self._ends_at: float = 0  # A plain reply ends with its only piece.
        self.sent = 0

    def send(self) -> None:
        """Send the head and every piece of the body."""
        reply, head_only = self._reply, self._head_only
        self._ends_at = _end_seen_by_client(reply)
        reply.wait_delay()
        reply.on_stall = self._stalls
        head = reply.head(head_only=head_only)
        headers = reply.wire_headers(head_only=head_only)
        self._exchange.replied(reply.status, headers, reply.version)
        for data, payload in reply.pieces(head_only=head_only):
            self._send_piece(head, data, payload)
            head = b""
        self._finish(self.sent)
        if head:
            self._send_all(head, 0)

    def send_plain(self, body: Buffer, length: int) -> None:
        """Send what no fault has touched; the same bytes, sooner."""
        status, pairs = self._reply.status, list(self._reply.headers)
        if status != 304:
            pairs.append(("Content-Length", str(length)))
        lines = [f"{name}: {value}\r\n" for name, value in pairs]
        self._exchange.replied(status, pairs)
        raw = "".join((status_line(status), *lines, "\r\n")).encode("latin-1")
        if self._head_only or not length or status == 304:
            self._finish(0)
            self._send_all(raw, 0)
        else:
            self._send_piece(raw, body, length)

    def _send_piece(self, head: bytes, data: Buffer, payload: int) -> None:
        """Send what came, the head with as much of it as makes one segment."""
        after = self.sent + payload
        is_end = self._is_end(data, payload)
        if len(head) + len(data) <= _JOINED:
            if is_end:
                self._finish(after)
            self._send_all(b"".join((head, data)), payload)
            return
        self._send_long(head, memoryview(data), payload, is_end=is_end)

    def _is_end(self, data: Buffer, payload: int) -> bool:
        """Say whether a client has it all when it has this piece."""
        if self._reply.raw is not None:
            return True
        if not payload:  # The last chunk, or nothing.
            return bool(data)
        return self.sent + payload >= self._ends_at

    def _send_long(
        self, head: bytes, view: memoryview, payload: int, *, is_end: bool
    ) -> None:
        """Send without a copy; record the end before the last of it goes out."""
        if len(view) > _LONG:
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SHORT_BUFFER)
        self._send_all(head, 0)
        framing = len(view) - payload
        split = max(len(view) - _JOINED, framing)
        self._send_all(view[:split], split - framing)
        if is_end:
            self._finish(self.sent + len(view) - split)
        self._send_all(view[split:], len(view) - split)

    def _send_all(self, data: Buffer, payload: int) -> None:
        overhead = len(data) - payload
        done = 0
        try:
            done = self._sock.send(data)
            while done < len(data):
                done += self._sock.send(memoryview(data)[done:])
        finally:
            self.sent += max(0, min(done - overhead, payload))
        self._exchange.body_sent = max(self.sent, self._exchange.body_sent)

    def _stalls(self) -> None:
        assert self._reply.released is not None  # noqa: S101 - or nothing would stall
        _wait_until_read(self._sock, self._reply.released)
        self._exchange.stalls()

    def _finish(self, sent: int) -> None:
        if self._reply.hang_up:
            _keep_back_the_end(self._sock)
        self._exchange.body_sent = sent
        self._exchange.finish(self._reply.outcome(sent, head_only=self._head_only))


@functools.cache
def status_line(status: int) -> str:
    """Return the first line of a response (RFC 9112 section 4)."""
    phrases = {int(known): known.phrase for known in HTTPStatus}
    return f"HTTP/1.1 {status} {phrases.get(status, '')}\r\n"


def _end_seen_by_client(reply: Reply) -> float:
    """Return the number of body bytes after which a client has it all."""
    if reply.framing != "length" or reply.cut_after is not None:
        return float("inf")
    announced = reply.announced() or ""
    return int(announced) if announced.isdecimal() else float("inf")


def reset(sock: socket.socket, stopped: Event) -> None:
    """End the connection with RST, after all that was sent has arrived.

    RST makes the system forget what it has not sent yet, and the client would
    see fewer bytes than were meant.
    """
    deadline = time.monotonic() + _LINGER_SECONDS
    while _unsent(sock) and time.monotonic() < deadline:
        if stopped.wait(0.0005):
            break
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RST)


def _unsent(sock: Outlet) -> int:
    """Return the number of bytes that the peer has not acknowledged (tcp(7))."""
    raw = fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, b"\0\0\0\0")
    unsent: int = struct.unpack("i", raw)[0]
    return unsent


def _keep_back_the_end(sock: Outlet) -> None:
    """Let the last bytes go out together with FIN (tcp(7)).

    A client that has its reply finds the connection closed then, however busy the
    machine is; otherwise its next request may overtake the FIN.
    """
    if hasattr(socket, "TCP_CORK"):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)


def _wait_until_read(sock: Outlet, stopped: Event) -> None:
    """Wait until a client on this machine has read all that was sent."""
    deadline = time.monotonic() + _READ_SECONDS
    while _unsent(sock) or _unread(sock):
        if time.monotonic() > deadline or stopped.wait(0.001):
            break


def _unread(sock: Outlet) -> int:
    """Return the number of bytes that wait for the peer to read them (proc(5)).

    0 where that cannot be told: the peer is elsewhere or gone, or this is no Linux.
    """
    try:
        ends = sock.getpeername(), sock.getsockname()
    except OSError:
        return 0
    peer, own = (f":{end[1]:04X} " for end in ends)
    for table in _SOCKETS:
        with contextlib.suppress(FileNotFoundError):
            for line in table.read_text(encoding="ascii").splitlines():
                if 0 < line.find(peer) < line.find(own):
                    return int(line.split()[4].partition(":")[2], 16)
    return 0


def hang_up(sock: socket.socket) -> None:
    """End the connection with FIN, so that what was sent arrives.

    Closing a socket with unread bytes sends RST, which may overtake the reply
    (RFC 9112 section 9.6): what the client still sends is read for a while.
    """
    sock.settimeout(_LINGER_SECONDS)
    if isinstance(sock, ssl.SSLSocket):
        with contextlib.suppress(OSError):
            _say_goodbye(sock)
    socket.socket.shutdown(sock, socket.SHUT_WR)
    left = _LINGER_BYTES
    deadline = time.monotonic() + _LINGER_SECONDS
    while left > 0 and time.monotonic() < deadline:
        data = socket.socket.recv(sock, _JOINED)
        if not data:
            return
        left -= len(data)


def _say_goodbye(sock: ssl.SSLSocket) -> None:
    """Send close_notify without waiting for the answer."""
    sock.settimeout(0)
    try:
        sock.unwrap()
    finally:
        sock.settimeout(_LINGER_SECONDS)
