"""When dispatch runs what, on a virtual clock: trees and durations are generated."""

from typing import Any

import anyio
import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from refimpl import images
from refimpl.descriptor import Descriptor
from refimpl.digest import Digest
from refimpl.errdefs import ContainerdError

#: (seconds, children)
TREES: st.SearchStrategy[Any] = st.recursive(
    st.tuples(st.integers(0, 9), st.just([])),
    lambda tree: st.tuples(st.integers(0, 9), st.lists(tree, max_size=4)),
    max_leaves=12,
)
ROOTS = st.lists(TREES, min_size=1, max_size=4)
LIMITS = st.integers(1, 5)


def work(trees):
    return sum(seconds + work(children) for seconds, children in trees)


def longest(trees):
    return max((seconds + longest(below) for seconds, below in trees), default=0)


def count(trees):
    return sum(1 + count(children) for _, children in trees)


class Running:
    """A handler that takes as long as the tree says, and notes what it sees."""

    def __init__(self, trees, broken=None):
        self.nodes = {}
        self.roots = self._named(trees)
        self.broken = broken
        self.started = []
        self.cancelled_at = set()
        self.now = self.most = 0

    def _named(self, trees):
        named = []
        for seconds, children in trees:
            name = f"n{len(self.nodes)}"
            self.nodes[name] = None
            self.nodes[name] = seconds, self._named(children)
            named.append(Descriptor(digest=Digest(name)))
        return named

    async def __call__(self, desc):
        seconds, children = self.nodes[desc.digest]
        self.started.append(desc.digest)
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            await anyio.sleep(seconds)
        except anyio.get_cancelled_exc_class():
            self.cancelled_at.add(anyio.current_time())
            raise
        finally:
            self.now -= 1
        if desc.digest == self.broken:
            raise ContainerdError(f"broken at {anyio.current_time():g}")
        return children


def dispatch(running, limit):
    """Return how many seconds of the virtual clock it took."""

    async def timed():
        limiter = anyio.Semaphore(limit) if limit else None
        start = anyio.current_time()
        try:
            await images.dispatch(running, limiter, *running.roots)
        finally:
            assert limiter is None or limiter.value == limit
        return anyio.current_time() - start

    clock = trio.testing.MockClock(autojump_threshold=0)
    return trio.run(timed, clock=clock)


@given(ROOTS)
def test_without_a_limit_the_longest_path_is_all_the_time(trees):
    running = Running(trees)
    assert dispatch(running, None) == longest(trees)
    assert len(running.started) == count(trees)


@given(ROOTS)
def test_with_one_permit_all_is_done_one_by_one(trees):
    running = Running(trees)
    assert dispatch(running, 1) == work(trees)
    assert running.most == 1
    assert sorted(running.started) == sorted(running.nodes)


@given(ROOTS, LIMITS)
def test_no_permit_is_idle_while_a_descriptor_waits(trees, limit):
    """Graham's bound for list scheduling, which an idle permit would break."""
    running = Running(trees)
    took = dispatch(running, limit)
    assert running.most <= limit
    assert max(longest(trees), work(trees) / limit) <= took
    assert took <= work(trees) / limit + longest(trees) * (1 - 1 / limit) + 1e-9


@given(ROOTS, st.data())
def test_an_error_ends_what_runs_at_that_moment(trees, data):
    """Without a limit: a wait for a permit goes on, and with it the siblings."""
    bad = data.draw(st.sampled_from(sorted(Running(trees).nodes)))
    running = Running(trees, broken=bad)
    with pytest.raises(ContainerdError, match="broken at") as caught:
        dispatch(running, None)
    failed = float(str(caught.value).rpartition(" ")[2])
    assert running.cancelled_at <= {failed}
    assert running.now == 0
