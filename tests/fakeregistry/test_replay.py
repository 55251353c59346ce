"""A recorded journal that answers again: the same bytes, in the same order."""

import contextlib
import json
import re
import socket
import ssl
from typing import Any

import httpx
import pytest

from fakeregistry import Registry, TokenAuth
from fakeregistry.__main__ import main
from fakeregistry.replay import HarError, Replay

DATA = bytes(range(256)) * 300
DIGEST = "sha256:" + "1" * 64
BLOB = f"/v2/a/blobs/{DIGEST}"

FAULTS: list[dict[str, Any]] = [
    {},
    {"truncate": 100},
    {"truncate": 0},
    {"flip": 7},
    {"reset": 1000},
    {"reset": True},
    {"cut": True},
    {"cut": 70},
    {"chunked": 4096, "chunk_extension": ";a=b"},
    {"chunked": True},
    {"remove_headers": ["Content-Length"]},
    {"headers": {"Content-Length": "5"}},
    {"headers": {"X-Twice": ["1", "2"], "Transfer-Encoding": "chunked"}},
    {"append": b"more"},
    {"shorten": 3},
    {"encode": "gzip"},
    {"status": 503, "body": b"no", "headers": {"Retry-After": "0"}},
    {"status": 204},
    {"status": 304},
    {"change_status": 599},
    {"raw": b"HTTP/1.1 200 Fine\r\nContent-Length: 9\r\n\r\nabc"},
    {"raw": b"HTTP/1.1 200 Fine\r\nContent-Length: 9\r\n\r\nabc", "cut": 20},
    {"raw": b"\0\r\n\r\n\xff", "reset": 2},
    {"version": "HTTP/1.0"},
    {"interim": (102, 103), "lower_case": True},
    {"close": True},
    {"hang_up": True},
]


def read(port, method="GET", target=BLOB, *, host="x", count=1):
    """Ask ``count`` times on one connection; return the bytes and how it ended."""
    request = f"{method} {target} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()
    seen = b""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as sock:
        sock.sendall(request * count)
        with contextlib.suppress(OSError):
            sock.shutdown(socket.SHUT_WR)
        try:
            while data := sock.recv(1 << 20):
                seen += data
        except ConnectionResetError:
            return seen, "reset"
    return seen, "end"


def record(tmp_path, registry, **options):
    path = tmp_path / "pull.har"
    registry.journal.save_har(path, **options)
    return path


def unrecorded(registry):
    assert registry.replay is not None
    return registry.replay.unrecorded


@pytest.fixture
def recording():
    with Registry(record_bodies=True) as registry:
        registry.put_blob("a", DATA, digest=DIGEST)
        yield registry


@pytest.mark.parametrize("fault", FAULTS, ids=map(str, FAULTS))
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_the_same_bytes_and_the_same_ending(tmp_path, recording, fault, method):
    """Twice on one connection, if that lasts; then what there was without a fault."""
    if fault:
        recording.fault(path="/blobs/*", times=2, **fault)
    asked = [2, 2, 1]
    first = [read(recording.port, method, count=count) for count in asked]
    outcomes = [exchange.outcome for exchange in recording.journal]
    with Registry(har=record(tmp_path, recording)) as registry:
        again = [read(registry.port, method, count=count) for count in asked]
        assert [exchange.outcome for exchange in registry.journal] == outcomes
        assert unrecorded(registry) == ()
    assert again == first


def test_what_was_sent_is_what_is_recorded(recording):
    """A client that has its reply finds it in the journal, faults and all."""
    journal = recording.journal
    recording.fault(path="/blobs/*", nth=1, flip=0)
    recording.fault(path="/blobs/*", nth=2, truncate=100)
    recording.fault(path="/blobs/*", nth=3, chunked=1000)
    for _ in range(3):
        read(recording.port)
    found = [journal.response_body(exchange) for exchange in journal]
    assert found == [b"\1" + DATA[1:], DATA[:100], DATA]
    journal.clear()
    assert journal.recorded == {}


