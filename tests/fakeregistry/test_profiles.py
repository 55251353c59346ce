"""Every profile on the wire: what it changes, and that the rest is as it was."""

import gzip
import http.client
import json
import ssl
from contextlib import ExitStack
from dataclasses import replace

import httpx
import pytest

from fakeregistry import BasicAuth, Registry, TokenAuth
from fakeregistry.profiles import PROFILES

# Made once: it takes longer than all else here.
CONTEXT = ssl.create_default_context()
MANIFEST = "/v2/library/hello/manifests/1"


@pytest.fixture
def ask():
    """Start a registry of a profile; ask it, the same client throughout."""
    with ExitStack() as stack:

        def start(profile, **options):
            registry = stack.enter_context(Registry(profile=profile, **options))
            image = registry.publish("library/hello:1")
            client = httpx.Client(
                base_url=registry.url, headers={"Accept-Encoding": ""}, verify=CONTEXT
            )
            return registry, image, stack.enter_context(client)

        yield start


def layer_of(image):
    return f"/v2/library/hello/blobs/{image.layers[0].digest}"


def token_from(client, challenge, **options):
    """Get a token with GET."""
    fields = dict(part.split("=", 1) for part in challenge.split(" ", 1)[1].split(","))
    fields = {name: value.strip('"') for name, value in fields.items()}
    realm = fields.pop("realm")
    return client.get(realm, params=fields, **options)


@pytest.mark.parametrize("profile", PROFILES.values(), ids=lambda found: found.name)
def test_all_are_documented(profile):
    assert profile.what.endswith(".")
    assert profile.who
    assert profile.source


@pytest.mark.parametrize(
    "name",
    [
        name
        for name, profile in PROFILES.items()
        if not profile.tokens and name != "x-gzip-layers"
    ],
)
def test_content_is_whole_whatever_the_profile(ask, name):
    """A client that follows the RFCs and asks with GET gets every byte."""
    _, image, client = ask(name)
    types = {"Accept": image.descriptor.media_type}
    manifest = client.get(MANIFEST, headers=types)
    assert manifest.content == image.data[image.digest]
    layer = client.get(layer_of(image), follow_redirects=True)
    assert layer.content == image.data[image.layers[0].digest]


def test_unknown():
    with pytest.raises(ValueError, match=r"profile='no-haed': there are no-head, "):
        Registry(profile="no-haed")


def test_token_profiles_want_tokens():
    with pytest.raises(ValueError, match="profile no-service is about tokens"):
        Registry(BasicAuth("u", "p"), profile="no-service")


def test_token_profiles_keep_the_rest():
    profile = PROFILES["access-token-only"]
    auth = profile.access(TokenAuth("u", "p", service="x"))
    assert auth == replace(TokenAuth("u", "p", service="x"), **profile.tokens)
    assert auth != TokenAuth("u", "p", service="x")


@pytest.mark.parametrize(("name", "status"), [("no-head", 405), ("head-404", 404)])
def test_no_head(ask, name, status):
    _, image, client = ask(name)
    assert client.head(MANIFEST).status_code == status
    assert client.head(layer_of(image)).status_code == 200
    assert client.get(MANIFEST).status_code == 200


def test_no_head_asks_for_a_token_first(ask):
    """As a router behind access control does."""
    _, _, client = ask("no-head", auth=TokenAuth())
    assert client.head(MANIFEST).status_code == 401


def test_no_digest_header(ask):
    _, image, client = ask("no-digest-header")
    for path in (MANIFEST, layer_of(image)):
        found = client.head(path).headers
        assert "Docker-Content-Digest" not in found
        assert "ETag" not in found


@pytest.mark.parametrize(
    ("name", "media_type"),
    [
        ("text-plain-manifests", "text/plain; charset=utf-8"),
        ("octet-stream-manifests", "application/octet-stream"),
        ("no-content-type", None),
    ],
)
def test_media_types_of_manifests(ask, name, media_type):
    _, _, client = ask(name)
    assert client.get(MANIFEST).headers.get("Content-Type") == media_type
    assert client.get("/v2/").headers["Content-Type"] == "application/json"


def test_strict_accept(ask):
    _, image, client = ask("strict-accept")
    assert client.get(MANIFEST, headers={"Accept": "text/html"}).status_code == 404
    types = {"Accept": image.descriptor.media_type}
    assert client.get(MANIFEST, headers=types).status_code == 200


def test_no_content_length(ask):
    _, image, client = ask("no-content-length")
    for method in ("HEAD", "GET"):
        for path in (MANIFEST, layer_of(image)):
            found = client.request(method, path).headers
            assert "Content-Length" not in found
            assert found["Transfer-Encoding"] == "chunked"
    part = client.get(layer_of(image), headers={"Range": "bytes=5-9"})
    assert part.status_code == 206
    assert len(part.content) == 5


def test_http_1_0(ask):
    registry, image, _ = ask("http-1.0")
    registry.fault(path="/manifests/gone", status=404)
    for path in (MANIFEST, layer_of(image), "/v2/library/hello/manifests/gone"):
        connection = http.client.HTTPConnection("127.0.0.1", registry.port)
        connection.request("GET", path)
        with connection.getresponse() as response:
            assert response.version == 10
            assert response.will_close
            response.read()
        connection.close()
    assert {exchange.version for exchange in registry.journal} == {"HTTP/1.0"}


def test_no_ranges(ask):
    _, image, client = ask("no-ranges")
    whole = client.get(layer_of(image), headers={"Range": "bytes=5-9"})
    assert whole.status_code == 200
    assert whole.content == image.data[image.layers[0].digest]
    assert "Accept-Ranges" not in whole.headers


