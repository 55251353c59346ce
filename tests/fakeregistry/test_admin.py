"""The admin API on the wire."""

import errno
import json
import secrets
import ssl
import threading

import httpx
import pytest
from werkzeug.test import Client

from fakeregistry import BasicAuth, Registry, TokenAuth
from fakeregistry.admin import AdminRoutes, is_loopback

CONTEXT = ssl.create_default_context()


@pytest.fixture
def registry():
    with Registry() as made:
        yield made


@pytest.fixture
def admin(registry):
    with client_of(registry.open_admin()) as client:
        yield client


def client_of(admin):
    return httpx.Client(base_url=admin.url, verify=CONTEXT)


def error_of(response):
    document = response.json()
    assert set(document) == {"error"}
    assert document["error"]["status"] == response.status_code
    return document["error"]["message"]


def start(func, *args):
    """Call something in a thread; return what gives its result."""
    results = []
    thread = threading.Thread(target=lambda: results.append(func(*args)))
    thread.start()

    def result():
        thread.join(10)
        return results[0]

    return result


def test_health(registry, admin):
    answer = admin.get("/health")
    assert answer.json() == {"status": "ok", "registry": registry.url}
    assert answer.headers["Content-Type"] == "application/json"


def test_publish_and_journal(registry, admin):
    made = admin.post("/publish", json={"ref": "library/hello:1", "layers": 2})
    assert made.status_code == 201
    image = made.json()
    assert image["ref"] == f"{registry.host}/library/hello:1"
    assert len(image["manifests"][0]["layers"]) == 2
    httpx.get(
        f"{registry.url}/v2/library/hello/manifests/1?token=geheim",
        headers={"Authorization": "Bearer geheim"},
        verify=CONTEXT,
    )
    answer = admin.get("/journal", params={"method": "GET", "status": 200})
    (found,) = answer.json()["exchanges"]
    assert found["path"] == "/v2/library/hello/manifests/1"
    assert found["query"] == "token=[redacted]"
    assert ["Authorization", "Bearer [redacted]"] in found["request_headers"]
    assert found["body_sent"] == image["root"]["size"]
    assert found["outcome"] == "complete"
    assert found["seconds"] >= 0
    assert "geheim" not in answer.text
    assert "geheim" in admin.get("/journal?redact=false").text
    assert admin.get("/journal?path=/blobs/*").json() == {"exchanges": []}
    assert admin.get("/journal?since=1&range=false").json() == {"exchanges": []}
    assert admin.get("/journal?authorized=true&since=0").json()["exchanges"]
    assert admin.delete("/journal").status_code == 204
    assert admin.get("/journal").json() == {"exchanges": []}


def test_publish_schema1(admin):
    body = {"ref": "library/old:1", "format": "schema1", "layers": 2}
    made = admin.post("/publish", json=body)
    assert made.status_code == 201
    assert made.json()["root"]["mediaType"].endswith("v1+prettyjws")


def test_har(registry, admin):
    registry.journal.begin("GET", "/v2/", [("Authorization", "Basic geheim")])
    answer = admin.get("/journal.har")
    assert answer.json()["log"]["version"] == "1.2"
    assert "geheim" not in answer.text
    assert "geheim" in admin.get("/journal.har?redact=false").text


def test_wait_for_the_journal(registry, admin):
    waiting = start(admin.get, "/journal?count=1&path=/v2/&timeout=10")
    httpx.get(f"{registry.url}/v2/", verify=CONTEXT)
    assert len(waiting().json()["exchanges"]) == 1
    late = admin.get("/journal?count=9&timeout=0")
    assert late.status_code == 504
    assert error_of(late).startswith("1 of 9 requests")


def test_faults(registry, admin):
    options = {"path": "/v2/", "times": 1, "status": 503, "body": "no"}
    made = admin.post("/faults", json=options)
    assert made.status_code == 201
    assert made.json() == {
        "id": 1,
        "rule": {"path": "/v2/"},
        "actions": ["body", "status"],
        "times": 1,
        "fired": 0,
        "exchanges": [],
    }
    assert httpx.get(f"{registry.url}/v2/", verify=CONTEXT).text == "no"
    assert admin.get("/faults/1").json()["exchanges"] == [0]
    assert admin.post("/faults", json={"status": 500}).json()["id"] == 2
    assert [found["id"] for found in admin.get("/faults").json()["faults"]] == [1, 2]
    assert admin.delete("/faults/2").status_code == 204
    assert httpx.get(f"{registry.url}/v2/", verify=CONTEXT).status_code == 200
    assert error_of(admin.get("/faults/2")) == "no fault 2 is in force"
    assert admin.delete("/faults").status_code == 204
    assert admin.get("/faults").json() == {"faults": []}


