"""Mirrors: containerd v1.5.18 diff/apply/apply.go:52 (Apply)."""

from pathlib import Path
from typing import Final

from anyio.from_thread import check_cancelled

from refimpl import archive
from refimpl.archive import ApplyOptions
from refimpl.archive.compression import CHUNK
from refimpl.descriptor import Descriptor
from refimpl.diff.pipeline import Pipeline
from refimpl.diff.stream import BlobReader, get_processor
from refimpl.errdefs import ErrFailedPrecondition, wrapped
from refimpl.images.mediatypes import MEDIA_TYPE_IMAGE_LAYER
from refimpl.stores.content import Provider, ReaderAt
from refimpl.workers import run_blocking

__all__ = ["apply"]

_DEFAULT_OPTIONS: Final = ApplyOptions()

# From this many bytes of a blob on, threads save more than they cost.
_LARGE: Final = 256 << 10


async def apply(
    provider: Provider,
    desc: Descriptor,
    root: Path,
    *,
    options: ApplyOptions = _DEFAULT_OPTIONS,
) -> Descriptor:
    """Apply a layer to a folder (apply.go:52).

    Args:
        provider: has the layer's blob.
        desc: names the blob, and by its media type says what it is.
        root: the folder; it exists.
        options: limits, and what to do without root's rights.

    Returns:
        The layer uncompressed: its digest, which a configuration calls diff ID, and
        its size in bytes. What follows the end of the archive counts.

    Raises:
        ErrNotFound: there is no such blob.
        ErrNoProcessor: the media type is no layer's.
        ErrInvalidArchive: the layer is damaged or says what none may say.
        ErrUnexpectedEOF: it ends too early.
        ErrFailedPrecondition: it exceeds a limit.
        OSError: the system refuses something.
    """
    with wrapped("failed to get reader from content store"):
        reader = await provider.reader_at(desc)
    try:
        return await run_blocking(_apply, reader, desc.media_type, root, options)
    finally:
        reader.close()


def _apply(
    reader: ReaderAt, media_type: str, root: Path, options: ApplyOptions
) -> Descriptor:
    with wrapped(f"failed to get stream processor for {media_type}"):
        chunks = get_processor(media_type)(BlobReader(reader))
    with Pipeline(chunks, parallel=reader.size >= _LARGE) as stream:
        archive.apply(root, stream, options=options)
        _read_trailing_data(stream, options.max_size)
        digest, size = stream.result()
    return Descriptor(media_type=MEDIA_TYPE_IMAGE_LAYER, digest=digest, size=size)


def _read_trailing_data(stream: Pipeline, limit: int) -> None:
    """Read what follows the archive, which the digest covers (apply.go:101)."""
    size = 0
    while data := stream.read(CHUNK):
        check_cancelled()
        size += len(data)
        if 0 < limit < size:
            raise ErrFailedPrecondition(
                f"layer has more than {limit} bytes after its end, the limit"
            )
