"""fetcher.go, beyond the vectors."""

import anyio
import pytest

from refimpl import digest
from refimpl.descriptor import Descriptor
from refimpl.errdefs import (
    ContainerdError,
    ErrInvalidArgument,
    ErrNotFound,
    ErrUnexpectedEOF,
    ErrUnexpectedStatus,
    message,
)
from refimpl.remotes.docker import (
    HostCapabilities,
    RegistryHost,
    ResolverOptions,
    new_resolver,
)
from refimpl.remotes.docker.fetcher import MAX_URLS

pytestmark = pytest.mark.anyio

BODY = bytes(range(256)) * 400
LAYER = Descriptor(
    media_type="application/vnd.oci.image.layer.v1.tar",
    digest=digest.from_bytes(BODY),
    size=len(BODY),
)
PATH = f"/v2/a/b/blobs/{LAYER.digest}"


def host(server, capabilities=HostCapabilities.PULL):
    return RegistryHost(host=server.host, scheme="http", capabilities=capabilities)


def fixed(*hosts):
    return ResolverOptions(hosts=lambda namespace: hosts)


async def fetch(ref, desc=LAYER, options=None, offset=0):
    out = bytearray()

    def sink(view):
        out.extend(view)
        return len(view)

    async with new_resolver(options) as resolver:
        fetcher = await resolver.fetcher(ref)
        reader = await fetcher.fetch(desc)
        try:
            await reader.seek(offset)
            await reader.write_to(sink)
        finally:
            await reader.aclose()
    return bytes(out)


def ref(server):
    return f"{server.host}/a/b:1"


def start_of(seen):
    return int(seen.headers.get("range", "bytes=0-")[6:-1])


def ranged(answer, seen, size=None, end="keep"):
    """Answer a Range request from BODY, cut after some bytes."""
    start = start_of(seen)
    rest = BODY[start:]
    headers = {"Content-Range": f"bytes {start}-{len(BODY) - 1}/{len(BODY)}"}
    status = 206 if start else 200
    return answer(status, headers, rest[:size], declared=len(rest), end=end)


async def test_a_whole_body(serve, answer):
    server = serve(lambda seen: answer(200, body=BODY))
    assert await fetch(ref(server)) == BODY
    assert server.paths() == [f"GET {PATH}"]


@pytest.mark.parametrize("end", ["close", "reset"])
async def test_a_body_that_breaks_off_is_resumed(serve, answer, end):
    """A reset is deviation D11."""

    def respond(seen):
        # What a reset may throw away is not counted on: the range tells.
        cut = len(server.requests) < 3
        return ranged(answer, seen, 30000, end) if cut else ranged(answer, seen)

    server = serve(respond)
    assert await fetch(ref(server)) == BODY
    starts = [start_of(seen) for seen in server.requests]
    assert starts == sorted(starts)
    assert len(starts) == 3
    if end == "close":
        assert starts == [0, 30000, 60000]


async def test_a_chunked_body_that_breaks_off_is_resumed(serve, answer):
    def respond(seen):
        if start_of(seen):
            return ranged(answer, seen)
        chunk = b"4\r\n" + BODY[:4] + b"\r\n"
        return answer(200, {"Transfer-Encoding": "chunked"}, chunk, end="close")

    server = serve(respond)
    assert await fetch(ref(server)) == BODY
    assert start_of(server.requests[1]) == 4


async def test_a_body_without_any_progress_is_given_up(serve, answer):
    server = serve(lambda seen: answer(200, declared=9, end="close"))
    with pytest.raises(ErrUnexpectedEOF):
        await fetch(ref(server))
    assert len(server.requests) == 4


async def test_a_short_but_complete_body_is_the_callers_business(serve, answer):
    server = serve(lambda seen: answer(200, body=BODY[:9]))
    assert await fetch(ref(server)) == BODY[:9]
    assert len(server.requests) == 1


async def test_a_server_may_ignore_the_range(serve, answer):
    server = serve(lambda seen: answer(200, body=BODY))
    assert await fetch(ref(server), offset=70000) == BODY[70000:]
    assert start_of(server.requests[0]) == 70000


