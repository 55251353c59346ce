"""Mirrors: containerd v1.5.18 diff/stream.go, content/helpers.go:47 (NewReader).

How a blob becomes the tar that it holds.

>>> get_processor("text/plain")
Traceback (most recent call last):
    ...
refimpl.diff.stream.ErrNoProcessor: no processor for media-type
"""

from collections.abc import Callable, Iterator

from refimpl.archive.compression import CHUNK, BinaryReader, decompress_stream
from refimpl.errdefs import ContainerdError, ErrNotImplemented
from refimpl.images.mediatypes import diff_compression
from refimpl.stores.content import ReaderAt

__all__ = ["BlobReader", "ErrNoProcessor", "Processor", "get_processor"]

Processor = Callable[[BinaryReader], Iterator[bytes]]


class ErrNoProcessor(ContainerdError):
    """Nothing is known of a layer of this type (stream.go:35)."""

    text = "no processor for media-type"


class BlobReader:
    """The bytes of a blob one after another (content/helpers.go:47)."""

    def __init__(self, reader: ReaderAt) -> None:
        self._reader = reader
        self._offset = 0

    def read(self, size: int, /) -> bytes:
        """Return up to ``size`` bytes; none only at the end."""
        data = self._reader.read_at(self._offset, size)
        self._offset += len(data)
        return data


def get_processor(media_type: str) -> Processor:
    """Return what makes a layer's blob a tar (stream.go:49, :90).

    Only whether a type is a compressed one counts; which compression it is, the
    blob's first bytes tell.

    Raises:
        ErrNoProcessor: the type is no layer's.
    """
    try:
        compressed = diff_compression(media_type)
    except ErrNotImplemented:
        raise ErrNoProcessor from None
    return decompress_stream if compressed else _as_it_is


def _as_it_is(source: BinaryReader) -> Iterator[bytes]:
    while data := source.read(CHUNK):
        yield data
