"""Manifests going in, and everything going out for good.

distribution-spec v1.1.1, Pushing Manifests and Content Management; the ``tag``
parameter is that of its next version.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from werkzeug.datastructures import Headers

from fakeregistry.blobs import unknown_blob
from fakeregistry.checks import (
    check_manifest,
    parse_manifest,
    subject_of,
    type_of,
)
from fakeregistry.errors import RegistryError
from fakeregistry.manifests import unknown_manifest
from fakeregistry.reply import Reply
from fakeregistry.representation import check_preconditions
from fakeregistry.spool import known_digest
from fakeregistry.store import Repository, valid_tag

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fakeregistry.features import Features
    from fakeregistry.journal import Exchange
    from fakeregistry.routes import Route
    from fakeregistry.store import Store

__all__ = ["Contents"]


class Contents:
    """Takes manifests, and deletes what is there.

    Args:
        store: Where they go.
        features: What is switched off, and how much is checked.
    """

    def __init__(self, store: Store, features: Features) -> None:
        self._store = store
        self._features = features

    def put_manifest(self, route: Route, exchange: Exchange) -> Reply:
        """Store a manifest byte for byte, under its digest and its tags.

        Raises:
            RegistryError: It is not what it says, or refers to what is not there.
        """
        tags = self._tags(route, exchange)
        repository = self._store.repository(route.name) or Repository(route.name)
        check_preconditions(exchange, repository.manifest(route.reference))
        data = exchange.body.read(self._features.manifest_limit)
        if data is None:
            limit = self._features.manifest_limit
            raise RegistryError(
                "SIZE_INVALID", 413, message=f"a manifest has at most {limit} bytes"
            )
        document = parse_manifest(data)
        told = exchange.request_headers.get("Content-Type")
        media_type = type_of(document, told)
        if not self._features.lenient:
            check_manifest(document, media_type, repository)
        digest = _digest(data, route.reference)
        subject = subject_of(document)
        self._store.put_tagged(
            route.name, data, media_type=media_type, tags=tags, digest=digest
        )
        headers = Headers([("Docker-Content-Digest", digest)])
        if subject is not None and self._features.referrers:
            headers["OCI-Subject"] = subject
        if ":" in route.reference and tags:
            headers["OCI-Tag"] = ", ".join(tags)
        headers["Location"] = f"/v2/{route.name}/manifests/{digest}"
        return Reply(201, headers)

    def _tags(self, route: Route, exchange: Exchange) -> Sequence[str]:
        """Return the tags to set; they are checked before anything is read."""
        tags = [route.reference]
        if ":" in route.reference:
            if not known_digest(route.reference):
                raise _digest_invalid(route.reference)
            fields = parse_qsl(exchange.query, keep_blank_values=True)
            wanted = self._features.tag_parameters
            tags = [value for name, value in fields if wanted and name == "tag"]
        for tag in tags:
            if not valid_tag(tag):
                raise RegistryError(
                    "MANIFEST_INVALID",
                    400,
                    message="the reference is neither a tag nor a digest",
                    detail={"reference": tag},
                )
        return tuple(dict.fromkeys(tags))

    def delete_manifest(self, route: Route, exchange: Exchange) -> Reply:
        """Forget a tag; or a manifest, and every tag that points to it.

        Raises:
            RegistryError: It is not there, or such things are not deleted here.
        """
        is_digest = ":" in route.reference
        features = self._features
        self._require(features.delete_manifests if is_digest else features.delete_tags)
        repository = self._repository(route)
        stored = repository.manifest(route.reference)
        if stored is None:
            raise unknown_manifest(route.reference)
        check_preconditions(exchange, stored)
        if not self._store.delete_manifest(route.name, route.reference):
            raise unknown_manifest(route.reference)
        return Reply(202)

    def delete_blob(self, route: Route, exchange: Exchange) -> Reply:
        """Forget a blob.

        Raises:
            RegistryError: It is not there, or such things are not deleted here.
        """
        self._require(self._features.delete_blobs)
        repository = self._repository(route)
        stored = repository.blobs.get(route.reference)
        if stored is None:
            raise unknown_blob(route.reference)
        check_preconditions(exchange, stored)
        if not self._store.delete_blob(route.name, route.reference):
            raise unknown_blob(route.reference)
        return Reply(202)

    def _repository(self, route: Route) -> Repository:
        found = self._store.repository(route.name)
        if found is None:
            raise RegistryError("NAME_UNKNOWN", 404, detail={"name": route.name})
        return found

    def _require(self, allowed: bool) -> None:  # noqa: FBT001 - the question itself
        if not allowed:
            raise RegistryError("UNSUPPORTED", 405, headers={"Allow": "GET, HEAD"})


def _digest(data: bytes, reference: str) -> str:
    """Return the digest to store a manifest under; it must be the one given."""
    algorithm, colon, _ = reference.partition(":")
    algorithm = algorithm if colon else "sha256"
    digest = f"{algorithm}:{hashlib.new(algorithm, data).hexdigest()}"
    if colon and digest != reference:
        raise _digest_invalid(reference)
    return digest


def _digest_invalid(digest: str) -> RegistryError:
    return RegistryError("DIGEST_INVALID", 400, detail={"digest": digest})
