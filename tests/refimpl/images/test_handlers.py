"""images/handlers.go."""

import anyio
import pytest
from anyio.lowlevel import checkpoint

from refimpl import images
from refimpl.descriptor import Descriptor, Platform
from refimpl.digest import Digest, from_bytes
from refimpl.errdefs import (
    ContainerdError,
    ErrInvalidArgument,
    ErrNotFound,
    ErrSkipDesc,
    ErrStopHandler,
)
from refimpl.images.handlers import MAX_DEPTH
from refimpl.platforms import any_, only, parse
from refimpl.stores.memory import MemoryStore

pytestmark = pytest.mark.anyio

INDEX = Descriptor(media_type=images.MEDIA_TYPE_IMAGE_INDEX)


def node(name):
    return Descriptor(digest=Digest(name))


def entry(name, specifier=None, media_type=images.MEDIA_TYPE_IMAGE_MANIFEST):
    return Descriptor(
        media_type=media_type,
        digest=Digest(name),
        platform=None if specifier is None else parse(specifier),
    )


def names(descs):
    return [desc.digest for desc in descs]


def returning(*found, error=None):
    async def handle(_desc):
        if error is not None:
            raise error
        return found

    return handle


class Tree:
    """A handler over ``{"parent": ["child", ...]}`` that notes its visits."""

    def __init__(self, tree, errors=None):
        self.tree = tree
        self.errors = errors or {}
        self.visited = []

    async def __call__(self, desc):
        self.visited.append(desc.digest)
        await checkpoint()
        if desc.digest in self.errors:
            raise self.errors[desc.digest]
        return [node(name) for name in self.tree.get(desc.digest, ())]


async def test_a_chain_collects_children():
    chain = images.handlers(
        returning(node("a")), returning(), returning(node("b"), node("a"))
    )
    assert names(await chain(INDEX)) == ["a", "b", "a"]


async def test_stop_keeps_what_was_found_before():
    chain = images.handlers(
        returning(node("a")), returning(error=ErrStopHandler()), returning(node("b"))
    )
    assert names(await chain(INDEX)) == ["a"]


async def test_skip_in_a_chain_drops_everything():
    chain = images.handlers(returning(node("a")), returning(error=ErrSkipDesc()))
    with pytest.raises(ErrSkipDesc):
        await chain(INDEX)


async def test_walk_visits_depth_first_and_skips():
    tree = Tree({"r": ["a", "b"], "a": ["x"], "b": ["y"]}, {"a": ErrSkipDesc()})
    await images.walk(tree, node("r"), node("s"))
    assert tree.visited == ["r", "a", "b", "y", "s"]


async def test_walk_does_not_recurse():
    async def deeper(desc):
        return [Descriptor(size=desc.size + 1)] if desc.size < 5_000 else ()

    await images.walk(deeper, Descriptor())


@pytest.mark.parametrize("limit", [None, 1, 2])
async def test_dispatch_visits_everything_duplicates_too(limit):
    tree = Tree({"r": ["a", "a"], "a": ["x"]})
    limiter = limit and anyio.Semaphore(limit)
    await images.dispatch(tree, limiter, node("r"))
    assert sorted(tree.visited) == ["a", "a", "r", "x", "x"]
    assert limiter is None or limiter.value == limit


async def test_a_stop_that_reaches_dispatch_is_an_error():
    with pytest.raises(ErrStopHandler):
        await images.dispatch(returning(error=ErrStopHandler()), None, node("r"))


async def test_siblings_run_at_once_up_to_the_limit():
    running, release, most = [], anyio.Event(), 0

    async def handle(desc):
        nonlocal most
        running.append(desc)
        most = max(most, len(running))
        if len(running) == 3:
            release.set()
        await release.wait()
        running.remove(desc)
        return ()

    await images.dispatch(handle, anyio.Semaphore(3), *map(node, "abcdefg"))
    assert most == 3


async def test_the_permit_is_given_back_before_the_children_are_visited():
    limiter = anyio.Semaphore(1)
    values = []

    async def handle(desc):
        values.append(limiter.value)
        return [node("child")] if desc.digest == "root" else ()

    await images.dispatch(handle, limiter, node("root"))
    assert values == [0, 0]


async def test_an_error_cancels_siblings_and_waits_for_them():
    ended = []

    async def handle(desc):
        if desc.digest == "bad":
            raise ContainerdError("bad")
        try:
            await anyio.sleep_forever()
        finally:
            ended.append(desc.digest)

    with pytest.raises(ContainerdError, match="bad"):
        await images.dispatch(handle, None, *map(node, ["a", "bad", "b"]))
    assert sorted(ended) == ["a", "b"]


async def test_siblings_that_wait_for_a_permit_start_after_an_error_cancelled():
    """Acquire has the outer context (handlers.go:126), the handler its own."""
    seen = {}

    async def handle(desc):
        seen[desc.digest] = anyio.current_effective_deadline() == float("-inf")
        await checkpoint()
        if desc.digest == "bad":
            raise ContainerdError("bad")
        return ()

    with pytest.raises(ContainerdError, match="bad"):
        await images.dispatch(handle, anyio.Semaphore(1), *map(node, ["bad", "a", "b"]))
    assert seen == {"bad": False, "a": True, "b": True}


