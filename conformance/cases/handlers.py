"""A chain of handlers, and who walks an image with it: seen from inside the client.

On the wire a walk is a number of requests in some order. What the order rests on, and
what becomes of children when a handler says stop, skip or no, shows only to whoever
hands in the handlers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from conformance.case import Feature, Level, case
from conformance.tree import Tree, fail, skip, stop

if TYPE_CHECKING:
    from conformance.bench import Bench

INDEX: Final = {
    "index": ["amd64", "arm64"],
    "amd64": ["config", "layer"],
    "arm64": ["other config", "other layer"],
}


@case(
    clause="containerd v1.5.18 images/handlers.go:85 (Walk)",
    level=Level.REFERENCE,
    needs={Feature.HANDLERS},
)
def test_walk_is_depth_first_and_one_by_one(bench: Bench) -> None:
    """Walk visits a descriptor, then all below it, then the next beside it.

    Whoever prints an image, or checks that all of it is there, relies on this
    order; and since nothing runs beside it, such a handler needs no lock.
    """
    tree = Tree(INDEX)
    assert bench.inside.walk([tree], ["index", "signature"]).ok
    assert tree.calls == [
        *("index", "amd64", "config", "layer"),
        *("arm64", "other config", "other layer", "signature"),
    ]
    assert tree.most == 1


@case(
    clause="containerd v1.5.18 images/handlers.go:120 (Dispatch), :145",
    level=Level.REFERENCE,
    needs={Feature.HANDLERS},
)
def test_dispatch_handles_everything_below_its_roots(bench: Bench) -> None:
    """Dispatch visits every descriptor, and a parent before its children.

    Children are known only once their parent has been read: a manifest is fetched
    before its layers. In which order siblings come is nobody's business.
    """
    tree = Tree(INDEX)
    assert bench.inside.dispatch([tree], ["index", "signature"]).ok
    everything = {"signature", *INDEX, *(name for v in INDEX.values() for name in v)}
    assert sorted(tree.calls) == sorted(everything)
    for parent, children in INDEX.items():
        for child in children:
            assert tree.calls.index(parent) < tree.calls.index(child)


@case(
    clause="containerd v1.5.18 images/handlers.go:61 (Handlers)",
    level=Level.REFERENCE,
    needs={Feature.HANDLERS},
)
def test_chain_asks_its_handlers_in_their_order(bench: Bench) -> None:
    """Each handler of a chain is asked about a descriptor, one after the other.

    The order is a contract: fetch first, then read the children, then label them.
    Turned round, children are read of what is not there yet.
    """
    log: list[tuple[str, str]] = []
    chain = [
        Tree(name="fetch", log=log),
        Tree({"manifest": ["layer"]}, name="children", log=log),
        Tree(name="label", log=log),
    ]
    assert bench.inside.dispatch(chain, ["manifest"]).ok
    assert log == [
        (handler, desc)
        for desc in ("manifest", "layer")
        for handler in ("fetch", "children", "label")
    ]


@case(
    clause="containerd v1.5.18 images/handlers.go:73 (Handlers)",
    level=Level.REFERENCE,
    needs={Feature.HANDLERS},
)
def test_children_of_a_chain_are_joined_in_order(bench: Bench) -> None:
    """What several handlers find is visited all together, first come first.

    A handler may know children that no manifest lists, signatures or referrers:
    they come beside the others, and take the place of none. One that finds nothing
    changes nothing, and what two find comes twice.
    """
    chain = [
        Tree({"manifest": ["config", "layer"]}),
        Tree({"manifest": []}),
        Tree({"manifest": ["signature", "layer"]}),
    ]
    assert bench.inside.walk(chain, ["manifest"]).ok
    assert chain[0].calls == ["manifest", "config", "layer", "signature", "layer"]


@case(
    clause="containerd v1.5.18 images/handlers.go:67 (Handlers), :38 (ErrStopHandler)",
    level=Level.REFERENCE,
    needs={Feature.HANDLERS},
    twin="handlers.children-of-a-chain-are-joined-in-order",
)
def test_stop_ends_the_chain_and_keeps_children_so_far(bench: Bench) -> None:
    """ErrStopHandler says that a descriptor is done with: that is no error.

    Handlers behind it are not asked, and what those before it found is visited. It
    is about this descriptor alone: for the children, the chain is whole again.
    """
    first = Tree({"manifest": ["config"]})
    second = Tree({"manifest": ["layer"]}, does={"manifest": stop})
    third = Tree({"manifest": ["signature"]})
    pull = bench.inside.walk([first, second, third], ["manifest"])
    assert pull.ok, pull
    assert first.calls == second.calls == ["manifest", "config"]
    assert third.calls == ["config"]


@case(
    clause="containerd v1.5.18 images/handlers.go:70 (Handlers)",
    level=Level.REFERENCE,
    needs={Feature.HANDLERS},
    twin="handlers.children-of-a-chain-are-joined-in-order",
)
def test_skip_in_a_chain_drops_what_was_found_before(bench: Bench) -> None:
    """ErrSkipDesc of any handler in a chain drops the children of all of them.

    Unlike stop it means that nobody wants what is below: not even what a handler
    before it has found. Those behind it are not asked.
    """
    first = Tree({"manifest": ["config"]})
    second = Tree({"manifest": ["layer"]}, does={"manifest": skip})
    third = Tree({"manifest": ["signature"]})
    pull = bench.inside.walk([first, second, third], ["manifest", "next"])
    assert pull.ok, pull
    assert first.calls == second.calls == ["manifest", "next"]
    assert third.calls == ["next"]


@case(
    clause="containerd v1.5.18 images/handlers.go:90 (Walk), :34 (ErrSkipDesc)",
    level=Level.REFERENCE,
    needs={Feature.HANDLERS},
    twin="handlers.walk-is-depth-first-and-one-by-one",
)
def test_walk_goes_on_beside_what_is_skipped(bench: Bench) -> None:
    """ErrSkipDesc leaves out what is below a descriptor, and nothing else.

    So a platform that nobody wants costs no request, and its siblings are
    visited as if nothing had happened.
    """
    tree = Tree(INDEX, does={"amd64": skip})
    pull = bench.inside.walk([tree], ["index"])
    assert pull.ok, pull
    assert tree.calls == ["index", "amd64", "arm64", "other config", "other layer"]


@case(
    clause="containerd v1.5.18 images/handlers.go:139 (Dispatch), :34 (ErrSkipDesc)",
    level=Level.REFERENCE,
    needs={Feature.HANDLERS},
    twin="handlers.dispatch-handles-everything-below-its-roots",
)
def test_dispatch_goes_on_beside_what_is_skipped(bench: Bench) -> None:
    """Dispatch, too, takes ErrSkipDesc for an answer and not for an error.

    Taken for one, it would cancel the siblings: a pull would fail because a
    platform was left out on purpose.
    """
    tree = Tree(INDEX, does={"amd64": skip})
    pull = bench.inside.dispatch([tree], ["index"])
    assert pull.ok, pull
    assert sorted(tree.calls) == [
        *("amd64", "arm64", "index", "other config", "other layer"),
    ]


@case(
    clause="containerd v1.5.18 images/handlers.go:93 (Walk)",
    level=Level.REFERENCE,
    needs={Feature.HANDLERS},
    twin="handlers.walk-is-depth-first-and-one-by-one",
)
def test_error_ends_a_walk_there_and_then(bench: Bench) -> None:
    """After the first error, Walk visits nothing more, and the error is its own.

    Callers look at the class: what is not found is another matter than a registry
    that is down.
    """
    tree = Tree(INDEX, does={"config": fail})
    pull = bench.inside.walk([tree], ["index", "signature"])
    bench.must_reject(pull, tree.met("config"))
    assert pull.error_class == "ErrUnavailable", pull
    assert tree.calls == ["index", "amd64", "config"]


@case(
    clause="containerd v1.5.18 images/handlers.go:142 (Dispatch), :153",
    level=Level.REFERENCE,
    needs={Feature.HANDLERS},
    twin="handlers.dispatch-handles-everything-below-its-roots",
)
def test_error_of_a_handler_is_that_of_its_dispatch(bench: Bench) -> None:
    """What a handler raises, however deep, is what Dispatch raises in the end.

    A pull that lost it would report success with a layer missing; one that
    replaced it would keep from its caller whether trying again may help.
    """
    tree = Tree(INDEX, does={"other layer": fail})
    pull = bench.inside.dispatch([tree], ["index"])
    bench.must_reject(pull, tree.met("other layer"))
    assert pull.error_class == "ErrUnavailable", pull
    assert "the registry is down" in pull.error, pull


@case(
    clause="containerd v1.5.18 images/handlers.go:122 (Dispatch), :86 (Walk)",
    level=Level.REFERENCE,
    needs={Feature.HANDLERS},
)
def test_descriptor_that_comes_twice_is_handled_twice(bench: Bench) -> None:
    """Nothing is remembered: a layer that is listed twice is handled twice.

    That a blob is fetched once is the content store's doing, not the walk's. A
    handler that counts, as a progress bar does, has to know.
    """
    tree = Tree({"index": ["amd64", "amd64"], "amd64": ["layer"]})
    assert bench.inside.dispatch([tree], ["index"]).ok
    assert sorted(tree.calls) == ["amd64", "amd64", "index", "layer", "layer"]


@case(
    clause="containerd v1.5.18 images/handlers.go:153 (Dispatch), :103 (Walk)",
    level=Level.REFERENCE,
    needs={Feature.HANDLERS},
    twin="handlers.dispatch-handles-everything-below-its-roots",
)
def test_nothing_to_visit_is_no_error(bench: Bench) -> None:
    """Without descriptors, Dispatch and Walk are done, and say so.

    A filter may leave nothing over; whether that is an error is for the caller
    to say, who knows what was asked for.
    """
    tree = Tree()
    for visit in (bench.inside.dispatch, bench.inside.walk):
        pull = visit([tree], [])
        assert pull.ok, pull
    assert not tree.calls
