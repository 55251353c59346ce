"""Mirrors: containerd v1.5.18 remotes/resolver.go."""

from typing import Protocol

from refimpl.descriptor import Descriptor
from refimpl.stores.content import Reader

__all__ = ["Fetcher", "Resolver"]


class Fetcher(Protocol):
    """Fetches content (resolver.go:51)."""

    async def fetch(self, desc: Descriptor, /) -> Reader:
        """Return a reader of the content that a descriptor names. Close it."""
        ...


class Resolver(Protocol):
    """Finds what a reference names (resolver.go:28)."""

    async def resolve(self, ref: str, /) -> tuple[str, Descriptor]:
        """Return a name to know it by, and its descriptor."""
        ...

    async def fetcher(self, ref: str, /) -> Fetcher:
        """Return what fetches content from the repository of a reference."""
        ...
