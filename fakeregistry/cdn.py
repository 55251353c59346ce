"""The second host: an object store that blobs are redirected to.

Its URLs are signed for one object and some minutes, in the way of S3. Such a
store takes no other credentials: a client that forwards its Authorization
header there leaks it, and many stores refuse the request for it, which
``strict`` imitates.
"""

from __future__ import annotations

import calendar
import hashlib
import hmac
import itertools
import secrets
import time
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl, quote, urlencode

from werkzeug.datastructures import Headers

from fakeregistry.blobs import serve_blob
from fakeregistry.errors import RegistryError
from fakeregistry.reply import Reply
from fakeregistry.representation import require_reading
from fakeregistry.routes import parse_path

if TYPE_CHECKING:
    from collections.abc import Callable

    from fakeregistry.journal import Exchange
    from fakeregistry.server import HttpServer
    from fakeregistry.store import Store

__all__ = ["Cdn", "CdnRoutes", "Signer"]

_SIGNATURE: Final = "X-Amz-Signature"


class Cdn:
    """The second host, while it runs."""

    def __init__(
        self, server: HttpServer, signer: Signer, host: str, *, tls: bool
    ) -> None:
        self.server = server
        self._signer = signer
        self._host = host
        self._tls = tls

    @property
    def port(self) -> int:
        """The port it listens on."""
        return self.server.port

    @property
    def host(self) -> str:
        """Host and port."""
        return host_port(self._host, self.port)

    @property
    def url(self) -> str:
        """Scheme, host and port."""
        return f"{'https' if self._tls else 'http'}://{self.host}"

    def signed_url(self, repository: str, digest: str) -> str:
        """Return a URL that gives its holder the content for a while."""
        return self.url + self._signer.sign(f"/v2/{repository}/blobs/{digest}")

    def expire_urls(self) -> None:
        """Make every URL signed so far worthless."""
        self._signer.expire()

    def locate(self, exchange: Exchange, reply: Reply) -> str:
        """Return a signed URL for what a request was about to get."""
        route = parse_path(exchange.path)
        name = route.name if route else ""
        return self.signed_url(name, reply.headers.get("Docker-Content-Digest", ""))


class Signer:
    """Signs paths the way that object stores do, and checks what comes back."""

    def __init__(
        self, *, clock: Callable[[], float] = time.time, expires_in: int = 1200
    ) -> None:
        self._secret = secrets.token_bytes(32)
        self._clock = clock
        self._expires_in = expires_in
        self._serial = itertools.count(1)
        self._valid_from = 1

    def expire(self) -> None:
        """Let in nobody with a query that was signed so far."""
        self._valid_from = next(self._serial)

    def sign(self, path: str) -> str:
        """Return the path with a query that lets its holder in for a while."""
        now = time.gmtime(self._clock())
        query = urlencode(
            {
                "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
                "X-Amz-Credential": time.strftime(
                    "FAKEREGISTRY/%Y%m%d/local/s3/aws4_request", now
                ),
                "X-Amz-Date": time.strftime("%Y%m%dT%H%M%SZ", now),
                "X-Amz-Expires": self._expires_in,
                "X-Amz-SignedHeaders": "host",
                "x-id": next(self._serial),
            }
        )
        path = quote(path, safe="/:@!$&'()*+,;=~")
        return f"{path}?{query}&{_SIGNATURE}={self._hmac(path, query)}"

    def refusal(self, target: str) -> str | None:
        """Say why a path with its query is not let in; None when it is."""
        path, _, query = target.partition("?")
        signed, found, signature = query.rpartition(f"&{_SIGNATURE}=")
        if not found:
            return "AccessDenied"
        expected = self._hmac(path, signed).encode()
        if not hmac.compare_digest(expected, signature.encode()):
            return "SignatureDoesNotMatch"
        fields = dict(parse_qsl(signed))
        made = time.strptime(fields["X-Amz-Date"], "%Y%m%dT%H%M%SZ")
        age = self._clock() - calendar.timegm(made)
        expired = (
            age > int(fields["X-Amz-Expires"]) or int(fields["x-id"]) < self._valid_from
        )
        return "RequestExpired" if expired else None

    def _hmac(self, path: str, query: str) -> str:
        text = f"{path}?{query}".encode()
        return hmac.new(self._secret, text, hashlib.sha256).hexdigest()


class CdnRoutes:
    """What the second host serves: blobs, to those who hold a signed URL."""

    def __init__(self, store: Store, signer: Signer, *, strict: bool) -> None:
        self._store = store
        self._signer = signer
        self._strict = strict

    def __call__(self, exchange: Exchange) -> Reply:
        """Answer a request, or raise RegistryError."""
        require_reading(exchange)
        if self._strict and "Authorization" in exchange.request_headers:
            return _refuse(400, "InvalidArgument", "Only one auth mechanism allowed")
        if reason := self._signer.refusal(exchange.target):
            return _refuse(403, reason, "The signature of the URL does not hold")
        route = parse_path(exchange.path)
        repository = self._store.repository(route.name) if route else None
        if route is None or repository is None or route.endpoint != "blobs":
            raise RegistryError("BLOB_UNKNOWN", 404)
        digest = route.reference
        stored = repository.blobs.get(digest) or repository.manifests.get(digest)
        if stored is None:
            raise RegistryError("BLOB_UNKNOWN", 404)
        return serve_blob(stored, exchange)


def _refuse(status: int, code: str, message: str) -> Reply:
    body = (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f"<Error><Code>{code}</Code><Message>{message}</Message></Error>\n"
    ).encode()
    return Reply(
        status, Headers([("Content-Type", "application/xml")]), body, len(body)
    )


def host_port(host: str, port: int) -> str:
    """Join host and port as URLs and references have them."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