async def test_children_of_a_slow_sibling_start_after_an_error():
    seen = []

    async def handle(desc):
        seen.append(desc.digest)
        if desc.digest == "slow":
            with anyio.CancelScope(shield=True):
                while "bad" not in seen:
                    await checkpoint()
                for _ in range(5):
                    await checkpoint()
            return [node("child")]
        if desc.digest == "bad":
            raise ContainerdError("bad")
        return ()

    with pytest.raises(ContainerdError, match="bad"):
        await images.dispatch(handle, None, node("slow"), node("bad"))
    assert seen[-1] == "child"


async def test_a_free_permit_is_granted_even_when_cancelled():
    seen = []

    async def handle(desc):
        seen.append(desc.digest)
        return ()

    with anyio.CancelScope() as scope:
        scope.cancel()
        await images.dispatch(handle, anyio.Semaphore(2), node("a"), node("b"))
    assert sorted(seen) == ["a", "b"]


async def test_nobody_runs_on_after_a_cancelled_wait_for_a_permit():
    """Deviation D21: Go returns while the first handler still runs."""
    ended: list[str] = []

    async def handle(desc):
        scope.cancel()
        with anyio.CancelScope(shield=True):
            for _ in range(10):
                await checkpoint()
        ended.append(desc.digest)
        return ()

    limiter = anyio.Semaphore(1)
    with anyio.CancelScope() as scope:
        await images.dispatch(handle, limiter, node("a"), node("b"))
    assert ended == ["a"]
    assert limiter.value == 1


@pytest.mark.parametrize("levels", [MAX_DEPTH, MAX_DEPTH + 1])
async def test_children_nest_up_to_a_depth(levels):
    """Deviation D25."""

    async def deeper(desc):
        below = desc.size + 1
        return [Descriptor(size=below)] if below < levels else ()

    if levels > MAX_DEPTH:
        with pytest.raises(ErrInvalidArgument, match="nested more than 128 levels"):
            await images.dispatch(deeper, anyio.Semaphore(1), Descriptor())
    else:
        await images.dispatch(deeper, anyio.Semaphore(1), Descriptor())


async def test_labels_are_numbered_by_key():
    store, parent = MemoryStore(), from_bytes(b"")
    store.put(parent, b"", {"mine": "kept", "k": "old"})
    keys = {"a": ("k",), "b": ("k", "l."), "c": ("l.",), "d": ()}
    handler = images.set_children_mapped_labels(
        store, returning(*map(node, keys)), lambda desc: keys[desc.digest]
    )
    await handler(Descriptor(digest=parent))
    info = await store.info(parent)
    assert info.labels == {"mine": "kept", "k": "a", "k1": "b", "l.0": "b", "l.1": "c"}


async def test_a_parent_without_children_is_not_touched():
    handler = images.set_children_labels(MemoryStore(), returning())
    assert await handler(INDEX) == ()


async def test_a_missing_parent_is_an_error():
    handler = images.set_children_labels(MemoryStore(), returning(node("a")))
    with pytest.raises(ErrNotFound):
        await handler(node("gone"))


async def test_platforms_are_filtered_and_none_passes():
    found = [entry("a", "linux/amd64"), entry("b", "linux/s390x"), entry("c")]
    handler = images.filter_platforms(returning(*found), only(parse("linux/amd64")))
    assert names(await handler(INDEX)) == ["a", "c"]
    handler = images.filter_platforms(returning(*found), None)
    assert names(await handler(INDEX)) == ["a", "b", "c"]


@pytest.mark.parametrize(("limit", "kept"), [(1, "b"), (3, "bda"), (0, "bdac")])
async def test_an_index_is_sorted_and_limited(limit, kept):
    found = [
        entry("a", "linux/386"),
        entry("b", "linux/amd64"),
        entry("c"),
        entry("d", "linux/amd64"),
    ]
    matcher = only(parse("linux/amd64"))
    handler = images.limit_manifests(returning(*found), matcher, limit)
    assert names(await handler(INDEX)) == list(kept)


async def test_what_is_no_index_is_neither_sorted_nor_limited():
    found = [entry("a"), entry("b", "linux/amd64")]
    handler = images.limit_manifests(returning(*found), only(parse("linux/amd64")), 1)
    assert names(await handler(entry("m"))) == ["a", "b"]


async def test_an_index_without_a_match_is_an_error():
    handler = images.limit_manifests(returning(), any_(Platform()), 1)
    with pytest.raises(
        ErrNotFound, match="no match for platform in manifest: not found"
    ):
        await handler(INDEX)
    handler = images.limit_manifests(returning(), any_(Platform()), 0)
    assert await handler(INDEX) == ()


async def test_an_entry_of_an_unknown_type_is_the_last_choice():
    """Deviation D24: image-spec v1.1.1, it "MUST NOT generate an error"."""
    found = [
        entry("unknown", "linux/amd64", "application/vnd.example+json"),
        entry("none"),
        entry("known", "linux/386"),
        entry("index", "linux/amd64", images.MEDIA_TYPE_IMAGE_INDEX),
    ]
    handler = images.limit_manifests(returning(*found), only(parse("linux/amd64")), 0)
    assert names(await handler(INDEX)) == ["index", "known", "none", "unknown"]
