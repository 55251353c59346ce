"""Options as documents say them: TOML of scenarios, JSON of the admin API.

Each keyword of a fault, a gate or an image has a reader, which takes the value
of a document and returns the one that Python code would have given. Nothing is
guessed: an unknown key or another type is an error that names the key.
"""

from __future__ import annotations

import base64
import binascii
import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields
from typing import Any, Final

from fakeregistry.features import Features
from fakeregistry.plan import Entry

__all__ = [
    "AUTH",
    "FAULT",
    "FEATURES",
    "GATE",
    "IMAGE",
    "LOAD",
    "REGISTRY",
    "SCHEMA1",
    "DocumentError",
    "Fields",
    "number",
    "read_fields",
    "read_image",
    "read_table",
    "text",
    "unknown_key",
]

Reader = Callable[[Any], Any]
Fields = Mapping[str, Reader]

# Longer waits overflow on some systems, and nobody waits for them.
MAX_SECONDS: Final = 1_000_000
_TYPES: Final = {
    bool: "true or false",
    int: "a number",
    float: "a number",
    str: "a string",
    list: "a list",
    dict: "a table",
    type(None): "null",
}


class DocumentError(ValueError):
    """A document says something that cannot be meant.

    Attributes:
        where: The place in the document, empty for the whole of it.
    """

    def __init__(self, where: str, problem: str) -> None:
        super().__init__(f"{where}: {problem}" if where else problem)
        self.where = where


class _Wrong(Exception):
    """The value has another type than the one that is named."""


def read_fields(document: Mapping[str, Any], known: Fields) -> dict[str, Any]:
    """Read a table key by key.

    Raises:
        DocumentError: A key is unknown, or its value has the wrong type.
    """
    return {key: _read(key, value, known) for key, value in document.items()}