def test_release_a_stall(registry, admin):
    admin.post("/faults", json={"path": "/v2/", "stall": True})
    asking = start(lambda: httpx.get(f"{registry.url}/v2/", verify=CONTEXT))
    admin.get("/journal?count=1")
    assert admin.post("/faults/1/release").json()["fired"] == 1
    assert asking().text == "{}"


def test_gates(registry, admin):
    """Another language counts and lets go, without a sleep."""
    made = admin.post("/gates", json={"path": "/v2/", "method": "GET"})
    assert made.status_code == 201
    assert made.json()["rule"] == {"method": "GET", "path": "/v2/"}
    asking = [
        start(lambda: httpx.get(f"{registry.url}/v2/", verify=CONTEXT))
        for _ in range(3)
    ]
    held = admin.get("/gates/1?held=3&timeout=10").json()
    assert (held["held"], held["arrived"], held["open"]) == (3, 3, False)
    assert held["exchanges"] == [0, 1, 2]
    assert admin.get("/gates/1").json() == held
    assert admin.post("/gates/1/release").json()["held"] == 2
    assert admin.post("/gates/1/release", json={"count": 1}).json()["held"] == 1
    assert admin.post("/gates/1/open").json()["open"] is True
    assert [result().status_code for result in asking] == [200] * 3
    assert [gate["id"] for gate in admin.get("/gates").json()["gates"]] == [1]


def test_a_gate_that_nobody_comes_to(admin):
    admin.post("/gates", json={"path": "/v2/"})
    late = admin.get("/gates/1?held=1&timeout=0")
    assert late.status_code == 504
    assert "\n" not in error_of(late)
    assert error_of(admin.get("/gates/2")) == "there is no gate 2"


def test_tags_and_subjects(registry, admin):
    image = registry.publish("library/hello:1")
    body = {"repository": "library/hello", "tag": "2", "digest": image.digest}
    assert admin.post("/tags", json=body).status_code == 204
    options = {"ref": "library/hello:sig", "subject": "library/hello:2", "layers": 0}
    signature = admin.post("/publish", json=options).json()
    manifest = registry.store.repository("library/hello").manifest("sig")
    assert json.loads(bytes(manifest.data))["subject"]["digest"] == image.digest
    assert signature["root"]["digest"] == manifest.digest


def test_expiry():
    with Registry(TokenAuth()) as registry, client_of(registry.open_admin()) as admin:
        token = httpx.get(f"{registry.url}/token", verify=CONTEXT).json()["token"]
        headers = {"Authorization": f"Bearer {token}"}
        url = registry.cdn.signed_url("library/hello", "sha256:00")
        with httpx.Client(verify=CONTEXT) as client:
            assert client.get(f"{registry.url}/v2/", headers=headers).status_code == 200
            assert admin.post("/tokens/expire").status_code == 204
            assert client.get(f"{registry.url}/v2/", headers=headers).status_code == 401
            assert client.get(url).status_code == 404
            assert admin.post("/cdn/expire").status_code == 204
            assert client.get(url).status_code == 403


@pytest.mark.parametrize(
    ("asked", "body", "status", "message"),
    [
        ("GET /nothing", "", 404, "was not found"),
        ("PUT /faults", "", 405, "not allowed"),
        ("POST /faults", "{", 400, "the body is not JSON"),
        ("POST /faults", "[1]", 400, "body: a table is needed, not a list"),
        ("POST /faults", "", 400, "no action: a fault has to do something"),
        ("POST /faults", '{"timse": 1}', 400, "timse: unknown key; is it times?"),
        ("POST /faults", '{"status": 99}', 400, "status=99: three digits"),
        (
            "POST /gates",
            '{"when": 1}',
            400,
            "when: unknown key; there are authorized",
        ),
        ("POST /publish", "{}", 400, "ref: it is missing"),
        ("POST /publish", '{"ref": "A"}', 400, "'A' is no repository name"),
        (
            "POST /publish",
            '{"ref": "a", "subject": "b:1"}',
            400,
            "subject: there is no image 'b:1'",
        ),
        ("POST /tags", '{"repository": "a"}', 400, "tag: it is missing"),
        ("POST /tokens/expire", "", 400, "the registry issues no tokens"),
        ("GET /journal?x=1", "", 400, "x: unknown parameter"),
        ("GET /journal?status=x", "", 400, "status: a whole number is needed"),
        ("GET /journal?redact=1", "", 400, "redact: true or false is needed"),
        ("GET /journal?timeout=61", "", 400, "timeout: seconds are needed, at most"),
        ("GET /journal?timeout=nan", "", 400, "timeout: seconds are needed"),
        ("GET /journal?timeout=x", "", 400, "timeout: seconds are needed"),
        ("GET /journal?server=x", "", 400, "server='x': 'registry' or 'cdn'"),
        ("GET /gates/x", "", 404, "was not found"),
    ],
)
def test_errors(admin, asked, body, status, message):
    method, path = asked.split(" ")
    answer = admin.request(method, path, content=body)
    assert answer.status_code == status
    assert message in error_of(answer)


