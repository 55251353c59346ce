"""Faults: scripted and counted, never dice.

    fault = registry.fault(method="GET", path="/blobs/*", times=1, truncate=100)
    ...
    assert fault.fired == 1

A fault has criteria (``rules.Rule``), actions (``actions.Actions``) and counts:

- The requests that meet the criteria are numbered from 1 in order of arrival,
  whether or not another fault meets them too.
- ``skip=2`` leaves the first two alone, ``times=3`` stops after three,
  ``nth=4`` means the fourth alone. Without any of them it is always met.
- ``replied=200`` looks at the handler's response in place of the request alone:
  only responses with that status are numbered and met.

A request meets all faults that are due for it, in the order in which they were
added, but for two kinds that are passed over and not counted as fired: one that
answers in place of the handler, when another one was met before it; and any one
that changes what an earlier one has changed (the same header, the content, the
end of the connection) or that comes after one that answers. So two faults with
``times=1`` and a status each are met by the first and the second request.
"""

from __future__ import annotations

import itertools
import threading
from typing import TYPE_CHECKING, Final, Self, Unpack

from fakeregistry.actions import ACTIONS, ActionOptions, Actions, take_actions
from fakeregistry.reply import Reply
from fakeregistry.rules import CRITERIA, Criteria, take_criteria

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from fakeregistry.journal import Exchange

COUNTS: Final = ("times", "skip", "nth", "replied")


class FaultOptions(Criteria, ActionOptions, total=False):
    """Every keyword of a fault, for signatures."""

    times: int | None
    skip: int
    nth: int | None
    replied: int | None


