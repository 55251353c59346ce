"""A client under test, as the suite holds it: one wrapper around any adapter.

The wrapper adds what no adapter should have to care about: a deadline on every
call, cancellation, and a check that answers keep to the contract.

    client = load_clients(["skopeo"])[0]
    client.setup()
    result = client.pull(request, deadline=60)
    stored = client.inspect(root)
"""

import contextlib
import os
import threading
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from conformance.case import Feature
from conformance.contract import (
    Adapter,
    AdapterError,
    Json,
    OnCancel,
    check_capabilities,
    check_result,
    failure,
)
from conformance.process import MISLEADING_VARIABLES
from conformance.stored import Stored, parse_stored
from conformance.whitebox import check_methods
from conformance.xfails import Xfail

__all__ = ["Client", "ClientInfo", "PullResult", "Running"]

#: How long a cancelled pull may take to come back before it is left behind.
GRACE: Final = 5.0
#: How long reading back, collecting or one vector may take.
HOUSEKEEPING: Final = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientInfo:
    """What can be told of a client without running it."""

    name: str
    kind: str
    description: str = ""
    homepage: str = ""
    install: str = ""
    version: str | None = None
    features: frozenset[Feature] = frozenset()
    missing: str | None = None
    """None: ready to run; otherwise why not, and how to install it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PullResult:
    """How one pull ended.

    ``reason`` is None when the client itself ended the pull, "died" when it could
    not be run, was killed or broke the contract, "deadline" when its time was over
    and "cancelled" when the suite ended it.
    """

    ok: bool
    exit: int | None = None
    error_class: str = ""
    error: str = ""
    stdout: str = ""
    stderr: str = ""
    seconds: float = 0.0
    reason: str | None = None


class _Cancellation:
    """Carries the word to stop from any thread to whoever can stop the pull."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._functions: list[Callable[[], object]] = []
        self._asked = False

    def register(self, function: Callable[[], object]) -> None:
        """Remember what ends the pull; call it at once if that is overdue."""
        with self._lock:
            self._functions.append(function)
            if not self._asked:
                return
        function()

    def cancel(self) -> None:
        """End the pull; asking twice changes nothing."""
        with self._lock:
            if self._asked:
                return
            self._asked = True
            functions = tuple(self._functions)
        for function in functions:
            function()


class Running:
    """A pull that goes on in a thread of its own."""

    def __init__(
        self,
        run: Callable[[_Cancellation], Json],
        *,
        name: str,
        deadline: float,
        on_end: Callable[[], object] = lambda: None,
    ) -> None:
        self._run = run
        self._on_end = on_end
        self._name = name
        self._allowed = deadline
        self._cancellation = _Cancellation()
        self._lock = threading.Lock()
        self._ended_for: str | None = None
        self._result: PullResult | None = None
        self._answer: Json = {}
        self._ended = 0.0
        self._over = threading.Event()
        self._started = time.monotonic()
        self._thread = threading.Thread(
            target=self._main, name=f"pull by {name}", daemon=True
        )
        self._thread.start()

    @property
    def done(self) -> bool:
        """Whether the pull has come to its end."""
        return self._over.is_set()

    def wait(self) -> PullResult:
        """Wait for the end of the pull, at most until its deadline."""
        left = self._started + self._allowed - time.monotonic()
        self._thread.join(max(left, 0))
        return self._finish("deadline")

    def cancel(self) -> PullResult:
        """End the pull now, as an impatient user would, and say how it went."""
        return self._finish("cancelled")

    def _main(self) -> None:
        try:
            self._answer = self._run(self._cancellation)
        except AdapterError as err:
            self._answer = failure(str(err), died=str(err))
        except Exception as err:  # noqa: BLE001 - an adapter that raises has died
            text = f"the adapter raised {type(err).__name__}: {err}"
            self._answer = failure(text, died=text)
        finally:
            self._ended = time.monotonic()
            self._over.set()
            self._on_end()

    def _finish(self, reason: str) -> PullResult:
        with self._lock:
            if self._ended_for is None and not self.done:
                self._ended_for = reason
        if self._ended_for is not None:
            self._cancellation.cancel()
            self._thread.join(GRACE)
        with self._lock:
            if self._result is None:
                self._result = self._outcome() if self.done else self._left_behind()
            return self._result

    def _outcome(self) -> PullResult:
        answer = self._answered()
        reason, text = self._ended_for, self._why()
        if reason is None or (reason == "cancelled" and answer["ok"]):
            reason = "died" if answer["died"] else None
            text = answer["died"] or answer["error"]
        return PullResult(
            ok=answer["ok"] and reason is None,
            exit=answer["exit"],
            error_class=answer["error_class"],
            error=text,
            stdout=answer["stdout"],
            stderr=answer["stderr"],
            seconds=self._ended - self._started,
            reason=reason,
        )

    def _left_behind(self) -> PullResult:
        return PullResult(
            ok=False,
            error=f"{self._why()}, and {GRACE:g} s after it was told to stop",
            reason="deadline",
            seconds=time.monotonic() - self._started,
        )

    def _why(self) -> str:
        if self._ended_for == "deadline":
            return f"still running after {self._allowed:g} s"
        return "cancelled"

    def _answered(self) -> Json:
        try:
            return check_result(self._answer, where=self._name)
        except AdapterError as err:
            broken = failure(str(err), died=str(err))
            return check_result(broken, where=self._name)