async def test_a_body_too_short_to_skip_to_the_offset(serve, answer):
    server = serve(lambda seen: answer(200, body=BODY[:9]))
    with pytest.raises(ContainerdError, match="unable to discard to offset"):
        await fetch(ref(server), offset=70000)


async def test_a_body_that_breaks_off_before_the_offset(serve, answer):
    server = serve(lambda seen: answer(200, body=b"x", declared=99999, end="close"))
    with pytest.raises(ContainerdError) as info:
        await fetch(ref(server), offset=70000)
    text = "httpReadSeeker: failed open: failed to discard to offset"
    assert message(info.value).startswith(text)


async def test_a_failure_repeats_what_the_registry_says(serve, answer):
    body = b'{"errors":[{"code":"DENIED","message":"quota"}]}'
    server = serve(lambda seen: answer(403, body=body))
    with pytest.raises(ErrUnexpectedStatus) as info:
        await fetch(ref(server))
    assert message(info.value) == (
        f"httpReadSeeker: failed open: unexpected status code {server.url}{PATH}: "
        "403 Forbidden - Server message: denied: quota"
    )
    assert (info.value.status, info.value.body) == (403, body)


async def test_an_endless_error_body_is_cut(serve, answer):
    """Deviation D15."""
    server = serve(lambda seen: answer(500, body=b" " * (1 << 20), declared=1 << 40))
    with pytest.raises(ErrUnexpectedStatus) as info:
        await fetch(ref(server))
    assert len(info.value.body) == 1 << 16


async def test_an_error_body_that_breaks_off_says_nothing(serve, answer):
    server = serve(lambda seen: answer(500, body=b"x", declared=9, end="close"))
    with pytest.raises(ErrUnexpectedStatus) as info:
        await fetch(ref(server))
    assert message(info.value).endswith(": 500 Internal Server Error")


async def test_the_next_host_is_asked(serve, answer):
    mirror, origin = serve(lambda seen: answer(503)), serve()
    origin.respond = lambda seen: answer(200, body=BODY)
    assert await fetch("r.example/a/b:1", LAYER, fixed(host(mirror), host(origin)))
    assert mirror.requests[0].target == f"{PATH}?ns=r.example"


async def test_the_first_error_counts(serve, answer):
    hosts = [host(serve(lambda seen, s=s: answer(s))) for s in (503, 404)]
    with pytest.raises(ErrUnexpectedStatus, match="503"):
        await fetch("r.example/a/b:1", LAYER, fixed(*hosts))


async def test_hosts_without_the_pull_capability_are_not_asked(serve, answer):
    """Deviation D3."""
    other = serve(lambda seen: answer(200, body=b"other"))
    server = serve(lambda seen: answer(200, body=BODY))
    hosts = host(other, HostCapabilities.RESOLVE), host(server)
    assert await fetch("r.example/a/b:1", LAYER, fixed(*hosts)) == BODY
    assert other.requests == []
    with pytest.raises(ErrNotFound, match="no pull hosts"):
        await fetch("r.example/a/b:1", LAYER, fixed(hosts[0]))


@pytest.mark.parametrize(
    "text", ["", "sha256:../../x", "sha256:" + "A" * 64, "sha256:" + "a" * 63, "md5:a"]
)
async def test_what_is_no_digest_is_not_asked_for(serve, text):
    """Deviation D18."""
    server = serve()
    with pytest.raises(ErrInvalidArgument, match="digest"):
        await fetch(ref(server), Descriptor(digest=digest.Digest(text), size=1))
    assert server.requests == []


FOREIGN = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"


def with_urls(*urls, media_type=FOREIGN):
    return Descriptor(
        media_type=media_type, digest=LAYER.digest, size=LAYER.size, urls=urls
    )


async def test_urls_come_first_and_get_no_credentials(serve, answer):
    other = serve(lambda seen: answer(200, body=BODY))
    options = ResolverOptions(
        headers={"Authorization": "Basic x", "Cookie": "c", "X-Kept": "y"}
    )
    urls = "not a url", "http://h:x/", "ftp://h/x", f"http://u:p@{other.host}/x%2Fy?q=1"
    server = serve()
    assert await fetch(ref(server), with_urls(*urls), options) == BODY
    assert server.requests == []
    [seen] = other.requests
    assert seen.target == "/x%2Fy?q=1"
    assert seen.headers["x-kept"] == "y"
    assert not {"authorization", "cookie"} & set(seen.headers)


