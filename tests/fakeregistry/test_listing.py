"""Tags and the catalog, page by page: distribution-spec v1.1.1, Listing Tags."""

import re

import httpx
import pytest

from fakeregistry import BasicAuth, Features, Registry, TokenAuth

OCI = "application/vnd.oci.image.manifest.v1+json"
TAGS = ["B", "a", "10", "c", "b", "1.0", "latest"]
# "Lexical order (i.e. case-insensitive alphanumeric order)".
SORTED = ["1.0", "10", "a", "B", "b", "c", "latest"]


@pytest.fixture(scope="module")
def http():
    with httpx.Client(trust_env=False) as client:
        yield client


def filled(registry):
    for tag in TAGS:
        registry.put_manifest("a/b", b"{}", media_type=OCI, tag=tag)
    for name in ("z", "library/hello", "library/hello-world"):
        registry.put_blob(name, b"")
    return registry


@pytest.fixture(scope="module")
def registry():
    with Registry() as registry:
        yield filled(registry)


def follow(http, url, key):
    """Return the pages that Link headers lead to."""
    pages = []
    while url:
        answer = http.get(url)
        assert answer.status_code == 200
        pages.append(answer.json()[key])
        found = re.fullmatch(r'<(/[^>]*)>; rel="next"', answer.headers.get("Link", ""))
        url = url.join(found[1]) if found else None
    return pages


@pytest.mark.parametrize("size", [1, 2, 3, 6, 7, 8])
def test_pages_of_tags(registry, http, size):
    url = httpx.URL(f"{registry.url}/v2/a/b/tags/list?n={size}")
    expected = [SORTED[at : at + size] for at in range(0, len(SORTED), size)]
    assert follow(http, url, "tags") == expected


@pytest.mark.parametrize(
    ("query", "tags"),
    [
        ("", SORTED),
        ("?last=a", SORTED[3:]),
        ("?last=aa", SORTED[3:]),
        ("?last=zzz", []),
        ("?n=0", []),
        ("?n=2&last=10", ["a", "B"]),
    ],
)
def test_n_and_last(registry, http, query, tags):
    """ "When n is zero, this endpoint MUST return an empty list"."""
    answer = http.get(f"{registry.url}/v2/a/b/tags/list{query}")
    assert answer.json() == {"name": "a/b", "tags": tags}
    assert answer.headers["Content-Type"] == "application/json"
    assert ("Link" in answer.headers) == (query == "?n=2&last=10")


@pytest.mark.parametrize("path", ["a/b/tags/list", "_catalog"])
def test_what_is_no_number(registry, http, path):
    for value in ("x", "-1", "", "9" * 99):
        answer = http.get(f"{registry.url}/v2/{path}?n={value}")
        assert answer.status_code == 400
        assert answer.json()["errors"][0]["code"] == "UNSUPPORTED"


def test_a_repository_without_tags_and_one_that_is_unknown(registry, http):
    assert http.get(f"{registry.url}/v2/z/tags/list").json()["tags"] == []
    answer = http.get(f"{registry.url}/v2/nothing/tags/list")
    assert answer.status_code == 404
    assert answer.json()["errors"][0]["code"] == "NAME_UNKNOWN"


def test_catalog(registry, http):
    names = ["a/b", "library/hello", "library/hello-world", "z"]
    url = httpx.URL(f"{registry.url}/v2/_catalog")
    assert http.get(url).json() == {"repositories": names}
    pages = follow(http, url.copy_with(params={"n": "3"}), "repositories")
    assert pages == [names[:3], names[3:]]
    head = http.head(url)
    assert (head.status_code, head.content) == (200, b"")
    assert http.delete(url).status_code == 405


def test_a_registry_that_gives_no_more_than_so_many(http):
    features = Features(page_size=2, catalog=False)
    with filled(Registry(features=features)) as registry:
        url = httpx.URL(f"{registry.url}/v2/a/b/tags/list")
        assert [len(page) for page in follow(http, url, "tags")] == [2, 2, 2, 1]
        more = url.copy_with(params={"n": "100"})
        assert [len(page) for page in follow(http, more, "tags")] == [2, 2, 2, 1]
        assert http.get(f"{registry.url}/v2/_catalog").status_code == 404


def test_the_catalog_needs_a_scope_of_its_own(http):
    with filled(Registry(TokenAuth())) as registry:
        url = f"{registry.url}/v2/_catalog"
        refused = http.get(url)
        assert refused.status_code == 401
        assert 'scope="registry:catalog:*"' in refused.headers["WWW-Authenticate"]
        for scope, status in [
            ("registry:catalog:*", 200),
            ("repository:catalog:*", 401),
        ]:
            found = http.get(f"{registry.url}/token", params={"scope": scope}).json()
            headers = {"Authorization": f"Bearer {found['token']}"}
            assert http.get(url, headers=headers).status_code == status
    with filled(Registry(BasicAuth("u", "p"))) as registry:
        url = f"{registry.url}/v2/_catalog"
        assert http.get(url).status_code == 401
        assert http.get(url, auth=("u", "p")).status_code == 200
