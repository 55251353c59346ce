"""The journal as HAR 1.2 (http://www.softwareishard.com/blog/har-12-spec/)."""

import base64
import json
from datetime import datetime
from importlib import metadata
from importlib.metadata import PackageNotFoundError
from urllib.parse import urlsplit

import httpx
import pytest

from fakeregistry import Registry, TokenAuth
from fakeregistry.journal import Journal

# Every field that the format does not call optional.
REQUIRED = {
    "entry": {"startedDateTime", "time", "request", "response", "cache", "timings"},
    "request": {
        "method",
        "url",
        "httpVersion",
        "cookies",
        "headers",
        "queryString",
        "headersSize",
        "bodySize",
    },
    "response": {
        "status",
        "statusText",
        "httpVersion",
        "cookies",
        "headers",
        "content",
        "redirectURL",
        "headersSize",
        "bodySize",
    },
    "timings": {"send", "wait", "receive"},
    "content": {"size", "mimeType"},
}


def check_entry(entry):
    assert entry.keys() >= REQUIRED["entry"]
    for name in ("request", "response", "timings"):
        assert entry[name].keys() >= REQUIRED[name]
    assert entry["response"]["content"].keys() >= REQUIRED["content"]
    assert datetime.fromisoformat(entry["startedDateTime"]).tzinfo is not None
    timings = entry["timings"].values()
    assert entry["time"] == pytest.approx(sum(part for part in timings if part > 0))
    for side in ("request", "response"):
        for pair in entry[side]["headers"]:
            assert set(pair) == {"name", "value"}
    assert urlsplit(entry["request"]["url"]).scheme in {"http", "https"}


def entry_of(journal, **options):
    (entry,) = journal.to_har(**options)["log"]["entries"]
    check_entry(entry)
    return entry


def test_a_pull(tmp_path):
    """Sizes are those of the wire."""
    with Registry() as registry:
        image = registry.publish("library/hello:1")
        registry.fault(path="/blobs/*", nth=1, truncate=7)
        blob = f"{registry.url}/v2/library/hello/blobs/{image.layers[0].digest}"
        with httpx.Client() as client:
            found = client.get(f"{registry.url}/v2/library/hello/manifests/1?a=b%20c")
            with pytest.raises(httpx.RemoteProtocolError):
                client.get(blob)
        registry.journal.save_har(tmp_path / "pull.har")
        log = json.loads((tmp_path / "pull.har").read_text())["log"]
    assert log["version"] == "1.2"
    assert log["creator"]["name"] == "fakeregistry"
    assert log["creator"]["version"]
    first, second = log["entries"]
    check_entry(first)
    assert first["request"]["url"] == str(found.url)
    assert first["request"]["queryString"] == [{"name": "a", "value": "b c"}]
    assert first["response"]["status"] == 200
    assert first["response"]["statusText"] == "OK"
    assert first["response"]["content"]["mimeType"] == image.descriptor.media_type
    assert first["response"]["bodySize"] == image.descriptor.size
    head = b"HTTP/1.1 200 OK\r\n%b\r\n" % b"".join(
        b"%b: %b\r\n" % pair for pair in found.headers.raw
    )
    assert first["response"]["headersSize"] == len(head)
    check_entry(second)
    assert second["_outcome"] == "truncated"
    assert second["_faults"] == [1]
    assert second["response"]["bodySize"] == 7


def test_secrets():
    """Nothing of a login is in the file, and all of it with redact=False."""
    with Registry(TokenAuth("u", "geheim"), profile="signed-redirects") as registry:
        image = registry.publish("library/hello:1")
        scope = "repository:library/hello:pull"
        form = {
            "grant_type": "password",
            "username": "u",
            "password": "geheim",
            "access_type": "offline",
            "service": "fakeregistry",
            "scope": scope,
        }
        with httpx.Client(base_url=registry.url) as client:
            answer = client.post("/token", data=form).json()
            query = {"scope": scope, "service": "fakeregistry"}
            client.get("/token", params=query, auth=("u", "geheim"))
            client.get(
                f"/v2/library/hello/blobs/{image.layers[0].digest}",
                headers={"Authorization": f"Bearer {answer['token']}"},
                follow_redirects=True,
            )
    text = json.dumps(registry.journal.to_har())
    entries = registry.journal.to_har()["log"]["entries"]
    for entry in entries:
        check_entry(entry)
    location = registry.journal[2].response_headers.get("Location")
    signature = location.rpartition("=")[2]
    secrets = ("geheim", base64.b64encode(b"u:geheim").decode(), answer["token"])
    for secret in (*secrets, answer["refresh_token"], signature):
        assert secret not in text
    posted = entries[0]["request"]["postData"]
    assert posted["mimeType"] == "application/x-www-form-urlencoded"
    assert {"name": "username", "value": "u"} in posted["params"]
    assert {"name": "password", "value": "[redacted]"} in posted["params"]
    assert [entry["_server"] for entry in entries] == ["registry"] * 3 + ["cdn"]
    shown = json.dumps(registry.journal.to_har(redact=False))
    for secret in (*secrets, signature):
        assert secret in shown


