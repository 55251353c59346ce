"""Mirrors nothing in containerd: what a pull does, written down as data.

    trace = Trace(ref)
    async with Client(root) as client:
        with trace.recording():
            await client.pull(ref, trace.watching(context, matcher))
    json.dumps(trace.to_json())

It looks in from outside, through the hooks that every caller of a pull has: a handler
wrapper sees each descriptor come and go, the label map sees the children that an index
or manifest names before any of them is left out, and an observer sees the requests.
"""

from __future__ import annotations

import itertools
import time
from collections import deque
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from refimpl.errdefs import ErrSkipDesc, message
from refimpl.images.mediatypes import child_gc_labels, is_index_type
from refimpl.remotes.docker.observe import observed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from refimpl import images
    from refimpl.client import RemoteContext
    from refimpl.descriptor import Descriptor
    from refimpl.images import Handler
    from refimpl.platforms import Matcher

__all__ = ["VERSION", "Trace"]

#: Of the data; it grows by keys, and changes when one changes its meaning.
VERSION: Final = 1

Json = dict[str, Any]


@dataclass(slots=True)
class _Visit:
    """One descriptor in the hands of the handlers; times are seconds from the start."""

    number: int
    parent: int | None
    desc: Descriptor
    found: float
    started: float
    ended: float | None = None
    error: str | None = None
    named: list[Descriptor] = field(default_factory=list)
    children: list[Json] = field(default_factory=list)

    def to_json(self) -> Json:
        return {
            "id": self.number,
            "parent": self.parent,
            "descriptor": self.desc.to_json(),
            "found": self.found,
            "started": self.started,
            "ended": self.ended,
            "error": self.error,
            "children": self.children,
        }


@dataclass(slots=True)
class _Exchange:
    """One request (refimpl.remotes.docker.observe.Exchange)."""

    clock: Callable[[], float]
    method: str
    url: str
    range: str | None
    authorized: bool
    visit: int | None
    started: float
    status: int | None = None
    answer_at: float | None = None
    over_at: float | None = None
    size: int = 0
    error: str | None = None

    def answered(self, status: int, /) -> None:
        self.status, self.answer_at = status, self.clock()

    def moved(self, size: int, /) -> None:
        self.size += size

    def ended(self, error: BaseException | None, /) -> None:
        if self.over_at is None:
            self.over_at = self.clock()
            self.error = None if error is None else message(error)

    def to_json(self) -> Json:
        return {
            "method": self.method,
            "url": self.url,
            "range": self.range,
            "authorized": self.authorized,
            "handler": self.visit,
            "status": self.status,
            "started": self.started,
            "answered": self.answer_at,
            "ended": self.over_at,
            "bytes": self.size,
            "error": self.error,
        }


