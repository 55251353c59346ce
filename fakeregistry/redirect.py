"""Redirects: content that is here, but to be fetched elsewhere.

Large registries answer a blob request with 307 and the URL of an object store
(:mod:`fakeregistry.cdn`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING, Final, Protocol

from werkzeug.datastructures import Headers

from fakeregistry.reply import Reply

if TYPE_CHECKING:
    from collections.abc import Callable

    from fakeregistry.journal import Exchange
    from fakeregistry.rules import Rule

__all__ = ["STATUSES", "Redirect", "Redirects", "Target", "location_of"]

STATUSES: Final = (301, 302, 303, 307, 308)


class Target(Protocol):
    """A host that clients can be sent to."""

    def locate(self, exchange: Exchange, reply: Reply) -> str:
        """Return the URL for what a request was about to get."""
        ...


def location_of(to: Target | str) -> Callable[[Exchange, Reply], str]:
    """Return what makes URLs; ``{digest}`` and ``{target}`` of a text are filled in.

    Raises:
        ValueError: The text cannot be sent as a URL.
    """
    if not isinstance(to, str):
        return to.locate
    if not to or not to.isascii() or not to.isprintable() or " " in to:
        raise ValueError(f"to={to!r} is no URL")
    return lambda exchange, reply: to.replace(
        "{digest}", reply.headers.get("Docker-Content-Digest", "")
    ).replace("{target}", exchange.target)


@dataclass(slots=True, eq=False)
class Redirect:
    """One rule that sends clients elsewhere, and how often it did.

    Attributes:
        location: Makes the URL from the request and the answer it would have got.
        times: How often it is followed; None for ever.
        exchanges: The requests that it met.
    """

    rule: Rule
    status: int
    location: Callable[[Exchange, Reply], str]
    times: int | None = None
    exchanges: list[Exchange] = field(default_factory=list)
    _lock: Lock = field(default_factory=Lock, repr=False)

    @property
    def fired(self) -> int:
        """How many requests it has met."""
        return len(self.exchanges)

    def meets(self, exchange: Exchange) -> bool:
        """Count the exchange if it is to be sent elsewhere."""
        if not self.rule.matches(exchange):
            return False
        with self._lock:
            if self.fired == self.times:
                return False
            self.exchanges.append(exchange)
            return True


class Redirects:
    """All redirects of a registry, in the order in which they were added."""

    def __init__(self) -> None:
        self._redirects: tuple[Redirect, ...] = ()

    def add(self, redirect: Redirect) -> None:
        """Add one behind those that are there.

        Raises:
            ValueError: The status is no redirection, or times is below 1.
        """
        if redirect.status not in STATUSES:
            raise ValueError(f"status={redirect.status}: one of {STATUSES}")
        if redirect.times is not None and redirect.times < 1:
            raise ValueError(f"times={redirect.times}: a number from 1 on")
        self._redirects = (*self._redirects, redirect)

    def apply(self, exchange: Exchange, reply: Reply) -> Reply:
        """Replace a good answer by a redirection, if one is due."""
        if not self._redirects or reply.status not in {200, 206, 304}:
            return reply
        for redirect in self._redirects:
            if redirect.meets(exchange):
                location = redirect.location(exchange, reply)
                return redirect_reply(redirect.status, location)
        return reply


def redirect_reply(status: int, location: str) -> Reply:
    """Build a redirection with a small body, as most servers send one."""
    body = b"The content is elsewhere.\n"
    headers = Headers([("Content-Type", "text/plain"), ("Location", location)])
    return Reply(status, headers, body, len(body))