def test_nothing_is_recorded_unless_asked_for():
    with Registry() as registry:
        registry.put_blob("a", DATA, digest=DIGEST)
        read(registry.port)
        assert registry.journal.response_body(registry.journal[0]) is None
        assert registry.journal.recorded == {}
        entry = registry.journal.to_har()["log"]["entries"][0]
        assert entry["response"]["content"]["comment"] == "not recorded"


def test_the_order_of_answers_and_the_last_one_again(tmp_path, recording):
    """Each method, target and Range has answers of its own."""
    recording.fault(path="/blobs/*", range=False, nth=1, status=503)
    with httpx.Client(base_url=recording.url) as client:
        client.get(BLOB)
        client.get(BLOB, headers={"Range": "bytes=5-9"})
        client.get(BLOB)
    with (
        Registry(har=record(tmp_path, recording)) as registry,
        httpx.Client(base_url=registry.url) as client,
    ):
        ranged = client.get(BLOB, headers={"Range": "bytes=5-9"})
        assert (ranged.status_code, ranged.content) == (206, DATA[5:10])
        assert [client.get(BLOB).status_code for _ in range(4)] == [503, 200, 200, 200]
        unknown = client.get(BLOB, headers={"Range": "bytes=6-9"})
        assert unknown.status_code == 404
        assert unknown.json()["errors"][0] == {
            "code": "BLOB_UNKNOWN",
            "message": f"not in the recording: GET {BLOB} (bytes=6-9)",
        }
        other = client.get("/v2/a/manifests/other").json()["errors"][0]
        assert other["code"] == "MANIFEST_UNKNOWN"
        client.head(BLOB)
        assert [e.method for e in unrecorded(registry)] == ["GET", "GET", "HEAD"]
        assert [e.status for e in unrecorded(registry)] == [404] * 3


def pull(registry):
    """Log in for a token, then follow a blob to the CDN, as a client does."""
    seen = []
    verify: ssl.SSLContext | bool = False
    if registry.ca_file is not None:
        verify = ssl.create_default_context(cafile=str(registry.ca_file))
    with httpx.Client(base_url=registry.url, verify=verify) as client:
        refusal = client.get("/v2/library/hello/manifests/1")
        challenge = dict(
            re.findall(r'(\w+)="([^"]*)"', refusal.headers["WWW-Authenticate"])
        )
        realm = challenge.pop("realm")
        answer = client.get(realm, params=challenge, auth=("user", "geheim"))
        bearer = {"Authorization": f"Bearer {answer.json()['token']}"}
        manifest = client.get("/v2/library/hello/manifests/1", headers=bearer)
        layer = manifest.json()["layers"][0]["digest"]
        url = f"/v2/library/hello/blobs/{layer}"
        away = client.get(url, headers=bearer)
        blob = client.get(away.headers["Location"])
        for response in (refusal, answer, manifest, away, blob):
            seen.append((response.status_code, len(response.content)))
    return seen, manifest.content, blob.content, realm, away.headers["Location"]


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("redact", [False, True])
def test_a_token_and_a_cdn(tmp_path, redact, tls):
    """URLs of the recorded servers lead to the one that replays them, http or https."""
    auth = TokenAuth("user", "geheim")
    with Registry(auth, cdn_host="localhost", record_bodies=True) as recording:
        recording.publish("library/hello:1", seed=1)
        recording.redirect()
        *first, _, _ = pull(recording)
        path = record(tmp_path, recording, redact=redact)
    with Registry(har=path, tls=tls) as registry:
        *again, realm, location = pull(registry)
        assert again == first
        assert realm == f"{registry.url}/token"
        assert location.startswith(f"{registry.url}/v2/")
        assert registry.replay is not None
        assert registry.replay.references("r") == ("r/library/hello:1",)


