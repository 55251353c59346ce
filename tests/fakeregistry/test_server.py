"""The server: connections, hostile bytes, and leaving nothing behind."""

import http.client
import os
import socket
import threading
from pathlib import Path

import pytest

from fakeregistry import Registry

REQUEST = b"GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.fixture
def registry():
    with Registry() as registry:
        yield registry


def connect(registry):
    return socket.create_connection(("127.0.0.1", registry.port), timeout=10)


def read_all(sock):
    """Read until the end of the connection."""
    return b"".join(iter(lambda: sock.recv(1 << 20), b""))


def counts():
    return threading.active_count(), len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - counts only


def test_one_connection_carries_many_requests(registry):
    """RFC 9112 section 9.3: persistence is the default."""
    client = http.client.HTTPConnection("127.0.0.1", registry.port, timeout=10)
    for _ in range(3):
        client.request("GET", "/v2/")
        assert client.getresponse().read() == b"{}"
    client.close()
    assert len({exchange.connection for exchange in registry.journal}) == 1


def test_pipelined_requests_are_answered_in_order(registry):
    """RFC 9112 section 9.3.2."""
    blob = registry.put_blob("a", b"blob")
    second = f"GET /v2/a/blobs/{blob.digest} HTTP/1.1\r\nHost: x\r\n".encode()
    with connect(registry) as sock:
        sock.sendall(REQUEST + second + b"Connection: close\r\n\r\n" + REQUEST)
        answers = read_all(sock)
    first, _, rest = answers.partition(b"\r\n\r\n{}")
    assert first.startswith(b"HTTP/1.1 200 ")
    assert b"\r\nConnection: close\r\n" in rest
    assert rest.endswith(b"\r\n\r\nblob")
    assert len(registry.journal) == 2


def test_http_1_0_closes(registry):
    with connect(registry) as sock:
        sock.sendall(b"GET /v2/ HTTP/1.0\r\n\r\n")
        answer = read_all(sock)
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b"Connection: close" in answer


def test_http_1_0_gets_no_chunks(registry):
    """RFC 9112 section 7.1: a body of unknown length ends with the connection."""
    registry.put_blob("a", b"blob", digest="sha256:1")
    registry.fault(path="/blobs/*", remove_headers=["Content-Length"])
    with connect(registry) as sock:
        sock.sendall(b"GET /v2/a/blobs/sha256:1 HTTP/1.0\r\n\r\n")
        answer = read_all(sock)
    assert b"chunked" not in answer
    assert answer.endswith(b"\r\n\r\nblob")


def test_the_body_of_a_refused_request_is_drained(registry):
    """The connection goes on with the next request."""
    client = http.client.HTTPConnection("127.0.0.1", registry.port, timeout=10)
    client.request("PUT", "/v2/a/blobs/uploads/1", body=bytes(3_000_000))
    response = client.getresponse()
    response.read()
    client.request("GET", "/v2/")
    assert client.getresponse().read() == b"{}"
    client.close()
    assert response.status == 404
    assert len({exchange.connection for exchange in registry.journal}) == 1


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
        (b"nonsense\r\n\r\n", 400),
        (b"GET / HTTP/3.0\r\n\r\n", 505),
        (b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"b" * 70_000, 431),
        (b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 20_000, 431),
    ],
)
def test_hostile_bytes_get_an_answer_and_nothing_else(registry, capfd, data, status):
    """Not a word on stderr; a TLS client hears at once what it talks to."""
    with connect(registry) as sock:
        sock.sendall(data)
        answer = read_all(sock)
    assert answer.startswith(f"HTTP/1.1 {status} ".encode())
    assert b"Connection: close" in answer
    assert not registry.journal
    registry.stop()
    assert capfd.readouterr() == ("", "")


def test_clients_that_go_leave_no_trace_on_stderr(registry, capfd):
    big = registry.put_blob("a", bytes(20_000_000))
    with registry.gate("/blobs/*") as gate:
        sock = connect(registry)
        sock.sendall(
            f"GET /v2/a/blobs/{big.digest} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
        )
        gate.wait_for(1)
        sock.close()
    (exchange,) = registry.journal.wait_for(1, outcome="client-gone")
    assert exchange.body_sent < big.size
    registry.stop()
    assert capfd.readouterr() == ("", "")


