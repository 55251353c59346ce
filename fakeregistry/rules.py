"""Which requests a fault or a gate is meant for.

A rule is a set of criteria that must all hold; one that is left out holds for
every request. Paths are matched as shell patterns whose ``*`` crosses slashes
(fnmatch, case-sensitive), against the percent-decoded path without its query:

    "/blobs/*"          the blobs of any repository
    "/manifests/1.0"    one tag of any repository
    "/library/hello/*"  everything of one repository
    "/v2/*/blobs/*"     the same, written out
    "/token"            paths outside /v2
"""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Final, TypedDict

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from fakeregistry.journal import Exchange

_ENDPOINTS: Final = ("/blobs/", "/manifests/", "/tags/", "/referrers/")
_ENDPOINT: Final = re.compile(r"/v2/.+(/(?:blobs|manifests|tags|referrers)/.*)", re.S)


class Options(TypedDict, total=False):
    """The keywords of a rule but for the path, for signatures."""

    method: str | None
    digest: str | None
    reference: str | None
    range: bool | None
    server: str | None
    authorized: bool | None
    when: Callable[[Exchange], bool] | None


class Criteria(Options, total=False):
    """The keywords of a rule, for signatures."""

    path: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Criteria of a request; None means any.

    Attributes:
        method: Exact method, upper case.
        path: Pattern, matched against the whole path and against what follows
            ``/v2``; one that starts with ``/blobs/``, ``/manifests/``, ``/tags/``
            or ``/referrers/`` is matched against the end of the path, from the
            last such endpoint on, whatever the repository is called.
        digest: Exact last part of the path, a digest.
        reference: Exact last part of the path, a tag or a digest.
        range: Whether the request has a Range header.
        server: ``"registry"`` or ``"cdn"``, as the journal has it.
        authorized: Whether the request has an Authorization header.
        when: Any further test of the exchange; it must not block.
    """

    method: str | None = None
    path: str | None = None
    digest: str | None = None
    reference: str | None = None
    range: bool | None = None
    server: str | None = None
    authorized: bool | None = None
    when: Callable[[Exchange], bool] | None = None

    def __post_init__(self) -> None:
        if self.method is not None and self.method != self.method.upper():
            raise ValueError(f"method={self.method!r}: write it in upper case")
        if self.path is not None and not self.path.startswith(("/", "*")):
            raise ValueError(f"path={self.path!r}: a pattern starts with '/' or '*'")
        if self.digest is not None and ":" not in self.digest:
            raise ValueError(f"digest={self.digest!r}: not a digest; use reference=")
        if self.server not in {None, "registry", "cdn"}:
            raise ValueError(f"server={self.server!r}: 'registry' or 'cdn'")

    def matches(self, exchange: Exchange) -> bool:
        """Say whether every criterion holds for the request."""
        headers = exchange.request_headers
        return (
            _same(self.method, exchange.method)
            and _same(self.server, exchange.server)
            and (self.path is None or path_matches(self.path, exchange.path))
            and _same(self.digest, exchange.reference)
            and _same(self.reference, exchange.reference)
            and (self.range is None or self.range == ("Range" in headers))
            and (
                self.authorized is None
                or self.authorized == ("Authorization" in headers)
            )
            and (self.when is None or self.when(exchange))
        )

    def criteria(self) -> dict[str, Any]:
        """Return the criteria that are set; ``when`` by its name."""
        values = ((name, getattr(self, name)) for name in CRITERIA)
        return {
            name: getattr(value, "__name__", "when") if callable(value) else value
            for name, value in values
            if value is not None
        }

    def __str__(self) -> str:
        parts = (
            # Where a function stands in memory says nothing, and differs each time.
            f"{name}={'...' if callable(value) else repr(value)}"
            for name in CRITERIA
            if (value := getattr(self, name)) is not None
        )
        return ", ".join(parts) or "any request"


CRITERIA: Final = tuple(item.name for item in fields(Rule))


def path_matches(pattern: str, path: str) -> bool:
    """Match a path against a pattern, as the module's docstring says."""
    if pattern.startswith(_ENDPOINTS):
        found = _ENDPOINT.fullmatch(path)
        return found is not None and fnmatchcase(found[1], pattern)
    return fnmatchcase(path, pattern) or (
        path.startswith("/v2/") and fnmatchcase(path[3:], pattern)
    )


def take_criteria(options: Mapping[str, Any]) -> tuple[Rule, dict[str, Any]]:
    """Split keywords into a rule and the rest."""
    criteria = {name: value for name, value in options.items() if name in CRITERIA}
    rest = {name: value for name, value in options.items() if name not in CRITERIA}
    return Rule(**criteria), rest


def _same(wanted: str | None, value: str) -> bool:
    return wanted is None or wanted == value
