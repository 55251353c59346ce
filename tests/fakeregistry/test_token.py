"""Tokens: Docker Registry v2 authentication, RFC 6749, RFC 7519."""

import base64
import json
import re

import httpx
import pytest

from fakeregistry import Registry, TokenAuth
from fakeregistry.auth import Scope
from fakeregistry.token import TokenAccess

USER = ("user", "geheim")


@pytest.fixture
def http():
    with httpx.Client(trust_env=False) as client:
        yield client


@pytest.fixture
def start(registry_factory, http):
    """Start a registry with an image; return it, and a function that asks it."""

    def begin(**options):
        registry = registry_factory(TokenAuth(**options))
        image = registry.publish("library/hello:1")

        def ask(token=None, path=None):
            headers = {"Authorization": f"Bearer {token}"} if token else {}
            path = path or f"/v2/{image.repository}/manifests/1"
            return http.get(registry.url + path, headers=headers)

        return registry, ask

    return begin


@pytest.fixture
def registry_factory():
    registries = []

    def make(*args, **options):
        registries.append(Registry(*args, **options).start())
        return registries[-1]

    yield make
    for registry in registries:
        registry.stop()


def challenge(answer):
    """Return the parameters of a Bearer challenge, in order."""
    header = answer.headers["WWW-Authenticate"]
    assert header.startswith("Bearer ")
    return dict(re.findall(r'(\w+)="([^"]*)"', header))


def fetch(http, asked, **options):
    """Ask the realm of a challenge for a token."""
    params = {key: asked[key] for key in ("service", "scope") if key in asked}
    return http.get(asked["realm"], params=params, **options)


def test_the_whole_dance(start, http):
    """401, token, 200: as the specification of the scheme tells it."""
    registry, ask = start()
    answer = ask()
    assert answer.status_code == 401
    assert answer.json()["errors"][0]["code"] == "UNAUTHORIZED"
    asked = challenge(answer)
    assert asked == {
        "realm": f"{registry.url}/token",
        "service": "fakeregistry",
        "scope": "repository:library/hello:pull",
    }
    document = fetch(http, asked).json()
    assert document["token"] == document["access_token"]
    assert document["expires_in"] == 300
    assert document["issued_at"].endswith("Z")
    assert "refresh_token" not in document
    assert ask(document["token"]).status_code == 200
    assert ask(document["token"], "/v2/").status_code == 200


def test_the_token_is_a_jwt(start, http):
    """RFC 7519 claims; the access entries of the token specification."""
    _, ask = start()
    token = fetch(http, challenge(ask())).json()["token"]
    parts = [part + "=" * (-len(part) % 4) for part in token.split(".")]
    header, claims = (json.loads(base64.urlsafe_b64decode(p)) for p in parts[:2])
    assert header == {"typ": "JWT", "alg": "ES256"}
    assert claims["aud"] == "fakeregistry"
    assert claims["exp"] == claims["iat"] + 300
    assert claims["access"] == [
        {"type": "repository", "name": "library/hello", "actions": ["pull"]}
    ]
    assert len(base64.urlsafe_b64decode(parts[2])) == 64


def test_the_version_check_asks_for_no_scope(start):
    _, ask = start()
    assert "scope" not in challenge(ask(path="/v2/"))


def test_a_token_of_another_repository(start, http):
    """RFC 6750 section 3.1: insufficient_scope."""
    _, ask = start()
    asked = challenge(ask())
    token = fetch(http, {**asked, "scope": "repository:other:pull"}).json()["token"]
    answer = ask(token)
    assert answer.status_code == 401
    assert challenge(answer)["error"] == "insufficient_scope"
    pushes = {**asked, "scope": "repository:library/hello:push"}
    assert ask(fetch(http, pushes).json()["token"]).status_code == 401


def test_several_scopes(start, http):
    """Repeated parameters, and scopes joined by spaces."""
    _, ask = start()
    asked = challenge(ask())
    both = f"repository:a:pull {asked['scope']}"
    assert ask(fetch(http, {**asked, "scope": both}).json()["token"]).status_code == 200
    params = [("scope", "registry:catalog:*"), ("scope", asked["scope"])]
    token = http.get(asked["realm"], params=params).json()["token"]
    assert ask(token).status_code == 200


def test_tokens_that_are_none(start, http):
    registry, ask = start()
    asked = challenge(ask())
    good = fetch(http, asked).json()["token"]
    foreign_service = fetch(http, {**asked, "service": "other"}).json()["token"]
    head, claims, signature = good.split(".")
    swapped = claims[:-1] + ("A" if claims[-1] != "A" else "B")
    for token in (
        "x",
        "a.b.c",
        "...",
        f"{head}.{claims}.",
        f"{head}.{swapped}.{signature}",
        f"{head}.{claims}.{'A' * 86}",
        foreign_service,
    ):
        answer = ask(token)
        assert answer.status_code == 401
        assert challenge(answer)["error"] == "invalid_token"
    registry.expire_tokens()
    assert challenge(ask(good))["error"] == "invalid_token"
    assert ask(fetch(http, asked).json()["token"]).status_code == 200


def test_another_scheme_is_no_token(start, http):
    registry, _ = start(username=USER[0], password=USER[1])
    answer = http.get(f"{registry.url}/v2/", auth=USER)
    assert "error" not in challenge(answer)


