"""What happens to a request: journal, gates, faults, access, route, error body.

    request -> journal.begin -> gates.hold -> faults.before
            -> routes (access, handler, redirects) -> faults.after -> reply

Handlers know nothing of faults, gates and the journal; they get an exchange
and return a reply or raise RegistryError.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from email.utils import formatdate
from typing import TYPE_CHECKING

from werkzeug.datastructures import Headers

from fakeregistry.body import BadRequest
from fakeregistry.errors import RegistryError
from fakeregistry.reply import Reply

if TYPE_CHECKING:
    from fakeregistry.faults import FaultScript
    from fakeregistry.gate import GateKeeper
    from fakeregistry.journal import Exchange, Journal
    from fakeregistry.request import Request

__all__ = ["App", "Handler", "render_error"]

Handler = Callable[["Exchange"], Reply]


class App:
    """Takes requests of one server to their replies.

    Args:
        routes: Answers what no fault answers.
        server: "registry" or "cdn", for the journal.
    """

    def __init__(
        self,
        routes: Handler,
        *,
        journal: Journal,
        gates: GateKeeper,
        faults: FaultScript,
        server: str,
    ) -> None:
        self._routes = routes
        self._journal = journal
        self._gates = gates
        self._faults = faults
        self._server = server
        self._clock = _HttpClock()

    def __call__(
        self, request: Request, connection: int
    ) -> tuple[Exchange, Reply | None]:
        """Answer a request; None when the registry stopped meanwhile."""
        exchange = self._journal.begin(
            request.method,
            request.target,
            request.headers,
            body=request.body,
            server=self._server,
            connection=connection,
        )
        if not self._gates.hold(exchange):
            return exchange, None
        reply = self._faults.before(exchange)
        if reply is None:
            reply = self._handle(exchange)
        goes_on = exchange.body.drain()
        reply = self._faults.after(exchange, reply)
        if not goes_on:
            reply.close = True
        return exchange, reply

    def _handle(self, exchange: Exchange) -> Reply:
        try:
            reply = self._routes(exchange)
        except RegistryError as err:
            reply = render_error(err)
        except BadRequest as err:
            reply = render_refusal(err)
        except OSError as err:
            # Broken connections are told by the body: this one is the storage.
            reply = render_error(
                RegistryError("UNSUPPORTED", 500, message=f"storage: {err.strerror}")
            )
        reply.headers.add("Date", self._clock.now())
        return reply


def render_error(error: RegistryError) -> Reply:
    """Turn a refusal into a reply with the OCI error list."""
    headers = Headers([("Content-Type", "application/json"), *error.headers.items()])
    body = error.body()
    return Reply(error.status, headers, body, len(body))


def render_refusal(error: BadRequest) -> Reply:
    """Answer to a body that is broken: nothing can follow it."""
    body = f"{error.reason}\n".encode()
    headers = Headers([("Content-Type", "text/plain; charset=utf-8")])
    return Reply(error.status, headers, body, len(body), close=True)


class _HttpClock:
    """The Date header, formatted once a second."""

    def __init__(self) -> None:
        self._cached = (0, "")

    def now(self) -> str:
        """Return the time as RFC 9110 section 5.6.7 has it."""
        second = int(time.time())
        cached, text = self._cached
        if cached != second:
            text = formatdate(second, usegmt=True)
            self._cached = (second, text)
        return text
