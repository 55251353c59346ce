"""What cases of several areas say to a client and look for on the wire."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl

from conformance.case import NotTestable
from fakeregistry.auth import basic_credentials

if TYPE_CHECKING:
    from collections.abc import Sequence

    from conformance.bench import Bench, Pull, RunningPull
    from fakeregistry import Exchange, Fault, Image, Registry
    from fakeregistry.redirect import Redirect

# Loose on purpose: a client may retry as it likes, as long as it comes to an end.
# containerd sends 6 requests at most, and follows 10 redirects.
PATIENCE: Final = 20
LOGIN: Final = ("reader", "open-sesame")
# Half of it is more than any client keeps in its buffers: one that has read so much of
# a layer has begun to store it.
LONG: Final = 1024 * 1024
# Not a JWT: who looks into it finds nothing.
TICKET: Final = "opaque/ticket+1=="
SCOPE: Final = "repository:library/test:pull"


def elsewhere(other: Registry) -> str:
    """Return the location of the same path on another registry.

    Its host has another name, not only another port.
    """
    return f"{beside(other)}{{target}}"


def beside(other: Registry) -> str:
    """Return the URL of a registry by another name of its host."""
    return f"{other.url.partition(':')[0]}://localhost:{other.port}"


def bearer(registry: Registry) -> str:
    """Return the challenge that sends a client to the registry for a token."""
    return f'Bearer realm="{registry.url}/token",service="fakeregistry",scope="{SCOPE}"'


def ask_for_ticket(
    registry: Registry, challenge: str | Sequence[str], *, ticket: str = TICKET
) -> Fault:
    """Make an open registry demand the ticket, with a challenge of our own."""
    return registry.fault(
        path="/v2/*",
        when=lambda e: e.request_headers.get("Authorization") != f"Bearer {ticket}",
        status=401,
        headers={"WWW-Authenticate": challenge},
    )


def hand_out(server: Registry, *, times: int | None = None, **answer: object) -> Fault:
    """Let a token server give this answer to everybody, or to the first few."""
    return server.fault(
        path="/token",
        times=times,
        status=200,
        headers={"Content-Type": "application/json"},
        body=json.dumps(answer).encode(),
    )


def must_pull_with_ticket(bench: Bench, challenge: str | Sequence[str]) -> None:
    """Hold that a client answers a challenge with the ticket it gets for it."""
    image = bench.publish()
    ask_for_ticket(bench.registry, challenge)
    handed = hand_out(bench.registry, token=TICKET)
    bench.must_pull(image)
    assert handed.fired, "the client never asked for the ticket"


def start_half_a_pull(bench: Bench, image: Image) -> tuple[RunningPull, Fault]:
    """Start to pull an image, and wait until the client has half of its first layer.

    It waits for the rest then, until the fault is released. Only the first request
    for the layer is met. The layer's size should be ``LONG``.
    """
    layer = image.layers[0]
    stall = bench.registry.fault(
        method="GET", digest=layer.digest, times=1, stall=layer.size // 2
    )
    running = bench.start_pull(image)
    bench.registry.journal.wait_for(digest=layer.digest, outcome="stalled")
    return running, stall


def form(exchange: Exchange) -> dict[str, str]:
    """Return the fields of a form that a client has posted."""
    return dict(parse_qsl(exchange.request_body.decode("utf-8", "replace")))


def scopes(exchange: Exchange) -> list[str]:
    """Return the scopes that a token is asked for with, in their order."""
    return [value for name, value in parse_qsl(exchange.query) if name == "scope"]


def words(exchange: Exchange) -> str:
    """Return what a client said in a request, with Basic decoded."""
    header = exchange.request_headers.get("Authorization")
    credentials = basic_credentials(header) or (header,)
    body = exchange.request_body.decode("latin-1")
    return " ".join((exchange.target, body, *credentials))


def met(fault: Fault | Redirect) -> Sequence[Exchange]:
    """Return the requests that a fault or a redirect met.

    Raises:
        NotTestable: There are none.
    """
    if not fault.fired:
        raise NotTestable(f"the client never sent a request with {fault.rule}")
    return fault.exchanges


def assert_ok(pull: Pull, why: str) -> None:
    """Hold that a pull succeeded, for a reason that the report gives."""
    if not pull.ok:
        raise AssertionError(f"{why}; {pull}")


def assert_none(found: Sequence[Exchange], what: str) -> None:
    """Hold that no such request was sent; the report shows the first."""
    if found:
        raise AssertionError(f"{what}, see {found[0]!r}")


def assert_bounded(registry: Registry, limit: int = PATIENCE) -> None:
    """Hold that no request was sent over and over again."""
    counts = Counter((e.method, e.path) for e in registry.journal)
    (method, path), most = counts.most_common(1)[0]
    assert most <= limit, f"{method} {path} was sent {most} times"


def asked_anew(registry: Registry, digest: str) -> bool:
    """Say whether a blob was asked for from its beginning more than once."""
    whole = registry.journal.requests(method="GET", digest=digest, range=False)
    return len(whole) > 1
