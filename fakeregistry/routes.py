"""Paths of the API, taken apart."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

__all__ = ["Route", "parse_path"]

# Repository names have slashes in them: the last endpoint of a path counts.
_ROUTE: Final = re.compile(
    r"/v2/(?:(?P<name>.+)/(?P<endpoint>manifests|blobs|referrers)/(?P<reference>[^/]+)"
    r"|(?P<pushed>.+)/blobs/uploads/(?P<upload>[^/]*)"
    r"|(?P<listed>.+)/tags/list)",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Route:
    """What a path asks for.

    Attributes:
        endpoint: "manifests", "blobs", "referrers", "uploads" (where they begin),
            "upload" (one of them) or "tags".
        reference: A tag, a digest, or the number of an upload; else empty.
    """

    name: str
    endpoint: str
    reference: str


def parse_path(path: str) -> Route | None:
    """Take a path below a repository apart; None for any other path."""
    match = _ROUTE.fullmatch(path)
    if match is None:
        return None
    name, endpoint, reference, pushed, upload, listed = match.groups()
    if name is not None:
        if endpoint == "blobs" and reference == "uploads":
            return Route(name, "uploads", "")
        return Route(name, endpoint, reference)
    if pushed is not None:
        return Route(pushed, "upload" if upload else "uploads", upload)
    return Route(listed, "tags", "")
