"""The digest of what is written, computed while it is written.

Mirrors nothing in containerd, whose writer hashes what it has just written
(content/local/writer.go:78). To hash takes about as long as to write, and neither
holds the interpreter up: a second thread does one while this one does the other.
"""

from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from hashlib import _Hash

__all__ = ["Hashing"]

# Below, waking another thread costs more than it saves.
_LARGE: Final = 1 << 18


class Hashing:
    """A digest of bytes that go somewhere else at the same time.

    Between :meth:`begin` and :meth:`end` the piece must stay as it is.

    Args:
        digester: what has been hashed before.
    """

    def __init__(self, digester: "_Hash") -> None:
        self._digester = digester
        self._before = digester
        self._view = memoryview(b"")
        self._running: Future[None] | None = None
        # A thread of the writer's own: one that all share would not survive a fork.
        self._thread: ThreadPoolExecutor | None = None

    def begin(self, view: memoryview) -> None:
        """Begin to hash a piece."""
        self._view = view
        if len(view) < _LARGE:
            return
        self._before = self._digester.copy()
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="refpull-hash")
        self._running = self._thread.submit(self._digester.update, view)

    def end(self, size: int) -> None:
        """Wait until the piece is hashed; only its first ``size`` bytes count."""
        view, self._view = self._view, memoryview(b"")
        running, self._running = self._running, None
        if running is not None:
            running.result()
            if size == len(view):
                return
            self._digester = self._before
        self._digester.update(view[:size])

    def hexdigest(self) -> str:
        """Return the digest of all pieces, in hexadecimal."""
        return self._digester.hexdigest()

    def close(self) -> None:
        """Let the thread end. A later piece starts another one."""
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.shutdown(wait=False)
