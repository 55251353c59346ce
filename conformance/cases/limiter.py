"""How many handlers run at once, and what becomes of them at the end.

The wire shows how many requests are in flight. That a permit is held by the handler
and by nobody else, comes back whatever happens, and is not waited for in vain, shows
only here. Handlers are held by the case; what a client has begun in the meantime is
known without sleeping, for another dispatch has overtaken it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from conformance.case import Feature, Level, case
from conformance.tree import Tree, fail, skip

if TYPE_CHECKING:
    from conformance.bench import Bench
    from conformance.whitebox import Done

LAYERS: Final = [f"layer {number}" for number in range(1, 7)]


@case(
    clause="containerd v1.5.18 images/handlers.go:126 (Dispatch)",
    level=Level.REFERENCE,
    needs={Feature.HANDLERS, Feature.LIMIT},
)
def test_handlers_at_once_stay_within_the_limit(bench: Bench) -> None:
    """With a limiter of two, no third handler is called while two run.

    A permit is taken before a handler is called, and held for as long as it runs:
    a handler may count on being one of two, whatever it does.
    """
    tree = Tree({"manifest": LAYERS}, held=LAYERS)
    run = bench.inside.start_dispatch([tree], ["manifest"], limit=2)
    tree.wait_for(2)
    bench.inside.overtake()
    tree.open()
    assert run.wait().ok
    assert tree.most == 2, f"{tree.most} handlers ran at once"
    assert sorted(tree.calls) == [*LAYERS, "manifest"]


@case(
    clause="containerd v1.5.18 images/handlers.go:136 (Dispatch)",
    level=Level.REFERENCE,
    needs={Feature.HANDLERS, Feature.LIMIT},
)
def test_place_that_becomes_free_is_taken(bench: Bench) -> None:
    """As soon as one of three handlers returns, the next one is called.

    A dispatch that waits for all three before it goes on with three more is as
    slow as the slowest of each batch.
    """
    tree = Tree({"manifest": LAYERS}, held=LAYERS)
    run = bench.inside.start_dispatch([tree], ["manifest"], limit=3)
    for _ in LAYERS[3:]:
        tree.wait_for(3)
        tree.release()
    tree.wait_for(3)
    tree.open()
    assert run.wait().ok


@case(
    clause="containerd v1.5.18 images/handlers.go:136 (Dispatch)",
    level=Level.REFERENCE,
    needs={Feature.HANDLERS, Feature.LIMIT},
)
def test_limit_of_one_passes_through_a_deep_tree(bench: Bench) -> None:
    """The permit is given back before the children are visited.

    Kept until they are done, a single permit would be waited for by whoever holds
    it, and the pull would hang for ever at the first index.
    """
    deep = {f"level {number}": [f"level {number + 1}"] for number in range(20)}
    tree = Tree({**deep, "level 20": LAYERS})
    assert bench.inside.dispatch([tree], ["level 0"], limit=1).ok
    assert tree.most == 1
    assert len(tree.calls) == len(deep) + 1 + len(LAYERS)


@case(
    clause="containerd v1.5.18 images/handlers.go:125 (Dispatch)",
    level=Level.REFERENCE,
    needs={Feature.HANDLERS},
)
def test_without_a_limit_all_siblings_run_at_once(bench: Bench) -> None:
    """Without a limiter, every child of a descriptor has its handler at once.

    All of them meet here before the first one returns.
    """
    tree = Tree({"manifest": LAYERS}, held=LAYERS)
    run = bench.inside.start_dispatch([tree], ["manifest"])
    tree.wait_for(len(LAYERS))
    tree.open()
    assert run.wait().ok
    assert tree.most == len(LAYERS)


@case(
    clause="containerd v1.5.18 images/handlers.go:136 (Dispatch)",
    level=Level.REFERENCE,
    needs={Feature.HANDLERS, Feature.LIMIT},
    twin="limiter.limit-of-one-passes-through-a-deep-tree",
)
def test_permit_comes_back_after_an_error(bench: Bench) -> None:
    """A handler that fails gives its permit back, and the dispatch ends.

    containerd still waits for permits for the siblings of a failure. Were that of
    the failure lost, a pull that is to fail would hang instead.
    """
    tree = Tree({"manifest": LAYERS}, does=dict.fromkeys(LAYERS, fail))
    pull = bench.inside.dispatch([tree], ["manifest"], limit=1)
    assert pull.error_class == "ErrUnavailable", pull
    assert tree.most == 1


@case(
    clause="containerd v1.5.18 images/handlers.go:136 (Dispatch)",
    level=Level.REFERENCE,
    needs={Feature.HANDLERS, Feature.LIMIT},
    twin="limiter.limit-of-one-passes-through-a-deep-tree",
)
def test_permit_comes_back_from_what_is_skipped(bench: Bench) -> None:
    """A handler that skips its descriptor gives its permit back, too.

    Platforms that are left out are skipped; a permit lost with each of them, and
    the pull hangs once as many are left out as there are permits.
    """
    tree = Tree({"index": LAYERS}, does=dict.fromkeys(LAYERS[:4], skip))
    pull = bench.inside.dispatch([tree], ["index"], limit=2)
    assert pull.ok, pull
    assert sorted(tree.calls) == ["index", *LAYERS]


@case(
    clause="containerd v1.5.18 images/handlers.go:121 (Dispatch), "
    "golang.org/x/sync/errgroup",
    level=Level.REFERENCE,
    needs={Feature.HANDLERS},
    twin="limiter.without-a-limit-all-siblings-run-at-once",
)
def test_error_tells_the_siblings_that_it_is_over(bench: Bench) -> None:
    """When one handler fails, those beside it are told, and can stop.

    Their work is of no use any more: a gigabyte that is still on its way for an
    image that cannot be had.
    """
    tree = Tree({"manifest": LAYERS[:3]})
    first, second, third = LAYERS[:3]

    def fail_as_the_last(done: Done) -> None:
        tree.wait_for(3)
        fail(done)

    tree.does |= {
        first: tree.until_done(first),
        second: fail_as_the_last,
        third: tree.until_done(third),
    }
    pull = bench.inside.dispatch([tree], ["manifest"])
    bench.must_reject(pull, tree.met(second))
    assert pull.error_class == "ErrUnavailable", pull
    assert sorted(tree.told) == [first, third]


@case(
    clause="containerd v1.5.18 images/handlers.go:121 (Dispatch): ctx2 comes from ctx",
    level=Level.REFERENCE,
    needs={Feature.HANDLERS, Feature.CANCEL},
    twin="limiter.without-a-limit-all-siblings-run-at-once",
)
def test_cancelling_reaches_every_handler(bench: Bench) -> None:
    """Whoever cancels a dispatch reaches all its handlers, however deep they are.

    Somebody pressed Ctrl-C: what goes on in the background then costs traffic that
    nobody wants, and holds locks that the next pull waits for.
    """
    tree = Tree({"index": ["manifest", "signature"], "manifest": ["layer"]})
    waiting = ("signature", "layer")
    tree.does |= {name: tree.until_done(name) for name in waiting}
    run = bench.inside.start_dispatch([tree], ["index"])
    tree.wait_for_all(waiting)
    assert not run.cancel().ok
    assert sorted(tree.told) == sorted(waiting)


@case(
    clause="containerd v1.5.18 images/handlers.go:127 (Dispatch) returns at once when "
    "the wait for a permit is cancelled, and leaves handlers running: a defect "
    "(refimpl/README.md, D21)",
    level=Level.REFERENCE,
    needs={Feature.HANDLERS, Feature.CANCEL, Feature.LIMIT},
    twin="limiter.handlers-at-once-stay-within-the-limit",
)
def test_cancelled_dispatch_leaves_no_handler_running(bench: Bench) -> None:
    """Dispatch returns when its handlers have, also when it was cancelled.

    A handler that runs on writes to a store that its caller takes for closed, and
    holds a lock on an ingest that the next pull wants.
    """
    tree = Tree()
    ended: list[bool] = []

    def finish(done: Done) -> None:
        done.wait(tree.patience)
        bench.inside.overtake()
        ended.append(run.done)

    tree.does |= {"layer 1": finish}
    run = bench.inside.start_dispatch([tree], LAYERS[:2], limit=1)
    tree.wait_for(1)
    bench.inside.overtake()  # by now the second one waits for its permit
    assert not run.cancel().ok
    assert ended == [False], "dispatch has returned, and a handler still runs"
