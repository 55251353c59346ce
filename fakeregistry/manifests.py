"""Manifests on their way out.

distribution-spec v1.1.1, Pulling manifests.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from werkzeug.datastructures import MIMEAccept
from werkzeug.http import parse_accept_header

from fakeregistry.errors import RegistryError
from fakeregistry.representation import represent
from fakeregistry.store import valid_digest

if TYPE_CHECKING:
    from fakeregistry.journal import Exchange
    from fakeregistry.reply import Reply
    from fakeregistry.store import Repository

__all__ = ["get_manifest", "unknown_manifest"]


def get_manifest(
    repository: Repository, reference: str, exchange: Exchange, *, strict_accept: bool
) -> Reply:
    """Answer with a manifest as it was stored, whatever the client accepts.

    With ``strict_accept`` a media type that the client does not accept is
    unknown to it.

    Raises:
        RegistryError: It is not there, or cannot be.
    """
    stored = repository.manifest(reference)
    if stored is None:
        raise unknown_manifest(reference)
    if strict_accept and not accepts(exchange, stored.media_type):
        raise RegistryError(
            "MANIFEST_UNKNOWN",
            404,
            message=f"{stored.media_type} found, but not accepted by the client",
            detail={"reference": reference},
        )
    return represent(exchange, stored)


def unknown_manifest(reference: str) -> RegistryError:
    """Say that a manifest is not there, or that its digest cannot be one."""
    if ":" in reference and not valid_digest(reference):
        return RegistryError("DIGEST_INVALID", 400, detail={"digest": reference})
    return RegistryError("MANIFEST_UNKNOWN", 404, detail={"reference": reference})


def accepts(exchange: Exchange, media_type: str) -> bool:
    """Say whether the Accept headers allow a media type; none allow all."""
    values = exchange.request_headers.get_all("Accept")
    if not values:
        return True
    accepted = parse_accept_header(",".join(values), MIMEAccept)
    return accepted.quality(media_type.partition(";")[0].strip()) > 0
