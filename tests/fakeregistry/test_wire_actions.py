"""Every action of a fault, and a gate, as a raw socket sees them.

test_wire.py looks at the endings of connections in more detail.
"""

import gzip
import socket
import threading
from typing import Any

import pytest

from fakeregistry import Registry
from fakeregistry.actions import ActionOptions

DATA = bytes(range(256)) * 8
ASK = b"GET /v2/a/blobs/sha256:1 HTTP/1.1\r\nHost: x\r\n"
CLOSE = b"Connection: close\r\n"


@pytest.fixture
def registry():
    with Registry() as registry:
        registry.put_blob("a", DATA, digest="sha256:1")
        yield registry


def connect(registry):
    return socket.create_connection(("127.0.0.1", registry.port), timeout=10)


def said(registry, *lines):
    """Ask once; return all bytes up to the end of the connection."""
    with connect(registry) as sock:
        sock.sendall(ASK + b"".join(lines) + b"\r\n")
        try:
            return b"".join(iter(lambda: sock.recv(1 << 20), b""))
        except ConnectionResetError:
            return b"reset"


def head_of(data):
    return data.partition(b"\r\n\r\n")[0] + b"\r\n"


def body_of(data):
    return data.partition(b"\r\n\r\n")[2]


def line(text):
    """Return a check that the head has a line."""
    return lambda data: b"\r\n" + text + b"\r\n" in head_of(data)


def first(text):
    """Return a check of the status line."""
    return lambda data: data.startswith(text)


def body(expected):
    return lambda data: body_of(data) == expected


BODY = body(DATA)
BREAKS: dict[str, tuple[dict[str, Any], list[Any]]] = {
    "status": ({"status": 503}, [first(b"HTTP/1.1 503 "), body(b"")]),
    "body": ({"status": 418, "body": b"tea"}, [first(b"HTTP/1.1 418 "), body(b"tea")]),
    "headers": (
        {"headers": {"Content-Length": "5", "X-A": ["1", "2"]}},
        [line(b"Content-Length: 5"), line(b"X-A: 1"), line(b"X-A: 2"), BODY],
    ),
    "remove_headers": (
        {"remove_headers": ["Content-Length"]},
        [lambda data: b"content-length" not in head_of(data).lower(), BODY],
    ),
    "redirect": (
        {"redirect": "http://127.0.0.1:1{path}"},
        [
            first(b"HTTP/1.1 307 "),
            line(b"Location: http://127.0.0.1:1/v2/a/blobs/sha256:1"),
        ],
    ),
    "raw": (
        {"raw": b"SPAM 1\r\n\r\neggs"},
        [lambda data: data == b"SPAM 1\r\n\r\neggs"],
    ),
    "change_status": ({"change_status": 203}, [first(b"HTTP/1.1 203 "), BODY]),
    "replace": ({"replace": b"other"}, [line(b"Content-Length: 5"), body(b"other")]),
    "append": (
        {"append": b"more"},
        [line(b"Content-Length: %d" % (len(DATA) + 4)), body(DATA + b"more")],
    ),
    "shorten": ({"shorten": 9}, [line(b"Content-Length: 9"), body(DATA[:9])]),
    "flip": (
        {"flip": -1},
        [line(b"Content-Length: %d" % len(DATA)), body(DATA[:-1] + b"\xfe")],
    ),
    "endless": ({"endless": 9}, [lambda d: b" " * 9 in body_of(d)]),
    "encode": (
        {"encode": "gzip"},
        [
            line(b"Content-Encoding: gzip"),
            lambda data: gzip.decompress(body_of(data)) == DATA,
        ],
    ),
    "truncate": (
        {"truncate": 9},
        [line(b"Content-Length: %d" % len(DATA)), body(DATA[:9])],
    ),
    "cut": (
        {"cut": 9},
        [line(b"Transfer-Encoding: chunked"), body(b"9\r\n" + DATA[:9] + b"\r\n")],
    ),
    "reset": ({"reset": True}, [lambda data: data == b"reset"]),
    "content_range": (
        {"content_range": "bytes 1-2/3"},
        [line(b"Content-Range: bytes 1-2/3"), BODY],
    ),
    "chunked": (
        {"chunked": 1024},
        [
            line(b"Transfer-Encoding: chunked"),
            lambda data: body_of(data).count(b"400\r\n") == 2,
            lambda data: data.endswith(b"\r\n0\r\n\r\n"),
        ],
    ),
    "chunk_extension": (
        {"chunked": 1024, "chunk_extension": ";a=b"},
        [lambda data: body_of(data).startswith(b"400;a=b\r\n")],
    ),
    "version": ({"version": "HTTP/1.0"}, [first(b"HTTP/1.0 200 ")]),
    "interim": (
        {"interim": [103, 102]},
        [
            lambda data: data.count(b"HTTP/1.1 ") == 3,
            first(b"HTTP/1.1 103 "),
            lambda data: data.endswith(DATA),
        ],
    ),
    "lower_case": (
        {"lower_case": True},
        [line(b"content-length: %d" % len(DATA)), BODY],
    ),
}
#: Those that are about time and connections have tests of their own, further down.
APART = {"stall", "delay", "drip", "close", "hang_up", "ignore_range"}


