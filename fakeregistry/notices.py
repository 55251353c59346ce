"""Warnings for people: ``Warning: 299 - "..."`` on responses.

distribution-spec v1.1.1, Warnings.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from fakeregistry.journal import Exchange
    from fakeregistry.reply import Reply
    from fakeregistry.rules import Rule

__all__ = ["Notice", "Notices"]

# "A registry MUST NOT send more than 4096 bytes of warning data from all headers
# combined."
_MOST: Final = 4096


@dataclass(slots=True, eq=False)
class Notice:
    """One text, and the responses that it goes with.

    Attributes:
        times: How often it is sent; None for ever.
        exchanges: The requests that it met.
    """

    rule: Rule
    text: str
    times: int | None = None
    exchanges: list[Exchange] = field(default_factory=list)
    _lock: Lock = field(default_factory=Lock, repr=False)

    def __post_init__(self) -> None:
        if not self.text.isascii() or not self.text.isprintable() or not self.text:
            raise ValueError(f"{self.text!r} cannot be sent in a header")
        if len(self.value) > _MOST:
            raise ValueError(f"a warning has at most {_MOST} bytes")
        if self.times is not None and self.times < 1:
            raise ValueError(f"times={self.times}: a number from 1 on")

    @property
    def fired(self) -> int:
        """How many requests it has met."""
        return len(self.exchanges)

    @property
    def value(self) -> str:
        """The value of the header (RFC 7234 section 5.5)."""
        quoted = self.text.replace("\\", "\\\\").replace('"', '\\"')
        return f'299 - "{quoted}"'

    def meets(self, exchange: Exchange) -> bool:
        """Count the exchange if the text goes with its response."""
        if not self.rule.matches(exchange):
            return False
        with self._lock:
            if self.fired == self.times:
                return False
            self.exchanges.append(exchange)
            return True


class Notices:
    """All warnings of a registry, in the order in which they were added."""

    def __init__(self) -> None:
        self._notices: tuple[Notice, ...] = ()

    def add(self, notice: Notice) -> None:
        """Add one behind those that are there."""
        self._notices = (*self._notices, notice)

    def apply(self, exchange: Exchange, reply: Reply) -> None:
        """Put the warnings that are due on a response, as many as may go along."""
        left = _MOST
        for notice in self._notices:
            if len(notice.value) <= left and notice.meets(exchange):
                reply.headers.add("Warning", notice.value)
                left -= len(notice.value)
