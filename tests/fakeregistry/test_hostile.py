"""Clients that mean harm: the registry goes on serving, and stops at once.

What single requests can be like is in test_server.py and test_request.py; here are
those that come in numbers, take their time or do not end. Stopping waits for every
thread, and raises when one does not end.
"""

import contextlib
import http.client
import os
import resource
import socket
import threading

import pytest

from fakeregistry import Features, Registry

REQUEST = b"GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n"
MANY = 2000
LIVES = 1000


@pytest.fixture
def registry():
    with Registry() as registry:
        yield registry


def connect(registry):
    return socket.create_connection(("127.0.0.1", registry.port), timeout=10)


def serves(registry):
    """Say whether somebody who comes now is answered."""
    client = http.client.HTTPConnection("127.0.0.1", registry.port, timeout=10)
    with contextlib.closing(client):
        client.request("GET", "/v2/")
        return client.getresponse().read() == b"{}"


def counts():
    """Return how many threads and descriptors there are."""
    return threading.active_count(), len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - counts only


@pytest.fixture
def room():
    """Descriptors for both ends of many connections."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 3 * MANY
    if hard != resource.RLIM_INFINITY and hard < wanted:
        pytest.skip(f"{wanted} descriptors are needed, {hard} are allowed")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.slow
def test_thousands_of_connections(room, registry):
    """Silent ones, and halves of requests, beside those who ask properly."""
    before = counts()
    with contextlib.ExitStack() as stack:
        socks = [stack.enter_context(connect(registry)) for _ in range(MANY)]
        for sock in socks[::2]:
            sock.sendall(REQUEST[:-2])
        assert serves(registry)
        for sock in socks[::2]:
            sock.sendall(REQUEST[-2:])
        answers = [sock.recv(4096) for sock in socks[::2]]
        assert all(answer.startswith(b"HTTP/1.1 200 ") for answer in answers)
        registry.stop()
    # Less its own acceptor and listener.
    assert counts() == (before[0] - 1, before[1] - 1)


def test_slow_senders_keep_nobody_waiting(registry):
    """A byte at a time, and none after the half: others are served meanwhile."""
    with contextlib.ExitStack() as stack:
        slow = [stack.enter_context(connect(registry)) for _ in range(20)]
        for place in range(len(REQUEST) - 1):
            for sock in slow:
                sock.sendall(REQUEST[place : place + 1])
            assert serves(registry)
        registry.stop()
        assert [sock.recv(1) for sock in slow] == [b""] * len(slow)


@pytest.fixture
def upload():
    """Begin an upload; return its path and a connection."""

    def begin(registry):
        client = http.client.HTTPConnection("127.0.0.1", registry.port, timeout=10)
        client.request("POST", "/v2/a/blobs/uploads/", headers={"Content-Length": "0"})
        response = client.getresponse()
        response.read()
        return client, response.headers["Location"]

    return begin


def chunked(path, method="PATCH"):
    return (
        f"{method} {path} HTTP/1.1\r\nHost: x\r\n"
        "Content-Type: application/octet-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    ).encode()


@pytest.mark.parametrize("stored", [False, True], ids=["memory", "folder"])
def test_an_upload_that_does_not_end(tmp_path, upload, stored):
    """Stopping ends it, and nothing of it is left on the disk."""
    storage = tmp_path / "storage" if stored else None
    with Registry(storage=storage) as registry:
        client, path = upload(registry)
        block = b"100000\r\n" + bytes(0x100000) + b"\r\n"
        client.sock.sendall(chunked(path) + 12 * block)
        assert serves(registry)
        registry.stop()
        client.close()
    assert [
        f for f in tmp_path.rglob("*") if f.is_file() and f.stat().st_size > 1000
    ] == []


@pytest.mark.parametrize("announced", [True, False])
def test_an_upload_that_is_too_large(upload, announced):
    """It is refused as soon as that can be known, and what came before stays."""
    with Registry(features=Features(blob_limit=1000)) as registry:
        client, path = upload(registry)
        client.request("PATCH", path, body=bytes(600))
        client.getresponse().read()
        body = bytes(401) if announced else iter([bytes(401)])
        client.request("PATCH", path, body=body)
        answer = client.getresponse()
        said = answer.read()
        assert answer.status == 413
        assert b"at most 1000 bytes" in said
        client.request("GET", path)
        answer = client.getresponse()
        answer.read()
        assert answer.headers["Range"] == "0-599"
        client.request("PATCH", path, body=bytes(400))
        answer = client.getresponse()
        answer.read()
        assert answer.status == 202
        client.close()


@pytest.mark.parametrize(
    "name",
    [
        "../etc",
        "a/../../etc",
        "..",
        "a/./b",
        "a//b",
        "/etc",
        "%2e%2e/etc",
        "a%2f..%2fb",
    ],
)
@pytest.mark.parametrize("stored", [False, True], ids=["memory", "folder"])
def test_names_that_are_paths(tmp_path, name, stored):
    """A repository is never what a path can be made of."""
    storage = tmp_path / "storage" if stored else None
    with Registry(storage=storage) as registry:
        before = set(tmp_path.rglob("*"))
        with connect(registry) as sock:
            line = f"POST /v2/{name}/blobs/uploads/ HTTP/1.1\r\n"
            sock.sendall(f"{line}Host: x\r\nContent-Length: 0\r\n\r\n".encode())
            assert sock.recv(4096).split()[1] in {b"400", b"404"}
        assert serves(registry)
        assert registry.store.names == ()
        assert set(tmp_path.rglob("*")) == before


@pytest.mark.slow
def test_a_thousand_lives_leave_nothing_behind():
    """No thread, socket or file, with a client that waits at a gate in each."""

    def live():
        with Registry() as registry:
            gate = registry.gate("/v2/")
            sock = connect(registry)
            sock.sendall(REQUEST)
            gate.wait_for(1)
        sock.close()

    live()
    before = counts()
    for _ in range(LIVES):
        live()
    assert counts() == before