def test_no_action_is_left_out():
    assert BREAKS.keys() | APART == ActionOptions.__annotations__.keys()


@pytest.mark.parametrize("action", BREAKS)
def test_on_the_wire(registry, action):
    options, checks = BREAKS[action]
    plain = said(registry, CLOSE)
    fault = registry.fault(path="/blobs/*", times=1, **options)
    seen = said(registry, CLOSE)
    assert fault.fired == 1
    assert [place for place, check in enumerate(checks) if not check(seen)] == [], seen
    # So the checks tell a broken response from one that is not.
    assert not all(check(plain) for check in checks)
    assert body_of(said(registry, CLOSE)) == DATA


def test_ignore_range(registry):
    fault = registry.fault(path="/blobs/*", ignore_range=True, times=1)
    assert body_of(said(registry, CLOSE, b"Range: bytes=5-\r\n")) == DATA
    assert body_of(said(registry, CLOSE, b"Range: bytes=5-\r\n")) == DATA[5:]
    assert fault.fired == 1


@pytest.mark.parametrize("action", ["close", "hang_up"])
def test_endings(registry, action):
    """With `close` the head says so; after `hang_up` the end comes unannounced."""
    registry.fault(path="/blobs/*", **{action: True})
    seen = said(registry)
    assert body_of(seen) == DATA
    assert line(b"Connection: close")(seen) == (action == "close")


@pytest.mark.parametrize(
    ("waits", "before"),
    [({"delay": 3600}, b""), ({"stall": 9}, DATA[:9]), ({"drip": (9, 3600)}, DATA[:9])],
    ids=["delay", "stall", "drip"],
)
def test_waiting(registry, waits, before):
    """Nothing more comes until the fault is released; then the rest does."""
    fault = registry.fault(path="/blobs/*", **waits)
    with connect(registry) as sock:
        sock.sendall(ASK + CLOSE + b"\r\n")
        seen = b""
        while before and body_of(seen) != before:
            seen += sock.recv(4096)
            assert len(body_of(seen)) <= len(before)
        registry.journal.wait_for(1)
        sock.settimeout(0.05)
        with pytest.raises(TimeoutError):
            sock.recv(1)
        sock.settimeout(10)
        fault.release()
        seen += b"".join(iter(lambda: sock.recv(1 << 20), b""))
    assert body_of(seen) == DATA


def test_gate(registry):
    """A held request gets no byte before its gate opens; others pass."""
    gate = registry.gate("/blobs/*")
    answers = []
    asking = threading.Thread(target=lambda: answers.append(said(registry, CLOSE)))
    asking.start()
    gate.wait_for(1)
    with connect(registry) as other:
        other.sendall(b"GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n")
        assert other.recv(4096).startswith(b"HTTP/1.1 200 ")
    assert (gate.held, answers) == (1, [])
    gate.open()
    asking.join(10)
    assert body_of(answers[0]) == DATA