def test_the_journal_is_complete_when_the_client_is(registry):
    """No wait is needed between the last byte and the assertion."""
    small = registry.put_blob("a", b"s" * 100)
    large = registry.put_blob("a", b"l" * 1_000_000)
    client = http.client.HTTPConnection("127.0.0.1", registry.port, timeout=10)
    for number in range(30):
        blob = (small, large)[number % 2]
        client.request("GET", f"/v2/a/blobs/{blob.digest}")
        client.getresponse().read()
        exchange = registry.journal[-1]
        assert (exchange.outcome, exchange.body_sent) == ("complete", blob.size)
        assert exchange.response_headers.get("Content-Length") == str(blob.size)
    client.close()


def test_a_large_body_arrives_whole(registry, tmp_path):
    data = os.urandom(1 << 20) * 9 + b"end"
    path = tmp_path / "layer"
    path.write_bytes(data)
    for name, source in (("memory", data), ("file", path)):
        blob = registry.put_blob(name, source)
        client = http.client.HTTPConnection("127.0.0.1", registry.port, timeout=10)
        client.request("GET", f"/v2/{name}/blobs/{blob.digest}")
        assert client.getresponse().read() == data
        client.close()


def test_a_hundred_lives_leave_nothing_behind():
    """No thread, socket or file, whatever clients were doing."""

    def live():
        with Registry() as registry:
            registry.put_blob("a", bytes(8_000_000), digest="sha256:1")
            registry.fault(path="/v2/", stall=1)
            gate = registry.gate("/manifests/*")
            request = b"GET %s HTTP/1.1\r\nHost: x\r\n\r\n"
            socks = [connect(registry) for _ in range(5)]
            socks[0].sendall(request % b"/v2/a/manifests/x")
            socks[1].sendall(request % b"/v2/")
            socks[2].sendall(request % b"/v2/a/blobs/sha256:1")
            socks[3].sendall(b"GET / HT")
            gate.wait_for(1)
            registry.journal.wait_for(3)
        for sock in socks:
            sock.close()

    live()
    before = counts()
    for _ in range(100):
        live()
    assert counts() == before


def test_a_life_without_clients_leaves_nothing_behind():
    with Registry():
        pass
    before = counts()
    for _ in range(100):
        with Registry():
            pass
    assert counts() == before


def test_stop_ends_open_connections(registry):
    with connect(registry) as idle, connect(registry) as halfway:
        halfway.sendall(REQUEST[:9])
        idle.sendall(REQUEST)
        idle.recv(4096)
        registry.stop()
        assert idle.recv(1) == b""
        with pytest.raises(ConnectionRefusedError):
            connect(registry)


def test_held_requests_end_with_the_registry(registry):
    gate = registry.gate("/v2/")
    with connect(registry) as sock:
        sock.sendall(REQUEST)
        gate.wait_for(1)
        registry.stop()
        assert sock.recv(1) == b""
    (exchange,) = registry.journal
    assert (exchange.outcome, exchange.status) == ("held", 0)


def test_a_port_can_be_chosen_and_used_again():
    with Registry() as registry:
        port = registry.port
        with connect(registry) as sock:
            sock.sendall(REQUEST)
            sock.recv(4096)
    with Registry(port=port) as registry:
        assert registry.port == port
        with pytest.raises(OSError, match="in use"), Registry(port=port):
            pass


@pytest.mark.skipif(
    not Path("/proc/net/if_inet6").exists(), reason="needs IPv6 on the loopback"
)
def test_ipv6():
    try:
        registry = Registry(host="::1").start()
    except OSError:
        pytest.skip("IPv6 is switched off")
    with registry:
        assert registry.url == f"http://[::1]:{registry.port}"
        client = http.client.HTTPConnection("::1", registry.port, timeout=10)
        client.request("GET", "/v2/")
        assert client.getresponse().read() == b"{}"
        client.close()
