"""Faults on the wire, seen with a raw socket."""

import contextlib
import http.client
import re
import socket
import struct
import threading

import pytest
from werkzeug.datastructures import Headers

from fakeregistry import Journal, Registry, wire
from fakeregistry.reply import Reply

DATA = bytes(range(256)) * 8


@pytest.fixture
def registry():
    with Registry() as registry:
        registry.put_blob("a", DATA, digest="sha256:1")
        yield registry


def connect(registry):
    return socket.create_connection(("127.0.0.1", registry.port), timeout=10)


def ask(sock, *lines, method="GET"):
    head = [f"{method} /v2/a/blobs/sha256:1 HTTP/1.1", "Host: x", *lines]
    sock.sendall(("\r\n".join(head) + "\r\n\r\n").encode())


def read_all(sock):
    return b"".join(iter(lambda: sock.recv(1 << 20), b""))


def exchange(registry, *lines, method="GET"):
    """Ask once; return the head and all bytes up to the end of the connection."""
    with connect(registry) as sock:
        ask(sock, *lines, method=method)
        head, _, body = read_all(sock).partition(b"\r\n\r\n")
    return head.decode(), body


def length(head):
    found = re.search(r"(?im)^content-length: (\d+)", head)
    return None if found is None else int(found[1])


def test_truncate(registry):
    """The whole length is announced; the connection ends before, with FIN."""
    fault = registry.fault(path="/blobs/*", times=1, truncate=100)
    head, body = exchange(registry)
    assert (length(head), body) == (len(DATA), DATA[:100])
    assert fault.fired == 1
    (entry,) = registry.journal
    assert (entry.outcome, entry.body_sent) == ("truncated", 100)


def test_truncate_of_nothing_but_the_head(registry):
    registry.fault(path="/blobs/*", truncate=0)
    head, body = exchange(registry)
    assert (length(head), body) == (len(DATA), b"")


def test_truncate_of_a_range_counts_its_bytes(registry):
    registry.fault(path="/blobs/*", truncate=5)
    head, body = exchange(registry, "Range: bytes=10-29")
    assert head.startswith("HTTP/1.1 206 ")
    assert (length(head), body) == (20, DATA[10:15])


@pytest.mark.parametrize("size", [0, 1, 1000])
def test_reset(registry, size):
    """All bytes before the RST arrive."""
    registry.fault(path="/blobs/*", reset=size)
    with connect(registry) as sock:
        ask(sock)
        got = b""
        with contextlib.suppress(ConnectionResetError):
            while True:
                data = sock.recv(65536)
                assert data, "FIN in place of RST"
                got += data
    assert got.partition(b"\r\n\r\n")[2] == DATA[:size]
    (entry,) = registry.journal.wait_for(1, outcome="reset")
    assert entry.body_sent == size


def test_chunked(registry):
    """RFC 9112 section 7.1; the connection stays."""
    registry.fault(path="/blobs/*", chunked=True)
    client = http.client.HTTPConnection("127.0.0.1", registry.port, timeout=10)
    for _ in range(2):
        client.request("GET", "/v2/a/blobs/sha256:1")
        response = client.getresponse()
        assert response.headers["Transfer-Encoding"] == "chunked"
        assert "Content-Length" not in response.headers
        assert response.read() == DATA
    client.close()
    assert len({entry.connection for entry in registry.journal}) == 1
    assert {entry.outcome for entry in registry.journal} == {"complete"}


def test_chunked_and_cut(registry):
    """A client that does not wait for the last chunk keeps half a layer."""
    registry.fault(path="/blobs/*", chunked=True, cut=100)
    head, body = exchange(registry)
    assert "chunked" in head
    assert body == b"64\r\n" + DATA[:100] + b"\r\n"


def test_close(registry):
    registry.fault(path="/blobs/*", close=True)
    head, body = exchange(registry)
    assert "Connection: close" in head
    assert (length(head), body) == (len(DATA), DATA)


