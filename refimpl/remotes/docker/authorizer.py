"""Mirrors: containerd v1.5.18 remotes/docker/authorizer.go.

An authorizer learns from 401 answers what a host wants, and from then on signs
the requests that go there. It keeps one token for each set of scopes.

    authorizer = DockerAuthorizer(client, credentials=lambda host: ("me", "..."))
"""

from base64 import b64encode
from collections.abc import Callable, Sequence
from contextlib import suppress
from ipaddress import ip_address
from typing import Protocol

import anyio
import httpx

from refimpl.errdefs import (
    ContainerdError,
    ErrNotImplemented,
    ErrUnexpectedStatus,
    wrapped,
)
from refimpl.gotext import quote
from refimpl.remotes.docker.auth import (
    TokenOptions,
    fetch_token,
    fetch_token_with_oauth,
    generate_token_options,
)
from refimpl.remotes.docker.challenge import (
    AuthenticationScheme,
    Challenge,
    parse_auth_header,
)
from refimpl.remotes.docker.httpclient import (
    SENSITIVE_HEADERS,
    HTTPClient,
    Request,
    Response,
    merge_headers,
    origin,
    parse_url,
    safe_url,
)
from refimpl.remotes.docker.scope import get_token_scopes
from refimpl.remotes.docker.transport import is_loopback

__all__ = [
    "Authorizer",
    "Credentials",
    "DockerAuthorizer",
    "ErrInvalidAuthorization",
]

# Username and secret for a host; without a username the secret is a refresh token.
Credentials = Callable[[str], tuple[str, str]]

_Origin = tuple[str, str, int]


class ErrInvalidAuthorization(ContainerdError):
    """The server has refused what it was sent (resolver.go:42)."""

    text = "authorization failed"


class Authorizer(Protocol):
    """Signs requests (resolver.go:62)."""

    async def authorize(self, request: Request) -> None:
        """Set the Authorization field, if the request's host is known to want it."""
        ...

    async def add_responses(
        self, responses: Sequence[Response], asked: httpx.URL
    ) -> None:
        """Learn from a 401, the last of the responses to one request.

        Args:
            responses: the answers to the request so far, oldest first.
            asked: where the request was sent, before redirects.

        Raises:
            ErrNotImplemented: nothing can be done about it.
        """
        ...


class DockerAuthorizer:
    """Basic and Bearer (authorizer.go:33).

    Args:
        client: what fetches tokens.
        credentials: names user and secret for a host; by default nobody.
        headers: fields for requests to token servers.
    """

    def __init__(
        self,
        client: HTTPClient,
        *,
        credentials: Credentials | None = None,
        headers: httpx.Headers | None = None,
    ) -> None:
        self._client = client
        self._credentials = credentials
        given = headers if headers is not None else httpx.Headers()
        self._headers = merge_headers(given, without=SENSITIVE_HEADERS)
        # By origin, not by name: https and http are not the same host.
        self._handlers: dict[_Origin, _AuthHandler] = {}

    async def authorize(self, request: Request) -> None:
        """Set the Authorization field (authorizer.go:106)."""
        handler = self._handlers.get(origin(request.url))
        if handler is not None:
            request.headers["Authorization"] = await handler.authorize()

    async def add_responses(
        self, responses: Sequence[Response], asked: httpx.URL
    ) -> None:
        """Take the first challenge that can be answered (authorizer.go:131)."""
        last = responses[-1]
        url = last.request.url
        for challenge in parse_auth_header(last.headers.get_list("WWW-Authenticate")):
            if challenge.scheme is AuthenticationScheme.BEARER:
                self._add_bearer(challenge, responses, asked)
                return
            if challenge.scheme is AuthenticationScheme.BASIC:
                username, secret = self._login(url, asked)
                if username and secret:
                    options = TokenOptions(realm="", username=username, secret=secret)
                    self._handlers[origin(url)] = self._handler(url, challenge, options)
                    return
        raise ErrNotImplemented("failed to find supported auth scheme")

    def _add_bearer(
        self,
        challenge: Challenge,
        responses: Sequence[Response],
        asked: httpx.URL,
    ) -> None:
        url = responses[-1].request.url
        here = origin(url)
        if _is_refused(challenge, responses):
            self._handlers.pop(here, None)
            error = quote(challenge.parameters["error"])[1:-1]
            raise ErrInvalidAuthorization(f"server message: {error}")
        if handler := self._handlers.get(here):
            # A registry names the same realm and service each time; only the scope
            # differs, and every request brings its own (authorizer.go:144).
            if not any(one.status == 401 for one in responses[:-1]):
                handler.forget(responses[-1].request)
            return
        username, secret = self._login(url, asked)
        options = generate_token_options(challenge, username=username, secret=secret)
        if here != origin(asked) and self._knows_realm(options.realm):
            raise ErrNotImplemented("a redirect asks for another host's token")
        self._handlers[here] = self._handler(url, challenge, options)

    def _login(self, url: httpx.URL, asked: httpx.URL) -> tuple[str, str]:
        # DEVIATION D22: Go asks for the credentials of hosts met by redirect, too.
        if self._credentials is None or origin(url) != origin(asked):
            return "", ""
        return self._credentials(url.netloc.decode("ascii"))

    def _knows_realm(self, realm: str) -> bool:
        return any(handler.realm == realm for handler in self._handlers.values())

    def _handler(
        self, url: httpx.URL, challenge: Challenge, options: TokenOptions
    ) -> "_AuthHandler":
        return _AuthHandler(self._client, self._headers, url, challenge.scheme, options)


