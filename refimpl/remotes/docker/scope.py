"""Mirrors: containerd v1.5.18 remotes/docker/scope.go.

Which token scopes a request needs travels with the task, as it does in Go's
context:

    with with_repository_scope(parse("docker.io/library/hello:1")):
        await client.resolve(...)      # asks for repository:library/hello:pull
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from urllib.parse import unquote

from refimpl.reference import Spec

__all__ = [
    "current_scopes",
    "get_token_scopes",
    "repository_scope",
    "with_repository_scope",
    "with_scope",
]

_scopes: ContextVar[tuple[str, ...]] = ContextVar("token_scopes", default=())


def repository_scope(refspec: Spec) -> str:
    """Return the scope to pull from a repository (scope.go:31)."""
    path = refspec.locator.partition("/")[2]
    return f"repository:{unquote(path)}:pull"


@contextmanager
def with_repository_scope(refspec: Spec) -> Iterator[None]:
    """Ask for the scope of a repository inside the block (scope.go:46)."""
    with with_scope(repository_scope(refspec)):
        yield


@contextmanager
def with_scope(*scopes: str) -> Iterator[None]:
    """Ask for more scopes inside the block (scope.go:55)."""
    token = _scopes.set((*_scopes.get(), *scopes))
    try:
        yield
    finally:
        _scopes.reset(token)


def current_scopes() -> tuple[str, ...]:
    """Return the scopes of the blocks around, outermost first."""
    return _scopes.get()


def get_token_scopes(common: Iterable[str]) -> tuple[str, ...]:
    """Return all scopes to ask for, sorted, each once (scope.go:74)."""
    return tuple(sorted({*_scopes.get(), *common}))