def test_no_content_length(registry):
    """The body ends with the connection, or in chunks; it is whole either way."""
    registry.fault(path="/blobs/*", remove_headers=["Content-Length"])
    client = http.client.HTTPConnection("127.0.0.1", registry.port, timeout=10)
    client.request("GET", "/v2/a/blobs/sha256:1")
    response = client.getresponse()
    assert "Content-Length" not in response.headers
    assert response.read() == DATA
    client.close()


def test_head_of_a_faulty_body_has_none(registry):
    registry.fault(path="/blobs/*", close=True, flip=0)
    head, body = exchange(registry, method="HEAD")
    assert (length(head), body) == (len(DATA), b"")


@pytest.mark.parametrize(
    ("action", "body"),
    [
        ({"flip": 3}, DATA[:3] + bytes([DATA[3] ^ 1]) + DATA[4:]),
        ({"replace": b"other"}, b"other"),
        ({"append": b"more"}, DATA + b"more"),
    ],
)
def test_other_bytes_are_framed_right(registry, action, body):
    registry.fault(path="/blobs/*", **action)
    assert exchange(registry, "Connection: close")[1] == body


def test_status(registry):
    registry.fault(
        path="/blobs/*", times=1, status=503, headers={"Retry-After": "7"}, body=b"busy"
    )
    head, body = exchange(registry, "Connection: close")
    assert head.startswith("HTTP/1.1 503 ")
    assert "Retry-After: 7" in head
    assert body == b"busy"
    assert exchange(registry, "Connection: close")[1] == DATA


def test_ignored_range(registry):
    registry.fault(path="/blobs/*", ignore_range=True)
    head, body = exchange(registry, "Range: bytes=5-", "Connection: close")
    assert head.startswith("HTTP/1.1 200 ")
    assert body == DATA


def receive(sock, size):
    data = b""
    while len(data) < size:
        data += sock.recv(size - len(data))
    return data


def receive_head(sock):
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += sock.recv(1)
    return head


def test_stall_ends_when_it_is_released(registry):
    """What comes before the stall is not kept back."""
    fault = registry.fault(path="/blobs/*", stall=10)
    with connect(registry) as sock:
        ask(sock, "Connection: close")
        receive_head(sock)
        got = receive(sock, 10)
        (waiting,) = registry.journal.wait_for(outcome="stalled")
        assert (waiting.body_sent, waiting.finished) == (10, None)
        fault.release()
        assert got + read_all(sock) == DATA


@pytest.mark.parametrize(
    ("actions", "size"), [({}, len(DATA)), ({"chunked": True}, len(DATA) + 12)]
)
def test_end_of_a_hang_up_comes_with_the_last_bytes(registry, actions, size):
    """A client that has its reply cannot send the next request before the FIN."""
    registry.fault(path="/blobs/*", hang_up=True, **actions)
    for _ in range(20):
        with connect(registry) as sock:
            ask(sock)
            receive_head(sock)
            receive(sock, size)
            sock.settimeout(0)
            assert sock.recv(1) == b""


def test_stall_begins_when_the_client_has_read_what_came_before(registry):
    """A client that still has something to read does not wait yet."""
    fault = registry.fault(path="/blobs/*", stall=1000)
    with connect(registry) as sock:
        ask(sock, "Connection: close")
        receive_head(sock)
        while len(sock.recv(1 << 20, socket.MSG_PEEK)) < 1000:
            pass
        with pytest.raises(AssertionError):
            registry.journal.wait_for(outcome="stalled", timeout=0.05)
        receive(sock, 1000)
        registry.journal.wait_for(outcome="stalled")
        fault.release()
        assert read_all(sock) == DATA[1000:]
    assert registry.journal[0].outcome == "complete"


@pytest.mark.parametrize("action", [{"stall": 0}, {"stall": 10}, {"delay": 600.0}])
def test_stop_does_not_wait_for_a_stall(action):
    threads = threading.active_count()
    registry = Registry().start()
    registry.put_blob("a", DATA, digest="sha256:1")
    registry.fault(path="/blobs/*", **action)
    with connect(registry) as sock:
        ask(sock)
        if "stall" in action:
            receive(sock, 12)
        registry.journal.wait_for(1)
        registry.stop()
        read_all(sock)
    assert threading.active_count() == threads


