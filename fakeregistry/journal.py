"""What was asked and what was answered, in order of arrival.

    registry.journal.paths("GET")
    registry.journal.requests(method="GET", path="/blobs/*", status=206)
    registry.journal.wait_for(3, path="/blobs/*")

Order and overlap are told by ticks of one counter, not by clocks: a request
that begins after another one ended never counts as parallel to it.
"""

from __future__ import annotations

import importlib
import itertools
import json
import re
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypedDict, Unpack
from urllib.parse import unquote

from fakeregistry.body import MAX_BODY, NO_BODY, Body
from fakeregistry.redaction import redact_header, redact_query
from fakeregistry.rules import CRITERIA, Criteria, take_criteria

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from fakeregistry.bodies import Recorded
    from fakeregistry.faults import Fault
    from fakeregistry.reply import Outcome

BODY_LIMIT: Final = MAX_BODY
_ORIGIN: Final = re.compile(r"[a-z]+://[^/?]*", re.I)


class JournalTimeout(AssertionError):
    """Requests that were waited for did not come."""


class HeaderList:
    """Headers in the order and the case in which they were sent."""

    __slots__ = ("_pairs",)

    def __init__(self, pairs: Iterable[tuple[str, str]] = ()) -> None:
        self._pairs = tuple(pairs)

    def get(self, name: str, default: str = "") -> str:
        """Return the first value of a header, whatever the case of its name."""
        folded = name.lower()
        for key, value in self._pairs:
            if key.lower() == folded:
                return value
        return default

    def get_all(self, name: str) -> tuple[str, ...]:
        """Return every value of a header, in order."""
        folded = name.lower()
        return tuple(value for key, value in self._pairs if key.lower() == folded)

    def __contains__(self, name: str) -> bool:
        folded = name.lower()
        return any(key.lower() == folded for key, _ in self._pairs)

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self._pairs)

    def __len__(self) -> int:
        return len(self._pairs)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, HeaderList):
            return self._pairs == other._pairs
        return NotImplemented

    def __hash__(self) -> int:
        return hash(self._pairs)

    def redacted(self) -> tuple[tuple[str, str], ...]:
        """Return the pairs with secrets taken out of the values."""
        return tuple((key, redact_header(key, value)) for key, value in self._pairs)

    def __repr__(self) -> str:
        return f"HeaderList({list(self.redacted())!r})"


class Exchange:
    """One request and its response.

    The server fills it in while it works; ``repr`` never shows credentials, the
    attributes do.

    Attributes:
        index: 0 for the first request since the journal was made.
        server: ``"registry"`` or ``"cdn"``.
        target: Path and query exactly as sent.
        path: The path, percent-decoded.
        query: The query as sent, without the question mark.
        body: The body of the request, for the handler to read.
        status: 0 until a response began.
        body_sent: Body bytes handed to the system, framing not counted.
        connection: Number of the connection it came on.
        version: Protocol version of the response.
        started: Monotonic seconds; ``answered``, when the response began, and
            ``finished`` are None until then.
        outcome: None while it lasts, ``"held"`` while a gate holds it, ``"stalled"``
            once a fault holds the rest of the body back and the client has read
            what came before.
        met: The faults that it met.
        ignore_range: A fault wants the Range header overlooked.
    """

    __slots__ = (
        "_began",
        "_ended",
        "_journal",
        "answered",
        "body",
        "body_sent",
        "connection",
        "finished",
        "ignore_range",
        "index",
        "met",
        "method",
        "outcome",
        "path",
        "query",
        "request_headers",
        "response_headers",
        "server",
        "started",
        "status",
        "target",
        "version",
    )

    def __init__(self, method: str, target: str, headers: HeaderList) -> None:
        self.index = -1
        self.server = "registry"
        self.method = method
        self.target = target
        self.path, self.query = _split_target(target)
        self.request_headers = headers
        self.body = NO_BODY
        self.status = 0
        self.version = "HTTP/1.1"
        self.response_headers = HeaderList()
        self.body_sent = 0
        self.connection = 0
        self.started = time.monotonic()
        self.answered: float | None = None
        self.finished: float | None = None
        self.outcome: Outcome | None = None
        self.met: tuple[Fault, ...] = ()
        self.ignore_range = False
        self._journal: Journal | None = None
        self._began = 0
        self._ended: int | None = None

    @property
    def faults(self) -> tuple[int, ...]:
        """Ids of the faults that it met."""
        return tuple(fault.id for fault in self.met)

    @property
    def request_body(self) -> bytes:
        """What was read of the request's body, at most ``BODY_LIMIT`` bytes of it."""
        return self.body.kept

    @property
    def reference(self) -> str:
        """The last part of the path: a tag or a digest on most endpoints."""
        return self.path.rpartition("/")[2]

    @property
    def range(self) -> str | None:
        """The Range header that handlers are to obey, None without one."""
        if self.ignore_range:
            return None
        return self.request_headers.get("Range") or None

    def replied(
        self,
        status: int,
        headers: Iterable[tuple[str, str]],
        version: str = "HTTP/1.1",
    ) -> None:
        """Record the head of the response, as it goes out."""
        self.status = status
        self.version = version
        self.answered = time.monotonic()
        self.response_headers = HeaderList(headers)

    def ending(self) -> None:
        """Stop counting as in flight.

        To be called before the last bytes are handed to the system: a client
        that has them may send its next request before this thread runs again.
        """
        if self._journal is not None and self._ended is None:
            self._ended = self._journal.tick()

    def stalls(self) -> None:
        """Record that nothing more is sent until a fault is released."""
        self.outcome = "stalled"
        if self._journal is not None:
            self._journal.changed()

    def finish(self, outcome: Outcome) -> None:
        """Record how it ended; the first call counts."""
        if self.finished is not None:
            return
        self.ending()
        self.outcome = outcome
        self.finished = time.monotonic()
        if self._journal is not None:
            self._journal.changed()

    def interval(self) -> tuple[int, int | None]:
        """Return the ticks at which it began and ended."""
        return self._began, self._ended

    def enter(self, journal: Journal, index: int) -> None:
        """Take a place in a journal; for the journal only."""
        self._journal = journal
        self.index = index
        self._began = journal.tick()

    def __repr__(self) -> str:
        query = f"?{redact_query(self.query)}" if self.query else ""
        status = self.status or "-"
        return (
            f"<Exchange {self.index} {self.server} {self.method} {self.path}{query}"
            f" -> {status}, {self.body_sent} bytes, {self.outcome or 'in flight'}>"
        )


