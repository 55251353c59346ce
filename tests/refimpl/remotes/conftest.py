"""A scripted HTTP server: what a test says goes out, byte for byte."""

import socket
import struct
import threading
from dataclasses import dataclass, field
from http import HTTPStatus

import pytest


@dataclass
class Seen:
    """One request as it came."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    connection: int

    @property
    def path(self):
        return self.target.partition("?")[0]


@dataclass
class Answer:
    """One response: head, body, and how the connection ends.

    Attributes:
        raw: the bytes to send instead of a well-formed response.
        declared: the Content-Length, where it is not that of the body.
        end: ``keep``, ``close`` or ``reset`` the connection after the body, or
            ``hold`` it until the server stops.
    """

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    raw: bytes | None = None
    declared: int | None = None
    end: str = "keep"

    def encode(self, method):
        if self.raw is not None:
            return self.raw
        lines = [f"HTTP/1.1 {self.status} {HTTPStatus(self.status).phrase}"]
        names = {name.lower() for name in self.headers}
        if not names & {"content-length", "transfer-encoding"}:
            size = len(self.body) if self.declared is None else self.declared
            if size >= 0:
                lines.append(f"Content-Length: {size}")
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        head = "\r\n".join([*lines, "", ""]).encode()
        return head if method == "HEAD" else head + self.body


class Server:
    """Answers with ``respond(seen)``; keeps what it saw in ``requests``."""

    def __init__(self, respond=None, *, tls=None):
        self.respond = respond or (lambda seen: Answer(404))
        self.requests = []
        self.connections = 0
        self.held = threading.Event()
        self._stopped = threading.Event()
        self._tls = tls
        self._sockets = []
        self._threads = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.host = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self.url = f"{'https' if tls else 'http'}://{self.host}"
        self._start(self._accept)

    def paths(self):
        return [f"{seen.method} {seen.path}" for seen in self.requests]

    def _start(self, func, *args):
        thread = threading.Thread(target=func, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self):
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._sockets.append(sock)
            self._start(self._serve, sock, self.connections)

    def _serve(self, sock, number):
        try:
            if self._tls:
                sock = self._tls.wrap_socket(sock, server_side=True)
                self._sockets.append(sock)
            incoming = sock.makefile("rb")
            with sock, incoming:
                while seen := read_request(incoming, number):
                    self.requests.append(seen)
                    answer = self.respond(seen)
                    sock.sendall(answer.encode(seen.method))
                    if not self._goes_on(sock, answer.end):
                        return
        except OSError:
            sock.close()

    def _goes_on(self, sock, end):
        if end == "reset":
            sock.setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
            )
        if end == "hold":
            self.held.set()
            self._stopped.wait()
        return end == "keep"

    def stop(self):
        if self._stopped.is_set():
            return
        self._stopped.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for sock in self._sockets:
            try:
                socket.socket.shutdown(sock, socket.SHUT_RDWR)
            except OSError:
                continue
        for thread in self._threads:
            thread.join()


def read_request(incoming, number):
    words = incoming.readline().decode("latin-1").split()
    if len(words) != 3:
        return None
    method, target, _ = words
    headers: dict[str, str] = {}
    while line := incoming.readline().decode("latin-1").strip():
        name, _, value = line.partition(": ")
        name = name.lower()
        headers[name] = f"{headers[name]} ## {value}" if name in headers else value
    body = incoming.read(int(headers.get("content-length", 0)))
    return Seen(method, target, headers, body, number)


@pytest.fixture
def serve():
    """Start servers that stop with the test."""
    servers = []

    def start(respond=None, *, tls=None):
        servers.append(Server(respond, tls=tls))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


@pytest.fixture
def answer():
    """Make an answer."""
    return Answer
