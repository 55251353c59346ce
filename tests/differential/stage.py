"""What a scenario is played on: a registry, one client, and what came of each pull.

    @scenario(FETCH, PULL)
    def layer_is_not_there(stage: Stage) -> None:
        '''The registry does not have the layer.'''
        image = stage.publish()
        stage.fault(path=f"/blobs/{image.layers[0].digest}", status=404)
        stage.pull(image, unsure=[image.config])

A scenario is a function that is called once a client; it publishes the same bytes
every time, so that both clients meet the same registry.
"""

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol, Self, Unpack

from conformance.adapters.ctr import error_class
from fakeregistry import Registry
from fakeregistry.content import ImageOptions
from fakeregistry.faults import FaultOptions
from fakeregistry.image import Descriptor, Image
from fakeregistry.schema1 import Schema1Image, Schema1Options
from tests.differential.compare import Difference, differences, without
from tests.differential.facts import (
    Facts,
    Names,
    content_facts,
    image_facts,
    ingest_facts,
    lease_facts,
    request_facts,
    snapshot_facts,
)

__all__ = [
    "CRI",
    "FETCH",
    "PULL",
    "SCENARIOS",
    "WAYS",
    "Client",
    "Outcome",
    "Played",
    "Pull",
    "Registries",
    "Scenario",
    "Stage",
    "play",
    "scenario",
]

#: ``ctr content fetch`` beside Client.Fetch.
FETCH: Final = "fetch"
#: ``ctr images pull`` beside Client.Fetch and Image.Unpack.
PULL: Final = "pull"
#: CRI's PullImage beside Client.Pull with unpacking.
CRI: Final = "cri"
WAYS: Final = (FETCH, PULL, CRI)