@pytest.mark.parametrize("status", [401, 403, 404, 500, 503])
async def test_after_urls_that_do_not_help_the_registry_is_asked(serve, answer, status):
    """Deviation D64; Go goes on after 404 only."""
    other = serve(lambda seen: answer(status))
    server = serve(lambda seen: answer(200, body=BODY))
    gone = "http://127.0.0.1:1/"
    assert await fetch(ref(server), with_urls(gone, f"{other.url}/x")) == BODY
    assert len(other.requests) == 1


async def test_a_foreign_layer_without_urls_is_the_registrys(serve, answer):
    server = serve(lambda seen: answer(200, body=BODY))
    assert await fetch(ref(server), with_urls()) == BODY
    missing = serve()
    with pytest.raises(ErrNotFound, match=r"^could not fetch content descriptor"):
        await fetch(ref(missing), with_urls())


async def test_what_is_nowhere_is_said_without_the_query(serve, answer):
    other, server = serve(lambda seen: answer(401)), serve()
    with pytest.raises(ErrNotFound, match="from remote") as info:
        await fetch(ref(server), with_urls(f"{other.url}/x?sig=secret"))
    assert f"{other.url}/x: 401 Unauthorized" in message(info.value)
    assert "secret" not in message(info.value)
    assert len(other.requests) == len(server.requests) == 1


async def test_not_all_of_very_many_urls_are_asked(serve, answer):
    other, server = serve(), serve(lambda seen: answer(200, body=BODY))
    urls = [f"{other.url}/{number}" for number in range(1000)]
    assert await fetch(ref(server), with_urls(*urls)) == BODY
    assert len(other.requests) == MAX_URLS


async def test_urls_of_what_the_registry_has_are_left_alone(serve, answer):
    """Deviation D64: an image's author does not send its users' clients about."""
    other = serve(lambda seen: answer(200, body=BODY))
    server = serve(lambda seen: answer(200, body=BODY))
    desc = with_urls(f"{other.url}/x", media_type=LAYER.media_type)
    assert await fetch(ref(server), desc) == BODY
    assert other.requests == []


@pytest.mark.parametrize("status", [404, 500])
async def test_urls_stand_in_for_what_the_registry_lacks(serve, answer, status):
    """It may say so itself; when it fails, that is another matter."""
    other = serve(lambda seen: answer(200, body=BODY))
    server = serve(lambda seen: answer(status))
    desc = with_urls(f"{other.url}/x", media_type=LAYER.media_type)
    if status == 404:
        assert await fetch(ref(server), desc) == BODY
        return
    with pytest.raises(ErrUnexpectedStatus, match="500"):
        await fetch(ref(server), desc)
    assert other.requests == []


async def test_what_is_trusted_for_the_registry_is_not_for_urls(tls_registry, serve):
    """http.DefaultClient asks them (fetcher.go:71): --ca is no help there."""
    tls_registry.put_blob("library/hello", BODY)
    desc = with_urls(f"{tls_registry.url}/v2/library/hello/blobs/{LAYER.digest}")
    options = ResolverOptions(ca=tls_registry.ca_file)
    server = serve()
    with pytest.raises(ContainerdError, match="certificate"):
        await fetch(ref(server), desc, options)
    assert not len(tls_registry.journal)


async def test_a_media_type_cannot_add_headers(serve, answer):
    server = serve(lambda seen: answer(200, body=BODY))
    desc = Descriptor(media_type="x\r\nEvil: 1", digest=LAYER.digest, size=1)
    with pytest.raises(ContainerdError):
        await fetch(ref(server), desc)
    assert server.requests == []


async def test_many_bodies_at_a_time(serve, answer):
    server = serve(lambda seen: answer(200, body=BODY))
    async with anyio.create_task_group() as tasks:
        for _ in range(12):
            tasks.start_soon(check_body, ref(server))


async def check_body(name):
    assert await fetch(name) == BODY
