"""One scenario and one client: what may never happen, whatever a registry does.

FINDINGS (findings.py) names the invariants. A client is held to what it can know.
Which bytes a tag stands for is the registry's word: what a broken answer made of them
may be taken for the image, and then all that *it* names must be there. A digest is a
promise: what was asked for by digest must have been sent, and what is kept must match.
And what a client does not keep of the same image from a well registry is not missed
here either.
"""

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from conformance.bench import Bench, Options, Pull
from conformance.case import ClientDied, DeadlineMissed, Feature
from conformance.client import Client
from conformance.evidence import evidence_of
from conformance.fuzz.findings import Finding
from conformance.fuzz.needs import alternatives, read_target
from conformance.fuzz.scenarios import BY_DIGEST
from conformance.fuzz.wire import asked_for, carries_credentials, touched, unsent
from conformance.stored import Stored
from fakeregistry import Image, Registry
from fakeregistry.scenario import Scenario, ScenarioError, read_scenario

__all__ = ["PLATFORM", "Judge", "Trial"]

#: What is pulled of an index, by clients that can be told.
PLATFORM: Final = "linux/amd64"

_CRASHES: Final = ("Traceback (most recent call last)", "panic: ", "goroutine 1 [")
# What a client that runs in this process would have died of in its own. A ValueError
# is not among them: to many it is the word for an answer that makes no sense.
_SLIPS: Final = (
    *("AttributeError", "IndexError", "KeyError", "OverflowError"),
    *("RecursionError", "TypeError", "UnboundLocalError", "UnicodeDecodeError"),
)


