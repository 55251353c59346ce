"""The journal as an HTTP Archive, for the tools that read those.

    registry.journal.save_har("pull.har")

HAR 1.2 (http://www.softwareishard.com/blog/har-12-spec/). Secrets are left out
unless ``redact=False``. Bodies of responses are not recorded: ``content`` has
their size alone. What the format has no place for stands in fields of our own,
which begin with an underscore: ``_server``, ``_outcome``, ``_faults``.
"""

from __future__ import annotations

import base64
import time
from datetime import UTC, datetime
from http import HTTPStatus
from importlib import metadata
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl

from fakeregistry.redaction import (
    redact_header,
    redact_json,
    redact_query,
    redact_url,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fakeregistry.journal import Exchange, HeaderList, Journal

__all__ = ["started_at", "to_har"]

Document = dict[str, Any]

_PHRASES: Final = {int(status): status.phrase for status in HTTPStatus}
_FORM: Final = "application/x-www-form-urlencoded"


def to_har(journal: Journal, *, redact: bool = True) -> Document:
    """Return what a journal holds as a HAR document."""
    return {
        "log": {
            "version": "1.2",
            "creator": {"name": "fakeregistry", "version": _version()},
            "entries": [
                _entry(exchange, journal.schemes, redact=redact) for exchange in journal
            ],
        }
    }


def started_at(exchange: Exchange) -> str:
    """Return when a request arrived, as ISO 8601 with milliseconds."""
    moment = time.time() - time.monotonic() + exchange.started
    stamp = datetime.fromtimestamp(moment, tz=UTC)
    return stamp.isoformat(timespec="milliseconds")


def _version() -> str:
    try:
        return metadata.version("oci-pull-conformance")
    except metadata.PackageNotFoundError:
        return "0"


def _entry(exchange: Exchange, schemes: Mapping[str, str], *, redact: bool) -> Document:
    timings = _timings(exchange)
    return {
        "startedDateTime": started_at(exchange),
        "time": sum(value for value in timings.values() if value > 0),
        "request": _request(exchange, schemes[exchange.server], redact=redact),
        "response": _response(exchange, redact=redact),
        "cache": {},
        "timings": timings,
        "connection": str(exchange.connection),
        "_server": exchange.server,
        "_outcome": exchange.outcome,
        "_faults": list(exchange.faults),
    }


def _timings(exchange: Exchange) -> dict[str, float]:
    """Split the time in milliseconds; -1 stands for what does not apply."""
    now = time.monotonic()
    finished = now if exchange.finished is None else exchange.finished
    answered = finished if exchange.answered is None else exchange.answered
    return {
        "blocked": -1,
        "dns": -1,
        "connect": -1,
        "ssl": -1,
        "send": 0,
        "wait": _milliseconds(answered - exchange.started),
        "receive": _milliseconds(finished - answered),
    }


def _milliseconds(seconds: float) -> float:
    return round(max(seconds, 0.0) * 1000, 3)


def _request(exchange: Exchange, scheme: str, *, redact: bool) -> Document:
    headers = exchange.request_headers
    host = headers.get("Host", "localhost")
    target = exchange.target
    if not target.startswith("/"):
        target = f"{exchange.path}?{exchange.query}".rstrip("?")
    url = f"{scheme}://{host}{target}"
    query = redact_query(exchange.query) if redact else exchange.query
    first_line = f"{exchange.method} {exchange.target} HTTP/1.1\r\n"
    document: Document = {
        "method": exchange.method,
        "url": redact_url(url) if redact else url,
        "httpVersion": "HTTP/1.1",
        "cookies": _cookies(headers.get_all("Cookie"), redact=redact),
        "headers": _headers(headers, redact=redact),
        "queryString": _pairs(query),
        "headersSize": _head_size(first_line, headers),
        "bodySize": exchange.body.size,
    }
    if exchange.body.size:
        document["postData"] = _post_data(exchange, redact=redact)
    return document


def _response(exchange: Exchange, *, redact: bool) -> Document:
    headers = exchange.response_headers
    location = headers.get("Location")
    phrase = _PHRASES.get(exchange.status, "")
    first_line = f"{exchange.version} {exchange.status} {phrase}\r\n"
    return {
        "status": exchange.status,
        "statusText": phrase,
        "httpVersion": exchange.version,
        "cookies": _cookies(headers.get_all("Set-Cookie"), redact=redact),
        "headers": _headers(headers, redact=redact),
        "content": {
            "size": exchange.body_sent,
            "mimeType": headers.get("Content-Type", "x-unknown"),
            "comment": "not recorded",
        },
        "redirectURL": redact_url(location) if redact else location,
        "headersSize": _head_size(first_line, headers) if exchange.status else -1,
        "bodySize": exchange.body_sent,
    }


def _headers(headers: HeaderList, *, redact: bool) -> list[Document]:
    return [
        {"name": name, "value": redact_header(name, value) if redact else value}
        for name, value in headers
    ]


def _pairs(query: str) -> list[Document]:
    pairs = parse_qsl(query, keep_blank_values=True)
    return [{"name": name, "value": value} for name, value in pairs]


def _cookies(values: tuple[str, ...], *, redact: bool) -> list[Document]:
    """List cookies by name; attributes of Set-Cookie stay in its header."""
    found = []
    for value in values:
        name, _, text = value.partition(";")[0].partition("=")
        shown = redact_header("Cookie", text) if redact else text
        found.append({"name": name.strip(), "value": shown})
    return found


def _head_size(first_line: str, headers: HeaderList) -> int:
    """Return the bytes from the first line to the empty one."""
    lines = (len(name) + len(value) + 4 for name, value in headers)
    return len(first_line) + sum(lines) + 2


def _post_data(exchange: Exchange, *, redact: bool) -> Document:
    """Describe a request's body; what cannot be redacted is left out."""
    media_type = exchange.request_headers.get("Content-Type")
    data = exchange.request_body
    described: Document = {"mimeType": media_type}
    if len(data) < exchange.body.size:
        described["comment"] = f"the first {len(data)} of {exchange.body.size} bytes"
    if media_type.partition(";")[0].strip().lower() == _FORM:
        form = data.decode("utf-8", "replace")
        return {**described, "params": _pairs(redact_query(form) if redact else form)}
    text = _text(data)
    if not redact:
        if text is None:
            encoded = base64.b64encode(data).decode()
            return {**described, "text": encoded, "_encoding": "base64"}
        return {**described, "text": text}
    shown = None if text is None else redact_json(text)
    if shown is None:
        comment = "left out: it is no form and no JSON, and may hold secrets"
        return {**described, "text": "", "comment": comment}
    return {**described, "text": shown}


def _text(data: bytes) -> str | None:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return None
