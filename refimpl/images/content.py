"""Mirrors: containerd v1.5.18 images/image.go (Manifest, Config, Platforms, Check).

What can be told of an image whose content is in a store.

    manifest_ = await manifest(store, image.target, platforms.default())
    diff_ids = await rootfs(store, manifest_.config)
"""

from collections.abc import Sequence
from dataclasses import dataclass

from refimpl.descriptor import Descriptor, Platform
from refimpl.digest import Digest
from refimpl.errdefs import ContainerdError, ErrNotFound, ErrSkipDesc, wrapped
from refimpl.images.documents import (
    parse_blob,
    read_bounded,
    read_document,
)
from refimpl.images.handlers import (
    Handler,
    children_handler,
    filter_platforms,
    handlers,
    limit_manifests,
    sort_by_platform,
    walk,
)
from refimpl.images.image import (
    ConfigFile,
    Manifest,
    index_from,
    manifest_from,
    parse_config,
)
from refimpl.images.mediatypes import (
    is_config_type,
    is_index_type,
    is_manifest_type,
)
from refimpl.platforms import MatchComparer, normalize
from refimpl.stores.content import Provider

__all__ = [
    "Availability",
    "check",
    "config",
    "config_file",
    "manifest",
    "platforms",
    "rootfs",
    "size",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Availability:
    """What of an image is in a store (image.go:303).

    Attributes:
        available: whether the manifest is here, so that ``required`` is complete.
        required: the configuration and the layers.
        present: those of them that are here.
        missing: those that are not.
    """

    available: bool
    required: tuple[Descriptor, ...] = ()
    present: tuple[Descriptor, ...] = ()
    missing: tuple[Descriptor, ...] = ()


async def manifest(
    provider: Provider, image: Descriptor, platform: MatchComparer | None
) -> Manifest:
    """Return an image's manifest for a platform (image.go:152).

    An index entry without a platform is judged by its configuration. A manifest
    that is itself the image is not judged at all.

    Raises:
        ErrNotFound: content is missing, nothing matches, or the image is neither a
            manifest nor an index.
    """
    found: list[Manifest] = []
    was_index = False

    async def visit(desc: Descriptor) -> Sequence[Descriptor]:
        nonlocal was_index
        if is_manifest_type(desc.media_type):
            document = await read_document(provider, desc, caller="manifest")
            candidate = manifest_from(document)
            is_root = desc.digest == image.digest or platform is None
            if is_root or await _fits(provider, desc, candidate, platform):
                found.append(candidate)
            return ()
        if not is_index_type(desc.media_type):
            raise ErrNotFound(
                f"unexpected media type {desc.media_type} for {desc.digest}"
            )
        document = await read_document(provider, desc, caller="manifest")
        entries = index_from(document).manifests
        if platform is None:
            return entries
        was_index = True
        return _matching(entries, platform)[:1]

    await walk(visit, image)
    if not found:
        problem = "no match for platform in manifest" if was_index else "manifest"
        raise ErrNotFound(f"{problem} {image.digest}")
    return found[0]


def _matching(
    entries: Sequence[Descriptor], platform: MatchComparer
) -> tuple[Descriptor, ...]:
    return sort_by_platform(
        (d for d in entries if d.platform is None or platform.match(d.platform)),
        platform,
    )


async def _fits(
    provider: Provider,
    desc: Descriptor,
    candidate: Manifest,
    platform: MatchComparer | None,
) -> bool:
    if platform is None:
        return True
    if desc.platform is not None:
        return platform.match(desc.platform)
    file = await config_file(provider, candidate.config)
    return platform.match(normalize(file.platform))


async def config_file(provider: Provider, desc: Descriptor) -> ConfigFile:
    """Return what an image's configuration says.

    Raises:
        ErrNotFound: the configuration is not here.
        ErrFailedPrecondition: it is too long to be parsed.
        JSONError: it is not JSON, or a field has another type.
    """
    return await parse_blob(parse_config, await read_bounded(provider, desc))


async def config(
    provider: Provider, image: Descriptor, platform: MatchComparer | None
) -> Descriptor:
    """Return the descriptor of an image's configuration (image.go:253).

    Raises:
        ErrNotFound: as for :func:`manifest`.
    """
    return (await manifest(provider, image, platform)).config


async def rootfs(provider: Provider, config_desc: Descriptor) -> tuple[Digest, ...]:
    """Return the digests of an image's layers before compression (image.go:427).

    Raises:
        ErrNotFound: the configuration is not here.
    """
    return (await config_file(provider, config_desc)).diff_ids


async def platforms(provider: Provider, image: Descriptor) -> tuple[Platform, ...]:
    """Return every platform that an image is for (image.go:262).

    Raises:
        ErrNotFound: content is missing.
    """
    found: list[Platform] = []

    async def collect(desc: Descriptor) -> Sequence[Descriptor]:
        if desc.platform is not None:
            found.append(desc.platform)
            raise ErrSkipDesc
        if is_config_type(desc.media_type):
            file = await config_file(provider, desc)
            found.append(normalize(file.platform))
        return ()

    await walk(handlers(collect, children_handler(provider)), image)
    return tuple(found)


async def check(
    provider: Provider, image: Descriptor, platform: MatchComparer | None
) -> Availability:
    """Return what of an image is here and what is not (image.go:303)."""
    try:
        with wrapped(f"failed to check image {image.digest}"):
            found = await manifest(provider, image, platform)
    except ErrNotFound:
        return Availability(available=False, required=(image,), missing=(image,))
    required = (found.config, *(found.layers or ()))
    present: list[Descriptor] = []
    missing: list[Descriptor] = []
    for desc in required:
        here = await _is_here(provider, desc)
        (present if here else missing).append(desc)
    return Availability(
        available=True,
        required=required,
        present=tuple(present),
        missing=tuple(missing),
    )


async def _is_here(provider: Provider, desc: Descriptor) -> bool:
    try:
        with wrapped(f"failed to check image {desc.digest}"):
            reader = await provider.reader_at(desc)
    except ErrNotFound:
        return False
    reader.close()
    return True


async def size(provider: Provider, image: Descriptor, platform: MatchComparer) -> int:
    """Return how many bytes an image has in a store, all told (image.go:127).

    Raises:
        ContainerdError: a descriptor states a negative size.
        ErrNotFound: content is missing.
    """
    total = 0

    async def add(desc: Descriptor) -> Sequence[Descriptor]:
        nonlocal total
        if desc.size < 0:
            raise ContainerdError(
                f"invalid size {desc.size} in {desc.digest} ({desc.media_type})"
            )
        total += desc.size
        return ()

    find: Handler = filter_platforms(children_handler(provider), platform)
    await walk(handlers(add, limit_manifests(find, platform, 1)), image)
    return total
