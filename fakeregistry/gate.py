"""Gates: requests that wait until the test has seen enough.

    with registry.gate("/blobs/*") as gate:
        pull = start_pull(limit=3)
        gate.wait_for(3)                     # three requests are held
        gate.expect_no_more(within=0.5)      # and a fourth does not come
        gate.release()                       # the oldest is answered
        gate.wait_for(3)                     # the next one takes its place
    # leaving the block opens the gate

A request is recorded in the journal, then held, then answered: faults, access
control and content see it only after the gate.
"""

from __future__ import annotations

import itertools
import threading
import time
from typing import TYPE_CHECKING, Self, Unpack

from fakeregistry.rules import Options, Rule, take_criteria

if TYPE_CHECKING:
    from types import TracebackType

    from fakeregistry.journal import Exchange


class GateTimeout(AssertionError):
    """Requests that were waited for did not come to a gate."""


class Gate:
    """Holds every request that matches its rule until it is released.

    Attributes:
        id: Number of the gate in its registry, from 1 on.
        rule: What is held.
    """

    def __init__(self, rule: Rule, number: int = 1) -> None:
        self.id = number
        self.rule = rule
        self._changed = threading.Condition()
        self._held: list[Exchange] = []
        self._arrived: list[Exchange] = []
        self._permits = 0
        self._open = False
        self._hopeless = ""

    @property
    def held(self) -> int:
        """How many requests are held now."""
        with self._changed:
            return len(self._held)

    @property
    def is_open(self) -> bool:
        """Whether it lets everything through."""
        return self._open

    @property
    def exchanges(self) -> tuple[Exchange, ...]:
        """The requests that are held now, oldest first."""
        with self._changed:
            return tuple(self._held)

    @property
    def arrived(self) -> tuple[Exchange, ...]:
        """Every request that came to the gate so far, let through or not."""
        with self._changed:
            return tuple(self._arrived)

    def wait_for(self, count: int = 1, *, timeout: float = 10.0) -> None:
        """Wait until at least ``count`` requests are held at once.

        Raises:
            GateTimeout: They did not come in time, the gate was opened, or nobody
                is left who could ask (``Registry.expect_requests``).
        """
        deadline = time.monotonic() + timeout
        with self._changed:
            while len(self._held) < count:
                left = deadline - time.monotonic()
                if self._open or self._hopeless or left <= 0:
                    why = f", but {self._hopeless}" if self._hopeless else ""
                    raise GateTimeout(self._report(f"waited for {count} requests{why}"))
                self._changed.wait(left)

    def expect_no_more(self, *, within: float = 0.5) -> None:
        """Check that no further request comes to the gate for a while.

        Raises:
            AssertionError: One came.
        """
        deadline = time.monotonic() + within
        with self._changed:
            before = len(self._arrived)
            while len(self._arrived) == before:
                left = deadline - time.monotonic()
                if left <= 0:
                    return
                self._changed.wait(left)
            raise AssertionError(self._report(f"expected no more than {before}"))

    def release(self, count: int = 1) -> None:
        """Let the ``count`` oldest requests go.

        When fewer are held, the permits that are left let later requests
        through as they come.
        """
        if count < 1:
            raise ValueError(f"count={count}: at least one request")
        with self._changed:
            self._permits += count
            self._hand_out()

    def open(self) -> None:
        """Let everything through from now on."""
        with self._changed:
            self._open = True
            self._held.clear()
            self._changed.notify_all()

    def expect_requests(self, hopeless: str) -> None:
        """Let waits end at once for this reason; go on waiting if it is empty."""
        with self._changed:
            self._hopeless = hopeless
            self._changed.notify_all()

    def hold(self, exchange: Exchange) -> None:
        """Keep the calling thread until the exchange may go on."""
        with self._changed:
            self._arrived.append(exchange)
            if not self._open:
                self._held.append(exchange)
                self._hand_out()
            self._changed.notify_all()
            while any(waiting is exchange for waiting in self._held):
                self._changed.wait()

    def _hand_out(self) -> None:
        going = min(self._permits, len(self._held))
        self._permits -= going
        del self._held[:going]
        self._changed.notify_all()

    def _report(self, expected: str) -> str:
        lines = [f"gate on {self.rule}: {expected}"]
        lines.append(f"held ({len(self._held)}):")
        lines.extend(f"  {exchange!r}" for exchange in self._held)
        lines.append(f"came so far ({len(self._arrived)}):")
        lines.extend(f"  {exchange!r}" for exchange in self._arrived)
        return "\n".join(lines)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.open()

    def __repr__(self) -> str:
        return f"<Gate on {self.rule}: {self.held} held>"


class GateKeeper:
    """All gates of a registry; safe to use from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._gates: tuple[Gate, ...] = ()
        self._hopeless = ""
        self._closed = False

    def gate(self, path: str | None = None, **criteria: Unpack[Options]) -> Gate:
        """Close a gate before the requests that meet the criteria.

        Raises:
            ValueError: A keyword is unknown, or the keeper is closed.
        """
        rule, unknown = take_criteria({"path": path, **criteria})
        for name in unknown:
            raise ValueError(f"{name}: unknown keyword of a gate")
        with self._lock:
            if self._closed:
                raise ValueError("the registry is stopped: no gate can be set")
            gate = Gate(rule, next(self._numbers))
            gate.expect_requests(self._hopeless)
            self._gates = (*self._gates, gate)
        return gate

    @property
    def gates(self) -> tuple[Gate, ...]:
        """Those that were set, in that order."""
        return self._gates

    def expect_requests(self, hopeless: str) -> None:
        """Let every gate know whether waiting for requests makes sense."""
        with self._lock:
            self._hopeless = hopeless
            for gate in self._gates:
                gate.expect_requests(hopeless)

    def hold(self, exchange: Exchange) -> bool:
        """Keep the calling thread at every gate that matches, in their order.

        Returns:
            False when the keeper was closed: nobody waits for an answer.
        """
        for gate in self._gates:
            if gate.rule.matches(exchange):
                exchange.outcome = "held"
                gate.hold(exchange)
                exchange.outcome = None
        return not self._closed

    def open_all(self) -> None:
        """Open every gate and forget them."""
        with self._lock:
            gates, self._gates = self._gates, ()
        for gate in gates:
            gate.open()

    def close(self) -> None:
        """Open every gate, for good."""
        with self._lock:
            self._closed = True
        self.open_all()
