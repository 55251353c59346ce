"""`pull-conformance replay ID`: one case's registry, and whoever cares to pull from it.

The case runs as it always does; in place of the client stands somebody at a
keyboard. What to pull is printed, as lines for curl and as the command of a client,
and the case goes on when told how that ended. So every case can be replayed,
whatever it does: faults, gates, several pulls.
"""

import os
import select
import shlex
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self, Unpack

from conformance.bench import Bench, Options, RunningPull
from conformance.case import Case, Feature, NotTestable
from conformance.client import Client, ClientInfo
from conformance.contract import Json, OnCancel, failure
from conformance.evidence import evidence_of
from conformance.explain import exchange_line
from conformance.recording import load_recording, strangers
from conformance.verdict import Outcome, Raw, judge, result_of
from conformance.whitebox import METHODS
from fakeregistry.gate import Gate
from fakeregistry.journal import Journal

if TYPE_CHECKING:
    from fakeregistry import Image

__all__ = ["curl_line", "replay"]

Say = Callable[[str], None]

#: Seconds that a person may take; a gate has as much patience.
PATIENCE: Final = 24 * 3600.0
#: Seconds of a client that pulls by itself.
DEADLINE: Final = 60.0
INTERRUPTED: Final = "interrupted"
#: What is known only by looking into a store, or into a process.
_STORED: Final = frozenset(
    {
        *(Feature.CONTENT, Feature.IMAGE_RECORD, Feature.LABELS, Feature.LEASES),
        *(Feature.GC, Feature.SNAPSHOTS, Feature.INGESTS, Feature.UNPACK),
        *METHODS,
    }
)
ACCEPT: Final = (
    "application/vnd.oci.image.manifest.v1+json, "
    "application/vnd.oci.image.index.v1+json, "
    "application/vnd.docker.distribution.manifest.v2+json, "
    "application/vnd.docker.distribution.manifest.list.v2+json"
)
_OK: Final = frozenset({"ok", "o", "0", "yes", "y", "success"})
_FAILED: Final = frozenset({"failed", "fail", "f", "1", "no", "n", "error"})


def replay(
    made: Case, client: Client | None, *, port: int, by_hand: bool, say: Say
) -> int:
    """Run one case with a client or with a person, and tell what happened.

    Args:
        made: The case.
        client: Whose command is shown, or who pulls; None: only a person.
        port: Of the case's registry; 0: any.
        by_hand: Whether a person pulls.
        say: Takes each line.

    Returns 0 if the case holds, 1 if not, 3 if that cannot be told.
    """
    # Nobody calls handlers by hand: what is in a process is run by its client.
    if client is not None and (not by_hand or made.needs & METHODS.keys()):
        return _watched(made, client, Bench, port, say)
    hand = ByHand(client, say)
    person = Client(adapter=hand, info=ClientInfo(name=hand.name, kind="python"))
    with _patience(), hand:
        return _watched(made, person, HandBench, port, say)


def _watched(made: Case, client: Client, make: type[Bench], port: int, say: Say) -> int:
    say(f"{made.id}  ({made.level})")
    say(f"  {made.title}")
    with tempfile.TemporaryDirectory(prefix="pull-conformance-") as folder:
        bench = make(client, Path(folder) / "case", timeout=DEADLINE, port=port)
        hand = client.adapter if isinstance(client.adapter, ByHand) else None
        if hand is not None:
            hand.case, hand.bench = made.id, bench
        try:
            raw = _run(made, bench)
            if hand is not None and hand.interrupted:
                raw = Raw(outcome=Outcome.NOT_TESTABLE, reason=INTERRUPTED)
            _tell(made, bench, raw, say)
        finally:
            bench.close()
    return _told_verdict(made, client, raw, say)


class HandBench(Bench):
    """A bench that has the time that people take."""

    def start_pull(
        self, what: "Image | str", **options: Unpack[Options]
    ) -> RunningPull:
        """Let somebody pull, whatever deadline the case would give a client."""
        options["deadline"] = PATIENCE
        return super().start_pull(what, **options)


