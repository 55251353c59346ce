"""Stored bytes as responses: validators and conditional requests.

RFC 9110 section 13: If-Match and If-Unmodified-Since guard against lost
updates (412), If-None-Match and If-Modified-Since against needless transfers
(304). Entity tags win over dates.
"""

from __future__ import annotations

from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from werkzeug.datastructures import Headers
from werkzeug.http import parse_etags

from fakeregistry.errors import RegistryError
from fakeregistry.reply import Reply

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fakeregistry.journal import Exchange
    from fakeregistry.store import Stored

__all__ = ["check_preconditions", "represent", "require_reading"]


def require_reading(exchange: Exchange) -> None:
    """Refuse what is neither GET nor HEAD.

    Raises:
        RegistryError: 405 UNSUPPORTED.
    """
    if exchange.method not in {"GET", "HEAD"}:
        raise RegistryError("UNSUPPORTED", 405, headers={"Allow": "GET, HEAD"})


def represent(exchange: Exchange, stored: Stored, *headers: tuple[str, str]) -> Reply:
    """Answer with all of the bytes, or 304 when the client has them.

    Raises:
        RegistryError: 412, the client wants them in another state only.
    """
    conditions = _conditions(exchange)
    if conditions:
        _require_match(conditions, stored)
        if _not_modified(conditions, stored):
            return Reply(304, Headers(_validators(stored)))
    described = Headers()
    # One after the other: half the cost of a list.
    described.add("Content-Type", stored.media_type)
    for name, value in (*_validators(stored), *headers):
        described.add(name, value)
    return Reply(200, described, stored.data, stored.size)


def _validators(stored: Stored) -> tuple[tuple[str, str], ...]:
    return (
        ("Docker-Content-Digest", stored.digest),
        ("Etag", stored.etag),
        ("Last-Modified", stored.last_modified),
    )


def check_preconditions(exchange: Exchange, stored: Stored | None) -> None:
    """Evaluate the conditions of a request that changes something.

    Raises:
        RegistryError: 412, what is stored is not what the client takes it for.
    """
    conditions = _conditions(exchange)
    _require_match(conditions, stored)
    tags = conditions.get("if-none-match")
    if tags is not None and stored is not None:
        given = parse_etags(tags)
        if given.star_tag or given.contains_weak(stored.digest):
            raise _failed("If-None-Match")


def _conditions(exchange: Exchange) -> Mapping[str, str]:
    """Return the headers of conditions, by their names in lower case."""
    found: dict[str, str] = {}
    for name, value in exchange.request_headers:
        if name[:3] in {"If-", "if-", "IF-"}:
            key = name.lower()
            found[key] = f"{found[key]}, {value}" if key in found else value
    return found


def _require_match(conditions: Mapping[str, str], stored: Stored | None) -> None:
    """Evaluate If-Match, strongly, or If-Unmodified-Since (section 13.2.2)."""
    tags = conditions.get("if-match")
    if tags is not None:
        given = parse_etags(tags)
        if stored is None or not (given.star_tag or given.is_strong(stored.digest)):
            raise _failed("If-Match")
    elif since := conditions.get("if-unmodified-since"):
        moment = parse_date(since)
        if moment is not None and (stored is None or stored.modified > moment):
            raise _failed("If-Unmodified-Since")


def _not_modified(conditions: Mapping[str, str], stored: Stored) -> bool:
    """Evaluate If-None-Match, weakly, or If-Modified-Since."""
    if tags := conditions.get("if-none-match"):
        return parse_etags(tags).contains_weak(stored.digest)
    if since := conditions.get("if-modified-since"):
        moment = parse_date(since)
        return moment is not None and stored.modified <= moment
    return False


def _failed(condition: str) -> RegistryError:
    return RegistryError("UNSUPPORTED", 412, message=f"{condition} does not hold")


def parse_date(text: str) -> float | None:
    """Parse an HTTP date to seconds since the epoch; None if it is none."""
    try:
        return parsedate_to_datetime(text).timestamp()
    except (ValueError, OverflowError):
        return None
