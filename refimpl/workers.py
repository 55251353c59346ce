"""Worker threads for what blocks: bodies, hashes, files and the database.

Mirrors nothing in containerd, where a goroutine may block. Here the event loop
must not: what reads, writes or hashes runs in a thread, and all such threads
share one limiter, wide enough for every download that a user may ask for.

    data = await run_blocking(path.read_bytes)
"""

from collections.abc import Callable
from typing import Final, TypeVar, TypeVarTuple

import anyio.to_thread
from anyio import CapacityLimiter
from anyio.lowlevel import RunVar

__all__ = ["MAX_WORKERS", "run_blocking"]

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

MAX_WORKERS: Final = 256

# A limiter belongs to one event loop; a process may run several, one after another.
_limiter: RunVar[CapacityLimiter] = RunVar("refimpl_workers")


async def run_blocking(func: Callable[[*Ts], T], *args: *Ts) -> T:
    """Run a blocking function in a worker thread and return what it returns.

    Cancellation waits for the function to end: a long one asks
    ``anyio.from_thread.check_cancelled`` at every chunk.
    """
    return await anyio.to_thread.run_sync(func, *args, limiter=_current_limiter())


def _current_limiter() -> CapacityLimiter:
    try:
        return _limiter.get()
    except LookupError:
        limiter = CapacityLimiter(MAX_WORKERS)
        _limiter.set(limiter)
        return limiter
