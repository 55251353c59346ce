"""Mirrors: golang.org/x/sync/errgroup (vendored by containerd v1.5.18)."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVarTuple

import anyio
from anyio.abc import TaskGroup

Ts = TypeVarTuple("Ts")

__all__ = ["Group", "errgroup"]


class Group:
    """Tasks that share one fate: the first error cancels the others.

    Go's group has a context of its own, and only the tasks see it: an error
    cancels the tasks that run and those that are still to come, but never the
    body that starts them. A scope for each task gives just that.
    """

    def __init__(self, tasks: TaskGroup) -> None:
        self._tasks = tasks
        self._scopes: set[anyio.CancelScope] = set()
        self.error: Exception | None = None

    def go(self, func: Callable[[*Ts], Awaitable[None]], *args: *Ts) -> None:
        """Start a task in the group."""
        self._tasks.start_soon(self._run, func, args)

    async def _run(
        self, func: Callable[[*Ts], Awaitable[None]], args: tuple[*Ts]
    ) -> None:
        with anyio.CancelScope() as scope:
            if self.error is not None:
                scope.cancel()
            self._scopes.add(scope)
            try:
                await func(*args)
            except Exception as err:  # noqa: BLE001 - kept for errgroup(), as errOnce does
                self._fail(err)
            finally:
                self._scopes.discard(scope)

    def _fail(self, err: Exception) -> None:
        if self.error is None:
            self.error = err
            for scope in self._scopes:
                scope.cancel()


@asynccontextmanager
async def errgroup() -> AsyncIterator[Group]:
    """Wait for every task on exit, then raise one plain error.

    An error of the body waits for the tasks and wins over theirs, as a
    deferred ``Wait`` does at pull.go:76. Cancellation of the caller cancels
    the tasks.
    """
    body: Exception | None = None
    async with anyio.create_task_group() as tasks:
        group = Group(tasks)
        try:
            yield group
        except Exception as err:  # noqa: BLE001 - raised below, after the wait
            body = err
    if error := body or group.error:
        raise error