def test_stop_does_not_wait_for_a_client_that_does_not_read():
    with Registry() as registry, connect(registry) as sock:
        registry.put_blob("a", bytes(50_000_000), digest="sha256:1")
        ask(sock)
        receive(sock, 12)
        registry.stop()
        assert registry.journal[0].outcome == "client-gone"


def test_raw_bytes(registry):
    registry.fault(path="/blobs/*", raw=b"not http at all")
    with connect(registry) as sock:
        ask(sock)
        assert read_all(sock) == b"not http at all"


def test_long_chunked_body(registry):
    """Longer than what is sent together with the head."""
    data = DATA * 200
    registry.put_blob("a", data, digest="sha256:1")
    registry.fault(path="/blobs/*", chunked=True)
    client = http.client.HTTPConnection("127.0.0.1", registry.port, timeout=10)
    client.request("GET", "/v2/a/blobs/sha256:1")
    assert client.getresponse().read() == data
    client.close()
    assert registry.journal[0].body_sent == len(data)


@pytest.mark.parametrize("size", [65_000, 65_535, 65_536, 65_537, 131_072, 200_001])
def test_bodies_around_the_size_of_one_send(registry, size):
    data = bytes(size - 1) + b"!"
    registry.put_blob("a", data, digest="sha256:1")
    head, body = exchange(registry, "Connection: close")
    assert (length(head), body) == (size, data)
    assert registry.journal[0].body_sent == size


@pytest.mark.parametrize(("size", "shortened"), [(2**23, False), (2**23 + 1, True)])
def test_long_body_goes_through_a_short_buffer(size, shortened):
    """What a client on this machine reads is to be in the cache still (tcp(7))."""
    ours, theirs = socket.socketpair()
    exchange = Journal().begin("GET", "/v2/", ())
    reply = Reply(200, Headers(), bytes(size), size)
    reader = threading.Thread(target=read_all, args=(theirs,))
    with theirs:
        with ours:
            before = ours.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)
            reader.start()
            assert wire.send_reply(ours, exchange, reply, head_only=False)
            after = ours.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)
        reader.join()
    # The kernel doubles what it is told.
    assert after == (2 * 128 * 1024 if shortened else before)
    assert exchange.body_sent == size


@pytest.mark.parametrize("size", [10, 100_000])
def test_what_the_system_does_not_take_at_once_follows(size):
    class Narrow(socket.socket):
        def send(self, data, flags=0):
            return super().send(memoryview(data)[:70], flags)

    ours, theirs = socket.socketpair()
    exchange = Journal().begin("GET", "/v2/", ())
    body = bytes(range(250)) * (size // 250) + b"!" * (size % 250)
    got = []
    reader = threading.Thread(target=lambda: got.append(read_all(theirs)))
    with theirs:
        with Narrow(fileno=ours.detach()) as narrow:
            reader.start()
            reply = Reply(200, Headers(), body, size)
            assert wire.send_reply(narrow, exchange, reply, head_only=False)
        reader.join()
    assert got[0].endswith(b"\r\n\r\n" + body)
    assert exchange.body_sent == size


def test_an_endless_body_over_http_1_0(registry):
    """RFC 9112 section 7.1: no chunks for a client that does not know them."""
    registry.fault(path="/blobs/*", endless=True)
    with connect(registry) as sock:
        sock.sendall(b"GET /v2/a/blobs/sha256:1 HTTP/1.0\r\n\r\n")
        got = receive(sock, len(DATA) + 200_000)
    head, _, body = got.partition(b"\r\n\r\n")
    assert b"chunked" not in head
    assert b"Content-Length" not in head
    assert body.startswith(DATA)
    registry.journal.wait_for(1, outcome="client-gone")


def test_stop_does_not_wait_for_bytes_before_a_reset(monkeypatch):
    """A client that reads nothing keeps them unacknowledged."""
    monkeypatch.setattr(wire, "_unsent", lambda _: 1)
    stopped = threading.Event()
    stopped.set()
    with socket.socket() as sock:
        wire.reset(sock, stopped)
        linger = sock.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, 8)
    assert struct.unpack("ii", linger) == (1, 0)
