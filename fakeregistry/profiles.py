"""Profiles: the habits of registries that clients meet outside of tests.

    with Registry(profile="no-digest-header") as registry:
        ...

A profile changes what the registry says, never what it holds. Scripted faults
come after it and win; so do redirects. ``fakeregistry profiles`` lists them
all, with the registries that behave so and where that is written down.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from werkzeug.datastructures import Headers
from werkzeug.http import parse_accept_header

from fakeregistry.app import Handler, render_error
from fakeregistry.auth import BasicAuth, TokenAuth
from fakeregistry.errors import RegistryError
from fakeregistry.redirect import redirect_reply
from fakeregistry.reply import Reply
from fakeregistry.routes import parse_path

if TYPE_CHECKING:
    from fakeregistry.journal import Exchange
    from fakeregistry.request import Request
    from fakeregistry.server import Application

__all__ = ["PROFILES", "Profile", "find_profile"]

Change = Callable[["Exchange", Reply], Reply]
_GZIP_MAGIC: Final = b"\x1f\x8b"


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """The habits of one kind of registry.

    Attributes:
        what: What is different, in one sentence.
        who: Registries that behave so.
        source: Where that is written down.
        tokens: Fields of TokenAuth that it sets; it brings TokenAuth along.
        strict_accept: As the argument of Registry.
        strict_cdn: As the argument of Registry.
        sends_away: Blobs are redirected to signed URLs of the CDN.
        before: Gets each request before the handler.
        change: Turns the handler's reply into the one that is sent.
        wire: Gets each reply last of all, those of faults too.
    """

    name: str
    what: str
    who: str
    source: str
    tokens: Mapping[str, Any] = field(default_factory=dict)
    strict_accept: bool = False
    strict_cdn: bool = False
    sends_away: bool = False
    before: Callable[[Exchange], None] | None = None
    change: Change | None = None
    wire: Callable[[Reply], None] | None = None

    def access(
        self, auth: BasicAuth | TokenAuth | None
    ) -> BasicAuth | TokenAuth | None:
        """Return the access control with what the profile says about tokens.

        Raises:
            ValueError: The profile is about tokens, and there are none.
        """
        if not self.tokens:
            return auth
        if isinstance(auth, BasicAuth):
            raise ValueError(f"profile {self.name} is about tokens, not BasicAuth")
        return replace(auth or TokenAuth(), **self.tokens)

    def around(self, handler: Handler, locate: Change | Locate) -> Handler:
        """Return the handler with the profile around it.

        ``locate`` makes the CDN's URL for what a request was about to get.
        """
        if not (self.before or self.change or self.sends_away):
            return handler

        def answer(exchange: Exchange) -> Reply:
            if self.before is not None:
                self.before(exchange)
            try:
                reply = handler(exchange)
            except RegistryError as err:
                reply = render_error(err)
            if self.change is not None:
                reply = self.change(exchange, reply)
            if self.sends_away and _is_found_blob(exchange, reply):
                reply = redirect_reply(307, str(locate(exchange, reply)))
            return reply

        return answer

    def on_wire(self, app: Application) -> Application:
        """Return the application with what the profile does to every reply."""
        if self.wire is None:
            return app
        wire = self.wire

        def answer(request: Request, connection: int) -> tuple[Exchange, Reply | None]:
            exchange, reply = app(request, connection)
            if reply is not None:
                wire(reply)
            return exchange, reply

        return answer


Locate = Callable[["Exchange", Reply], str]


def find_profile(name: str | None) -> Profile:
    """Return a profile by name; None is the plain registry.

    Raises:
        ValueError: There is none of that name.
    """
    if name is None:
        return _PLAIN
    if name not in PROFILES:
        raise ValueError(f"profile={name!r}: there are {', '.join(PROFILES)}")
    return PROFILES[name]


def _is_manifest(exchange: Exchange) -> bool:
    route = parse_path(exchange.path)
    return route is not None and route.endpoint == "manifests"


def _is_found_blob(exchange: Exchange, reply: Reply) -> bool:
    route = parse_path(exchange.path)
    return (
        route is not None
        and route.endpoint == "blobs"
        and exchange.method in {"GET", "HEAD"}
        and reply.status in {200, 206, 304}
    )


def _is_allowed(reply: Reply) -> bool:
    return reply.status not in {401, 403}


def _refuse(error: RegistryError) -> Reply:
    reply = render_error(error)
    reply.headers["Docker-Distribution-Api-Version"] = "registry/2.0"
    return reply


def _no_head(exchange: Exchange, reply: Reply) -> Reply:
    if exchange.method == "HEAD" and _is_manifest(exchange) and _is_allowed(reply):
        return _refuse(RegistryError("UNSUPPORTED", 405, headers={"Allow": "GET"}))
    return reply


def _head_404(exchange: Exchange, reply: Reply) -> Reply:
    if exchange.method == "HEAD" and _is_manifest(exchange) and _is_allowed(reply):
        return _refuse(RegistryError("MANIFEST_UNKNOWN", 404))
    return reply


def _without(*names: str) -> Change:
    def change(exchange: Exchange, reply: Reply) -> Reply:
        del exchange
        for name in names:
            reply.headers.remove(name)
        return reply

    return change


def _manifests_as(media_type: str | None) -> Change:
    def change(exchange: Exchange, reply: Reply) -> Reply:
        if not _is_manifest(exchange) or reply.status != 200:
            return reply
        reply.headers.remove("Content-Type")
        if media_type is not None:
            reply.headers["Content-Type"] = media_type
        return reply

    return change


def _no_content_length(exchange: Exchange, reply: Reply) -> Reply:
    del exchange
    if reply.status in {200, 206}:
        reply.headers.remove("Content-Length")
        reply.length = None
    return reply


def _gzip_when_accepted(exchange: Exchange, reply: Reply) -> Reply:
    accepted = parse_accept_header(exchange.request_headers.get("Accept-Encoding"))
    if reply.status != 200 or not reply.length or "gzip" not in accepted.values():
        return reply
    body = reply.body
    whole = body if isinstance(body, (bytes, memoryview)) else b"".join(body)
    for name in ("Content-Length", "Accept-Ranges"):
        reply.headers.remove(name)
    reply.headers["Content-Encoding"] = "gzip"
    reply.headers["Vary"] = "Accept-Encoding"
    if etag := reply.headers.get("Etag"):
        # RFC 9110 section 8.8.1: other bytes, so no longer a strong validator.
        reply.headers["Etag"] = f"W/{etag}"
    reply.body, reply.length = gzip.compress(whole, mtime=0), None
    return reply


def _layers_as_x_gzip(exchange: Exchange, reply: Reply) -> Reply:
    body = reply.body
    if (
        _is_found_blob(exchange, reply)
        and isinstance(body, (bytes, memoryview))
        and bytes(body[:2]) == _GZIP_MAGIC
    ):
        reply.headers["Content-Encoding"] = "x-gzip"
    return reply


def _html_errors(exchange: Exchange, reply: Reply) -> Reply:
    del exchange
    if reply.status < 400:
        return reply
    title = f"{reply.status} Error"
    body = (
        f"<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n"
        f"<center><h1>{title}</h1></center>\r\n<hr><center>nginx</center>\r\n"
        "</body>\r\n</html>\r\n"
    ).encode()
    headers = Headers(reply.headers)
    headers["Content-Type"] = "text/html"
    return replace(reply, headers=headers, body=body, length=len(body))


def _token_post_only(exchange: Exchange, reply: Reply) -> Reply:
    if exchange.path == "/token" and exchange.method != "POST":
        return render_error(
            RegistryError("UNSUPPORTED", 405, headers={"Allow": "POST"})
        )
    return reply


def _relative_redirects(exchange: Exchange, reply: Reply) -> Reply:
    if exchange.query == "alt=media" or not _is_found_blob(exchange, reply):
        return reply
    return redirect_reply(302, f"{exchange.target.partition('?')[0]}?alt=media")


def _overlook_range(exchange: Exchange) -> None:
    exchange.ignore_range = True


def _http_1_0(reply: Reply) -> None:
    reply.version = "HTTP/1.0"
    reply.close = True


def _token_post(status: int, who: str, source: str) -> Profile:
    return Profile(
        name=f"token-post-{status}",
        what=f"The token endpoint answers {status} to POST; GET works.",
        who=who,
        source=source,
        tokens={"oauth_post": status},
    )


_GITHUB: Final = "https://github.com"
_PLAIN: Final = Profile(name="plain", what="", who="", source="")
_ALL: Final = (
    Profile(
        name="no-head",
        what="HEAD of a manifest answers 405; GET works.",
        who="docker-registry 2.2 with token authentication",
        source=f"{_GITHUB}/distribution/distribution/issues/1485",
        change=_no_head,
    ),
    Profile(
        name="head-404",
        what="HEAD of a manifest answers 404 whether it is there or not; GET works.",
        who="registries that users of watchtower and containerd met",
        source=f"{_GITHUB}/nicholas-fedor/watchtower/pull/667;"
        f" {_GITHUB}/containerd/containerd/pull/6684",
        change=_head_404,
    ),
    Profile(
        name="no-digest-header",
        what="No Docker-Content-Digest, and no ETag that would give it away.",
        who="Amazon ECR, registry.access.redhat.com, static files on S3",
        source=f"{_GITHUB}/distribution/distribution/issues/3792;"
        f" {_GITHUB}/containerd/containerd/issues/3238",
        change=_without("Docker-Content-Digest", "Etag"),
    ),
    Profile(
        name="text-plain-manifests",
        what="Manifests have the media type text/plain; charset=utf-8.",
        who="registry.ollama.ai",
        source=f"{_GITHUB}/ollama/ollama/issues/6470",
        change=_manifests_as("text/plain; charset=utf-8"),
    ),
    Profile(
        name="octet-stream-manifests",
        what="Manifests have the media type application/octet-stream.",
        who="static file servers, Artifactory",
        source=f"{_GITHUB}/moby/moby/issues/31318;"
        f" {_GITHUB}/deitch/docker_registry2/issues/83",
        change=_manifests_as("application/octet-stream"),
    ),
    Profile(
        name="no-content-type",
        what="Manifests have no Content-Type.",
        who="static file servers",
        source=f"{_GITHUB}/moby/moby/issues/31318",
        change=_manifests_as(None),
    ),
    Profile(
        name="strict-accept",
        what="A manifest whose media type is not in Accept is unknown (404).",
        who="docker-registry 2.8 with OCI manifests",
        source="distribution v2.8.3 registry/handlers/manifests.go GetManifest",
        strict_accept=True,
    ),
    Profile(
        name="no-content-length",
        what="No Content-Length: every body is chunked, HEAD tells no size.",
        who="zot, gcr.io (HEAD), registries behind proxies",
        source=f"{_GITHUB}/oras-project/oras-go/issues/374;"
        f" {_GITHUB}/distribution/distribution/issues/4895;"
        f" {_GITHUB}/distribution/distribution/issues/2475",
        change=_no_content_length,
    ),
    Profile(
        name="http-1.0",
        what="HTTP/1.0: every connection carries one reply.",
        who="static files behind Python's http.server",
        source="RFC 9112 section 9.3; docs.python.org library/http.server,"
        " protocol_version",
        wire=_http_1_0,
    ),
    Profile(
        name="no-ranges",
        what="Range is overlooked: always 200 and all of the blob.",
        who="Spegel until 2024",
        source=f"{_GITHUB}/spegel-org/spegel/issues/548; RFC 9110 section 14.2",
        before=_overlook_range,
        change=_without("Accept-Ranges"),
    ),
    Profile(
        name="gzip-when-accepted",
        what="Bodies are compressed for clients that accept gzip.",
        who="registry.access.redhat.com, Cloudflare's serverless-registry",
        source=f"{_GITHUB}/quay/quay/pull/1310;"
        f" {_GITHUB}/cloudflare/serverless-registry/pull/136",
        change=_gzip_when_accepted,
    ),
    Profile(
        name="x-gzip-layers",
        what="Gzip layers are sent as they are, with Content-Encoding: x-gzip.",
        who="Pulp behind Apache httpd, with its default magic file",
        source=f"{_GITHUB}/moby/moby/issues/17595",
        change=_layers_as_x_gzip,
    ),
    Profile(
        name="html-errors",
        what="Error bodies are HTML pages, not the JSON of the specification.",
        who="anything behind nginx",
        source=f"{_GITHUB}/moby/moby/issues/34657;"
        f" {_GITHUB}/go-gitea/gitea/issues/24042",
        change=_html_errors,
    ),
    Profile(
        name="signed-redirects",
        what="Blobs are redirected (307) to signed URLs of another host, which"
        " expire and must come without Authorization.",
        who="Docker Hub, Amazon ECR, quay.io: whatever keeps blobs in S3",
        source=f"{_GITHUB}/open-policy-agent/opa/issues/6580;"
        f" {_GITHUB}/kubernetes/registry.k8s.io/issues/333",
        sends_away=True,
        strict_cdn=True,
    ),
    Profile(
        name="relative-redirects",
        what="Blobs are redirected (302) with a Location that has no host.",
        who="Google Artifact Registry",
        source=f"{_GITHUB}/sonatype/nexus-public/issues/1061; RFC 9110 section 10.2.2",
        change=_relative_redirects,
    ),
    Profile(
        name="access-token-only",
        what="The token endpoint names the token access_token alone.",
        who="Azure Container Registry",
        source=f"{_GITHUB}/genuinetools/reg/pull/124",
        tokens={"token_field": "access_token"},
    ),
    Profile(
        name="token-field-only",
        what="The token endpoint answers with token alone: no access_token, no"
        " expires_in.",
        who="ghcr.io",
        source=f"{_GITHUB}/oras-project/rust-oci-client/pull/6",
        tokens={"token_field": "token", "expires_in": None},
    ),
    Profile(
        name="no-service",
        what="The challenge has no service parameter.",
        who="Google Artifact Registry",
        source=f"{_GITHUB}/apple/containerization/pull/901;"
        f" {_GITHUB}/nicholas-fedor/watchtower/issues/1894",
        tokens={"service": ""},
    ),
    Profile(
        name="token-post-only",
        what="The token endpoint answers 405 to GET; clients without credentials"
        " get no token.",
        who="general OAuth 2 servers in front of a registry, such as authentik",
        source=f"{_GITHUB}/goauthentik/authentik/issues/11714; RFC 6749 section 3.2",
        tokens={"oauth_post": "ok"},
        change=_token_post_only,
    ),
    Profile(
        name="token-get-only",
        what="The token endpoint answers 405 to POST; GET works.",
        who="Harbor",
        source=f"{_GITHUB}/containerd/containerd/pull/8630;"
        f" {_GITHUB}/IBM/portieris/issues/51",
        tokens={"oauth_post": 405},
    ),
    _token_post(400, "Azure Container Registry", f"{_GITHUB}/Azure/acr/issues/104"),
    _token_post(401, "Artifactory", f"{_GITHUB}/containerd/containerd/issues/2148"),
    _token_post(403, "Harbor", f"{_GITHUB}/containerd/containerd/pull/4983"),
    _token_post(
        404, "GitLab, Portus", f"{_GITHUB}/microsoft/vscode-docker/issues/2735"
    ),
    _token_post(
        500, "Mirantis Secure Registry", f"{_GITHUB}/containerd/containerd/pull/5288"
    ),
)
PROFILES: Final[Mapping[str, Profile]] = {profile.name: profile for profile in _ALL}
