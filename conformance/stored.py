"""What a client left behind, in one normal form, with digests computed again.

Adapters say in JSON what is there and :func:`parse_stored` makes it a
:class:`Stored`. A client's word on its bytes is never taken: every blob is hashed
from its file. conformance/layouts.py reads what several clients write alike.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from conformance.contract import AdapterError, Json

__all__ = [
    "Stored",
    "StoredBlob",
    "StoredImage",
    "StoredIngest",
    "StoredLease",
    "StoredSnapshot",
    "StoredTarget",
    "hash_file",
    "parse_stored",
]

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredTarget:
    """The descriptor that an image record points at."""

    media_type: str
    digest: str
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredImage:
    """An image record: a name and what it stands for."""

    name: str
    target: StoredTarget
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredBlob:
    """Bytes that a client keeps under a digest.

    ``actual`` is the digest of the bytes on disk, None if nobody could show them.
    """

    digest: str
    size: int
    actual: str | None
    labels: Mapping[str, str] = field(default_factory=dict)
    path: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredIngest:
    """A download that is not finished."""

    ref: str
    offset: int
    total: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredLease:
    """What keeps content from being collected for a while."""

    id: str
    created: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredSnapshot:
    """A file system made of layers; ``path`` is the folder that has its files."""

    key: str
    parent: str = ""
    kind: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    path: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """Everything that could be read back; None where this client cannot tell."""

    images: tuple[StoredImage, ...] | None = None
    content: Mapping[str, StoredBlob] | None = None
    ingests: tuple[StoredIngest, ...] | None = None
    leases: tuple[StoredLease, ...] | None = None
    snapshots: tuple[StoredSnapshot, ...] | None = None

    def image(self, name: str) -> StoredImage | None:
        """Return the record with this name."""
        return next((i for i in self.images or () if i.name == name), None)

    def has(self, digest: str) -> bool:
        """Whether bytes are kept under this digest, right or wrong."""
        return digest in (self.content or {})

    def root_file_system(self) -> StoredSnapshot | None:
        """Return the snapshot with all layers of the only image that was unpacked.

        It is finished, and no other one was made from it. None if there is none.
        """
        finished = [s for s in self.snapshots or () if s.kind in {"", "Committed"}]
        parents = {snapshot.parent for snapshot in finished}
        tops = [snapshot for snapshot in finished if snapshot.key not in parents]
        return tops[0] if len(tops) == 1 else None

    def intact(self, digest: str) -> bool:
        """Whether the bytes kept under this digest are the right ones."""
        blob = (self.content or {}).get(digest)
        return blob is not None and blob.actual == blob.digest

    def corrupt(self) -> tuple[StoredBlob, ...]:
        """Return the blobs whose bytes do not hash to their name."""
        blobs = (self.content or {}).values()
        return tuple(blob for blob in blobs if blob.actual != blob.digest)


def hash_file(path: Path, algorithm: str = "sha256") -> str | None:
    """Return the digest of a file's bytes, None if there is no such file.

    An algorithm that hashlib does not have gives None as well.
    """
    try:
        with path.open("rb") as file:
            return f"{algorithm}:{hashlib.file_digest(file, algorithm).hexdigest()}"
    except (OSError, ValueError):
        return None


def parse_stored(answer: object, *, where: str) -> Stored:
    """Turn an adapter's answer to ``inspect`` into the normal form.

    Raises:
        AdapterError: The answer is not what the contract says.
    """
    if not isinstance(answer, dict):
        raise AdapterError(f"{where}: inspect must give an object, not {answer!r}")
    try:
        blobs = _each(answer, "content", _blob)
        return Stored(
            images=_each(answer, "images", _image),
            content=None if blobs is None else {b.digest: b for b in blobs},
            ingests=_each(answer, "ingests", _ingest),
            leases=_each(answer, "leases", _lease),
            snapshots=_each(answer, "snapshots", _snapshot),
        )
    except _Wrong as err:
        raise AdapterError(f"{where}: inspect gave {err}") from err


class _Wrong(Exception):
    """A part of the answer is not what the contract says."""


def _each(answer: Json, key: str, make: Callable[[Json], T]) -> tuple[T, ...] | None:
    entries = answer.get(key)
    if entries is None:
        return None
    if not isinstance(entries, list | tuple):
        raise _Wrong(f"{key} that is no list: {entries!r}")
    made = []
    for entry in entries:
        if not isinstance(entry, dict):
            raise _Wrong(f"an entry of {key} that is no object: {entry!r}")
        try:
            made.append(make(entry))
        except _Wrong as err:
            raise _Wrong(f"an entry of {key} {err}: {entry!r}") from err
    return tuple(made)


def _text(entry: Json, key: str, default: str | None = None) -> str:
    value = entry.get(key)
    if value is None and default is not None:
        return default
    if not isinstance(value, str):
        raise _Wrong(f"without {key!r}, a text")
    return value


def _number(entry: Json, key: str, default: int | None = None) -> int:
    value = entry.get(key)
    if value is None and default is not None:
        return default
    if isinstance(value, bool) or not isinstance(value, int):
        raise _Wrong(f"without {key!r}, a whole number")
    return value


def _labels(entry: Json) -> dict[str, str]:
    labels: Any = entry.get("labels") or {}
    if not isinstance(labels, dict) or not all(
        isinstance(k, str) and isinstance(v, str) for k, v in labels.items()
    ):
        raise _Wrong("with labels that are not texts")
    return dict(labels)


def _path(entry: Json) -> Path | None:
    path = _text(entry, "path", "")
    return Path(path) if path else None


def _image(entry: Json) -> StoredImage:
    target = entry.get("target")
    if not isinstance(target, dict):
        raise _Wrong("without 'target', an object")
    return StoredImage(
        name=_text(entry, "name"),
        target=StoredTarget(
            media_type=_text(target, "mediaType", ""),
            digest=_text(target, "digest"),
            size=_number(target, "size", 0),
        ),
        labels=_labels(entry),
    )


def _blob(entry: Json) -> StoredBlob:
    digest, path = _text(entry, "digest"), _path(entry)
    return StoredBlob(
        digest=digest,
        size=_number(entry, "size"),
        actual=hash_file(path, digest.partition(":")[0]) if path else None,
        labels=_labels(entry),
        path=path,
    )


def _ingest(entry: Json) -> StoredIngest:
    return StoredIngest(
        ref=_text(entry, "ref"),
        offset=_number(entry, "offset", 0),
        total=_number(entry, "total", 0),
    )


def _lease(entry: Json) -> StoredLease:
    return StoredLease(
        id=_text(entry, "id"),
        created=_text(entry, "created", "") or None,
        labels=_labels(entry),
    )


def _snapshot(entry: Json) -> StoredSnapshot:
    return StoredSnapshot(
        key=_text(entry, "key"),
        parent=_text(entry, "parent", ""),
        kind=_text(entry, "kind", ""),
        labels=_labels(entry),
        path=_path(entry),
    )
