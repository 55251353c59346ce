"""What the wrapper adds to any adapter: deadlines, cancellation, checks."""

import os
import threading

import pytest

from conformance import client as client_module
from conformance.client import Client, ClientInfo
from conformance.contract import AdapterError

REQUEST = {"ref": "127.0.0.1:1/a:b", "root": "/nowhere"}


class Scripted:
    """An adapter whose pull is a function of the test's."""

    def __init__(self, pull=None, **methods):
        self._pull = pull or (lambda request, on_cancel: {"ok": True, "exit": 0})
        for name, function in methods.items():
            setattr(self, name, function)

    def capabilities(self):
        return {"name": "scripted", "version": "1", "features": ["content"]}

    def pull(self, request, on_cancel):
        return self._pull(request, on_cancel)

    def inspect(self, request):
        return {"images": [], "asked": request}


def client_of(pull=None, **methods):
    info = ClientInfo(name="scripted", kind="python")
    return Client(adapter=Scripted(pull, **methods), info=info)


def pull(function, deadline=10.0):
    return client_of(function).pull(REQUEST, deadline)


def until_cancelled(request, on_cancel):
    """Go on until somebody says stop, as a well-behaved client does."""
    stop = threading.Event()
    on_cancel(stop.set)
    stop.wait()
    return {"ok": False, "error": {"class": "cancelled", "message": "stopped"}}


def test_what_a_client_says_of_itself():
    client = client_of()
    assert (client.name, client.version) == ("scripted", "1")
    assert client.features == {"content"}
    assert client.installed() is None


def test_successful_pull():
    result = pull(lambda request, on_cancel: {"ok": True, "exit": 0, "stdout": "out"})
    assert (result.ok, result.exit, result.stdout) == (True, 0, "out")
    assert result.reason is None
    assert result.seconds >= 0


def test_request_carries_the_deadline():
    seen = []

    def look(request, on_cancel):
        seen.append(request)
        return {"ok": True}

    pull(look, 7.0)
    assert seen == [REQUEST | {"timeout": 7.0}]


def test_failed_pull():
    error = {"class": "ErrNotFound", "message": "no such tag"}
    result = pull(lambda request, on_cancel: {"ok": False, "exit": 1, "error": error})
    assert (result.ok, result.reason) == (False, None)
    assert (result.error_class, result.error) == ("ErrNotFound", "no such tag")


def test_death_is_no_plain_failure():
    answer = {"ok": False, "died": "x: killed by SIGSEGV"}
    result = pull(lambda request, on_cancel: answer)
    assert (result.reason, result.error) == ("died", "x: killed by SIGSEGV")


def test_death_is_no_success_whatever_the_adapter_says():
    result = pull(lambda request, on_cancel: {"ok": True, "died": "killed"})
    assert (result.ok, result.reason) == (False, "died")


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (None, "must be an object with 'ok'"),
        ({}, "must be an object with 'ok'"),
        ({"ok": 1}, "must be an object with 'ok'"),
        ({"ok": True, "error": "x"}, "'error' must be"),
        ({"ok": True, "exit": "0"}, "'exit' must be a number"),
        ({"ok": True, "exit": True}, "'exit' must be a number"),
    ],
)
def test_answer_against_the_contract_is_a_death(answer, text):
    result = pull(lambda request, on_cancel: answer)
    assert (result.ok, result.reason) == (False, "died")
    assert text in result.error


def test_adapter_that_raises_has_died():
    result = pull(lambda request, on_cancel: request["key"])
    assert result.reason == "died"
    assert result.error == "the adapter raised KeyError: 'key'"


def test_adapter_that_says_why_it_cannot_pull():
    def broken(request, on_cancel):
        raise AdapterError("no daemon")

    assert pull(broken).error == "no daemon"


def test_deadline_cancels():
    result = pull(until_cancelled, deadline=0.01)
    assert (result.ok, result.reason) == (False, "deadline")
    assert result.error == "still running after 0.01 s"


def test_deadline_leaves_behind_what_does_not_stop(monkeypatch):
    monkeypatch.setattr(client_module, "GRACE", 0.01)
    release = threading.Event()
    running = client_of(lambda request, on_cancel: release.wait()).start(REQUEST, 0.01)
    result = running.wait()
    assert result.reason == "deadline"
    assert "and 0.01 s after it was told to stop" in result.error
    assert not running.done
    release.set()


