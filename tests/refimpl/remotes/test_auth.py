"""auth/fetch.go: tokens."""

import json
from urllib.parse import parse_qs

import httpx
import pytest

from refimpl.errdefs import ContainerdError, ErrUnexpectedStatus, message
from refimpl.remotes.docker.auth import (
    MAX_ERROR_BODY,
    TokenOptions,
    fetch_token,
    fetch_token_with_oauth,
    generate_token_options,
)
from refimpl.remotes.docker.challenge import AuthenticationScheme, Challenge
from refimpl.remotes.docker.httpclient import HTTPClient

pytestmark = pytest.mark.anyio


@pytest.fixture
async def client():
    async with HTTPClient() as client:
        yield client


def options(server, **changes):
    values = {"service": "s", "scopes": ("a", "b"), "username": "me", "secret": "pw"}
    return TokenOptions(realm=f"{server.url}/token", **(values | changes))


def gives(answer, document, status=200):
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return lambda seen: answer(status, body=body)


HEADERS = httpx.Headers({"User-Agent": "x"})


async def test_get(serve, answer, client):
    server = serve(gives(answer, {"token": "T"}))
    assert await fetch_token(client, HEADERS, options(server)) == "T"
    [seen] = server.requests
    assert seen.target == "/token?scope=a&scope=b&service=s"
    assert seen.headers["authorization"] == "Basic bWU6cHc="
    assert seen.headers["user-agent"] == "x"


async def test_get_keeps_the_query_of_the_realm(serve, answer, client):
    server = serve(gives(answer, {"token": "T"}))
    realm = f"{server.url}/token?z=%2F&a="
    wanted = options(server, secret="", service="", scopes=None)
    await fetch_token(client, HEADERS, TokenOptions(realm=realm))
    await fetch_token(client, HEADERS, wanted)
    assert [seen.target for seen in server.requests] == ["/token?a=&z=%2F", "/token"]
    assert "authorization" not in server.requests[0].headers


@pytest.mark.parametrize(
    ("username", "grant"),
    [
        ("me", {"grant_type": ["password"], "username": ["me"], "password": ["pw"]}),
        ("", {"grant_type": ["refresh_token"], "refresh_token": ["pw"]}),
    ],
)
async def test_post(serve, answer, client, username, grant):
    server = serve(gives(answer, {"access_token": "T"}))
    wanted = options(server, username=username)
    assert await fetch_token_with_oauth(client, HEADERS, wanted) == "T"
    [seen] = server.requests
    common = {"service": ["s"], "client_id": ["containerd-client"], "scope": ["a b"]}
    assert parse_qs(seen.body.decode()) == common | grant
    assert "authorization" not in seen.headers


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({"token": "A", "access_token": "B"}, "B"),
        ({"Token": "A", "other": {"x": [1]}}, "A"),
        ({"token": "A", "issued_at": "2024-02-29T01:02:03.5Z", "expires_in": 60}, "A"),
        ({"token": "A", "issued_at": None, "expires_in": None}, "A"),
        (b' {"token":"A"} trailing', "A"),
        ({"token": "a.b/c+d=="}, "a.b/c+d=="),
        ({"token": "x" * 16384}, "x" * 16384),
    ],
)
async def test_what_is_a_token(serve, answer, client, document, expected):
    server = serve(gives(answer, document))
    assert await fetch_token(client, HEADERS, options(server)) == expected


MISSING = "authorization server did not include a token in the response"
NO_HEADER = "authorization server sent a token that no header can carry"
DECODE = "unable to decode token response: "


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({}, MISSING),
        (b"null", MISSING),
        ({"token": None}, MISSING),
        ({"token": "a\r\nX: y"}, NO_HEADER),
        ({"token": "\u20ac"}, NO_HEADER),
        (b"<html>", DECODE),
        (b"", DECODE),
        (b"[]", DECODE),
        (b'{"token":' + b"[" * 100000, DECODE),
        ({"token": 3}, DECODE),
        ({"token": "secret", "issued_at": "yesterday"}, DECODE),
        ({"token": "secret", "issued_at": "2024-02-30T01:02:03Z"}, DECODE),
        ({"token": "secret", "expires_in": "60"}, DECODE),
        ({"token": "secret", "expires_in": 1.5}, DECODE),
        ({"token": "secret", "expires_in": True}, DECODE),
        ({"token": "secret", "expires_in": 2**63}, DECODE),
    ],
    ids=range(16),
)
async def test_what_is_none(serve, answer, client, document, expected):
    server = serve(gives(answer, document))
    with pytest.raises(ContainerdError) as info:
        await fetch_token(client, HEADERS, options(server))
    assert message(info.value).startswith(expected)
    assert "secret" not in message(info.value)


