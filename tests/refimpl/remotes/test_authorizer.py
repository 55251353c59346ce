"""authorizer.go, by what it sends."""

import json
import threading

import anyio
import httpx
import pytest

from refimpl.errdefs import ContainerdError, ErrUnexpectedStatus, message
from refimpl.reference import parse
from refimpl.remotes.docker import (
    DockerAuthorizer,
    ErrInvalidAuthorization,
    RegistryHost,
)
from refimpl.remotes.docker.httpclient import HTTPClient, Request
from refimpl.remotes.docker.request import DockerBase
from refimpl.remotes.docker.scope import with_scope

pytestmark = pytest.mark.anyio


@pytest.fixture
async def client():
    async with HTTPClient() as client:
        yield client


class Guarded:
    """A registry whose tokens are T1, T2, ...; only those in ``valid`` are taken."""

    def __init__(self, serve, answer):
        self.answer = answer
        self.given = 0
        self.valid = {f"T{n}" for n in range(1, 9)}
        self.challenge = 'Bearer realm="{url}/token",service="s"{error}'
        self.error = ""
        self.token_status = 200
        self.post_status = 404
        self.moved = ""
        self.server = serve(self.respond)

    def respond(self, seen):
        if seen.path == "/token":
            return self.token(seen)
        scheme, _, sent = seen.headers.get("authorization", "").partition(" ")
        if scheme in ("Bearer", "Basic") and sent in self.valid:
            return self.answer(200)
        if self.moved:
            return self.answer(307, {"Location": self.moved})
        value = self.challenge.format(url=self.server.url, error=self.error)
        return self.answer(401, {"WWW-Authenticate": value})

    def token(self, seen):
        status = self.post_status if seen.method == "POST" else self.token_status
        if status != 200:
            return self.answer(status)
        self.given += 1
        name = "access_token" if seen.method == "POST" else "token"
        return self.answer(200, body=json.dumps({name: f"T{self.given}"}).encode())

    def asked(self, path="/v2/a/b/x"):
        seen = [seen for seen in self.server.requests if seen.path == path]
        return [s.headers.get("authorization", "") for s in seen]


@pytest.fixture
def guarded(serve, answer):
    return Guarded(serve, answer)


def source(client, host, credentials=None, repository="a/b"):
    """Return a function that asks the host for x and returns the status."""
    registry = RegistryHost(
        host=host,
        scheme="http",
        authorizer=DockerAuthorizer(client, credentials=credentials),
    )
    base = DockerBase(
        refspec=parse(f"{host}/{repository}:1"),
        repository=repository,
        hosts=(registry,),
        header=httpx.Headers({"User-Agent": "x", "Cookie": "c=1"}),
        client=client,
    )

    async def ask(part="x"):
        request = base.request(registry, "GET", part)
        response = await request.do_with_retries()
        response.close()
        return response.status

    return ask


def me(host):
    return "me", "pw"


async def test_an_anonymous_token(guarded, client):
    ask = source(client, guarded.server.host)
    with with_scope("repository:a/b:pull"):
        assert [await ask(), await ask()] == [200, 200]
    assert guarded.asked() == ["", "Bearer T1", "Bearer T1"]
    [seen] = [seen for seen in guarded.server.requests if seen.path == "/token"]
    assert seen.target == "/token?scope=repository%3Aa%2Fb%3Apull&service=s"
    assert "authorization" not in seen.headers


async def test_each_set_of_scopes_has_its_token(guarded, client):
    ask = source(client, guarded.server.host)
    for scope in ("a", "b", "a"):
        with with_scope(scope):
            assert await ask() == 200
    assert guarded.asked() == ["", "Bearer T1", "Bearer T2", "Bearer T1"]


async def test_a_post_comes_first_where_there_is_a_secret(guarded, client):
    guarded.post_status = 200
    assert await source(client, guarded.server.host, me)() == 200
    assert [s.method for s in guarded.server.requests] == ["GET", "POST", "GET"]


@pytest.mark.parametrize(
    ("status", "falls_back"),
    [(400, True), (401, True), (404, True), (405, True), (403, False), (500, False)],
)
async def test_after_some_failures_a_get_follows(guarded, client, status, falls_back):
    """400 is deviation D4."""
    guarded.post_status = status
    ask = source(client, guarded.server.host, me)
    if falls_back:
        assert await ask() == 200
    else:
        with pytest.raises(ErrUnexpectedStatus) as info:
            await ask()
        text = "failed to authorize: failed to fetch oauth token: unexpected status: "
        assert message(info.value).startswith(f"{text}{status} ")
    assert guarded.given == falls_back


