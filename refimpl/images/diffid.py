"""Mirrors: containerd v1.5.18 images/diffid.go."""

import hashlib
import logging
from collections.abc import Iterator
from dataclasses import replace
from typing import Final, Protocol

from anyio.from_thread import check_cancelled

from refimpl.archive.compression import decompress_stream
from refimpl.descriptor import Descriptor
from refimpl.diff.stream import BlobReader
from refimpl.digest import Digest, parse
from refimpl.errdefs import ContainerdError
from refimpl.images.mediatypes import (
    MEDIA_TYPE_DOCKER_SCHEMA2_LAYER,
    MEDIA_TYPE_DOCKER_SCHEMA2_LAYER_FOREIGN,
    MEDIA_TYPE_IMAGE_LAYER,
    MEDIA_TYPE_IMAGE_LAYER_NON_DISTRIBUTABLE,
)
from refimpl.labels import UNCOMPRESSED
from refimpl.stores.content import Manager, Provider, ReaderAt
from refimpl.workers import run_blocking

__all__ = ["get_diff_id"]

_log = logging.getLogger(__name__)

_UNCOMPRESSED_TYPES: Final = (
    MEDIA_TYPE_DOCKER_SCHEMA2_LAYER,
    MEDIA_TYPE_IMAGE_LAYER,
    MEDIA_TYPE_DOCKER_SCHEMA2_LAYER_FOREIGN,
    MEDIA_TYPE_IMAGE_LAYER_NON_DISTRIBUTABLE,
)


class Store(Manager, Provider, Protocol):
    """Blobs and their labels."""


async def get_diff_id(store: Store, desc: Descriptor) -> Digest:
    """Return the digest of a layer uncompressed (images/diffid.go:32).

    A layer that says to be uncompressed is not looked at, nor is one whose label
    tells; else the label is set. That it could not be set is no error.

    Raises:
        ErrNotFound: there is no such blob.
        ErrInvalidArgument: the label is no digest.
        ErrInvalidArchive: the compressed data is damaged.
        ErrUnexpectedEOF: it ends too early.
    """
    if desc.media_type in _UNCOMPRESSED_TYPES:
        return desc.digest
    info = await store.info(desc.digest)
    if (label := info.labels.get(UNCOMPRESSED)) is not None:
        return parse(label)
    reader = await store.reader_at(desc)
    try:
        digest = await run_blocking(_hash, reader)
    finally:
        reader.close()
    info = replace(info, labels={**info.labels, UNCOMPRESSED: digest})
    try:
        await store.update(info, "labels")
    except ContainerdError as err:
        _log.warning(
            "failed to set %s label for %s: %s", UNCOMPRESSED, desc.digest, err
        )
    return digest


def _hash(reader: ReaderAt) -> Digest:
    digester = hashlib.sha256()
    for chunk in _checked(decompress_stream(BlobReader(reader))):
        digester.update(chunk)
    return Digest(f"sha256:{digester.hexdigest()}")


def _checked(chunks: Iterator[bytes]) -> Iterator[bytes]:
    for chunk in chunks:
        check_cancelled()
        yield chunk
