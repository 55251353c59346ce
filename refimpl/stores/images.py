"""Mirrors: containerd v1.5.18 images/image.go:77 (Store), metadata/images.go.

Names for content: an image is a name, a target and labels. Of a target only
media type, digest, size and annotations are kept.
"""

import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final, Protocol

from refimpl import digest as digests
from refimpl import labels as label_rules
from refimpl.descriptor import Descriptor
from refimpl.digest import Digest
from refimpl.errdefs import (
    ErrAlreadyExists,
    ErrInvalidArgument,
    ErrNotFound,
    wrapped,
)
from refimpl.gotext import quote
from refimpl.images.image import Image
from refimpl.stores.database import (
    Database,
    decode_map,
    decode_time,
    encode_map,
    encode_time,
)
from refimpl.stores.filters import Adaptor, check_map, parse_all
from refimpl.workers import run_blocking

__all__ = ["ImageStore", "Store"]

_SELECT: Final = (
    "SELECT name, media_type, digest, size, annotations, labels, "
    "created_at, updated_at FROM images "
)
# What clients see is the text of the service in front (services/images/local.go:103).
_NO_NAME: Final = "Image.Name required"
_Row = tuple[str, str, str, int, str, str, int, int]


class Store(Protocol):
    """Names for content (images/image.go:77)."""

    async def get(self, name: str) -> Image:
        """Return an image."""
        ...

    async def list(self, *filters: str) -> tuple[Image, ...]:
        """Return the images that any filter matches, sorted by name."""
        ...

    async def create(self, image: Image) -> Image:
        """Record a new image."""
        ...

    async def update(self, image: Image, *fieldpaths: str) -> Image:
        """Change an image: all of it, or only what ``fieldpaths`` name."""
        ...

    async def delete(self, name: str) -> None:
        """Forget an image."""
        ...


class ImageStore:
    """The images of one namespace (metadata/images.go:38).

    ``barrier`` runs before an image is recorded: what it may need is on the
    disk then, so that no power cut leaves an image without its content.
    """

    def __init__(
        self, database: Database, namespace: str, barrier: Callable[[], None]
    ) -> None:
        self._database = database
        self._namespace = namespace
        self._barrier = barrier

    async def get(self, name: str) -> Image:
        """Return an image.

        Raises:
            ErrNotFound: no image has that name.
        """
        return await run_blocking(self._get, name)

    def _get(self, name: str) -> Image:
        with self._database.view() as tx:
            return self._read(tx, name)

    def _read(self, tx: sqlite3.Connection, name: str) -> Image:
        row: _Row | None = tx.execute(
            f"{_SELECT} WHERE namespace = ? AND name = ?", (self._namespace, name)
        ).fetchone()
        if row is None:
            raise ErrNotFound(f"image {quote(name)}")
        return _to_image(row)

    async def list(self, *filters: str) -> tuple[Image, ...]:
        """Return the images that any filter matches, sorted by name.

        Args:
            filters: as in stores/filters.py; none match all images.

        Raises:
            ErrInvalidArgument: a filter is none.
        """
        try:
            matches = parse_all(*filters)
        except ErrInvalidArgument as err:
            raise ErrInvalidArgument(str(err)) from None  # metadata/images.go:88
        images = await run_blocking(self._list)
        return tuple(image for image in images if matches(_adaptor(image)))

    def _list(self) -> tuple[Image, ...]:
        with self._database.view() as tx:
            rows: list[_Row] = tx.execute(
                f"{_SELECT} WHERE namespace = ? ORDER BY name", (self._namespace,)
            ).fetchall()
        return tuple(map(_to_image, rows))

    async def create(self, image: Image) -> Image:
        """Record a new image.

        Raises:
            ErrAlreadyExists: the name is taken.
            ErrInvalidArgument: name, target or labels are not valid.
        """
        return await run_blocking(self._create, image)

    def _create(self, image: Image) -> Image:
        if not image.name:
            raise ErrInvalidArgument(_NO_NAME)
        _validate(image)
        now = datetime.now(UTC)
        image = replace(image, created_at=now, updated_at=now)
        self._barrier()
        with self._database.update(self._namespace, durable=True) as tx:
            taken = tx.execute(
                "SELECT 1 FROM images WHERE namespace = ? AND name = ?",
                (self._namespace, image.name),
            ).fetchone()
            if taken:
                raise ErrAlreadyExists(f"image {quote(image.name)}")
            return self._write(tx, image)

    async def update(self, image: Image, *fieldpaths: str) -> Image:
        """Change an image: all of it, or only what ``fieldpaths`` name.

        Args:
            image: names the image and holds the new values.
            fieldpaths: ``target``, ``labels``, ``annotations``, or
                ``labels.KEY`` and ``annotations.KEY`` for one entry; an entry
                that is absent from ``image`` or empty is removed.

        Raises:
            ErrNotFound: no image has that name.
            ErrInvalidArgument: a field path names something else, or the
                result is not valid.
        """
        if not image.name:
            raise ErrInvalidArgument(_NO_NAME)
        return await run_blocking(self._update, image, fieldpaths)

    def _update(self, image: Image, fieldpaths: tuple[str, ...]) -> Image:
        self._barrier()
        with self._database.update(self._namespace, durable=True) as tx:
            current = self._read(tx, image.name)
            updated = image
            if fieldpaths:
                updated = current
                for path in fieldpaths:
                    updated = _set_field(updated, image, path)
            _validate(updated)
            updated = replace(
                updated, created_at=current.created_at, updated_at=datetime.now(UTC)
            )
            return self._write(tx, updated)

    def _write(self, tx: sqlite3.Connection, image: Image) -> Image:
        target = image.target
        with wrapped(f"writing labels for image {image.name}"):
            labels = encode_map(image.labels)
        with wrapped(f"writing Annotations for image {image.name}"):
            annotations = encode_map(target.annotations or {})
        row: _Row = (
            image.name,
            target.media_type,
            target.digest,
            target.size,
            annotations,
            labels,
            encode_time(image.created_at),
            encode_time(image.updated_at),
        )
        tx.execute(
            "INSERT OR REPLACE INTO images (namespace, name, media_type, digest, "
            "size, annotations, labels, created_at, updated_at) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (self._namespace, *row),
        )
        return _to_image(row)

    async def delete(self, name: str) -> None:
        """Forget an image; its content goes with the next collection.

        Raises:
            ErrNotFound: no image has that name.
        """
        await run_blocking(self._delete, name)

    def _delete(self, name: str) -> None:
        with self._database.update(durable=True) as tx:
            cursor = tx.execute(
                "DELETE FROM images WHERE namespace = ? AND name = ?",
                (self._namespace, name),
            )
            if not cursor.rowcount:
                raise ErrNotFound(f"image {quote(name)}")


