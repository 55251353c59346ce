"""Mirrors: containerd v1.5.18 remotes/docker/auth/parse.go.

What a 401 asks for (RFC 9110 section 11):

    >>> [one] = parse_auth_header(['Bearer realm="https://a/token",service="s"'])
    >>> one.scheme.name, one.parameters["service"]
    ('BEARER', 's')
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

__all__ = ["AuthenticationScheme", "Challenge", "parse_auth_header"]

_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]*")
_SPACE = re.compile(r"[ \t\r\n]*")
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
# One "=" at the end would be a parameter without a value, which Go takes.
_TOKEN68 = re.compile(r"[A-Za-z0-9\-._~+/]+(?:==+)?[ \t]*(?=,)")
_END_OF_SCHEME = re.compile(r"[ \t\r\n,]|\Z")


class AuthenticationScheme(IntEnum):
    """The schemes that are known, the preferred one highest (parse.go:29)."""

    BASIC = 1
    DIGEST = 2
    BEARER = 4


_SCHEMES: Final = {scheme.name.lower(): scheme for scheme in AuthenticationScheme}


@dataclass(frozen=True, slots=True)
class Challenge:
    """One scheme and its parameters; their names are in lower case."""

    scheme: AuthenticationScheme
    parameters: Mapping[str, str]


def parse_auth_header(values: Iterable[str]) -> tuple[Challenge, ...]:
    """Return the challenges of all WWW-Authenticate fields, the preferred first.

    What does not fit the grammar ends the reading of a field; what was read up to
    there counts (parse.go:95).
    """
    challenges = [
        Challenge(_SCHEMES[name], parameters)
        for value in values
        for name, parameters in _Scanner(value).challenges()
        if name in _SCHEMES
    ]
    return tuple(sorted(challenges, key=lambda challenge: -challenge.scheme))


class _Scanner:
    """Reads one field from left to right, never twice."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def challenges(self) -> list[tuple[str, dict[str, str]]]:
        found = []
        scheme = self._token()
        while scheme:
            parameters: dict[str, str] = {}
            found.append((scheme.lower(), parameters))
            # DEVIATION D6: Go reads one challenge of a field and drops the others.
            scheme = self._parameters(parameters)
        return found

    def _parameters(self, parameters: dict[str, str]) -> str:
        """Read parameters; return the scheme of the challenge that follows."""
        self._skip(_SPACE)
        self._skip(_TOKEN68)
        if self._comma():
            return self._token()
        while name := self._token():
            if not self._text.startswith("=", self._at):
                return name if parameters and self._scheme_ends() else ""
            self._at += 1
            parameters[name.lower()] = self._value()
            self._skip(_SPACE)
            if not self._comma():
                break
        return ""

    def _scheme_ends(self) -> bool:
        return _END_OF_SCHEME.match(self._text, self._at) is not None

    def _comma(self) -> bool:
        found = self._text.startswith(",", self._at)
        if found:
            self._at += 1
            self._skip(_SPACE)
        return found

    def _token(self) -> str:
        return self._skip(_TOKEN)

    def _value(self) -> str:
        if not self._text.startswith('"', self._at):
            return self._token()
        quoted = self._skip(_QUOTED)
        if not quoted:
            self._at = len(self._text)
        return _ESCAPED.sub(r"\1", quoted[1:-1])

    def _skip(self, pattern: re.Pattern[str]) -> str:
        match = pattern.match(self._text, self._at)
        if match is None:
            return ""
        self._at = match.end()
        return match[0]
