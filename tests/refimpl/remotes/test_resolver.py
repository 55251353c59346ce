"""resolver.go, beyond the vectors."""

import json

import pytest

from refimpl import digest, reference
from refimpl.errdefs import (
    ContainerdError,
    ErrNotFound,
    ErrUnexpectedStatus,
    message,
)
from refimpl.remotes.docker import (
    HostCapabilities,
    RegistryHost,
    ResolverOptions,
    new_resolver,
)
from refimpl.remotes.docker.httpclient import HTTPClient
from refimpl.remotes.docker.resolver import MAX_MANIFEST_SIZE

pytestmark = pytest.mark.anyio

MANIFEST = b'{"schemaVersion":2}'
DIGEST = digest.from_bytes(MANIFEST)
OCI = "application/vnd.oci.image.manifest.v1+json"
HEADERS = {"Content-Type": OCI, "Docker-Content-Digest": DIGEST}


def manifest(answer):
    return lambda seen: answer(200, HEADERS, MANIFEST)


async def resolve(ref, options=None):
    async with new_resolver(options) as resolver:
        return await resolver.resolve(ref)


def mirrored(*servers, capabilities=None):
    caps = capabilities or [HostCapabilities(3)] * len(servers)
    hosts = [
        RegistryHost(host=server.host, scheme="http", capabilities=cap)
        for server, cap in zip(servers, caps, strict=True)
    ]
    return ResolverOptions(hosts=lambda namespace: hosts)


async def test_one_head_is_enough(serve, answer):
    server = serve(manifest(answer))
    ref = f"{server.host}/a/b:v1"
    name, desc = await resolve(ref)
    assert name == ref
    assert desc.to_json() == {"mediaType": OCI, "digest": DIGEST, "size": 19}
    assert server.paths() == ["HEAD /v2/a/b/manifests/v1"]
    assert server.requests[0].headers["user-agent"].startswith("containerd/1.5.18")


async def test_accept_can_be_chosen_for_resolving(serve, answer):
    server = serve(manifest(answer))
    options = ResolverOptions(headers={"accept": "x/y", "User-Agent": "me"})
    await resolve(f"{server.host}/a/b:v1", options)
    headers = server.requests[0].headers
    assert (headers["accept"], headers["user-agent"]) == ("x/y", "me")


async def test_a_digest_that_is_none_is_not_asked_for(serve):
    server = serve()
    for text, defect in (
        ("sha256:abc", "invalid checksum digest length"),
        ("md5:" + "a" * 32, "unsupported digest algorithm"),
        ("sha256:" + "A" * 64, "invalid checksum digest format"),
    ):
        with pytest.raises(ContainerdError) as info:
            await resolve(f"{server.host}/a/b@{text}")
        assert type(info.value) is ContainerdError  # go-digest has no class
        assert message(info.value) == defect
    with pytest.raises(reference.ErrObjectRequired):
        await resolve(f"{server.host}/a/b")
    assert server.requests == []


@pytest.mark.parametrize("stated", ["sha256:XYZ", "latest", "sha256:../../../x"])
async def test_a_malformed_digest_field_is_refused(serve, answer, stated):
    headers = HEADERS | {"Docker-Content-Digest": stated}
    server = serve(lambda seen: answer(200, headers, MANIFEST))
    with pytest.raises(ContainerdError) as info:
        await resolve(f"{server.host}/a/b:v1")
    assert type(info.value) is ContainerdError  # go-digest has no class
    expected = f'"{stated}" in header not a valid digest: invalid checksum digest'
    assert message(info.value).startswith(expected)
    assert len(server.requests) == 1


async def test_the_size_is_learned_with_a_get(serve, answer):
    def respond(seen):
        head = seen.method == "HEAD"
        return answer(200, HEADERS, MANIFEST, declared=-1 if head else None)

    server = serve(respond)
    _, desc = await resolve(f"{server.host}/a/b:v1")
    assert (desc.digest, desc.size) == (DIGEST, 19)
    assert [seen.method for seen in server.requests] == ["HEAD", "GET"]


@pytest.mark.parametrize(
    ("status", "error"), [(404, ErrNotFound), (500, ErrUnexpectedStatus)]
)
async def test_an_error_page_is_no_manifest(serve, answer, status, error):
    """Deviation D1."""

    def respond(seen):
        if seen.method == "HEAD":
            return answer(200, {"Content-Type": OCI}, MANIFEST)
        return answer(status, {"Content-Type": OCI}, b"error page")

    server = serve(respond)
    with pytest.raises(error):
        await resolve(f"{server.host}/a/b:v1")


@pytest.mark.parametrize("kind", ["text/html", "Text/HTML; charset=utf-8"])
async def test_a_login_page_is_no_manifest(serve, answer, kind):
    """Deviation D32: nothing is asked for by the digest of the page."""
    server = serve(lambda seen: answer(200, {"Content-Type": kind}, b"<html></html>"))
    with pytest.raises(ErrNotFound, match="answered with a web page"):
        await resolve(f"{server.host}/a/b:v1")
    assert [seen.method for seen in server.requests] == ["HEAD", "GET"]


