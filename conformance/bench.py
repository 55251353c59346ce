"""What a case holds in its hands: a registry, a client, and what it stored.

    image = bench.publish(layers=2)
    fault = bench.registry.fault(method="GET", digest=image.layers[0].digest, flip=9)
    pull = bench.pull(image)
    bench.must_reject(pull, fault)
    assert not bench.stored().corrupt()

A client that cannot be run, is killed or misses its deadline ends the case
there and then, so that no case takes a crash for a rejection.
"""

import os
import shutil
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Final, TypedDict, Unpack

from conformance.case import ClientDied, DeadlineMissed, Feature, NotTestable
from conformance.client import Client, PullResult, Running
from conformance.contract import Json, OnCancel
from conformance.hosts import TRUSTED, Host, write_hosts
from conformance.inside import Inside, Witness
from conformance.redact import redactor
from conformance.stored import Stored, StoredImage
from fakeregistry import BasicAuth, Image, Registry, TokenAuth

TAIL_LINES: Final = 6


@dataclass(frozen=True, kw_only=True)
class Pull:
    """How one run of the client ended.

    Attributes:
        ok: The client says that it pulled the image.
        exit: Its exit status, if it is a command.
        error_class: What kind of error, if the client can tell.
        error: The error in its own words.
        reason: Why it did not end by itself: ``"died"`` if it could not be run
            or was killed, ``"deadline"``, ``"cancelled"``, else None.
    """

    ok: bool
    exit: int | None = None
    error_class: str | None = None
    error: str = ""
    stdout: str = ""
    stderr: str = ""
    seconds: float = 0.0
    reason: str | None = None
    read_image: Callable[[], StoredImage | None] = field(
        default=lambda: None, repr=False, compare=False
    )

    @cached_property
    def image(self) -> StoredImage | None:
        """The client's record of the image; read when first asked for."""
        return self.read_image()

    def last_words(self) -> str:
        """Return the error, or else the end of what the client printed."""
        text = self.error.strip() or self.stderr.strip() or self.stdout.strip()
        return "\n".join(text.splitlines()[-TAIL_LINES:])

    def __str__(self) -> str:
        if self.ok:
            return "success"
        how = "failure" if self.exit is None else f"exit status {self.exit}"
        words = self.last_words()
        return f"{how}: {words}" if words else f"{how}, nothing printed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mirror:
    """A registry as the mirror of another one.

    Attributes:
        registry: What serves it.
        capabilities: ``pull`` for content by digest, ``resolve`` for tags.
        path: What stands in the place of ``/v2``, if anything does.
        headers: Fields to send to it.
    """

    registry: Registry
    capabilities: Sequence[str] = TRUSTED
    path: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


class Options(TypedDict, total=False):
    """How to pull; what is left out is the client's own default.

    ``username`` and ``password`` are those of the registry unless given; an
    empty user name means that none are given to the client, or with a password
    that this is a refresh token. ``ca`` is the file of whom to trust: the
    registry's authority unless given. ``mirrors`` (Feature.MIRRORS) are to be
    asked before the registry, in their order. ``plain_http`` tells the client
    that it may use http: where the registry does, unless given. ``unpack`` asks for
    a root file system, too (Feature.UNPACK).
    """

    digest: bool
    platform: str | None
    all_platforms: bool
    all_metadata: bool
    unpack: bool
    limit: int | None
    username: str | None
    password: str | None
    labels: Mapping[str, str] | None
    ca: Path | None
    deadline: float | None
    mirrors: Sequence[Mirror | Registry]
    plain_http: bool