async def test_a_refresh_token_does_not_fall_back_on_405(guarded, client):
    guarded.post_status = 405
    with pytest.raises(ErrUnexpectedStatus):
        await source(client, guarded.server.host, lambda host: ("", "refresh"))()


async def test_concurrent_requests_share_one_token_request(guarded, client):
    ask = source(client, guarded.server.host)
    with with_scope("a"):
        assert await ask() == 200
    with with_scope("b"):
        async with anyio.create_task_group() as tasks:
            for _ in range(8):
                tasks.start_soon(ask)
    assert guarded.given == 2


async def test_waiters_share_a_failure_and_later_requests_do_not(guarded, client):
    """Deviation D8."""
    ask = source(client, guarded.server.host)
    with with_scope("a"):
        await ask()
    guarded.token_status = 503
    errors = []

    async def fail():
        with pytest.raises(ErrUnexpectedStatus) as info:
            await ask()
        errors.append(message(info.value))

    with with_scope("b"):
        async with anyio.create_task_group() as tasks:
            for _ in range(3):
                tasks.start_soon(fail)
        expected = "failed to authorize: failed to fetch anonymous token: "
        assert errors == [expected + "unexpected status: 503 Service Unavailable"] * 3
        assert len(guarded.asked("/token")) == 2
        guarded.token_status = 200
        assert await ask() == 200


async def test_who_waits_takes_over_from_who_is_cancelled(serve, answer, client):
    held = threading.Event()
    go_on = threading.Event()

    def respond(seen):
        if seen.path != "/token":
            value = f'Bearer realm="http://{seen.headers["host"]}/token"'
            known = seen.headers.get("authorization") == "Bearer T"
            return answer(200) if known else answer(401, {"WWW-Authenticate": value})
        if not held.is_set():
            held.set()
            go_on.wait(10)
        return answer(200, body=b'{"token":"T"}')

    server = serve(respond)
    ask = source(client, server.host)
    statuses = []
    waiting = anyio.Event()
    first = anyio.CancelScope()

    async def ask_first():
        with first:
            await ask()

    async def ask_second():
        await anyio.to_thread.run_sync(held.wait, 10)
        waiting.set()
        statuses.append(await ask())

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ask_first)
        tasks.start_soon(ask_second)
        await waiting.wait()
        first.cancel()
        go_on.set()
    assert statuses == [200]


async def test_an_expired_token_is_replaced(guarded, client):
    """Deviation D5."""
    ask = source(client, guarded.server.host)
    assert await ask() == 200
    guarded.valid.remove("T1")
    guarded.error = ',error="invalid_token"'
    assert [await ask(), await ask()] == [200, 200]
    assert guarded.asked() == ["", *["Bearer T1"] * 2, *["Bearer T2"] * 2]


async def test_an_expired_token_is_replaced_once(guarded, client):
    ask = source(client, guarded.server.host)
    assert await ask() == 200
    guarded.valid.clear()
    guarded.error = ',error="invalid_token"'
    with pytest.raises(ErrInvalidAuthorization, match="invalid_token"):
        await ask()
    assert guarded.asked() == ["", "Bearer T1", "Bearer T1", "Bearer T2"]


async def test_tokens_that_are_all_refused_end_after_six_requests(guarded, client):
    guarded.valid.clear()
    assert await source(client, guarded.server.host)() == 401
    assert guarded.asked() == ["", *["Bearer T1"] * 5]
    assert guarded.given == 1


async def test_a_named_error_ends_it_at_once(guarded, client):
    guarded.valid.clear()
    guarded.error = ',error="insufficient_scope"'
    with pytest.raises(ErrInvalidAuthorization) as info:
        await source(client, guarded.server.host)()
    text = "server message: insufficient_scope: authorization failed"
    assert message(info.value) == text
    assert guarded.asked() == ["", "Bearer T1"]


async def test_basic(guarded, client):
    guarded.challenge = 'Basic realm="r"'
    guarded.valid = {"bWU6cHc="}
    ask = source(client, guarded.server.host, me)
    assert [await ask(), await ask()] == [200, 200]
    assert guarded.asked() == ["", *["Basic bWU6cHc="] * 2]


async def test_basic_with_the_wrong_password_ends(guarded, client):
    guarded.challenge = 'Basic realm="r"'
    assert await source(client, guarded.server.host, me)() == 401
    assert len(guarded.asked()) == 6


