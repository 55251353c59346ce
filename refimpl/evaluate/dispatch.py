"""Vectors of images.Dispatch: trees of handlers, some of which take their time."""

from collections.abc import Sequence
from typing import Final

import anyio

from refimpl.descriptor import Descriptor
from refimpl.evaluate.clock import VirtualClock
from refimpl.evaluate.values import Json, Outcome, fail, named
from refimpl.images import dispatch

__all__ = ["dispatched"]

_CANCELLED: Final = float("-inf")


class _Run:
    """One call of dispatch and what was seen of it."""

    def __init__(self, nodes: Json, sleep_ms: int) -> None:
        self.clock = VirtualClock()
        self.started: list[str] = []
        self.finished: list[str] = []
        self.cancelled_at_start: list[str] = []
        self.saw_cancel: list[str] = []
        self.most = 0
        self._running = 0
        self._nodes = nodes
        self._sleep_ms = sleep_ms

    async def handle(self, desc: Descriptor) -> Sequence[Descriptor]:
        """Do what the vector says of the node."""
        name = str(desc.digest)
        node = self._nodes.get(name, {})
        self.started.append(name)
        if anyio.current_effective_deadline() == _CANCELLED:
            self.cancelled_at_start.append(name)
        self._running += 1
        self.most = max(self.most, self._running)
        try:
            await self._sleep(name, node)
        finally:
            self._running -= 1
            self.finished.append(name)
        fail(node.get("error"))
        return [named(child) for child in node.get("children") or ()]

    async def _sleep(self, name: str, node: Json) -> None:
        """Sleep as Go's handlers do: deaf to cancellation unless the vector says."""
        milliseconds = node.get("sleep_ms", self._sleep_ms)
        deaf = not node.get("returns_on_cancel")
        if not milliseconds and deaf:
            return
        try:
            with anyio.CancelScope(shield=deaf):
                await self.clock.sleep(milliseconds)
        except anyio.get_cancelled_exc_class():
            self.saw_cancel.append(name)
            raise


async def dispatched(kind: str, value: Json) -> Outcome:
    """Dispatch a tree."""
    nodes = value.get("nodes", value.get("tree"))
    run = _Run(nodes, value.get("handler_sleep_ms", 0))
    limit = value["limit"]
    limiter = anyio.Semaphore(limit) if limit else None
    error = None
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run.clock.run)
        with anyio.CancelScope() as scope:
            if value.get("context_cancelled_before"):
                scope.cancel()
            try:
                await dispatch(run.handle, limiter, *map(named, value["roots"] or ()))
            except Exception as err:  # noqa: BLE001 - it is the outcome
                error = err
        tasks.cancel_scope.cancel()
    return Outcome(_output(kind, value, run, limiter), error)


def _output(kind: str, value: Json, run: _Run, limiter: anyio.Semaphore | None) -> Json:
    if kind == "concurrency":
        return {"handled": len(run.finished), "max_concurrent": run.most}
    if "nodes" in value:
        return {
            "context_cancelled_at_start": sorted(run.cancelled_at_start),
            "finished_when_dispatch_returned": sorted(run.finished),
            "saw_cancel": sorted(run.saw_cancel),
            "started_sorted": sorted(run.started),
        }
    out: dict[str, Json] = {"visited_sorted": sorted(run.started)}
    if limiter is not None:
        out["limiter_fully_released"] = limiter.value == value["limit"]
    return out
