"""Time that passes only when nobody has anything left to do.

Handlers of timed vectors sleep. On this clock they do so in no time, and in the same
order on every machine.

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(clock.run)
        await clock.sleep(5000)
        tasks.cancel_scope.cancel()
"""

import heapq
from itertools import count
from typing import Final

import anyio
from anyio.lowlevel import checkpoint

__all__ = ["VirtualClock"]

# How often every other task gets a turn before the clock believes that all wait.
# A cancellation takes the most turns: a few for each scope it has to pass.
_SETTLED: Final = 50


class VirtualClock:
    """Milliseconds that go by when all who sleep on it sleep."""

    def __init__(self) -> None:
        self._now = 0
        self._sleepers: list[tuple[int, int, anyio.Event]] = []
        self._serial = count()
        self._quiet = 0

    def touch(self) -> None:
        """Say that something has happened: whoever acts on it needs turns, too."""
        self._quiet = 0

    async def sleep(self, milliseconds: int) -> None:
        """Wait for a time of this clock."""
        self.touch()
        event = anyio.Event()
        wake = (self._now + milliseconds, next(self._serial), event)
        heapq.heappush(self._sleepers, wake)
        try:
            await event.wait()
        finally:
            self.touch()

    async def run(self) -> None:
        """Let the time go by, until cancelled."""
        while True:
            await checkpoint()
            self._quiet += 1
            if self._quiet > _SETTLED and self._sleepers:
                self.touch()
                self._now, _, event = heapq.heappop(self._sleepers)
                event.set()