def test_secrets_of_answers_are_written_over(tmp_path):
    auth = TokenAuth("user", "geheim")
    with Registry(auth, record_bodies=True) as registry:
        registry.publish("library/hello:1")
        scope = {"scope": "repository:library/hello:pull", "service": "fakeregistry"}
        registry.fault(path="/token", nth=2, truncate=60)
        registry.fault(path="/token", nth=3, encode="gzip")
        form = {
            **scope,
            "grant_type": "password",
            "username": "user",
            "password": "geheim",
            "access_type": "offline",
        }
        with httpx.Client(base_url=registry.url) as client:
            answer = client.post("/token", data=form).json()
            with pytest.raises(httpx.RemoteProtocolError):
                client.post("/token", data=form)
            client.post("/token", data=form)
        cut = registry.journal.response_body(registry.journal[1])
        hidden = registry.journal.to_har()["log"]["entries"]
        shown = json.dumps(registry.journal.to_har(redact=False))
    assert answer["refresh_token"] in shown
    assert answer["access_token"] in shown
    texts = [entry["response"]["content"]["text"] for entry in hidden]
    for entry, text in zip(hidden, texts, strict=True):
        assert len(text) == entry["response"]["bodySize"]
    masked = json.loads(texts[0])
    for name in ("token", "access_token", "refresh_token"):
        if name in answer:
            assert masked[name] == "[redacted]".ljust(len(answer[name]), "*")
    assert masked.keys() == answer.keys()
    assert masked["expires_in"] == answer["expires_in"]
    assert cut is not None
    assert len(cut) == 60
    assert re.fullmatch(r'\{"\w*token": ?"\[redacted\]\**', texts[1])
    assert set(texts[2]) == {"*"}


def test_content_is_never_changed(tmp_path):
    """What looks like a secret there is what a digest was made of."""
    data = b'{"token":"abc"}'
    with Registry(record_bodies=True) as registry:
        registry.put_blob("a", data, digest=DIGEST)
        registry.put_manifest("a", data, media_type="application/json", tag="1")
        for target in (BLOB, "/v2/a/manifests/1"):
            read(registry.port, target=target)
        entries = registry.journal.to_har()["log"]["entries"]
    texts = [entry["response"]["content"]["text"] for entry in entries]
    assert texts == [data.decode()] * 2


def test_what_is_too_long_is_not_replayed_as_if_it_were_whole(
    tmp_path, recording, monkeypatch
):
    monkeypatch.setattr("fakeregistry.bodies.RECORD_LIMIT", 50_000)
    read(recording.port)
    path = record(tmp_path, recording)
    content = json.loads(path.read_text())["log"]["entries"][0]["response"]["content"]
    missing = content["_missing"]
    assert missing > len(DATA) - 50_000
    kept = len(DATA) - missing
    assert content["comment"] == f"the first {kept} bytes; {missing} are missing"
    with Registry(har=path) as registry:
        answer = httpx.get(registry.url + BLOB)
    assert answer.status_code == 500
    said = answer.json()["errors"][0]["message"]
    assert said == f"the recording lacks the last {missing} bytes of this"


