import threading
from contextlib import contextmanager

import pytest

from fakeregistry.gate import GateKeeper, GateTimeout
from fakeregistry.journal import Journal


class Crowd:
    """Threads that come to the gates, as handlers do."""

    def __init__(self):
        self.keeper = GateKeeper()
        self.journal = Journal()
        self.passed = []
        self.threads = []

    def come(self, path="/v2/a/blobs/1", method="GET"):
        exchange = self.journal.begin(method, path, [])
        thread = threading.Thread(target=self._pass, args=(exchange,), daemon=True)
        self.threads.append(thread)
        thread.start()
        return exchange, thread

    def _pass(self, exchange):
        self.passed.append((exchange, self.keeper.hold(exchange)))

    def disperse(self):
        self.keeper.close()
        for thread in self.threads:
            thread.join(10)
            assert not thread.is_alive()


@contextmanager
def crowd_of(*paths):
    crowd = Crowd()
    gate = crowd.keeper.gate("/blobs/*")
    try:
        for number, path in enumerate(paths, 1):
            crowd.come(path)
            gate.wait_for(number)
        yield crowd, gate
    finally:
        crowd.disperse()


def test_requests_wait_until_the_gate_opens():
    with crowd_of("/v2/a/blobs/1", "/v2/a/blobs/2") as (crowd, gate):
        assert gate.held == 2
        assert [e.path for e in gate.exchanges] == ["/v2/a/blobs/1", "/v2/a/blobs/2"]
        assert {e.outcome for e in gate.exchanges} == {"held"}
        assert crowd.passed == []
        gate.open()
        for thread in crowd.threads:
            thread.join(10)
        assert [answer for _, answer in crowd.passed] == [True, True]
        assert {e.outcome for e, _ in crowd.passed} == {None}
        assert gate.held == 0


def test_other_requests_pass():
    with crowd_of() as (crowd, gate):
        _, thread = crowd.come("/v2/a/manifests/1")
        thread.join(10)
        assert len(crowd.passed) == 1
        assert gate.arrived == ()


def test_release_lets_the_oldest_go():
    paths = ("/v2/a/blobs/1", "/v2/a/blobs/2", "/v2/a/blobs/3")
    with crowd_of(*paths) as (crowd, gate):
        gate.release(2)
        assert gate.held == 1
        for thread in crowd.threads[:2]:
            thread.join(10)
        assert {e.path for e, _ in crowd.passed} == set(paths[:2])


def test_permits_are_kept_for_those_to_come():
    with crowd_of() as (crowd, gate):
        gate.release()
        _, thread = crowd.come()
        thread.join(10)
        assert len(crowd.passed) == 1
        crowd.come()
        gate.wait_for(1)
        assert len(gate.arrived) == 2


def test_leaving_the_block_opens_the_gate():
    with crowd_of("/v2/a/blobs/1") as (crowd, gate):
        with gate:
            assert gate.held == 1
        crowd.threads[0].join(10)
        _, thread = crowd.come()
        thread.join(10)
        assert len(crowd.passed) == 2
        assert len(gate.arrived) == 2


def test_wait_for_says_what_is_held():
    with (
        crowd_of("/v2/a/blobs/1") as (_, gate),
        pytest.raises(GateTimeout, match=r"(?s)waited for 2.*held \(1\).*/blobs/1"),
    ):
        gate.wait_for(2, timeout=0)


def test_waiting_at_an_open_gate_is_an_error_at_once():
    gate = GateKeeper().gate()
    gate.open()
    with pytest.raises(GateTimeout, match="any request"):
        gate.wait_for(1, timeout=3600)


def test_expect_no_more_holds_while_nobody_comes():
    with crowd_of("/v2/a/blobs/1") as (_, gate):
        gate.expect_no_more(within=0.01)


def test_expect_no_more_fails_when_somebody_comes():
    with crowd_of("/v2/a/blobs/1") as (crowd, gate):
        failed = []

        def expect():
            try:
                gate.expect_no_more(within=10)
            except AssertionError as error:
                failed.append(str(error))

        watcher = threading.Thread(target=expect)
        watcher.start()
        # Whoever comes before the watcher looks is not counted: send one more
        # each time until it has seen one.
        while watcher.is_alive():
            crowd.come("/v2/a/blobs/2")
            watcher.join(0.005)
        assert "expected no more than" in failed[0]
        assert "/blobs/2" in failed[0]


def test_a_request_passes_every_gate_that_matches():
    crowd = Crowd()
    first = crowd.keeper.gate("/blobs/*")
    second = crowd.keeper.gate(method="GET")
    _, thread = crowd.come()
    first.wait_for(1)
    assert second.held == 0
    first.open()
    second.wait_for(1)
    assert crowd.passed == []
    second.open()
    thread.join(10)
    assert len(crowd.passed) == 1


def test_closing_the_keeper_frees_all_and_tells_them():
    with crowd_of("/v2/a/blobs/1") as (crowd, gate):
        crowd.keeper.close()
        crowd.threads[0].join(10)
        assert [answer for _, answer in crowd.passed] == [False]
        assert "0 held" in repr(gate)
        with pytest.raises(ValueError, match="stopped"):
            crowd.keeper.gate()


def test_open_all_forgets_the_gates():
    with crowd_of("/v2/a/blobs/1") as (crowd, _):
        crowd.keeper.open_all()
        crowd.come()
        for thread in crowd.threads:
            thread.join(10)
        assert [answer for _, answer in crowd.passed] == [True, True]


def test_misuse_names_the_argument():
    with pytest.raises(ValueError, match=r"^colour: unknown keyword"):
        GateKeeper().gate("/blobs/*", colour="red")  # type: ignore[call-arg]
    with pytest.raises(ValueError, match=r"^count=0"):
        GateKeeper().gate().release(0)


def test_waiting_ends_when_nobody_is_left_to_ask():
    keeper = GateKeeper()
    gate = keeper.gate("/blobs/*")
    keeper.expect_requests("the client has ended")
    with pytest.raises(GateTimeout, match="but the client has ended"):
        gate.wait_for(1, timeout=3600)
    with pytest.raises(GateTimeout, match="but the client has ended"):
        keeper.gate("/manifests/*").wait_for(1, timeout=3600)


def test_waiting_makes_sense_again_when_somebody_may_ask():
    keeper = GateKeeper()
    keeper.expect_requests("the client has ended")
    keeper.expect_requests("")
    with pytest.raises(GateTimeout) as caught:
        keeper.gate("/blobs/*").wait_for(1, timeout=0)
    assert "ended" not in str(caught.value)
