"""Manifests and tags: distribution-spec v1.1.1, Pulling manifests, Listing tags."""

import json

import httpx
import pytest

from fakeregistry import Registry

OCI = "application/vnd.oci.image.manifest.v1+json"
DOCKER = "application/vnd.docker.distribution.manifest.v2+json"
RAW = b'{ "schemaVersion":2,\n\t"unknown": 1 }'


@pytest.fixture(scope="module")
def registry():
    with Registry() as registry:
        registry.put_manifest("a/b", RAW, media_type=OCI, tag="v1")
        yield registry


@pytest.fixture(scope="module")
def client(registry):
    with httpx.Client(base_url=registry.url, trust_env=False) as client:
        yield client


def test_bytes_are_kept_raw(client, registry):
    """The digest is over these bytes: not one may change."""
    by_tag = client.get("/v2/a/b/manifests/v1")
    digest = by_tag.headers["Docker-Content-Digest"]
    assert by_tag.content == client.get(f"/v2/a/b/manifests/{digest}").content == RAW
    assert by_tag.headers["Content-Type"] == OCI
    assert digest == registry.store.repository("a/b").tags["v1"]


def test_head_is_get_without_the_body(client):
    head, get = (client.request(m, "/v2/a/b/manifests/v1") for m in ("HEAD", "GET"))
    assert head.content == b""
    for name in ("Content-Length", "Content-Type", "Docker-Content-Digest", "ETag"):
        assert head.headers[name] == get.headers[name]


def test_conditional_request(client):
    etag = client.get("/v2/a/b/manifests/v1").headers["ETag"]
    answer = client.get("/v2/a/b/manifests/v1", headers={"If-None-Match": etag})
    assert (answer.status_code, answer.content) == (304, b"")


def test_ranges_are_not_for_manifests(client):
    answer = client.get("/v2/a/b/manifests/v1", headers={"Range": "bytes=0-1"})
    assert (answer.status_code, answer.content) == (200, RAW)


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/v2/a/b/manifests/none", 404, "MANIFEST_UNKNOWN"),
        (f"/v2/a/b/manifests/sha256:{'0' * 64}", 404, "MANIFEST_UNKNOWN"),
        ("/v2/a/b/manifests/sha256:", 400, "DIGEST_INVALID"),
        ("/v2/not/here/manifests/v1", 404, "NAME_UNKNOWN"),
        ("/v2/not/here/blobs/v1", 404, "NAME_UNKNOWN"),
        ("/v2/not/here/tags/list", 404, "NAME_UNKNOWN"),
        ("/v2/UPPER/manifests/v1", 400, "NAME_INVALID"),
        ("/v2/a%0d%0ab/manifests/v1", 400, "NAME_INVALID"),
        (f"/v2/{'a' * 256}/manifests/v1", 400, "NAME_INVALID"),
        ("/v2/a/b/tags/list?n=x", 400, "UNSUPPORTED"),
        ("/v2/_catalogue", 404, "UNSUPPORTED"),
        ("/", 404, "UNSUPPORTED"),
        ("/token", 404, "UNSUPPORTED"),
    ],
)
def test_refusals_are_oci_errors(client, path, status, code):
    """distribution-spec v1.1.1, Error codes."""
    answer = client.get(path)
    assert answer.status_code == status
    assert answer.headers["Content-Type"] == "application/json"
    (error,) = answer.json()["errors"]
    assert error["code"] == code
    assert error["message"]


@pytest.mark.parametrize(
    ("accept", "status"),
    [
        (None, 200),
        (OCI, 200),
        (f"{DOCKER}, {OCI};q=0.5", 200),
        ("*/*", 200),
        ("application/*", 200),
        (DOCKER, 404),
        (f"{OCI};q=0", 404),
    ],
)
def test_strict_accept(accept, status):
    """A registry that converts nothing may know only what the client takes."""
    with Registry(strict_accept=True) as registry:
        registry.put_manifest("a", RAW, media_type=OCI, tag="v1")
        request = httpx.Request("GET", f"{registry.url}/v2/a/manifests/v1")
        if accept:
            request.headers["Accept"] = accept
        with httpx.Client(trust_env=False) as client:
            answer = client.send(request)
    assert answer.status_code == status
    if status == 404:
        assert answer.json()["errors"][0]["code"] == "MANIFEST_UNKNOWN"


def test_any_media_type_is_served_whatever_is_accepted(client, registry):
    """Registries serve what they have (the Accept header is a wish)."""
    registry.put_manifest("a/b", b"{}", media_type="x/y; z=1", tag="odd")
    answer = client.get("/v2/a/b/manifests/odd", headers={"Accept": DOCKER})
    assert answer.headers["Content-Type"] == "x/y; z=1"


def test_tags_are_listed_in_pages(client, registry):
    """distribution-spec v1.1.1, Listing tags: lexical order, n, last, Link."""
    for tag in ("c", "b", "a"):
        registry.put_manifest("tags", RAW, media_type=OCI, tag=tag)
    everything = client.get("/v2/tags/tags/list")
    assert everything.json() == {"name": "tags", "tags": ["a", "b", "c"]}
    assert "Link" not in everything.headers
    first = client.get("/v2/tags/tags/list?n=2")
    assert first.json()["tags"] == ["a", "b"]
    rest = client.get(first.links["next"]["url"])
    assert rest.json()["tags"] == ["c"]
    assert "Link" not in rest.headers
    assert client.get("/v2/tags/tags/list?n=0").json()["tags"] == []


def test_a_repository_may_be_called_like_an_endpoint(client, registry):
    registry.put_manifest("x/manifests/y", RAW, media_type=OCI, tag="v1")
    assert client.get("/v2/x/manifests/y/manifests/v1").content == RAW


def test_a_moved_tag_and_a_deleted_manifest(client, registry):
    one = registry.put_manifest("moving", b"{}", media_type=OCI, tag="t")
    two = registry.put_manifest("moving", b"[]", media_type=OCI)
    registry.tag("moving", "t", two.digest)
    assert client.get("/v2/moving/manifests/t").content == b"[]"
    registry.store.delete("moving", two.digest)
    assert client.get("/v2/moving/manifests/t").status_code == 404
    assert client.get(f"/v2/moving/manifests/{one.digest}").status_code == 200


def test_a_published_image_is_complete(client, registry):
    image = registry.publish("pub/it:1", platforms=["linux/amd64", "linux/arm64"])
    for item in image.documents:
        answer = client.get(f"/v2/pub/it/manifests/{item.digest}")
        assert answer.content == image.data[item.digest]
        assert answer.headers["Content-Type"] == item.media_type
    for item in image.contents:
        answer = client.get(f"/v2/pub/it/blobs/{item.digest}")
        assert answer.content == image.data[item.digest]
    assert registry.ref(image) == f"{registry.host}/pub/it:1"
    by_digest = registry.ref(image, digest=True)
    assert by_digest == f"{registry.host}/pub/it@{image.digest}"
    found = json.loads(client.get("/v2/pub/it/manifests/1").content)
    assert len(found["manifests"]) == 2
