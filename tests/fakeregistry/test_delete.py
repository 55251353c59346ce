"""Deleting: distribution-spec v1.1.1, Content Management."""

import httpx
import pytest

from fakeregistry import Features, Registry, TokenAuth

ZEROS = "sha256:" + "0" * 64


@pytest.fixture(scope="module")
def http():
    with httpx.Client(trust_env=False) as client:
        yield client


@pytest.fixture
def served():
    with Registry() as registry:
        yield registry, registry.publish("a/b:1")


def url_of(registry, kind, reference):
    return f"{registry.url}/v2/a/b/{kind}/{reference}"


def code(answer):
    return answer.json()["errors"][0]["code"]


def test_a_tag(served, http):
    registry, image = served
    answer = http.delete(url_of(registry, "manifests", "1"))
    assert (answer.status_code, answer.content) == (202, b"")
    assert http.get(url_of(registry, "manifests", "1")).status_code == 404
    assert http.get(url_of(registry, "manifests", image.digest)).status_code == 200
    again = http.delete(url_of(registry, "manifests", "1"))
    assert (again.status_code, code(again)) == (404, "MANIFEST_UNKNOWN")


def test_a_manifest_takes_its_tags_along(served, http):
    """ "A GET to [...] any tag pointing to that digest will return a 404"."""
    registry, image = served
    registry.tag("a/b", "2", image.digest)
    assert http.delete(url_of(registry, "manifests", image.digest)).status_code == 202
    for reference in ("1", "2", image.digest):
        assert http.get(url_of(registry, "manifests", reference)).status_code == 404
    config = url_of(registry, "blobs", image.config.digest)
    assert http.head(config).status_code == 200


def test_a_blob(served, http):
    registry, image = served
    url = url_of(registry, "blobs", image.layers[0].digest)
    assert http.delete(url).status_code == 202
    assert http.get(url).status_code == 404
    again = http.delete(url)
    assert (again.status_code, code(again)) == (404, "BLOB_UNKNOWN")


def test_kinds_are_not_mixed_up(served, http):
    registry, image = served
    for kind, digest, expected in [
        ("blobs", image.digest, "BLOB_UNKNOWN"),
        ("manifests", image.config.digest, "MANIFEST_UNKNOWN"),
        ("blobs", ZEROS, "BLOB_UNKNOWN"),
        ("manifests", ZEROS, "MANIFEST_UNKNOWN"),
    ]:
        answer = http.delete(url_of(registry, kind, digest))
        assert (answer.status_code, code(answer)) == (404, expected)
    for kind in ("blobs", "manifests"):
        answer = http.delete(url_of(registry, kind, "sha256:"))
        assert (answer.status_code, code(answer)) == (400, "DIGEST_INVALID")
        nowhere = http.delete(f"{registry.url}/v2/x/{kind}/{ZEROS}")
        assert (nowhere.status_code, code(nowhere)) == (404, "NAME_UNKNOWN")


@pytest.mark.parametrize("kind", ["tags", "manifests", "blobs"])
def test_what_is_switched_off_gets_405(http, kind):
    """ "The registry MUST respond with either a 400 Bad Request or a 405"."""
    features = Features(**{f"delete_{kind}": False})
    with Registry(features=features) as registry:
        image = registry.publish("a/b:1")
        urls = {
            "tags": url_of(registry, "manifests", "1"),
            "manifests": url_of(registry, "manifests", image.digest),
            "blobs": url_of(registry, "blobs", image.config.digest),
        }
        answer = http.delete(urls.pop(kind))
        assert (answer.status_code, code(answer)) == (405, "UNSUPPORTED")
        assert answer.headers["Allow"]
        for url in urls.values():
            assert http.delete(url).status_code == 202


def test_conditions(served, http):
    """RFC 9110 section 13.1.1: only what the client takes it for."""
    registry, image = served
    url = url_of(registry, "manifests", "1")
    assert http.delete(url, headers={"If-Match": f'"{ZEROS}"'}).status_code == 412
    right = {"If-Match": f'"{image.digest}"'}
    assert http.delete(url, headers=right).status_code == 202


def test_the_scope_of_deleting(http):
    with Registry(TokenAuth()) as registry:
        registry.publish("a/b:1")
        url = url_of(registry, "manifests", "1")
        refused = http.delete(url)
        assert refused.status_code == 401
        scope = "repository:a/b:delete"
        assert f'scope="{scope}"' in refused.headers["WWW-Authenticate"]
        for wanted, status in [("repository:a/b:pull,push", 401), (scope, 202)]:
            found = http.get(f"{registry.url}/token", params={"scope": wanted}).json()
            headers = {"Authorization": f"Bearer {found['token']}"}
            assert http.delete(url, headers=headers).status_code == status