def test_a_user_is_asked_for(start, http):
    registry, ask = start(username=USER[0], password=USER[1])
    asked = challenge(ask())
    for options in ({}, {"auth": ("user", "wrong")}, {"auth": ("wrong", "geheim")}):
        refused = fetch(http, asked, **options)
        assert refused.status_code == 401
        assert refused.headers["WWW-Authenticate"].startswith("Basic realm=")
    odd = {"headers": {"Authorization": "Basic !!!"}}
    assert fetch(http, asked, **odd).status_code == 401
    granted = fetch(http, asked, auth=USER)
    assert ask(granted.json()["token"]).status_code == 200
    assert "geheim" not in repr(registry.journal)


def test_anybody_may_name_themselves_where_nobody_is_asked(start, http):
    _, ask = start()
    token = fetch(http, challenge(ask()), auth=("who", "ever")).json()["token"]
    assert ask(token).status_code == 200


def test_oauth_post(start, http):
    """RFC 6749 sections 4.3 and 6, as registries use them."""
    registry, ask = start(username=USER[0], password=USER[1])
    asked = challenge(ask())
    form = {
        "grant_type": "password",
        "username": USER[0],
        "password": USER[1],
        "service": asked["service"],
        "scope": asked["scope"],
        "access_type": "offline",
        "client_id": "test",
    }
    first = http.post(asked["realm"], data=form).json()
    assert ask(first["access_token"]).status_code == 200
    refresh = {
        "grant_type": "refresh_token",
        "refresh_token": first["refresh_token"],
        "scope": asked["scope"],
    }
    second = http.post(asked["realm"], data=refresh).json()
    assert second["refresh_token"] == first["refresh_token"]
    assert ask(second["access_token"]).status_code == 200
    for changes, status in [
        ({"password": "wrong"}, 401),
        ({"grant_type": "refresh_token", "refresh_token": "made-up"}, 401),
        ({"grant_type": "magic"}, 400),
    ]:
        assert http.post(asked["realm"], data={**form, **changes}).status_code == status
    del form["access_type"]
    assert "refresh_token" not in http.post(asked["realm"], data=form).json()
    assert http.put(asked["realm"]).status_code == 405
    assert registry.journal[1].request_body.startswith(b"grant_type=password")


def test_offline_token_of_get(start, http):
    _, ask = start()
    asked = challenge(ask())
    url = f"{asked['realm']}?offline_token=true&scope={asked['scope']}"
    assert http.get(url).json()["refresh_token"]


@pytest.mark.parametrize("status", [404, 405])
def test_a_realm_without_oauth(start, http, status):
    """Many token servers answer GET only; clients fall back."""
    _, ask = start(oauth_post=status)
    asked = challenge(ask())
    assert http.post(asked["realm"], data={}).status_code == status
    assert fetch(http, asked).status_code == 200


@pytest.mark.parametrize("name", ["token", "access_token"])
def test_one_name_of_the_token(start, http, name):
    _, ask = start(token_field=name)
    document = fetch(http, challenge(ask())).json()
    assert {"token", "access_token"} & document.keys() == {name}
    assert ask(document[name]).status_code == 200


def test_what_the_challenge_says_can_be_changed(start):
    _, ask = start(realm="https://example.test/t", scope="a:b:c", service="s")
    assert challenge(ask()) == {
        "realm": "https://example.test/t",
        "service": "s",
        "scope": "a:b:c",
    }
    _, ask = start(scope="")
    assert "scope" not in challenge(ask())


def test_forbidden_repositories_are_not_granted(start, http):
    registry, ask = start(forbidden=["library/*"])
    registry.publish("open/it:1")
    token = fetch(http, challenge(ask())).json()["token"]
    assert challenge(ask(token))["error"] == "insufficient_scope"
    path = "/v2/open/it/manifests/1"
    token = fetch(http, challenge(ask(path=path))).json()["token"]
    assert ask(token, path).status_code == 200


@pytest.mark.parametrize(("expires_in", "life"), [(5, 5), (None, 60)])
def test_tokens_end(expires_in, life):
    """A clock of the test's own: the token holds until its second."""
    from fakeregistry.errors import RegistryError  # noqa: PLC0415 - only here
    from fakeregistry.journal import Exchange, HeaderList  # noqa: PLC0415 - only here

    now = [1000.0]
    auth = TokenAuth(expires_in=expires_in)
    access = TokenAccess(auth, realm=lambda: "", clock=lambda: now[0])
    asking = Exchange("GET", "/token?scope=repository:a:pull", HeaderList())
    body = access.endpoint(asking).body
    assert isinstance(body, bytes)
    document = json.loads(body)
    assert ("expires_in" in document) == (expires_in is not None)
    bearer = HeaderList([("Authorization", f"bearer {document['token']}")])
    pulling = Exchange("GET", "/v2/a/blobs/x", bearer)
    now[0] += life - 1
    access.check(pulling, Scope("repository", "a", ("pull",)))
    now[0] += 1
    with pytest.raises(RegistryError) as caught:
        access.check(pulling, Scope("repository", "a", ("pull",)))
    assert 'error="invalid_token"' in caught.value.headers["WWW-Authenticate"]


@pytest.mark.parametrize(
    "options",
    [
        {"username": "u"},
        {"password": "p"},
        {"username": "a:b", "password": "p"},
        {"username": "", "password": "p"},
        {"username": "a", "password": "\0"},
        {"expires_in": 0},
        {"token_field": "tok"},
        {"oauth_post": 200},
        {"service": 'a"b'},
        {"realm": "a\r\nb"},
        {"forbidden": "library/*"},
    ],
)
def test_mistakes_are_refused(options):
    with pytest.raises(ValueError, match=r"\w"):
        TokenAuth(**options)


def test_no_password_in_a_repr():
    assert "geheim" not in repr(TokenAuth(*USER))
    with Registry() as registry, pytest.raises(ValueError, match="no tokens"):
        registry.expire_tokens()
