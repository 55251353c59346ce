"""Redirects and the second host."""

import httpx
import pytest

from fakeregistry import BasicAuth, Registry
from fakeregistry.cdn import Signer

DATA = b"0123456789"
BLOB = "/v2/a/b/blobs/sha256:1"


@pytest.fixture
def registry():
    with Registry() as registry:
        registry.put_blob("a/b", DATA, digest="sha256:1")
        yield registry


@pytest.fixture
def http():
    with httpx.Client(trust_env=False) as client:
        yield client


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_blob_from_the_cdn(registry, http, status):
    redirect = registry.redirect(status=status)
    answer = http.get(registry.url + BLOB)
    assert answer.status_code == status
    location = answer.headers["Location"]
    assert location.startswith(f"{registry.cdn.url}{BLOB}?X-Amz-Algorithm=")
    assert registry.cdn.port != registry.port
    answer = http.get(location)
    assert (answer.status_code, answer.content) == (200, DATA)
    assert redirect.fired == 1
    assert [entry.server for entry in registry.journal] == ["registry", "cdn"]
    assert [entry.server for entry in redirect.exchanges] == ["registry"]


def test_ranges_and_head_at_the_cdn(registry, http):
    location = registry.cdn.signed_url("a/b", "sha256:1")
    answer = http.get(location, headers={"Range": "bytes=4-"})
    assert (answer.status_code, answer.content) == (206, DATA[4:])
    assert http.head(location).headers["Content-Length"] == "10"


def test_only_what_is_there_is_redirected(registry, http):
    registry.redirect()
    assert http.get(registry.url + BLOB + "0").status_code == 404


def test_times_and_criteria(registry, http):
    registry.redirect(times=1, method="GET")
    statuses = [
        http.request(method, registry.url + BLOB).status_code
        for method in ("HEAD", "GET", "GET")
    ]
    assert statuses == [200, 307, 200]


def test_the_first_redirect_that_matches(registry, http):
    registry.redirect("/blobs/x", to="http://127.0.0.1:1/x")
    registry.redirect(to="http://127.0.0.1:1/{digest}?from={target}")
    registry.redirect(to="http://127.0.0.1:1/last")
    location = http.get(registry.url + BLOB).headers["Location"]
    assert location == f"http://127.0.0.1:1/sha256:1?from={BLOB}"


def test_another_registry(registry, http):
    with Registry() as mirror:
        mirror.put_blob("a/b", DATA, digest="sha256:1")
        registry.redirect(to=mirror)
        answer = http.get(registry.url + BLOB, follow_redirects=True)
        assert answer.content == DATA
        assert mirror.journal.paths("GET") == [BLOB]


def test_manifests_too(registry, http):
    registry.put_manifest("a/b", b"{}", media_type="x/y", tag="t")
    registry.redirect("/manifests/*")
    answer = http.get(f"{registry.url}/v2/a/b/manifests/t", follow_redirects=True)
    assert (answer.content, answer.headers["Content-Type"]) == (b"{}", "x/y")


def test_strangers_are_not_let_in(registry, http):
    location = registry.cdn.signed_url("a/b", "sha256:1")
    for url, code in [
        (location.partition("?")[0], "AccessDenied"),
        (
            location[:-1] + ("0" if location[-1] != "0" else "1"),
            "SignatureDoesNotMatch",
        ),
        (location.replace("sha256:1", "sha256:2"), "SignatureDoesNotMatch"),
    ]:
        answer = http.get(url)
        assert answer.status_code == 403
        assert f"<Code>{code}</Code>" in answer.text
    registry.cdn.expire_urls()
    assert "RequestExpired" in http.get(location).text
    assert http.get(registry.cdn.signed_url("a/b", "sha256:1")).content == DATA


def test_what_the_cdn_does_not_have(registry, http):
    for name, digest in [("a/b", "sha256:0"), ("none", "sha256:1")]:
        answer = http.get(registry.cdn.signed_url(name, digest))
        assert answer.status_code == 404
    assert http.put(registry.cdn.signed_url("a/b", "sha256:1")).status_code == 405


@pytest.mark.parametrize("strict", [True, False])
def test_credentials_at_the_cdn(http, strict):
    """Object stores refuse requests that bring two kinds of credentials."""
    auth = BasicAuth("user", "geheim")
    with Registry(auth, strict_cdn=strict) as registry:
        registry.put_blob("a", DATA, digest="sha256:1")
        registry.redirect()
        asked = f"{registry.url}/v2/a/blobs/sha256:1"
        assert http.get(asked).status_code == 401
        location = http.get(asked, auth=("user", "geheim")).headers["Location"]
        assert http.get(location).status_code == 200
        leaky = http.get(location, auth=("user", "geheim"))
        assert leaky.status_code == (400 if strict else 200)
        assert "geheim" not in repr(registry.journal)


def test_signatures_end():
    now = [1_700_000_000.0]
    signer = Signer(clock=lambda: now[0], expires_in=60)
    target = signer.sign("/v2/a/blobs/sha256:1")
    now[0] += 60
    assert signer.refusal(target) is None
    now[0] += 1
    assert signer.refusal(target) == "RequestExpired"


def test_tls_of_the_cdn_and_its_name(http):
    with Registry(cdn_tls=True, cdn_host="localhost") as registry:
        assert registry.cdn.url == f"https://localhost:{registry.cdn.port}"
        assert registry.url.startswith("http://")
        assert registry.ca_file is not None


def test_faults_and_gates_reach_the_cdn(registry, http):
    fault = registry.fault(server="cdn", path="/blobs/*", times=1, status=500)
    location = registry.cdn.signed_url("a/b", "sha256:1")
    assert [http.get(location).status_code for _ in range(2)] == [500, 200]
    assert fault.fired == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"status": 304}, "status=304"),
        ({"times": 0}, "times=0"),
        ({"to": "a b"}, "no URL"),
        ({"to": ""}, "no URL"),
        ({"colour": 1}, "colour"),
    ],
)
def test_mistakes(registry, options, message):
    with pytest.raises(ValueError, match=message):
        registry.redirect(**options)
