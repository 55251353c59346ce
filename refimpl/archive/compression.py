"""Mirrors: containerd v1.5.18 archive/compression/compression.go, Go's compress/gzip.

What a stream is compressed with is told by its first bytes, not by its media type.

>>> import io, gzip
>>> b"".join(decompress_stream(io.BytesIO(gzip.compress(b"hello"))))
b'hello'

Where isal is installed, it inflates; the results are the standard library's. The
frame around the deflated data is read here, so that both see the same errors.
"""

import sys
import zlib
from collections.abc import Iterator
from typing import Any, Final, Literal, Protocol

from refimpl.archive.errors import ErrChecksum, ErrCorruptInput, ErrGzipHeader
from refimpl.errdefs import ErrUnexpectedEOF

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

# Typed as Any: it stands in for zlib, and may be missing.
_inflater: Any
try:
    from isal import isal_zlib as _inflater
except ImportError:
    _inflater = zlib

__all__ = [
    "CHUNK",
    "BinaryReader",
    "Compression",
    "decompress_stream",
    "detect_compression",
]

Compression = Literal["", "gzip", "zstd"]

# How much is read, inflated and handed on at a time: enough for few calls, and
# still in the cache when the next stage gets it.
CHUNK: Final = 256 << 10

_MAGIC: Final[tuple[tuple[Compression, bytes], ...]] = (
    ("gzip", b"\x1f\x8b\x08"),
    ("zstd", b"\x28\xb5\x2f\xfd"),
)

# Bits of a gzip header's flags (RFC 1952 section 2.3.1).
_HEADER_CRC: Final = 1 << 1
_EXTRA: Final = 1 << 2
_NAME: Final = 1 << 3
_COMMENT: Final = 1 << 4
_MAX_TEXT: Final = 512

# The largest window that klauspost's decoder takes: 512 MiB (zstd/framedec.go:55).
_ZSTD_OPTIONS: Final[dict[int, int]] = {zstd.DecompressionParameter.window_log_max: 29}


class BinaryReader(Protocol):
    """Bytes one after another, as of a file. Blocks."""

    def read(self, size: int, /) -> bytes:
        """Return up to ``size`` bytes; none only at the end."""
        ...


class _Input:
    """A reader that bytes can be given back to."""

    def __init__(self, source: BinaryReader) -> None:
        self._source = source
        self._held = b""

    def chunk(self) -> bytes:
        """Return some bytes; none only at the end."""
        if self._held:
            held, self._held = self._held, b""
            return held
        return self._source.read(CHUNK)

    def give_back(self, data: bytes) -> None:
        """Let the next bytes be ``data``."""
        self._held = data + self._held if self._held else data

    def peek(self, count: int) -> bytes:
        """Return the next bytes and keep them; fewer only at the end."""
        while len(self._held) < count and (more := self._source.read(CHUNK)):
            self._held += more
        return self._held[:count]

    def take(self, count: int) -> bytes:
        """Return the next ``count`` bytes."""
        taken = self.peek(count)
        if len(taken) < count:
            raise ErrUnexpectedEOF
        self._held = self._held[count:]
        return taken


def detect_compression(source: bytes) -> Compression:
    """Return what a stream is compressed with, "" for nothing (compression.go:129)."""
    for name, magic in _MAGIC:
        if source.startswith(magic):
            return name
    return ""


def decompress_stream(source: BinaryReader) -> Iterator[bytes]:
    """Return the decompressed stream in pieces (compression.go:146). Blocks.

    No piece is empty or longer than ``CHUNK``. The beginning is read at once, the
    rest as the pieces are asked for. A stream without a byte is one that is not
    compressed.

    Raises:
        ErrInvalidArchive: the compressed data is damaged, or something else follows.
        ErrUnexpectedEOF: it ends too early.
    """
    stream = _Input(source)
    compression = detect_compression(stream.peek(10))
    if compression == "gzip":
        _read_gzip_header(stream)
        return _gunzip(stream)
    return _unzstd(stream) if compression == "zstd" else _plain(stream)


def _plain(stream: _Input) -> Iterator[bytes]:
    while data := stream.chunk():
        yield data


def _read_gzip_header(stream: _Input) -> None:
    """Read the header of one member (gunzip.go:172)."""
    header = stream.take(10)
    if not header.startswith(_MAGIC[0][1]):
        raise ErrGzipHeader
    flags = header[3]
    if flags & _EXTRA:
        length = stream.take(2)
        header += length + stream.take(int.from_bytes(length, "little"))
    for flag in (_NAME, _COMMENT):
        if flags & flag:
            header += _take_text(stream)
    if flags & _HEADER_CRC and (
        int.from_bytes(stream.take(2), "little") != zlib.crc32(header) & 0xFFFF
    ):
        raise ErrGzipHeader


def _take_text(stream: _Input) -> bytes:
    end = stream.peek(_MAX_TEXT).find(b"\0")
    if end >= 0:
        return stream.take(end + 1)
    stream.take(_MAX_TEXT)
    raise ErrGzipHeader


def _gunzip(stream: _Input) -> Iterator[bytes]:
    """Yield what all members hold; the first one's header is read already."""
    while True:
        crc, size = 0, 0
        for piece in _inflate(stream):
            crc = _inflater.crc32(piece, crc)
            size += len(piece)
            yield piece
        trailer = stream.take(8)
        expected = crc | (size & 0xFFFFFFFF) << 32
        if int.from_bytes(trailer, "little") != expected:
            raise ErrChecksum
        if not stream.peek(1):
            return
        _read_gzip_header(stream)


def _inflate(stream: _Input) -> Iterator[bytes]:
    """Yield what one deflated stream holds, and give back what follows it."""
    inflater = _inflater.decompressobj(wbits=-15)
    data = b""
    while not inflater.eof:
        try:
            piece = inflater.decompress(data, CHUNK)
        except _inflater.error as err:
            raise ErrCorruptInput("flate") from err
        if piece:
            yield piece
        data = inflater.unconsumed_tail
        if not data and len(piece) < CHUNK and not inflater.eof:
            data = _more(stream)
    stream.give_back(inflater.unused_data)


def _unzstd(stream: _Input) -> Iterator[bytes]:
    """Yield what all frames hold (RFC 8878 section 3.1)."""
    while stream.peek(1):
        decompressor = zstd.ZstdDecompressor(options=_ZSTD_OPTIONS)
        while not decompressor.eof:
            data = _more(stream) if decompressor.needs_input else b""
            try:
                piece = decompressor.decompress(data, CHUNK)
            except zstd.ZstdError as err:
                raise ErrCorruptInput("zstd") from err
            if piece:
                yield piece
        stream.give_back(decompressor.unused_data)


def _more(stream: _Input) -> bytes:
    data = stream.chunk()
    if not data:
        raise ErrUnexpectedEOF
    return data
