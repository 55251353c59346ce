"""Blocking work beside the event loop."""

import threading
from functools import partial

import anyio
import pytest

from refimpl.workers import MAX_WORKERS, run_blocking, run_interruptible

pytestmark = pytest.mark.anyio


async def test_runs_in_another_thread():
    here = threading.get_ident()
    assert await run_blocking(threading.get_ident) != here


async def test_passes_arguments_and_errors():
    assert await run_blocking(divmod, 7, 2) == (3, 1)
    with pytest.raises(ZeroDivisionError):
        await run_blocking(divmod, 1, 0)


async def test_many_threads_may_wait_for_each_other():
    """More than anyio's usual 40: every download has a thread of its own."""
    count = 64
    barrier = threading.Barrier(count, timeout=10)
    async with anyio.create_task_group() as tasks:
        for _ in range(count):
            tasks.start_soon(partial(run_blocking, barrier.wait))
    assert count <= MAX_WORKERS


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_every_event_loop_has_its_own_limiter(backend):
    assert anyio.run(run_blocking, divmod, 7, 2, backend=backend) == (3, 1)
    assert anyio.run(run_blocking, divmod, 7, 2, backend=backend) == (3, 1)


def nothing():
    raise AssertionError("nobody cancelled")


async def test_an_interruptible_function_passes_its_result_and_its_errors():
    assert await run_interruptible(nothing, lambda: 7) == 7
    with pytest.raises(ZeroDivisionError):
        await run_interruptible(nothing, lambda: 1 // 0)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_cancelled_function_is_interrupted_and_has_ended(backend):
    begun, interrupted, log = threading.Event(), threading.Event(), []

    def wait():
        begun.set()
        log.append("interrupted" if interrupted.wait(10) else "not in time")

    async def run():
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(run_interruptible, interrupted.set, wait)
            await run_blocking(begun.wait)
            tasks.cancel_scope.cancel()
        log.append("the caller goes on")

    anyio.run(run, backend=backend)
    assert log == ["interrupted", "the caller goes on"]


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_what_is_cancelled_before_never_runs(backend):
    async def run():
        with anyio.CancelScope() as scope:
            scope.cancel()
            await run_interruptible(nothing, nothing)

    anyio.run(run, backend=backend)
