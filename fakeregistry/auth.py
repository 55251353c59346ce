"""Who may pull and push: the choices a user has, and the check for HTTP Basic.

RFC 7617 for Basic; the token scheme of registries lives in
:mod:`fakeregistry.token`, which is imported when it is first needed because
it brings cryptography along.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, Protocol

from fakeregistry.errors import RegistryError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fakeregistry.journal import Exchange
    from fakeregistry.routes import Route

__all__ = [
    "CATALOG",
    "Access",
    "BasicAccess",
    "BasicAuth",
    "Scope",
    "TokenAuth",
    "basic_credentials",
    "scope_of",
]

_HEADER_TEXT: Final = frozenset(chr(code) for code in range(0x20, 0x7F)) - {'"', "\\"}


_ACTIONS: Final = ("pull", "push", "delete")


class Scope(NamedTuple):
    """What a request needs leave for, as tokens put it (Docker Registry v2)."""

    kind: str
    name: str
    actions: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.kind}:{self.name}:{','.join(self.actions)}"


CATALOG: Final = Scope("registry", "catalog", ("*",))


@dataclass(frozen=True, slots=True)
class BasicAuth:
    """HTTP Basic on every request (RFC 7617).

    Attributes:
        forbidden: Patterns of repositories that even this user gets 403 for.
        actions: What this user may do elsewhere: pull, push, delete.
    """

    username: str
    password: str = field(repr=False)
    realm: str = "fakeregistry"
    forbidden: Sequence[str] = ()
    actions: Sequence[str] = _ACTIONS

    def __post_init__(self) -> None:
        check_user(self.username, self.password)
        check_header_text("realm", self.realm)
        check_patterns(self.forbidden)
        check_actions(self.actions)


@dataclass(frozen=True, slots=True)
class TokenAuth:
    """Bearer tokens from an endpoint of the registry's own.

    Without a username everybody gets a token; with one, only that user does.

    Attributes:
        service: What the challenge and the tokens name as the audience.
        realm: URL of the token endpoint; None: ``/token`` of the registry.
        scope: Text of the challenge's scope; None: such as ``repository:NAME:pull``;
            empty: none is given.
        expires_in: Life of a token in seconds; None: 60, and the answer does not
            say so.
        token_field: Which of the two names of the token the answer has.
        oauth_post: "ok", or the status that a POST to the endpoint gets.
        forbidden: Patterns of repositories for which tokens grant nothing.
        actions: What tokens grant elsewhere, when asked for: pull, push, delete.
    """

    username: str | None = None
    password: str | None = field(default=None, repr=False)
    service: str = "fakeregistry"
    realm: str | None = None
    scope: str | None = None
    expires_in: int | None = 300
    token_field: Literal["token", "access_token", "both"] = "both"  # noqa: S105 - a name
    oauth_post: Literal["ok"] | int = "ok"
    forbidden: Sequence[str] = ()
    actions: Sequence[str] = _ACTIONS

    def __post_init__(self) -> None:
        if (self.username is None) != (self.password is None):
            raise ValueError("username and password go together")
        if self.username is not None and self.password is not None:
            check_user(self.username, self.password)
        for name in ("service", "realm", "scope"):
            check_header_text(name, getattr(self, name) or "")
        if self.expires_in is not None and self.expires_in <= 0:
            raise ValueError("expires_in is a number of seconds, 1 or more")
        if self.token_field not in {"token", "access_token", "both"}:
            raise ValueError("token_field is 'token', 'access_token' or 'both'")
        if self.oauth_post != "ok" and self.oauth_post not in range(400, 600):
            raise ValueError("oauth_post is 'ok' or a status of 400 to 599")
        check_patterns(self.forbidden)
        check_actions(self.actions)


class Access(Protocol):
    """A check that lets a request pass or raises RegistryError."""

    def check(
        self, exchange: Exchange, scope: Scope | None, *, also: Scope | None = None
    ) -> None:
        """Let the request pass; the scope is None for ``/v2/``.

        Args:
            exchange: The request.
            scope: What it needs.
            also: What it would like to have: a challenge mentions it, and comes
                where asking for that alone would help.
        """
        ...

    def allows(self, exchange: Exchange, scope: Scope) -> bool:
        """Say whether the request may do more than it needs."""
        ...

    def grants(self, scope: Scope) -> bool:
        """Say whether whoever passed the check gets the scope for the asking."""
        ...


class BasicAccess:
    """Checks the Authorization header against one user."""

    def __init__(self, auth: BasicAuth) -> None:
        self._auth = auth

    def check(
        self, exchange: Exchange, scope: Scope | None, *, also: Scope | None = None
    ) -> None:
        """Ask for credentials with 401; refuse what is forbidden with 403."""
        del also
        auth = self._auth
        given = basic_credentials(exchange.request_headers.get("Authorization"))
        if given is None or not same_user(given, auth.username, auth.password):
            challenge = f'Basic realm="{auth.realm}"'
            raise RegistryError(
                "UNAUTHORIZED", 401, headers={"WWW-Authenticate": challenge}
            )
        if scope is not None and not self.allows(exchange, scope):
            raise RegistryError("DENIED", 403)

    def allows(self, exchange: Exchange, scope: Scope) -> bool:
        """Say whether the user may."""
        del exchange
        return self.grants(scope)

    def grants(self, scope: Scope) -> bool:
        """Say whether the user may."""
        return scope == CATALOG or (
            not is_forbidden(self._auth.forbidden, scope.name)
            and set(scope.actions) <= set(self._auth.actions)
        )


def scope_of(method: str, route: Route) -> Scope:
    """Return what a request needs; who pushes has to look, too."""
    actions: tuple[str, ...] = ("pull",)
    if route.endpoint in {"uploads", "upload"} or method in {"PUT", "POST", "PATCH"}:
        actions = ("pull", "push")
    elif method == "DELETE":
        actions = ("delete",)
    return Scope("repository", route.name, actions)


def basic_credentials(header: str) -> tuple[str, str] | None:
    """Decode an Authorization header; None when it is no proper Basic one."""
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        text = base64.b64decode(encoded.strip(), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return None
    username, colon, password = text.partition(":")
    return (username, password) if colon else None


def same_user(given: tuple[str, str], username: str, password: str) -> bool:
    """Compare credentials in constant time."""
    return hmac.compare_digest(
        "\0".join(given).encode(), f"{username}\0{password}".encode()
    )


def is_forbidden(patterns: Sequence[str], repository: str) -> bool:
    """Say whether a pattern covers the repository."""
    return any(fnmatchcase(repository, pattern) for pattern in patterns)


def check_user(username: str, password: str) -> None:
    """Refuse credentials that Basic cannot carry.

    Raises:
        ValueError: The name is empty or has a colon, or one has a NUL.
    """
    if not username or ":" in username:
        raise ValueError("a username is not empty and has no colon (RFC 7617)")
    if "\0" in username + password:
        raise ValueError("credentials hold no NUL")


def check_header_text(name: str, text: str) -> None:
    """Refuse text that cannot stand between quotes in a header.

    Raises:
        ValueError: It holds a quote, a backslash or a control character.
    """
    if not _HEADER_TEXT.issuperset(text):
        raise ValueError(f"{name} {text!r} cannot be quoted in a header")


def check_patterns(patterns: Sequence[str]) -> None:
    """Refuse one pattern where a sequence of them is meant.

    Raises:
        ValueError: It is a string.
    """
    if isinstance(patterns, str):
        raise ValueError(f"forbidden takes a sequence: ({patterns!r},)")


def check_actions(actions: Sequence[str]) -> None:
    """Refuse what no scope has.

    Raises:
        ValueError: An action is unknown, or they are one string.
    """
    if isinstance(actions, str) or not set(actions) <= set(_ACTIONS):
        raise ValueError(f"actions={actions!r}: some of {_ACTIONS}")
