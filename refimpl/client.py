"""Mirrors: containerd v1.5.18 client.go, client_opts.go and lease.go.

A client is one namespace of one store on disk:

    async with Client(Path("/var/lib/refpull")) as client:
        image = await client.pull("127.0.0.1:5000/library/hello:1")

Several clients, in one process or in many, may share a store.
"""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final, Self

import anyio

from refimpl.differ import DiffService
from refimpl.errdefs import (
    ContainerdError,
    ErrFailedPrecondition,
    ErrNotImplemented,
    wrapped,
)
from refimpl.image import UnpackConfig
from refimpl.platforms import ALL, any_, default, default_spec, normalize, parse
from refimpl.pull import create_new_image, fetch, pull
from refimpl.remotes.docker import ResolverOptions, new_resolver
from refimpl.remotes.docker.schema1 import MAX_LAYER_SIZE
from refimpl.stores import leases
from refimpl.stores.metadata import DB

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence
    from pathlib import Path
    from types import TracebackType

    from refimpl import images
    from refimpl.descriptor import Descriptor, Platform
    from refimpl.digest import Digest
    from refimpl.image import Image
    from refimpl.platforms import MatchComparer
    from refimpl.remotes import Resolver
    from refimpl.rootfs import Applier
    from refimpl.stores import content
    from refimpl.stores import images as image_stores
    from refimpl.stores.snapshots import MetadataSnapshotter

__all__ = ["Client", "RemoteContext"]

# snapshotter_default_unix.go:23 says native, too; on Linux it is overlayfs, which
# takes a mount.
DEFAULT_SNAPSHOTTER: Final = "native"

# How long a lease lasts whose owner does not come back (lease.go:41).
LEASE_EXPIRATION: Final = timedelta(hours=24)


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteContext:
    """How to pull: every RemoteOpt of v1.5.18 (client.go:306).

    Attributes:
        resolver: finds and fetches; None takes the client's Docker resolver.
        platform_matcher: picks platforms, and the best of them; wins over
            ``platforms``.
        platforms: names as in ``linux/arm/v7``. One for ``pull``, any number for
            ``fetch``.
        unpack: extract the layers into a snapshotter.
        unpack_config: how to extract them.
        snapshotter: the name of that snapshotter; empty takes the default.
        snapshotter_labels: labels of the snapshots.
        labels: labels of the image record.
        base_handlers: run on every descriptor before anything is fetched.
        handler_wrapper: wraps the whole chain of handlers.
        convert_schema1: convert Docker schema1 images.
        max_schema1_layer_size: how many bytes a layer of such an image, which states
            no sizes, may have as it is stored, and unpacked. Not in containerd.
        max_concurrent_downloads: how many descriptors are handled at once; 0 sets
            no limit.
        all_metadata: keep manifests and configurations of all platforms.
        child_label_map: names the label keys by which a parent refers to a child;
            None takes ``images.child_gc_labels``.
    """

    resolver: Resolver | None = None
    platform_matcher: MatchComparer | None = None
    platforms: Sequence[str] = ()
    unpack: bool = False
    unpack_config: UnpackConfig = field(default_factory=UnpackConfig)
    snapshotter: str = ""
    snapshotter_labels: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    base_handlers: Sequence[images.Handler] = ()
    handler_wrapper: Callable[[images.Handler], images.Handler] | None = None
    convert_schema1: bool = False
    max_schema1_layer_size: int = MAX_LAYER_SIZE
    max_concurrent_downloads: int = 0
    all_metadata: bool = False
    child_label_map: Callable[[Descriptor], Sequence[str]] | None = None