@dataclass(slots=True, kw_only=True)
class Client:
    """A client under test behind whatever kind of adapter it has."""

    adapter: Adapter
    info: ClientInfo
    xfails: Mapping[str, Xfail] = field(default_factory=dict)
    _capabilities: Json | None = None
    _hidden: dict[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The name in options, node ids and reports."""
        return self.info.name

    @property
    def version(self) -> str:
        """The version that the client itself tells."""
        return str(self._told()["version"])

    @property
    def features(self) -> frozenset[Feature]:
        """What the client may be judged on."""
        features: frozenset[Feature] = self._told()["features"]
        return features

    def installed(self) -> str | None:
        """Return None if the client can run, or why not and what to install."""
        check = getattr(self.adapter, "installed", None)
        return None if check is None else check()

    def setup(self) -> None:
        """Get ready for a run; the client's daemon starts here, if it has one.

        Raises:
            AdapterError: It cannot be made ready.
        """
        # A client that runs inside this process reads this process's variables.
        for name in MISLEADING_VARIABLES:
            if name in os.environ:
                self._hidden[name] = os.environ.pop(name)
        try:
            self._optional("setup")
        except AdapterError:
            self._show()
            raise

    def teardown(self) -> None:
        """Clean up after a run; calling it twice is fine."""
        try:
            self._optional("teardown")
        finally:
            self._show()

    def pull(self, request: Json, deadline: float) -> PullResult:
        """Pull an image and wait for the end, at most ``deadline`` seconds."""
        return self.start(request, deadline).wait()

    def start(
        self,
        request: Json,
        deadline: float,
        on_end: Callable[[], object] = lambda: None,
    ) -> Running:
        """Start to pull an image.

        Args:
            request: The request of the contract.
            deadline: Seconds until the pull is ended.
            on_end: Called when it has ended, in its thread.
        """
        asked = {**request, "timeout": deadline}
        return self.start_call(
            lambda on_cancel: self.adapter.pull(asked, on_cancel), deadline, on_end
        )

    def start_call(
        self,
        call: Callable[[OnCancel], Json],
        deadline: float,
        on_end: Callable[[], object] = lambda: None,
    ) -> Running:
        """Start what ends with a result as a pull does.

        Args:
            call: What to run; it is given who wants to know how to cancel it.
            deadline: Seconds until it is ended.
            on_end: Called when it has ended, in its thread.
        """
        return Running(
            lambda cancellation: call(cancellation.register),
            name=self.name,
            deadline=deadline,
            on_end=on_end,
        )

    def inspect(self, root: Path | str, want: Collection[str] | None = None) -> Stored:
        """Read what the client keeps under a root, now.

        Args:
            root: The root of the requests.
            want: Parts that are needed (images, content, ingests, leases,
                snapshots); a client whose store is slow to read may leave out
                the others. All of them if absent.

        Raises:
            AdapterError: The adapter's answer is not what the contract says.
        """
        request: Json = {"root": str(root)}
        if want is not None:
            request["want"] = sorted(want)
        answer = self._bounded("inspect", lambda: self.adapter.inspect(request))
        return parse_stored(answer, where=self.name)

    def collect(self, root: Path | str) -> None:
        """Run the client's garbage collection on a root.

        Raises:
            AdapterError: The client has none, or it failed.
        """
        collect = getattr(self.adapter, "collect", None)
        if collect is None:
            raise AdapterError(f"{self.name}: cannot collect garbage on demand")
        self._bounded("collect", lambda: collect({"root": str(root)}))

    def evaluate(self, function: str, kind: str, value: Any) -> Any:  # noqa: ANN401 - the JSON edge
        """Compute the output of a vector.

        Raises:
            NotImplementedError: The client does not have this function.
            AdapterError: The adapter failed.
        """
        evaluate = getattr(self.adapter, "evaluate", None)
        if evaluate is None:
            raise NotImplementedError(f"{self.name} evaluates no vectors")
        return self._bounded("evaluate", lambda: evaluate(function, kind, value))

    def _show(self) -> None:
        os.environ.update(self._hidden)
        self._hidden.clear()

    def _told(self) -> Json:
        if self._capabilities is None:
            told = self._bounded("capabilities", self.adapter.capabilities)
            told = check_capabilities(told, where=self.name)
            check_methods(self.adapter, told["features"], where=self.name)
            self._capabilities = told
        return self._capabilities

    def _optional(self, method: str) -> None:
        function = getattr(self.adapter, method, None)
        if function is not None:
            self._bounded(method, function)

    def _bounded(self, what: str, function: Callable[[], Any]) -> Any:  # noqa: ANN401 - the JSON edge
        """Call an adapter in a thread that may be left behind."""
        outcome: list[Any] = []
        raised: list[BaseException] = []

        def call() -> None:
            try:
                outcome.append(function())
            except BaseException as err:  # noqa: BLE001 - raised again below
                raised.append(err)

        thread = threading.Thread(target=call, name=f"{what} of {self.name}")
        thread.daemon = True
        thread.start()
        thread.join(HOUSEKEEPING)
        if thread.is_alive():
            raise AdapterError(f"{self.name}: {what} took over {HOUSEKEEPING:g} s")
        with contextlib.suppress(IndexError):
            return outcome[0]
        self._raise(what, raised[0])
        return None

    def _raise(self, what: str, err: BaseException) -> None:
        if isinstance(err, AdapterError | NotImplementedError):
            raise err
        text = f"{self.name}: {what} raised {type(err).__name__}: {err}"
        raise AdapterError(text) from err
