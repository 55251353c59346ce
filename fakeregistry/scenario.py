"""Scenario files: a registry, what it holds and how it behaves, in TOML.

    [registry]
    profile = "no-head"             # see `fakeregistry profiles`
    tls = true

    [auth]
    kind = "token"                  # or "basic"
    username = "user"
    password = "password"

    [[load]]
    path = "layout"                 # an OCI layout or a docker-archive, from here

    [[image]]
    ref = "library/hello:1"
    layers = 2
    platforms = ["linux/amd64", "linux/arm/v7"]

    [[fault]]
    path = "/blobs/*"
    times = 1
    truncate = 100

    [[gate]]
    path = "/manifests/*"

``[registry]`` has the arguments of Registry but ``har``, ``[auth]`` those of
BasicAuth and TokenAuth, ``[features]`` those of Features, ``[[load]]`` and
``[[image]]`` those of ``Registry.load`` and ``Registry.publish`` (``subject``
names an image further up), ``[[fault]]`` and ``[[gate]]`` those of Fault and
Gate. Bytes are strings, or
``{base64 = "..."}``. Faults and gates are numbered from 1 on, in the order of
the file; the admin API knows them by these numbers.
"""

from __future__ import annotations

import itertools
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from fakeregistry.auth import BasicAuth, TokenAuth
from fakeregistry.documents import (
    AUTH,
    FAULT,
    FEATURES,
    GATE,
    LOAD,
    REGISTRY,
    DocumentError,
    read_fields,
    read_image,
    read_table,
    unknown_key,
)
from fakeregistry.exchange import load_images
from fakeregistry.faults import FaultScript
from fakeregistry.features import Features
from fakeregistry.filling import Filling
from fakeregistry.gate import GateKeeper
from fakeregistry.profiles import find_profile
from fakeregistry.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from fakeregistry.image import Image
    from fakeregistry.registry import Registry

__all__ = ["Scenario", "ScenarioError", "read_scenario"]

Table = dict[str, Any]
T = TypeVar("T")
R = TypeVar("R", bound="Registry")

_SECTIONS: Final = (
    "registry",
    "auth",
    "features",
    "load",
    "image",
    "fault",
    "gate",
)


class _Shelf(Filling):
    """Holds what is built while a file is checked."""

    def __init__(self) -> None:
        self.store = Store()


class ScenarioError(ValueError):
    """A scenario file says something that cannot be meant: file, key, problem."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """What a file says, checked.

    Attributes:
        path: The file.
        arguments: Those of Registry.
        images: What is published, in order.
        faults: Keywords of ``Registry.fault``.
        gates: Keywords of ``Registry.gate``.
    """

    path: Path
    arguments: Mapping[str, Any]
    images: tuple[Image, ...]
    faults: tuple[Table, ...]
    gates: tuple[Table, ...]

    def build(self, make: Callable[..., R], **overrides: Any) -> R:  # noqa: ANN401 - as Registry
        """Make the registry; it is not started.

        Args:
            make: Registry, or a subclass.
            overrides: Arguments that win over those of the file.

        Raises:
            ScenarioError: The arguments contradict each other.
        """
        try:
            registry = make(**{**self.arguments, **overrides})
        except ValueError as err:
            raise ScenarioError(f"{self.path}: [registry]: {err}") from None
        for image in self.images:
            registry.add_image(image)
        for fault in self.faults:
            registry.fault(**fault)
        for gate in self.gates:
            registry.gate(**gate)
        return registry


def read_scenario(path: str | Path) -> Scenario:
    """Read and check a scenario file.

    Raises:
        ScenarioError: It cannot be read, or says something that cannot be meant.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            document = tomllib.load(file)
        return _check(path, document)
    except OSError as err:
        raise ScenarioError(f"{path}: {err.strerror or err}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, DocumentError) as err:
        raise ScenarioError(f"{path}: {err}") from None


def _check(path: Path, document: Table) -> Scenario:
    for key in document:
        if key not in _SECTIONS:
            raise unknown_key(key, _SECTIONS)
    arguments = _section("[registry]", document.get("registry", {}), _registry)
    if "auth" in document:
        arguments["auth"] = _section("[auth]", document["auth"], _auth)
    if "features" in document:
        features = _section("[features]", document["features"], _features)
        arguments["features"] = features
    loaded = _each(document, "load", lambda table: _load(table, path.parent))
    named: dict[str, Image] = {}
    images = _each(document, "image", lambda table: _image(table, named))
    script, keeper = FaultScript(), GateKeeper()
    return Scenario(
        path=path,
        arguments=arguments,
        images=(*itertools.chain(*loaded), *images),
        faults=_each(document, "fault", lambda table: _fault(table, script)),
        gates=_each(document, "gate", lambda table: _gate(table, keeper)),
    )


def _each(
    document: Table, key: str, read: Callable[[Mapping[str, Any]], T]
) -> tuple[T, ...]:
    tables = document.get(key, [])
    if not isinstance(tables, list):
        raise DocumentError(key, f"several can be given: write [[{key}]]")
    return tuple(
        _section(f"[[{key}]] {number}", table, read)
        for number, table in enumerate(tables, 1)
    )


def _section(where: str, value: object, read: Callable[[Mapping[str, Any]], T]) -> T:
    table = read_table(value, where)
    try:
        return read(table)
    except ValueError as err:
        raise DocumentError(where, str(err)) from None


def _registry(table: Mapping[str, Any]) -> Table:
    arguments = read_fields(table, REGISTRY)
    find_profile(arguments.get("profile"))
    return arguments


def _auth(table: Mapping[str, Any]) -> BasicAuth | TokenAuth:
    kind = table.get("kind")
    if kind not in ("basic", "token"):
        raise DocumentError("kind", '"basic" or "token" is needed')
    options = read_fields(table, AUTH[kind])
    del options["kind"]
    if kind == "token":
        return TokenAuth(**options)
    for key in ("username", "password"):
        if key not in options:
            raise DocumentError(key, "it is missing")
    return BasicAuth(**options)


def _features(table: Mapping[str, Any]) -> Features:
    return Features(**read_fields(table, FEATURES))


def _image(table: Mapping[str, Any], named: dict[str, Image]) -> Image:
    ref, options = read_image(table)
    if "subject" in options:
        subject = options["subject"]
        if subject not in named:
            raise DocumentError("subject", f"no image {subject!r} is further up")
        options["subject"] = named[subject]
    image: Image = _Shelf().publish(ref, **options)
    named[f"{image.repository}:{image.tag}"] = image
    return image


def _load(table: Mapping[str, Any], folder: Path) -> tuple[Image, ...]:
    options = read_fields(table, LOAD)
    if "path" not in options:
        raise DocumentError("path", "it is missing")
    return load_images(folder / options["path"], repository=options.get("repository"))


def _fault(table: Mapping[str, Any], script: FaultScript) -> Table:
    options = read_fields(table, FAULT)
    script.fault(**options)
    return options


def _gate(table: Mapping[str, Any], keeper: GateKeeper) -> Table:
    options = read_fields(table, GATE)
    keeper.gate(**options)
    return options