class RequestFilter(Criteria, total=False):
    """Criteria of a rule, and of the response."""

    status: int | None
    outcome: str | None


class Journal:
    """Every exchange of a registry and its CDN; safe to use from any thread.

    Attributes:
        schemes: "http" or "https", by server.
        urls: Scheme, host and port, by server, of those that run.
        recorded: Responses as they went out, by index, of a registry that records
            them (:mod:`fakeregistry.bodies`).
    """

    def __init__(self, *, tls: bool = False, cdn_tls: bool = False) -> None:
        self.schemes = {
            "registry": "https" if tls else "http",
            "cdn": "https" if cdn_tls else "http",
        }
        self.urls: dict[str, str] = {}
        self.recorded: dict[int, Recorded] = {}
        self._exchanges: list[Exchange] = []
        self._indexes = itertools.count()
        self._ticks = itertools.count(1)
        self._changed = threading.Condition()
        self._waiting = 0
        self._hopeless = ""
        self._closed = False

    def begin(  # noqa: PLR0913 - what a request consists of
        self,
        method: str,
        target: str,
        headers: Iterable[tuple[str, str]],
        *,
        body: Body | bytes = NO_BODY,
        server: str = "registry",
        connection: int = 0,
    ) -> Exchange:
        """Record that a request has arrived."""
        exchange = Exchange(method, target, HeaderList(headers))
        exchange.body = body if isinstance(body, Body) else Body.of(body)
        exchange.server = server
        exchange.connection = connection
        with self._changed:
            exchange.enter(self, next(self._indexes))
            self._exchanges.append(exchange)
        self.changed()
        return exchange

    def tick(self) -> int:
        """Return the next tick of the journal's counter."""
        return next(self._ticks)

    def changed(self) -> None:
        """Wake those who wait."""
        # Who begins to wait says so before it looks: nobody misses what is new.
        if self._waiting:
            with self._changed:
                self._changed.notify_all()

    def requests(self, **criteria: Unpack[RequestFilter]) -> tuple[Exchange, ...]:
        """Return the exchanges that meet every criterion, in order of arrival.

        Raises:
            ValueError: A keyword is unknown.
        """
        rule, response = take_criteria(criteria)
        _check_keywords(response, ("status", "outcome"))
        return tuple(
            exchange
            for exchange in self.snapshot()
            if rule.matches(exchange)
            and all(
                wanted is None or getattr(exchange, name) == wanted
                for name, wanted in response.items()
            )
        )

    def paths(
        self, method: str | None = None, **criteria: Unpack[_NoMethod]
    ) -> list[str]:
        """Return the paths that were asked for, in order of arrival."""
        found = self.requests(method=method, **criteria)
        return [exchange.path for exchange in found]

    def max_in_flight(self, path: str | None = None, method: str | None = None) -> int:
        """Return how many matching requests were in flight at once, at most.

        A request is in flight from its arrival until the last bytes of its
        response are about to be handed to the system.
        """
        steps: list[tuple[int, int]] = []
        for exchange in self.requests(path=path, method=method):
            began, ended = exchange.interval()
            steps.append((began, 1))
            if ended is not None:
                steps.append((ended, -1))
        return max(itertools.accumulate(step for _, step in sorted(steps)), default=0)

    def wait_for(
        self,
        count: int = 1,
        *,
        timeout: float = 10.0,
        **criteria: Unpack[RequestFilter],
    ) -> tuple[Exchange, ...]:
        """Wait until at least ``count`` exchanges meet the criteria.

        Raises:
            JournalTimeout: They did not come in time, the registry stopped, or
                nobody is left who could ask (``Registry.expect_requests``).
        """
        deadline = time.monotonic() + timeout
        with self._changed:
            self._waiting += 1
            try:
                while len(found := self.requests(**criteria)) < count:
                    left = deadline - time.monotonic()
                    if self._closed or self._hopeless or left <= 0:
                        why = f"{self._hopeless}: " if self._hopeless else ""
                        raise JournalTimeout(
                            f"{why}{len(found)} of {count} requests met {criteria}; "
                            f"seen: {self._exchanges}"
                        )
                    self._changed.wait(left)
            finally:
                self._waiting -= 1
        return found

    def expect_requests(self, hopeless: str) -> None:
        """Let waits end at once for this reason; go on waiting if it is empty."""
        with self._changed:
            self._hopeless = hopeless
            self._changed.notify_all()

    def snapshot(self) -> tuple[Exchange, ...]:
        """Return all exchanges so far."""
        with self._changed:
            return tuple(self._exchanges)

    def response_body(self, exchange: Exchange) -> bytes | None:
        """Return the body that was sent, as far as it came; None: not recorded.

        Needs ``Registry(record_bodies=True)``. The framing of chunks is taken off;
        a Content-Encoding stays.
        """
        recorded = self.recorded.get(exchange.index)
        return None if recorded is None else recorded.body()

    def to_har(self, *, redact: bool = True) -> dict[str, Any]:
        """Return all exchanges as an HTTP Archive (:mod:`fakeregistry.har`).

        Args:
            redact: Leave secrets out.
        """
        module: Any = importlib.import_module("fakeregistry.har")
        document: dict[str, Any] = module.to_har(self, redact=redact)
        return document

    def save_har(self, path: str | Path, *, redact: bool = True) -> None:
        """Write all exchanges to a file, as an HTTP Archive."""
        text = json.dumps(self.to_har(redact=redact), indent=2)
        Path(path).write_text(f"{text}\n", encoding="utf-8")

    def clear(self) -> None:
        """Forget all exchanges; indexes go on from where they were."""
        with self._changed:
            self._exchanges.clear()
            self.recorded.clear()

    def close(self) -> None:
        """End every wait; what was recorded stays."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def __len__(self) -> int:
        return len(self.snapshot())

    def __iter__(self) -> Iterator[Exchange]:
        return iter(self.snapshot())

    def __getitem__(self, index: int) -> Exchange:
        return self.snapshot()[index]

    def __repr__(self) -> str:
        lines = "".join(f"\n  {exchange!r}" for exchange in self)
        return f"<Journal of {len(self)}:{lines}>"


class _NoMethod(TypedDict, total=False):
    path: str | None
    status: int | None
    server: str | None


def _check_keywords(options: dict[str, object], known: Sequence[str]) -> None:
    for name in options:
        if name not in known:
            choices = ", ".join(sorted((*CRITERIA, *known)))
            raise ValueError(f"{name}: unknown keyword; there are {choices}")


def _split_target(target: str) -> tuple[str, str]:
    if not target.startswith("/"):
        # The absolute form of a client that takes us for a proxy (RFC 9112, 3.2.2).
        target = _ORIGIN.sub("", target, count=1)
    path, _, query = target.partition("?")
    return (unquote(path) if "%" in path else path), query
