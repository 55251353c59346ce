"""Bodies of responses, kept as they went onto the socket.

    with Registry(record_bodies=True) as registry:
        ...
        registry.journal.response_body(registry.journal[0])

What is kept is what the system took, after every fault: a truncated body is short
here, too. A registry that does not record sends through ``wire.send_reply`` alone,
and pays nothing for this module.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from fakeregistry.wire import send_reply

if TYPE_CHECKING:
    from fakeregistry.journal import Exchange, Journal
    from fakeregistry.reply import Buffer, Framing, Reply
    from fakeregistry.wire import Outlet

__all__ = ["RECORD_LIMIT", "BodyRecorder", "Recorded"]

# Bytes of a response that are kept, its head and the sizes of its chunks included.
RECORD_LIMIT: Final = 128 * 1024 * 1024
_BLANK_LINE: Final = b"\r\n\r\n"


@dataclass(slots=True)
class Recorded:
    """One response as it went out.

    Attributes:
        framing: How its reader learns where the body ends; None: it has no head
            of ours, but is raw bytes, or nothing.
        closes: The connection ends with it.
        interim: Status codes of 1xx responses that went first.
        extension: Text after each chunk size.
        handed: Bytes that the system took; of more than ``RECORD_LIMIT`` only the
            beginning is kept.
    """

    framing: Framing | None
    closes: bool
    interim: tuple[int, ...] = ()
    extension: str = ""
    handed: int = 0
    wire: bytearray = field(default_factory=bytearray, repr=False)

    @classmethod
    def of(cls, reply: Reply, *, head_only: bool) -> Recorded:
        """Begin to record a reply."""
        headed = reply.send_head and reply.raw is None
        return cls(
            framing=reply.framing if headed else None,
            closes=reply.must_close(head_only=head_only),
            interim=reply.interim if headed else (),
            extension=reply.chunk_extension,
        )

    @property
    def cut(self) -> int:
        """How many bytes at its end were not kept."""
        return self.handed - len(self.wire)

    def chunks(self) -> tuple[bytes, ...]:
        """Return the body: its chunks if it is chunked, else one piece or none."""
        data = bytes(self.wire)
        if self.framing is not None:
            for _ in range(len(self.interim) + 1):
                data = data.partition(_BLANK_LINE)[2]
        if self.framing == "chunked":
            return tuple(_unchunked(data, f"{self.extension}\r\n".encode("latin-1")))
        return (data,) if data else ()

    def body(self) -> bytes:
        """Return the body without the framing of chunks; raw bytes as they are."""
        return b"".join(self.chunks())

    def note(self, data: Buffer) -> None:
        """Keep what is about to be handed to the system."""
        self.wire += data[: max(0, RECORD_LIMIT - len(self.wire))]
        self.handed += len(data)

    def forget(self, count: int) -> None:
        """Take back what the system did not take."""
        self.handed -= count
        del self.wire[self.handed :]


class BodyRecorder:
    """Sends replies and keeps what was sent in a journal."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def send(
        self, sock: Outlet, exchange: Exchange, reply: Reply, *, head_only: bool
    ) -> bool:
        """Send as ``wire.send_reply`` does."""
        recorded = Recorded.of(reply, head_only=head_only)
        self._journal.recorded[exchange.index] = recorded
        tap = _Tap(sock, recorded)
        return send_reply(tap, exchange, reply, head_only=head_only)


class _Tap:
    """A socket for sending that keeps what goes through it.

    It is kept before it goes out: a client that has its reply finds it recorded.
    """

    def __init__(self, sock: Outlet, recorded: Recorded) -> None:
        self._sock = sock
        self._recorded = recorded
        self.setsockopt = sock.setsockopt
        self.fileno = sock.fileno
        self.getsockname, self.getpeername = sock.getsockname, sock.getpeername

    def send(self, data: Buffer, /) -> int:
        self._recorded.note(data)
        taken = 0
        try:
            taken = self._sock.send(data)
        finally:
            self._recorded.forget(len(data) - taken)
        return taken


def _unchunked(data: bytes, end_of_size: bytes) -> list[bytes]:
    """Take the chunks out of what we have sent, whole or not (RFC 9112, 7.1)."""
    found = []
    at = 0
    while (end := data.find(end_of_size, at)) >= 0:
        size = int(data[at:end], 16)
        if not size:
            break
        start = end + len(end_of_size)
        found.append(data[start : start + size])
        at = start + size + 2
    return [chunk for chunk in found if chunk]
