"""Mirrors: containerd v1.5.18 pull.go.

Read it beside the Go file, from top to bottom: :func:`pull` takes a lease, fetches
the image and records it; :func:`fetch` resolves the reference, builds the chain of
handlers and walks the descriptors; :func:`create_new_image` writes the record.

    async with Client(root) as client:
        image = await client.pull("127.0.0.1:5000/library/hello:1", RemoteContext())
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import anyio

from refimpl import images
from refimpl.errdefs import (
    ContainerdError,
    ErrAlreadyExists,
    ErrNotFound,
    wrapped,
)
from refimpl.errgroup import errgroup
from refimpl.image import Image
from refimpl.platforms import ALL, only, parse
from refimpl.remotes import fetch_handler, filter_manifest_by_platform_handler
from refimpl.remotes.docker import (
    LEGACY_CONFIG_MEDIA_TYPE,
    append_distribution_source_label,
    convert_manifest,
    schema1,
)
from refimpl.unpacker import Unpacker

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from refimpl.client import Client, RemoteContext
    from refimpl.descriptor import Descriptor
    from refimpl.platforms import MatchComparer
    from refimpl.remotes import Fetcher
    from refimpl.stores import content

    _Convert = Callable[[Descriptor], Awaitable[Descriptor]]

__all__ = ["create_new_image", "fetch", "pull"]


async def pull(client: Client, ref: str, remote_context: RemoteContext) -> Image:
    """Download an image for one platform and record it (pull.go:36).

    Returns the image as it was recorded.

    Raises:
        ContainerdError: several platforms were named, or any step failed; the
            class says why. No image was recorded, unless it is the unpacking of a
            recorded one that failed.
    """
    platform = one_platform(client, remote_context)
    pull_ctx = replace(remote_context, platform_matcher=platform)

    async with client.with_lease():
        async with _unpacking(client, pull_ctx) as (pull_ctx, unpacker):
            img = await fetch(client, pull_ctx, ref, limit=1)
        # The unpacker downloads layers, too: the record waits until it has ended

        img = await create_new_image(client, img)
        image = Image(client=client, metadata=img, platform=platform)

        if unpacker is not None and not unpacker.unpacks:
            # Nothing was unpacked on the way: schema1 images are not
            name = pull_ctx.snapshotter
            with wrapped(f"failed to unpack image on snapshotter {name}"):
                await image.unpack(name, pull_ctx.unpack_config)

    return image


def one_platform(client: Client, pull_ctx: RemoteContext) -> MatchComparer:
    if pull_ctx.platform_matcher is not None:
        return pull_ctx.platform_matcher
    if len(pull_ctx.platforms) > 1:
        raise ContainerdError("cannot pull multiplatform image locally, try Fetch")
    if not pull_ctx.platforms:
        return client.platform
    with wrapped(f"invalid platform {pull_ctx.platforms[0]}"):
        return only(parse(pull_ctx.platforms[0]))


@asynccontextmanager
async def _unpacking(
    client: Client, pull_ctx: RemoteContext
) -> AsyncIterator[tuple[RemoteContext, Unpacker | None]]:
    """Unpack what the body fetches, if that is wanted (pull.go:69).

    On exit, all that was begun has ended; an error of the body wins.
    """
    if not pull_ctx.unpack:
        yield pull_ctx, None
        return
    with wrapped("create unpacker"):
        unpacker = Unpacker(client, pull_ctx)
    async with errgroup() as unpack_eg:
        unpack_wrapper = unpacker.handler_wrapper(unpack_eg)
        wrapper = pull_ctx.handler_wrapper

        def wrap(handler: images.Handler) -> images.Handler:
            return unpack_wrapper(wrapper(handler) if wrapper else handler)

        yield replace(pull_ctx, handler_wrapper=wrap), unpacker


async def fetch(
    client: Client, r_ctx: RemoteContext, ref: str, *, limit: int
) -> images.Image:
    """Bring all content of an image into the store (pull.go:128).

    Args:
        client: whose stores are filled.
        r_ctx: what to fetch and how; without a platform matcher all platforms.
        ref: the full reference, with host and tag or digest.
        limit: how many manifests of an index are kept; 0 keeps all that match.

    Returns the image record to be written; nothing was recorded yet.
    """
    store = client.content_store()
    resolver = client.resolver(r_ctx)
    with wrapped(f'failed to resolve reference "{ref}"'):
        name, desc = await resolver.resolve(ref)
    with wrapped(f'failed to get fetcher for "{name}"'):
        fetcher = await resolver.fetcher(name)

    is_schema1 = desc.media_type == images.MEDIA_TYPE_DOCKER_SCHEMA1_MANIFEST
    if is_schema1 and r_ctx.convert_schema1:
        handler, convert = _schema1_handler(store, fetcher, r_ctx)
    else:
        handler, convert = _image_handler(store, fetcher, r_ctx, ref=ref, limit=limit)
    if r_ctx.handler_wrapper is not None:
        handler = r_ctx.handler_wrapper(handler)

    limiter = None
    if r_ctx.max_concurrent_downloads > 0:
        limiter = anyio.Semaphore(r_ctx.max_concurrent_downloads)

    await images.dispatch(handler, limiter, desc)

    desc = await convert(desc)

    return images.Image(name=name, target=desc, labels=r_ctx.labels)


def _schema1_handler(
    store: content.Store, fetcher: Fetcher, r_ctx: RemoteContext
) -> tuple[images.Handler, _Convert]:
    """Return what fetches a schema1 image, and what makes a manifest of it (:148)."""
    schema1_converter = schema1.Converter(
        store, fetcher, max_layer_size=r_ctx.max_schema1_layer_size
    )

    async def convert(_desc: Descriptor) -> Descriptor:
        return await schema1_converter.convert()

    return images.handlers(*r_ctx.base_handlers, schema1_converter.handle), convert


def _image_handler(
    store: content.Store,
    fetcher: Fetcher,
    r_ctx: RemoteContext,
    *,
    ref: str,
    limit: int,
) -> tuple[images.Handler, _Convert]:
    """Return what fetches any other image, and what mends an old manifest (:156)."""
    children_handler = _children_handler(store, r_ctx, limit=limit)
    is_convertible = False

    async def convertible_handler(desc: Descriptor) -> Sequence[Descriptor]:
        nonlocal is_convertible
        if desc.media_type == LEGACY_CONFIG_MEDIA_TYPE:
            is_convertible = True
        return ()

    append_dist_src_label_handler = append_distribution_source_label(store, ref)

    handler = images.handlers(
        *r_ctx.base_handlers,
        fetch_handler(store, fetcher),
        convertible_handler,
        children_handler,
        append_dist_src_label_handler,
    )

    async def convert(desc: Descriptor) -> Descriptor:
        if is_convertible:
            desc = await convert_manifest(store, desc)
        return desc

    return handler, convert


def _children_handler(
    store: content.Store, r_ctx: RemoteContext, *, limit: int
) -> images.Handler:
    """Return what finds, labels, filters and limits children (pull.go:157)."""
    platform = r_ctx.platform_matcher or ALL
    children_handler = images.children_handler(store)
    # Labels come first: a parent is labelled with all its children, kept or not
    children_handler = images.set_children_mapped_labels(
        store, children_handler, r_ctx.child_label_map
    )
    if r_ctx.all_metadata:
        # Other platforms keep their manifest and configuration, but no layers
        children_handler = filter_manifest_by_platform_handler(
            children_handler, platform
        )
    else:
        # Other platforms are left out
        children_handler = images.filter_platforms(children_handler, platform)
    # The best matches, and no more of them than wanted
    if limit > 0:
        children_handler = images.limit_manifests(children_handler, platform, limit)
    return children_handler


async def create_new_image(client: Client, img: images.Image) -> images.Image:
    """Create the image record, or replace the one that is there (pull.go:231)."""
    image_store = client.image_service()
    while True:
        try:
            return await image_store.create(img)
        except ErrAlreadyExists:
            pass
        try:
            return await image_store.update(img)
        except ErrNotFound:
            # It was removed in between: try to create it again
            continue