@pytest.mark.parametrize("credentials", [None, lambda host: ("", "")])
async def test_basic_without_credentials(guarded, client, credentials):
    guarded.challenge = 'Basic realm="r"'
    assert await source(client, guarded.server.host, credentials)() == 401
    assert guarded.asked() == [""]


@pytest.mark.parametrize("challenge", ["Negotiate", 'Digest realm="r"', "?"])
async def test_what_cannot_be_answered_is_not_repeated(guarded, client, challenge):
    guarded.challenge = challenge
    assert await source(client, guarded.server.host, me)() == 401
    assert guarded.asked() == [""]


@pytest.mark.parametrize(
    ("challenge", "text"),
    [
        ('Bearer service="s"', "no realm specified for token auth challenge"),
        ('Bearer realm="/token"', "unsupported protocol scheme"),
        ('Bearer realm="file:///etc/passwd"', "unsupported protocol scheme"),
        ('Bearer realm="http://h:x/"', "cannot parse URL"),
    ],
)
async def test_bad_realms(guarded, client, challenge, text):
    guarded.challenge = challenge
    with pytest.raises(ContainerdError, match=text):
        await source(client, guarded.server.host, me)()
    assert len(guarded.server.requests) == 1


@pytest.mark.parametrize(
    ("host", "realm", "text"),
    [
        ("https://r.example", "http://t.example/", "unencrypted token server"),
        ("https://127.0.0.1", "http://127.0.0.1/", "unencrypted token server"),
        ("http://r.example", "http://127.0.0.1/", "token server on this machine"),
        ("https://r.example", "https://[::1]/", "token server on this machine"),
        ("http://r.example", "http://169.254.169.254/", "token server on this"),
        ("http://r.example", "http://0.0.0.0/", "token server on this machine"),
    ],
)
async def test_realms_that_no_honest_registry_names(host, realm, text):
    """Deviations D9 and D31: nothing is sent to them."""
    asked = []

    def handler(request):
        asked.append(request.url.host)
        value = f'Bearer realm="{realm}token?secret=x"'
        return httpx.Response(401, headers={"WWW-Authenticate": value})

    authorizer_client = HTTPClient(transport=httpx.MockTransport(handler))
    authorizer = DockerAuthorizer(authorizer_client, credentials=me)
    url = httpx.URL(f"{host}/v2/")
    response = await authorizer_client.send(Request(method="GET", url=url))
    await authorizer.add_responses([response], url)
    with pytest.raises(ContainerdError, match=text) as info:
        await authorizer.authorize(Request(method="GET", url=url))
    assert len(asked) == 1
    assert "secret" not in message(info.value)
    assert "pw" not in message(info.value)


async def test_a_redirect_target_gets_a_token_of_its_own(serve, answer, client):
    """authorizer.go:131 with deviation D22: its challenge, nobody's credentials."""
    first, second = Guarded(serve, answer), Guarded(serve, answer)
    first.valid = set()
    first.moved = f"{second.server.url}/v2/a/b/x"
    assert await source(client, first.server.host, me)() == 200
    assert second.asked() == ["", "Bearer T1"]
    assert [seen.method for seen in second.server.requests] == ["GET"] * 3
    assert first.asked() == ["", ""]
    for seen in second.server.requests:
        assert "bWU6cHc" not in seen.headers.get("authorization", "")


async def test_a_redirect_target_gets_no_password(serve, answer, client):
    """Deviation D22."""
    first, second = Guarded(serve, answer), Guarded(serve, answer)
    second.challenge = 'Basic realm="r"'
    first.moved = f"{second.server.url}/v2/a/b/x"
    assert await source(client, first.server.host, me)() == 401
    assert second.asked() == [""]


async def test_a_redirect_target_gets_no_token_of_the_registry(serve, answer, client):
    """Deviation D22: not even by naming the registry's realm as its own."""
    first, second = Guarded(serve, answer), Guarded(serve, answer)
    ask = source(client, first.server.host)
    assert await ask() == 200
    second.challenge = f'Bearer realm="{first.server.url}/token",service="s"'
    first.valid = set()
    first.moved = f"{second.server.url}/v2/a/b/x"
    assert await ask() == 401
    assert second.asked() == [""]
    assert first.given == 1


async def test_token_servers_do_not_get_the_cookies_of_the_registry(guarded, client):
    assert await source(client, guarded.server.host)() == 200
    [seen] = [seen for seen in guarded.server.requests if seen.path == "/token"]
    assert "cookie" not in seen.headers