def _adaptor(image: Image) -> Adaptor:
    """Tell filters the fields of an image (metadata/adaptors.go:30)."""

    def field(path: tuple[str, ...]) -> tuple[str, bool]:
        target, rest = image.target, path[1:]
        match path:
            case ("name", *_):
                return image.name, bool(image.name)
            case ("target", "digest", *_):
                return target.digest, bool(target.digest)
            case ("target", "mediatype", *_):
                return target.media_type, bool(target.media_type)
            case ("labels", *_):
                return check_map(rest, image.labels)
            case ("annotations", *_):
                return check_map(rest, target.annotations or {})
        return "", False

    return field


def _set_field(updated: Image, image: Image, path: str) -> Image:
    """Take one field over from ``image`` (metadata/images.go:187)."""
    target, annotations = updated.target, image.target.annotations or {}
    if path.startswith("labels."):
        labels = _set_key(updated.labels, image.labels, path.removeprefix("labels."))
        return replace(updated, labels=labels)
    if path.startswith("annotations."):
        key = path.removeprefix("annotations.")
        annotations = _set_key(target.annotations or {}, annotations, key)
        return replace(updated, target=replace(target, annotations=annotations))
    match path:
        case "labels":
            return replace(updated, labels=image.labels)
        case "target":
            return replace(updated, target=image.target)
        case "annotations":
            return replace(updated, target=replace(target, annotations=annotations))
    raise ErrInvalidArgument(
        f"cannot update {quote(path)} field on image {quote(image.name)}"
    )


def _set_key(
    values: Mapping[str, str], source: Mapping[str, str], key: str
) -> dict[str, str]:
    return {**values, key: source.get(key, "")}


def _validate(image: Image) -> None:
    """Check what is stored of an image (metadata/images.go:266)."""
    with wrapped("image.Labels"):
        for key, value in image.labels.items():
            label_rules.validate(key, value)
    target = image.target
    try:
        digests.validate(target.digest)
    except ErrInvalidArgument as err:
        raise ErrInvalidArgument(
            f"Target.Digest {quote(target.digest)} invalid: {err.detail}"
        ) from None
    if target.size <= 0:
        raise ErrInvalidArgument("Target.Size must be greater than zero")
    if not target.media_type:
        raise ErrInvalidArgument("Target.MediaType must be set")


def _to_image(row: _Row) -> Image:
    name, media_type, digest, size, annotations, labels, created_at, updated_at = row
    return Image(
        name=name,
        target=Descriptor(
            media_type=media_type,
            digest=Digest(digest),
            size=size,
            annotations=decode_map(annotations) or None,
        ),
        labels=decode_map(labels),
        created_at=decode_time(created_at),
        updated_at=decode_time(updated_at),
    )
