"""Secrets, taken out of what is shown and exported.

Tests need what clients sent, and the journal keeps it; whatever goes to a log,
a report or a file goes through here first.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode

__all__ = [
    "REDACTED",
    "mask_json",
    "redact_header",
    "redact_json",
    "redact_query",
    "redact_url",
]

REDACTED: Final = "[redacted]"
_SECRET_HEADERS: Final = frozenset(
    {
        "authorization",
        "proxy-authorization",
        "cookie",
        "set-cookie",
        "authentication-info",
        "x-registry-auth",
    }
)
_URL_HEADERS: Final = frozenset({"location", "content-location", "referer", "link"})
_SECRET_WORDS: Final = (
    "signature",
    "token",
    "password",
    "passwd",
    "credential",
    "secret",
    "assertion",
    "api-key",
    "api_key",
)
_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9-]*) +\S")
_USER: Final = re.compile(r"(?<=://)[^/?#@]*@")
_QUERY: Final = re.compile(r"\?([^#>]*)")
_STRING: Final = r'((?:[^"\\]|\\.)*)'
# The text may end anywhere: also in the middle of a secret.
_MEMBER: Final = re.compile(rf'("{_STRING}"\s*:\s*"){_STRING}', re.DOTALL)


def is_secret(name: str) -> bool:
    """Say whether a field of this name may hold a secret."""
    folded = name.lower()
    return any(word in folded for word in _SECRET_WORDS)


def redact_header(name: str, value: str) -> str:
    """Return a header's value without secrets; the scheme of credentials stays."""
    folded = name.lower()
    if folded in _SECRET_HEADERS or is_secret(name):
        scheme = _SCHEME.match(value) if folded.endswith("authorization") else None
        return f"{scheme[1]} {REDACTED}" if scheme else REDACTED
    return redact_url(value) if folded in _URL_HEADERS else value


def redact_query(query: str) -> str:
    """Return a query, or a form, without secrets; one without any stays as it is."""
    pairs = parse_qsl(query, keep_blank_values=True)
    if not any(is_secret(key) for key, _ in pairs):
        return query
    return urlencode(
        [(key, REDACTED if is_secret(key) else value) for key, value in pairs],
        safe="[]:/,",
    )


def redact_url(url: str) -> str:
    """Return a URL without the secrets of its query and its user."""
    url = _USER.sub(f"{REDACTED}@", url)
    return _QUERY.sub(lambda match: f"?{redact_query(match[1])}", url)


def redact_json(text: str) -> str | None:
    """Return a JSON text without secrets; None if it is none."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return None
    cleaned = _clean(document)
    return text if cleaned == document else json.dumps(cleaned)


def mask_json(data: bytes) -> bytes:
    """Return JSON, or its beginning, with secrets written over.

    Every other byte stays where it is, so that lengths that were announced hold.
    """

    def mask(match: re.Match[str]) -> str:
        if not is_secret(_unescaped(match[2])):
            return match[0]
        length = len(match[3])
        return match[1] + REDACTED.ljust(length, "*")[:length]

    return _MEMBER.sub(mask, data.decode("latin-1")).encode("latin-1")


def _unescaped(name: str) -> str:
    try:
        return str(json.loads(f'"{name}"'))
    except ValueError:
        return name


def _clean(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    if isinstance(value, dict):
        return {
            key: REDACTED if is_secret(key) and isinstance(item, str) else _clean(item)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [_clean(item) for item in value]
    return value
