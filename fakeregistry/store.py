"""What a registry holds: repositories, tags, and bytes kept raw.

Nothing is parsed, re-serialised or checked here: a fake must be able to serve
what no real registry would accept. Bytes are never copied; a file is mapped.
"""

from __future__ import annotations

import hashlib
import re
import time
from dataclasses import dataclass, field, replace
from email.utils import formatdate
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Final, Protocol

from fakeregistry.content import Descriptor
from fakeregistry.spool import Content, Spool, mapped

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["BLOB_MEDIA_TYPE", "Repository", "Storage", "Store", "Stored"]

BLOB_MEDIA_TYPE: Final = "application/octet-stream"

# distribution-spec v1.1.1, Pulling manifests: <name> and <reference>.
_NAME: Final = re.compile(
    r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
    r"(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*"
)
_TAG: Final = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}")
_DIGEST: Final = re.compile(r"[a-z0-9]+(?:[.+_-][a-z0-9]+)*:[a-zA-Z0-9=_-]+")
_URL_SAFE: Final = re.compile(r"[A-Za-z0-9._~:+=@!$&'()*,;-]+")

Data = bytes | bytearray | memoryview | Path


@dataclass(frozen=True, slots=True, eq=False)
class Stored:
    """Bytes under a digest, and what is said of them.

    Attributes:
        content: The bytes, or the file that holds them.
        modified: Seconds since the epoch.
        last_modified: The same as text for a header.
    """

    digest: str
    media_type: str
    content: Content
    size: int
    modified: int
    last_modified: str

    @classmethod
    def of(
        cls, digest: str, media_type: str, content: Content, modified: float
    ) -> Stored:
        """Describe content as of a moment."""
        size = content.stat().st_size if isinstance(content, Path) else len(content)
        text = formatdate(int(modified), usegmt=True)
        return cls(digest, media_type, content, size, int(modified), text)

    @property
    def data(self) -> bytes | memoryview:
        """The bytes; a file is mapped for as long as they are held."""
        content = self.content
        return mapped(content) if isinstance(content, Path) else content

    @property
    def etag(self) -> str:
        """The entity tag, quoted: content is addressed by its digest."""
        return f'"{self.digest}"'

    def descriptor(self) -> Descriptor:
        """Describe what is stored."""
        return Descriptor(
            media_type=self.media_type, digest=self.digest, size=self.size
        )


@dataclass(slots=True)
class Repository:
    """One repository: blobs and manifests by digest, tags by name.

    Attributes:
        notes: What was found in manifests, by digest; see ``referrers``.
    """

    name: str
    blobs: dict[str, Stored] = field(default_factory=dict)
    manifests: dict[str, Stored] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    notes: dict[str, Any] = field(default_factory=dict)

    def manifest(self, reference: str) -> Stored | None:
        """Look a manifest up by digest or by tag."""
        found = self.manifests.get(reference)
        if found is None and (digest := self.tags.get(reference)) is not None:
            return self.manifests.get(digest)
        return found


class Storage(Protocol):
    """What keeps repositories beyond the life of a process.

    Attributes:
        uploads: Folder for files that are to be placed.
    """

    uploads: Path

    def load(self) -> Iterable[Repository]:
        """Return what is kept."""
        ...

    def check(self, digest: str) -> None:
        """Raise ValueError if content cannot be kept under the digest."""
        ...

    def place(self, repository: str, digest: str, path: Path) -> Path:
        """Move a file of ``uploads`` to its place, in one step."""
        ...

    def link(self, repository: str, digest: str, path: Path) -> Path:
        """Keep a file that is placed in another repository, too."""
        ...

    def save(self, repository: Repository) -> None:
        """Keep the manifests and tags of a repository, in one step."""
        ...

    def remove(self, repository: str, digest: str) -> None:
        """Drop content."""
        ...

    def close(self) -> None:
        """Let others have it."""
        ...


