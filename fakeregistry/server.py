"""A threaded HTTP/1.1 server for fakes: exact on the wire, gone at once.

One thread accepts, one serves each connection for as long as it lasts. Replies
say how they want to be sent, or broken (:class:`fakeregistry.reply.Reply`);
the bytes of a body are never copied. ``stop`` wakes every thread by shutting
its socket down, so nothing polls and nothing is left behind.

    server = HttpServer(app, host="127.0.0.1", port=0)
    server.start()
    ...
    server.stop()
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import socket
import ssl
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Protocol

from fakeregistry.body import BadRequest
from fakeregistry.request import Request, RequestReader
from fakeregistry.wire import hang_up, reset, send_reply

if TYPE_CHECKING:
    from fakeregistry.journal import Exchange
    from fakeregistry.reply import Reply
    from fakeregistry.wire import Outlet

__all__ = ["Application", "HttpServer", "Send"]

Application = Callable[[Request, int], "tuple[Exchange, Reply | None]"]

_BACKLOG: Final = 512
_JOIN_SECONDS: Final = 10.0
_TLS_HANDSHAKE: Final = 0x16
_connections: Final = itertools.count(1)


class Send(Protocol):
    """Sends a reply and says whether the connection can carry another one."""

    def __call__(
        self, sock: Outlet, exchange: Exchange, reply: Reply, *, head_only: bool
    ) -> bool:
        """Send as ``wire.send_reply`` does."""


class HttpServer:
    """Listens on one address and hands requests to an application."""

    def __init__(
        self,
        app: Application,
        *,
        host: str,
        port: int = 0,
        context: ssl.SSLContext | None = None,
        send: Send = send_reply,
    ) -> None:
        self._app = app
        self._context = context
        self._send = send
        self._lock = threading.Lock()
        self._open: set[_Connection] = set()
        # Threads that are about to end: joined by the next one, or by stop.
        self._ended: list[threading.Thread] = []
        self._stopping = threading.Event()
        self._listener = _listen(host, port)
        self.port: int = self._listener.getsockname()[1]
        self._acceptor = threading.Thread(
            target=self._accept, name=f"fakeregistry-{self.port}", daemon=True
        )

    def start(self) -> None:
        """Accept connections from now on."""
        self._acceptor.start()

    def stop(self) -> None:
        """End every connection and every thread.

        Whatever holds a reply back (gates, stalls) is to be released first.

        Raises:
            RuntimeError: A thread did not end.
        """
        with self._lock:
            self._stopping.set()
            connections = tuple(self._open)
            threads = [connection.thread for connection in connections] + self._ended
        _wake(self._listener)
        for connection in connections:
            connection.wake()
        if self._acceptor.ident is not None:
            threads.append(self._acceptor)
        for thread in threads:
            thread.join(_JOIN_SECONDS)
        self._listener.close()
        if stuck := [thread.name for thread in threads if thread.is_alive()]:
            raise RuntimeError(f"threads did not end: {', '.join(stuck)}")

    def _accept(self) -> None:
        while not self._stopping.is_set():
            try:
                sock, _ = self._listener.accept()
            except OSError as err:
                if err.errno not in {errno.EMFILE, errno.ENFILE, errno.ECONNABORTED}:
                    return
                # Out of descriptors: one may be free in a moment.
                self._stopping.wait(0.01)
                continue
            self._begin(sock)

    def _begin(self, sock: socket.socket) -> None:
        connection = _Connection(
            self._app, sock, self._context, self._forget, self._send
        )
        with self._lock:
            if self._stopping.is_set():
                sock.close()
                return
            self._open.add(connection)
            connection.thread.start()
            ended, self._ended = self._ended, []
        for thread in ended:
            thread.join()

    def _forget(self, connection: _Connection) -> None:
        with self._lock:
            self._open.discard(connection)
            self._ended.append(connection.thread)


class _Connection:
    """One connection and the thread that serves it."""

    def __init__(
        self,
        app: Application,
        sock: socket.socket,
        context: ssl.SSLContext | None,
        forget: Callable[[_Connection], None],
        send: Send,
    ) -> None:
        self._app = app
        self._sock = sock
        self._context = context
        self._forget = forget
        self._send = send
        self._lock = threading.Lock()
        self._woken = threading.Event()
        self._id = next(_connections)
        self.thread = threading.Thread(
            target=self._run, name=f"fakeregistry-connection-{self._id}", daemon=True
        )

    def wake(self) -> None:
        """Make the thread's next or present use of the socket fail."""
        with self._lock:
            self._woken.set()
            _wake(self._sock)

    def _run(self) -> None:
        try:
            if self._context is None or self._wrap(self._context):
                self._serve()
        except OSError:
            # The client went, or the server stops: there is nobody to tell.
            pass
        finally:
            with self._lock:
                self._sock.close()
            self._forget(self)

    def _wrap(self, context: ssl.SSLContext) -> bool:
        """Do the handshake; False when the client does not speak TLS."""
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        first = self._sock.recv(1, socket.MSG_PEEK)
        if first and first[0] != _TLS_HANDSHAKE:
            self._refuse(BadRequest(400, "plain HTTP was sent to an HTTPS port"))
            return False
        # Wrapping moves the descriptor to another object: not while stop wakes it.
        with self._lock:
            if self._woken.is_set() or not first:
                return False
            wrapped = context.wrap_socket(
                self._sock, server_side=True, do_handshake_on_connect=False
            )
            self._sock = wrapped
        try:
            wrapped.do_handshake()
        except ssl.SSLError:
            # The alert says why: it must not be lost to what is unread.
            hang_up(wrapped)
            return False
        return True

    def _serve(self) -> None:
        if self._context is None:
            self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        reader = RequestReader(self._sock)
        while True:
            try:
                request = reader.next()
            except BadRequest as err:
                self._refuse(err)
                return
            if request is None or not self._answer(request):
                return

    def _answer(self, request: Request) -> bool:
        """Send a reply; say whether the connection goes on."""
        exchange, reply = self._app(request, self._id)
        if reply is None:
            exchange.finish("held")
            return False
        if request.close:
            reply.close = True
        if request.old and reply.framing == "chunked" and not reply.chunked:
            # HTTP/1.0 knows no chunks: the end of the connection is the end.
            reply.announce = False
        goes_on = self._send(
            self._sock, exchange, reply, head_only=request.method == "HEAD"
        )
        if reply.reset:
            reset(self._sock, self._woken)
        elif not goes_on:
            hang_up(self._sock)
        return goes_on

    def _refuse(self, error: BadRequest) -> None:
        body = f"{error.reason}\n".encode()
        head = (
            f"HTTP/1.1 {error.status} {error.phrase}\r\n"
            "Content-Type: text/plain; charset=utf-8\r\n"
            f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        )
        self._sock.sendall(head.encode() + body)
        hang_up(self._sock)


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(_BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener


def _wake(sock: socket.socket) -> None:
    # An error means that it is closed already. Not the method of an SSLSocket,
    # which also drops its TLS state under the feet of the thread that uses it.
    with contextlib.suppress(OSError):
        socket.socket.shutdown(sock, socket.SHUT_RDWR)
