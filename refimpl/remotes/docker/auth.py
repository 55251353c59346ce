"""Mirrors: containerd v1.5.18 remotes/docker/auth/fetch.go.

Tokens, as the Docker registry's token server gives them (distribution,
spec/auth/token.md for GET, oauth.md for POST):

    options = generate_token_options(challenge, username="me", secret="...")
    token = await fetch_token(client, headers, options)
"""

import json
import re
from base64 import b64encode
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode
from urllib.parse import quote as percent_encode

import httpx

from refimpl.errdefs import ContainerdError, ErrUnexpectedStatus, wrapped
from refimpl.gotext import quote
from refimpl.remotes.docker.challenge import Challenge
from refimpl.remotes.docker.httpclient import (
    HTTPClient,
    Request,
    Response,
    follow,
    origin,
)

__all__ = [
    "USER_AGENT",
    "TokenOptions",
    "fetch_token",
    "fetch_token_with_oauth",
    "generate_token_options",
]

CLIENT_ID: Final = "containerd-client"
USER_AGENT: Final = "containerd/1.5.18+refimpl"

# remotes/errors/errors.go:48.
MAX_ERROR_BODY: Final = 64000
MAX_TOKEN_RESPONSE: Final = 1 << 20

_RFC3339 = re.compile(
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:[.,]\d+)?(?:Z|[+-]\d\d:\d\d)", re.ASCII
)
_NO_SCHEME = re.compile(r"[^/?#]*:")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_SENDABLE = re.compile(r"[\x20-\x7e]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenOptions:
    """What a token is asked for with (fetch.go:75)."""

    realm: str
    service: str = ""
    scopes: tuple[str, ...] | None = None
    username: str = ""
    secret: str = field(default="", repr=False)


def generate_token_options(
    challenge: Challenge, *, username: str = "", secret: str = ""
) -> TokenOptions:
    """Return what a Bearer challenge asks for (fetch.go:41).

    Raises:
        ContainerdError: there is no realm, or none that is a URL.
    """
    realm = challenge.parameters.get("realm")
    if realm is None:
        raise ContainerdError("no realm specified for token auth challenge")
    scope = challenge.parameters.get("scope")
    with wrapped("invalid token auth challenge realm"):
        realm = _normal_url(realm)
    return TokenOptions(
        realm=realm,
        service=challenge.parameters.get("service", ""),
        scopes=None if scope is None else _split_scopes(scope),
        username=username,
        secret=secret,
    )


def _split_scopes(scope: str) -> tuple[str, ...]:
    # DEVIATION D7: Go keeps "a b" as one scope, and so asks for some twice.
    return tuple(dict.fromkeys(scope.split())) or (scope,)


def _normal_url(text: str) -> str:
    """Return a URL as Go's url.Parse and URL.String leave it.

    Raises:
        ContainerdError: Go would not parse it.
    """
    if _CONTROL.search(text):
        raise ContainerdError("parse: net/url: invalid control character in URL")
    if text.startswith(":"):
        raise ContainerdError(f"parse {quote(text)}: missing protocol scheme")
    if _NO_SCHEME.match(text) and not _SCHEME.match(text) and text[:1].isdecimal():
        raise ContainerdError("parse: first path segment in URL cannot contain colon")
    before, mark, query = text.partition("?")
    return percent_encode(before, safe="%/:#[]@!$&'()*+,;=~") + mark + query


async def fetch_token_with_oauth(
    client: HTTPClient, headers: httpx.Headers, options: TokenOptions
) -> str:
    """Fetch a token with a POST (fetch.go:93).

    Raises:
        ErrUnexpectedStatus: the server's answer is no success.
        ContainerdError: no token came.
    """
    form = {"service": options.service, "client_id": CLIENT_ID}
    if options.scopes:
        form["scope"] = " ".join(options.scopes)
    if options.username:
        form |= {"grant_type": "password", "username": options.username}
        form["password"] = options.secret
    else:
        form |= {"grant_type": "refresh_token", "refresh_token": options.secret}
    fields = _fields(headers)
    fields["Content-Type"] = "application/x-www-form-urlencoded; charset=utf-8"
    request = Request.make(
        "POST",
        options.realm,
        headers=fields,
        content=urlencode(sorted(form.items())).encode(),
    )

    async def same_host_only(redirected: Request) -> None:
        # DEVIATION D10: Go posts the password again to wherever a 307 points.
        if redirected.content and origin(redirected.url) != origin(request.url):
            raise ContainerdError(f"{request}: refusing to post credentials elsewhere")

    async with await follow(client, request, same_host_only) as response:
        answer = await _token_response(response, "access_token", "scope")
    return _sendable(answer["access_token"])


async def fetch_token(
    client: HTTPClient, headers: httpx.Headers, options: TokenOptions
) -> str:
    """Fetch a token with a GET (fetch.go:165).

    Raises:
        ErrUnexpectedStatus: the server's answer is no success.
        ContainerdError: no token came.
    """
    base, _, query = options.realm.partition("#")[0].partition("?")
    pairs = parse_qsl(query, keep_blank_values=True)
    if options.service:
        pairs.append(("service", options.service))
    pairs += [("scope", scope) for scope in options.scopes or ()]
    pairs.sort(key=lambda pair: pair[0])
    fields = _fields(headers)
    if options.secret:
        login = f"{options.username}:{options.secret}".encode()
        fields["Authorization"] = f"Basic {b64encode(login).decode()}"
    url = f"{base}?{urlencode(pairs)}" if pairs else base
    request = Request.make("GET", url, headers=fields)
    async with await follow(client, request) as response:
        answer = await _token_response(response, "token", "access_token")
    # The two names mean the same; Go prefers access_token (fetch.go:220).
    return _sendable(answer["access_token"] or answer["token"])


def _fields(headers: httpx.Headers) -> httpx.Headers:
    """Return the fields of a token request; there is always a User-Agent (:160)."""
    fields = httpx.Headers(headers)
    fields.setdefault("User-Agent", USER_AGENT)
    return fields


async def _token_response(response: Response, *texts: str) -> dict[str, str]:
    if not 200 <= response.status < 400:
        raise ErrUnexpectedStatus(
            response.status,
            f"unexpected status: {response.status_text}",
            await response.read(MAX_ERROR_BODY),
        )
    # DEVIATION D15: Go reads a token answer to its end, however far that is.
    body = await response.read(MAX_TOKEN_RESPONSE)
    with wrapped("unable to decode token response"):
        return _decode_token(body, (*texts, "refresh_token"))


def _decode_token(body: bytes, texts: Collection[str]) -> dict[str, str]:
    """Decode an answer as Go decodes it into its struct (fetch.go:79, 142).

    Args:
        body: the answer.
        texts: the members that are texts; what has no place in the struct counts
            for nothing.

    Raises:
        ContainerdError: it is no JSON object, or a member has the wrong type. The
            text repeats nothing of it, for it may hold a token.
    """
    try:
        text = body.decode("utf-8", "replace").lstrip(" \t\r\n")
        document, _ = json.JSONDecoder().raw_decode(text)
    except (ValueError, RecursionError):
        raise ContainerdError("it is not JSON, or too long") from None
    answer = dict.fromkeys(texts, "")
    if not isinstance(document, Mapping | None):
        raise ContainerdError("it is not a JSON object")
    for key, value in (document or {}).items():
        name = key.lower()
        if not _fits(name, value, texts):
            raise ContainerdError(f"{name} has the wrong type")
        if name in answer and value is not None:
            answer[name] = value
    return answer


def _fits(name: str, value: Any, texts: Collection[str]) -> bool:  # noqa: ANN401 - the JSON edge
    if value is None:
        return True
    if name == "expires_in":
        return type(value) is int and -(2**63) <= value < 2**63
    if name == "issued_at":
        return isinstance(value, str) and _is_time(value)
    return isinstance(value, str) or name not in texts


def _is_time(text: str) -> bool:
    if not _RFC3339.fullmatch(text):
        return False
    try:
        datetime.fromisoformat(text[:19])
    except ValueError:
        return False
    return True


def _sendable(token: str) -> str:
    """Return a token that a header can carry.

    Raises:
        ContainerdError: it is empty (ErrNoToken, fetch.go:36), or would end the
            header before its own end.
    """
    if not token:
        raise ContainerdError(
            "authorization server did not include a token in the response"
        )
    if not _SENDABLE.fullmatch(token):
        raise ContainerdError(
            "authorization server sent a token that no header can carry"
        )
    return token