def test_success_after_the_deadline_is_none():
    def late(request, on_cancel):
        until_cancelled(request, on_cancel)
        return {"ok": True}

    result = pull(late, deadline=0.01)
    assert (result.ok, result.reason) == (False, "deadline")


def test_cancel_ends_a_pull():
    running = client_of(until_cancelled).start(REQUEST, 10.0)
    result = running.cancel()
    assert (result.ok, result.reason, result.error) == (False, "cancelled", "cancelled")
    assert running.cancel() is result
    assert running.wait() is result


def test_cancel_before_the_adapter_is_ready_reaches_it_all_the_same():
    ready = threading.Event()

    def slow(request, on_cancel):
        ready.wait()
        return until_cancelled(request, on_cancel)

    running = client_of(slow).start(REQUEST, 10.0)
    threading.Timer(0.01, ready.set).start()
    assert running.cancel().reason == "cancelled"


def test_cancel_after_the_end_changes_nothing():
    running = client_of().start(REQUEST, 10.0)
    running.wait()
    assert running.cancel().ok is True


def test_cancel_that_comes_too_late_for_the_client_is_no_failure():
    def unimpressed(request, on_cancel):
        until_cancelled(request, on_cancel)
        return {"ok": True}

    result = client_of(unimpressed).start(REQUEST, 10.0).cancel()
    assert (result.ok, result.reason) == (True, None)


def test_wait_and_cancel_may_come_from_two_threads():
    running = client_of(until_cancelled).start(REQUEST, 10.0)
    results = []
    waiting = threading.Thread(target=lambda: results.append(running.wait()))
    waiting.start()
    results.append(running.cancel())
    waiting.join()
    assert [result.reason for result in results] == ["cancelled", "cancelled"]


def test_inspect_passes_on_what_is_wanted():
    seen = []

    def inspect(request):
        seen.append(request)
        return {"images": []}

    client = client_of(inspect=inspect)
    assert client.inspect("/r").images == ()
    client.inspect("/r", {"leases", "images"})
    assert seen == [{"root": "/r"}, {"root": "/r", "want": ["images", "leases"]}]


def test_inspect_that_raises_is_one_line():
    client = client_of(inspect=lambda request: request["x"])
    with pytest.raises(AdapterError, match="scripted: inspect raised KeyError: 'x'"):
        client.inspect("/r")


def test_inspect_that_hangs_is_one_line(monkeypatch):
    monkeypatch.setattr(client_module, "HOUSEKEEPING", 0.01)
    release = threading.Event()
    client = client_of(inspect=lambda request: release.wait())
    with pytest.raises(AdapterError, match=r"inspect took over 0\.01 s"):
        client.inspect("/r")
    release.set()


def test_collect_is_optional():
    with pytest.raises(AdapterError, match="cannot collect garbage on demand"):
        client_of().collect("/r")
    seen: list[object] = []
    client_of(collect=seen.append).collect("/r")
    assert seen == [{"root": "/r"}]


def test_evaluate_is_optional():
    with pytest.raises(NotImplementedError):
        client_of().evaluate("f", "table", {})
    client = client_of(evaluate=lambda function, kind, value: [function, kind, value])
    assert client.evaluate("f", "table", 1) == ["f", "table", 1]


def test_evaluate_of_what_is_not_there():
    def evaluate(function, kind, value):
        raise NotImplementedError(function)

    with pytest.raises(NotImplementedError, match="f"):
        client_of(evaluate=evaluate).evaluate("f", "table", 1)


def test_variables_that_mislead_are_hidden_for_a_run(monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", "/preset")
    seen = []
    client = client_of(
        setup=lambda: seen.append("setup"), teardown=lambda: seen.append("teardown")
    )
    client.setup()
    assert "SSL_CERT_FILE" not in os.environ
    client.teardown()
    client.teardown()
    assert os.environ["SSL_CERT_FILE"] == "/preset"
    assert seen == ["setup", "teardown", "teardown"]


def test_failing_setup_hides_nothing_for_ever(monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", "/preset")

    def setup():
        raise AdapterError("no daemon")

    client = client_of(setup=setup)
    with pytest.raises(AdapterError, match="no daemon"):
        client.setup()
    assert os.environ["SSL_CERT_FILE"] == "/preset"
