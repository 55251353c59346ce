"""conformance/inside.py, tree.py and whitebox.py: cases that look into a client."""

import threading
from typing import Any

import pytest

from conformance import whitebox
from conformance.case import DeadlineMissed, Feature, NotTestable, load_suite
from conformance.client import Client, ClientInfo
from conformance.contract import AdapterError
from conformance.inside import StoreError, must_raise
from conformance.tree import Tree, desc_of, fail
from conformance.verdict import Outcome, Raw, Verdict, judge_all, result_of
from conformance.whitebox import METHODS, check_methods, error_class, outcome_of
from fakeregistry import GateTimeout

INSIDE = {
    made.id: made for made in load_suite().values() if made.needs & METHODS.keys()
}


class Outside:
    """What every adapter has."""

    features: tuple[str, ...] = tuple(Feature)

    def capabilities(self):
        return {"name": "here", "version": "1", "features": list(self.features)}

    def pull(self, request, on_cancel):
        raise NotImplementedError

    def inspect(self, request):
        raise NotImplementedError


class Yes(Outside):
    """Says yes to everything, and does nothing."""

    def dispatch(self, handlers, descs, limit, on_cancel):
        pass

    def walk(self, handlers, descs):
        pass

    def open_content_store(self, root):
        return Anything()


class Anything:
    """A content store, writer and reader without anything in it."""

    size = 0

    def __getattr__(self, name):
        return lambda *_: self if name in ("writer", "reader_at") else None


class ErrFailedPrecondition(Exception):
    pass


class No(Outside):
    """Says no to everything, in the class that most cases want."""

    def __getattr__(self, name):
        def refuse(*_):
            raise ErrFailedPrecondition("I would rather not")

        if name not in ("dispatch", "walk", "open_content_store"):
            raise AttributeError(name)
        return refuse


class Ajar(No):
    """Opens a store that says no to everything."""

    def open_content_store(self, root):
        return Closed()


class Closed:
    def __getattr__(self, name):
        def refuse(*_):
            raise ErrFailedPrecondition("I would rather not")

        return refuse


class Calls(Outside):
    """Calls every handler once for each root, and looks at nothing else."""

    def dispatch(self, handlers, descs, limit, on_cancel):
        self.walk(handlers, descs)

    def walk(self, handlers, descs):
        for handler in handlers:
            for desc in descs:
                handler(threading.Event(), desc)

    def open_content_store(self, root):
        return None


def client(adapter):
    return Client(adapter=adapter, info=ClientInfo(name="here", kind="python"))


@pytest.fixture
def bench(bench_of):
    def make(adapter, timeout=10.0):
        return bench_of(client(adapter), timeout)

    return make


def outcome(made, bench):
    """Run a case as the plugin does; what is no AssertionError breaks the test."""
    try:
        made.function(bench)
    except NotTestable as err:
        return Raw(outcome=Outcome.NOT_TESTABLE, reason=str(err))
    except AssertionError as err:
        return Raw(outcome=Outcome.VIOLATED, reason=str(err))
    finally:
        bench.close()
    return Raw(outcome=Outcome.SATISFIED)


@pytest.mark.parametrize("kind", [Yes, No, Ajar])
def test_clients_that_do_nothing_pass_nothing(kind, bench, monkeypatch):
    monkeypatch.setattr(Tree, "patience", 0.1)
    results = [
        result_of(made, outcome(made, bench(kind())), client="here")
        for made in INSIDE.values()
    ]
    assert len(results) > 40
    assert [
        one.result.id for one in judge_all(results) if one.verdict is Verdict.PASS
    ] == []


def test_success_without_a_handler_called_is_none(bench):
    here = bench(Yes()).inside
    for visit in (here.dispatch, here.walk):
        with pytest.raises(AssertionError, match="success and called no handler"):
            visit([Tree()], ["layer"])
        assert visit([Tree()], []).ok
        assert visit([], ["layer"]).ok


def test_error_of_a_handler_is_an_outcome_with_its_class(bench):
    held = bench(Calls())
    tree = Tree(does={"layer": fail})
    pull = held.inside.dispatch([tree], ["layer"])
    assert (pull.ok, pull.error_class) == (False, "ErrUnavailable")
    assert str(pull) == "failure: ErrUnavailable: the registry is down"
    held.must_reject(pull, tree.met("layer"))
    with pytest.raises(NotTestable, match="what was broken \\(config\\)"):
        held.must_reject(pull, tree.met("config"))
    assert held.pulls()[0][0] == "dispatch of layer (limit None)"


def test_dispatch_that_hangs_is_cancelled(bench):
    class Hangs(Calls):
        def dispatch(self, handlers, descs, limit, on_cancel):
            cancelled = threading.Event()
            on_cancel(cancelled.set)
            cancelled.wait()

    held = bench(Hangs(), 0.05)
    run = held.inside.start_dispatch([Tree()], ["layer"])
    assert not run.done
    with pytest.raises(DeadlineMissed, match="missed its deadline"):
        run.wait()
    assert run.done


