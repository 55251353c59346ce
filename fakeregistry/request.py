"""Requests as they come off a connection: head, framing, refusals (RFC 9112).

The reader is made for this server: it keeps the order and the spelling of the
headers (clients are judged by what they send), bounds everything, and says
what is wrong with bytes that are no request.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol

from fakeregistry.body import MAX_BODY, NO_BODY, BadRequest, Body

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["MAX_HEAD", "BadRequest", "Request", "RequestReader"]

MAX_HEAD: Final = 64 * 1024

_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", re.ASCII)
_TOKEN_BYTES: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_LINE: Final = re.compile(
    r"([!#$%&'*+.^_`|~0-9A-Za-z-]+) ([!-~]+) HTTP/(1\.[01])", re.ASCII
)
_DIGITS: Final = re.compile(r"[0-9]{1,18}", re.ASCII)
_CHUNK: Final = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\r\n]*)?\r\n")
_NOT_IN_VALUES: Final = re.compile(r"[\x00\r\n]")
_BLOCK: Final = 64 * 1024
_BODY_BLOCK: Final = 256 * 1024
_FORM: Final = "application/x-www-form-urlencoded"


@dataclass(slots=True)
class Head:
    """The request line and the headers."""

    method: str
    target: str
    version: str
    headers: list[tuple[str, str]]
    _values: dict[str, list[str]] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        for name, value in self.headers:
            self._values.setdefault(name.lower(), []).append(value)

    def values(self, name: str) -> Sequence[str]:
        """Return all values of a header; the name in lower case."""
        return self._values.get(name, ())

    def tokens(self, name: str) -> set[str]:
        """Return the comma-separated members of a header, in lower case."""
        return {
            token.strip().lower()
            for value in self.values(name)
            for token in value.split(",")
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request; its body may still be on the way.

    Attributes:
        target: Path and query as sent.
        headers: In the order and the spelling in which they were sent.
        body: To be read to its end before the next request is.
        close: Whether the client wants the connection to end.
        old: Whether it speaks HTTP/1.0.
    """

    method: str
    target: str
    headers: Sequence[tuple[str, str]] = ()
    body: Body = NO_BODY
    close: bool = False
    old: bool = False


class Source(Protocol):
    """What the reader needs of a socket."""

    def recv(self, size: int, /) -> bytes:
        """Return at most ``size`` bytes, none at the end."""
        ...

    def sendall(self, data: bytes, /) -> None:
        """Send everything."""
        ...