class Fault:
    """One rule that breaks responses, and what it has met so far.

    As a context manager it is removed at the end of the block.

    Attributes:
        id: Number of the fault in its registry, from 1 on.
        rule: Which requests it is meant for.
        actions: What it does to their responses.
        times: How often it is met; None for ever.
        replied: The status that the handler's response must have, or None.
    """

    def __init__(self, script: FaultScript, number: int, **options: object) -> None:
        self.rule, rest = take_criteria(options)
        counts: dict[str, object] = {
            name: rest.pop(name) for name in COUNTS if name in rest
        }
        _check_keywords(rest)
        self.actions, _ = take_actions(rest)
        self.id = number
        first, self.times, self.replied = _check_counts(counts, self.actions)
        self._first = first
        self._script = script
        self._lock = threading.Lock()
        self._seen = 0
        self._met: list[Exchange] = []
        self._released = threading.Event()
        self.aspects = self.actions.aspects()

    @property
    def fired(self) -> int:
        """How many requests it has met."""
        return len(self._met)

    @property
    def exchanges(self) -> tuple[Exchange, ...]:
        """The requests it has met."""
        with self._lock:
            return tuple(self._met)

    def release(self) -> None:
        """End its delays, stalls and endless bodies, now and from now on."""
        self._released.set()

    def remove(self) -> None:
        """Take it out of the script, and release what it holds back."""
        self._script.remove(self)
        self.release()

    def apply(self, exchange: Exchange, reply: Reply) -> Reply:
        """Return the reply with the actions done to it."""
        return self.actions.apply(exchange, reply, self._released)

    def meets(self, exchange: Exchange, earlier: tuple[Fault, ...]) -> bool:
        """Number the exchange if it is meant, and say whether it is met."""
        if not self.rule.matches(exchange):
            return False
        with self._lock:
            self._seen += 1
            due = self._seen >= self._first and self.fired != self.times
            if not due or self._clashes(earlier):
                return False
            self._met.append(exchange)
            return True

    def _clashes(self, earlier: tuple[Fault, ...]) -> bool:
        return any(
            other.actions.answers
            or self.actions.answers
            or not self.aspects.isdisjoint(other.aspects)
            for other in earlier
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.remove()

    def __repr__(self) -> str:
        return f"<Fault {self.id} on {self.rule}: {self.actions}; fired {self.fired}>"


class FaultScript:
    """All faults of a registry; safe to use from any thread.

    The server calls ``before`` when a request has arrived and ``after`` with the
    response, whoever made it:

        reply = script.before(exchange) or handler(exchange)
        reply = script.after(exchange, reply)
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._faults: tuple[Fault, ...] = ()
        self._all: list[Fault] = []
        self._closed = False

    def fault(self, **options: Unpack[FaultOptions]) -> Fault:
        """Add a fault behind those that are there.

        Raises:
            ValueError: A keyword is unknown, or keywords contradict each other.
        """
        with self._lock:
            if self._closed:
                raise ValueError("the registry is stopped: no fault can be added")
            fault = Fault(self, next(self._numbers), **options)
            self._faults = (*self._faults, fault)
            self._all.append(fault)
        return fault

    @property
    def faults(self) -> tuple[Fault, ...]:
        """Those that are in force, in the order in which they were added."""
        return self._faults

    def before(self, exchange: Exchange) -> Reply | None:
        """Find the faults that a request meets.

        Returns:
            The finished reply, if a fault answers in place of the handler.
        """
        if not self._faults:
            return None
        self._meet(exchange, status=None)
        for fault in exchange.met:
            if fault.actions.answers:
                return fault.apply(exchange, Reply())
            if fault.actions.ignore_range:
                exchange.ignore_range = True
        return None

    def after(self, exchange: Exchange, reply: Reply) -> Reply:
        """Do to a response what its faults say; an answer of theirs is left alone."""
        if not self._faults and not exchange.met:
            return reply
        if any(fault.actions.answers for fault in exchange.met):
            return reply
        self._meet(exchange, status=reply.status)
        for fault in exchange.met:
            reply = fault.apply(exchange, reply)
        return reply

    def _meet(self, exchange: Exchange, *, status: int | None) -> None:
        with self._lock:  # Requests are numbered one after the other.
            for fault in self._faults:
                if fault.replied == status and fault.meets(exchange, exchange.met):
                    exchange.met = (*exchange.met, fault)

    def unfired(self) -> tuple[Fault, ...]:
        """Return the faults with ``times`` or ``nth`` that were never met."""
        with self._lock:
            return tuple(
                fault
                for fault in self._all
                if fault.times is not None and not fault.fired
            )

    def remove(self, fault: Fault) -> None:
        """Take a fault out; ``unfired`` still knows it."""
        with self._lock:
            self._faults = tuple(other for other in self._faults if other is not fault)

    def clear(self) -> None:
        """Take out and forget all faults, and release what they hold back."""
        with self._lock:
            faults, self._faults, self._all = self._all, (), []
        for fault in faults:
            fault.release()

    def close(self) -> None:
        """Release what is held back, for good; the counts stay."""
        with self._lock:
            self._closed = True
            faults = tuple(self._all)
        for fault in faults:
            fault.release()

    def __repr__(self) -> str:
        return f"<FaultScript {list(self._faults)!r}>"


def _check_keywords(options: Mapping[str, object]) -> None:
    for name in options:
        if name not in ACTIONS:
            known = ", ".join(sorted((*CRITERIA, *COUNTS, *ACTIONS)))
            raise ValueError(f"{name}: unknown keyword; there are {known}")


def _check_counts(
    counts: dict[str, object], actions: Actions
) -> tuple[int, int | None, int | None]:
    """Return the number of the first request to meet, times and replied."""
    values: dict[str, int] = {}
    for name, least in (("times", 1), ("skip", 0), ("nth", 1), ("replied", 100)):
        value = counts.get(name)
        if value is None:
            continue
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise ValueError(f"{name}={value!r}: a number from {least} on")
        values[name] = value
    if "nth" in values and (other := values.keys() & {"times", "skip"}):
        raise ValueError(f"nth: contradicts {sorted(other)[0]}")
    if "replied" in values and (actions.answers or actions.ignore_range):
        raise ValueError("replied: too late for status, redirect, raw, ignore_range")
    first = values.get("nth", values.get("skip", 0) + 1)
    times = 1 if "nth" in values else values.get("times")
    return first, times, values.get("replied")
