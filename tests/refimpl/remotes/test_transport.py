"""Connections: kept, replaced, encrypted, proxied, interrupted."""

import socket
import ssl
import threading
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from refimpl.errdefs import ErrInvalidArgument
from refimpl.remotes.docker.transport import (
    Interrupt,
    TLSConfig,
    Transport,
    is_loopback,
)


@pytest.fixture
def transport():
    with Transport() as transport:
        yield transport


@pytest.fixture(autouse=True)
def no_proxy_from_outside(monkeypatch):
    for name in ("http_proxy", "https_proxy", "no_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def get(transport, url, *, interrupt=None, timeout=5.0):
    extensions = {"timeout": {"connect": timeout, "read": timeout}}
    if interrupt:
        extensions["interrupt"] = interrupt
    return send(transport, httpx.Request("GET", url, extensions=extensions))


def send(transport, request):
    response = transport.handle_request(request)
    response.read()
    response.close()
    return response


@pytest.fixture(scope="module")
def pki(tmp_path_factory):
    """Give a server context for 127.0.0.1 and the file of its authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]),
            critical=False,
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    folder = tmp_path_factory.mktemp("pki")
    ca = folder / "ca.pem"
    ca.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    pem = folder / "server.pem"
    pem.write_bytes(
        ca.read_bytes()
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    return context, ca


def test_a_connection_is_used_again(serve, answer, transport):
    server = serve(lambda seen: answer(200, body=b"x"))
    assert [get(transport, server.url).content for _ in range(3)] == [b"x"] * 3
    assert server.connections == 1


def test_concurrent_requests_have_connections_of_their_own(serve, answer, transport):
    both = threading.Barrier(2)

    def respond(seen):
        both.wait(10)
        return answer(200)

    server = serve(respond)
    threads = [
        threading.Thread(target=get, args=(transport, server.url)) for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert server.connections == 2


def test_a_get_survives_an_idle_connection_that_was_closed(serve, answer, transport):
    """net/http transport.go, shouldRetryRequest."""
    server = serve(lambda seen: answer(200, end="close"))
    assert [get(transport, server.url).status_code for _ in range(2)] == [200, 200]
    assert server.connections == 2


def test_a_get_survives_a_connection_that_closes_as_it_is_used(
    serve, answer, transport
):
    def respond(seen):
        return answer(raw=b"", end="close") if len(server.requests) == 2 else answer()

    server = serve(respond)
    assert [get(transport, server.url).status_code for _ in range(2)] == [200, 200]
    assert [seen.connection for seen in server.requests] == [1, 1, 2]


def test_a_new_connection_that_stays_silent_is_an_error(serve, answer, transport):
    server = serve(lambda seen: answer(raw=b"", end="close"))
    with pytest.raises(httpx.RemoteProtocolError):
        get(transport, server.url)
    assert len(server.requests) == 1


def test_a_post_never_meets_an_old_connection(serve, answer, transport):
    server = serve(lambda seen: answer())
    get(transport, server.url)
    send(transport, httpx.Request("POST", server.url, content=b"secret"))
    assert server.connections == 2
    assert server.requests[1].body == b"secret"


def test_what_cannot_be_a_header_is_not_sent(serve, transport):
    server = serve()
    request = httpx.Request("GET", server.url, headers={"X": "a\r\nY: b"})
    with pytest.raises(httpx.LocalProtocolError):
        transport.handle_request(request)
    assert server.requests == []


@pytest.mark.parametrize(
    ("url", "error"),
    [
        ("ftp://127.0.0.1/", httpx.UnsupportedProtocol),
        ("/path", httpx.UnsupportedProtocol),
        ("http://127.0.0.1:1/", httpx.ConnectError),
        ("http://nowhere.invalid/", httpx.ConnectError),
    ],
)
def test_errors_are_those_of_httpx(transport, url, error):
    with pytest.raises(error):
        get(transport, url)


def test_a_silent_server_meets_the_limit(serve, answer, transport):
    server = serve(lambda seen: answer(raw=b"HTTP/1.1 2", end="hold"))
    with pytest.raises(httpx.ReadTimeout):
        get(transport, server.url, timeout=0.02)


def test_an_interrupt_wakes_a_reader(serve, answer, transport):
    server = serve(lambda seen: answer(raw=b"HTTP/1.1 2", end="hold"))
    interrupt = Interrupt()

    def fire():
        assert server.held.wait(10)
        interrupt.fire()

    thread = threading.Thread(target=fire)
    thread.start()
    with pytest.raises(httpx.TransportError):
        get(transport, server.url, interrupt=interrupt, timeout=None)
    thread.join()
    with pytest.raises(httpx.ReadError):
        get(transport, server.url, interrupt=interrupt)
    assert len(server.requests) == 1


def test_an_interrupt_leaves_connections_alone_that_were_given_back(
    serve, answer, transport
):
    server = serve(lambda seen: answer())
    interrupt = Interrupt()
    get(transport, server.url, interrupt=interrupt)
    interrupt.fire()
    get(transport, server.url)
    assert server.connections == 1


def test_a_closed_transport_keeps_no_connection(serve, answer):
    server = serve(lambda seen: answer(200, body=b"x"))
    transport = Transport()
    response = transport.handle_request(httpx.Request("GET", server.url))
    transport.close()
    assert response.read() == b"x"
    response.close()
    get(transport, server.url)
    assert server.connections == 2


def test_tls_with_an_authority_of_ones_own(serve, answer, pki):
    context, ca = pki
    server = serve(lambda seen: answer(200, body=b"x"), tls=context)
    with Transport(tls=TLSConfig(ca=ca)) as transport:
        assert [get(transport, server.url).content for _ in range(2)] == [b"x", b"x"]
    assert server.connections == 1


def test_tls_checks_the_name(serve, pki):
    context, ca = pki
    server = serve(tls=context)
    url = server.url.replace("127.0.0.1", "localhost")
    raises = pytest.raises(httpx.ConnectError, match="TLS certificate")
    with Transport(tls=TLSConfig(ca=ca)) as transport, raises:
        get(transport, url)
    assert server.requests == []


def test_tls_without_checks_is_for_those_who_ask(serve, answer, pki):
    server = serve(lambda seen: answer(), tls=pki[0])
    with Transport(tls=TLSConfig(insecure_skip_verify=True)) as transport:
        assert get(transport, server.url).status_code == 200


def test_a_server_without_tls_is_told_apart(pki):
    def greet(listener):
        with listener, listener.accept()[0] as sock:
            sock.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            sock.recv(1 << 16)

    listener = socket.create_server(("127.0.0.1", 0))
    url = f"https://127.0.0.1:{listener.getsockname()[1]}/"
    thread = threading.Thread(target=greet, args=(listener,))
    thread.start()
    raises = pytest.raises(httpx.ConnectError, match="TLS")
    with Transport(tls=TLSConfig(ca=pki[1])) as transport, raises:
        get(transport, url)
    thread.join()


def test_contexts_are_shared(pki, tmp_path):
    copy = tmp_path / "copy.pem"
    copy.write_bytes(pki[1].read_bytes())
    assert TLSConfig(ca=pki[1]).context() is TLSConfig(ca=copy).context()


@pytest.mark.parametrize("content", [None, "no certificate", "ä"])
def test_a_bad_ca_file_is_named(tmp_path, content):
    ca = tmp_path / "ca.pem"
    if content is not None:
        ca.write_text(content)
    with pytest.raises(ErrInvalidArgument, match=r"ca\.pem"):
        TLSConfig(ca=ca).context()


def test_http_goes_through_a_proxy(serve, answer, transport, monkeypatch):
    proxy = serve(lambda seen: answer(200, body=b"proxied"))
    monkeypatch.setenv("http_proxy", f"http://me:p%40ss@{proxy.host}")
    assert get(transport, "http://registry.example/v2/?a=b").content == b"proxied"
    [seen] = proxy.requests
    assert seen.target == "http://registry.example/v2/?a=b"
    assert seen.headers["proxy-authorization"] == "Basic bWU6cEBzcw=="


def test_https_opens_a_tunnel(serve, answer, transport, monkeypatch):
    proxy = serve(lambda seen: answer(403))
    monkeypatch.setenv("https_proxy", proxy.host)
    with pytest.raises(httpx.ProxyError, match="403"):
        get(transport, "https://registry.example/v2/")
    [seen] = proxy.requests
    assert (seen.method, seen.target) == ("CONNECT", "registry.example:443")


def test_a_tunnel_carries_tls(serve, answer, transport, monkeypatch):
    proxy = serve(lambda seen: answer(raw=b"HTTP/1.1 200 OK\r\n\r\n", end="close"))
    monkeypatch.setenv("https_proxy", proxy.host)
    with pytest.raises(httpx.ConnectError):
        get(transport, "https://registry.example/v2/")


@pytest.mark.parametrize(
    "proxy", ["socks5://127.0.0.1:1", "https://127.0.0.1:1"], ids=["socks", "https"]
)
def test_other_proxies_are_refused(transport, monkeypatch, proxy):
    monkeypatch.setenv("http_proxy", proxy)
    with pytest.raises(httpx.ProxyError):
        get(transport, "http://registry.example/")


def test_this_machine_needs_no_proxy(serve, answer, transport, monkeypatch):
    """net/http ProxyFromEnvironment: localhost and loopback never."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    assert get(transport, serve(lambda seen: answer()).url).status_code == 200


def test_no_proxy_is_obeyed(transport, monkeypatch):
    monkeypatch.setenv("http_proxy", "socks5://127.0.0.1:1")
    monkeypatch.setenv("no_proxy", ".invalid")
    with pytest.raises(httpx.ConnectError, match="no such host"):
        get(transport, "http://nowhere.invalid/")


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("localhost", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("10.0.0.1", False),
        ("registry.localhost", False),
        ("", False),
    ],
)
def test_loopback(host, expected):
    assert is_loopback(host) is expected
