"""Import and export: OCI image layouts and docker-archives.

    registry.load("layout-or-archive")
    registry.save("library/hello", "hello.tar", format="docker-archive")

Importing reads and checks everything first, so that nothing is half loaded.
Bytes stay as they are, both ways.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final, Literal

from fakeregistry.archive import ExchangeError, open_source, write_files
from fakeregistry.docker_archive import MANIFEST, load_archive, save_archive
from fakeregistry.graph import collect
from fakeregistry.image import SCHEMA1_SIGNED, Descriptor, Image
from fakeregistry.names import Namer
from fakeregistry.oci_layout import INDEX, MARKER, load_layout, save_layout
from fakeregistry.store import valid_name

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from fakeregistry.store import Repository, Store

__all__ = ["ExchangeError", "ExchangeFormat", "load_images", "save_images"]

ExchangeFormat = Literal["oci-layout", "docker-archive"]

_FORMATS: Final = ("oci-layout", "docker-archive")


def load_images(path: Path, *, repository: str | None = None) -> tuple[Image, ...]:
    """Read the images of a layout or an archive; see ``Registry.load``.

    Raises:
        ExchangeError: Something is wrong with it; says what, and which file.
        ValueError: ``repository`` is no repository name.
    """
    if repository is not None and not valid_name(repository):
        raise ValueError(f"repository={repository!r} is no repository name")
    source = open_source(path)
    namer = Namer(path, repository)
    if source.read(MARKER) is not None or source.read(INDEX) is not None:
        return tuple(load_layout(source, namer))
    if source.read(MANIFEST) is not None:
        return tuple(load_archive(source, namer))
    raise ExchangeError(
        f"{path}: neither an OCI image layout ({MARKER}, {INDEX})"
        f" nor a docker-archive ({MANIFEST})"
    )


def save_images(
    store: Store,
    what: Image | str,
    path: Path,
    *,
    format: ExchangeFormat,  # noqa: A002 - as publish has it
) -> None:
    """Write what is stored; see ``Registry.save``.

    Raises:
        ExchangeError: It cannot be exported, or something is there already.
        ValueError: The format is unknown.
    """
    if format not in _FORMATS:
        raise ValueError(f"format={format!r}: one of {', '.join(_FORMATS)}")
    images = list(_stored_images(store, what))
    if format == "docker-archive":
        write_files(path, save_archive(images), packed=True)
    else:
        write_files(path, save_layout(images), packed=path.suffix == ".tar")


def _stored_images(store: Store, what: Image | str) -> Iterator[Image]:
    name = what.repository if isinstance(what, Image) else what
    repository = store.repository(name)
    if repository is None:
        raise ExchangeError(f"there is no repository {name!r}")
    if isinstance(what, Image):
        yield _collected(repository, what.digest, what.tag)
        return
    found = {digest: _collected(repository, digest) for digest in repository.manifests}
    tags = sorted(repository.tags.items())
    yield from (replace(found[digest], tag=tag) for tag, digest in tags)
    inner = {child.digest for image in found.values() for child in image.documents[1:]}
    unnamed = set(found).difference(inner, repository.tags.values())
    yield from (found[digest] for digest in sorted(unnamed))


def _collected(repository: Repository, digest: str, tag: str | None = None) -> Image:
    stored = repository.manifests.get(digest)
    if stored is None:
        raise ExchangeError(f"{repository.name}: there is no manifest {digest}")
    if stored.media_type == SCHEMA1_SIGNED:
        raise ExchangeError(
            f"{repository.name}: {digest} is signed schema1; its digest is not that"
            " of its bytes, so that no layout can hold it"
        )

    def read(descriptor: Descriptor) -> bytes | memoryview | None:
        held = repository.manifests.get(descriptor.digest)
        found = held or repository.blobs.get(descriptor.digest)
        return None if found is None else found.data

    return collect(
        stored.descriptor(),
        read,
        repository=repository.name,
        tag=tag,
        where=repository.name,
    )