class _Found(Exception):
    """An invariant does not hold."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__(text)
        self.finding = Finding(name=name, text=text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """How one scenario went.

    Attributes:
        finding: What is wrong with the client, if anything is.
        pulled: Whether the first pull succeeded.
        met: How many requests met a fault.
        evidence: The wire and the client's words (conformance/evidence.py).
    """

    finding: Finding | None
    pulled: bool
    met: int
    evidence: dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Twin:
    """What the client does with the same image when the registry is well."""

    ok: bool
    kept: frozenset[str] = frozenset()
    target: str | None = None
    asked: frozenset[str] = frozenset()


@dataclass
class Judge:
    """Judges scenarios with one client.

    Attributes:
        client: Set up already.
        folder: Where its stores are made.
        timeout: Deadline of one pull, in seconds.
    """

    client: Client
    folder: Path
    timeout: float
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def judge(self, file: Path) -> Trial:
        """Let the client pull the first image of a scenario file.

        Raises:
            ScenarioError: The file cannot be read, or nothing of it can be pulled.
        """
        scenario = read_scenario(file)
        _check(scenario)
        with self.bench() as bench:
            attempt = _Attempt(self, bench, scenario)
            finding = None
            try:
                attempt.run()
            except _Found as err:
                finding = err.finding
            met = len([one for one in bench.registry.journal if one.met])
            return Trial(
                finding=finding and replace(finding, text=bench.redact(finding.text)),
                pulled=attempt.pulled,
                met=met,
                evidence=evidence_of(bench),
            )

    @contextmanager
    def bench(self) -> Iterator[Bench]:
        """Give a bench with a fresh store."""
        folder = self.folder / str(next(self._numbers))
        bench = Bench(self.client, folder, timeout=self.timeout)
        try:
            yield bench
        finally:
            bench.close()

    def options(self, image: Image) -> Options:
        """Return how an image is to be pulled by this client."""
        options: Options = {}
        if image.tag == BY_DIGEST:
            options["digest"] = True
        is_index = len(image.documents) > 1
        if is_index and Feature.PLATFORM in self.client.features:
            options["platform"] = PLATFORM
        return options


def _check(scenario: Scenario) -> None:
    if not scenario.images:
        raise ScenarioError(f"{scenario.path}: there is no image to pull")
    if scenario.gates:
        raise ScenarioError(f"{scenario.path}: nobody would open its gates")


class _Attempt:
    """One scenario under way."""

    def __init__(self, judge: Judge, bench: Bench, scenario: Scenario) -> None:
        self.judge = judge
        self.bench = bench
        self.scenario = scenario
        self.image = scenario.images[0]
        self.options = judge.options(self.image)
        self.pulled = False

    def run(self) -> None:
        """Hold every invariant, or raise what was found."""
        registry = _build(self.bench, self.scenario)
        pull = self._pull()
        self.pulled = pull.ok
        self._check_kept(pull)
        if pull.ok or not registry.faults:
            return
        for fault in registry.faults:
            fault.remove()
        # One that resumes has to find out of each blob that what it kept of a broken
        # answer is of no use, and may end its pull each time.
        chances = 1 + len(self.image.blobs)
        for _ in range(chances):
            again = self._pull()
            self._check_kept(again)
            if again.ok or not self.twin.ok:
                return
        raise _Found(
            "unrecovered",
            f"after a failed pull the same store cannot be pulled into ({chances} "
            f"times), though the registry is well and a fresh store can; {again}",
        )

    def _pull(self) -> Pull:
        try:
            pull = self.bench.pull(self.image, **self.options)
        except ClientDied as err:
            raise _Found("died", str(err)) from err
        except DeadlineMissed as err:
            raise _Found("hangs", str(err)) from err
        except AssertionError as err:
            raise _Found("incomplete", str(err)) from err
        crashed = any(mark in pull.stderr for mark in _CRASHES)
        if not pull.ok and (crashed or pull.error_class in _SLIPS):
            raise _Found("died", f"the client crashed: {pull.last_words()}")
        return pull

    def _check_kept(self, pull: Pull) -> None:
        self._check_leaks()
        stored = self._stored()
        if wrong := stored.corrupt():
            kept = "; ".join(f"{b.digest} is in truth {b.actual}" for b in wrong)
            how = "the pull succeeded" if pull.ok else "the pull failed"
            raise _Found("corrupt", f"{how}, and bytes are kept wrongly: {kept}")
        if pull.ok:
            self._check_whole(stored)

    def _check_leaks(self) -> None:
        auth = self.scenario.arguments.get("auth")
        registry = self.bench.registry
        cdn_host = self.scenario.arguments.get("cdn_host")
        # Another port of the same host is not another host to most clients.
        if auth is None or cdn_host in (None, registry.host.rpartition(":")[0]):
            return
        for exchange in registry.journal:
            if exchange.server == "cdn" and carries_credentials(
                exchange, auth.password or ""
            ):
                raise _Found(
                    "leak", f"credentials are shown to {cdn_host}, see {exchange!r}"
                )

    def _stored(self) -> Stored:
        return self.bench.stored({"images", "content"})

    # -- success --------------------------------------------------------------

    def _check_whole(self, stored: Stored) -> None:
        registry, image = self.bench.registry, self.image
        if missing := unsent(registry, image, list(image.data)):
            raise _incomplete(f"was never sent {missing[0]} as it is")
        target = self._target(stored)
        doubtful = touched(registry, image) and not self.options.get("digest")
        if target not in (None, image.digest):
            if doubtful:
                self._check_other(stored, str(target))
                return
            if self.twin.target == image.digest:
                raise _Found(
                    "astray",
                    f"the pull succeeded, and its name stands for {target}; the "
                    f"registry has {image.digest}",
                )
        if target is None and doubtful and not stored.intact(image.digest):
            return  # Whatever it took for the image, it does not tell.
        self._check_meant(stored)

    def _target(self, stored: Stored) -> str | None:
        if not self.bench.claims(Feature.IMAGE_RECORD):
            return None
        record = stored.image(self._ref())
        if record is not None:
            return record.target.digest
        if self.twin.target is not None:
            raise _incomplete("has no record of the image")
        return None

    def _ref(self) -> str:
        digest = self.options.get("digest", False)
        return self.bench.registry.ref(self.image, digest=digest)

    def _check_meant(self, stored: Stored) -> None:
        """Hold that all of the image that was published is there."""
        choices = alternatives(self.image, self.options.get("platform"))
        has_content = stored.content is not None
        registry = self.bench.registry
        if any(
            all(
                stored.intact(d) if has_content else bool(asked_for(registry, d))
                for d in choice
            )
            for choice in choices
        ):
            return
        twin = self.twin
        # What it does with a well registry says which it chooses, and what of it
        # this client keeps, or needs.
        known = twin.kept if has_content else twin.asked
        choice = max(choices, key=lambda digests: len(known.intersection(digests)))
        for digest in choice:
            if digest not in known:
                continue
            if has_content and not stored.intact(digest):
                raise _incomplete(f"does not keep {digest}")
            if not has_content and not asked_for(registry, digest):
                raise _incomplete(f"never asked for {digest}")

    def _check_other(self, stored: Stored, target: str) -> None:
        """Hold that all is there of what a broken answer made of the image."""
        if stored.content is None or self.image.digest not in self.twin.kept:
            return
        if not stored.intact(target):
            raise _Found(
                "astray",
                f"the pull succeeded, and its name stands for {target}, of which "
                "nothing is kept",
            )
        kept = self.twin.kept
        manifest = self.image.manifests[0] if self.image.manifests else None
        problem = read_target(
            stored,
            target,
            config=manifest is None or manifest.config.digest in kept,
            layers=all(layer.digest in kept for layer in self.image.layers),
        )
        if problem is not None:
            raise _incomplete(f"took {target} for the image and {problem}")

    # -- the same without a fault -----------------------------------------------

    @cached_property
    def twin(self) -> _Twin:
        """The same pull from a well registry, into a store of its own."""
        with self.judge.bench() as bench:
            registry = _build(bench, replace(self.scenario, faults=()))
            try:
                pull = bench.pull(self.image, **self.options)
            except AssertionError:
                return _Twin(ok=False)
            if not pull.ok:
                return _Twin(ok=False)
            stored = bench.stored({"images", "content"})
            digest = self.options.get("digest", False)
            record = stored.image(registry.ref(self.image, digest=digest))
            return _Twin(
                ok=True,
                kept=frozenset(filter(stored.intact, stored.content or {})),
                target=None if record is None else record.target.digest,
                asked=frozenset(e.reference for e in registry.journal),
            )


def _incomplete(what: str) -> _Found:
    return _Found("incomplete", f"the pull succeeded, yet the client {what}")


def _build(bench: Bench, scenario: Scenario) -> Registry:
    # Wherever the file says it is to listen, here any port will do.
    return scenario.build(bench.new_registry, port=0)
