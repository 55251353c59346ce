"""Requests from the event loop: redirects (net/http client.go), errors, cancelling."""

import threading
import time
from contextlib import closing

import anyio
import httpx
import pytest

from refimpl.errdefs import ContainerdError, ErrInvalidArgument, ErrUnexpectedEOF
from refimpl.remotes.docker import httpclient
from refimpl.remotes.docker.httpclient import (
    HTTPClient,
    Request,
    follow,
    parse_url,
    safe_url,
)
from refimpl.remotes.docker.transport import Timeouts

pytestmark = pytest.mark.anyio

SECRETS = {"Authorization": "Bearer T", "Cookie": "c=1", "X-Other": "kept"}


@pytest.fixture
async def client():
    async with HTTPClient(timeouts=Timeouts(connect=5, read=5)) as client:
        yield client


def request(url, method="GET", headers=None, content=b""):
    return Request.make(method, url, headers=headers, content=content)


def redirects(answer, path, location, status=307):
    """Return a ``respond`` that redirects one path."""

    def respond(seen):
        if seen.path == path:
            return answer(status, {"Location": location})
        return answer(200, body=b"there")

    return respond


async def test_a_request_says_what_it_was_told_to_say(serve, answer, client):
    server = serve(lambda seen: answer(200, body=b"x"))
    async with await client.send(request(server.url + "/a?b=c", headers={"X": "y"})):
        pass
    [seen] = server.requests
    assert seen.target == "/a?b=c"
    assert seen.headers == {
        "host": server.host,
        "x": "y",
        "accept-encoding": "identity",
    }


async def test_a_body_is_read_up_to_a_limit(serve, answer, client):
    server = serve(lambda seen: answer(200, body=b"0123456789"))
    async with await client.send(request(server.url)) as response:
        assert response.content_length == 10
        assert await response.read(4) == b"0123"
        assert await response.read(100) == b"456789"
        assert await response.read(100) == b""


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_redirects_keep_the_method(serve, answer, client, status, method):
    server = serve(redirects(answer, "/a/b", "../c/d?e=f", status))
    async with await follow(client, request(server.url + "/a/b", method)) as response:
        assert response.status == 200
        assert response.request.url.path == "/c/d"
    assert [seen.method for seen in server.requests] == [method] * 2
    assert server.requests[1].target == "/c/d?e=f"


@pytest.mark.parametrize(
    ("status", "expected"), [(302, ("GET", b"")), (307, ("POST", b"form"))]
)
async def test_redirects_of_a_post(serve, answer, client, status, expected):
    server = serve(redirects(answer, "/a", "/b", status))
    post = request(server.url + "/a", "POST", {"Content-Type": "x/y"}, b"form")
    async with await follow(client, post):
        pass
    seen = server.requests[1]
    assert (seen.method, seen.body) == expected
    assert ("content-type" in seen.headers) is (status == 307)


async def test_credentials_stay_on_their_host(serve, answer, client):
    server = serve(redirects(answer, "/a", "/b"))
    async with await follow(client, request(server.url + "/a", headers=SECRETS)):
        pass
    assert server.requests[1].headers["authorization"] == "Bearer T"


async def test_credentials_do_not_go_to_another_port(serve, answer, client):
    """Deviation D22, and back on the first host they stay away, as in Go."""
    first = serve()
    other = serve(redirects(answer, "/b", f"{first.url}/c"))
    first.respond = redirects(answer, "/a", f"{other.url}/b")
    async with await follow(client, request(first.url + "/a", headers=SECRETS)):
        pass
    for seen in (other.requests[0], first.requests[1]):
        assert "authorization" not in seen.headers
        assert "cookie" not in seen.headers
        assert seen.headers["x-other"] == "kept"


@pytest.mark.parametrize(
    "location",
    ["file:///etc/passwd", "ftp://x/", "data:,x", "http://[::1/"],
)
async def test_other_schemes_are_refused(serve, answer, client, location):
    server = serve(redirects(answer, "/a", location))
    with pytest.raises(ContainerdError):
        await follow(client, request(server.url + "/a"))
    assert len(server.requests) == 1


async def test_a_redirect_cannot_name_a_user(serve, answer, client):
    server = serve()
    server.respond = redirects(answer, "/a", f"http://me:secret@{server.host}/b")
    async with await follow(client, request(server.url + "/a")):
        pass
    assert "authorization" not in server.requests[1].headers


@pytest.mark.parametrize("status", [300, 302, 304])
async def test_without_a_location_the_answer_stands(serve, answer, client, status):
    server = serve(lambda seen: answer(status))
    async with await follow(client, request(server.url)) as response:
        assert response.status == status


