import threading

import pytest

from fakeregistry.faults import FaultScript
from fakeregistry.journal import Journal
from fakeregistry.reply import Reply


@pytest.fixture
def script():
    return FaultScript()


class Wire:
    """Asks as a server does."""

    def __init__(self, script):
        self.script = script
        self.journal = Journal()

    def ask(self, target="/v2/a/blobs/1", method="GET", headers=(), status=200):
        exchange = self.journal.begin(method, target, headers)
        reply = self.script.before(exchange) or Reply(status, body=b"hello", length=5)
        return exchange, self.script.after(exchange, reply)

    def statuses(self, count, **options):
        return [self.ask(**options)[1].status for _ in range(count)]


@pytest.fixture
def wire(script):
    return Wire(script)


def test_without_faults_a_reply_is_left_alone(script, wire):
    exchange, reply = wire.ask()
    assert script.after(exchange, reply) is reply
    assert exchange.faults == ()


def test_a_fault_meets_what_matches_and_counts(script, wire):
    fault = script.fault(method="GET", path="/blobs/*", truncate=2)
    met, reply = wire.ask()
    wire.ask(method="HEAD")
    wire.ask("/v2/a/manifests/1")
    assert reply.cut_after == 2
    assert fault.fired == 1
    assert fault.exchanges == (met,)
    assert met.faults == (fault.id,)


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ({}, [503, 503, 503, 503]),
        ({"times": 2}, [503, 503, 200, 200]),
        ({"skip": 1}, [200, 503, 503, 503]),
        ({"skip": 1, "times": 2}, [200, 503, 503, 200]),
        ({"nth": 3}, [200, 200, 503, 200]),
    ],
)
def test_counts(script, wire, counts, expected):
    fault = script.fault(status=503, **counts)
    assert wire.statuses(4) == expected
    assert fault.fired == expected.count(503)


def test_answers_follow_each_other(script, wire):
    script.fault(status=429, times=2)
    last = script.fault(status=503, times=1)
    assert wire.statuses(4) == [429, 429, 503, 200]
    assert last.fired == 1


def test_requests_are_numbered_whoever_meets_them(script, wire):
    script.fault(status=429, times=1)
    script.fault(status=503, nth=2)
    assert wire.statuses(3) == [429, 503, 200]


def test_an_answer_is_met_alone(script, wire):
    cut = script.fault(truncate=1, times=1)
    answer = script.fault(status=503, times=1)
    after = script.fault(flip=0, times=1)
    assert wire.statuses(2) == [200, 503]
    assert (cut.fired, answer.fired, after.fired) == (1, 1, 1)
    assert wire.journal[0].faults == (cut.id, after.id)
    assert wire.journal[1].faults == (answer.id,)


def test_faults_that_change_different_things_combine(script, wire):
    script.fault(flip=0)
    script.fault(truncate=2)
    script.fault(headers={"ETag": "x"})
    script.fault(headers={"ETag": "y"})
    _, reply = wire.ask()
    assert reply.headers["ETag"] == "x"
    assert b"".join(data for data, _ in reply.pieces()) == b"ie"


def test_replied_looks_at_the_response(script, wire):
    fault = script.fault(replied=401, times=1, headers={"WWW-Authenticate": "Basic"})
    assert "WWW-Authenticate" not in wire.ask()[1].headers
    assert "WWW-Authenticate" in wire.ask(status=401)[1].headers
    assert "WWW-Authenticate" not in wire.ask(status=401)[1].headers
    assert fault.fired == 1


def test_replied_leaves_answers_of_faults_alone(script, wire):
    script.fault(status=401, times=1)
    fault = script.fault(replied=401, headers={"X": "y"})
    wire.ask()
    assert fault.fired == 0


def test_authorized_requests_only(script, wire):
    """The token runs out after two requests that carried it."""
    script.fault(authorized=True, skip=2, status=401)
    assert wire.statuses(2) == [200, 200]
    headers = [("Authorization", "Bearer x")]
    assert wire.statuses(4, headers=headers) == [200, 200, 401, 401]


