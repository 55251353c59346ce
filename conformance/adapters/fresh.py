"""A daemon of its own for every case, for clients whose state cannot be told apart.

Removing images does not take a daemon back to where it was: dockerd keeps what it
knows of layers, and has been seen to answer from manifests that it still had. A new
one starts in half a second, so the next is started while a case runs, and those of
earlier cases end meanwhile.
"""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

from conformance.adapters.daemon import PrivateDaemon
from conformance.contract import AdapterError

__all__ = ["FreshDaemons"]

D = TypeVar("D", bound=PrivateDaemon)


class FreshDaemons(Generic[D]):
    """Daemons by the root that they serve.

    The roots of one case lie in one folder. A root of another case ends the
    daemons of those before it.
    """

    def __init__(self, start: Callable[[], D]) -> None:
        self._start = start
        self._lock = threading.Lock()
        self._of: dict[Path, D] = {}
        self._next: _Starting[D] | None = None
        self._ending: list[threading.Thread] = []

    def prepare(self) -> None:
        """Start a daemon and wait until it runs.

        Raises:
            AdapterError: It does not start.
        """
        with self._lock:
            if self._next is None:
                self._next = _Starting(self._start)
        self._next.wait()

    def of(self, root: Path | str) -> D:
        """Return the daemon of a root, a new one if the root is new.

        Raises:
            AdapterError: It does not start.
        """
        root = Path(root)
        with self._lock:
            if root not in self._of:
                self._end_others(root)
                starting = self._next or _Starting(self._start)
                self._next = None
                self._of[root] = starting.wait()
                self._next = _Starting(self._start)
            return self._of[root]

    def known(self, root: Path | str) -> D | None:
        """Return the daemon of a root, None if nothing has been pulled there."""
        with self._lock:
            return self._of.get(Path(root))

    def close(self) -> None:
        """End all of them and wait until they are gone."""
        with self._lock:
            starting, self._next = self._next, None
            running = list(self._of.values())
            self._of.clear()
        if starting is not None:
            starting.abandon()
        for daemon in running:
            self._end(daemon)
        for thread in self._ending:
            thread.join()
        self._ending.clear()

    def _end_others(self, root: Path) -> None:
        self._ending = [thread for thread in self._ending if thread.is_alive()]
        for other in [known for known in self._of if known.parent != root.parent]:
            self._end(self._of.pop(other))

    def _end(self, daemon: D) -> None:
        thread = threading.Thread(target=daemon.stop, name=f"end of {daemon.name}")
        thread.start()
        self._ending.append(thread)


class _Starting(Generic[D]):
    """A daemon that starts in a thread of its own."""

    def __init__(self, start: Callable[[], D]) -> None:
        self._start = start
        self._daemon: D | None = None
        self._error: AdapterError | None = None
        self._thread = threading.Thread(target=self._run, name="start of a daemon")
        self._thread.start()

    def wait(self) -> D:
        """Return the daemon once it runs.

        Raises:
            AdapterError: It does not start.
        """
        self._thread.join()
        if self._daemon is None:
            raise self._error or AdapterError("the daemon did not start")
        return self._daemon

    def abandon(self) -> None:
        """End what may just have started."""
        self._thread.join()
        if self._daemon is not None:
            self._daemon.stop()

    def _run(self) -> None:
        try:
            self._daemon = self._start()
        except AdapterError as err:
            self._error = err
