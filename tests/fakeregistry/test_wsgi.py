"""WSGI applications on the server (PEP 3333)."""

import json
import socket

import httpx
import pytest

from fakeregistry import wsgi as module
from fakeregistry.server import HttpServer
from fakeregistry.wsgi import wsgi


def describe(environ, start_response):
    """Answer with what the server said of the request."""
    said = {
        key: value for key, value in environ.items() if isinstance(value, str | tuple)
    }
    said["body"] = environ["wsgi.input"].read().decode()
    start_response("200 OK", [("Content-Type", "application/json"), ("X-Two", "1")])
    data = json.dumps(said).encode()
    return [data[:10], data[10:]]


@pytest.fixture
def server():
    made = HttpServer(wsgi(describe), host="127.0.0.1")
    made.start()
    yield made
    made.stop()


def test_a_request(server):
    with httpx.Client(base_url=f"http://127.0.0.1:{server.port}") as client:
        answer = client.post(
            "/a%20b/%C3%A9?c=d%20e",
            content=b"body",
            headers=[("Content-Type", "x/y"), ("X-A", "1"), ("X-A", "2"), ("X_A", "3")],
        )
        again = client.get("/")
    said = answer.json()
    assert said["REQUEST_METHOD"] == "POST"
    assert said["PATH_INFO"].encode("latin-1").decode() == "/a b/é"
    assert said["QUERY_STRING"] == "c=d%20e"
    assert said["CONTENT_TYPE"] == "x/y"
    assert said["CONTENT_LENGTH"] == "4"
    assert said["HTTP_X_A"] == "1,2"
    assert said["body"] == "body"
    assert answer.headers["X-Two"] == "1"
    assert answer.headers.get_list("Content-Length") == [str(len(answer.content))]
    assert again.json()["REQUEST_METHOD"] == "GET"


def test_head(server):
    answer = httpx.head(f"http://127.0.0.1:{server.port}/")
    assert answer.content == b""
    assert int(answer.headers["Content-Length"]) > 0


def test_a_long_body(server, monkeypatch):
    monkeypatch.setattr(module, "BODY_LIMIT", 3)
    answer = httpx.post(f"http://127.0.0.1:{server.port}/", content=b"body")
    assert (answer.status_code, answer.text) == (413, "the body is too large\n")


def test_a_broken_body(server):
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(
            b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"
        )
        assert connection.recv(64).startswith(b"HTTP/1.1 400 ")