async def test_the_tenth_redirect_is_refused(serve, answer, client):
    server = serve(lambda seen: answer(307, {"Location": seen.target}))
    with pytest.raises(ContainerdError, match="stopped after 10 redirects"):
        await follow(client, request(server.url))
    assert len(server.requests) == 10


async def test_nine_redirects_are_followed(serve, answer, client):
    def respond(seen):
        hop = int(seen.path[1:])
        return answer(307, {"Location": f"/{hop + 1}"}) if hop < 9 else answer()

    server = serve(respond)
    async with await follow(client, request(server.url + "/0")) as response:
        assert response.status == 200
    assert len(server.requests) == 10


async def test_errors_name_the_url_without_its_secrets(client):
    url = "http://me:secret@127.0.0.1:1/a%2Fb?sig=secret#secret"
    with pytest.raises(ContainerdError) as info:
        await client.send(request(url, "HEAD"))
    assert str(info.value) == 'Head "http://127.0.0.1:1/a%2Fb": connection refused'
    assert "secret" not in repr(info.value)


async def test_a_header_that_cannot_be_sent_is_not_shown(serve, client):
    with pytest.raises(ContainerdError) as info:
        await client.send(request(serve().url, headers={"X": "secret\r\nY: z"}))
    assert "secret" not in str(info.value)


async def test_a_header_may_hold_any_other_text(serve, answer, client):
    server = serve(lambda seen: answer())
    async with await client.send(request(server.url, headers={"X": "\u20ac"})):
        pass
    assert server.requests[0].headers["x"].encode("latin-1").decode() == "\u20ac"


def test_what_is_no_url():
    with pytest.raises(ErrInvalidArgument) as info:
        parse_url("http://secret:a:b/")
    assert "secret" not in str(info.value)


def test_the_safe_part_of_a_url():
    assert safe_url(httpx.URL("https://a:b@h:1/c?d#e")) == "https://h:1/c"


@pytest.mark.parametrize("end", ["close", "reset"])
async def test_a_body_that_breaks_off(serve, answer, client, end):
    """Early close and reset are alike (deviation D11)."""
    server = serve(lambda seen: answer(200, body=b"abc", declared=5, end=end))
    async with await client.send(request(server.url)) as response:
        with pytest.raises(ErrUnexpectedEOF):
            await response.read(100)


async def test_a_body_that_stalls(serve, answer):
    """Deviation D13."""
    server = serve(lambda seen: answer(200, body=b"abc", declared=5, end="hold"))
    async with (
        HTTPClient(timeouts=Timeouts(read=0.02)) as client,
        await client.send(request(server.url)) as response,
    ):
        with pytest.raises(ContainerdError, match="timed out") as info:
            await response.read(100)
    assert not isinstance(info.value, ErrUnexpectedEOF)


async def wait_until_held(server):
    await anyio.to_thread.run_sync(server.held.wait, 10)
    assert server.held.is_set()


@pytest.mark.parametrize("raw", [b"", b"HTTP/1.1 2"])
async def test_cancelling_ends_a_wait_for_an_answer(serve, answer, raw):
    server = serve(lambda seen: answer(raw=raw, end="hold"))
    async with HTTPClient(timeouts=Timeouts(read=None)) as client:
        with anyio.fail_after(10):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(client.send, request(server.url))
                await wait_until_held(server)
                tasks.cancel_scope.cancel()


async def test_cancelling_ends_a_wait_for_a_body(serve, answer):
    server = serve(lambda seen: answer(200, body=b"abc", declared=5, end="hold"))
    async with HTTPClient(timeouts=Timeouts(read=None)) as client:
        response = await client.send(request(server.url))
        with anyio.fail_after(10), closing(response):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(response.read, 5)
                await wait_until_held(server)
                tasks.cancel_scope.cancel()


async def test_what_the_sink_raises_passes_through(serve, answer, client):
    server = serve(lambda seen: answer(200, body=b"abc"))

    def sink(view):
        raise KeyError(bytes(view))

    async with await client.send(request(server.url)) as response:
        with pytest.raises(KeyError):
            await response.pump(sink)


async def test_bodies_move_in_a_worker_thread(serve, answer, client):
    server = serve(lambda seen: answer(200, body=b"abc"))
    threads = []
    async with await client.send(request(server.url)) as response:
        moved = await response.pump(lambda view: threads.append(threading.get_ident()))
    assert moved == 3
    assert threading.get_ident() not in threads


async def test_any_httpx_transport_does():
    def handler(raw):
        return httpx.Response(200, content=b"0123456789")

    async with (
        HTTPClient(transport=httpx.MockTransport(handler)) as client,
        await client.send(request("http://x/")) as response,
    ):
        assert await response.read(4) == b"0123"
        assert await response.read(99) == b"456789"


