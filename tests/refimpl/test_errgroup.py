"""x/sync/errgroup: one error, everybody waits, only tasks are cancelled."""

import anyio
import pytest
from anyio.lowlevel import checkpoint

from refimpl.errgroup import errgroup

pytestmark = pytest.mark.anyio


async def fail(text):
    raise ValueError(text)


async def run(body, *tasks):
    """Start tasks in a group, then run the body in it."""
    async with errgroup() as eg:
        for task in tasks:
            eg.go(*task)
        await body(eg)


async def nothing(_eg):
    pass


async def test_the_first_error_comes_out_plain():
    with pytest.raises(ValueError, match="one"):
        await run(nothing, (fail, "one"))


async def test_an_error_cancels_the_tasks_that_run():
    cancelled = anyio.Event()

    async def wait():
        try:
            await anyio.sleep_forever()
        except anyio.get_cancelled_exc_class():
            cancelled.set()
            raise

    with pytest.raises(ValueError, match="late"):
        await run(nothing, (wait,), (fail, "late"))
    assert cancelled.is_set()


async def test_an_error_does_not_cancel_the_body():
    """errgroup.WithContext: the caller's context is not the group's."""
    seen = []

    async def body(eg):
        while eg.error is None:
            await checkpoint()
        for _ in range(5):
            await checkpoint()
        seen.append("end of the body")

    with pytest.raises(ValueError, match="early"):
        await run(body, (fail, "early"))
    assert seen == ["end of the body"]


async def test_a_task_that_starts_after_an_error_is_cancelled_from_the_start():
    seen = []

    async def second():
        seen.append("started")
        await checkpoint()
        seen.append("went on")

    async def body(eg):
        while eg.error is None:
            await checkpoint()
        eg.go(second)

    with pytest.raises(ValueError, match="first"):
        await run(body, (fail, "first"))
    assert seen == ["started"]


async def test_an_error_of_the_body_waits_for_the_tasks_and_wins():
    """pull.go:76: a deferred Wait keeps the error that is already on its way."""
    ended = []

    async def task():
        await checkpoint()
        ended.append("task")
        raise ValueError("task")

    async def body(_eg):
        raise KeyError

    with pytest.raises(KeyError):
        await run(body, (task,))
    assert ended == ["task"]


async def test_cancellation_of_the_caller_cancels_the_tasks():
    ended = []

    async def task():
        try:
            await anyio.sleep_forever()
        finally:
            ended.append("task")

    async def body(_eg):
        await checkpoint()
        scope.cancel()

    with anyio.CancelScope() as scope:
        await run(body, (task,))
    assert scope.cancelled_caught
    assert ended == ["task"]
