"""The journal as an HTTP Archive, for the tools that read those.

    registry.journal.save_har("pull.har")

HAR 1.2 (http://www.softwareishard.com/blog/har-12-spec/). Secrets are left out
unless ``redact=False``. Bodies of responses are there only of a registry that
records them, ``Registry(record_bodies=True)`` or ``fakeregistry serve
--record-bodies``; without it ``content`` has their size alone. With them the file can
be played back, without the registry (:mod:`fakeregistry.replay`):

    fakeregistry serve --har pull.har

What the format has no place for stands in fields of our own, which begin with an
underscore: ``_server``, ``_outcome``, ``_faults``, and of a recorded response

- ``_framing``: where its body ends, "none", "length", "chunked", "close"; null: what
  was sent is raw bytes, or nothing;
- ``_closes``: the connection ended with it;
- ``_chunks``, ``_chunkExtension``: bytes of each chunk, and the text after its size;
- ``_interim``: status codes of 1xx responses before it;
- ``_missing`` in ``content``: bytes that are not there; of each response the first
  128 MiB are.

``content.text`` is what was handed to the system after all faults, in base64 unless it
is UTF-8. Chunks are joined, but a Content-Encoding is not undone: digests hold. Secrets
in JSON that is neither manifest nor blob, such as tokens, are written over with as many
characters, so that lengths hold; where that is encoded, all of it is.
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
    mask_json,
    redact_header,
    redact_json,
    redact_query,
    redact_url,
)
from fakeregistry.routes import parse_path

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fakeregistry.bodies import Recorded
    from fakeregistry.journal import Exchange, HeaderList, Journal

__all__ = ["merged_har", "started_at", "to_har"]

Document = dict[str, Any]

_PHRASES: Final = {int(status): status.phrase for status in HTTPStatus}
_FORM: Final = "application/x-www-form-urlencoded"


def to_har(journal: Journal, *, redact: bool = True) -> Document:
    """Return what a journal holds as a HAR document."""
    return merged_har({"registry": journal}, redact=redact)


def merged_har(journals: Mapping[str, Journal], *, redact: bool = True) -> Document:
    """Return what several journals hold as one document, in order of arrival.

    Args:
        journals: By the name of their registry, such as "registry 2"; its CDN is
            called by the same name with "cdn" in place of "registry".
        redact: Leave secrets out.
    """
    found = [
        (exchange, name, journal)
        for name, journal in journals.items()
        for exchange in journal
    ]
    found.sort(key=lambda item: item[0].started)
    return {
        "log": {
            "version": "1.2",
            "creator": {"name": "fakeregistry", "version": _version()},
            "_servers": {
                _server(name, server): url
                for name, journal in journals.items()
                for server, url in journal.urls.items()
            },
            "entries": [
                _entry(exchange, name, journal, redact=redact)
                for exchange, name, journal in found
            ],
        }
    }


def _server(name: str, server: str) -> str:
    return name if server == "registry" else name.replace("registry", server)


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


def _entry(
    exchange: Exchange, name: str, journal: Journal, *, redact: bool
) -> Document:
    scheme = journal.schemes[exchange.server]
    recorded = journal.recorded.get(exchange.index)
    timings = _timings(exchange)
    return {
        "startedDateTime": started_at(exchange),
        "time": sum(value for value in timings.values() if value > 0),
        "request": _request(exchange, scheme, redact=redact),
        "response": _response(exchange, recorded, redact=redact),
        "cache": {},
        "timings": timings,
        "connection": str(exchange.connection),
        "_server": _server(name, exchange.server),
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


def _response(
    exchange: Exchange, recorded: Recorded | None, *, redact: bool
) -> Document:
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
        "content": _content(exchange, recorded, redact=redact),
        "redirectURL": redact_url(location) if redact else location,
        "headersSize": _head_size(first_line, headers) if exchange.status else -1,
        "bodySize": exchange.body_sent,
        **({} if recorded is None else _wire(recorded)),
    }


def _content(
    exchange: Exchange, recorded: Recorded | None, *, redact: bool
) -> Document:
    media_type = exchange.response_headers.get("Content-Type", "x-unknown")
    made: Document = {"size": exchange.body_sent, "mimeType": media_type}
    if recorded is None:
        return {**made, "comment": "not recorded"}
    body = recorded.body()
    if redact and not _is_content(exchange):
        encoded = exchange.response_headers.get("Content-Encoding", "identity")
        body = mask_json(body) if encoded == "identity" else b"*" * len(body)
    if recorded.cut:
        made["_missing"] = recorded.cut
        made["comment"] = f"the first {len(body)} bytes; {recorded.cut} are missing"
    text = _text(body)
    if text is not None:
        return {**made, "text": text}
    return {**made, "text": base64.b64encode(body).decode(), "encoding": "base64"}


def _is_content(exchange: Exchange) -> bool:
    """Say whether a digest is to hold of the body."""
    route = parse_path(exchange.path)
    served = route is not None and route.endpoint in {"manifests", "blobs"}
    return served and exchange.status in {200, 206}


def _wire(recorded: Recorded) -> Document:
    made: Document = {"_framing": recorded.framing, "_closes": recorded.closes}
    if recorded.framing == "chunked":
        made["_chunks"] = [len(chunk) for chunk in recorded.chunks()]
        made["_chunkExtension"] = recorded.extension
    if recorded.interim:
        made["_interim"] = list(recorded.interim)
    return made


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
