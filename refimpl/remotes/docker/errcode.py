"""Mirrors: containerd v1.5.18 remotes/docker/errcode.go, errdesc.go.

The error list that registries send as JSON (distribution-spec, Error Codes), as
one line of text:

    >>> describe_errors(b'{"errors":[{"code":"DENIED","message":"no"}]}')
    'denied: no'
"""

import json
from typing import Any, Final

__all__ = ["describe_errors"]

# errdesc.go: the codes that are known by name, with the message that says nothing.
_MESSAGES: Final = {
    "UNKNOWN": "unknown error",
    "UNSUPPORTED": "The operation is unsupported.",
    "UNAUTHORIZED": "authentication required",
    "DENIED": "requested access to the resource is denied",
    "UNAVAILABLE": "service unavailable",
    "TOOMANYREQUESTS": "too many requests",
}

# How much of a registry's own words an error repeats.
_LIMIT: Final = 2048


def describe_errors(body: bytes) -> str:
    """Return what a body says went wrong, or nothing if it is no error list.

    What follows the first JSON value is ignored, as by Go's json.Decoder.
    """
    try:
        document, _ = json.JSONDecoder().raw_decode(body.decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        return ""
    errors = _field(document, "errors")
    if not isinstance(errors, list) or not all(isinstance(e, dict) for e in errors):
        return ""
    lines = [_describe(error) for error in errors]
    text = lines[0] if len(lines) == 1 else "".join(f"{line}\n" for line in lines)
    text = "".join(c for c in text[:_LIMIT] if c == "\n" or c.isprintable())
    return f"errors:\n{text}" if len(lines) > 1 else text


def _describe(error: dict[str, Any]) -> str:
    given = _field(error, "code")
    code = given if isinstance(given, str) and given in _MESSAGES else "UNKNOWN"
    name = code.lower().replace("_", " ")
    message = _field(error, "message") or ""
    if _field(error, "detail") is None and message in ("", _MESSAGES[code]):
        return name
    return f"{name}: {message}"


def _field(document: object, name: str) -> Any:  # noqa: ANN401 - the JSON edge
    """Return a member by its name in any case, as encoding/json finds it."""
    if not isinstance(document, dict):
        return None
    found = None
    for key, value in document.items():
        if key.lower() == name:
            found = value
    return found
