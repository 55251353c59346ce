"""RFC 9112 as a client reads it."""

import socket
from contextlib import contextmanager

import httpx
import pytest

from refimpl.remotes.docker import http1
from refimpl.remotes.docker.http1 import Body, Incoming, framing, read_head


@contextmanager
def incoming(data):
    """Give a connection on which some bytes came before it was closed."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(data)
        theirs.shutdown(socket.SHUT_WR)
        yield Incoming(ours)


def receive(data, method="GET", size=7):
    """Return the head, the body and whether the connection can be used again."""
    released: list[bool] = []
    with incoming(data) as conn:
        head = read_head(conn)
        body = Body(conn, framing(head, method), released.append)
        out, view = bytearray(), memoryview(bytearray(size))
        while n := body.read_into(view):
            out += view[:n]
        body.close()
        body.close()
    assert len(released) == 1
    return head, bytes(out), released[0]


def head_of(*fields, start="HTTP/1.1 200 OK"):
    return "\r\n".join([start, *fields, "", ""]).encode()


def test_a_body_of_stated_length():
    head, body, reusable = receive(head_of("Content-Length: 11") + b"hello world")
    assert (head.status, head.reason, body, reusable) == (200, b"OK", b"hello world", 1)


def test_what_follows_a_body_makes_the_connection_useless():
    _, body, reusable = receive(head_of("Content-Length: 2") + b"hello")
    assert (body, reusable) == (b"he", False)


def test_a_body_without_a_length_ends_with_the_connection():
    _, body, reusable = receive(head_of() + b"to the end")
    assert (body, reusable) == (b"to the end", False)


def test_a_chunked_body_with_extensions_and_a_trailer():
    data = b"5;a=b\r\nhello\r\n1 \r\n \r\n00C\r\nworld, hello\r\n0\r\nX: y\r\n\r\n"
    _, body, reusable = receive(head_of("Transfer-Encoding: Chunked") + data)
    assert (body, reusable) == (b"hello world, hello", True)


def test_chunks_win_over_a_length():
    """RFC 9112 section 6.3, rule 3."""
    fields = "Content-Length: 3", "Transfer-Encoding: chunked"
    assert receive(head_of(*fields) + b"1\r\na\r\n0\r\n\r\n")[1] == b"a"


@pytest.mark.parametrize(
    ("method", "start"),
    [("HEAD", "HTTP/1.1 200 OK"), ("GET", "HTTP/1.1 204 No Content")],
)
def test_no_body_follows(method, start):
    _, body, reusable = receive(head_of("Content-Length: 9", start=start), method)
    assert (body, reusable) == (b"", True)


def test_interim_responses_are_skipped():
    hints = head_of("Link: x", start="HTTP/1.1 103 Early Hints")
    go_on = head_of(start="HTTP/1.1 100 Continue")
    assert receive(go_on + hints + head_of("Content-Length: 1") + b"x")[1] == b"x"


@pytest.mark.parametrize(
    "first",
    [head_of(start="HTTP/1.1 100 Continue") * 6, head_of(start="HTTP/1.1 101 S")],
)
def test_interim_responses_end(first):
    with incoming(first + head_of()) as conn, pytest.raises(httpx.RemoteProtocolError):
        read_head(conn)


@pytest.mark.parametrize(
    ("start", "fields", "reusable"),
    [
        ("HTTP/1.1 200 OK", ("Connection: close",), False),
        ("HTTP/1.1 200 OK", ("Connection: x, Close",), False),
        ("HTTP/1.0 200 OK", (), False),
        ("HTTP/1.0 200 OK", ("Connection: keep-alive",), True),
    ],
)
def test_keeping_the_connection(start, fields, reusable):
    data = head_of("Content-Length: 0", *fields, start=start)
    assert receive(data)[2] is reusable


def test_old_lines_fold_and_bare_line_feeds_do():
    data = b"HTTP/1.1 200\nX: a\n\tb\nContent-Length: 0\n\n"
    head, _, _ = receive(data)
    assert head.headers[0] == (b"X", b"a b")
    assert head.reason == b""


@pytest.mark.parametrize(
    "data",
    [
        b"SSH-2.0-OpenSSH\r\n\r\n",
        b"HTTP/2 200 OK\r\n\r\n",
        b"HTTP/1.1 20 OK\r\n\r\n",
        b"HTTP/1.1 099 OK\r\n\r\n",
        head_of("no colon"),
        head_of("space : before"),
        head_of("Content-Length: 1", "Content-Length: 2"),
        head_of("Content-Length: 1, 2"),
        head_of("Content-Length: -1"),
        head_of("Content-Length: 1e3"),
        head_of("X: a\rb"),
        head_of("Transfer-Encoding: gzip, chunked"),
        b"HTTP/1.1 200 OK\r\nX: cut",
        b"HTTP/1.1 200 OK" + b"x" * (http1.MAX_LINE + 1),
        head_of(*["X: " + "y" * 1000] * 1100),
        head_of("Content-Length: 3") + b"ab",
        head_of("Transfer-Encoding: chunked") + b"3\r\nab",
        head_of("Transfer-Encoding: chunked") + b"3\r\nabcd\r\n0\r\n\r\n",
        head_of("Transfer-Encoding: chunked") + b"3\r\nabc\r\n",
        head_of("Transfer-Encoding: chunked") + b"-3\r\nabc\r\n0\r\n\r\n",
        head_of("Transfer-Encoding: chunked") + b"ffffffffffffffff\r\nabc",
    ],
    ids=lambda data: data[-40:].decode("ascii", "replace"),
)
def test_broken_responses_are_refused(data):
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 << 20)
        theirs.settimeout(0)
        theirs.send(data)
        theirs.shutdown(socket.SHUT_WR)
        conn = Incoming(ours)
        with pytest.raises(httpx.RemoteProtocolError):
            read_all(conn)


def read_all(conn):
    head = read_head(conn)
    body = Body(conn, framing(head, "GET"), lambda reusable: None)
    return b"".join(body)


def test_an_endless_trailer_is_refused():
    trailer = b"".join(b"X: %b\r\n" % (b"y" * 60000) for _ in range(18))
    data = head_of("Transfer-Encoding: chunked") + b"0\r\n" + trailer
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8 << 20)
        theirs.settimeout(0)
        sent = theirs.send(data)
        assert sent > http1.MAX_LINE
        theirs.shutdown(socket.SHUT_WR)
        with pytest.raises(httpx.RemoteProtocolError):
            read_all(Incoming(ours))


def test_a_short_rest_that_is_here_is_skipped_on_close():
    released: list[bool] = []
    with incoming(head_of("Content-Length: 5") + b"hello") as conn:
        Body(conn, framing(read_head(conn), "GET"), released.append).close()
    assert released == [True]


def test_a_rest_that_is_not_here_ends_the_connection():
    released: list[bool] = []
    with incoming(head_of("Content-Length: 6") + b"hello") as conn:
        Body(conn, framing(read_head(conn), "GET"), released.append).close()
    assert released == [False]