def test_what_is_not_offered_is_not_testable(naive_client, bench_of):
    here = bench_of(naive_client()).inside
    with pytest.raises(NotTestable, match="does not offer: handlers"):
        here.dispatch([Tree()], ["layer"])
    with pytest.raises(NotTestable, match="does not offer: content-store"):
        here.content_store()


def test_claim_without_its_methods_is_the_adapters_mistake():
    class Claims(Outside):
        features = ("handlers",)

        def walk(self, handlers, descs):
            pass

    with pytest.raises(AdapterError, match="claims handlers, and has no dispatch: "):
        assert client(Claims()).features
    check_methods(Claims(), frozenset({Feature.CONTENT}), where="here")


def test_what_is_no_store_fails_the_case(bench):
    with pytest.raises(AssertionError, match="None is no ContentStore"):
        bench(Calls()).inside.content_store()


@pytest.mark.parametrize(
    ("answer", "complaint"),
    [
        (None, "None is no info"),
        ({"digest": "sha256:0"}, "KeyError\\('size'\\)"),
        (
            {
                "digest": "",
                "size": 0,
                "labels": {},
                "created_at": "today",
                "updated_at": "now",
            },
            "'today'",
        ),
    ],
)
def test_answer_in_another_form_fails_the_case(bench, answer, complaint):
    class Odd(Calls):
        def open_content_store(self, root):
            made: Any = Anything()
            made.info = lambda _: answer
            return made

    store = bench(Odd()).inside.content_store()
    with pytest.raises(AssertionError, match=complaint):
        store.info("sha256:0")
    with pytest.raises(AssertionError, match="None is no list"):
        store.walk()
    with pytest.raises(AssertionError, match="None is no status"):
        store.status("layer")
    with pytest.raises(AssertionError, match="write took None of 1 bytes"):
        store.writer("layer").write(b"a")


def test_store_that_hangs_misses_the_deadline(bench):
    over = threading.Event()

    class Slow(Calls):
        def open_content_store(self, root):
            made: Any = Anything()
            made.delete = lambda _: over.wait()
            return made

    store = bench(Slow(), 0.05).inside.content_store()
    with pytest.raises(DeadlineMissed, match=r"delete took over 0\.05 s"):
        store.delete("sha256:0")
    over.set()


def test_class_that_must_be_raised():
    def refuse():
        raise StoreError("commit", ErrFailedPrecondition("no"))

    with must_raise("ErrFailedPrecondition"):
        refuse()
    with (
        pytest.raises(AssertionError, match="must be ErrNotFound, but commit failed"),
        must_raise("ErrNotFound"),
    ):
        refuse()
    with (
        pytest.raises(AssertionError, match="reported success; it must be ErrNotFound"),
        must_raise("ErrNotFound"),
    ):
        pass


def test_class_of_an_error_is_containerds_name_if_it_has_one():
    class Special(ErrFailedPrecondition):
        pass

    assert error_class(Special()) == "ErrFailedPrecondition"
    assert error_class(KeyError("a")) == "KeyError"
    assert error_class(whitebox.ErrSkipDesc()) == "ErrSkipDesc"


def test_adapter_that_cannot_go_on_is_no_outcome():
    def broken():
        raise AdapterError("no daemon")

    with pytest.raises(AdapterError):
        outcome_of(broken)
    assert outcome_of(lambda: 1) == {"ok": True}


def test_tree_holds_and_counts():
    tree = Tree({"a": ["b"]}, held=["a", "b"])
    found: list[Any] = []
    threads = [
        threading.Thread(
            target=lambda n=name: found.append(tree(threading.Event(), desc_of(n)))
        )
        for name in ("a", "b")
    ]
    threads[0].start()
    tree.wait_for_all(["a"])
    threads[1].start()
    tree.wait_for(2)
    assert (tree.running, tree.most, tree.calls) == (2, 2, ["a", "b"])
    tree.release()
    threads[0].join()
    assert found == [[desc_of("b")]]
    tree.open()
    threads[1].join()
    assert found[1] is None
    assert (tree.running, tree.met("a").fired, tree.met("c").fired) == (0, 1, 0)
    tree.give_up("the client has ended")
    with pytest.raises(GateTimeout, match="waited for 1 handlers at once, but the cl"):
        tree.wait_for(1)


def test_tree_waits_as_long_as_its_patience(monkeypatch):
    monkeypatch.setattr(Tree, "patience", 0.01)
    tree = Tree()
    with pytest.raises(GateTimeout, match="the handlers of a at once; there are 0"):
        tree.wait_for_all(["a"])
    tree.until_done("a")(threading.Event())
    assert not tree.told
