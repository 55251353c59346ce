"""What a fault does to a response.

``Actions`` checks its keywords when it is made, so that a script that cannot
mean anything is refused where it is written, and turns one reply into another.
"""

from __future__ import annotations

import gzip
import itertools
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Final, TypedDict

from werkzeug.datastructures import Headers

from fakeregistry.reply import Reply

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from threading import Event

    from fakeregistry.journal import Exchange
    from fakeregistry.reply import Buffer

HeaderValues = Mapping[str, str | Sequence[str]]
Location = str | Callable[["Exchange"], str]

_FILLER: Final = b" " * (1 << 16)
_ENCODERS: Final[Mapping[str, Callable[[bytes], bytes]]] = {
    "gzip": lambda data: gzip.compress(data, mtime=0),
    "x-gzip": lambda data: gzip.compress(data, mtime=0),
    "deflate": zlib.compress,
}
# Of each group at most one action can be meant.
_EXCLUSIVE: Final = (
    ("status", "change_status", "raw"),
    ("redirect", "change_status", "raw"),
    ("truncate", "cut", "reset", "stall"),
    ("truncate", "endless"),
    ("truncate", "chunked"),
    ("truncate", "raw"),
    ("replace", "append"),
    ("replace", "shorten"),
    ("replace", "flip"),
    ("shorten", "endless"),
    ("close", "hang_up"),
    ("drip", "stall"),
    ("drip", "delay"),
)
_WITH_RAW: Final = frozenset({"raw", "delay", "cut", "reset"})
_ANSWERS: Final = frozenset({"status", "redirect", "raw"})
# Actions that cannot be told apart on the wire: only one fault at a time has them.
_SHARED: Final = {
    "truncate": "ending",
    "cut": "ending",
    "reset": "ending",
    "stall": "ending",
    "delay": "waiting",
    "drip": "waiting",
    "replace": "content",
    "shorten": "content",
    "append": "content",
    "endless": "content",
    "encode": "content",
}
_RESIZES: Final = frozenset({"replace", "shorten", "append", "encode", "endless"})
_COUNTS: Final = ("truncate", "shorten", "stall")


