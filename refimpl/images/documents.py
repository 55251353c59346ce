"""Mirrors: containerd v1.5.18 images/image.go (Children).

What a manifest or an index in a store points at.
"""

from collections.abc import Callable
from typing import Final, TypeVar, TypeVarTuple

from refimpl.descriptor import Descriptor
from refimpl.errdefs import wrapped
from refimpl.gojson import Node
from refimpl.images.image import index_from, manifest_from, validated
from refimpl.images.mediatypes import is_index_type, is_manifest_type
from refimpl.stores.content import Provider, read_blob
from refimpl.workers import run_blocking

__all__ = [
    "MAX_DOCUMENT_SIZE",
    "children",
    "parse_blob",
    "read_bounded",
    "read_document",
]

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

# remotes/docker/resolver.go:59 means 4 MiB and says 4*1048*1048; kept as it is.
MAX_DOCUMENT_SIZE: Final = 4_393_216

# Parsing what is longer than this would hold up every other download.
_LONG: Final = 1 << 16


async def children(provider: Provider, desc: Descriptor) -> tuple[Descriptor, ...]:
    """Return what a descriptor's content points at (image.go:341).

    A manifest has its configuration and its layers, an index its manifests; all
    else, unknown types included, has no children.

    Raises:
        ErrNotFound: the content is not here.
        ErrFailedPrecondition: the content is too long to be parsed.
        ErrMediaType: the document is of another kind than its media type says.
        JSONError: the document is not JSON, or a field has another type.
    """
    if is_manifest_type(desc.media_type):
        document = await read_document(provider, desc, caller="children")
        manifest = manifest_from(document)
        return (manifest.config, *(manifest.layers or ()))
    if is_index_type(desc.media_type):
        document = await read_document(provider, desc, caller="children")
        return index_from(document).manifests
    return ()


async def read_document(provider: Provider, desc: Descriptor, *, caller: str) -> Node:
    """Read, parse and check the manifest or index that a descriptor names.

    Raises:
        ErrNotFound: the content is not here.
        ErrFailedPrecondition: the content is too long to be parsed.
        ErrMediaType: the document is of another kind than its media type says.
        JSONError: the document is not JSON.
    """
    data = await read_bounded(provider, desc)
    with wrapped(f"{caller}: invalid desc {desc.digest}"):
        return await parse_blob(validated, data, desc.media_type)


async def read_bounded(provider: Provider, desc: Descriptor) -> bytes:
    """Return a blob that is going to be parsed.

    Raises:
        ErrNotFound: the content is not here.
        ErrFailedPrecondition: the content is too long to be parsed.
    """
    # DEVIATION D17: containerd holds the root manifest to its limit, and only by
    # the size that the registry states; whatever it parses later is read whole
    # (images/image.go:346, content/helpers.go:63).
    return await read_blob(provider, desc, limit=MAX_DOCUMENT_SIZE)


async def parse_blob(parser: Callable[[bytes, *Ts], T], data: bytes, *args: *Ts) -> T:
    """Run a parser on a blob, in a worker thread where that takes its time."""
    if len(data) < _LONG:
        return parser(data, *args)
    return await run_blocking(parser, data, *args)