class Trace:
    """Collects what one pull does.

    Args:
        ref: what is pulled.
        clock: tells seconds, from anywhere on.
    """

    def __init__(
        self, ref: str, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._ref = ref
        self._clock = clock
        self._began = clock()
        self._date = datetime.now(UTC)
        self._limit = 0
        self._numbers = itertools.count(1)
        self._visits: list[_Visit] = []
        self._exchanges: list[_Exchange] = []
        self._waiting: dict[str, deque[tuple[int, float]]] = {}
        self._current: ContextVar[_Visit | None] = ContextVar("visit", default=None)
        self._result: Json = {"image": None, "error": None}
        self._seconds: float | None = None

    def watching(
        self, context: RemoteContext, matcher: Matcher | None
    ) -> RemoteContext:
        """Return a context whose hooks report here.

        Args:
            context: how to pull; hooks of its own go on working.
            matcher: which platforms are wanted, for the reasons of what is left out;
                None for all.
        """
        self._limit = context.max_concurrent_downloads
        wrapper, label_map = context.handler_wrapper, context.child_label_map

        def watch(handler: Handler) -> Handler:
            return self._watched(wrapper(handler) if wrapper else handler, matcher)

        def look(child: Descriptor) -> Sequence[str]:
            visit = self._current.get()
            if visit is not None:
                visit.named.append(child)
            return (label_map or child_gc_labels)(child)

        return replace(context, handler_wrapper=watch, child_label_map=look)

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Note the requests of the block, and the error that ends it."""
        try:
            with observed(self._observe):
                yield
        except BaseException as err:
            error = {"class": type(err).__name__, "message": message(err)}
            self._result["error"] = error
            raise
        finally:
            self._seconds = self._now()

    def done(self, image: images.Image) -> None:
        """Note the record that was made."""
        self._result["image"] = {
            "name": image.name,
            "target": image.target.to_json(),
            "labels": dict(image.labels),
        }

    def to_json(self) -> Json:
        """Return all of it; times are seconds since the start."""
        return {
            "trace": VERSION,
            "ref": self._ref,
            "started": self._date.isoformat(),
            "seconds": self._now() if self._seconds is None else self._seconds,
            "limit": self._limit,
            **self._result,
            "handlers": [visit.to_json() for visit in self._visits],
            "requests": [exchange.to_json() for exchange in self._exchanges],
        }

    def _now(self) -> float:
        return round(self._clock() - self._began, 6)

    def _watched(self, handler: Handler, matcher: Matcher | None) -> Handler:
        async def handle(desc: Descriptor) -> Sequence[Descriptor]:
            visit = self._visit(desc)
            token = self._current.set(visit)
            found: Sequence[Descriptor] = ()
            try:
                found = await handler(desc)
                return found
            except BaseException as err:
                visit.error = message(err)
                if isinstance(err, ErrSkipDesc):
                    visit.error = "skipped by a handler"
                raise
            finally:
                self._current.reset(token)
                visit.ended = self._now()
                visit.children = _children(visit, found, matcher)
                for child in found:
                    queue = self._waiting.setdefault(child.digest, deque())
                    queue.append((visit.number, visit.ended))

        return handle

    def _visit(self, desc: Descriptor) -> _Visit:
        now = self._now()
        queue = self._waiting.get(desc.digest)
        parent, found = queue.popleft() if queue else (None, now)
        visit = _Visit(next(self._numbers), parent, desc, found, now)
        self._visits.append(visit)
        return visit

    def _observe(self, method: str, url: str, headers: Mapping[str, str]) -> _Exchange:
        visit = self._current.get()
        exchange = _Exchange(
            clock=self._now,
            method=method,
            url=url,
            range=headers.get("Range"),
            authorized="Authorization" in headers,
            visit=None if visit is None else visit.number,
            started=self._now(),
        )
        self._exchanges.append(exchange)
        return exchange


def _children(
    visit: _Visit, found: Sequence[Descriptor], matcher: Matcher | None
) -> list[Json]:
    """Return what a document names, and why each of it was kept or left out."""
    left = list(found)
    children = []
    for child in visit.named or found:
        kept = child in left
        if kept:
            left.remove(child)
        why = _why_kept(visit, child) if kept else _why_not(visit, child, matcher)
        children.append({"descriptor": child.to_json(), "kept": kept, "why": why})
    return [
        *children,
        *(
            {"descriptor": child.to_json(), "kept": True, "why": "added by a handler"}
            for child in left
        ),
    ]


def _why_kept(visit: _Visit, child: Descriptor) -> str:
    if not is_index_type(visit.desc.media_type):
        return "a part of the image"
    if child.platform is None:
        return "names no platform"
    return "its platform is wanted"


def _why_not(visit: _Visit, child: Descriptor, matcher: Matcher | None) -> str:
    if visit.error is not None:
        return visit.error
    if not is_index_type(visit.desc.media_type):
        return "left out by a handler"
    if child.platform is not None and matcher and not matcher.match(child.platform):
        return "another platform"
    return "another entry fits better"
