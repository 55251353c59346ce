"""The token endpoint, its JWTs, and the check for them.

Docker Registry v2 authentication: a 401 names realm, service and scope; the
client asks the realm (GET with Basic, or an OAuth 2 POST) and comes back with
a bearer token. Tokens are JWTs (RFC 7519) signed with ES256 (RFC 7518).
"""

from __future__ import annotations

import base64
import binascii
import json
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from threading import Lock
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import (
    decode_dss_signature,
    encode_dss_signature,
)
from cryptography.hazmat.primitives.hashes import SHA256
from werkzeug.datastructures import Headers

from fakeregistry.auth import (
    CATALOG,
    TokenAuth,
    basic_credentials,
    is_forbidden,
    same_user,
)
from fakeregistry.errors import RegistryError
from fakeregistry.reply import Reply

if TYPE_CHECKING:
    from fakeregistry.auth import Scope
    from fakeregistry.journal import Exchange

__all__ = ["TokenAccess"]

_ES256: Final = ec.ECDSA(SHA256())
# "If this value is omitted, the default is 60 seconds" (token response fields).
_DEFAULT_LIFE: Final = 60

Claims = Mapping[str, Any]
Pairs = Sequence[tuple[str, str]]


class TokenAccess:
    """Issues tokens and checks them.

    ``realm`` is called when a challenge is due: the port is not known before.
    """

    def __init__(
        self,
        auth: TokenAuth,
        *,
        realm: Callable[[], str],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._auth = auth
        self._realm = realm
        self._clock = clock
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._lock = Lock()
        # Signatures that were checked once, so that a pull checks one.
        self._verified: dict[str, Claims] = {}
        self._refresh: dict[str, str | None] = {}
        self._revoked_before = 0
        self._serial = 0

    # -- the check -----------------------------------------------------------

    def check(
        self, exchange: Exchange, scope: Scope | None, *, also: Scope | None = None
    ) -> None:
        """Let a request with a valid token for the scope pass.

        Raises:
            RegistryError: 401 with a challenge that says what is wrong.
        """
        error = self._problem(exchange, scope)
        if error is None and also is not None and self.grants(also):
            error = self._problem(exchange, also)
        if error is not None:
            raise self._unauthorized((scope, also), error)

    def allows(self, exchange: Exchange, scope: Scope) -> bool:
        """Say whether the request's token covers the scope, too."""
        return self._problem(exchange, scope) is None

    def grants(self, scope: Scope) -> bool:
        """Say whether a token covers the scope if it is asked for."""
        return self._granted(scope.kind, scope.name, scope.actions) == list(
            scope.actions
        )

    def _problem(self, exchange: Exchange, scope: Scope | None) -> str | None:
        """Say why a request may not; empty when it has no token at all."""
        scheme, _, token = exchange.request_headers.get("Authorization").partition(" ")
        if scheme.lower() != "bearer":
            return ""
        claims = self._verify(token.strip())
        if claims is None:
            return "invalid_token"
        if scope is not None and not _covers(claims, scope):
            return "insufficient_scope"
        return None

    def revoke(self) -> None:
        """Make every token issued so far invalid; refresh tokens stay."""
        with self._lock:
            self._revoked_before = self._serial

    def _unauthorized(
        self, scopes: Sequence[Scope | None], error: str
    ) -> RegistryError:
        text = self._auth.scope
        if text is None:
            text = " ".join(str(scope) for scope in scopes if scope is not None)
        parts = {
            "realm": self._auth.realm or self._realm(),
            "service": self._auth.service,
            "scope": text,
            "error": error,
        }
        challenge = ",".join(
            f'{name}="{value}"' for name, value in parts.items() if value
        )
        return RegistryError(
            "UNAUTHORIZED", 401, headers={"WWW-Authenticate": f"Bearer {challenge}"}
        )

    def _verify(self, token: str) -> Claims | None:
        claims = self._verified.get(token) or self._decode(token)
        if claims is None:
            return None
        self._verified[token] = claims
        now = self._clock()
        valid = (
            (not self._auth.service or claims["aud"] == self._auth.service)
            and claims["nbf"] <= now < claims["exp"]
            and claims["serial"] > self._revoked_before
        )
        return claims if valid else None

    def _decode(self, token: str) -> Claims | None:
        signed, _, signature = token.rpartition(".")
        try:
            raw = _unbase64(signature)
            r, s = int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big")
            self._key.public_key().verify(
                encode_dss_signature(r, s), signed.encode(), _ES256
            )
        except (InvalidSignature, ValueError):
            return None
        claims: Claims = json.loads(_unbase64(signed.partition(".")[2]))
        return claims

    # -- the endpoint --------------------------------------------------------

    def endpoint(self, exchange: Exchange) -> Reply:
        """Answer GET and POST on ``/token``."""
        if exchange.method == "POST":
            return self._post(exchange)
        if exchange.method not in {"GET", "HEAD"}:
            raise RegistryError("UNSUPPORTED", 405, headers={"Allow": "GET, POST"})
        fields = parse_qsl(exchange.query, keep_blank_values=True)
        header = exchange.request_headers.get("Authorization")
        user = self._login(basic_credentials(header), anonymous=not header)
        offline = _field(fields, "offline_token").lower() in {"1", "true"}
        return self._answer(fields, user, offline=offline)

    def _post(self, exchange: Exchange) -> Reply:
        if self._auth.oauth_post != "ok":
            raise RegistryError("UNSUPPORTED", self._auth.oauth_post)
        body = exchange.request_body.decode("utf-8", "replace")
        fields = parse_qsl(body, keep_blank_values=True)
        grant = _field(fields, "grant_type")
        if grant == "password":
            given = _field(fields, "username"), _field(fields, "password")
            user = self._login(given, anonymous=False)
        elif grant == "refresh_token":
            user = self._redeem(_field(fields, "refresh_token"))
        else:
            raise RegistryError("UNSUPPORTED", 400, message="unsupported grant_type")
        offline = _field(fields, "access_type") == "offline"
        return self._answer(fields, user, offline=offline or grant == "refresh_token")

    def _login(self, given: tuple[str, str] | None, *, anonymous: bool) -> str | None:
        username, password = self._auth.username, self._auth.password
        if username is None or password is None:
            return None if given is None else given[0]
        if anonymous or given is None or not same_user(given, username, password):
            raise RegistryError(
                "UNAUTHORIZED",
                401,
                headers={"WWW-Authenticate": f'Basic realm="{self._auth.service}"'},
            )
        return username

    def _redeem(self, token: str) -> str | None:
        with self._lock:
            if token not in self._refresh:
                raise RegistryError("UNAUTHORIZED", 401)
            return self._refresh[token]

    def _answer(self, fields: Pairs, user: str | None, *, offline: bool) -> Reply:
        now = int(self._clock())
        token = self._sign(self._claims(fields, user, now))
        document: dict[str, Any] = {}
        if self._auth.token_field != "access_token":  # noqa: S105 - a field's name
            document["token"] = token
        if self._auth.token_field != "token":  # noqa: S105 - a field's name
            document["access_token"] = token
        if self._auth.expires_in is not None:
            document["expires_in"] = self._auth.expires_in
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now))
        document["issued_at"] = stamp
        if offline:
            document["refresh_token"] = self._new_refresh(fields, user)
        body = json.dumps(document, separators=(",", ":")).encode()
        headers = Headers(
            [("Content-Type", "application/json"), ("Cache-Control", "no-store")]
        )
        return Reply(200, headers, body, len(body))

    def _new_refresh(self, fields: Pairs, user: str | None) -> str:
        given = _field(fields, "refresh_token")
        with self._lock:
            if given in self._refresh:
                return given
            token = secrets.token_urlsafe(24)
            self._refresh[token] = user
            return token

    def _claims(self, fields: Pairs, user: str | None, now: int) -> Claims:
        with self._lock:
            self._serial += 1
            serial = self._serial
        return {
            "iss": "fakeregistry",
            "sub": user or "",
            "aud": _field(fields, "service") or self._auth.service,
            "iat": now,
            "nbf": now,
            "exp": now + (self._auth.expires_in or _DEFAULT_LIFE),
            "jti": secrets.token_hex(8),
            "serial": serial,
            "access": self._access(fields),
        }

    def _access(self, fields: Pairs) -> list[dict[str, Any]]:
        scopes = [
            scope
            for name, value in fields
            if name == "scope"
            for scope in value.split()
        ]
        granted = []
        for scope in scopes:
            kind, _, rest = scope.partition(":")
            name, _, actions = rest.rpartition(":")
            if allowed := self._granted(kind, name, actions.split(",")):
                granted.append({"type": kind, "name": name, "actions": allowed})
        return granted

    def _granted(self, kind: str, name: str, actions: Sequence[str]) -> list[str]:
        if kind == CATALOG.kind and name == CATALOG.name:
            return [action for action in actions if action in CATALOG.actions]
        if kind != "repository" or is_forbidden(self._auth.forbidden, name):
            return []
        if "*" in actions:
            return list(self._auth.actions)
        return [action for action in actions if action in self._auth.actions]

    def _sign(self, claims: Claims) -> str:
        header = {"typ": "JWT", "alg": "ES256"}
        signed = f"{_segment(header)}.{_segment(claims)}"
        r, s = decode_dss_signature(self._key.sign(signed.encode(), _ES256))
        signature = r.to_bytes(32, "big") + s.to_bytes(32, "big")
        return f"{signed}.{_base64(signature)}"


def _covers(claims: Claims, scope: Scope) -> bool:
    allowed = {
        action
        for entry in claims["access"]
        if entry["type"] == scope.kind and entry["name"] == scope.name
        for action in entry["actions"]
    }
    return allowed.issuperset(scope.actions)


def _field(fields: Pairs, name: str) -> str:
    return next((value for key, value in fields if key == name), "")


def _segment(document: Claims) -> str:
    return _base64(json.dumps(document, separators=(",", ":")).encode())


def _base64(data: bytes) -> str:
    """Encode as RFC 7515 section 2 says: URL-safe, without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _unbase64(text: str) -> bytes:
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_")
    except (binascii.Error, ValueError) as err:
        raise ValueError("no base64url") from err