def test_tls_is_in_the_url():
    with Registry(tls=True, cdn_tls=False) as registry:
        registry.journal.begin("GET", "/v2/", [("Host", "r.test:1")])
        registry.journal.begin("GET", "/x", [("Host", "c.test")], server="cdn")
    entries = registry.journal.to_har()["log"]["entries"]
    urls = [entry["request"]["url"] for entry in entries]
    assert urls == ["https://r.test:1/v2/", "http://c.test/x"]


@pytest.mark.parametrize(
    ("media_type", "body", "shown", "bare"),
    [
        ("application/json", b'{"a":1}', {"text": '{"a":1}'}, {"text": '{"a":1}'}),
        (
            "application/json",
            b'{"password":"x"}',
            {"text": '{"password": "[redacted]"}'},
            {"text": '{"password":"x"}'},
        ),
        (
            "application/octet-stream",
            b"\xff\xfe",
            {
                "text": "",
                "comment": "left out: it is no form and no JSON, and may hold secrets",
            },
            {"text": "//4=", "_encoding": "base64"},
        ),
        (
            "application/x-www-form-urlencoded; charset=utf-8",
            b"token=x&a=",
            {
                "params": [
                    {"name": "token", "value": "[redacted]"},
                    {"name": "a", "value": ""},
                ]
            },
            {"params": [{"name": "token", "value": "x"}, {"name": "a", "value": ""}]},
        ),
    ],
)
def test_bodies(media_type, body, shown, bare):
    journal = Journal()
    journal.begin("POST", "/x", [("Content-Type", media_type)], body=body)
    for redact, expected in ((True, shown), (False, bare)):
        request = entry_of(journal, redact=redact)["request"]
        assert request["postData"] == {"mimeType": media_type, **expected}
        assert request["bodySize"] == len(body)


def test_a_long_body_says_so():
    journal = Journal()
    exchange = journal.begin("PUT", "/x", [], body=b"[1]")
    exchange.body.keep(1)
    post = entry_of(journal, redact=False)["request"]["postData"]
    assert post == {
        "mimeType": "",
        "comment": "the first 1 of 3 bytes",
        "text": "[",
    }


def test_cookies():
    journal = Journal()
    exchange = journal.begin("GET", "/x", [("Cookie", "session=geheim")])
    exchange.replied(302, [("Set-Cookie", "s=geheim; Path=/"), ("Location", "/y")])
    exchange.finish("complete")
    entry = entry_of(journal)
    assert "geheim" not in json.dumps(entry)
    assert entry["request"]["cookies"] == [{"name": "session", "value": "[redacted]"}]
    assert entry["response"]["redirectURL"] == "/y"
    bare = entry_of(journal, redact=False)
    assert bare["response"]["cookies"] == [{"name": "s", "value": "geheim"}]


def test_without_an_installed_distribution(monkeypatch):
    """The package works from a folder, too."""

    def fail(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", fail)
    assert Journal().to_har()["log"]["creator"]["version"] == "0"


def test_in_flight():
    """No response yet: the zeros and -1 of the format."""
    journal = Journal()
    journal.begin("GET", "http://u:geheim@host.test/x?y", [])
    entry = entry_of(journal)
    assert entry["request"]["url"] == "http://localhost/x?y"
    assert entry["response"]["status"] == 0
    assert entry["response"]["headersSize"] == -1
    assert entry["_outcome"] is None
