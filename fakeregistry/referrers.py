"""Referrers: what says of itself that it belongs to a manifest.

distribution-spec v1.1.1, Listing Referrers. Where a registry has no such API,
clients keep the same list under a tag (Referrers Tag Schema).
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from werkzeug.datastructures import Headers

from fakeregistry.errors import RegistryError
from fakeregistry.image import OCI_INDEX
from fakeregistry.listing import fields_of, json_reply, next_link
from fakeregistry.store import valid_digest

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from fakeregistry.journal import Exchange
    from fakeregistry.reply import Reply
    from fakeregistry.store import Repository, Store, Stored

__all__ = [
    "Referrer",
    "fallback_tag",
    "list_referrers",
    "referrers_of",
    "update_tag",
    "update_tags",
]

_NOT_IN_TAGS: Final = re.compile(r"[^a-zA-Z0-9._-]")


@dataclass(frozen=True, slots=True)
class Referrer:
    """A manifest with a subject.

    Attributes:
        subject: Digest of what it belongs to.
        descriptor: Its entry in the list.
    """

    subject: str
    descriptor: dict[str, Any]

    @property
    def artifact_type(self) -> str | None:
        """What kind of artifact it is."""
        found: str | None = self.descriptor.get("artifactType")
        return found


def list_referrers(
    repository: Repository | None,
    digest: str,
    exchange: Exchange,
    *,
    page_size: int | None = None,
) -> Reply:
    """Answer with an index of the manifests whose subject the digest is.

    "If the registry supports the referrers API, the registry MUST NOT return a 404
    Not Found": a repository that is unknown has an empty list, too.

    Raises:
        RegistryError: The digest is malformed.
    """
    if not valid_digest(digest):
        raise RegistryError("DIGEST_INVALID", 400, detail={"digest": digest})
    fields = fields_of(exchange)
    found = () if repository is None else referrers_of(repository, digest)
    headers = Headers([("Content-Type", OCI_INDEX)])
    wanted = fields.get("artifactType")
    if wanted:
        found = tuple(item for item in found if item.artifact_type == wanted)
        headers["OCI-Filters-Applied"] = "artifactType"
    entries = [item.descriptor for item in found]
    if last := fields.get("last"):
        entries = [entry for entry in entries if entry["digest"] > last]
    if page_size is not None and page_size < len(entries):
        entries = entries[:page_size]
        query = {"artifactType": wanted} if wanted else {}
        link = next_link(exchange, **query, last=entries[-1]["digest"])
        headers["Link"] = link
    return json_reply(_index(entries), headers)


def referrers_of(repository: Repository, digest: str) -> tuple[Referrer, ...]:
    """Find the manifests with a subject, in the order of their digests."""
    found = (_referrer(repository, stored) for stored in _manifests(repository))
    return tuple(item for item in found if item is not None and item.subject == digest)


def fallback_tag(digest: str) -> str:
    """Return the tag of the Referrers Tag Schema."""
    algorithm, _, value = digest.partition(":")
    return _NOT_IN_TAGS.sub("-", f"{algorithm[:32]}-{value[:64]}")


def update_tags(store: Store, repository: str, digests: Iterable[str]) -> None:
    """Put what was pushed on the lists of their subjects, as clients do.

    For a registry without the API: what has no subject needs nothing.
    """
    found = store.repository(repository)
    if found is None:
        return
    noted = (_referrer(found, found.manifests[digest]) for digest in digests)
    for subject in {item.subject for item in noted if item is not None}:
        update_tag(store, repository, subject)


def update_tag(store: Store, repository: str, subject: str) -> str:
    """Keep the list of referrers under a tag, as clients do; return the tag."""
    found = store.repository(repository)
    listed = () if found is None else referrers_of(found, subject)
    document = _index([item.descriptor for item in listed])
    data = json.dumps(document, separators=(",", ":")).encode()
    tag = fallback_tag(subject)
    store.put_manifest(repository, data, media_type=OCI_INDEX, tag=tag)
    return tag


def describe(stored: Stored) -> Referrer | None:
    """Read a manifest's subject and what else the list tells; None without one."""
    try:
        document = json.loads(bytes(stored.data))
    except (ValueError, RecursionError):
        return None
    subject = document.get("subject") if isinstance(document, dict) else None
    digest = subject.get("digest") if isinstance(subject, dict) else None
    if not isinstance(digest, str):
        return None
    descriptor: dict[str, Any] = stored.descriptor().to_json()
    config = document.get("config")
    # "If the artifactType is empty or missing in the image manifest, the value of
    # artifactType MUST be set to the config descriptor mediaType value."
    kind = document.get("artifactType") or (
        config.get("mediaType") if isinstance(config, dict) else None
    )
    if isinstance(kind, str):
        descriptor["artifactType"] = kind
    if isinstance(document.get("annotations"), dict):
        descriptor["annotations"] = document["annotations"]
    return Referrer(digest, descriptor)


def _manifests(repository: Repository) -> Sequence[Stored]:
    # The values are copied in one step: other threads push meanwhile.
    return sorted(repository.manifests.values(), key=lambda found: found.digest)


def _referrer(repository: Repository, stored: Stored) -> Referrer | None:
    """Read a manifest once; the store forgets the note when the bytes change."""
    known = repository.notes.get(stored.digest)
    if known is None or known[0] is not stored:
        known = (stored, describe(stored))
        repository.notes[stored.digest] = known
    found: Referrer | None = known[1]
    return found


def _index(entries: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": list(entries)}
