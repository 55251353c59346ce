"""Requests and responses, seen from the event loop.

What blocks runs in a worker thread; cancelling the task that waits shuts the
socket down, so that the thread comes back at once. Redirects are followed here
with Go's net/http rules. httpx's transport API is used without ``httpx.Client``:
authorization and redirects are containerd's business, and that client logs whole
URLs, signatures in their queries included.

    async with HTTPClient() as client:
        response = await client.send(Request.make("GET", "http://127.0.0.1:5000/v2/"))
        body = await response.read(1 << 16)
"""

from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from itertools import cycle
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import httpx
from anyio.from_thread import check_cancelled

from refimpl.errdefs import ContainerdError, ErrInvalidArgument, ErrUnexpectedEOF
from refimpl.gotext import quote
from refimpl.remotes.docker.http1 import Body
from refimpl.remotes.docker.observe import NOBODY, Exchange, begin
from refimpl.remotes.docker.transport import (
    Interrupt,
    Timeouts,
    TLSConfig,
    Transport,
)
from refimpl.workers import run_blocking, run_interruptible

__all__ = [
    "SENSITIVE_HEADERS",
    "HTTPClient",
    "Request",
    "Response",
    "follow",
    "merge_headers",
    "origin",
    "parse_url",
    "safe_url",
]

# net/http client.go, makeHeadersCopier.
SENSITIVE_HEADERS: Final = frozenset(
    {
        "authorization",
        "cookie",
        "cookie2",
        "proxy-authenticate",
        "proxy-authorization",
        "www-authenticate",
    }
)

_BODY_HEADERS: Final = frozenset(
    {"content-encoding", "content-language", "content-location", "content-type"}
)

# net/http client.go:821 (defaultCheckRedirect) and resolver.go:520.
MAX_REDIRECTS: Final = 10

_BUFFER: Final = 2 << 20
# From here on it is worth a thread to receive and to store at the same time.
_LONG: Final = 16 << 20

Sink = Callable[[memoryview], int]
Check = Callable[["Request"], Awaitable[None]]


def parse_url(text: str) -> httpx.URL:
    """Return a text as a URL.

    Raises:
        ErrInvalidArgument: it is none.
    """
    try:
        return httpx.URL(text)
    except (httpx.InvalidURL, UnicodeError) as err:
        # The text is not shown: it may hold a password or a signature.
        raise ErrInvalidArgument("cannot parse URL") from err


def safe_url(url: httpx.URL) -> str:
    """Return a URL as it may be shown: without user, password, query, fragment."""
    path = url.raw_path.partition(b"?")[0]
    return f"{url.scheme}://{(url.netloc + path).decode('ascii')}"


def merge_headers(
    *parts: httpx.Headers, without: Collection[str] = ()
) -> httpx.Headers:
    """Return the fields of all parts, but for some; repeated fields stay so.

    The bytes stay as they are: a media type of a registry may hold any.
    """
    pairs = [pair for part in parts for pair in part.raw]
    return httpx.Headers(
        [p for p in pairs if p[0].lower().decode("latin-1") not in without]
    )


def origin(url: httpx.URL) -> tuple[str, str, int]:
    """Return the scheme, host and port that a URL leads to."""
    port = url.port or {"http": 80, "https": 443}.get(url.scheme, 0)
    return url.scheme, url.host, port


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A request that can be sent more than once."""

    method: str
    url: httpx.URL
    headers: httpx.Headers = field(default_factory=httpx.Headers)
    content: bytes = b""

    @classmethod
    def make(
        cls,
        method: str,
        url: str,
        *,
        headers: httpx.Headers | Mapping[str, str] | None = None,
        content: bytes = b"",
    ) -> Self:
        """Return a request to a URL that is still text.

        Raises:
            ErrInvalidArgument: it is no URL.
        """
        fields = httpx.Headers(headers, encoding="utf-8")
        return cls(method=method, url=parse_url(url), headers=fields, content=content)

    def __str__(self) -> str:
        """Return what an error says of a request, as Go's url.Error does."""
        return f"{self.method.capitalize()} {quote(safe_url(self.url))}"