def test_gzip_when_accepted(ask):
    _, image, client = ask("gzip-when-accepted")
    for path, digest in (
        (MANIFEST, image.digest),
        (layer_of(image), image.layers[0].digest),
    ):
        coded = {"Accept-Encoding": "gzip"}
        with client.stream("GET", path, headers=coded) as response:
            raw = b"".join(response.iter_raw())
        assert gzip.decompress(raw) == image.data[digest]
        assert response.headers["ETag"] == f'W/"{digest}"'
        assert "Content-Length" not in response.headers
        assert "Content-Encoding" not in client.get(path).headers


def test_x_gzip_layers(ask):
    """The bytes are those of the layer: only the header is wrong."""
    _, image, client = ask("x-gzip-layers")
    with client.stream("GET", layer_of(image)) as response:
        assert b"".join(response.iter_raw()) == image.data[image.layers[0].digest]
    assert response.headers["Content-Encoding"] == "x-gzip"
    config = client.get(f"/v2/library/hello/blobs/{image.config.digest}")
    assert "Content-Encoding" not in config.headers


def test_html_errors(ask):
    _, _, client = ask("html-errors", auth=TokenAuth("u", "p"))
    refused = client.get(MANIFEST)
    assert refused.status_code == 401
    assert refused.headers["WWW-Authenticate"].startswith("Bearer ")
    assert refused.headers["Content-Type"] == "text/html"
    assert refused.text.startswith("<html>")
    no_token = client.get("/token")
    assert no_token.status_code == 401
    assert no_token.text.startswith("<html>")


def test_signed_redirects(ask):
    registry, image, client = ask("signed-redirects")
    moved = client.get(layer_of(image))
    assert moved.status_code == 307
    assert moved.headers["Location"].startswith(registry.cdn.url)
    url = moved.headers["Location"]
    assert client.get(url).content == image.data[image.layers[0].digest]
    leaked = client.get(url, headers={"Authorization": "Bearer x"})
    assert leaked.status_code == 400
    registry.cdn.expire_urls()
    assert client.get(url).status_code == 403
    assert client.get(layer_of(image), follow_redirects=True).status_code == 200


def test_a_redirect_of_the_test_wins_over_the_profile(ask):
    registry, image, client = ask("signed-redirects")
    registry.redirect(to="http://elsewhere.invalid/", times=1)
    assert client.get(layer_of(image)).headers["Location"] == (
        "http://elsewhere.invalid/"
    )
    assert registry.cdn.url in client.get(layer_of(image)).headers["Location"]


def test_a_fault_wins_over_the_profile(ask):
    registry, _, client = ask("no-head")
    registry.fault(method="HEAD", times=1, status=503)
    assert client.head(MANIFEST).status_code == 503
    assert client.head(MANIFEST).status_code == 405


def test_relative_redirects(ask):
    registry, image, client = ask("relative-redirects")
    moved = client.get(layer_of(image))
    assert moved.status_code == 302
    assert moved.headers["Location"] == f"{layer_of(image)}?alt=media"
    assert client.get(moved.headers["Location"]).status_code == 200
    assert {exchange.server for exchange in registry.journal} == {"registry"}


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("access-token-only", {"access_token", "expires_in", "issued_at"}),
        ("token-field-only", {"token", "issued_at"}),
    ],
)
def test_fields_of_the_token(ask, name, fields):
    _, _, client = ask(name)
    challenge = client.get(MANIFEST).headers["WWW-Authenticate"]
    answer = token_from(client, challenge).json()
    assert set(answer) == fields
    token = {"Authorization": f"Bearer {answer.get('token') or answer['access_token']}"}
    assert client.get(MANIFEST, headers=token).status_code == 200


@pytest.mark.parametrize("service", [{}, {"service": "127.0.0.1"}])
def test_no_service(ask, service):
    """Clients leave it out or make one up: both are fine."""
    _, _, client = ask("no-service")
    challenge = client.get(MANIFEST).headers["WWW-Authenticate"]
    assert "service" not in challenge
    answer = client.get(
        "/token", params={"scope": "repository:library/hello:pull", **service}
    )
    token = {"Authorization": f"Bearer {answer.json()['token']}"}
    assert client.get(MANIFEST, headers=token).status_code == 200


def test_token_post_only(ask):
    _, _, client = ask("token-post-only", auth=TokenAuth("u", "p"))
    form = {
        "grant_type": "password",
        "username": "u",
        "password": "p",
        "service": "fakeregistry",
        "scope": "repository:library/hello:pull",
    }
    assert client.get("/token", params=form, auth=("u", "p")).status_code == 405
    answer = client.post("/token", data=form)
    token = {"Authorization": f"Bearer {answer.json()['access_token']}"}
    assert client.get(MANIFEST, headers=token).status_code == 200


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("token-get-only", 405),
        ("token-post-400", 400),
        ("token-post-401", 401),
        ("token-post-403", 403),
        ("token-post-404", 404),
        ("token-post-500", 500),
    ],
)
def test_token_post_refused(ask, name, status):
    _, _, client = ask(name)
    challenge = client.get(MANIFEST).headers["WWW-Authenticate"]
    form = {"grant_type": "password", "username": "u", "password": "p"}
    refused = client.post("/token", data=form)
    assert refused.status_code == status
    assert json.loads(refused.content)["errors"]
    assert token_from(client, challenge, auth=("u", "p")).status_code == 200
