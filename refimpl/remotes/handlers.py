"""Mirrors: containerd v1.5.18 remotes/handlers.go.

Fetching: a descriptor goes in, its content is in the store afterwards.

    handler = images.handlers(fetch_handler(store, fetcher), children_handler(store))
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import aclosing, contextmanager, suppress
from contextvars import ContextVar
from types import MappingProxyType
from typing import Final

from refimpl import digest
from refimpl.descriptor import Descriptor
from refimpl.errdefs import (
    ContainerdError,
    ErrAlreadyExists,
    ErrFailedPrecondition,
    ErrInvalidArgument,
    wrapped,
)
from refimpl.gotext import quote
from refimpl.images.documents import MAX_DOCUMENT_SIZE
from refimpl.images.handlers import Handler
from refimpl.images.mediatypes import (
    MEDIA_TYPE_DOCKER_SCHEMA1_MANIFEST,
    is_config_type,
    is_index_type,
    is_known_config,
    is_layer_type,
    is_manifest_type,
)
from refimpl.platforms import Matcher
from refimpl.remotes.resolver import Fetcher
from refimpl.stores import content

__all__ = [
    "fetch",
    "fetch_handler",
    "filter_manifest_by_platform_handler",
    "make_ref_key",
    "with_media_type_key_prefix",
]

_log = logging.getLogger(__name__)

ANNOTATION_REF_NAME: Final = "org.opencontainers.image.ref.name"

_prefixes: ContextVar[Mapping[str, str]] = ContextVar(
    "refimpl_ref_key_prefixes", default=MappingProxyType({})
)


@contextmanager
def with_media_type_key_prefix(media_type: str, prefix: str) -> Iterator[None]:
    """Let refs of a media type begin with a prefix of the caller's (handlers.go:43).

    The refs are made by :func:`make_ref_key`, inside the block.
    """
    token = _prefixes.set({**_prefixes.get(), media_type: prefix})
    try:
        yield
    finally:
        _prefixes.reset(token)


def make_ref_key(desc: Descriptor) -> str:
    """Return the name of the ingest for a descriptor (handlers.go:58).

    Equal content has one name, so of two downloads one waits for the other.
    """
    key: str = desc.digest
    name = (desc.annotations or {}).get(ANNOTATION_REF_NAME)
    if name is not None:
        key = f"{name}@{desc.digest}"
    prefix = _prefixes.get().get(desc.media_type) or _prefix(desc.media_type)
    return f"{prefix}-{key}"


def _prefix(media_type: str) -> str:
    if is_manifest_type(media_type):
        return "manifest"
    if is_index_type(media_type):
        return "index"
    if is_layer_type(media_type):
        return "layer"
    if is_known_config(media_type):
        return "config"
    _log.info("reference for unknown type: %s", quote(media_type))
    return "unknown"


def fetch_handler(ingester: content.Ingester, fetcher: Fetcher) -> Handler:
    """Return a handler that fetches content and finds no children (handlers.go:92)."""

    async def handle(desc: Descriptor) -> Sequence[Descriptor]:
        if desc.media_type == MEDIA_TYPE_DOCKER_SCHEMA1_MANIFEST:
            raise ContainerdError(f"{desc.media_type} not supported")
        await fetch(ingester, fetcher, desc)
        return ()

    return handle


async def fetch(ingester: content.Ingester, fetcher: Fetcher, desc: Descriptor) -> None:
    """Fetch one descriptor's content unless it is here (handlers.go:110).

    What an earlier fetch left is resumed; if it left everything, nothing is asked.

    Raises:
        ErrInvalidArgument: the descriptor has no valid digest, or a size of zero.
        ErrFailedPrecondition: the content has another size or digest, or is a
            document that is too long to be parsed.
    """
    # DEVIATION D18: containerd takes any text for a digest and builds a URL of it
    # (remotes/handlers.go:113): "sha256:../../x" asks for another path, as in
    # CVE-2024-3727. "A digest string MUST match the following grammar" (image-spec
    # v1.1.1 descriptor.md), and what cannot be verified is not worth fetching.
    with wrapped(f"unable to fetch descriptor ({quote(desc.digest)})"):
        digest.validate(desc.digest)
        _check_document_size(desc)
    try:
        writer = await content.open_writer(ingester, ref=make_ref_key(desc), desc=desc)
    except ErrAlreadyExists:
        return
    async with writer:
        status = writer.status()
        if desc.size == 0:
            # A registry or proxy that forgot Content-Length, most likely; the
            # error of an empty commit would puzzle whoever reads it.
            raise ErrInvalidArgument(
                f"unable to fetch descriptor ({desc.digest}) "
                "which reports content size of zero"
            )
        if status.offset == desc.size:
            with (
                suppress(ErrAlreadyExists),
                wrapped(f"failed commit on ref {quote(status.ref)}"),
            ):
                await writer.commit(desc.size, desc.digest)
            return
        async with aclosing(await fetcher.fetch(desc)) as reader:
            await content.copy(writer, reader, desc.size, desc.digest)


def _check_document_size(desc: Descriptor) -> None:
    # DEVIATION D17: containerd downloads a manifest of any size that its index
    # states (remotes/handlers.go:110); one that is not going to be parsed need not
    # fill the disk first.
    is_document = is_manifest_type(desc.media_type) or is_index_type(desc.media_type)
    if is_document and desc.size > MAX_DOCUMENT_SIZE:
        raise ErrFailedPrecondition(
            f"{desc.size} bytes are more than a document of {MAX_DOCUMENT_SIZE}"
        )


def filter_manifest_by_platform_handler(
    handler: Handler, matcher: Matcher | None
) -> Handler:
    """Leave manifests of other platforms their configuration only (handlers.go:261).

    The platform that counts is the manifest's own, as its index states it.
    """

    async def handle(desc: Descriptor) -> Sequence[Descriptor]:
        found = await handler(desc)
        if desc.platform is None or matcher is None:
            return found
        if not is_manifest_type(desc.media_type) or matcher.match(desc.platform):
            return found
        return tuple(child for child in found if is_config_type(child.media_type))

    return handle