class RunningPull:
    """A pull, or a call into the client, that was started and not waited for."""

    def __init__(
        self, running: Running, read_image: Callable[[], StoredImage | None]
    ) -> None:
        self._running = running
        self._read_image = read_image

    @property
    def done(self) -> bool:
        """Whether the client has ended."""
        return self._running.done

    def wait(self) -> Pull:
        """Return when the client has ended by itself.

        Raises:
            ClientDied: It could not be run, or was killed.
            DeadlineMissed: It did not end in time.
        """
        pull = to_pull(self._running.wait(), self._read_image)
        if (error := _lost(pull)) is not None:
            raise error
        return pull

    def cancel(self) -> Pull:
        """End the client as its user would, and return how it ended."""
        return to_pull(self._running.cancel(), self._read_image)


class Bench:
    """A registry and a client for one case.

    Args:
        client: Who pulls.
        folder: Where its stores are made.
        timeout: Deadline of a pull, in seconds.
        port: Of the first registry, the others have the next ones; 0: any.
        record_bodies: Let registries keep what they send, for a HAR file.

    Attributes:
        root: The client's store: a fresh, empty folder.
        inside: Calls parts of a client in this process (conformance/inside.py).
    """

    def __init__(
        self,
        client: Client,
        folder: Path,
        *,
        timeout: float,
        port: int = 0,
        record_bodies: bool = False,
    ) -> None:
        self.client = client
        self._port = port
        self._record_bodies = record_bodies
        self._folder = folder
        self._timeout = timeout
        self._stores = 0
        self._hosts = 0
        self._registries: list[Registry] = []
        self._access: dict[int, BasicAuth | TokenAuth | None] = {}
        self._secrets: set[tuple[str, str]] = set()
        self._observed: list[str] = []
        self._running: list[Running] = []
        self._refs: list[str] = []
        self._was_asked = False
        self._lock = threading.Lock()
        self._pulling = 0
        self.root = self.fresh_store()
        self.inside = Inside(self, timeout=timeout)

    @property
    def registry(self) -> Registry:
        """The registry of this case: the first one, made when first needed."""
        if not self._registries:
            self.new_registry()
        return self._registries[0]

    def new_registry(self, **options: Any) -> Registry:  # noqa: ANN401 - Registry's
        """Start a registry; it stops when the case is over.

        It speaks plain http unless told otherwise or the client does not.
        """
        if not self.claims(Feature.PLAIN_HTTP) and self.claims(Feature.TLS):
            options.setdefault("tls", True)
        if self._port:
            options.setdefault("port", self._port + len(self._registries))
        registry = Registry(**options, record_bodies=self._record_bodies)
        registry.__enter__()
        self._registries.append(registry)
        auth = options.get("auth")
        self._access[registry.port] = auth
        if auth is not None and auth.password:
            self._secrets.add((auth.username or "", auth.password))
        return registry

    def publish(
        self,
        name: str = "library/test:v1",
        **knobs: Any,  # noqa: ANN401 - those of Registry.publish
    ) -> Image:
        """Publish an image on the registry of this case."""
        image: Image = self.registry.publish(name, **knobs)
        return image

    def fresh_store(self) -> Path:
        """Give the client a new, empty root, and return it."""
        self._stores += 1
        self.root = self._folder / str(self._stores)
        self.root.mkdir(parents=True)
        return self.root

    def claims(self, feature: Feature) -> bool:
        """Say whether the adapter offers a feature."""
        return feature in self.client.features

    def pull(self, what: Image | str, **options: Unpack[Options]) -> Pull:
        """Let the client pull an image, or a reference, and wait for the end.

        A first pull that asks no registry for anything is none, whatever the
        client says. Later ones may find all they need in the client's store.

        Raises:
            ClientDied: It could not be run, or was killed.
            DeadlineMissed: It did not end in time.
            AssertionError: It reported success and has never asked for anything.
        """
        pull = self.start_pull(what, **options).wait()
        self._was_asked |= any(len(registry.journal) for registry in self._registries)
        if pull.ok and not self._was_asked:
            raise AssertionError("the client reported success and asked for nothing")
        return pull

    def start_pull(self, what: Image | str, **options: Unpack[Options]) -> RunningPull:
        """Let the client begin to pull, and go on with the case."""
        ref = self._ref(what, digest=options.get("digest", False))
        root = self.root
        request = self._request(ref, options)
        self._begun()
        running = self.client.start(
            request, options.get("deadline") or self._timeout, self._over
        )
        self._running.append(running)
        self._refs.append(ref)
        return RunningPull(
            running, lambda: self.client.inspect(root, {"images"}).image(ref)
        )

    def start_call(
        self,
        what: str,
        call: Callable[[OnCancel], Json],
        on_end: Callable[[], object] = lambda: None,
    ) -> RunningPull:
        """Let the client begin what ends as a pull does, and go on with the case."""
        running = self.client.start_call(call, self._timeout, on_end)
        self._running.append(running)
        self._refs.append(what)
        return RunningPull(running, lambda: None)

    def must_pull(self, what: Image | str, **options: Unpack[Options]) -> Pull:
        """Let the client pull what any client must be able to pull."""
        pull = self.pull(what, **options)
        if not pull.ok:
            raise AssertionError(f"the pull must succeed; {pull}")
        return pull

    def must_reject(self, pull: Pull, *reached: Witness) -> None:
        """Hold that the client failed, and that it met every fault named.

        A case without a registry names another witness (`conformance.tree.Met`).

        Raises:
            NotTestable: A fault was not met: if the client failed, it was for
                another reason.
            AssertionError: The client met them all and reported success.
        """
        for fault in reached:
            if not fault.fired:
                raise NotTestable(
                    f"the client never asked for what was broken ({fault.rule}); {pull}"
                )
        if pull.ok:
            raise AssertionError("the client reported success")

    def stored(self, want: Collection[str] | None = None) -> Stored:
        """Read what the client keeps, as it is now.

        Args:
            want: The parts that the case looks at (images, content, ingests,
                leases, snapshots), which saves time with some clients; all of
                them if absent.
        """
        return self.client.inspect(self.root, want)

    def collect(self) -> None:
        """Let the client collect its garbage (Feature.GC)."""
        self.client.collect(self.root)

    def observe(self, text: str) -> None:
        """Note what the client does where it may do as it likes."""
        self._observed.append(text)

    @property
    def observed(self) -> str:
        """What was noted, in one text."""
        return "; ".join(self._observed)

    def obituary(self) -> str | None:
        """Say how the client came to its end, if it did not end by itself.

        A case that waits for requests of a dead client fails for their want;
        this is the reason behind that one.
        """
        for running in self._running:
            if running.done and (error := _lost(to_pull(running.wait()))) is not None:
                return str(error)
        return None

    def ended(self) -> str | None:
        """Say how the last pull ended, None if one still goes on."""
        if not self._running or not all(running.done for running in self._running):
            return None
        return f"the client has ended: {to_pull(self._running[-1].wait())}"

    @property
    def registries(self) -> tuple[Registry, ...]:
        """The registries of this case, in the order in which they were made."""
        return tuple(self._registries)

    def pulls(self) -> list[tuple[str, PullResult | None]]:
        """Return what was pulled and how it ended, None while it goes on."""
        return [
            (ref, running.wait() if running.done else None)
            for ref, running in zip(self._refs, self._running, strict=True)
        ]

    def redact(self, text: str) -> str:
        """Take the secrets of this case out of a text."""
        return redactor(self._secrets)(text)

    def close(self) -> None:
        """Stop every registry, end what still runs, remove what was stored."""
        for registry in self._registries:
            registry.stop()
        self.inside.close()
        for running in self._running:
            running.cancel()
        remove_tree(self._folder)

    def _begun(self) -> None:
        with self._lock:
            self._pulling += 1
            for registry in self._registries:
                registry.expect_requests()

    def _over(self) -> None:
        """Let nobody wait for requests when no client is left to send them."""
        with self._lock:
            self._pulling -= 1
            if not self._pulling:
                for registry in self._registries:
                    registry.expect_requests(hopeless="the client has ended")

    def _ref(self, what: Image | str, *, digest: bool) -> str:
        if not isinstance(what, str):
            return self.registry.ref(what, digest=digest)
        if digest:
            raise TypeError("digest=True goes with an image; a reference has it or not")
        return what

    def _request(self, ref: str, options: Options) -> dict[str, Any]:
        registry = self._registry_of(ref)
        auth = self._access.get(registry.port)
        username = options.get("username")
        password = options.get("password")
        if username is None and auth is not None:
            username, password = auth.username, auth.password
        if password:
            self._secrets.add((username or "", password))
        ca = options.get("ca", registry.ca_file)
        return {
            "ref": ref,
            "registry": ref.partition("/")[0],
            "root": str(self.root),
            "platform": options.get("platform"),
            "all_platforms": options.get("all_platforms", False),
            "all_metadata": options.get("all_metadata", False),
            "unpack": options.get("unpack", False),
            "max_concurrent_downloads": options.get("limit"),
            "plain_http": options.get("plain_http", registry.ca_file is None),
            "ca": None if ca is None else str(ca),
            "username": username or None,
            "password": password or None,
            "labels": dict(options.get("labels") or {}),
            "hosts_dir": self._hosts_dir(ref, registry, options.get("mirrors", ())),
        }

    def _hosts_dir(
        self, ref: str, registry: Registry, mirrors: Sequence[Mirror | Registry]
    ) -> str | None:
        """Write down which mirrors there are; beside the store, not in it."""
        if not mirrors:
            return None
        self._hosts += 1
        folder = self._folder / f"hosts-{self._hosts}"
        server = Host(url=registry.url, ca=registry.ca_file)
        hosts = [_host(mirror) for mirror in mirrors]
        write_hosts(folder, ref.partition("/")[0], server, hosts)
        return str(folder)

    def _registry_of(self, ref: str) -> Registry:
        """Return the registry that a reference names, by its port."""
        port = ref.partition("/")[0].rpartition(":")[2]
        for registry in self._registries:
            if str(registry.port) == port:
                return registry
        return self.registry


