"""TLS: the authority, the handshake, client certificates."""

import http.client
import os
import socket
import ssl
import subprocess
import sys
import threading

import pytest
from cryptography import x509

from fakeregistry import Registry
from fakeregistry.tls import authority, server_context


@pytest.fixture(scope="module")
def registry():
    with Registry(tls=True) as registry:
        registry.put_blob("a", bytes(300_000), digest="sha256:1")
        yield registry


@pytest.fixture(scope="module")
def trusting():
    return ssl.create_default_context(cafile=authority().ca_file)


def get(registry, context, path="/v2/", host="127.0.0.1"):
    client = http.client.HTTPSConnection(
        host, registry.port, context=context, timeout=10
    )
    try:
        client.request("GET", path)
        return client.getresponse().read()
    finally:
        client.close()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_client_that_trusts_the_authority(registry, trusting, host):
    assert registry.url == f"https://{registry.host}"
    assert get(registry, trusting, host=host) == b"{}"


def test_large_bodies(registry, trusting):
    assert get(registry, trusting, "/v2/a/blobs/sha256:1") == bytes(300_000)


def test_a_client_that_does_not(registry, capfd):
    with pytest.raises(ssl.SSLCertVerificationError):
        get(registry, ssl.create_default_context())
    assert capfd.readouterr().err == ""


def test_a_strict_client(registry, trusting):
    """RFC 5280 checks that OpenSSL makes only when asked."""
    context = ssl.create_default_context(cafile=registry.ca_file)
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    assert get(registry, context) == b"{}"


def test_names_and_files():
    files = authority()
    assert files is authority()
    assert server_context() is server_context()
    certificate = x509.load_pem_x509_certificate(files.server_cert.read_bytes())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert names.value.get_values_for_type(x509.DNSName) == ["localhost", "*.localhost"]
    addresses = names.value.get_values_for_type(x509.IPAddress)
    assert [str(address) for address in addresses] == ["127.0.0.1", "::1"]
    assert files.ca_file.parent.stat().st_mode & 0o077 == 0


def test_plain_http_hears_what_it_talks_to(registry):
    with socket.create_connection(("127.0.0.1", registry.port), timeout=10) as sock:
        sock.sendall(b"GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n")
        answer = b"".join(iter(lambda: sock.recv(4096), b""))
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"HTTPS" in answer


def test_keep_alive_and_goodbye(registry, trusting):
    """A connection that the server ends says close_notify (RFC 8446 6.1)."""
    with (
        socket.create_connection(("127.0.0.1", registry.port), timeout=10) as raw,
        trusting.wrap_socket(
            raw, server_hostname="localhost", suppress_ragged_eofs=False
        ) as sock,
    ):
        request = b"GET /v2/ HTTP/1.1\r\nHost: x\r\n"
        sock.sendall(request + b"\r\n" + request + b"Connection: close\r\n\r\n")
        answers = b"".join(iter(lambda: sock.recv(4096), b""))
    assert answers.count(b"HTTP/1.1 200 ") == 2


def test_truncate_and_reset(trusting):
    with Registry(tls=True) as registry:
        registry.put_blob("a", bytes(100_000), digest="sha256:1")
        registry.fault(path="/blobs/*", times=1, truncate=70_000)
        registry.fault(path="/blobs/*", times=1, reset=70_000)
        for _ in range(2):
            # OpenSSL tells Python of a reset as of an end without goodbye.
            with pytest.raises(http.client.IncompleteRead) as caught:
                get(registry, trusting, "/v2/a/blobs/sha256:1")
            assert len(caught.value.partial) == 70_000
        outcomes = [exchange.outcome for exchange in registry.journal]
        assert outcomes == ["truncated", "reset"]


def test_stop_in_every_state(trusting):
    """Before, during and after the handshake; nothing is left."""
    registry = Registry(tls=True).start()
    threads = threading.active_count()
    address = ("127.0.0.1", registry.port)
    gate = registry.gate("/v2/")
    silent, halfway, raw = (socket.create_connection(address) for _ in range(3))
    halfway.sendall(b"\x16\x03\x01\x00")
    with trusting.wrap_socket(raw, server_hostname="localhost") as held:
        held.sendall(b"GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n")
        gate.wait_for(1)
        registry.stop()
    for sock in (silent, halfway):
        sock.close()
    assert threading.active_count() == threads - 1


def test_client_certificates():
    with Registry(tls=True, client_ca=True) as registry:
        context = ssl.create_default_context(cafile=registry.ca_file)
        with pytest.raises(ssl.SSLError, match=r"(?i)certificate.required"):
            get(registry, context)
        assert registry.client_certificate is not None
        context.load_cert_chain(*registry.client_certificate)
        assert get(registry, context) == b"{}"


def test_arguments():
    with pytest.raises(ValueError, match="client_ca needs tls"):
        Registry(client_ca=True)
    with Registry() as registry:
        assert registry.ca_file is None
        assert registry.client_certificate is None


def test_the_folder_goes_with_the_process():
    """Also when a child was forked meanwhile."""
    script = (
        "import os\n"
        "from fakeregistry.tls import authority\n"
        "folder = authority().ca_file.parent\n"
        "pid = os.fork()\n"
        "if not pid: raise SystemExit\n"
        "os.waitpid(pid, 0)\n"
        "print(folder, folder.exists())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    folder, existed = done.stdout.rsplit(maxsplit=1)
    assert existed == "True"
    assert not os.path.exists(folder)  # noqa: PTH110 - text from the child
