"""Blobs on their way in: sessions, chunks, mounts.

distribution-spec v1.1.1, Pushing blobs and Mounting a blob from another
repository; cancelling is that of its next version.

    POST /v2/<name>/blobs/uploads/           begin, or all at once, or mount
    PATCH, GET, PUT, DELETE <location>       a chunk, how far, the end, no more
"""

from __future__ import annotations

import re
import secrets
import uuid
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING, Final

from werkzeug.datastructures import Headers

from fakeregistry.errors import RegistryError
from fakeregistry.listing import fields_of
from fakeregistry.reply import Reply
from fakeregistry.spool import LENGTHS, known_digest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from fakeregistry.features import Features
    from fakeregistry.journal import Exchange
    from fakeregistry.routes import Route
    from fakeregistry.spool import Spool
    from fakeregistry.store import Store, Stored

__all__ = ["Uploads"]

# "It MUST match the following regular expression".
_CHUNK: Final = re.compile(r"([0-9]{1,18})-([0-9]{1,18})", re.ASCII)
# Of a blob, the journal keeps enough to tell one from another.
_KEPT: Final = 4096


@dataclass(slots=True, eq=False)
class _Upload:
    """One session.

    Attributes:
        state: What every URL of the session must bring along.
        lock: Held by the request that writes.
    """

    name: str
    spool: Spool
    state: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    lock: Lock = field(default_factory=Lock)
    ended: bool = False


class Uploads:
    """All sessions of a registry.

    Args:
        store: Where the blobs go.
        features: What is switched off.
    """

    def __init__(self, store: Store, features: Features) -> None:
        self._store = store
        self._features = features
        self._lock = Lock()
        self._sessions: dict[str, _Upload] = {}
        self._forgotten: list[_Upload] = []

    def expire(self) -> None:
        """Forget every session, as a registry does after some days.

        What a request is writing to at the moment goes with the next call.
        """
        with self._lock:
            sessions = [*self._forgotten, *self._sessions.values()]
            self._sessions = {}
            self._forgotten = [item for item in sessions if not _end_now(item)]

    # -- endpoints -----------------------------------------------------------

    def begin(
        self,
        route: Route,
        exchange: Exchange,
        *,
        readable: Callable[[str], bool] = lambda name: True,
    ) -> Reply:
        """Begin a session; or take the blob, or mount it, when that is asked for.

        Args:
            route: Names the repository.
            exchange: The request.
            readable: Whether the client may read a repository.

        Raises:
            RegistryError: The digest is not that of the bytes.
        """
        fields = fields_of(exchange)
        if "mount" in fields and self._features.mount:
            stored = self._find(fields["mount"], fields.get("from", ""), readable)
            if stored is not None:
                self._store.mount(route.name, stored)
                return _created(route.name, stored.digest)
        if "digest" in fields and self._features.single_post:
            return self._take_all(route.name, fields["digest"], exchange)
        upload, number = self._open(route.name, fields)
        headers = _where(route.name, number, upload)
        if self._features.min_chunk is not None:
            headers["OCI-Chunk-Min-Length"] = str(self._features.min_chunk)
        return Reply(202, headers)

    def status(self, route: Route, exchange: Exchange) -> Reply:
        """Say how much has come."""
        upload = self._session(route, exchange)
        return Reply(204, _where(route.name, route.reference, upload))

    def patch(self, route: Route, exchange: Exchange) -> Reply:
        """Take a chunk, or a stream.

        Raises:
            RegistryError: 416, it is not the next one.
        """
        upload = self._session(route, exchange)
        with upload.lock:
            self._append(route, upload, exchange)
        return Reply(202, _where(route.name, route.reference, upload))

    def finish(self, route: Route, exchange: Exchange) -> Reply:
        """Take the last chunk, if any, and make a blob of them all.

        Raises:
            RegistryError: The digest is not that of the bytes, and the session has
                ended; or the chunk is not the next one.
        """
        upload = self._session(route, exchange)
        digest = _checked_digest(fields_of(exchange))
        with upload.lock:
            self._append(route, upload, exchange)
            self._forget(route.reference)
            upload.ended = True
            return self._keep(route.name, upload.spool, digest)

    def cancel(self, route: Route, exchange: Exchange) -> Reply:
        """End the session and drop what has come."""
        upload = self._session(route, exchange)
        self._forget(route.reference)
        with upload.lock:
            _end(upload)
        return Reply(204)

    # -- inside --------------------------------------------------------------

    def _open(self, name: str, fields: Mapping[str, str]) -> tuple[_Upload, str]:
        algorithm = fields.get("digest-algorithm", "sha256")
        if algorithm not in LENGTHS:
            raise RegistryError(
                "DIGEST_INVALID", 400, detail={"digest-algorithm": algorithm}
            )
        upload = _Upload(name, self._store.spool(algorithm))
        number = str(uuid.uuid4())
        with self._lock:
            self._sessions[number] = upload
        return upload, number

    def _session(self, route: Route, exchange: Exchange) -> _Upload:
        """Return the session of a URL; "the location MAY contain critical query"."""
        found = self._sessions.get(route.reference)
        state = fields_of(exchange).get("_state", "")
        if (
            found is None
            or found.name != route.name
            or not secrets.compare_digest(found.state.encode(), state.encode())
        ):
            raise _unknown(route)
        return found

    def _forget(self, number: str) -> None:
        with self._lock:
            self._sessions.pop(number, None)

    def _find(
        self, digest: str, name: str, readable: Callable[[str], bool]
    ) -> Stored | None:
        """Find a blob to mount, in one repository or in any that can be read."""
        names = (name,) if name else self._store.names
        if not name and not self._features.anonymous_mount:
            return None
        for candidate in names:
            repository = self._store.repository(candidate)
            stored = repository.blobs.get(digest) if repository is not None else None
            if stored is not None and readable(candidate):
                return stored
        return None

    def _take_all(self, name: str, digest: str, exchange: Exchange) -> Reply:
        digest = _checked_digest({"digest": digest})
        spool = self._store.spool(digest.partition(":")[0])
        try:
            self._receive(spool, exchange)
        except BaseException:
            spool.discard()
            raise
        return self._keep(name, spool, digest)

    def _append(self, route: Route, upload: _Upload, exchange: Exchange) -> None:
        """Add the body of a request, if it is the next chunk."""
        if upload.ended:
            raise _unknown(route)
        before = upload.spool.size
        expected = _expected(route, upload, exchange)
        self._receive(upload.spool, exchange)
        if expected is not None and upload.spool.size - before != expected:
            upload.spool.truncate(before)
            raise RegistryError("SIZE_INVALID", 400)

    def _receive(self, spool: Spool, exchange: Exchange) -> None:
        """Write a body as it comes: what came before it broke off can be resumed.

        Raises:
            RegistryError: 413, the blob would be too large; what has come of this
                body is dropped.
        """
        limit, before = self._features.blob_limit, spool.size
        exchange.body.keep(_KEPT)
        announced = exchange.body.length
        if announced is not None and before + announced > limit:
            raise _too_large(limit)
        for block in exchange.body.blocks():
            if spool.size + len(block) > limit:
                spool.truncate(before)
                raise _too_large(limit)
            spool.write(block)

    def _keep(self, name: str, spool: Spool, digest: str) -> Reply:
        found = spool.digest(digest.partition(":")[0])
        if found != digest:
            spool.discard()
            detail = {"digest": digest, "received": found}
            raise RegistryError("DIGEST_INVALID", 400, detail=detail)
        self._store.put_spool(name, spool, digest)
        return _created(name, digest)


