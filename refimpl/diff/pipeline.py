"""Mirrors: containerd v1.5.18 diff/apply/apply.go:94 (TeeReader, readCounter).

Reads a stream and hashes it on the way. A small one is hashed as it is read; a large
one is decompressed in one thread and hashed in another, while the caller writes
files: zlib, hashlib and the kernel all let other threads run.

    with Pipeline(chunks, parallel=True) as stream:
        apply(root, stream)
        while stream.read(CHUNK):
            pass
        digest, size = stream.result()
"""

import hashlib
from collections.abc import Iterator
from queue import SimpleQueue
from threading import Semaphore, Thread
from types import TracebackType
from typing import Final, Self

from refimpl.digest import Digest

__all__ = ["Pipeline"]

# How many pieces wait between two threads.
_AHEAD: Final = 16


class _Closed(Exception):
    """Nobody takes what is put."""


class _Lane:
    """A queue between two threads that holds a bounded number of pieces."""

    def __init__(self) -> None:
        self._queue: SimpleQueue[bytes | Exception] = SimpleQueue()
        self._free = Semaphore(_AHEAD)
        self._closed = False

    def put(self, item: bytes | Exception) -> None:
        """Add a piece as soon as there is room."""
        self._free.acquire()
        if self._closed:
            raise _Closed
        self._queue.put(item)

    def get(self) -> bytes:
        """Return the next piece, or raise the error that stands in its place."""
        item = self._queue.get()
        self._free.release()
        if isinstance(item, Exception):
            raise item
        return item

    def close(self) -> None:
        """Stop whoever puts."""
        self._closed = True
        self._free.release()


class Pipeline:
    """A stream that is hashed as it is read.

    Args:
        chunks: the stream in pieces; none is empty.
        parallel: whether two threads read ahead and hash. Leaving the block ends
            them, wherever they are.
    """

    def __init__(self, chunks: Iterator[bytes], *, parallel: bool) -> None:
        self._chunks = chunks
        self._rest = b""
        self._ended = False
        self._hash = hashlib.sha256()
        self._size = 0
        self._ready, self._to_hash = _Lane(), _Lane()
        self._threads: tuple[Thread, ...] = ()
        if parallel:
            self._threads = (
                Thread(target=self._read_ahead, name="layer-decompress"),
                Thread(target=self._hash_all, name="layer-hash"),
            )
        for thread in self._threads:
            thread.start()

    def __enter__(self) -> Self:
        """Return the stream."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the threads."""
        self._ready.close()
        self._join()

    def read(self, size: int, /) -> bytes:
        """Return up to ``size`` bytes; none only at the end.

        Raises:
            ErrInvalidArchive: the compressed data is damaged.
            ErrUnexpectedEOF: it ends too early.
        """
        if not self._rest and not self._ended:
            self._rest = self._next()
            self._ended = not self._rest
        data, self._rest = self._rest[:size], self._rest[size:]
        return data

    def result(self) -> tuple[Digest, int]:
        """Return digest and size in bytes of a stream that was read to its end."""
        self._join()
        return Digest(f"sha256:{self._hash.hexdigest()}"), self._size

    def _next(self) -> bytes:
        if self._threads:
            return self._ready.get()
        chunk = next(self._chunks, b"")
        self._update(chunk)
        return chunk

    def _read_ahead(self) -> None:
        try:
            for chunk in self._chunks:
                self._to_hash.put(chunk)
                self._ready.put(chunk)
            self._ready.put(b"")
        except _Closed:
            pass
        except Exception as err:  # noqa: BLE001 - raised by read()
            self._fail(err)
        finally:
            self._to_hash.put(b"")

    def _fail(self, error: Exception) -> None:
        try:
            self._ready.put(error)
        except _Closed:
            return

    def _hash_all(self) -> None:
        while chunk := self._to_hash.get():
            self._update(chunk)

    def _update(self, chunk: bytes) -> None:
        self._hash.update(chunk)
        self._size += len(chunk)

    def _join(self) -> None:
        for thread in self._threads:
            thread.join()