class Client:
    """Pulls images into one namespace of a store (client.go:204).

    Args:
        root: the folder of the store; made when it is missing.
        namespace: keeps images, leases and content apart from other users'.
        platform: what ``pull`` picks where nobody says; the machine's own.
        resolver: how registries are reached where the context names no resolver.
    """

    def __init__(
        self,
        root: Path,
        *,
        namespace: str = "default",
        platform: MatchComparer | None = None,
        resolver: Resolver | None = None,
    ) -> None:
        self.root = root
        self.namespace = namespace
        self.platform = default() if platform is None else platform
        self._resolver = resolver
        self._db: DB | None = None
        self._open = AsyncExitStack()

    async def __aenter__(self) -> Self:
        self._db = await self._open.enter_async_context(await DB.open(self.root))
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._db = None
        with anyio.CancelScope(shield=True):
            await self._open.aclose()

    @property
    def db(self) -> DB:
        """The store behind all namespaces.

        Raises:
            ErrFailedPrecondition: the client is not open.
        """
        if self._db is None:
            raise ErrFailedPrecondition("the client is not open: use `async with`")
        return self._db

    def content_store(self) -> content.Store:
        """Return the store of blobs."""
        return self.db.content_store(self.namespace)

    def image_service(self) -> image_stores.Store:
        """Return the store of image records."""
        return self.db.image_store(self.namespace)

    def leases_service(self) -> leases.Manager:
        """Return the manager of leases."""
        return self.db.lease_manager(self.namespace)

    def resolve_snapshotter_name(self, name: str) -> str:
        """Return the name of a snapshotter: the default, if none is given."""
        return name or DEFAULT_SNAPSHOTTER

    def snapshot_service(self, name: str = "") -> MetadataSnapshotter:
        """Return a snapshotter; without a name, the default.

        Raises:
            ErrNotFound: there is no such snapshotter.
        """
        return self.db.snapshotter(self.namespace, self.resolve_snapshotter_name(name))

    def diff_service(self) -> Applier:
        """Return what extracts layers."""
        return DiffService(self.content_store())

    def check_snapshotter_support(
        self, name: str, platform: Platform, config: Digest
    ) -> None:
        """Check that a snapshotter is for an image's platform (image.go:431).

        Raises:
            ContainerdError: it is not: each is for the machine's own.
        """
        wanted = normalize(platform)
        if not any_(default_spec()).match(wanted):
            raise ContainerdError(
                f"snapshotter {name} does not support platform "
                f"{{{wanted.architecture} {wanted.os} {wanted.os_version} [] "
                f"{wanted.variant}}} for image {config}"
            )

    def resolver(self, remote_context: RemoteContext) -> Resolver:
        """Return the resolver to use: the context's, else the client's own."""
        if remote_context.resolver is not None:
            return remote_context.resolver
        if self._resolver is None:
            docker_resolver = new_resolver(ResolverOptions())
            self._open.push_async_callback(docker_resolver.aclose)
            self._resolver = docker_resolver
        return self._resolver

    async def pull(
        self, ref: str, remote_context: RemoteContext | None = None
    ) -> Image:
        """Pull one platform of an image: :func:`refimpl.pull.pull`."""
        return await pull(self, ref, remote_context or RemoteContext())

    async def fetch(
        self, ref: str, remote_context: RemoteContext | None = None
    ) -> images.Image:
        """Fetch every matching platform of an image, and record it (client.go:380).

        Raises:
            ErrNotImplemented: the context asks to unpack.
            ContainerdError: a step failed; no image was recorded.
        """
        fetch_ctx = remote_context or RemoteContext()
        if fetch_ctx.unpack:
            raise ErrNotImplemented("unpack on fetch not supported, try pull")
        if fetch_ctx.platform_matcher is None:
            fetch_ctx = replace(fetch_ctx, platform_matcher=any_platform(fetch_ctx))

        async with self.with_lease():
            img = await fetch(self, fetch_ctx, ref, limit=0)
            return await create_new_image(self, img)

    @asynccontextmanager
    async def with_lease(self) -> AsyncIterator[None]:
        """Protect what the body writes from collection (lease.go:27).

        A lease that is set already is kept, and not checked. Our own is deleted
        on every way out, cancellation included.
        """
        if leases.from_context() is not None:
            yield
            return
        manager = self.leases_service()
        lease = await manager.create(expiration=LEASE_EXPIRATION)
        try:
            with leases.with_lease(lease.id):
                yield
        finally:
            # Go drops this error too (pull.go:63): the lease expires in any case.
            with anyio.CancelScope(shield=True), suppress(ContainerdError):
                await manager.delete(lease)


def any_platform(fetch_ctx: RemoteContext) -> MatchComparer:
    if not fetch_ctx.platforms:
        return ALL
    parsed = []
    for platform in fetch_ctx.platforms:
        with wrapped(f"invalid platform {platform}"):
            parsed.append(parse(platform))
    return any_(*parsed)
