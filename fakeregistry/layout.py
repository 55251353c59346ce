"""Repositories in a folder, each an OCI image layout that other tools read.

    ROOT/library/hello/{oci-layout,index.json,blobs/<algorithm>/<hex>}

    $ skopeo copy oci:ROOT/library/hello:1 docker-archive:hello.tar

image-spec v1.1.1, image-layout.md. Every file appears in one step, and what a
crash leaves behind is removed when the folder is opened next. A folder belongs
to one process at a time.

The names of a layout's own files are names of repositories, too; those get an
underscore at the end, which no name may have: ``ROOT/a/blobs_`` is ``a/blobs``.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from fakeregistry.image import DOCKER_LIST, OCI_INDEX
from fakeregistry.store import (
    BLOB_MEDIA_TYPE,
    Repository,
    Stored,
    valid_digest,
    valid_name,
    valid_tag,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["Layouts"]

_VERSION: Final = b'{"imageLayoutVersion":"1.0.0"}'
_OWN: Final = frozenset({"blobs", "index.json", "oci-layout"})
_REF_NAME: Final = "org.opencontainers.image.ref.name"
# A manifest that is a blob of the repository, too.
_IS_BLOB: Final = "fakeregistry.blob"
_INDEXES: Final = frozenset({OCI_INDEX, DOCKER_LIST})


class Layouts:
    """Keeps a store's repositories in a folder.

    Args:
        root: The folder; it is made if it is not there.

    Raises:
        ValueError: Another registry uses the folder, or it is none.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        try:
            root.mkdir(parents=True, exist_ok=True)
        except FileExistsError:
            raise ValueError(f"{root} is no folder") from None
        self._lock = (root / ".lock").open("wb")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._lock.close()
            raise ValueError(f"{root} is in use by another registry") from None
        # No name begins with a dot.
        self.uploads = root / ".uploads"
        shutil.rmtree(self.uploads, ignore_errors=True)
        self.uploads.mkdir()

    def close(self) -> None:
        """Let another registry have the folder."""
        self._lock.close()

    # -- reading -------------------------------------------------------------

    def load(self) -> Iterator[Repository]:
        """Read every layout below the folder.

        Raises:
            ValueError: An index.json is none.
        """
        for folder, below, files in os.walk(self._root):
            below[:] = [name for name in below if name[0] != "." and name != "blobs"]
            if "oci-layout" not in files:
                continue
            parts = Path(folder).relative_to(self._root).parts
            name = "/".join(part.removesuffix("_") for part in parts)
            if valid_name(name):
                yield self._load(name, Path(folder))

    def _load(self, name: str, folder: Path) -> Repository:
        found = Repository(name)
        for path in sorted((folder / "blobs").glob("*/*")):
            digest = f"{path.parent.name}:{path.name}"
            if valid_digest(digest) and path.is_file():
                stat = path.stat()
                found.blobs[digest] = Stored.of(
                    digest, BLOB_MEDIA_TYPE, path, stat.st_mtime
                )
        for entry in _entries(folder / "index.json"):
            _add_manifest(found, entry)
        return found

    # -- writing -------------------------------------------------------------

    def check(self, digest: str) -> None:
        """Refuse what is no digest: it names a file.

        Raises:
            ValueError: It is none.
        """
        if not valid_digest(digest):
            raise ValueError(f"{digest!r} cannot be kept in a folder: no digest")

    def place(self, repository: str, digest: str, path: Path) -> Path:
        """Move a file to its place."""
        target = self._path(repository, digest)
        path.replace(target)
        return target

    def link(self, repository: str, digest: str, path: Path) -> Path:
        """Have the same file in another layout, too."""
        target = self._path(repository, digest)
        if target == path:
            return target
        spare = Path(tempfile.mkdtemp(dir=self.uploads))
        try:
            os.link(path, spare / "blob")
        except OSError:  # Not every file system has links.
            shutil.copyfile(path, spare / "blob")
        (spare / "blob").replace(target)
        shutil.rmtree(spare)
        return target

    def save(self, repository: Repository) -> None:
        """Write the index.json of a repository."""
        names: dict[str, list[str]] = {}
        for tag, digest in repository.tags.items():
            names.setdefault(digest, []).append(tag)
        entries = [
            _entry(stored, tag, is_blob=stored.digest in repository.blobs)
            for stored in repository.manifests.values()
            for tag in names.get(stored.digest, [None])
        ]
        document = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries}
        text = json.dumps(document, indent=2).encode() + b"\n"
        self._write(self._folder(repository.name) / "index.json", text)

    def remove(self, repository: str, digest: str) -> None:
        """Remove a file."""
        self._path(repository, digest).unlink(missing_ok=True)

    def _path(self, repository: str, digest: str) -> Path:
        algorithm, _, value = digest.partition(":")
        folder = self._folder(repository) / "blobs" / algorithm
        folder.mkdir(parents=True, exist_ok=True)
        return folder / value

    def _folder(self, repository: str) -> Path:
        parts = (f"{part}_" if part in _OWN else part for part in repository.split("/"))
        folder = self._root.joinpath(*parts)
        if not (folder / "oci-layout").exists():
            (folder / "blobs").mkdir(parents=True, exist_ok=True)
            empty = {"schemaVersion": 2, "manifests": []}
            self._write(folder / "index.json", json.dumps(empty).encode())
            self._write(folder / "oci-layout", _VERSION)
        return folder

    def _write(self, path: Path, data: bytes) -> None:
        """Write a file in one step."""
        with tempfile.NamedTemporaryFile(dir=self.uploads, delete=False) as file:
            file.write(data)
        spare = Path(file.name)
        spare.chmod(0o644)
        spare.replace(path)