class Store:
    """Repositories by name; safe to fill while it is being served.

    Args:
        storage: What keeps them; None: only this object does.
    """

    def __init__(self, storage: Storage | None = None) -> None:
        self._lock = Lock()
        self._storage = storage
        self._repositories: dict[str, Repository] = {}
        if storage is not None:
            try:
                self._repositories.update((kept.name, kept) for kept in storage.load())
            except BaseException:
                storage.close()
                raise

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all repositories, sorted."""
        with self._lock:
            return tuple(sorted(self._repositories))

    def repository(self, name: str) -> Repository | None:
        """Look a repository up."""
        return self._repositories.get(name)

    def put_blob(
        self, repository: str, data: Data, *, digest: str | None = None
    ) -> Descriptor:
        """Store a blob; under ``digest``, whatever it hashes to, if one is given."""
        content = _content(data)
        digest = self._named_content(repository, content, digest)
        return self._put_blob(repository, self._staged(content), digest)

    def spool(self, algorithm: str = "sha256") -> Spool:
        """Return what takes the bytes of a blob that is still coming."""
        folder = None if self._storage is None else self._storage.uploads
        return Spool(folder, algorithm=algorithm)

    def put_spool(self, repository: str, spool: Spool, digest: str) -> Descriptor:
        """Store what came as a blob; the spool is of no more use."""
        _check_name(repository)
        return self._put_blob(repository, spool.content(), digest)

    def mount(self, repository: str, stored: Stored) -> Descriptor:
        """Store a blob of another repository without copying it."""
        _check_name(repository)
        with self._lock:
            found = self._named(repository)
            if self._storage is not None and isinstance(stored.content, Path):
                stored = replace(
                    stored,
                    content=self._storage.link(
                        repository, stored.digest, stored.content
                    ),
                )
            found.blobs[stored.digest] = stored
            self._save_if_manifest(found, stored.digest)
        return stored.descriptor()

    def put_manifest(
        self,
        repository: str,
        data: Data,
        *,
        media_type: str,
        tag: str | None = None,
        digest: str | None = None,
    ) -> Descriptor:
        """Store the bytes of a manifest as they are, and tag them."""
        tags = () if tag is None else (tag,)
        return self.put_tagged(
            repository, data, media_type=media_type, tags=tags, digest=digest
        )

    def put_tagged(
        self,
        repository: str,
        data: Data,
        *,
        media_type: str,
        tags: Iterable[str],
        digest: str | None = None,
    ) -> Descriptor:
        """Store the bytes of a manifest, and tag them with all of the tags."""
        tags = tuple(tags)
        for tag in tags:
            check_tag(tag)
        if not media_type.isascii() or not media_type.isprintable():
            raise ValueError(f"{media_type!r} cannot be sent as a media type")
        content = _content(data)
        digest = self._named_content(repository, content, digest)
        stored = Stored.of(digest, media_type, content, time.time())
        staged = self._staged(content)
        with self._lock:
            found = self._named(repository)
            if self._storage is not None and isinstance(staged, Path):
                self._storage.place(repository, digest, staged)
            found.notes.pop(digest, None)
            found.manifests[digest] = stored
            found.tags.update(dict.fromkeys(tags, digest))
            self._save(found)
        return stored.descriptor()

    def tag(self, repository: str, tag: str, digest: str) -> None:
        """Point a tag at a manifest that is stored."""
        check_tag(tag)
        with self._lock:
            found = self._repositories.get(repository)
            if found is None or digest not in found.manifests:
                raise ValueError(f"{repository} holds no manifest {digest}")
            found.tags[tag] = digest
            self._save(found)

    def delete(self, repository: str, reference: str) -> None:
        """Forget a tag, a manifest with its tags, or a blob.

        Raises:
            ValueError: The repository holds nothing of that name.
        """
        if not (
            self.delete_manifest(repository, reference)
            or self.delete_blob(repository, reference)
        ):
            raise ValueError(f"{repository} holds no {reference}")

    def delete_manifest(self, repository: str, reference: str) -> bool:
        """Forget a tag, or a manifest with its tags; say whether it was there."""
        with self._lock:
            found = self._repositories.get(repository)
            if found is None or not _forget(found, reference):
                return False
            self._save(found)
            self._drop(found, reference)
        return True

    def delete_blob(self, repository: str, digest: str) -> bool:
        """Forget a blob; say whether it was there."""
        with self._lock:
            found = self._repositories.get(repository)
            if found is None or found.blobs.pop(digest, None) is None:
                return False
            self._save_if_manifest(found, digest)
            self._drop(found, digest)
        return True

    def close(self) -> None:
        """Let go of what keeps it; what is in memory stays readable."""
        if self._storage is not None:
            self._storage.close()

    def _put_blob(self, repository: str, content: Content, digest: str) -> Descriptor:
        with self._lock:
            found = self._named(repository)
            if self._storage is not None and isinstance(content, Path):
                content = self._storage.place(repository, digest, content)
            stored = Stored.of(digest, BLOB_MEDIA_TYPE, content, time.time())
            found.blobs[digest] = stored
            self._save_if_manifest(found, digest)
        return stored.descriptor()

    def _named_content(
        self, repository: str, content: bytes | memoryview, digest: str | None
    ) -> str:
        """Return the digest to store content under, when all of it can be."""
        _check_name(repository)
        if digest is None:
            return f"sha256:{hashlib.sha256(content).hexdigest()}"
        if _URL_SAFE.fullmatch(digest) is None:
            raise ValueError(f"{digest!r} cannot be the last part of a URL")
        if self._storage is not None:
            self._storage.check(digest)
        return digest

    def _staged(self, content: bytes | memoryview) -> Content:
        """Write content to a file where files are kept."""
        if self._storage is None:
            return content
        spool = self.spool()
        try:
            spool.write(content)
            return spool.content()
        except BaseException:
            spool.discard()
            raise

    def _save(self, found: Repository) -> None:
        if self._storage is not None:
            self._storage.save(found)

    def _save_if_manifest(self, found: Repository, digest: str) -> None:
        """Keep what the list of manifests says of a blob that is one, too."""
        if digest in found.manifests:
            self._save(found)

    def _drop(self, found: Repository, digest: str) -> None:
        held = digest in found.blobs or digest in found.manifests
        if self._storage is not None and ":" in digest and not held:
            self._storage.remove(found.name, digest)

    def _named(self, name: str) -> Repository:
        return self._repositories.setdefault(name, Repository(name))


def _check_name(name: str) -> None:
    if not valid_name(name):
        raise ValueError(
            f"{name!r} is no repository name: lower-case components such as"
            " 'library/hello' are"
        )


def valid_name(name: str) -> bool:
    """Check a repository name against the specification's pattern."""
    return len(name) <= 255 and _NAME.fullmatch(name) is not None