class ActionOptions(TypedDict, total=False):
    """The keywords of ``Actions``, for signatures."""

    status: int | None
    body: bytes | None
    headers: HeaderValues | None
    remove_headers: Sequence[str] | None
    redirect: Location | None
    raw: bytes | None
    change_status: int | None
    replace: bytes | None
    append: bytes | None
    shorten: int | None
    flip: int | None
    endless: bool | int | None
    encode: str | None
    truncate: int | None
    cut: bool | int | None
    reset: bool | int | None
    stall: bool | int | None
    delay: float | None
    drip: tuple[int, float] | None
    content_range: str | None
    ignore_range: bool | None
    chunked: bool | int | None
    chunk_extension: str | None
    close: bool | None
    hang_up: bool | None
    version: str | None
    interim: int | Sequence[int] | None
    lower_case: bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Actions:
    """What to do; None and False do nothing. N counts bytes of that response.

    Answers, in place of the handler:

    Attributes:
        status: Answer with this status (and ``body``, ``headers``).
        body: Body of an answer; empty without it.
        redirect: Answer with this Location and status 307, or ``status``.
            ``{target}``, ``{path}``, ``{query}`` and ``{reference}`` stand for
            those of the request; a function gets the exchange.
        raw: Answer with exactly these bytes, status line and all, and close.
        change_status: Keep the handler's headers and body under another status.
        headers: Set headers; a sequence of values gives several lines. A
            Content-Length is sent as given and does not change the body.
        remove_headers: Leave headers out. Without Content-Length the body ends
            with the connection, unless ``chunked``.
        replace: Another body, with its right length.
        append: More bytes after the body, with the right length of all.
        shorten: Only the first N bytes of the body, with their right length.
        flip: Xor the byte at this offset of the body with 1; negative offsets
            count from the end. Past the end it changes nothing.
        endless: True: blanks follow the body until the client has enough, the
            fault is released or the registry stops; N: so many blanks. No length
            is announced. A client without a bound of its own writes all of it to
            its disk: prefer N, well above the bound in question.
        encode: Compress the body ("gzip", "x-gzip", "deflate") and say so in
            Content-Encoding, whether the client accepts it or not.
        truncate: Announce the full Content-Length, send N bytes of the body,
            close with FIN.
        cut: N: send N bytes of a chunked body without its last chunk, close
            with FIN. True: close without a single byte of a response.
        reset: N: as truncate, but close with RST. True: RST at once, without a
            byte of a response.
        stall: Send N bytes of the body (True: none, the head only), then nothing
            until the fault is released or the registry stops; the rest follows
            a release. The journal's outcome is ``"stalled"`` from when the client
            has read them.
        delay: Wait that many seconds before the head; a release ends it.
        drip: ``(n, seconds)``: send n bytes at a time and wait in between.
        content_range: Set Content-Range.
        ignore_range: Overlook the Range header: 200 and the full body.
        chunked: Send with Transfer-Encoding: chunked; N: in chunks of N bytes.
        chunk_extension: Text after every chunk size, such as ``;a=b``.
        close: Send Connection: close, and close.
        hang_up: Close after the whole response without having said so.
        version: Protocol version of the response, such as "HTTP/1.0".
        interim: Status codes of 1xx responses that go first.
        lower_case: Header names in lower case.
    """

    status: int | None = None
    body: bytes | None = None
    headers: HeaderValues | None = None
    remove_headers: Sequence[str] | None = None
    redirect: Location | None = None
    raw: bytes | None = None
    change_status: int | None = None
    replace: bytes | None = None
    append: bytes | None = None
    shorten: int | None = None
    flip: int | None = None
    endless: bool | int | None = None
    encode: str | None = None
    truncate: int | None = None
    cut: bool | int | None = None
    reset: bool | int | None = None
    stall: bool | int | None = None
    delay: float | None = None
    drip: tuple[int, float] | None = None
    content_range: str | None = None
    ignore_range: bool | None = None
    chunked: bool | int | None = None
    chunk_extension: str | None = None
    close: bool | None = None
    hang_up: bool | None = None
    version: str | None = None
    interim: int | Sequence[int] | None = None
    lower_case: bool | None = None

    def __post_init__(self) -> None:
        used = self.used()
        if not used:
            raise ValueError("no action: a fault has to do something, see Actions")
        for group in _EXCLUSIVE:
            both = [name for name in group if name in used]
            if len(both) > 1:
                raise ValueError(f"{both[1]}: contradicts {both[0]}")
        if "raw" in used and (extra := sorted(used - _WITH_RAW)):
            raise ValueError(f"{extra[0]}: has no effect on raw bytes")
        if self.body is not None and not used & {"status", "redirect"}:
            raise ValueError("body: goes with status=; replace= changes a handler's")
        self._check_numbers()
        self._check_texts()

    def _check_numbers(self) -> None:
        for name in _COUNTS:
            _check_count(name, getattr(self, name), least=0, truth=name == "stall")
        for name in ("cut", "reset"):
            _check_count(name, getattr(self, name), least=0, truth=True)
        for name in ("endless", "chunked"):
            _check_count(name, getattr(self, name), least=1, truth=True)
        for name in ("status", "change_status"):
            value = getattr(self, name)
            if value is not None and not 200 <= value <= 999:
                raise ValueError(f"{name}={value!r}: three digits, 200 or more")
        if self.delay is not None and self.delay < 0:
            raise ValueError(f"delay={self.delay!r}: not negative")
        if self.drip is not None and (self.drip[0] < 1 or self.drip[1] < 0):
            raise ValueError(f"drip={self.drip!r}: at least one byte, no negative wait")

    def _check_texts(self) -> None:
        if self.redirect is not None and not 300 <= (self.status or 307) <= 399:
            raise ValueError(f"status={self.status!r}: not that of a redirect")
        if self.encode is not None and self.encode not in _ENCODERS:
            raise ValueError(f"encode={self.encode!r}: one of {', '.join(_ENCODERS)}")
        if isinstance(self.remove_headers, str):
            raise ValueError("remove_headers: a sequence of names, not one string")
        if any(not 100 <= code <= 199 for code in self._interim()):
            raise ValueError(f"interim={self.interim!r}: 1xx status codes")
        if self.content_range is not None and "Content-Range" in (self.headers or ()):
            raise ValueError("content_range: contradicts headers")

    def used(self) -> frozenset[str]:
        """Return the names of the actions that do something."""
        values = ((name, getattr(self, name)) for name in ACTIONS)
        return frozenset(
            name for name, value in values if value is not None and value is not False
        )

    @property
    def answers(self) -> bool:
        """Whether the handler is not asked at all."""
        return bool(self.used() & _ANSWERS)

    def aspects(self) -> frozenset[str]:
        """Return what is changed; faults that share an aspect do not combine."""
        names = {
            _SHARED.get(name, name)
            for name in self.used() - {"headers", "remove_headers", "content_range"}
        }
        changed = (*(self.headers or ()), *(self.remove_headers or ()))
        names.update(f"header {name.lower()}" for name in changed)
        if self.content_range is not None:
            names.add("header content-range")
        if "stall" in self.used():
            names.add("waiting")
        return frozenset(names)

    def apply(self, exchange: Exchange, reply: Reply, released: Event) -> Reply:
        """Return the reply with every action done to it."""
        if self.raw is not None:
            reply = Reply(0, raw=self.raw, length=len(self.raw))
        elif self.answers:
            reply = self._answer(exchange)
        else:
            reply = replace(reply, headers=Headers(reply.headers))
        if self.change_status is not None:
            reply.status = self.change_status
        self._change_body(reply, released)
        self._change_headers(reply.headers)
        if any(name.lower() == "content-length" for name in self.remove_headers or ()):
            reply.announce = False
        self._change_framing(reply)
        self._change_ending(reply)
        if self.delay is not None or self.stall is not None:
            reply.delay = self.delay or reply.delay
            reply.released = released
        return reply

    def _answer(self, exchange: Exchange) -> Reply:
        body = self.body or b""
        headers = Headers()
        if self.redirect is not None:
            headers["Location"] = _location(self.redirect, exchange)
        status = self.status or 307
        return Reply(status=status, headers=headers, body=body, length=len(body))

    def _change_body(self, reply: Reply, released: Event) -> None:
        if self.used() & _RESIZES:
            reply.headers.remove("Content-Length")
        if self.replace is not None:
            reply.body, reply.length = self.replace, len(self.replace)
        if self.shorten is not None:
            reply.body = _shortened(_buffers(reply.body), self.shorten)
            reply.length = (
                None if reply.length is None else min(reply.length, self.shorten)
            )
        if self.append is not None:
            reply.body = itertools.chain(_buffers(reply.body), (self.append,))
            reply.length = (
                None if reply.length is None else reply.length + len(self.append)
            )
        if self.flip is not None:
            _flip(reply, self.flip)
        if self.encode is not None:
            reply.body = _ENCODERS[self.encode](b"".join(_buffers(reply.body)))
            reply.length = len(reply.body)
            reply.headers["Content-Encoding"] = self.encode
        if self.endless:
            blanks = _blanks(self.endless, released)
            reply.body, reply.length = (
                itertools.chain(_buffers(reply.body), blanks),
                None,
            )
        if self.drip is not None:
            reply.body = _dripping(_buffers(reply.body), *self.drip, released)

    def _change_headers(self, headers: Headers) -> None:
        for name in self.remove_headers or ():
            headers.remove(name)
        for name, values in (self.headers or {}).items():
            headers.setlist(name, [values] if isinstance(values, str) else list(values))
        if self.content_range is not None:
            headers["Content-Range"] = self.content_range

    def _change_framing(self, reply: Reply) -> None:
        if self.chunked:
            reply.chunked = True
            reply.chunk_size = None if self.chunked is True else self.chunked
        reply.chunk_extension = self.chunk_extension or reply.chunk_extension
        reply.close = bool(self.close) or reply.close
        reply.hang_up = bool(self.hang_up) or reply.hang_up
        reply.version = self.version or reply.version
        reply.interim = self._interim() or reply.interim
        reply.lower_case = bool(self.lower_case) or reply.lower_case

    def _change_ending(self, reply: Reply) -> None:
        for end in (self.truncate, self.cut, self.reset):
            if end is True:
                reply.send_head, reply.raw, reply.status = False, None, 0
            elif end is not None and end is not False:
                reply.cut_after = end
        if isinstance(self.cut, int) and not isinstance(self.cut, bool):
            reply.chunked = reply.raw is None
        if self.reset is not None and self.reset is not False:
            reply.reset = True
        if self.stall is not None and self.stall is not False:
            reply.stall_after = 0 if self.stall is True else self.stall

    def _interim(self) -> tuple[int, ...]:
        if isinstance(self.interim, int):
            return (self.interim,)
        return tuple(self.interim or ())

    def __str__(self) -> str:
        return ", ".join(sorted(self.used()))