class ByHand:
    """An adapter whose client is a person."""

    def __init__(self, client: Client | None, say: Say) -> None:
        self.name = "by-hand" if client is None else client.name
        self.bench: Bench | None = None
        self.case = ""
        self.interrupted = False
        self._client = client
        self._say = say
        self._pulls = 0
        self._typed: list[str] = []
        self._woken, self._waker = os.pipe()

    def __enter__(self) -> Self:
        # Not KeyboardInterrupt: it would come while a thread is waited for.
        self._before = {
            number: signal.signal(number, self._interrupt)
            for number in (signal.SIGINT, signal.SIGTERM)
        }
        return self

    def __exit__(self, *exc_info: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        os.close(self._waker)
        os.close(self._woken)

    def capabilities(self) -> Json:
        """Claim what the client can do; without one, all that needs no store."""
        if self._client is not None:
            features = self._client.features - METHODS.keys()
            version = self._client.version
        else:
            features, version = frozenset(Feature) - _STORED, "0"
        return {"name": self.name, "version": version, "features": sorted(features)}

    def pull(self, request: Json, on_cancel: OnCancel) -> Json:
        """Say what is to be done, and wait until somebody says how it ended."""
        self._pulls += 1
        for line in self._instructions(request):
            self._say(line)
        on_cancel(self._wake)
        ok = self._answer()
        if ok is None:
            return failure(INTERRUPTED, died=INTERRUPTED)
        error = None if ok else {"class": "", "message": "somebody said that it failed"}
        return {"ok": ok, "exit": 0 if ok else 1, "error": error}

    def inspect(self, request: Json) -> Json:
        """Look into the client's store, if there is a client."""
        return {} if self._client is None else self._client.adapter.inspect(request)

    def _instructions(self, request: Json) -> Iterator[str]:
        yield ""
        yield f"Pull number {self._pulls} of the case: {request['ref']}"
        for key, text in (
            ("root", "into"),
            ("platform", "platform"),
            ("max_concurrent_downloads", "downloads at once"),
            ("username", "user"),
            ("password", "password"),
            ("ca", "authority"),
        ):
            if request.get(key):
                yield f"  {text}: {request[key]}"
        assert self.bench is not None  # noqa: S101 - set before the case runs
        for number, registry in enumerate(self.bench.registries, 1):
            yield f"  registry {number}: {registry.url}"
            for fault in registry.faults:
                yield f"    breaks {fault.rule}: {fault.actions}"
        yield "With curl:"
        yield from (f"  {line}" for line in curl_lines(self.bench, self.case, request))
        yield from self._command(request)
        yield "Then type ok or failed, and Enter. Ctrl-C ends it without a verdict."

    def _interrupt(self, _number: int, _frame: object) -> None:
        self.interrupted = True
        self._wake()

    def _wake(self) -> None:
        os.write(self._waker, b".")

    def _answer(self) -> bool | None:
        """Read how a pull ended; None when that is not to be waited for any more."""
        stdin = sys.stdin.fileno()
        watched = [stdin, self._woken]
        while True:
            while self._typed:
                word = self._typed.pop(0).strip().lower()
                if word in _OK | _FAILED:
                    return word in _OK
                self._say("type ok or failed")
            ready, _, _ = select.select(watched, [], [])
            if self._woken in ready:
                return None
            data = os.read(stdin, 4096)
            self._typed = data.decode(errors="replace").splitlines()
            if not data:
                # Nobody types here: what is left is the signal that ends it.
                watched = [self._woken]

    def _command(self, request: Json) -> Iterator[str]:
        if self._client is None:
            return
        tell = getattr(self._client.adapter, "command_line", None)
        yield f"With {self.name}:"
        if tell is None:
            yield "  (no single command: --run lets the adapter pull)"
            return
        argv, env = tell(request)
        words = [f"{name}={value}" for name, value in env.items()]
        prefix = ["env", *words] if words else []
        yield f"  cd {shlex.quote(request['root'])} && {shlex.join([*prefix, *argv])}"


def curl_lines(bench: Bench, case: str, request: Json) -> Iterator[str]:
    """Yield what the reference asks in the case, as commands for this registry."""
    urls = {"registry": bench.registry.url}
    for number, registry in enumerate(bench.registries, 1):
        if number > 1:
            urls[f"registry {number}"] = registry.url
    recorded = load_recording().get(case, {"exchanges": _plain(request)})
    lines = (
        curl_line(f"{urls[one['server']]}{one['target']}", one, request)
        for one in recorded["exchanges"]
        if one["server"] in urls and "[redacted]" not in one["target"]
    )
    yield from dict.fromkeys(lines)


def _plain(request: Json) -> list[Json]:
    """Return the one request that every pull begins with."""
    rest = request["ref"].partition("/")[2]
    name, _, reference = rest.partition("@")
    if not reference:
        name, _, reference = rest.rpartition(":")
    target = f"/v2/{name}/manifests/{reference}"
    one = {"server": "registry", "method": "GET", "target": target, "request": []}
    return [one]


def curl_line(url: str, one: Json, request: Json) -> str:
    """Return a request of the recording as a command, to another address."""
    words = ["curl", "-sS"]
    words += ["-I"] if one["method"] == "HEAD" else []
    words += ["-D", "-", "-o", "/dev/null"] if "/blobs/" in url else []
    words += ["-i"] if "/blobs/" not in url and one["method"] != "HEAD" else []
    words += ["--cacert", request["ca"]] if request.get("ca") else []
    for name, value in one["request"]:
        if name.lower() == "range":
            words += ["-r", value.removeprefix("bytes=")]
        elif value.startswith("Basic ") and request.get("username"):
            words += ["-u", f"{request['username']}:{request.get('password') or ''}"]
        elif name.lower() == "authorization":
            words += ["-H", "Authorization: Bearer TOKEN"]
    if "/manifests/" in url:
        words += ["-H", f"Accept: {ACCEPT}"]
    if one["method"] not in ("GET", "HEAD"):
        words += ["-X", one["method"]]
    return shlex.join([*words, url])


def _run(made: Case, bench: Bench) -> Raw:
    """Run the case, as the plugin would."""
    try:
        made.function(bench)
    except NotTestable as err:
        return Raw(outcome=Outcome.NOT_TESTABLE, reason=str(err))
    except AssertionError as err:
        reason = bench.obituary() or str(err) or "assertion failed, without a message"
        return Raw(outcome=Outcome.VIOLATED, reason=reason, observed=bench.observed)
    except Exception as err:  # noqa: BLE001 - whatever a case may do wrong
        reason = f"{type(err).__name__}: {err}"
        return Raw(outcome=Outcome.ERROR, reason=reason, details=traceback.format_exc())
    return Raw(outcome=Outcome.SATISFIED, observed=bench.observed)


def _tell(made: Case, bench: Bench, raw: Raw, say: Say) -> None:
    trace = evidence_of(bench)
    say("")
    say("What was asked, and answered:")
    recorded = load_recording().get(made.id)
    odd = strangers(trace, recorded) if recorded else [False] * 1000
    for exchange, differs in zip(trace["exchanges"], odd, strict=False):
        mark = "*" if differs else " "
        say(f"{mark} {1000 * exchange['at']:8.1f} ms  {exchange_line(exchange)}")
    if not trace["exchanges"]:
        say("  nothing")
    if any(odd[: len(trace["exchanges"])]):
        say("  (*: not what the reference asks or is answered)")
    for fault in trace["faults"]:
        say(f"  {fault['what']}: met {fault['fired']} times")
    if trace["account"]:
        say(f"  on the wire: {trace['account']['sentence']}")
    for pull in trace["pulls"]:
        _tell_pull(pull, say)
    if raw.details:
        say(raw.details)


def _tell_pull(pull: Mapping[str, Any], say: Say) -> None:
    ended = {None: "not ended", True: "success", False: "failure"}[pull["ok"]]
    what = pull["ref"] if " " in pull["ref"] else f"pull of {pull['ref']}"
    say(f"  {what}: {ended}")
    for line in (pull["error"] or pull["stderr"]).splitlines()[-6:]:
        say(f"    {line}")


def _told_verdict(made: Case, client: Client, raw: Raw, say: Say) -> int:
    say("")
    if raw.reason == INTERRUPTED:
        say("no verdict: nobody said how the client ended")
        return 3
    result = replace(result_of(made, raw, client=client.name), twin=None)
    judged = judge(result, twin=None)
    reason = f": {judged.reason}" if judged.reason else ""
    say(f"{judged.verdict}{reason}")
    if made.twin and raw.outcome is Outcome.SATISFIED:
        say(f"  (if the client passes its twin {made.twin}, too)")
    if judged.is_red(strict=False):
        return 1
    return 3 if raw.outcome is Outcome.NOT_TESTABLE else 0


@contextmanager
def _patience() -> Iterator[None]:
    """Let gates and journals wait for people, who are slower than clients."""
    waits: tuple[Any, ...] = (Gate.wait_for, Journal.wait_for)
    before = [wait.__kwdefaults__ for wait in waits]
    for wait in waits:
        wait.__kwdefaults__ = {**(wait.__kwdefaults__ or {}), "timeout": PATIENCE}
    try:
        yield
    finally:
        for wait, defaults in zip(waits, before, strict=True):
            wait.__kwdefaults__ = defaults