#: Seconds to wait for the last bytes of exchanges whose client has ended.
_PATIENCE: Final = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Pull:
    """What is asked of a client; CRI takes the reference, a user and hosts only.

    Attributes:
        ref: The full reference.
        platforms: Which ones; none: the machine's own.
        all_platforms: Every one.
        all_metadata: Manifests and configs of the others, too.
        limit: Descriptors that are handled at once; 0 for no limit.
        labels: Those of the image record.
        user: Name and password.
        hosts_dir: Folder of hosts.toml files.
    """

    ref: str
    platforms: Sequence[str] = ()
    all_platforms: bool = False
    all_metadata: bool = False
    limit: int = 0
    labels: Mapping[str, str] = field(default_factory=dict)
    user: tuple[str, str] | None = None
    hosts_dir: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a pull ended.

    Attributes:
        error: What the client said; None if it succeeded.
        error_class: The name of that error, as errdefs has it; may be empty.
        image_id: The digest of the configuration, where the client tells it.
    """

    error: str | None = None
    error_class: str = ""
    image_id: str = ""

    @classmethod
    def failed(cls, text: str) -> Self:
        """Make the outcome of a pull that failed; the text tells the class."""
        return cls(error=text, error_class=error_class(text))


class Client(Protocol):
    """One client with a store of its own."""

    def pull(self, pull: Pull) -> Outcome:
        """Pull an image."""
        ...

    def inspect(self) -> Mapping[str, Any]:
        """Return images, content, ingests, leases and snapshots."""
        ...

    def collect(self) -> None:
        """Collect garbage."""
        ...

    def close(self) -> None:
        """Remove all that was pulled."""
        ...


class Registries:
    """The registries of a run: one for all that need nothing special."""

    def __init__(self) -> None:
        self._open = ExitStack()
        self._started: dict[str, Registry] = {}

    def get(self, name: str, arguments: Mapping[str, Any]) -> Registry:
        """Return the registry of a name with these arguments, started."""
        key = f"{name} {sorted(arguments.items())!r}"
        if key not in self._started:
            registry = Registry(**arguments)
            self._started[key] = self._open.enter_context(registry)
        return self._started[key]

    def close(self) -> None:
        """Stop them."""
        self._open.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """A script, and by which ways it is played."""

    name: str
    ways: tuple[str, ...]
    script: "Script"
    registry: Mapping[str, Any]
    ordered: bool = False
    counted: bool = False

    @property
    def what(self) -> str:
        """What it is about, in one line."""
        return (self.script.__doc__ or "").partition("\n")[0]


SCENARIOS: Final[dict[str, Scenario]] = {}


def scenario(
    *ways: str, ordered: bool = False, counted: bool = False, **registry: Any
) -> Callable[["Script"], "Script"]:
    """Make a function a scenario.

    Args:
        ways: The ways by which it is played.
        ordered: Whether the order of its requests is fixed.
        counted: Whether it is fixed how many blobs are asked for at once.
        registry: Arguments of the registry, where the plain one does not do.
    """

    def register(script: "Script") -> "Script":
        name = script.__name__.strip("_").replace("_", "-")
        if name in SCENARIOS:
            raise ValueError(f"{name}: there are two of that name")
        SCENARIOS[name] = Scenario(
            name=name,
            ways=ways,
            script=script,
            registry=registry,
            ordered=ordered,
            counted=counted,
        )
        return script

    return register


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """What came of one pull of a scenario.

    Attributes:
        number: 1 for the first pull.
        facts: All of them.
        said: The client's own words, if it failed.
        as_told: Whether it ended as the scenario says of containerd.
        unsure: Names of what may be there or not if the pull failed.
        loose: Names of what may be asked for or not, because an earlier pull failed.
    """

    number: int
    facts: Facts
    said: str | None
    as_told: bool
    unsure: tuple[str, ...]
    loose: tuple[str, ...]

    def differences(self, theirs: Self) -> tuple[Difference, ...]:
        """Return where this pull of refimpl's differs from containerd's.

        If one of the two failed and the other one did not, that is the only
        difference: all others follow from it.
        """
        ours = self
        if (ours.said is None) != (theirs.said is None):
            path = next(path for path in ours.facts if path.endswith("outcome"))
            return differences({path: ours.facts[path]}, {path: theirs.facts[path]})
        found = [
            without(item.facts, ours.loose, of="requests") for item in (ours, theirs)
        ]
        if ours.said is not None:
            found = [without(facts, ours.unsure) for facts in found]
        return differences(*found)


class Stage:
    """Where one client plays one scenario."""

    def __init__(
        self,
        scenario: Scenario,
        way: str,
        client: Client,
        registries: Registries,
        folder: Path,
    ) -> None:
        self.way = way
        self.scenario = scenario
        self.repository = f"differential/{scenario.name}"
        self.registry = registries.get("registry", scenario.registry)
        self.names = Names()
        self.names.add_host(self.registry.host, "registry")
        self.played: list[Played] = []
        self._client = client
        self._registries = registries
        self._folder = folder
        self._others: list[Registry] = []
        self._open = ExitStack()

    @property
    def unpacks(self) -> bool:
        """Whether this way to pull unpacks the layers, too."""
        return self.way != FETCH

    @property
    def root(self) -> Path:
        """A folder of this stage's own, such as for hosts.toml files."""
        return self._folder

    def publish(
        self,
        tag: str = "latest",
        *,
        repository: str | None = None,
        label: str = "",
        **options: Unpack[ImageOptions],
    ) -> Image:
        """Publish an image; ``label`` tells its names from those of others."""
        name = repository or self.repository
        image = self.registry.publish(f"{name}:{tag}", **options)
        self.names.add_image(image, label)
        return image

    def publish_schema1(
        self, tag: str = "latest", **options: Unpack[Schema1Options]
    ) -> Schema1Image:
        """Publish a schema1 image."""
        name = f"{self.repository}:{tag}"
        image = self.registry.publish(name, format="schema1", **options)
        self.names.add_image(image)
        return image

    def fault(self, **options: Unpack[FaultOptions]) -> None:
        """Break responses until the stage is over."""
        self._open.enter_context(self.registry.fault(**options))

    def mend(self) -> None:
        """Take all faults back."""
        self._open.close()

    def other(self, name: str = "mirror", **arguments: Any) -> Registry:
        """Return another registry, which the facts call by this name."""
        registry = self._registries.get(name, arguments)
        self.names.add_host(registry.host, name)
        self._others.append(registry)
        return registry

    def redirect_to_cdn(self) -> None:
        """Send clients to the CDN for the blobs of this scenario, for good."""
        self.names.add_host(self.registry.cdn.host, "cdn")
        self.registry.redirect(f"/{self.repository}/blobs/*")

    def pull(
        self,
        what: Image | str,
        *,
        fails: bool = False,
        unsure: Collection[Descriptor] = (),
        **options: Any,
    ) -> None:
        """Let the client pull an image or a reference, and note what came of it.

        Args:
            what: An image, by its tag, or the full text of a reference.
            fails: Whether containerd fails; so that nothing is compared that both
                clients fail at for another reason than the scenario's.
            unsure: Content that a pull that fails may have fetched or not.
            options: More of Pull.
        """
        ref = what if isinstance(what, str) else self.registry.ref(what)
        for registry in (self.registry, *self._others):
            registry.journal.clear()
        outcome = self._client.pull(Pull(ref=ref, **options))
        number = len(self.played) + 1
        facts: Facts = {"outcome": "pulled"}
        if outcome.error is not None:
            facts["outcome"] = f"failed, {outcome.error_class or 'no class'}"
        if outcome.image_id:
            facts["image id"] = outcome.image_id
        facts |= self._requests() | state_facts(self._client.inspect())
        prefix = f"pull {number}: " if number > 1 else ""
        named = self.names.facts(facts)
        self.played.append(
            Played(
                number=number,
                facts={f"{prefix}{path}": value for path, value in named.items()},
                said=None if outcome.error is None else self.names.text(outcome.error),
                as_told=fails == (outcome.error is not None),
                unsure=tuple(self.names.text(item.digest) for item in unsure),
                loose=tuple(name for pull in self.played for name in pull.unsure),
            )
        )

    def finish(self) -> None:
        """Collect garbage, and add what is left to the last pull's facts."""
        self.mend()
        self._client.collect()
        state = self._client.inspect()
        kept = {f"kept/{blob['digest']}": "yes" for blob in state["content"]}
        kept |= {f"kept/snapshot {item['name']}": "yes" for item in state["snapshots"]}
        kept |= {f"kept/ingest {item['ref']}": "yes" for item in state["ingests"]}
        self.played[-1].facts.update(self.names.facts(kept))

    def _requests(self) -> Facts:
        registries = (self.registry, *self._others)
        end = time.monotonic() + _PATIENCE
        while time.monotonic() < end and any(
            exchange.finished is None
            for item in registries
            for exchange in item.journal
        ):
            time.sleep(0.005)
        facts: Facts = {}
        if self.scenario.counted:
            most = self.registry.journal.max_in_flight("/blobs/*")
            facts["at once"] = f"{most} blobs"
        for registry in registries:
            host = "" if registry is self.registry else f" {registry.host}"
            found = request_facts(
                registry.journal,
                ordered=self.scenario.ordered,
                naming=self.names.text,
            )
            facts |= {
                path.replace("requests/", f"requests{host}/", 1): value
                for path, value in found.items()
            }
        return facts


def _is_busy(registry: Registry) -> bool:
    return any(exchange.finished is None for exchange in registry.journal)


def state_facts(state: Mapping[str, Any]) -> Facts:
    """Return what a store holds."""
    return {
        **image_facts(state["images"]),
        **content_facts(state["content"]),
        **ingest_facts(state["ingests"]),
        **lease_facts(state["leases"]),
        **snapshot_facts(state["snapshots"]),
    }


Script = Callable[[Stage], None]


def play(
    scenario: Scenario, way: str, client: Client, registries: Registries, folder: Path
) -> tuple[Played, ...]:
    """Play a scenario with one client, and return what came of each pull."""
    stage = Stage(scenario, way, client, registries, folder)
    try:
        scenario.script(stage)
        stage.finish()
    finally:
        stage.mend()
        client.close()
    return tuple(stage.played)
