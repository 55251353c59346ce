"""Worker threads for what blocks: bodies, hashes, files and the database.

Mirrors nothing in containerd, where a goroutine may block. Here the event loop
must not: what reads, writes or hashes runs in a thread, and all such threads
share one limiter, wide enough for every download that a user may ask for. Beside
them, a long body has a thread that receives (remotes/docker/httpclient.py) and one
that hashes (stores/hashing.py).

    data = await run_blocking(path.read_bytes)
"""

from collections.abc import Callable
from threading import Event, Lock
from typing import Final, TypeVar, TypeVarTuple

import anyio.to_thread
from anyio import CancelScope, CapacityLimiter, get_cancelled_exc_class
from anyio.lowlevel import RunVar

__all__ = ["MAX_WORKERS", "run_blocking", "run_interruptible"]

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


async def run_interruptible(
    interrupt: Callable[[], object], func: Callable[[], T]
) -> T:
    """Run a function that waits for something, and end its wait when cancelled.

    In every case the function has ended when this returns or raises. What it returns
    in the moment of the cancellation is lost: if that has to be closed, the function
    keeps it where its caller finds it.

    Args:
        interrupt: called in the event loop; makes the function return or raise soon.
        func: what blocks.
    """
    claimed, ended = Lock(), Event()

    def run() -> T:
        if not claimed.acquire(blocking=False):
            raise RuntimeError("cancelled before it began")
        try:
            return func()
        finally:
            ended.set()

    try:
        return await anyio.to_thread.run_sync(
            run, abandon_on_cancel=True, limiter=_current_limiter()
        )
    except get_cancelled_exc_class():
        # Whoever claims the call first decides whether it runs at all.
        if not claimed.acquire(blocking=False):
            interrupt()
            with CancelScope(shield=True):
                await run_blocking(ended.wait)
        raise


def _current_limiter() -> CapacityLimiter:
    try:
        return _limiter.get()
    except LookupError:
        limiter = CapacityLimiter(MAX_WORKERS)
        _limiter.set(limiter)
        return limiter