async def test_post_takes_no_other_name(serve, answer, client):
    server = serve(gives(answer, {"token": "T"}))
    with pytest.raises(ContainerdError, match=MISSING):
        await fetch_token_with_oauth(client, HEADERS, options(server))


@pytest.mark.parametrize("fetch", [fetch_token, fetch_token_with_oauth])
async def test_a_failure_keeps_its_status_and_some_of_its_body(
    serve, answer, client, fetch
):
    server = serve(gives(answer, b"x" * (MAX_ERROR_BODY + 1), 503))
    with pytest.raises(ErrUnexpectedStatus, match="503 Service Unavailable") as info:
        await fetch(client, HEADERS, options(server))
    assert info.value.status == 503
    assert info.value.body == b"x" * MAX_ERROR_BODY
    assert "pw" not in message(info.value)


async def test_an_endless_answer_is_cut(serve, answer, client):
    """Deviation D15."""
    body = b'{"token":"' + b"x" * (3 << 20)
    server = serve(lambda seen: answer(200, body=body, declared=1 << 40))
    with pytest.raises(ContainerdError, match="not JSON, or too long"):
        await fetch_token(client, HEADERS, options(server))


async def test_a_post_is_not_repeated_elsewhere(serve, answer, client):
    """Deviation D10."""
    other = serve(gives(answer, {"access_token": "T"}))
    location = {"Location": f"{other.url}/token"}
    server = serve(lambda seen: answer(307, location))
    with pytest.raises(ContainerdError, match="refusing to post credentials"):
        await fetch_token_with_oauth(client, HEADERS, options(server))
    assert other.requests == []


async def test_a_post_is_repeated_on_its_host(serve, answer, client):
    def respond(seen):
        if seen.path == "/token":
            return answer(307, {"Location": "/new"})
        return answer(200, body=b'{"access_token":"T"}')

    server = serve(respond)
    assert await fetch_token_with_oauth(client, HEADERS, options(server)) == "T"
    assert server.requests[0].body == server.requests[1].body


async def test_a_get_takes_no_password_elsewhere(serve, answer, client):
    other = serve(gives(answer, {"token": "T"}))
    server = serve(lambda seen: answer(302, {"Location": f"{other.url}/token"}))
    assert await fetch_token(client, HEADERS, options(server)) == "T"
    assert "authorization" not in other.requests[0].headers


def test_secrets_do_not_show():
    secret = "p" + "w"
    assert secret not in repr(TokenOptions(realm="r", secret=secret))


@pytest.mark.parametrize(
    ("realm", "expected"),
    [
        ("http://h/\x7f", "invalid control character in URL"),
        ("1a:b", "first path segment in URL cannot contain colon"),
        (":", "missing protocol scheme"),
    ],
)
def test_realms_that_go_cannot_parse(realm, expected):
    challenge = Challenge(AuthenticationScheme.BEARER, {"realm": realm})
    with pytest.raises(ContainerdError) as info:
        generate_token_options(challenge)
    assert message(info.value).startswith("invalid token auth challenge realm: parse")
    assert message(info.value).endswith(expected)


def test_scopes_are_split_at_blanks_and_each_is_kept_once():
    """Deviation D7."""
    parameters = {"realm": "https://a/", "scope": "b a  b"}
    challenge = Challenge(AuthenticationScheme.BEARER, parameters)
    assert generate_token_options(challenge).scopes == ("b", "a")


async def test_members_that_have_no_place_count_for_nothing(serve, answer):
    """An answer to a GET has no scope (fetch.go:142), one to a POST no token (:79)."""
    odd = {"access_token": "t", "scope": ["a"], "token": "x"}
    server = serve(lambda seen: answer(200, body=json.dumps(odd).encode()))
    async with HTTPClient() as client:
        wanted = options(server, secret="")
        assert await fetch_token(client, httpx.Headers(), wanted) == "t"
        with pytest.raises(ContainerdError, match="scope has the wrong type"):
            await fetch_token_with_oauth(client, httpx.Headers(), options(server))
    odd |= {"scope": "a", "token": ["x"]}
    async with HTTPClient() as client:
        got = await fetch_token_with_oauth(client, httpx.Headers(), options(server))
        assert got == "t"


async def test_a_fragment_of_a_realm_stays_at_home(serve, answer):
    server = serve(lambda seen: answer(200, body=b'{"token": "t"}'))
    wanted = TokenOptions(realm=f"{server.url}/token?a=b#part", service="s")
    async with HTTPClient() as client:
        assert await fetch_token(client, httpx.Headers(), wanted) == "t"
    [seen] = server.requests
    assert seen.target == "/token?a=b&service=s"
    assert seen.headers["user-agent"] == "containerd/1.5.18+refimpl"