class Response:
    """A response whose body is still to come. Close it.

    Attributes:
        request: what was sent; after redirects the last request.
        status: the status code.
        headers: the header fields.
    """

    def __init__(
        self,
        request: Request,
        raw: httpx.Response,
        interrupt: Interrupt,
        exchange: Exchange = NOBODY,
    ) -> None:
        self._exchange = exchange
        self.request = request
        self.status = raw.status_code
        self.headers = raw.headers
        self._raw = raw
        self._interrupt = interrupt
        self._read_into = _reader(raw)

    @property
    def status_text(self) -> str:
        """Return code and phrase as they came: ``403 Forbidden``."""
        phrase = "".join(c for c in self._raw.reason_phrase if c.isprintable())
        return f"{self.status} {phrase[:100]}".rstrip()

    @property
    def content_length(self) -> int:
        """Return the stated length, -1 where none is (Go: Response.ContentLength)."""
        text = self.headers.get("content-length", "")
        if "transfer-encoding" in self.headers or not text.isdecimal():
            return -1
        return int(text)

    async def read(self, limit: int) -> bytes:
        """Return the body, or its first ``limit`` bytes."""
        data = bytearray()

        def keep(view: memoryview) -> int:
            data.extend(view)
            return len(view)

        await self.pump(keep, limit)
        return bytes(data)

    async def pump(self, sink: Sink, limit: int | None = None) -> int:
        """Move the body, or its next ``limit`` bytes, into ``sink``.

        Returns how many bytes were moved. What the sink raises passes through.

        Raises:
            ErrUnexpectedEOF: the connection broke before the end.
            ContainerdError: the server went silent.
        """
        try:
            return await run_interruptible(
                self._interrupt.fire, partial(self._pump, sink, limit)
            )
        except BaseException as err:
            self._exchange.ended(err)
            raise

    def _pump(self, sink: Sink, limit: int | None) -> int:
        if limit is None and self.content_length >= _LONG:
            return self._pump_ahead(sink)
        size = min(_BUFFER, limit or _BUFFER)
        if self.content_length > 0:
            size = min(size, self.content_length)
        buffer = memoryview(bytearray(size))
        moved = 0
        while limit is None or moved < limit:
            check_cancelled()
            part = self._receive(buffer if limit is None else buffer[: limit - moved])
            if not part:
                self._end_of_body()
                break
            self._move(part, sink)
            moved += len(part)
        return moved

    def _pump_ahead(self, sink: Sink) -> int:
        """Pump a long body: the next piece comes while the sink has this one."""
        buffers = cycle([memoryview(bytearray(_BUFFER)) for _ in range(2)])
        moved = 0
        with ThreadPoolExecutor(1, thread_name_prefix="refpull-body") as reader:
            coming = reader.submit(self._receive, next(buffers))
            try:
                while part := coming.result():
                    coming = reader.submit(self._receive, next(buffers))
                    check_cancelled()
                    self._move(part, sink)
                    moved += len(part)
            except BaseException:
                # The reader may be waiting for a piece that nobody wants.
                self._interrupt.fire()
                raise
        self._end_of_body()
        return moved

    def _receive(self, view: memoryview) -> memoryview:
        """Return what came next, at the start of a buffer; nothing at the end."""
        with _body_errors(self.request):
            return view[: self._read_into(view)]

    def _move(self, part: memoryview, sink: Sink) -> None:
        self._exchange.moved(len(part))
        sink(part)

    def _end_of_body(self) -> None:
        # The connection is of use to others while this body is worked on.
        self._raw.close()

    def close(self) -> None:
        """Give the connection back, or end it if the body was not read."""
        self._raw.close()
        self._exchange.ended(None)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class HTTPClient:
    """Sends requests over one transport, which it closes in the end.

    Args:
        transport: how requests are sent; by default a :class:`Transport`.
        ca: a PEM file of the authorities to trust instead of the system's.
        tls: more than that about TLS.
        timeouts: how long to wait for a connection, and for the next byte.

    Attributes:
        tls: what it was given about TLS.
    """

    def __init__(
        self,
        *,
        transport: httpx.BaseTransport | None = None,
        ca: Path | None = None,
        tls: TLSConfig | None = None,
        timeouts: Timeouts | None = None,
    ) -> None:
        self.tls = tls or TLSConfig(ca=ca)
        self._transport = transport or Transport(tls=self.tls)
        self._timeouts = timeouts or Timeouts()
        self._timeout = asdict(self._timeouts)
        self._others: dict[TLSConfig, HTTPClient] = {}

    def with_tls(self, tls: TLSConfig) -> "HTTPClient":
        """Return a client that differs in its TLS files; it is closed with this one.

        The same files give the same client, and so the same connections.
        """
        if tls == self.tls:
            return self
        made = HTTPClient(tls=tls, timeouts=self._timeouts)
        return self._others.setdefault(tls, made)

    async def send(self, request: Request) -> Response:
        """Send a request and return its response, redirect or not.

        Raises:
            ContainerdError: there is no response; the text names the URL.
        """
        exchange = begin(request.method, safe_url(request.url), request.headers)
        interrupt = Interrupt()
        # The response is kept here also when nobody waits for it any more.
        received: list[httpx.Response] = []
        response: Response | None = None
        try:
            await run_interruptible(
                interrupt.fire, lambda: received.append(self._send(request, interrupt))
            )
            response = Response(request, received[0], interrupt, exchange)
        except BaseException as err:
            exchange.ended(err)
            raise
        finally:
            if response is None:
                for raw in received:
                    raw.close()
        exchange.answered(response.status)
        return response

    def _send(self, request: Request, interrupt: Interrupt) -> httpx.Response:
        with _send_errors(request):
            headers = merge_headers(request.headers)
            # Digests are taken over the bytes that come, so none may be recoded.
            # DEVIATION D30: Go asks for gzip on its own and decodes in passing.
            headers["Accept-Encoding"] = "identity"
            raw = httpx.Request(
                request.method,
                request.url,
                headers=headers,
                content=request.content or None,
                extensions={"timeout": self._timeout, "interrupt": interrupt},
            )
            return self._transport.handle_request(raw)

    async def aclose(self) -> None:
        """Close the idle connections."""
        for other in self._others.values():
            await other.aclose()
        await run_blocking(self._transport.close)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()


