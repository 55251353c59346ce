"""Mirrors: containerd v1.5.18 images/handlers.go.

A handler is told a descriptor and answers with the children to visit next. Chains
(:func:`handlers`) and wrappers (:func:`filter_platforms`, :func:`limit_manifests`,
:func:`set_children_labels`) make one of several; :func:`walk` and :func:`dispatch`
visit everything, one by one or in parallel.

    handler = handlers(fetch_handler(store, fetcher), children_handler(store))
    await dispatch(handler, anyio.Semaphore(3), root)
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import UTC, datetime
from functools import cmp_to_key
from typing import Final

import anyio

from refimpl.descriptor import Descriptor
from refimpl.errdefs import ErrInvalidArgument, ErrNotFound, ErrSkipDesc, ErrStopHandler
from refimpl.errgroup import errgroup
from refimpl.images.documents import children
from refimpl.images.mediatypes import (
    SCHEMA1_MEDIA_TYPES,
    child_gc_labels,
    is_index_type,
    is_manifest_type,
)
from refimpl.platforms import MatchComparer, Matcher
from refimpl.stores.content import Info, Manager, Provider

__all__ = [
    "MAX_DEPTH",
    "Handler",
    "LabelMap",
    "children_handler",
    "dispatch",
    "filter_platforms",
    "handlers",
    "limit_manifests",
    "set_children_labels",
    "set_children_mapped_labels",
    "sort_by_platform",
    "walk",
]

Handler = Callable[[Descriptor], Awaitable[Sequence[Descriptor]]]
LabelMap = Callable[[Descriptor], Sequence[str]]

# How deeply dispatch follows children: an image needs three levels.
MAX_DEPTH: Final = 128

_NEVER: Final = datetime(1, 1, 1, tzinfo=UTC)


def handlers(*chain: Handler) -> Handler:
    """Run handlers one after another and collect their children (handlers.go:62).

    ErrStopHandler ends the chain and keeps what earlier handlers found; any other
    error, ErrSkipDesc too, drops everything.
    """

    async def handle(desc: Descriptor) -> Sequence[Descriptor]:
        found: list[Descriptor] = []
        for handler in chain:
            try:
                found.extend(await handler(desc))
            except ErrStopHandler:
                break
        return tuple(found)

    return handle


async def walk(handler: Handler, *descs: Descriptor) -> None:
    """Visit descriptors depth first, siblings in their order (handlers.go:86).

    An index may nest as deeply as a registry likes, so nothing here recurses.
    """
    levels = [iter(descs)]
    while levels:
        desc = next(levels[-1], None)
        if desc is None:
            levels.pop()
            continue
        try:
            levels.append(iter(await handler(desc)))
        except ErrSkipDesc:
            continue


async def dispatch(
    handler: Handler, limiter: anyio.Semaphore | None, *descs: Descriptor
) -> None:
    """Run a handler on descriptors and, in turn, on their children (handlers.go:120).

    Siblings run in parallel. A permit is taken before a task starts and given back
    before its children are visited, so even one permit never deadlocks.

    The first error cancels the siblings that run. Those that wait for a permit
    still start, in a cancelled scope: only the caller's cancellation ends the wait.
    Nothing is remembered: a descriptor that comes twice is handled twice.

    Args:
        handler: visits a descriptor and finds its children.
        limiter: as many permits as handlers may run at once; None for no limit.
        *descs: where to begin.

    Raises:
        ErrInvalidArgument: children nest more than ``MAX_DEPTH`` levels deep.
    """
    await _dispatch(handler, limiter, descs, 1)


async def _dispatch(
    handler: Handler,
    limiter: anyio.Semaphore | None,
    descs: Sequence[Descriptor],
    depth: int,
) -> None:
    # DEVIATION D25: containerd follows an index in an index to any depth, a few
    # goroutines a level (images/handlers.go:147). A registry can make thousands.
    if depth > MAX_DEPTH:
        raise ErrInvalidArgument(
            f"{descs[0].digest} is nested more than {MAX_DEPTH} levels deep"
        )

    async def visit(desc: Descriptor) -> None:
        try:
            found = await handler(desc)
        except ErrSkipDesc:
            return
        finally:
            if limiter is not None:
                limiter.release()
        if found:
            await _dispatch(handler, limiter, found, depth + 1)

    # DEVIATION D21: when the wait for a permit is cancelled, containerd returns at
    # once and leaves handlers running that nobody waits for (images/handlers.go:127);
    # here, they have ended when dispatch returns.
    async with errgroup() as eg:
        for desc in descs:
            if limiter is not None:
                await _acquire(limiter)
            eg.go(visit, desc)


async def _acquire(limiter: anyio.Semaphore) -> None:
    """Take a permit; a free one even when cancelled, as semaphore.Weighted does."""
    try:
        limiter.acquire_nowait()
    except anyio.WouldBlock:
        await limiter.acquire()


def children_handler(provider: Provider) -> Handler:
    """Return a handler that finds the children of manifests (handlers.go:164)."""

    async def handle(desc: Descriptor) -> Sequence[Descriptor]:
        return await children(provider, desc)

    return handle


def set_children_labels(manager: Manager, handler: Handler) -> Handler:
    """Label a parent with its children, so that collection keeps them."""
    return set_children_mapped_labels(manager, handler, None)


def set_children_mapped_labels(
    manager: Manager, handler: Handler, label_map: LabelMap | None
) -> Handler:
    """Label a parent with its children under keys of the caller's (handlers.go:184).

    A key is numbered from its second use on, and from the first if it ends with a
    dot. Labels that are already there stay.

    Args:
        manager: where the parent is.
        handler: finds the children.
        label_map: the keys for a child; None takes ``child_gc_labels``.
    """
    keys_of = label_map or child_gc_labels

    async def handle(desc: Descriptor) -> Sequence[Descriptor]:
        found = await handler(desc)
        if found:
            labels = _numbered_labels(found, keys_of)
            info = Info(
                digest=desc.digest,
                size=0,
                created_at=_NEVER,
                updated_at=_NEVER,
                labels=labels,
            )
            await manager.update(info, *(f"labels.{key}" for key in labels))
        return found

    return handle


def _numbered_labels(found: Iterable[Descriptor], keys_of: LabelMap) -> dict[str, str]:
    labels: dict[str, str] = {}
    used: Counter[str] = Counter()
    for child in found:
        for key in keys_of(child):
            number = used[key]
            used[key] += 1
            numbered = number > 0 or key.endswith(".")
            labels[f"{key}{number}" if numbered else key] = child.digest
    return labels


def filter_platforms(handler: Handler, matcher: Matcher | None) -> Handler:
    """Keep the children whose platform matches, or that name none (handlers.go:236)."""

    async def handle(desc: Descriptor) -> Sequence[Descriptor]:
        found = await handler(desc)
        if matcher is None:
            return found
        return tuple(
            child
            for child in found
            if child.platform is None or matcher.match(child.platform)
        )

    return handle


def limit_manifests(handler: Handler, matcher: MatchComparer, limit: int) -> Handler:
    """Sort the children of an index, best first, and keep a few (handlers.go:267).

    Args:
        handler: finds the children.
        matcher: says which platform is better.
        limit: how many to keep; 0 or less keeps all.

    Raises:
        ErrNotFound: (the handler, when it is called) the index has no children, or
            none that matched.
    """

    async def handle(desc: Descriptor) -> Sequence[Descriptor]:
        found = await handler(desc)
        if not is_index_type(desc.media_type):
            return found
        if limit <= 0:
            return sort_by_platform(found, matcher)
        if not found:
            raise ErrNotFound("no match for platform in manifest")
        return sort_by_platform(found, matcher)[:limit]

    return handle


def sort_by_platform(
    descs: Iterable[Descriptor], matcher: MatchComparer
) -> tuple[Descriptor, ...]:
    """Sort descriptors, best platform first; without a platform comes last."""

    def compare(a: Descriptor, b: Descriptor) -> int:
        if a.platform is None or b.platform is None:
            return (a.platform is None) - (b.platform is None)
        return matcher.less(b.platform, a.platform) - matcher.less(
            a.platform, b.platform
        )

    by_platform = sorted(descs, key=cmp_to_key(compare))
    # DEVIATION D24: containerd takes the first match whatever its type is, and fails
    # on one that it does not know (images/handlers.go:275). "An encountered mediaType
    # that is unknown to the implementation MUST NOT generate an error" (image-spec
    # v1.1.1 image-index.md): such entries come last.
    return tuple(sorted(by_platform, key=_is_unknown))


def _is_unknown(desc: Descriptor) -> bool:
    """Return whether the type of an index's entry means nothing here."""
    return not (
        is_manifest_type(desc.media_type)
        or is_index_type(desc.media_type)
        or desc.media_type in SCHEMA1_MEDIA_TYPES
    )