def _expected(route: Route, upload: _Upload, exchange: Exchange) -> int | None:
    """Return the length that Content-Range gives a chunk, None without one.

    "Chunks MUST be uploaded in order, with the first byte of a chunk being the last
    chunk's <end-of-range> plus one."
    """
    text = exchange.request_headers.get("Content-Range")
    if not text:
        return None
    match = _CHUNK.fullmatch(text)
    if match is None or int(match[2]) < int(match[1]):
        raise RegistryError(
            "BLOB_UPLOAD_INVALID",
            400,
            message="Content-Range is not <first>-<last>",
            detail={"Content-Range": text},
        )
    first, last = int(match[1]), int(match[2])
    if first != upload.spool.size:
        raise RegistryError(
            "BLOB_UPLOAD_INVALID",
            416,
            message="the chunk is not the next one",
            headers=dict(_where(route.name, route.reference, upload)),
        )
    length = exchange.body.length
    if length is not None and length != last - first + 1:
        raise RegistryError("SIZE_INVALID", 400)
    return last - first + 1


def _end_now(upload: _Upload) -> bool:
    """End a session, unless a request writes to it."""
    if not upload.lock.acquire(blocking=False):
        return False
    try:
        _end(upload)
    finally:
        upload.lock.release()
    return True


def _end(upload: _Upload) -> None:
    if not upload.ended:
        upload.ended = True
        upload.spool.discard()


def _checked_digest(fields: Mapping[str, str]) -> str:
    digest = fields.get("digest", "")
    if not known_digest(digest):
        raise RegistryError("DIGEST_INVALID", 400, detail={"digest": digest})
    return digest


def _too_large(limit: int) -> RegistryError:
    message = f"a blob has at most {limit} bytes here"
    return RegistryError("SIZE_INVALID", 413, message=message)


def _unknown(route: Route) -> RegistryError:
    return RegistryError("BLOB_UPLOAD_UNKNOWN", 404, detail={"upload": route.reference})


def _where(name: str, number: str, upload: _Upload) -> Headers:
    """Return what a client needs to go on."""
    return Headers(
        [
            ("Location", f"/v2/{name}/blobs/uploads/{number}?_state={upload.state}"),
            # "0-0" says both one byte and none, as registries have always done.
            ("Range", f"0-{max(upload.spool.size - 1, 0)}"),
            ("Docker-Upload-UUID", number),
        ]
    )


def _created(name: str, digest: str) -> Reply:
    location = f"/v2/{name}/blobs/{digest}"
    return Reply(
        201, Headers([("Location", location), ("Docker-Content-Digest", digest)])
    )