def read_image(document: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Read the arguments of ``Registry.publish``: the reference and the keywords.

    Raises:
        DocumentError: As ``read_fields``, or the reference is missing.
    """
    is_schema1 = document.get("format") == "schema1"
    options = read_fields(document, SCHEMA1 if is_schema1 else IMAGE)
    if "ref" not in options:
        raise DocumentError("ref", "it is missing")
    return options.pop("ref"), options


def read_table(value: object, where: str) -> Mapping[str, Any]:
    """Return the value if it is a table.

    Raises:
        DocumentError: It is none.
    """
    if not isinstance(value, dict):
        raise DocumentError(where, f"a table is needed, not {_type_of(value)}")
    return value


def unknown_key(key: str, known: Iterable[str]) -> DocumentError:
    """Make the error for a key that is not known."""
    names = sorted(known)
    near = difflib.get_close_matches(key, names, n=1)
    hint = f"is it {near[0]}?" if near else f"there are {', '.join(names)}"
    return DocumentError(key, f"unknown key; {hint}")


def _read(key: str, value: object, known: Fields) -> Any:  # noqa: ANN401 - as the reader
    if key not in known:
        raise unknown_key(key, known)
    try:
        return known[key](value)
    except _Wrong as err:
        problem = f"{err} is needed, not {_type_of(value)}"
        raise DocumentError(key, problem) from None
    except DocumentError as err:
        raise DocumentError(key, str(err)) from None


def _type_of(value: object) -> str:
    return _TYPES.get(type(value), f"a {type(value).__name__}")


# -- readers -------------------------------------------------------------------


def text(value: object) -> str:
    """Read a string."""
    if not isinstance(value, str):
        raise _Wrong("a string")
    return value


def number(value: object) -> int:
    """Read a whole number."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise _Wrong("a whole number")
    return value


def seconds(value: object) -> float:
    """Read a number of seconds."""
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        raise _Wrong("a number of seconds")
    if not 0 <= value <= MAX_SECONDS:
        raise DocumentError("", f"{value}: 0 to {MAX_SECONDS} seconds")
    return value


def flag(value: object) -> bool:
    """Read true or false."""
    if not isinstance(value, bool):
        raise _Wrong("true or false")
    return value


def texts(value: object) -> tuple[str, ...]:
    """Read a list of strings."""
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise _Wrong("a list of strings")
    return tuple(value)


def table_of_texts(value: object) -> dict[str, str]:
    """Read a table of strings."""
    if not isinstance(value, dict) or not all(
        isinstance(item, str) for item in value.values()
    ):
        raise _Wrong("a table of strings")
    return value


def data(value: object) -> bytes:
    """Read bytes: a string stands for its UTF-8, ``{base64 = "..."}`` for any."""
    if isinstance(value, str):
        return value.encode()
    if not isinstance(value, dict) or set(value) != {"base64"}:
        raise _Wrong('a string or {base64 = "..."}')
    try:
        return base64.b64decode(text(value["base64"]), validate=True)
    except (binascii.Error, ValueError, _Wrong):
        raise DocumentError("base64", "this is none") from None


def either(first: Reader, second: Reader) -> Reader:
    """Return what reads one of two types."""

    def read(value: object) -> Any:  # noqa: ANN401 - as the readers
        try:
            return first(value)
        except _Wrong as one:
            try:
                return second(value)
            except _Wrong as other:
                raise _Wrong(f"{one} or {other}") from None

    return read


def sequence(reader: Reader, what: str) -> Reader:
    """Return what reads a list of one type."""

    def read(value: object) -> tuple[Any, ...]:
        if not isinstance(value, list):
            raise _Wrong(f"a list of {what}")
        try:
            return tuple(reader(item) for item in value)
        except _Wrong:
            raise _Wrong(f"a list of {what}") from None

    return read


def _headers(value: object) -> dict[str, str | Sequence[str]]:
    if not isinstance(value, dict):
        raise _Wrong("a table of strings or lists of strings")
    reader = either(text, texts)
    return read_fields(value, dict.fromkeys(value, reader))


def _drip(value: object) -> tuple[int, float]:
    if not isinstance(value, list) or len(value) != 2:
        raise _Wrong("a list of bytes and seconds")
    try:
        return number(value[0]), seconds(value[1])
    except _Wrong:
        raise _Wrong("a list of bytes and seconds") from None


def _document(value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _Wrong("a table")
    return value


def _unless_false(value: object) -> int | None:
    if value is False:
        return None
    if not isinstance(value, int) or isinstance(value, bool):
        raise _Wrong("a whole number or false")
    return value


def _entry(value: object) -> Entry:
    if not isinstance(value, dict):
        raise _Wrong("a table")
    return Entry(**read_fields(value, ENTRY))


_layers: Final = either(number, sequence(data, "blobs"))
_platforms: Final = sequence(either(text, _entry), "platforms or tables")
_number_or_true: Final = either(number, flag)

GATE: Final[Fields] = {
    "method": text,
    "path": text,
    "digest": text,
    "reference": text,
    "range": flag,
    "server": text,
    "authorized": flag,
}
FAULT: Final[Fields] = {
    **GATE,
    "times": number,
    "skip": number,
    "nth": number,
    "replied": number,
    "status": number,
    "body": data,
    "headers": _headers,
    "remove_headers": texts,
    "redirect": text,
    "raw": data,
    "change_status": number,
    "replace": data,
    "append": data,
    "shorten": number,
    "flip": number,
    "endless": _number_or_true,
    "encode": text,
    "truncate": number,
    "cut": _number_or_true,
    "reset": _number_or_true,
    "stall": _number_or_true,
    "delay": seconds,
    "drip": _drip,
    "content_range": text,
    "ignore_range": flag,
    "chunked": _number_or_true,
    "chunk_extension": text,
    "close": flag,
    "hang_up": flag,
    "version": text,
    "interim": either(number, sequence(number, "numbers")),
    "lower_case": flag,
}
ENTRY: Final[Fields] = {
    "platform": text,
    "config_platform": text,
    "annotations": table_of_texts,
    "layers": _layers,
    "media_type": text,
    "artifact_type": text,
    "data": data,
    "children": _platforms,
    "attestation": flag,
}
IMAGE: Final[Fields] = {
    "ref": text,
    "layers": _layers,
    "layer_size": number,
    "platforms": _platforms,
    "format": text,
    "legacy_config": flag,
    "compression": text,
    "annotations": table_of_texts,
    "index_annotations": table_of_texts,
    "seed": either(number, text),
    "config": either(_document, data),
    "config_media_type": text,
    "layer_media_type": text,
    "repeat_layers": number,
    "nesting": number,
    "nesting_platform": text,
    "media_type_field": flag,
    "artifact_type": text,
    "subject": text,
    "algorithm": text,
    "document_algorithm": text,
    "embed": texts,
    "manifest_size": number,
    "index_size": number,
}
LOAD: Final[Fields] = {"path": text, "repository": text}
SCHEMA1: Final[Fields] = {
    "ref": text,
    "format": text,
    "layers": _layers,
    "layer_size": number,
    "compression": text,
    "repeat_layers": number,
    "empty_layers": number,
    "mark": text,
    "seed": either(number, text),
    "config": _document,
    "signatures": texts,
    "format_length": number,
    "media_type": text,
    "outside": _document,
}
REGISTRY: Final[Fields] = {
    "host": text,
    "port": number,
    "tls": flag,
    "client_ca": flag,
    "strict_accept": flag,
    "strict_cdn": flag,
    "cdn_tls": flag,
    "cdn_host": text,
    "profile": text,
    "storage": text,
    "record_bodies": flag,
}
FEATURES: Final[Fields] = {
    item.name: flag if isinstance(item.default, bool) else number
    for item in fields(Features)
}
AUTH: Final[Mapping[str, Fields]] = {
    "basic": {
        "kind": text,
        "username": text,
        "password": text,
        "realm": text,
        "forbidden": texts,
        "actions": texts,
    },
    "token": {
        "kind": text,
        "username": text,
        "password": text,
        "service": text,
        "realm": text,
        "scope": text,
        "expires_in": _unless_false,
        "token_field": text,
        "oauth_post": either(number, text),
        "forbidden": texts,
        "actions": texts,
    },
}