def valid_digest(text: str) -> bool:
    """Check the form of a digest (image-spec v1.1, Digests)."""
    return _DIGEST.fullmatch(text) is not None


def valid_tag(tag: str) -> bool:
    """Check a tag against the specification's pattern."""
    return _TAG.fullmatch(tag) is not None


def check_tag(tag: str) -> None:
    """Refuse what is no tag.

    Raises:
        ValueError: It does not match the specification's pattern.
    """
    if not valid_tag(tag):
        raise ValueError(
            f"{tag!r} is no tag: at most 128 letters, digits, '.', '_' and '-' are"
        )


def _forget(repository: Repository, reference: str) -> bool:
    if repository.tags.pop(reference, None) is not None:
        return True
    repository.notes.pop(reference, None)
    if repository.manifests.pop(reference, None) is None:
        return False
    for tag in [t for t, digest in repository.tags.items() if digest == reference]:
        del repository.tags[tag]
    return True


def _content(data: Data) -> bytes | memoryview:
    if isinstance(data, bytes):
        return data
    if isinstance(data, (bytearray, memoryview)):
        return memoryview(data).cast("B").toreadonly()
    if not isinstance(data, Path):
        raise ValueError(
            f"bytes or a pathlib.Path are needed, not {type(data).__name__}"
        )
    return mapped(data)
