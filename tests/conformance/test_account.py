"""conformance/account.py: what clients do with what is broken, acted out."""

import http.client
import json
import socket
import struct
import time
from typing import Any

import pytest

from conformance.account import THINGS, Asked, Fact, Trap, account_of, break_of
from conformance.client import PullResult
from conformance.evidence import evidence_of
from conformance.report.json import SCHEMA
from fakeregistry import BasicAuth

SIZE = 1000
FAILED = PullResult(ok=False)


def ask(registry, target, *, method="GET", port=0, **headers):
    """Ask once, on a connection of its own; return the status and the Location."""
    connection = http.client.HTTPConnection(
        "127.0.0.1", port or registry.port, timeout=10
    )
    try:
        connection.request(method, target, headers=headers)
        response = connection.getresponse()
        response.read()
        return response.status, response.headers["Location"]
    except (http.client.HTTPException, ConnectionError):
        return 0, None
    finally:
        connection.close()


def leave(registry, target, *, after):
    """Read so many bytes of an answer, and end the connection."""
    with socket.create_connection(("127.0.0.1", registry.port), timeout=10) as sock:
        sock.sendall(f"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        while after > 0:
            after -= len(sock.recv(after))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


class Stage:
    """A registry, a blob to be broken, and the account of what is done with it."""

    def __init__(self, bench, monkeypatch):
        self.registry = bench.registry
        self.bench = bench
        self.ended = [FAILED]
        monkeypatch.setattr(
            bench, "pulls", lambda: [("x", result) for result in self.ended]
        )
        self.layer = self.registry.put_blob("a", bytes(SIZE))
        self.other = self.registry.put_blob("a", b"another one")
        self.target = f"/v2/a/blobs/{self.layer.digest}"
        self.short = f"{self.layer.digest[:19]}…"

    def fault(self, **options):
        return self.registry.fault(digest=self.layer.digest, **options)

    @property
    def account(self):
        return evidence_of(self.bench)["account"]

    @property
    def facts(self):
        (broken,) = self.account["broken"]
        return broken["facts"]


@pytest.fixture
def stage(naive_client, bench_of, monkeypatch):
    return Stage(bench_of(naive_client()), monkeypatch)


def test_client_that_never_asks(stage):
    stage.fault(flip=3)
    ask(stage.registry, f"/v2/a/blobs/{stage.other.digest}")
    assert stage.facts == [{"fact": "never-asked"}]
    assert stage.account["sentence"] == (
        f"never asked for what was broken (digest='{stage.short}': flip); "
        "the pull failed"
    )


def test_client_that_takes_all_and_gives_up(stage):
    stage.fault(flip=3)
    ask(stage.registry, "/v2/")
    ask(stage.registry, stage.target)
    assert stage.account == {
        "broken": [
            {
                "thing": stage.layer.digest,
                "server": "registry",
                "by": ["flip"],
                "answers": [200],
                "facts": [
                    {"fact": "took-all", "times": 1, "bytes": [SIZE]},
                    {"fact": "gave-up"},
                ],
            }
        ],
        "more": 0,
        "requests": 2,
        "ended": ["failure"],
        "sentence": f"asked for {stage.short} (flip), took all {SIZE} bytes, "
        "then gave up; the pull failed",
    }


def test_client_that_takes_all_and_is_content_does_not_give_up(stage):
    stage.fault(flip=3)
    ask(stage.registry, stage.target)
    stage.ended = [PullResult(ok=True)]
    assert [fact["fact"] for fact in stage.facts] == ["took-all"]
    assert stage.account["sentence"].endswith("took all 1000 bytes; the pull succeeded")


def test_client_that_asks_again(stage):
    fault = stage.fault(truncate=100)
    for _ in range(3):
        ask(stage.registry, stage.target)
    stage.registry.journal.wait_for(3, outcome="truncated")
    assert stage.facts == [
        {"fact": "took-all", "times": 3, "bytes": [100]},
        {"fact": "asked-again", "times": 2},
        {"fact": "gave-up"},
    ]
    assert stage.account["sentence"] == (
        f"asked for {stage.short} (truncate) 3 times, took all 100 bytes (3 times), "
        "then gave up; the pull failed"
    )
    fault.remove()
    ask(stage.registry, stage.target)
    # The last one was good: whatever it failed for later was another thing.
    assert stage.facts[1:] == [{"fact": "asked-again", "times": 3}]


def test_client_that_resumes(stage):
    stage.fault(truncate=100, times=1)
    ask(stage.registry, stage.target)
    ask(stage.registry, stage.target, Range="bytes=100-")
    stage.ended = [PullResult(ok=True)]
    stage.registry.journal.wait_for(1, outcome="truncated")
    assert stage.facts == [
        {"fact": "took-all", "times": 1, "bytes": [100]},
        {"fact": "resumed", "times": 1, "offsets": [100]},
    ]
    assert (
        "took all 100 bytes, resumed once from byte 100; the pull succeeded"
        in (stage.account["sentence"])
    )


def test_client_that_resumes_many_times(stage):
    stage.fault(truncate=70, times=1)
    stage.fault(truncate=100)
    for offset in (*range(0, 800, 100), 850):
        ask(stage.registry, stage.target, Range=f"bytes={offset}-")
    stage.registry.journal.wait_for(9, outcome="truncated")
    assert stage.facts == [
        {"fact": "took-all", "times": 9, "bytes": [70, 100]},
        {"fact": "resumed", "times": 8, "offsets": [100, 200, 300, 400, 850]},
        {"fact": "gave-up"},
    ]
    assert (
        "took all 70, 100 bytes (9 times), resumed 8 times from byte 100 up to 850"
        in (stage.account["sentence"])
    )


@pytest.mark.parametrize(
    ("fault", "fact"),
    [({"flip": -1}, Fact.STOPPED_EARLY), ({"flip": 5}, Fact.STOPPED_LATE)],
)
def test_client_that_leaves(stage, fault, fact):
    # More than any buffer between the two takes.
    stage.layer = stage.registry.put_blob("a", bytes(20_000_000))
    stage.fault(**fault)
    leave(stage.registry, f"/v2/a/blobs/{stage.layer.digest}", after=1000)
    stage.registry.journal.wait_for(1, outcome="client-gone")
    first, last = stage.facts
    assert (first["fact"], first["times"]) == (fact, 1)
    assert 0 <= first["bytes"][0] < stage.layer.size
    assert last == {"fact": "gave-up"}


def test_client_that_leaves_a_stalled_body(stage):
    stage.fault(stall=40)
    leave(stage.registry, stage.target, after=60)
    deadline = time.monotonic() + 10
    while stage.registry.journal[0].body_sent < 40:
        assert time.monotonic() < deadline
    assert stage.facts == [
        {"fact": "took-all", "times": 1, "bytes": [40]},
        {"fact": "gave-up"},
    ]
    stage.ended = [PullResult(ok=False, reason="deadline")]
    assert [fact["fact"] for fact in stage.facts] == ["took-all"]
    assert stage.account["sentence"].endswith("; the pull missed its deadline")
    # Before it left the stalled one, or after it? The wire does not say.
    ask(stage.registry, f"/v2/a/blobs/{stage.other.digest}")
    stage.ended = [FAILED]
    assert [fact["fact"] for fact in stage.facts] == ["took-all"]


def test_client_that_goes_to_the_next_mirror(stage):
    stage.fault(status=503)
    second = stage.bench.new_registry()
    second.put_blob("a", bytes(SIZE))
    ask(stage.registry, stage.target)
    ask(second, stage.target)
    assert stage.facts == [
        {"fact": "went-elsewhere", "times": 1, "servers": ["registry 2"]}
    ]
    (broken,) = stage.account["broken"]
    assert broken["answers"] == [503]
    assert (
        "(status), was answered 503, went to registry 2 for it;"
        in (stage.account["sentence"])
    )


def test_client_that_goes_on(stage):
    stage.fault(flip=3)
    ask(stage.registry, stage.target)
    for _ in range(2):
        ask(stage.registry, f"/v2/a/blobs/{stage.other.digest}")
    ask(stage.registry, "/v2/")
    assert stage.facts[1:] == [{"fact": "went-on", "times": 2}]
    assert "went on to 2 other requests; the pull failed" in stage.account["sentence"]


def test_client_that_asks_for_a_token_has_not_given_up(stage):
    stage.fault(status=401)
    ask(stage.registry, stage.target)
    ask(stage.registry, "/token")
    assert stage.facts == []
    assert "(status), was answered 401; the pull failed" in stage.account["sentence"]


def test_answers_are_told_once_each(stage):
    for status in (500, 429, 500):
        stage.fault(status=status, times=1)
    stage.fault(cut=True, times=1)
    for _ in range(4):
        ask(stage.registry, stage.target)
    told = "4 times, was answered 500, 429, got no answer, then gave up"
    assert told in stage.account["sentence"]
    stage.fault(raw=b"nonsense")
    stage.registry.journal.clear()
    ask(stage.registry, stage.target)
    assert "(raw), then gave up" in stage.account["sentence"]


def test_what_was_under_way_is_not_gone_on_to(stage):
    stage.fault(flip=3)
    path = f"/v2/a/blobs/{stage.other.digest}"
    with (
        stage.registry.gate(path) as gate,
        socket.create_connection(("127.0.0.1", stage.registry.port)) as sock,
    ):
        sock.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        gate.wait_for(1)
        ask(stage.registry, stage.target)
        assert stage.facts[1:] == [{"fact": "gave-up"}]
        gate.open()


def test_client_that_follows_a_redirect(stage):
    stage.fault(redirect="/elsewhere")
    _, location = ask(stage.registry, stage.target)
    ask(stage.registry, location)
    assert stage.facts == [{"fact": "followed", "times": 1}]


def test_retry_through_a_redirect_is_one(stage):
    stage.registry.redirect("/blobs/*")
    stage.registry.fault(server="cdn", flip=3)
    for _ in range(2):
        _, location = ask(stage.registry, stage.target)
        rest = location.partition("://")[2].partition("/")[2]
        ask(stage.registry, f"/{rest}", port=stage.registry.cdn.port)
    assert stage.facts == [
        {"fact": "took-all", "times": 2, "bytes": [SIZE]},
        {"fact": "asked-again", "times": 1},
        {"fact": "followed", "times": 1},
        {"fact": "gave-up"},
    ]
    sentence = stage.account["sentence"]
    assert sentence.startswith(f"asked for {stage.short} at cdn (flip) twice, ")
    assert "ignature" not in json.dumps(stage.account)


def test_get_after_a_head_is_no_second_time(stage):
    fault = stage.fault(headers={"X-Odd": "1"})
    ask(stage.registry, stage.target, method="HEAD")
    ask(stage.registry, stage.target)
    assert Fact.ASKED_AGAIN not in {fact["fact"] for fact in stage.facts}
    fault.remove()
    stage.registry.journal.clear()
    stage.fault(method="HEAD", status=405)
    ask(stage.registry, stage.target, method="HEAD")
    ask(stage.registry, stage.target)
    assert {"fact": "asked-again", "times": 1} in stage.facts


def test_no_answer_at_all(stage):
    stage.fault(reset=True)
    assert ask(stage.registry, stage.target) == (0, None)
    assert "(reset), got no answer, then gave up" in stage.account["sentence"]


def test_nothing_was_broken(stage):
    ask(stage.registry, stage.target)
    stage.ended = [FAILED, None]
    assert stage.account["broken"] == []
    assert stage.account["sentence"] == (
        "no fault was set, 1 request came; the last of 2 pulls goes on"
    )


def test_many_broken_things_are_counted(stage):
    stage.registry.fault(path="/blobs/*", status=404)
    for number in range(THINGS + 2):
        ask(stage.registry, f"/v2/a/blobs/sha256:{number:064}")
    account = stage.account
    assert (len(account["broken"]), account["more"]) == (THINGS, 2)
    assert account["sentence"].endswith("; 5 more broken things; the pull failed")


def test_secrets_stay_out(naive_client, bench_of):
    secret = "open-sesame-77"  # noqa: S105 - of a registry made here
    bench = bench_of(naive_client())
    registry = bench.new_registry(auth=BasicAuth("someone", secret))
    registry.fault(path="/v2/*", status=500)
    ask(
        registry,
        f"/v2/{secret}/blobs/x?token={secret}",
        Authorization=f"Bearer {secret}",
    )
    account = evidence_of(bench)["account"]
    assert secret not in json.dumps(account)
    assert account["broken"][0]["thing"] == "/v2/[redacted]/blobs/x"


@pytest.mark.parametrize(
    ("actions", "length", "found"),
    [
        ({"flip": 0}, 10, 1),
        ({"flip": -1}, 10, 10),
        ({"flip": -1}, None, 0),
        ({"truncate": 7}, 10, 7),
        ({"cut": True}, 10, 0),
        ({"stall": 4, "headers": {}}, 10, 4),
        ({"append": b"xyz"}, 13, 11),
        ({"append": b"xyz"}, None, 0),
        ({"flip": 9, "truncate": 3}, 10, 3),
        ({"status": 500}, 10, 0),
    ],
)
def test_where_a_body_breaks(actions, length, found):
    assert break_of(actions, length) == found


@pytest.mark.parametrize(
    ("journal", "began", "started", "later"),
    [(1, 3, 0.0, True), (1, 1, 9.0, False), (2, 0, 3.0, True), (2, 9, 1.0, False)],
)
def test_order_is_told_by_ticks_or_else_by_the_clock(journal, began, started, later):
    common: dict[str, Any] = {
        "method": "GET",
        "status": 200,
        "sent": 1,
        "outcome": "complete",
    }
    first = Asked(
        **common,
        server="registry",
        path="/v2/a/manifests/v1",
        traps=("flip",),
        journal=1,
        began=0,
        ended=2,
        started=0.0,
        finished=2.0,
    )
    other = Asked(
        **common,
        server="registry 2",
        path="/v2/b/tags/list",
        journal=journal,
        began=began,
        started=started,
    )
    (broken,) = account_of([], [first, other], ["failure"])["broken"]
    assert broken["thing"] == "manifests/v1"
    last = {"fact": "went-on", "times": 1} if later else {"fact": "gave-up"}
    assert broken["facts"][-1] == last


def test_schema_has_the_whole_vocabulary():
    schema = json.loads(SCHEMA.read_text())
    assert schema["$defs"]["fact"]["properties"]["fact"]["enum"] == list(Fact)
    told = schema["$defs"]["fact"]["properties"]["fact"]["description"]
    assert all(f"{fact}: " in told for fact in Fact)


def test_an_account_is_cheap():
    asked = [
        Asked(
            server="registry",
            path=f"/v2/a/blobs/sha256:{number % 200:064}",
            method="GET",
            status=200,
            sent=10,
            outcome="complete",
            traps=("flip",),
            began=2 * number,
            ended=2 * number + 1,
        )
        for number in range(2000)
    ]
    trap = Trap(server="registry", rule="any request", actions=("flip",), fired=2000)
    before = time.process_time()
    made = account_of([trap], asked, ["failure"])
    # A tenth of it is usual; without a bound it would be seconds.
    assert time.process_time() - before < 0.25
    assert made["more"] == 195
