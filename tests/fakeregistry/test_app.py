"""The way of a request, access control, and the facade."""

import threading

import httpx
import pytest

import fakeregistry
from fakeregistry import BasicAuth, Registry, TokenAuth
from fakeregistry.auth import basic_credentials
from fakeregistry.errors import MESSAGES, RegistryError


@pytest.fixture
def http():
    with httpx.Client(trust_env=False) as client:
        yield client


def test_version_check(http):
    """distribution-spec v1.1.1, Determining support: end-1."""
    with Registry() as registry:
        for path in ("/v2/", "/v2"):
            answer = http.get(registry.url + path)
            assert (answer.status_code, answer.json()) == (200, {})
            version = answer.headers["Docker-Distribution-Api-Version"]
            assert version == "registry/2.0"
            assert answer.headers["Date"].endswith("GMT")
        assert http.post(f"{registry.url}/v2/").status_code == 405


def test_basic(http):
    """RFC 7617; 403 where even the right user may not."""
    auth = BasicAuth("user", "pässword:x", forbidden=["secret/*"])
    with Registry(auth) as registry:
        for name in ("open/a", "secret/a"):
            registry.put_blob(name, b"blob", digest="sha256:1")
        opened = f"{registry.url}/v2/open/a/blobs/sha256:1"
        refused = http.get(opened)
        assert refused.status_code == 401
        assert refused.headers["WWW-Authenticate"] == 'Basic realm="fakeregistry"'
        assert refused.json()["errors"][0]["code"] == "UNAUTHORIZED"
        assert http.get(opened, auth=("user", "wrong")).status_code == 401
        assert http.get(opened, auth=("user", "pässword:x")).content == b"blob"
        secret = opened.replace("open", "secret")
        denied = http.get(secret, auth=("user", "pässword:x"))
        assert denied.status_code == 403
        assert denied.json()["errors"][0]["code"] == "DENIED"


def test_access_is_checked_before_existence(http):
    """Who may not look does not learn what is there."""
    with Registry(BasicAuth("u", "p")) as registry:
        answer = http.get(f"{registry.url}/v2/not/here/manifests/x")
        assert answer.status_code == 401


@pytest.mark.parametrize(
    "header", ["", "Basic", "Basic !", "Basic dXNlcg==", "Basic /w==", "Bearer dTpw"]
)
def test_what_is_no_basic_header(header):
    assert basic_credentials(header) is None


def test_order_of_journal_gate_and_fault(http):
    """A request is recorded, then held, then broken."""
    with Registry() as registry:
        fault = registry.fault(path="/v2/", status=500)
        with registry.gate("/v2/") as gate:
            thread = threading.Thread(target=http.get, args=(f"{registry.url}/v2/",))
            thread.start()
            gate.wait_for(1)
            assert len(registry.journal) == 1
            assert fault.fired == 0
        thread.join()
        assert fault.fired == 1
        assert registry.unfired() == ()


def test_faults_break_refusals_too(http):
    with Registry() as registry:
        registry.fault(headers={"X-Odd": "1"})
        answer = http.get(f"{registry.url}/v2/a/manifests/b")
        assert (answer.status_code, answer.headers["X-Odd"]) == (404, "1")


def test_life():
    registry = Registry()
    with pytest.raises(ValueError, match="not started"):
        _ = registry.url
    with pytest.raises(ValueError, match="CDN"):
        _ = registry.cdn
    assert "not started" in repr(registry)
    with registry:
        assert registry.url in repr(registry)
        with pytest.raises(ValueError, match="starts once"):
            registry.start()
    registry.stop()
    assert "stopped" in repr(registry)
    with pytest.raises(ValueError, match="starts once"):
        registry.start()
    with pytest.raises(ValueError, match="stopped"):
        registry.gate("/v2/")
    unused = Registry()
    unused.stop()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"auth": "user"}, "auth is None"),
        ({"port": 70_000}, "port="),
        ({"port": -1}, "port="),
        ({"host": "http://x"}, "host="),
        ({"host": ""}, "host="),
        ({"host": "no.such.host.invalid"}, "host="),
    ],
)
def test_arguments_are_checked(options, message):
    with pytest.raises(ValueError, match=message):
        Registry(**options)


def test_credentials_are_checked():
    for username, password in [("", "p"), ("a:b", "p"), ("a", "\0")]:
        with pytest.raises(ValueError, match=r"credentials|username"):
            BasicAuth(username, password)
    assert "geheim" not in repr(BasicAuth("u", "geheim"))


def test_errors_are_those_of_the_specification():
    """distribution-spec v1.1.1, Error codes: code-1 to code-14."""
    assert len(MESSAGES) == 14
    with pytest.raises(ValueError, match="no error code"):
        RegistryError("MADE_UP", 400)
    error = RegistryError("DENIED", 403, detail=[1], message="no")
    expected = b'{"errors":[{"code":"DENIED","message":"no","detail":[1]}]}\n'
    assert error.body() == expected


def test_exported_members():
    """The names are imported when they are first used."""
    assert fakeregistry.__all__ == sorted(fakeregistry.__all__)
    assert set(fakeregistry.__all__) == set(fakeregistry._HOMES)
    for name in fakeregistry.__all__:
        assert getattr(fakeregistry, name).__name__ == name
        assert name in dir(fakeregistry)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = fakeregistry.nothing


def test_two_registries_do_not_know_each_other(http):
    with Registry() as one, Registry(TokenAuth()) as two:
        one.put_blob("a", b"one", digest="sha256:1")
        assert http.get(f"{one.url}/v2/a/blobs/sha256:1").content == b"one"
        assert http.get(f"{two.url}/v2/a/blobs/sha256:1").status_code == 401
        assert (len(one.journal), len(two.journal)) == (1, 1)
