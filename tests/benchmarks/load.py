"""Load on a registry: one process, some keep-alive connections, one path.

    python load.py HOST PORT PATH CONNECTIONS [CA]

It connects, over TLS if there is the file of an authority, asks once on every
connection, prints a line and waits for one that holds a number of seconds. For so
long every connection asks again as soon as it has its reply; a reply that has begun
is read to its end. Then it prints what it got as JSON, with times of a clock that
all processes of a machine share.

The client is the same for every registry, knows no more of HTTP than they need, and
has to be faster than what it measures: it needs nothing but the standard library.
"""

from __future__ import annotations

import json
import re
import selectors
import socket
import ssl
import sys
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Connection", "get", "request"]

_BUFFER: Final = 1 << 20
_LENGTH: Final = re.compile(rb"\r\ncontent-length: *([0-9]+)\r\n", re.I)
_ACCEPT: Final = (
    "application/vnd.oci.image.manifest.v1+json, "
    "application/vnd.docker.distribution.manifest.v2+json"
)
_buffer: Final = memoryview(bytearray(_BUFFER))


class Connection:
    """A connection that asks for one thing after the other.

    Attributes:
        head: Of the reply that is read, or was read last.
        length: Bytes of its body.
    """

    def __init__(self, host: str, port: int, ca: str | Path | None = None) -> None:
        self.sock = socket.create_connection((host, port), timeout=60)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if ca is not None:
            context = ssl.create_default_context(cafile=ca)
            self.sock = context.wrap_socket(self.sock, server_hostname=host)
        self._left = 0
        self.head = b""
        self.length = 0

    def ask(self, request: bytes) -> None:
        """Send a request."""
        self.head, self._left = b"", -1
        self.sock.sendall(request)

    def read(self, into: bytearray | None = None) -> bool:
        """Read what has come, at least a byte; say whether the reply is complete.

        A TLS record fits into the buffer: none is half read, and what is left
        makes the socket readable.

        Raises:
            ConnectionError: It is no reply that can be measured.
        """
        count = self.sock.recv_into(_buffer)
        if not count:
            raise ConnectionError("the registry closed a connection")
        start = 0
        if self._left < 0:
            self.head += bytes(_buffer[:count])
            end = self.head.find(b"\r\n\r\n")
            if end < 0:
                return False
            start = end + 4 - (len(self.head) - count)
            self._begin(self.head[: end + 4])
        if into is not None:
            into += _buffer[start:count]
        self._left -= count - start
        return self._left <= 0

    def _begin(self, head: bytes) -> None:
        length = _LENGTH.search(head)
        if not head.startswith(b"HTTP/1.1 2") or length is None:
            raise ConnectionError(f"not what was asked for: {head!r}")
        self.head = head
        self.length = self._left = int(length[1])


def request(  # noqa: PLR0913 - what a request consists of
    host: str,
    port: int,
    path: str,
    *,
    method: str = "GET",
    media_type: str = "",
    body: bytes = b"",
) -> bytes:
    """Return a request as it goes out."""
    head = (
        f"{method} {path} HTTP/1.1\r\nHost: {host}:{port}\r\n"
        f"User-Agent: benchmark\r\nAccept: {_ACCEPT}\r\n"
    )
    if method != "GET":
        head += f"Content-Type: {media_type}\r\nContent-Length: {len(body)}\r\n"
    return f"{head}\r\n".encode() + body


def get(host: str, port: int, path: str, ca: str | Path | None = None) -> bytes:
    """Return the body of one reply."""
    connection = Connection(host, port, ca)
    body = bytearray()
    with connection.sock:
        connection.ask(request(host, port, path))
        while not connection.read(body):
            pass
    return bytes(body)


def _run(
    connections: list[Connection], asked: bytes, seconds: float
) -> dict[str, float]:
    """Keep every connection busy for some time."""
    replies = received = 0
    with selectors.DefaultSelector() as selector:
        for connection in connections:
            selector.register(connection.sock, selectors.EVENT_READ, connection)
        began = ended = time.monotonic()
        for connection in connections:
            connection.ask(asked)
        while selector.get_map():
            for key, _ in selector.select():
                connection = key.data
                if not connection.read():
                    continue
                replies += 1
                received += connection.length
                ended = time.monotonic()
                if ended - began < seconds:
                    connection.ask(asked)
                else:
                    selector.unregister(connection.sock)
    return {"replies": replies, "bytes": received, "began": began, "ended": ended}


def _main() -> None:
    host, port, path, count, *ca = sys.argv[1:]
    asked = request(host, int(port), path)
    connections = [Connection(host, int(port), *ca) for _ in range(int(count))]
    for connection in connections:
        connection.ask(asked)
        while not connection.read():
            pass
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    if line := sys.stdin.readline():
        json.dump(_run(connections, asked, float(line)), sys.stdout)


if __name__ == "__main__":
    _main()