class RequestReader:
    """Reads requests off one connection, one after the other."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._buffer = b""

    def next(self) -> Request | None:
        """Read one request, all but its body; None when the client has gone.

        Forms are read at once: they say what is asked for.

        Raises:
            BadRequest: What came is no request.
        """
        raw = self._read_head()
        if raw is None:
            return None
        head = parse_head(raw)
        target = origin_form(head.target)
        old = head.version == "1.0"
        return Request(
            method=head.method,
            target=target,
            headers=head.headers,
            body=self._read_body(head),
            close=old or "close" in head.tokens("connection"),
            old=old,
        )

    def _read_head(self) -> bytes | None:
        buffer, seen = self._buffer.lstrip(b"\r\n"), 0
        while (end := buffer.find(b"\r\n\r\n", max(seen - 3, 0))) < 0:
            check_beginning(buffer)
            seen = len(buffer)
            data = self._source.recv(_BLOCK)
            if not data:
                return None
            # RFC 9112 section 2.2: empty lines before a request are ignored.
            buffer = buffer + data if buffer else data.lstrip(b"\r\n")
        self._buffer = buffer[end + 4 :]
        if end > MAX_HEAD:
            raise BadRequest(431, "the request head is too large")
        return buffer[:end]

    def _read_body(self, head: Head) -> Body:
        length = body_length(head)
        if length == 0:
            return NO_BODY
        waits = (
            head.version == "1.1"
            and not self._buffer
            and "100-continue" in head.tokens("expect")
        )
        blocks = self._chunks() if length is None else self._take(length)
        ask = self._ask if waits else None
        body = Body(blocks, ask=ask, length=length)
        if not waits and length is not None and length <= MAX_BODY and _is_form(head):
            return Body.of(b"".join(body.blocks()))
        return body

    def _ask(self) -> None:
        """Tell a client to go on (RFC 9110 section 10.1.1)."""
        self._source.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _chunks(self) -> Iterator[bytes]:
        while True:
            line = self._read_line()
            match = _CHUNK.fullmatch(line)
            if match is None:
                raise BadRequest(400, "a chunk size is malformed")
            size = int(match[1], 16)
            if size == 0:
                break
            yield from self._take(size)
            if self._read_line() != b"\r\n":
                raise BadRequest(400, "a chunk does not end with its size")
        trailers = 0
        while (line := self._read_line()) != b"\r\n":
            trailers += len(line)
            if trailers > MAX_HEAD:
                raise BadRequest(431, "the trailers are too large")

    def _read_line(self) -> bytes:
        while (end := self._buffer.find(b"\r\n")) < 0:
            if len(self._buffer) > MAX_HEAD:
                raise BadRequest(400, "a line of the body is too long")
            self._buffer += self._receive(_BLOCK)
        line, self._buffer = self._buffer[: end + 2], self._buffer[end + 2 :]
        return line

    def _take(self, size: int) -> Iterator[bytes]:
        if self._buffer:
            data, self._buffer = self._buffer[:size], self._buffer[size:]
            size -= len(data)
            yield data
        while size > 0:
            data = self._receive(min(size, _BODY_BLOCK))
            size -= len(data)
            yield data

    def _receive(self, size: int) -> bytes:
        try:
            data = self._source.recv(size)
        except OSError:
            data = b""
        if not data:
            raise BadRequest(400, "the body ended early")
        return data


def check_beginning(data: bytes) -> None:
    """Refuse what cannot become a request, before its end has come.

    A TLS client that talks to a plain port waits for an answer to its
    ClientHello; the 400 that it gets tells it what it talks to.

    Raises:
        BadRequest: The bytes are no beginning of a request.
    """
    if len(data) > MAX_HEAD:
        raise BadRequest(431, "the request head is too large")
    if data and _TOKEN_BYTES.match(data) is None:
        raise BadRequest(400, "the request line is malformed")
    if b"\n\n" in data:
        raise BadRequest(400, "lines must end with CRLF")


def parse_head(raw: bytes) -> Head:
    """Parse a request line and headers (RFC 9112 sections 3 and 5).

    Raises:
        BadRequest: A line is malformed, or Host is missing or doubled.
    """
    first, *lines = raw.decode("latin-1").split("\r\n")
    match = _LINE.fullmatch(first)
    if match is None:
        raise BadRequest(*_why_not(first))
    head = Head(match[1], match[2], match[3], [_parse_field(line) for line in lines])
    if head.version == "1.1" and len(head.values("host")) != 1:
        raise BadRequest(400, "exactly one Host header is needed")
    return head


def _why_not(line: str) -> tuple[int, str]:
    if re.fullmatch(r"\S+ \S+ HTTP/[0-9](\.[0-9])?", line) and "HTTP/1" not in line:
        return 505, "only HTTP/1.1 is spoken here"
    return 400, "the request line is malformed"


def _parse_field(line: str) -> tuple[str, str]:
    name, colon, value = line.partition(":")
    # A line that begins with a blank is obs-fold, which a server may refuse
    # (RFC 9112 section 5.2).
    if not colon or _TOKEN.fullmatch(name) is None:
        raise BadRequest(400, "a header line is malformed")
    value = value.strip(" \t")
    if _NOT_IN_VALUES.search(value):
        raise BadRequest(400, "a header value holds a control character")
    return name, value


def body_length(head: Head) -> int | None:
    """Return the length of the body; None when it is chunked.

    RFC 9112 section 6.3; both framings at once are refused, since that is how
    requests are smuggled.

    Raises:
        BadRequest: The framing is ambiguous or unknown.
    """
    codings = head.values("transfer-encoding")
    lengths = {
        part.strip()
        for value in head.values("content-length")
        for part in value.split(",")
    }
    if codings:
        if lengths or [coding.lower() for coding in codings] != ["chunked"]:
            raise BadRequest(400, "the framing of the body is not understood")
        return None
    if not lengths:
        return 0
    if len(lengths) > 1 or _DIGITS.fullmatch(text := lengths.pop()) is None:
        raise BadRequest(400, "Content-Length is malformed")
    return int(text)


def _is_form(head: Head) -> bool:
    return any(
        value.partition(";")[0].strip().lower() == _FORM
        for value in head.values("content-type")
    )


def origin_form(target: str) -> str:
    """Reduce an absolute target to path and query (RFC 9112 section 3.2.2).

    Raises:
        BadRequest: The target is neither a path nor an absolute http URL.
    """
    if target.startswith("/"):
        return target
    match = re.fullmatch(r"https?://[^/?#]+(/[^#]*|)(?:#.*)?", target, re.IGNORECASE)
    if match is None:
        raise BadRequest(400, "the request target is malformed")
    return match[1] or "/"
