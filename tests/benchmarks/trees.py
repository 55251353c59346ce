"""A layer of many files, and what a client made of it.

    layer = make(files=10_000, size=256 << 20)
    assert read(folder) == read(other_folder)

Half of the bytes are text-like, half resemble programs: pieces that come again
among bytes that do not. Among every hundred entries are two links, one of each kind.
The same arguments give the same archive.
"""

from __future__ import annotations

import hashlib
import random
import tarfile
import zlib
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Final

from fakeregistry.layers import Layer, tar_parts

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["Tree", "extract", "make", "read"]

#: How gzip compresses unless it is told otherwise; and a header of gzip (zlib.h).
_LEVEL: Final = 6
_GZIP: Final = 31
_POOL: Final = 8 << 20
_PER_FOLDER: Final = 50
_TIME: Final = 1_600_000_000


@dataclass(frozen=True, slots=True)
class Tree:
    """What is in a folder: regular files, their bytes, and a digest of all of it."""

    files: int
    size: int
    digest: str


def make(*, files: int, size: int) -> Layer:
    """Make a layer of so many files, links included, with so many bytes together."""
    packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP)
    unpacked = hashlib.sha256()
    parts = []
    for part in tar_parts(_entries(files, size)):
        unpacked.update(part)
        parts.append(packer.compress(part))
    parts.append(packer.flush())
    return Layer(data=b"".join(parts), diff_id=f"sha256:{unpacked.hexdigest()}")


def _entries(files: int, size: int) -> Iterator[tuple[tarfile.TarInfo, bytes]]:
    generator = random.Random("a tree")  # noqa: S311 - repeatable is the point
    pools = _text(), _program()
    regular = [number for number in range(files) if number % 100 not in {50, 99}]
    sizes = dict(zip(regular, _sizes(generator, len(regular), size), strict=True))
    for number in range(files):
        folder = f"usr/share/part-{number // _PER_FOLDER:04}"
        if number % _PER_FOLDER == 0:
            yield _info(folder, tarfile.DIRTYPE, 0o755), b""
        entry = _info(f"{folder}/file-{number:05}", tarfile.REGTYPE, 0o644)
        if number in sizes:
            yield entry, _cut(generator, pools[number % 2], sizes[number])
            continue
        target = f"file-{number - 1:05}"
        entry.type = tarfile.SYMTYPE if number % 100 == 99 else tarfile.LNKTYPE
        entry.linkname = target
        if entry.type == tarfile.LNKTYPE:
            entry.linkname = f"usr/share/part-{(number - 1) // _PER_FOLDER:04}/{target}"
        yield entry, b""


def _info(name: str, kind: bytes, mode: int) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type, entry.mode, entry.mtime = kind, mode, _TIME
    return entry


def _sizes(generator: random.Random, count: int, total: int) -> list[int]:
    """Share bytes out: many small files, few large ones."""
    shares = [generator.lognormvariate(0, 1.5) for _ in range(count)]
    sizes = [int(total * share / sum(shares)) for share in shares]
    sizes[-1] += total - sum(sizes)
    return sizes


def _cut(generator: random.Random, pool: bytes, size: int) -> bytes:
    """Take bytes out of a pool; what is longer than the pool repeats it."""
    start = generator.randrange(len(pool))
    taken = pool[start : start + size]
    while len(taken) < size:
        taken += pool[: size - len(taken)]
    return taken


@cache
def _text() -> bytes:
    generator = random.Random("a text")  # noqa: S311 - as above
    letters = "etaoinshrdlcumwfgypbvkjxqz"
    words = [
        "".join(generator.choices(letters, k=generator.randint(2, 11)))
        for _ in range(4000)
    ]
    weights = [1 / (rank + 1) for rank in range(len(words))]
    chosen = generator.choices(words, weights, k=_POOL // 5)
    return " ".join(chosen).encode()[:_POOL]


@cache
def _program() -> bytes:
    generator = random.Random("a program")  # noqa: S311 - as above
    pieces = [generator.randbytes(24) for _ in range(1000)]
    return b"".join(
        generator.choice(pieces) + generator.randbytes(8) for _ in range(_POOL // 32)
    )


def read(folder: Path) -> Tree:
    """Read a folder: names, kinds and contents; owners and times are not looked at."""
    files = size = 0
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        digest.update(f"\0{path.relative_to(folder)}\0".encode())
        if path.is_symlink():
            digest.update(f"-> {path.readlink()}".encode())
        elif path.is_dir():
            digest.update(b"/")
        else:
            data = path.read_bytes()
            files, size = files + 1, size + len(data)
            digest.update(hashlib.sha256(data).digest())
    return Tree(files, size, digest.hexdigest())


def extract(blob: Path, folder: Path) -> None:
    """Unpack a layer as the standard library does."""
    with tarfile.open(blob, "r:gz") as archive:
        archive.extractall(folder, filter="tar")