def _entries(path: Path) -> list[Mapping[str, Any]]:
    try:
        document = json.loads(path.read_bytes())
        entries = document["manifests"]
        if not all(isinstance(entry["digest"], str) for entry in entries):
            raise TypeError
    except FileNotFoundError:
        return []
    except (ValueError, TypeError, KeyError):
        raise ValueError(f"{path} is no image index") from None
    found: list[Mapping[str, Any]] = entries
    return found


def _entry(stored: Stored, tag: str | None, *, is_blob: bool) -> dict[str, Any]:
    annotations = {}
    if tag is not None:
        annotations[_REF_NAME] = tag
    if is_blob:
        annotations[_IS_BLOB] = "true"
    document: dict[str, Any] = stored.descriptor().to_json()
    if annotations:
        document["annotations"] = annotations
    return document


def _add_manifest(found: Repository, entry: Mapping[str, Any]) -> None:
    """Make a manifest of what is listed, and of what it lists in its turn.

    Other tools list the outermost index only.
    """
    digest = entry["digest"]
    annotations = entry.get("annotations") or {}
    if digest not in found.manifests:
        is_blob = annotations.get(_IS_BLOB) == "true"
        held = found.blobs.get(digest) if is_blob else found.blobs.pop(digest, None)
        if held is None:
            return
        media_type = str(entry.get("mediaType") or OCI_INDEX)
        data = bytes(held.data)
        found.manifests[digest] = Stored.of(digest, media_type, data, held.modified)
        for child in _children(data) if media_type in _INDEXES else ():
            _add_manifest(found, child)
    tag = annotations.get(_REF_NAME)
    if isinstance(tag, str) and valid_tag(tag):
        found.tags[tag] = digest


def _children(data: bytes) -> Iterator[Mapping[str, Any]]:
    try:
        entries = json.loads(data)["manifests"]
        for entry in entries:
            if isinstance(entry["digest"], str):
                yield {"digest": entry["digest"], "mediaType": entry.get("mediaType")}
    except (ValueError, TypeError, KeyError, RecursionError):
        # A broken index is kept as it is, like everything else.
        return