ACTIONS: Final = tuple(item.name for item in fields(Actions))


def take_actions(options: Mapping[str, Any]) -> tuple[Actions, dict[str, Any]]:
    """Split keywords into actions and the rest."""
    actions = {name: value for name, value in options.items() if name in ACTIONS}
    rest = {name: value for name, value in options.items() if name not in ACTIONS}
    return Actions(**actions), rest


def _check_count(name: str, value: object, *, least: int, truth: bool) -> None:
    if value is None or (truth and isinstance(value, bool)):
        return
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        choice = " or True" if truth else ""
        raise ValueError(f"{name}={value!r}: a number from {least} on{choice}")


def _location(redirect: Location, exchange: Exchange) -> str:
    if callable(redirect):
        return redirect(exchange)
    for name in ("target", "path", "query", "reference"):
        redirect = redirect.replace(f"{{{name}}}", getattr(exchange, name))
    return redirect


def _flip(reply: Reply, offset: int) -> None:
    if offset < 0 and reply.length is None:
        reply.body = b"".join(_buffers(reply.body))
        reply.length = len(reply.body)
    start = offset if offset >= 0 else offset + (reply.length or 0)
    reply.body = _flipped(_buffers(reply.body), start)


def _buffers(body: Buffer | Iterable[Buffer]) -> Iterator[Buffer]:
    if isinstance(body, (bytes, memoryview)):
        yield body
    else:
        yield from body


def _shortened(body: Iterable[Buffer], size: int) -> Iterator[Buffer]:
    for data in body:
        yield data[:size]
        size -= len(data)
        if size <= 0:
            return


def _flipped(body: Iterable[Buffer], offset: int) -> Iterator[Buffer]:
    for data in body:
        if 0 <= offset < len(data):
            changed = bytearray(data)
            changed[offset] ^= 1
            yield bytes(changed)
        else:
            yield data
        offset -= len(data)


def _blanks(amount: int, released: Event) -> Iterator[bytes]:
    left = None if amount is True else amount
    while left is None or left > 0:
        if released.is_set():
            return
        data = _FILLER if left is None else _FILLER[:left]
        yield data
        left = None if left is None else left - len(data)


def _dripping(
    body: Iterable[Buffer], size: int, seconds: float, released: Event
) -> Iterator[Buffer]:
    first = True
    for data in body:
        for start in range(0, len(data), size):
            if not first:
                yield b""
                released.wait(seconds)
            first = False
            yield data[start : start + size]