def _is_refused(challenge: Challenge, responses: Sequence[Response]) -> bool:
    """Tell whether the server named an error twice for one request (:318)."""
    if not challenge.parameters.get("error") or len(responses) == 1:
        return False
    before, last = responses[-2].request, responses[-1].request
    return (before.method, before.url) == (last.method, last.url)


class _Pending:
    """A token, or one on its way (authorizer.go:180, authResult)."""

    def __init__(self) -> None:
        self.done = anyio.Event()
        self.header = ""
        self.error: Exception | None = None


class _AuthHandler:
    """What one host wants (authorizer.go:187)."""

    def __init__(
        self,
        client: HTTPClient,
        headers: httpx.Headers,
        host: httpx.URL,
        scheme: AuthenticationScheme,
        common: TokenOptions,
    ) -> None:
        self._client = client
        self._headers = headers
        self._host = host
        self._scheme = scheme
        self._common = common
        self._tokens: dict[tuple[str, ...], _Pending] = {}

    @property
    def realm(self) -> str:
        """Return where the tokens come from."""
        return self._common.realm

    async def authorize(self) -> str:
        """Return a value for the Authorization field (authorizer.go:219)."""
        if self._scheme is AuthenticationScheme.BASIC:
            login = f"{self._common.username}:{self._common.secret}".encode()
            return f"Basic {b64encode(login).decode()}"
        return await self._bearer(get_token_scopes(self._common.scopes or ()))

    async def _bearer(self, scopes: tuple[str, ...]) -> str:
        """Return the token for some scopes; who comes first fetches it (:242)."""
        while True:
            pending = self._tokens.get(scopes)
            if pending is None:
                return await self._fetch_for_all(scopes)
            await pending.done.wait()
            if pending.error is not None:
                raise _another(pending.error)
            if pending.header:
                return pending.header

    async def _fetch_for_all(self, scopes: tuple[str, ...]) -> str:
        pending = self._tokens[scopes] = _Pending()
        try:
            pending.header = f"Bearer {await self._fetch(scopes)}"
        except Exception as err:
            pending.error = _another(err)
            raise
        finally:
            if not pending.header:
                # DEVIATION D8: Go keeps the failure, and every later pull has it.
                del self._tokens[scopes]
            pending.done.set()
        return pending.header

    async def _fetch(self, scopes: tuple[str, ...]) -> str:
        """Fetch a token, with a POST if there is a secret (authorizer.go:270)."""
        common = self._common
        options = TokenOptions(
            realm=common.realm,
            service=common.service,
            scopes=scopes,
            username=common.username,
            secret=common.secret,
        )
        if not options.secret:
            with wrapped("failed to fetch anonymous token"):
                _check_realm(options.realm, self._host)
                return await fetch_token(self._client, self._headers, options)
        with wrapped("failed to fetch oauth token"):
            _check_realm(options.realm, self._host)
            try:
                return await fetch_token_with_oauth(
                    self._client, self._headers, options
                )
            except ErrUnexpectedStatus as err:
                # Token servers without POST: GCR 404, Artifactory 401.
                # DEVIATION D4: and Azure 400, as containerd 1.6 knows.
                without_post = err.status in (400, 401, 404)
                if not without_post and not (err.status == 405 and options.username):
                    raise
            return await fetch_token(self._client, self._headers, options)

    def forget(self, request: Request) -> None:
        """Drop the token that a refused request carried, if it is still kept."""
        # DEVIATION D5: Go sends an expired token again until it gives up.
        refused = request.headers.get("Authorization")
        for scopes, pending in list(self._tokens.items()):
            if pending.header and pending.header == refused:
                del self._tokens[scopes]


def _check_realm(realm: str, host: httpx.URL) -> None:
    """Refuse realms that no honest registry names.

    Raises:
        ContainerdError: it is no http URL, in clear where the registry is not, or
            on this machine where the registry is not.
    """
    url = parse_url(realm)
    shown = quote(safe_url(url))
    if url.scheme not in ("http", "https") or not url.host:
        raise ContainerdError(f"realm {shown}: unsupported protocol scheme")
    # DEVIATION D9: Go sends the password to an http realm of an https registry.
    if host.scheme == "https" and url.scheme != "https":
        raise ContainerdError(
            f"realm {shown}: refusing an unencrypted token server for a registry "
            "that is reached over https"
        )
    # DEVIATION D31: Go lets any registry send requests to this machine's ports.
    if _is_inward(url.host) and not _is_inward(host.host):
        raise ContainerdError(f"realm {shown}: refusing a token server on this machine")


def _is_inward(host: str) -> bool:
    if is_loopback(host):
        return True
    with suppress(ValueError):
        address = ip_address(host)
        return address.is_link_local or address.is_unspecified
    return False


def _another(err: Exception) -> Exception:
    """Return a like error: each waiter adds notes to its own."""
    twin = type(err).__new__(type(err), *err.args)
    twin.__dict__.update(err.__dict__)
    if notes := getattr(err, "__notes__", None):
        twin.__notes__ = list(notes)
    return twin
