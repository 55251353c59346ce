"""Lists of tags and of repositories, page by page.

distribution-spec v1.1.1, Listing Tags; ``/v2/_catalog`` is Docker's (Registry
HTTP API V2, Listing Repositories).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlencode

from werkzeug.datastructures import Headers

from fakeregistry.errors import RegistryError
from fakeregistry.reply import Reply

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from fakeregistry.journal import Exchange
    from fakeregistry.store import Repository

__all__ = ["fields_of", "json_reply", "list_repositories", "list_tags", "next_link"]


def list_tags(
    repository: Repository, exchange: Exchange, *, page_size: int | None = None
) -> Reply:
    """Answer with the tags in lexical order, ``n`` of them after ``last``.

    "Lexical order (i.e. case-insensitive alphanumeric order)".

    Raises:
        RegistryError: ``n`` is no number.
    """
    tags, headers = _page(tuple(repository.tags), exchange, page_size)
    return json_reply({"name": repository.name, "tags": tags}, headers)


def list_repositories(
    names: Iterable[str], exchange: Exchange, *, page_size: int | None = None
) -> Reply:
    """Answer with the names of the repositories, in the same way.

    Raises:
        RegistryError: ``n`` is no number.
    """
    found, headers = _page(names, exchange, page_size)
    return json_reply({"repositories": found}, headers)


def fields_of(exchange: Exchange) -> dict[str, str]:
    """Return the query of a request, the last value of each name."""
    return dict(parse_qsl(exchange.query, keep_blank_values=True))


def json_reply(document: object, headers: Headers | None = None) -> Reply:
    """Answer with JSON."""
    body = json.dumps(document, separators=(",", ":")).encode()
    headers = Headers() if headers is None else headers
    headers.setdefault("Content-Type", "application/json")
    return Reply(200, headers, body, len(body))


def next_link(exchange: Exchange, **fields: object) -> str:
    """Return a Link header to the next page (RFC 8288)."""
    return f'<{exchange.target.partition("?")[0]}?{urlencode(fields)}>; rel="next"'


def _page(
    names: Iterable[str], exchange: Exchange, page_size: int | None
) -> tuple[Sequence[str], Headers]:
    """Pick the names that are asked for; point to those that are left."""
    fields, headers = fields_of(exchange), Headers()
    found = sorted(names, key=_order)
    if last := fields.get("last"):
        found = [name for name in found if _order(name) > _order(last)]
    size = _number(fields["n"]) if "n" in fields else None
    if page_size is not None:
        size = page_size if size is None else min(size, page_size)
    if size is None or size >= len(found):
        return found, headers
    # "When n is zero, this endpoint MUST return an empty list, and MUST NOT include
    # a Link header."
    if size:
        headers["Link"] = next_link(exchange, n=size, last=found[size - 1])
    return found[:size], headers


def _order(name: str) -> tuple[str, str]:
    return name.lower(), name


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise RegistryError(
            "UNSUPPORTED", 400, message="n is not a number", detail={"n": text}
        )
    return int(text)