def test_allow(admin):
    assert set(admin.put("/faults").headers["Allow"].split(", ")) == {
        "GET",
        "HEAD",
        "POST",
        "DELETE",
    }


def test_a_full_disk(registry, admin, monkeypatch):
    def fail(*args, **options):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(registry, "publish", fail)
    answer = admin.post("/publish", json={"ref": "library/hello:1"})
    assert answer.status_code == 500
    assert error_of(answer) == "storage: No space left on device"


def test_errors_hold_no_secrets(admin):
    wrong = admin.post("/faults", json={"status": 1, "headers": {"A": "geheim"}})
    assert "geheim" not in wrong.text


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Host": "localhost"}, 200),
        ({"Host": "[::1]:80"}, 200),
        ({"Origin": "http://127.0.0.1"}, 403),
        ({"Host": "rebound.example"}, 403),
        ({"Host": "["}, 403),
    ],
)
def test_web_pages_are_kept_out(admin, headers, status):
    """Of a rebound name, or by a form: neither reaches the API."""
    answer = admin.get("/health", headers=headers)
    assert answer.status_code == status


def test_token(registry):
    secret = secrets.token_hex(8)
    with client_of(registry.open_admin(token=secret)) as client:
        refused = client.get("/health")
        assert refused.status_code == 401
        assert refused.headers["WWW-Authenticate"].startswith("Bearer ")
        for wrong in ("Bearer falsch", f"Basic {secret}", "Bearer"):
            headers = {"Authorization": wrong}
            assert client.get("/health", headers=headers).status_code == 401
        right = {"Authorization": f"bearer {secret}", "Host": "anywhere.example"}
        assert client.get("/health", headers=right).status_code == 200


def test_a_token_is_made_where_other_machines_reach_it(registry):
    """Nothing is sent to 0.0.0.0: the port is asked on the loopback interface."""
    admin = registry.open_admin(host="0.0.0.0")  # noqa: S104 - see above
    url = f"http://127.0.0.1:{admin.port}/health"
    assert admin.token is not None
    assert len(admin.token) > 30
    assert admin.token not in repr(admin)
    assert httpx.get(url, verify=CONTEXT).status_code == 401
    headers = {"Authorization": f"Bearer {admin.token}"}
    assert httpx.get(url, headers=headers, verify=CONTEXT).status_code == 200


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("localhost", True),
        ("a.localhost.", True),
        ("0.0.0.0", False),  # noqa: S104 - nothing listens
        ("::", False),
        ("localhost.example", False),
        ("", False),
    ],
)
def test_is_loopback(host, expected):
    assert is_loopback(host) is expected


def test_one_a_registry(registry):
    registry.open_admin()
    with pytest.raises(ValueError, match="one admin API runs"):
        registry.open_admin()
    stopped = Registry()
    with pytest.raises(ValueError, match="one admin API runs"):
        stopped.open_admin()


def test_stopping_does_not_wait_for_those_who_wait(registry, monkeypatch):
    """Long polls of the journal and of a gate end with the registry."""
    admin = registry.open_admin()
    gate = registry.gate("/v2/")
    waiting = threading.Semaphore(0)

    def tell(wait_for):
        def wait(*args, **options):
            waiting.release()
            return wait_for(*args, **options)

        return wait

    def ask(path):
        with client_of(admin) as client, pytest.raises(httpx.HTTPError):
            client.get(path).raise_for_status()

    monkeypatch.setattr(registry.journal, "wait_for", tell(registry.journal.wait_for))
    monkeypatch.setattr(gate, "wait_for", tell(gate.wait_for))
    results = [
        start(ask, "/journal?count=5&timeout=60"),
        start(ask, "/gates/1?held=5&timeout=60"),
    ]
    assert all(waiting.acquire(timeout=10) for _ in results)
    registry.stop()
    assert [result() for result in results] == [None, None]


def test_as_a_wsgi_application():
    """Any WSGI server, or the test client of werkzeug, can carry it."""
    with Registry(BasicAuth("u", "p")) as registry:
        client = Client(AdminRoutes(registry))
        assert client.get("/health").get_json()["status"] == "ok"
