"""Layers: real tar archives, packed without a compressor.

gzip and zstd are written with stored blocks only (RFC 1952 and 1951 section
3.2.4; RFC 8878 section 3.1.1.2), so that the same arguments give the same bytes
with every version of every library. Use ``Layer(data=...)`` for anything else.
"""

from __future__ import annotations

import gzip
import random
import struct
import tarfile
import zlib
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final, Literal

from fakeregistry.image import OCI_EMPTY, digest_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

Compression = Literal["gzip", "zstd", "none"]

COMPRESSIONS: Final = ("gzip", "zstd", "none")
_BLOCK: Final = tarfile.BLOCKSIZE
_GZIP_HEADER: Final = bytes.fromhex("1f8b08000000000000ff")
_GZIP_MAGIC: Final = b"\x1f\x8b"
_ZSTD_MAGIC: Final = b"\x28\xb5\x2f\xfd"
_DEFLATE_STORED: Final = 0xFFFF
_ZSTD_BLOCK: Final = 1 << 17
_CACHED_SIZE: Final = 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """A layer as it is stored, with what the image says about it.

    Attributes:
        data: The bytes of the blob.
        diff_id: Digest of the unpacked archive; None: gzip is unpacked to find
            out, anything else (or broken gzip) is taken as it is.
        media_type: None: that of the image's format and compression.
        annotations: Those of the layer's descriptor.
        urls: Those of the layer's descriptor.
        foreign: The default media type is that of non-distributable layers.
        stored: Whether a registry gets the bytes; a foreign layer lies elsewhere.
    """

    data: bytes
    diff_id: str | None = None
    media_type: str | None = None
    annotations: Mapping[str, str] | None = None
    urls: tuple[str, ...] = ()
    foreign: bool = False
    stored: bool = True

    def content_digest(self) -> str:
        """Return the diff ID that belongs into the config."""
        return self.diff_id or digest_of(_unpacked(self.data))


# image-spec v1.1, manifest.md, Guidance for an Empty Descriptor: what an artifact
# without content has as its only layer.
EMPTY_LAYER: Final = Layer(data=b"{}", media_type=OCI_EMPTY)


def seeded_layer(seed: str, *, size: int, compression: Compression) -> Layer:
    """Make an archive of one file with ``size`` bytes that do not compress."""
    build = _seeded_layer if size <= _CACHED_SIZE else _seeded_layer.__wrapped__
    return build(seed, size, compression)


def files_layer(
    files: Mapping[str, bytes], *, compression: Compression = "gzip"
) -> Layer:
    """Make a layer of regular files."""
    return tar_layer(
        ((tarfile.TarInfo(name), data) for name, data in files.items()),
        compression=compression,
    )


def tar_layer(
    entries: Iterable[tuple[tarfile.TarInfo, bytes]],
    *,
    compression: Compression = "gzip",
) -> Layer:
    """Make a layer of any archive members, names and types as they are given."""
    archive = make_tar(entries)
    return Layer(data=compress(archive, compression), diff_id=digest_of(archive))


def make_tar(entries: Iterable[tuple[tarfile.TarInfo, bytes]]) -> bytes:
    """Write a tar archive; sizes are those of the data."""
    return b"".join(tar_parts(entries))


def tar_parts(
    entries: Iterable[tuple[tarfile.TarInfo, bytes | memoryview]],
) -> Iterator[bytes | memoryview]:
    """Yield the pieces of a tar archive; data is not copied."""
    for info, data in entries:
        info.size = len(data)
        yield info.tobuf(tarfile.PAX_FORMAT)
        yield data
        yield bytes(-len(data) % _BLOCK)
    yield bytes(2 * _BLOCK)


def compression_of(data: bytes) -> Compression:
    """Tell from the first bytes how a layer is packed."""
    if data.startswith(_GZIP_MAGIC):
        return "gzip"
    return "zstd" if data.startswith(_ZSTD_MAGIC) else "none"


def compress(data: bytes, compression: Compression) -> bytes:
    """Pack bytes the same way everywhere; see the module's docstring."""
    if compression == "gzip":
        return b"".join(_gzip_stored(data))
    if compression == "zstd":
        return b"".join(_zstd_raw(data))
    return data


@lru_cache(maxsize=256)
def _seeded_layer(seed: str, size: int, compression: Compression) -> Layer:
    # Seeding with text goes through SHA-512, the same in every Python.
    generator = random.Random(seed)  # noqa: S311 - repeatable is the point
    info = tarfile.TarInfo(f"{seed.replace('/', '-')}.bin")
    return tar_layer(((info, generator.randbytes(size)),), compression=compression)


def _unpacked(data: bytes) -> bytes:
    if not data.startswith(_GZIP_MAGIC):
        return data
    try:
        return gzip.decompress(data)
    except (OSError, EOFError, zlib.error):
        return data


def _gzip_stored(data: bytes) -> Iterator[bytes]:
    yield _GZIP_HEADER
    for start in range(0, len(data) or 1, _DEFLATE_STORED):
        block = data[start : start + _DEFLATE_STORED]
        last = start + _DEFLATE_STORED >= len(data)
        yield struct.pack("<BHH", last, len(block), len(block) ^ 0xFFFF)
        yield block
    yield struct.pack("<II", zlib.crc32(data), len(data) & 0xFFFFFFFF)


def _zstd_raw(data: bytes) -> Iterator[bytes]:
    # Single segment, content size in eight bytes, no checksum, no dictionary.
    yield b"\x28\xb5\x2f\xfd\xe0" + struct.pack("<Q", len(data))
    for start in range(0, len(data) or 1, _ZSTD_BLOCK):
        block = data[start : start + _ZSTD_BLOCK]
        last = start + _ZSTD_BLOCK >= len(data)
        yield struct.pack("<I", last | len(block) << 3)[:3]
        yield block
