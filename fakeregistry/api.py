"""The distribution API: which handler answers what.

distribution-spec v1.1.1, Endpoints; every one of end-1 to end-13, and the token
endpoint.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from werkzeug.datastructures import Headers

from fakeregistry.app import Handler, render_error
from fakeregistry.auth import CATALOG, Scope, scope_of
from fakeregistry.blobs import get_blob
from fakeregistry.errors import RegistryError
from fakeregistry.listing import fields_of, list_repositories, list_tags
from fakeregistry.manifests import get_manifest
from fakeregistry.push import Contents
from fakeregistry.referrers import list_referrers
from fakeregistry.reply import Reply
from fakeregistry.representation import require_reading
from fakeregistry.routes import Route, parse_path
from fakeregistry.store import valid_name

if TYPE_CHECKING:
    from collections.abc import Callable

    from fakeregistry.auth import Access
    from fakeregistry.features import Features
    from fakeregistry.journal import Exchange
    from fakeregistry.notices import Notices
    from fakeregistry.redirect import Redirects
    from fakeregistry.store import Store
    from fakeregistry.uploads import Uploads

__all__ = ["RegistryRoutes"]

_READING: Final = frozenset({"GET", "HEAD"})


class RegistryRoutes:
    """Answers what a registry is asked.

    Args:
        store: What it holds.
        uploads: What is on its way in.
        features: What is switched off.
        access: Who may do what; None: everybody everything.
        tokens: Answers ``/token``; None: there is no such endpoint.
        redirects: What is to be fetched elsewhere.
        notices: Warnings that go with responses.
        scheme: Of absolute locations.
    """

    def __init__(  # noqa: PLR0913 - keywords, all needed
        self,
        store: Store,
        *,
        uploads: Uploads,
        features: Features,
        access: Access | None,
        tokens: Handler | None,
        redirects: Redirects,
        notices: Notices,
        scheme: str = "http",
    ) -> None:
        self._store = store
        self._uploads = uploads
        self._features = features
        self._access = access
        self._tokens = tokens
        self._redirects = redirects
        self._notices = notices
        self._scheme = scheme
        contents = Contents(store, features)
        self._writers: dict[tuple[str, str], Callable[[Route, Exchange], Reply]] = {
            ("PUT", "manifests"): contents.put_manifest,
            ("DELETE", "manifests"): contents.delete_manifest,
            ("DELETE", "blobs"): contents.delete_blob,
            ("POST", "uploads"): partial(_begin_upload, uploads, access),
            ("GET", "upload"): uploads.status,
            ("HEAD", "upload"): uploads.status,
            ("PATCH", "upload"): uploads.patch,
            ("PUT", "upload"): uploads.finish,
            ("DELETE", "upload"): uploads.cancel,
        }

    def __call__(self, exchange: Exchange) -> Reply:
        """Answer a request, or raise RegistryError."""
        if self._tokens is not None and exchange.path == "/token":
            return self._tokens(exchange)
        if not exchange.path.startswith("/v2"):
            raise RegistryError("UNSUPPORTED", 404, message="no such endpoint")
        try:
            reply = self._api(exchange)
        except RegistryError as err:
            reply = render_error(err)
        reply.headers.add("Docker-Distribution-Api-Version", "registry/2.0")
        self._notices.apply(exchange, reply)
        return reply

    def _api(self, exchange: Exchange) -> Reply:
        route = parse_path(exchange.path)
        if route is not None:
            # The name goes into a challenge: it is looked at before access is.
            if not valid_name(route.name):
                raise RegistryError("NAME_INVALID", 400, detail={"name": route.name})
            return self._below(route, exchange)
        if exchange.path in {"/v2/_catalog", "/v2/_catalog/"}:
            return self._catalog(exchange)
        if self._access is not None:
            self._access.check(exchange, None)
        if exchange.path in {"/v2/", "/v2"}:
            require_reading(exchange)
            return Reply(200, Headers([("Content-Type", "application/json")]), b"{}", 2)
        raise RegistryError("UNSUPPORTED", 404, message="no such endpoint")

    def _below(self, route: Route, exchange: Exchange) -> Reply:
        if self._access is not None:
            scope = scope_of(exchange.method, route)
            mounted = _mounted(route, exchange) if self._features.mount else None
            self._access.check(exchange, scope, also=mounted)
        if exchange.method in _READING and route.endpoint not in {"uploads", "upload"}:
            return self._redirects.apply(exchange, self._read(route, exchange))
        writer = self._writers.get((exchange.method, route.endpoint))
        if writer is None or not self._features.push:
            raise self._not_allowed(route)
        reply = writer(route, exchange)
        location = reply.headers.get("Location")
        if location is not None and self._features.absolute_locations:
            host = exchange.request_headers.get("Host")
            reply.headers["Location"] = f"{self._scheme}://{host}{location}"
        return reply

    def _read(self, route: Route, exchange: Exchange) -> Reply:
        features = self._features
        repository = self._store.repository(route.name)
        if route.endpoint == "referrers":
            if not features.referrers:
                raise RegistryError("UNSUPPORTED", 404, message="no such endpoint")
            return list_referrers(
                repository, route.reference, exchange, page_size=features.page_size
            )
        if repository is None:
            raise RegistryError("NAME_UNKNOWN", 404, detail={"name": route.name})
        if route.endpoint == "blobs":
            multiple = features.multiple_ranges
            return get_blob(repository, route.reference, exchange, multiple=multiple)
        if route.endpoint == "tags":
            return list_tags(repository, exchange, page_size=features.page_size)
        strict = features.strict_accept
        return get_manifest(repository, route.reference, exchange, strict_accept=strict)

    def _catalog(self, exchange: Exchange) -> Reply:
        if self._access is not None:
            self._access.check(exchange, CATALOG)
        require_reading(exchange)
        if not self._features.catalog:
            raise RegistryError("UNSUPPORTED", 404, message="no such endpoint")
        return list_repositories(
            self._store.names, exchange, page_size=self._features.page_size
        )

    def _not_allowed(self, route: Route) -> RegistryError:
        methods = (
            set(_READING) if route.endpoint not in {"uploads", "upload"} else set()
        )
        if self._features.push:
            methods |= {
                method for method, name in self._writers if name == route.endpoint
            }
        return RegistryError(
            "UNSUPPORTED", 405, headers={"Allow": ", ".join(sorted(methods))}
        )


def _begin_upload(
    uploads: Uploads, access: Access | None, route: Route, exchange: Exchange
) -> Reply:
    def readable(name: str) -> bool:
        wanted = Scope("repository", name, ("pull",))
        # Nobody can ask for leave to read a repository that is not named.
        named = "from" in fields_of(exchange)
        return access is None or (
            access.allows(exchange, wanted) if named else access.grants(wanted)
        )

    return uploads.begin(route, exchange, readable=readable)


def _mounted(route: Route, exchange: Exchange) -> Scope | None:
    """Return what a client has to be allowed to mount a blob."""
    if route.endpoint != "uploads" or not exchange.query:
        return None
    fields = fields_of(exchange)
    name = fields.get("from", "")
    if "mount" not in fields or not valid_name(name):
        return None
    return Scope("repository", name, ("pull",))