async def test_redirects_that_lead_nowhere_end_the_lookup(serve, answer):
    first, second = serve(lambda seen: answer(304)), serve(manifest(answer))
    with pytest.raises(ErrUnexpectedStatus, match="unexpected status code") as info:
        await resolve("r.example/a/b:v1", mirrored(first, second))
    assert info.value.status == 304
    assert second.requests == []


@pytest.mark.parametrize("status", [404, 403, 500, 503])
async def test_the_next_host_is_asked(serve, answer, status):
    first, second = serve(lambda seen: answer(status)), serve(manifest(answer))
    _, desc = await resolve("r.example/a/b:v1", mirrored(first, second))
    assert desc.digest == DIGEST
    assert first.requests[0].target == "/v2/a/b/manifests/v1?ns=r.example"


async def test_a_host_that_cannot_be_reached_is_passed_over(serve, answer):
    gone, server = serve(), serve(manifest(answer))
    gone.stop()
    _, desc = await resolve("r.example/a/b:v1", mirrored(gone, server))
    assert desc.digest == DIGEST
    with pytest.raises(ContainerdError, match="connection refused"):
        await resolve("r.example/a/b:v1", mirrored(gone))


async def test_tags_are_resolved_by_trusted_hosts_only(serve, answer):
    mirror, origin = serve(manifest(answer)), serve(manifest(answer))
    capabilities = [HostCapabilities.PULL, HostCapabilities(3)]
    options = mirrored(mirror, origin, capabilities=capabilities)
    await resolve("r.example/a/b:v1", options)
    assert (len(mirror.requests), len(origin.requests)) == (0, 1)
    await resolve(f"r.example/a/b@{DIGEST}", options)
    assert (len(mirror.requests), len(origin.requests)) == (1, 1)
    untrusted = mirrored(mirror, capabilities=[HostCapabilities.PULL])
    with pytest.raises(ErrNotFound, match="no resolve hosts"):
        await resolve("r.example/a/b:v1", untrusted)


async def test_only_a_host_without_the_manifest_is_asked_for_a_blob(serve, answer):
    """Deviation D2."""

    def respond(status):
        def respond(seen):
            return answer(status if "/manifests/" in seen.path else 200, {}, MANIFEST)

        return respond

    broken, without = serve(respond(500)), serve(respond(404))
    with pytest.raises(ErrUnexpectedStatus, match="500"):
        await resolve(f"r.example/a/b@{DIGEST}", mirrored(broken))
    assert broken.paths() == [f"HEAD /v2/a/b/manifests/{DIGEST}"]
    _, desc = await resolve(f"r.example/a/b@{DIGEST}", mirrored(without))
    assert desc.digest == DIGEST
    assert len(without.requests) == 2


async def test_a_stated_size_over_the_limit(serve, answer):
    size = MAX_MANIFEST_SIZE + 1
    server = serve(lambda seen: answer(200, HEADERS, declared=size))
    ref = f"{server.host}/a/b:v1"
    with pytest.raises(ErrNotFound) as info:
        await resolve(ref)
    assert message(info.value) == f"rejecting {size} byte manifest for {ref}: not found"


@pytest.mark.parametrize("declared", [-1, 1 << 40])
async def test_a_body_over_the_limit(serve, answer, declared):
    """Deviation D17: no more is read than it takes to know."""

    def respond(seen):
        if seen.method == "HEAD":
            return answer(200, {"Content-Type": OCI})
        body = b" " * (MAX_MANIFEST_SIZE + 1000)
        return answer(200, {"Content-Type": OCI}, body, declared=declared, end="hold")

    server = serve(respond)
    with pytest.raises(ErrNotFound, match="rejecting"):
        await resolve(f"{server.host}/a/b:v1")


async def test_access_denied_is_said_so(serve, answer):
    def respond(seen):
        if seen.path == "/token":
            return answer(200, body=json.dumps({"token": "T"}).encode())
        realm = f'Bearer realm="{server.url}/token",error="insufficient_scope"'
        return answer(401, {"WWW-Authenticate": realm})

    server = serve(respond)
    with pytest.raises(ContainerdError) as info:
        await resolve(f"{server.host}/a/b:v1")
    assert message(info.value) == (
        "pull access denied, repository does not exist or may require authorization: "
        "server message: insufficient_scope: authorization failed"
    )


async def test_a_client_that_was_given_stays_open(serve, answer):
    server = serve(manifest(answer))
    async with HTTPClient() as client:
        options = ResolverOptions(client=client)
        await resolve(f"{server.host}/a/b:v1", options)
        await resolve(f"{server.host}/a/b:v1", options)
    assert server.connections == 1


def test_credentials_do_not_show():
    shown = repr(ResolverOptions(credentials=lambda host: ("me", "pw")))
    assert "lambda" not in shown


async def test_a_rejected_manifest_has_no_say_in_the_next_hosts(serve, answer):
    """Deviation D63."""
    lie = {"Docker-Content-Digest": f"sha256:{'1' * 64}", "Content-Length": "5000000"}
    first, second = serve(lambda seen: answer(200, lie)), serve(manifest(answer))
    _, desc = await resolve("example.org/a/b:v1", mirrored(first, second))
    assert (desc.digest, desc.size) == (DIGEST, 19)
