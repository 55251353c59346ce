"""A handler over a tree of names, which notes its calls and holds them if wanted.

    tree = Tree({"index": ["a", "b", "c"]}, held=["a", "b", "c"])
    run = bench.inside.start_dispatch([tree], ["index"], limit=2)
    tree.wait_for(2)                    # two handlers are held
    tree.open()
    assert run.wait().ok
    assert tree.most == 2               # and never were there more

Order and limits are proved with what is held here, never by sleeping.
"""

import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import ClassVar, Final

from conformance.contract import Json
from conformance.whitebox import Done, ErrSkipDesc, ErrStopHandler
from fakeregistry import GateTimeout

__all__ = [
    "ErrUnavailable",
    "Met",
    "Tree",
    "desc_of",
    "fail",
    "skip",
    "stop",
]

#: The annotation that has the name.
TITLE: Final = "org.opencontainers.image.title"

Deed = Callable[[Done], object]


def desc_of(name: str) -> Json:
    """Return the descriptor that stands for a name."""
    return {
        "mediaType": "application/vnd.oci.image.layer.v1.tar",
        "digest": f"sha256:{sha256(name.encode()).hexdigest()}",
        "size": len(name),
        "annotations": {TITLE: name},
    }


class ErrUnavailable(Exception):
    """What a handler raises that fails: errors are known by containerd's names."""


def stop(_done: Done) -> None:
    """Want no further handler to be asked."""
    raise ErrStopHandler


def skip(_done: Done) -> None:
    """Want no children to be visited."""
    raise ErrSkipDesc


def fail(_done: Done) -> None:
    """Fail as a registry that is down makes a handler fail."""
    raise ErrUnavailable("the registry is down")


@dataclass(frozen=True, slots=True)
class Met:
    """Whether the client has handled a descriptor: what a fault is on the wire."""

    tree: "Tree"
    rule: str

    @property
    def fired(self) -> int:
        """How often it was handled."""
        return self.tree.calls.count(self.rule)


class Tree:
    """A handler: ``{"parent": ["child", ...]}``; who is not named has no children.

    Args:
        children: The names of the children, by the name of their parent.
        held: Names whose handlers stay until they are released.
        does: What handlers do before they return: by name, with what tells them
            that it is over. An exception is theirs.
        name: Of the handler in ``log``.
        log: Where the calls of several handlers are noted together.

    Attributes:
        patience: Seconds that handlers, and those who wait for them, wait at most.
        does: What handlers do, as given; may be added to before the first call.
        calls: The names in the order in which they were handled.
        told: The names of those that waited (`until_done`) and were told that it
            is over.
        most: How many handlers ran at once, at most.
    """

    patience: ClassVar[float] = 10.0

    def __init__(
        self,
        children: Mapping[str, Sequence[str]] | None = None,
        *,
        held: Collection[str] = (),
        does: Mapping[str, Deed] | None = None,
        name: str = "",
        log: list[tuple[str, str]] | None = None,
    ) -> None:
        self.calls: list[str] = []
        self.told: list[str] = []
        self.most = 0
        self._children = dict(children or {})
        self._held = frozenset(held)
        self.does = dict(does or {})
        self._name = name
        self._log = log
        self._changed = threading.Condition()
        self._running: list[str] = []
        self._waiting: list[str] = []
        self._open = False
        self._hopeless = ""

    def __call__(self, done: Done, desc: Json) -> Sequence[Json] | None:
        """Handle a descriptor."""
        name = desc["annotations"][TITLE]
        with self._changed:
            self.calls.append(name)
            if self._log is not None:
                self._log.append((self._name, name))
            self._running.append(name)
            self.most = max(self.most, len(self._running))
            self._changed.notify_all()
        try:
            if name in self._held:
                self._hold(name)
            if (deed := self.does.get(name)) is not None:
                deed(done)
        finally:
            with self._changed:
                self._running.remove(name)
                self._changed.notify_all()
        children = self._children.get(name)
        return None if children is None else [desc_of(child) for child in children]

    @property
    def running(self) -> int:
        """How many handlers run now."""
        with self._changed:
            return len(self._running)

    def met(self, name: str) -> Met:
        """Return the witness of whether the client has handled a descriptor."""
        return Met(self, name)

    def until_done(self, name: str) -> Deed:
        """Return a deed: wait until the client says that it is over."""

        def deed(done: Done) -> None:
            if done.wait(self.patience):
                with self._changed:
                    self.told.append(name)

        return deed

    def wait_for(self, count: int) -> None:
        """Wait until at least ``count`` handlers run at once.

        Raises:
            GateTimeout: They did not come in time, or nobody is left to call them.
        """
        self._wait(lambda: len(self._running) >= count, f"{count} handlers")

    def wait_for_all(self, names: Collection[str]) -> None:
        """Wait until the handlers of just these run, and perhaps others.

        Raises:
            GateTimeout: They did not come in time, or nobody is left to call them.
        """
        wanted = f"the handlers of {', '.join(names)}"
        self._wait(lambda: set(names) <= set(self._running), wanted)

    def _wait(self, seen: Callable[[], bool], wanted: str) -> None:
        late = time.monotonic() + self.patience
        with self._changed:
            while not seen():
                left = late - time.monotonic()
                if left <= 0 or self._hopeless:
                    why = f", but {self._hopeless}" if self._hopeless else ""
                    raise GateTimeout(
                        f"waited for {wanted} at once{why}; there are "
                        f"{len(self._running)}, called were {', '.join(self.calls)}"
                    )
                self._changed.wait(left)

    def release(self) -> None:
        """Let the one go that has been held the longest."""
        with self._changed:
            del self._waiting[:1]
            self._changed.notify_all()

    def open(self) -> None:
        """Let all go, and those that are still to come."""
        with self._changed:
            self._open = True
            self._waiting.clear()
            self._changed.notify_all()

    def give_up(self, why: str) -> None:
        """Let nobody wait for handlers that will not be called."""
        with self._changed:
            self._hopeless = why
            self._changed.notify_all()

    def _hold(self, name: str) -> None:
        with self._changed:
            if self._open:
                return
            self._waiting.append(name)
            # Longer than anybody waits for it: the end of a case opens it, too.
            self._changed.wait_for(lambda: name not in self._waiting, 4 * self.patience)
