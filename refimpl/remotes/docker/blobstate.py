"""Mirrors: containerd v1.5.18 remotes/docker/schema1/converter.go:577 on.

What a layer is once it is unpacked: its digest, and whether there is anything in it.
The bytes come as they are downloaded, and are inflated and hashed piece by piece.

    calculator = BlobStateCalculator(limit=1 << 30, checkpoint=check_cancelled)
    calculator.write(chunk)
    state = calculator.finish()

How a layer is packed is told from its first bytes
(archive/compression/compression.go:109).
"""

import sys
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, Protocol

from refimpl.digest import Digest, hasher
from refimpl.errdefs import ContainerdError, ErrFailedPrecondition, ErrUnexpectedEOF

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

__all__ = ["BlobState", "BlobStateCalculator"]

_UNKNOWN: Final = Digest("")
# No more than these many bytes are looked at to tell how a layer is packed.
_HEAD: Final = 4
# zlib's way of saying: with the header and the trailer of gzip.
_GZIP_FORMAT: Final = 31
# What goes in and what comes out at once: deflate packs up to 1032 to 1, zstd more.
_INPUT: Final = 1 << 16
_OUTPUT: Final = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class BlobState:
    """What the conversion has to know of a blob (converter.go:51).

    Attributes:
        diff_id: the digest of the unpacked bytes; "" while it is not known.
        empty: whether all of them are zeros, so that they are no layer.
    """

    diff_id: Digest = _UNKNOWN
    empty: bool


class _Unpacker(Protocol):
    @property
    def complete(self) -> bool:
        """Whether what has come so far may be all."""
        ...

    def pieces(self, data: bytes, /) -> Iterator[bytes]:
        """Yield what the next bytes unpack to, at most ``_OUTPUT`` at once."""
        ...


class _Plain:
    """Bytes that are not packed; wherever they end, they are complete."""

    complete = True

    def pieces(self, data: bytes) -> Iterator[bytes]:
        yield data


class _Gzip:
    """Members of gzip, one behind the other (RFC 1952 section 2.2)."""

    def __init__(self) -> None:
        self._member = zlib.decompressobj(_GZIP_FORMAT)

    @property
    def complete(self) -> bool:
        return self._member.eof

    def pieces(self, data: bytes) -> Iterator[bytes]:
        rest, full = data, False
        while rest or full:
            if self._member.eof:
                self._member = zlib.decompressobj(_GZIP_FORMAT)
            piece = self._member.decompress(rest, _OUTPUT)
            yield piece
            rest = self._member.unconsumed_tail or self._member.unused_data
            # zlib may hold back more than it had room for.
            full = len(piece) == _OUTPUT and not self._member.eof


class _Zstd:
    """Frames of zstd, one behind the other (RFC 8878 section 3.1)."""

    def __init__(self) -> None:
        self._frame = zstd.ZstdDecompressor()

    @property
    def complete(self) -> bool:
        return self._frame.eof

    def pieces(self, data: bytes) -> Iterator[bytes]:
        rest, more = data, True
        while more:
            if self._frame.eof:
                self._frame = zstd.ZstdDecompressor()
            yield self._frame.decompress(rest, _OUTPUT)
            rest = self._frame.unused_data if self._frame.eof else b""
            more = bool(rest) if self._frame.eof else not self._frame.needs_input


_PACKED: Final[dict[bytes, type[_Gzip | _Zstd]]] = {
    b"\x1f\x8b\x08": _Gzip,
    b"\x28\xb5\x2f\xfd": _Zstd,
}


def _detect(head: bytes) -> _Unpacker:
    """Return what unpacks a layer with these first bytes."""
    for magic, unpacker in _PACKED.items():
        if head.startswith(magic):
            return unpacker()
    return _Plain()


class BlobStateCalculator:
    """Takes a layer as it is stored, and says what it unpacks to.

    Bytes that cannot be unpacked do not end a download: only at its end it shows
    whether they are those that were asked for. So :meth:`finish` tells.

    Args:
        limit: how many bytes may come out.
        checkpoint: called at every piece; raises when there is no use in going on.
    """

    def __init__(self, *, limit: int, checkpoint: Callable[[], object]) -> None:
        self._limit = limit
        self._checkpoint = checkpoint
        self._head = b""
        self._unpacker: _Unpacker | None = None
        self._error: ContainerdError | None = None
        self._hash = hasher("sha256")
        self._size = 0
        self._empty = True

    @property
    def compressed(self) -> bool:
        """Whether the layer is packed, in whatever way."""
        return isinstance(self._unpacker, _Gzip | _Zstd)

    def write(self, data: memoryview) -> int:
        """Unpack and hash the next bytes. Blocks.

        Returns how many bytes came in, which is all of them.

        Raises:
            ErrFailedPrecondition: more comes out than the limit allows.
        """
        for start in range(0, len(data), _INPUT):
            self._write(bytes(data[start : start + _INPUT]))
        return len(data)

    def _write(self, data: bytes) -> None:
        if self._unpacker is None:
            self._head += data
            if len(self._head) >= _HEAD:
                self._begin()
        elif self._error is None:
            self._unpack(self._unpacker, data)

    def _begin(self) -> _Unpacker:
        head, self._head = self._head, b""
        self._unpacker = _detect(head)
        self._unpack(self._unpacker, head)
        return self._unpacker

    def _unpack(self, unpacker: _Unpacker, data: bytes) -> None:
        try:
            for piece in unpacker.pieces(data):
                self._checkpoint()
                self._take(piece)
        except (zlib.error, zstd.ZstdError) as err:
            self._error = ContainerdError(f"the layer cannot be unpacked: {err}")

    def _take(self, piece: bytes) -> None:
        self._size += len(piece)
        # DEVIATION D19: containerd inflates to the end, however far that is
        # (converter.go:333): a gigabyte of gzip can be a terabyte of zeros.
        if self._size > self._limit:
            raise ErrFailedPrecondition(
                f"the layer unpacks to more than {self._limit} bytes"
            )
        self._hash.update(piece)
        # Comparing is the fastest way to look for anything but zeros.
        self._empty = self._empty and piece == bytes(len(piece))

    def finish(self) -> BlobState:
        """Return what the layer is, now that all of it has come.

        Raises:
            ErrUnexpectedEOF: it breaks off.
            ContainerdError: it cannot be unpacked.
            ErrFailedPrecondition: more came out than the limit allows.
        """
        unpacker = self._unpacker or self._begin()
        if self._error is not None:
            raise self._error
        if not unpacker.complete:
            raise ErrUnexpectedEOF
        return BlobState(
            diff_id=Digest(f"sha256:{self._hash.hexdigest()}"), empty=self._empty
        )