async def follow(
    client: HTTPClient, request: Request, check: Check | None = None
) -> Response:
    """Send a request and follow redirects as Go does (net/http client.go:594).

    Args:
        client: what sends.
        request: the first request.
        check: sees every further request before it is sent, and may add to its
            headers or refuse it.

    Raises:
        ContainerdError: no answer, too many redirects, or one that leads nowhere.
    """
    first, trusted = request, True
    for hop in range(1, MAX_REDIRECTS + 1):
        response = await client.send(request)
        location = response.headers.get("location")
        if response.status not in (301, 302, 303, 307, 308) or not location:
            return response
        response.close()
        if hop == MAX_REDIRECTS:
            break
        url = _join(request, location)
        # DEVIATION D22: Go keeps credentials on sub-domains and on a downgrade.
        trusted = trusted and origin(url) == origin(first.url)
        request = _redirected(request, response.status, url, trusted=trusted)
        if check is not None:
            await check(request)
    raise ContainerdError(f"{first}: stopped after {MAX_REDIRECTS} redirects")


def _join(request: Request, location: str) -> httpx.URL:
    try:
        url = request.url.join(location)
    except (httpx.InvalidURL, UnicodeError, ValueError) as err:
        detail = "failed to parse Location header"
        raise ContainerdError(f"{request}: {detail}") from err
    if url.scheme not in ("http", "https") or not url.host:
        raise ContainerdError(
            f"{request}: redirected to an unsupported protocol scheme "
            f"{quote(url.scheme)}"
        )
    # A user name in a redirect is the server's idea, not ours.
    return url.copy_with(userinfo=b"")


def _redirected(
    request: Request, status: int, url: httpx.URL, *, trusted: bool
) -> Request:
    """Return the next request (net/http client.go:520, redirectBehavior)."""
    method, content = request.method, request.content
    dropped = {"host", "content-length"}
    if not trusted:
        dropped |= SENSITIVE_HEADERS
    if status in (301, 302, 303):
        method = method if method in ("GET", "HEAD") else "GET"
        content = b""
        dropped |= _BODY_HEADERS
    headers = merge_headers(request.headers, without=dropped)
    return replace(request, method=method, url=url, headers=headers, content=content)


def _reader(raw: httpx.Response) -> Callable[[memoryview], int]:
    """Return what fills a buffer from a body, whatever transport it came over."""
    if isinstance(raw.stream, Body):
        return raw.stream.read_into
    if not isinstance(raw.stream, httpx.SyncByteStream):
        raise TypeError(type(raw.stream))
    chunks = iter(raw.stream)
    rest = memoryview(b"")

    def read_into(view: memoryview) -> int:
        nonlocal rest
        if not rest:
            rest = memoryview(next(chunks, b""))
        size = min(len(rest), len(view))
        view[:size] = rest[:size]
        rest = rest[size:]
        return size

    return read_into


@contextmanager
def _send_errors(request: Request) -> Iterator[None]:
    """Turn what a transport raises into one line that names the URL."""
    try:
        yield
    except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as err:
        raise ContainerdError(f"{request}: {_reason(err)}") from err


@contextmanager
def _body_errors(request: Request) -> Iterator[None]:
    """Tell a body that breaks off, which can be resumed, from silence."""
    try:
        yield
    except httpx.TimeoutException as err:
        raise ContainerdError(f"{request}: {_reason(err)}") from err
    except (httpx.HTTPError, httpx.StreamError) as err:
        # DEVIATION D11: Go resumes after an early close only, not after a reset.
        raise ErrUnexpectedEOF(f"{request}: {_reason(err)}") from err


def _reason(err: Exception) -> str:
    if isinstance(err, UnicodeError):
        return "a header holds what no header can carry"
    return str(err) or type(err).__name__