def _host(mirror: Mirror | Registry) -> Host:
    given = mirror if isinstance(mirror, Mirror) else Mirror(registry=mirror)
    return Host(
        url=f"{given.registry.url}{given.path}",
        capabilities=given.capabilities,
        ca=given.registry.ca_file,
        headers=given.headers,
    )


def to_pull(
    result: PullResult, read_image: Callable[[], StoredImage | None] = lambda: None
) -> Pull:
    """Return what a case sees of a client's result."""
    return Pull(
        ok=result.ok,
        exit=result.exit,
        error_class=result.error_class or None,
        error=result.error,
        stdout=result.stdout,
        stderr=result.stderr,
        seconds=result.seconds,
        reason=result.reason,
        read_image=read_image,
    )


def _lost(pull: Pull) -> AssertionError | None:
    """Return what to raise of a client that did not end by itself."""
    if pull.reason == "died":
        return ClientDied(f"the client died: {pull.last_words()}")
    if pull.reason == "deadline":
        return DeadlineMissed(
            f"the client missed its deadline: it was ended after {pull.seconds:.1f} s"
        )
    return None


def remove_tree(folder: Path) -> None:
    """Remove a folder with what a client made in it, whatever its modes.

    What a client that does not stop still writes is left behind: that says nothing
    about the case.
    """
    try:
        shutil.rmtree(folder)
        return
    except FileNotFoundError:
        return
    except OSError:
        folder.chmod(0o700)
    for parent, names, _ in os.walk(folder):
        for name in names:
            inside = Path(parent, name)
            if not inside.is_symlink():
                inside.chmod(0o700)
    shutil.rmtree(folder, ignore_errors=True)