def test_range_requests_only(script, wire):
    script.fault(range=True, status=416)
    assert wire.statuses(1) == [200]
    assert wire.statuses(1, headers=[("Range", "bytes=1-")]) == [416]


def test_ignore_range_is_told_to_the_handler(script, wire):
    script.fault(ignore_range=True, times=1)
    first, _ = wire.ask(headers=[("Range", "bytes=1-")])
    second, _ = wire.ask(headers=[("Range", "bytes=1-")])
    assert first.range is None
    assert second.range == "bytes=1-"


def test_a_self_redirect_of_nine_hops(script, wire):
    script.fault(path="/blobs/*", times=9, redirect="{target}")
    assert wire.statuses(10) == [307] * 9 + [200]


def test_an_answer_can_be_broken_too(script, wire):
    script.fault(status=500, body=b"sorry", truncate=2)
    _, reply = wire.ask()
    assert (reply.status, reply.cut_after, reply.length) == (500, 2, 5)


def test_unfired_names_what_was_never_met(script, wire):
    met = script.fault(path="/blobs/*", times=2, flip=0)
    missed = script.fault(path="/manifests/*", times=1, status=500)
    script.fault(path="/manifests/*", status=500)
    wire.ask()
    assert met.fired == 1
    assert script.unfired() == (missed,)
    missed.remove()
    assert script.unfired() == (missed,)


def test_removed_faults_are_not_met(script, wire):
    with script.fault(status=503) as fault:
        assert wire.statuses(1) == [503]
    assert wire.statuses(1) == [200]
    assert fault.fired == 1


def test_clear_forgets_all(script, wire):
    script.fault(status=503, times=1)
    script.clear()
    assert wire.statuses(1) == [200]
    assert script.unfired() == ()


@pytest.mark.parametrize("end", ["release", "remove", "clear", "close"])
def test_what_is_held_back_can_be_released(script, wire, end):
    fault = script.fault(stall=2)
    _, reply = wire.ask()
    assert not reply.released.is_set()
    getattr(fault if end in {"release", "remove"} else script, end)()
    assert reply.released.is_set()


def test_closed_scripts_take_no_faults(script, wire):
    script.fault(status=503)
    script.close()
    assert wire.statuses(1) == [503]
    with pytest.raises(ValueError, match="stopped"):
        script.fault(status=503)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"status": 503, "colour": 1}, "colour: unknown keyword"),
        ({"path": "/blobs/*"}, "no action"),
        ({"status": 503, "times": 0}, "times=0"),
        ({"status": 503, "times": True}, "times=True"),
        ({"status": 503, "skip": -1}, "skip=-1"),
        ({"status": 503, "nth": 0}, "nth=0"),
        ({"status": 503, "nth": 1, "times": 1}, "nth: contradicts times"),
        ({"status": 503, "nth": 1, "skip": 1}, "nth: contradicts skip"),
        ({"status": 503, "replied": 200}, "replied"),
        ({"ignore_range": True, "replied": 200}, "replied"),
        ({"truncate": 1, "reset": 1}, "reset: contradicts truncate"),
        ({"status": 503, "method": "get"}, "method="),
    ],
)
def test_misuse_names_the_argument(script, options, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        script.fault(**options)
    assert script.unfired() == ()


def test_times_hold_across_threads(script, wire):
    fault = script.fault(status=503, times=50)
    statuses = []
    threads = [
        threading.Thread(target=lambda: statuses.extend(wire.statuses(25)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [200] * 50 + [503] * 50
    assert fault.fired == 50


def test_representations_tell_rule_actions_and_count(script, wire):
    script.fault(path="/blobs/*", truncate=1, times=1)
    wire.ask()
    assert "<Fault 1 on path='/blobs/*': truncate; fired 1>" in repr(script)
