"""WSGI applications on the server of this package (PEP 3333).

    HttpServer(wsgi(application), host="127.0.0.1").start()

The server ends with all of its connections at once, whatever they wait for;
that is why it is used, not the one that comes with werkzeug.
"""

from __future__ import annotations

import io
import sys
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote_to_bytes

from werkzeug.datastructures import Headers
from werkzeug.wrappers import Response

from fakeregistry.body import BadRequest
from fakeregistry.journal import Exchange, HeaderList
from fakeregistry.reply import Reply

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from fakeregistry.request import Request
    from fakeregistry.server import Application

__all__ = ["BODY_LIMIT", "wsgi"]

BODY_LIMIT: Final = 16 * 1024 * 1024
# What the server derives itself (Reply.headers).
_FRAMING: Final = ("Content-Length", "Connection", "Transfer-Encoding")


def wsgi(
    app: Callable[[dict[str, Any], Any], Iterable[bytes]], *, scheme: str = "http"
) -> Application:
    """Return what lets the server call a WSGI application."""

    def answer(request: Request, connection: int) -> tuple[Exchange, Reply]:
        exchange = Exchange(request.method, request.target, HeaderList(request.headers))
        exchange.connection = connection
        try:
            body = request.body.read(BODY_LIMIT)
        except BadRequest as err:
            return exchange, _refuse(err.status, err.reason)
        if body is None:
            request.body.drain()
            return exchange, _refuse(413, "the body is too large")
        environ = _environ(exchange, body, scheme)
        response = Response.from_app(app, environ, buffered=True)
        data = response.get_data()
        headers = Headers(response.headers)
        for name in _FRAMING:
            headers.remove(name)
        return exchange, Reply(response.status_code, headers, data, len(data))

    return answer


def _refuse(status: int, reason: str) -> Reply:
    body = f"{reason}\n".encode()
    headers = Headers([("Content-Type", "text/plain; charset=utf-8")])
    return Reply(status, headers, body, len(body), close=True)


def _environ(exchange: Exchange, body: bytes, scheme: str) -> dict[str, Any]:
    path = exchange.target.partition("?")[0]
    environ: dict[str, Any] = {
        "REQUEST_METHOD": exchange.method,
        "SCRIPT_NAME": "",
        # PEP 3333: bytes, each as the character of that number.
        "PATH_INFO": unquote_to_bytes(path).decode("latin-1"),
        "QUERY_STRING": exchange.query,
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "0",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scheme,
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    for name, value in exchange.request_headers:
        key = name.upper().replace("-", "_")
        if key in {"CONTENT_LENGTH", "TRANSFER_ENCODING"} or "_" in name:
            continue
        key = key if key == "CONTENT_TYPE" else f"HTTP_{key}"
        environ[key] = f"{environ[key]},{value}" if key in environ else value
    return environ
