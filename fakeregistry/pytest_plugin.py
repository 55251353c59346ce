"""Fixtures for tests of clients; pytest finds them through an entry point.

    def test_pull(registry):
        image = registry.publish("library/hello:1")
        ...

The report of a test that fails shows what its registries were asked.

pytest imports this module in every project where the package is installed, so
everything else is imported when a fixture is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from fakeregistry import Registry

__all__ = ["registry", "registry_factory", "tls_registry", "token_registry"]

_STARTED: Final = pytest.StashKey["list[Registry]"]()
_SHOWN: Final = 100


@pytest.fixture
def registry_factory(
    request: pytest.FixtureRequest,
) -> Iterator[Callable[..., Registry]]:
    """Start registries with the arguments of ``Registry``; all end with the test."""
    package: Any = importlib.import_module("fakeregistry")
    started: list[Registry] = []
    request.node.stash[_STARTED] = started

    def start(*args: Any, **options: Any) -> Registry:  # noqa: ANN401 - as Registry
        made: Registry = package.Registry(*args, **options)
        started.append(made)
        return made.start()

    yield start
    for made in reversed(started):
        made.stop()


@pytest.fixture
def registry(registry_factory: Callable[..., Registry]) -> Registry:
    """A registry without access control, over plain HTTP."""
    return registry_factory()


@pytest.fixture
def tls_registry(registry_factory: Callable[..., Registry]) -> Registry:
    """A registry over HTTPS; clients are to trust its ``ca_file``."""
    return registry_factory(tls=True)


@pytest.fixture
def token_registry(registry_factory: Callable[..., Registry]) -> Registry:
    """A registry that wants bearer tokens and gives them to everybody."""
    package: Any = importlib.import_module("fakeregistry")
    return registry_factory(package.TokenAuth())


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show the requests of a test that fails; secrets are left out."""
    report = yield
    if report.failed:
        for made in item.stash.get(_STARTED, ()):
            lines = [repr(exchange) for exchange in made.journal]
            if len(lines) > _SHOWN:
                lines[:-_SHOWN] = [f"... {len(lines) - _SHOWN} more before"]
            if lines:
                report.sections.append((f"requests to {made!r}", "\n".join(lines)))
    return report
