"""Blobs: ``GET`` and ``HEAD /v2/<name>/blobs/<digest>``.

distribution-spec v1.1.1, Pulling blobs, with ranges as RFC 9110 section 14 has
them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fakeregistry.errors import RegistryError
from fakeregistry.ranges import cut_to_ranges
from fakeregistry.representation import parse_date, represent
from fakeregistry.store import valid_digest

if TYPE_CHECKING:
    from fakeregistry.journal import Exchange
    from fakeregistry.reply import Reply
    from fakeregistry.store import Repository, Stored

__all__ = ["get_blob", "serve_blob"]

_HEADERS: Final = (
    ("Accept-Ranges", "bytes"),
    ("Cache-Control", "max-age=31536000"),
)


def get_blob(
    repository: Repository, digest: str, exchange: Exchange, *, multiple: bool = True
) -> Reply:
    """Answer with a blob, or parts of it.

    Raises:
        RegistryError: It is not there, or the range is not satisfiable.
    """
    stored = repository.blobs.get(digest)
    if stored is None:
        raise unknown_blob(digest)
    return serve_blob(stored, exchange, multiple=multiple)


def unknown_blob(digest: str) -> RegistryError:
    """Say that a blob is not there, or that its digest cannot be one."""
    if not valid_digest(digest):
        return RegistryError("DIGEST_INVALID", 400, detail={"digest": digest})
    return RegistryError("BLOB_UNKNOWN", 404, detail={"digest": digest})


def serve_blob(stored: Stored, exchange: Exchange, *, multiple: bool = True) -> Reply:
    """Answer with stored bytes, ranges obeyed.

    Args:
        stored: What to answer with.
        exchange: The request.
        multiple: Whether several ranges at once are answered as such.

    Raises:
        RegistryError: 416, with the size in Content-Range; 412.
    """
    reply = represent(exchange, stored, *_HEADERS)
    if reply.status != 200 or exchange.method != "GET" or exchange.range is None:
        return reply
    if _range_applies(exchange, stored):
        cut_to_ranges(reply, exchange.range, multiple=multiple)
    return reply


def _range_applies(exchange: Exchange, stored: Stored) -> bool:
    """Evaluate If-Range, strongly (RFC 9110 section 13.1.5)."""
    condition = exchange.request_headers.get("If-Range").strip()
    if not condition:
        return True
    if condition.startswith(('"', "W/")):
        return condition == stored.etag
    return parse_date(condition) == stored.modified