@pytest.fixture(params=[False, True], ids=["piece-by-piece", "ahead"])
def long(request, monkeypatch):
    """What is taken for long, a body is received while it is stored."""
    monkeypatch.setattr(httpclient, "_BUFFER", 1000)
    monkeypatch.setattr(httpclient, "_LONG", 1 if request.param else 1 << 30)


BODY = bytes(range(256)) * 40


class Kept(bytearray):
    """A sink that keeps everything."""

    def take(self, view: memoryview) -> int:
        self.extend(view)
        return len(view)


@pytest.mark.usefixtures("long")
async def test_all_of_a_body_is_moved_in_order(serve, answer, client):
    server = serve(lambda seen: answer(200, body=BODY))
    for _ in range(3):
        kept = Kept()
        async with await client.send(request(server.url)) as response:
            assert await response.pump(kept.take) == len(BODY)
            async with await client.send(request(server.url)):
                pass  # the connection is free before the response is closed
        assert bytes(kept) == BODY
    assert server.connections == 1


@pytest.mark.usefixtures("long")
async def test_what_came_before_a_body_broke_off_is_moved(serve, answer, client):
    server = serve(lambda seen: answer(200, body=BODY, declared=10**5, end="close"))
    kept = Kept()
    async with await client.send(request(server.url)) as response:
        with pytest.raises(ErrUnexpectedEOF):
            await response.pump(kept.take)
    assert bytes(kept) == BODY


@pytest.mark.usefixtures("long")
async def test_a_sink_that_fails_is_not_kept_waiting_by_the_server(serve, answer):
    """The rest of the body would never come."""
    server = serve(lambda seen: answer(200, body=BODY, declared=10**6, end="hold"))

    def sink(view: memoryview) -> int:
        raise KeyError(len(view))

    async with (
        HTTPClient(timeouts=Timeouts(read=None)) as client,
        await client.send(request(server.url)) as response,
    ):
        with anyio.fail_after(10), pytest.raises(KeyError):
            await response.pump(sink)


@pytest.mark.usefixtures("long")
async def test_cancelling_ends_a_pump_that_waits(serve, answer):
    server = serve(lambda seen: answer(200, body=BODY, declared=10**6, end="hold"))
    kept = Kept()
    async with HTTPClient(timeouts=Timeouts(read=None)) as client:
        response = await client.send(request(server.url))
        with anyio.fail_after(10), closing(response):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(response.pump, kept.take)
                await wait_until_held(server)
                tasks.cancel_scope.cancel()
    assert BODY.startswith(kept)
    names = [thread.name for thread in threading.enumerate()]
    assert not any(name.startswith("refpull-body") for name in names)


async def test_a_piece_stays_while_the_next_one_comes(serve, answer, monkeypatch):
    monkeypatch.setattr(httpclient, "_BUFFER", 1000)
    monkeypatch.setattr(httpclient, "_LONG", 1)
    came = threading.Semaphore(0)
    receive = httpclient.Response._receive

    def watched(response, view):
        try:
            return receive(response, view)
        finally:
            came.release()

    monkeypatch.setattr(httpclient.Response, "_receive", watched)
    server = serve(lambda seen: answer(200, body=BODY))
    kept = Kept()

    def sink(view: memoryview) -> int:
        kept.take(view)
        assert came.acquire(timeout=10)  # this piece, and then the next one
        assert came.acquire(timeout=10)
        came.release()
        assert kept.endswith(view)
        return len(view)

    async with (
        HTTPClient(timeouts=Timeouts(read=5)) as client,
        await client.send(request(server.url)) as response,
    ):
        await response.pump(sink)
    assert bytes(kept) == BODY


class Late(httpx.BaseTransport):
    """Answers only when nobody waits for it any more."""

    def __init__(self):
        self.begun = threading.Event()
        self.closed = False

    def handle_request(self, request):
        self.begun.set()
        deadline = time.monotonic() + 10
        while not request.extensions["interrupt"].fired:
            assert time.monotonic() < deadline
        late = self

        class Stream(httpx.SyncByteStream):
            def __iter__(self):
                return iter((b"x",))

            def close(self):
                late.closed = True

        return httpx.Response(200, stream=Stream())


async def test_an_answer_that_comes_too_late_is_closed():
    transport = Late()
    async with (
        HTTPClient(transport=transport) as client,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(client.send, request("http://x/"))
        await anyio.to_thread.run_sync(transport.begun.wait, 10)
        tasks.cancel_scope.cancel()
    assert transport.closed