def test_what_was_held_is_held(tmp_path, recording):
    """No answer came then, and none comes now; stopping ends the wait."""
    with (
        recording.gate("/blobs/*") as gate,
        socket.create_connection(("127.0.0.1", recording.port), 10) as sock,
    ):
        sock.sendall(f"GET {BLOB} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        gate.wait_for(1)
        path = record(tmp_path, recording)
    with Registry(har=path) as registry:
        sock = socket.create_connection(("127.0.0.1", registry.port), timeout=10)
        sock.sendall(f"GET {BLOB} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        (exchange,) = registry.journal.wait_for(1)
        assert exchange.outcome is None
    with sock:
        assert sock.recv(100) == b""


def test_where_the_client_left_the_connection_stays_open(tmp_path, recording):
    """The server had more to say: that was no end of the body."""
    recording.fault(path="/blobs/*", stall=100)
    with socket.create_connection(("127.0.0.1", recording.port), 10) as sock:
        sock.sendall(f"GET {BLOB} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        first = b""
        while not first.endswith(DATA[:100]):
            first += sock.recv(10_000)
        path = record(tmp_path, recording)
    with Registry(har=path) as registry:
        sock = socket.create_connection(("127.0.0.1", registry.port), timeout=10)
        sock.sendall(f"GET {BLOB} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        again = b""
        while len(again) < len(first):
            again += sock.recv(10_000)
        assert again == first
        assert registry.journal[0].outcome is None
    with sock:
        assert sock.recv(100) == b""


def test_a_redirect_to_another_registry_with_its_name_in_the_query(tmp_path):
    """``?ns=`` names the recorded registry: here it is this one."""
    with Registry(record_bodies=True) as registry:
        registry.put_blob("a", DATA, digest=DIGEST)
        read(registry.port, target=f"{BLOB}?ns={registry.host}", host=registry.host)
        path = record(tmp_path, registry)
    with Registry(har=path) as registry:
        target = f"{BLOB}?ns={registry.host}"
        seen, _ = read(registry.port, target=target, host=registry.host)
        assert seen.endswith(DATA)
        seen, _ = read(registry.port, target=f"{BLOB}?ns=other", host=registry.host)
        assert b" 404 " in seen.partition(b"\r\n")[0]


def test_an_old_client_that_names_no_host(tmp_path, recording):
    """There is no address of ours to put into headers; a strange one is taken as is."""
    recording.redirect(to="http://elsewhere.test/x", times=2)
    for _ in range(2):
        read(recording.port, host="elsewhere.test")
    with Registry(har=record(tmp_path, recording)) as registry:
        with socket.create_connection(("127.0.0.1", registry.port), 10) as sock:
            sock.sendall(f"GET {BLOB} HTTP/1.0\r\n\r\n".encode())
            seen = b"".join(iter(lambda: sock.recv(1 << 20), b""))
        assert b"\r\nLocation: http://elsewhere.test/x\r\n" in seen
        seen, _ = read(registry.port, host="here.test:1")
        assert b"\r\nLocation: http://here.test:1/x\r\n" in seen


def test_references(tmp_path):
    """What is to be pulled: tags, or else the first digest."""
    with Registry(record_bodies=True) as registry:
        for reference in (DIGEST, "1", "2", "1"):
            read(registry.port, target=f"/v2/a/b/manifests/{reference}")
            path = record(tmp_path, registry)
            if reference == DIGEST:
                assert Replay(path).references("r") == (f"r/a/b@{DIGEST}",)
    assert Replay(path).references("r") == ("r/a/b:1", "r/a/b:2")


def test_faults_are_met_on_a_replay_too(tmp_path, recording):
    read(recording.port)
    with Registry(har=record(tmp_path, recording)) as registry:
        registry.fault(path="/blobs/*", times=1, shorten=3)
        assert httpx.get(registry.url + BLOB).content == DATA[:3]
        assert httpx.get(registry.url + BLOB).content == DATA


# -- files that cannot be replayed ----------------------------------------------


def test_bodies_have_to_be_recorded(tmp_path, capsys):
    with Registry() as registry:
        registry.put_blob("a", DATA, digest=DIGEST)
        read(registry.port)
        path = record(tmp_path, registry)
    assert main(["serve", "--har", str(path)]) == 2
    assert capsys.readouterr().err == (
        f"fakeregistry: {path}: entry 1 (GET {BLOB}): the body was not recorded;"
        " record with --record-bodies, or Registry(record_bodies=True)\n"
    )


def entry(**changes):
    response = {
        "status": 200,
        "httpVersion": "HTTP/1.1",
        "headers": [],
        "content": {"text": "abc"},
        "_framing": "length",
    }
    made = {
        "request": {"method": "GET", "url": "http://h/x", "headers": []},
        "response": response,
        "_outcome": "complete",
    }
    for key, value in changes.items():
        (made if key in made else response)[key] = value
    return made


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "no JSON: Expecting value"),
        ("[" * 100_000, "no JSON: "),
        ("\xff", "no JSON: "),
        ("[]", "the file must be an object"),
        ("{}", "log must be an object"),
        ('{"log": {"entries": {}}}', "log.entries must be an array"),
        ('{"log": {"entries": []}}', "no request was recorded"),
        ('{"log": {"entries": [1]}}', "entry 1 must be an object"),
        ({"request": []}, "entry 1: request must be an object"),
        (
            {"request": {"method": "GET", "url": "http://h/x"}},
            "entry 1: request: headers must be an array",
        ),
        ({"request": {"method": 1}}, "entry 1: method must be a text"),
        ({"status": "200"}, "entry 1 (GET /x): status must be a number from 0 on"),
        ({"status": True}, "entry 1 (GET /x): status must be a number from 0 on"),
        ({"status": 1000}, "entry 1 (GET /x): there is no status HTTP/1.1 1000"),
        ({"httpVersion": "h2"}, "entry 1 (GET /x): there is no status h2 200"),
        (
            {"headers": [{"name": "a", "value": "b\r\nc"}]},
            "entry 1 (GET /x): these headers cannot be sent",
        ),
        (
            {"headers": [{"name": "a", "value": "\u20ac"}]},
            "entry 1 (GET /x): these headers cannot be sent",
        ),
        (
            {"headers": [{"name": "a"}]},
            "entry 1 (GET /x): value of a header must be a text",
        ),
        (
            {"content": {"text": "!", "encoding": "base64"}},
            "entry 1 (GET /x): content.text is no base64",
        ),
        ({"content": {"text": 1}}, "entry 1 (GET /x): content.text must be a text"),
        (
            {"_chunks": [1, 1]},
            "entry 1 (GET /x): _chunks are 2 bytes, the body has 3",
        ),
        ({"_chunks": [-1]}, "entry 1 (GET /x): _chunks must be a number from 0 on"),
        ({"_outcome": []}, "entry 1 (GET /x): _outcome is none that there is"),
        ({"_framing": 1}, "entry 1 (GET /x): _framing is none that there is"),
    ],
)
def test_bad_files_are_one_line_and_status_2(tmp_path, capsys, text, complaint):
    path = tmp_path / "bad.har"
    if isinstance(text, dict):
        text = json.dumps({"log": {"entries": [entry(**text)]}})
    path.write_bytes(text.encode("latin-1"))
    assert main(["serve", "--har", str(path)]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"fakeregistry: {path}: {complaint}")
    assert said.count("\n") == 1


def test_a_file_that_is_not_there(tmp_path, capsys):
    assert main(["serve", "--har", str(tmp_path / "none.har")]) == 2
    assert "No such file" in capsys.readouterr().err


def test_a_file_made_by_hand(tmp_path):
    path = tmp_path / "hand.har"
    path.write_text(json.dumps({"log": {"entries": [entry()]}}))
    assert Replay(path).references("r") == ()
    path.write_text(json.dumps({"log": {"entries": [entry(_framing=None)]}}))
    with Registry(har=path) as registry:
        assert read(registry.port, target="/x") == (b"abc", "end")


@pytest.mark.parametrize(
    "arguments", [{"auth": TokenAuth()}, {"profile": "no-head"}, {"storage": "x"}]
)
def test_all_answers_are_in_the_file(arguments):
    with pytest.raises(ValueError, match="contradicts har"):
        Registry(har="x.har", **arguments)


def test_misuse_of_the_command(capsys):
    for arguments in (
        ["--har", "x.har", "--publish", "a:1"],
        ["--har", "x.har", "--auth", "token"],
        ["--record-bodies"],
    ):
        assert main(["serve", *arguments]) == 2
        assert re.search(r"contradicts|of no use", capsys.readouterr().err)


def test_errors_are_of_one_class(tmp_path):
    path = tmp_path / "bad.har"
    path.write_text("[]")
    with pytest.raises(HarError, match="the file must be an object"):
        Registry(har=path)
