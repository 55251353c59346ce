"""Bytes that are still coming: counted, hashed on the way, in memory or a file.

spool = Spool()
spool.write(b"hel")
spool.write(b"lo")
spool.digest("sha256")
spool.content()         # a buffer, or the path of a file in the given folder
"""

from __future__ import annotations

import hashlib
import mmap
import re
import tempfile
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["LENGTHS", "Content", "Spool", "known_digest", "mapped"]

Content = bytes | memoryview | Path

# image-spec v1.1, Registered Algorithms; hexadecimal digits of each.
LENGTHS: Final = {"sha256": 64, "sha384": 96, "sha512": 128}
# What is longer than this goes to a file.
_IN_MEMORY: Final = 8 * 1024 * 1024
_BLOCK: Final = 1024 * 1024
_HEX: Final = re.compile(r"[0-9a-f]+")


def known_digest(text: str) -> bool:
    """Say whether a digest is one that can be computed here."""
    algorithm, _, value = text.partition(":")
    return (
        len(value) == LENGTHS.get(algorithm, -1) and _HEX.fullmatch(value) is not None
    )


class Spool:
    """Takes bytes and gives them back as content.

    Args:
        folder: Where to write them; None: memory, or a file without a name when
            there are many.
        algorithm: The one of the digest that will be asked for.
        in_memory: Bytes that memory may hold.
    """

    def __init__(
        self,
        folder: Path | None = None,
        *,
        algorithm: str = "sha256",
        in_memory: int = _IN_MEMORY,
    ) -> None:
        self._algorithm = algorithm
        self._hash = hashlib.new(algorithm)
        self._in_memory = in_memory
        self._buffer = bytearray()
        self._path: Path | None = None
        self._file: IO[bytes] | None = None
        self.size = 0
        if folder is not None:
            # Not NamedTemporaryFile: its file closes when the wrapper is forgotten.
            descriptor, name = tempfile.mkstemp(dir=folder)
            self._file, self._path = open(descriptor, "w+b"), Path(name)  # noqa: PTH123, SIM115 - a descriptor; open until content() or discard()

    def write(self, data: bytes | memoryview) -> None:
        """Add bytes at the end."""
        if self._file is None and self.size + len(data) > self._in_memory:
            self._file = tempfile.TemporaryFile()  # noqa: SIM115 - as above
            self._file.write(self._buffer)
            self._buffer = bytearray()
        if self._file is None:
            self._buffer += data
        else:
            self._file.write(data)
        self._hash.update(data)
        self.size += len(data)

    def truncate(self, size: int) -> None:
        """Forget what came after the first ``size`` bytes."""
        if size == self.size:
            return
        if self._file is None:
            del self._buffer[size:]
        else:
            self._file.truncate(size)
            self._file.seek(size)
        self.size = size
        self._hash = self._hashed(self._algorithm)

    def digest(self, algorithm: str) -> str:
        """Return the digest of all bytes."""
        same = algorithm == self._algorithm
        found = self._hash if same else self._hashed(algorithm)
        return f"{algorithm}:{found.hexdigest()}"

    def content(self) -> Content:
        """Give the bytes away; nothing can be added any more."""
        if self._file is None:
            return memoryview(self._buffer).toreadonly()
        self._file.flush()
        if self._path is None:
            # There is no mapping of nothing.
            view = memoryview(
                mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ)
                if self.size
                else b""
            )
            self._file.close()
            return view
        self._file.close()
        self._path.chmod(0o644)
        return self._path

    def discard(self) -> None:
        """Drop the bytes; to be called unless they were given away."""
        self._buffer = bytearray()
        if self._file is not None:
            self._file.close()
        if self._path is not None:
            self._path.unlink(missing_ok=True)

    def _hashed(self, algorithm: str) -> hashlib._Hash:
        found = hashlib.new(algorithm)
        for block in self._blocks():
            found.update(block)
        return found

    def _blocks(self) -> Iterator[bytes | bytearray]:
        if self._file is None:
            yield self._buffer
            return
        self._file.seek(0)
        while block := self._file.read(_BLOCK):
            yield block


def mapped(path: Path) -> bytes | memoryview:
    """Map a file, so that its size costs no memory."""
    if not path.stat().st_size:
        return b""
    with path.open("rb") as file:
        return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
