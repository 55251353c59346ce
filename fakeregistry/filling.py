"""What fills a registry: images built, loaded and saved."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Unpack, overload

from fakeregistry.content import Image, ImageOptions, build_image, split_name

if TYPE_CHECKING:
    from fakeregistry.exchange import ExchangeFormat
    from fakeregistry.schema1 import Schema1Image, Schema1Options
    from fakeregistry.store import Store

__all__ = ["Filling"]


class Filling:
    """The part of a registry that takes and gives whole images.

    Attributes:
        store: What it holds.
    """

    store: Store

    @overload
    def publish(
        self,
        ref: str = ...,
        *,
        format: Literal["schema1"],
        **options: Unpack[Schema1Options],
    ) -> Schema1Image: ...

    @overload
    def publish(self, ref: str = ..., **options: Unpack[ImageOptions]) -> Image: ...

    def publish(self, ref: str = "library/test:latest", **options: Any) -> Image:
        """Build an image, store all of it and tag it.

        Args:
            ref: Repository and tag, without a host.
            **options: Those of :func:`fakeregistry.content.build_image`; with
                ``format="schema1"`` those of
                :func:`fakeregistry.schema1.build_schema1`.
        """
        build: Any = build_image
        if options.get("format") == "schema1":
            # It needs cryptography, which takes time to import.
            build = importlib.import_module("fakeregistry.schema1").build_schema1
            del options["format"]
        image: Image = build(*split_name(ref), **options)
        self.add_image(image)
        return image

    def add_image(self, image: Image) -> None:
        """Store all documents and blobs of an image, and tag it."""
        for item in image.documents:
            self.store.put_manifest(
                image.repository,
                image.data[item.digest],
                media_type=item.media_type,
                digest=item.digest,
            )
        for item in image.contents:
            data = image.data[item.digest]
            self.store.put_blob(image.repository, data, digest=item.digest)
        if image.tag is not None:
            self.store.tag(image.repository, image.tag, image.digest)

    def load(
        self, path: str | Path, *, repository: str | None = None
    ) -> tuple[Image, ...]:
        """Publish what an OCI image layout or a docker-archive holds.

        All of it is read and checked before anything is stored. Names come from
        the file (without their host); an image without one is named after it,
        with the tag "latest" if it is the only one.

        Args:
            path: A layout, as a folder or as a tar archive, or an archive as
                ``docker save`` writes it; packed or not.
            repository: Name of the repository, whatever the file says.

        Raises:
            ExchangeError: Something is wrong with it; says what, and which file.
        """
        module: Any = importlib.import_module("fakeregistry.exchange")
        images: tuple[Image, ...] = module.load_images(
            Path(path), repository=repository
        )
        for image in images:
            self.add_image(image)
        return images

    def save(
        self,
        what: Image | str,
        path: str | Path,
        *,
        format: ExchangeFormat = "oci-layout",  # noqa: A002 - as in publish
    ) -> None:
        """Write what is stored of an image, or all of a repository.

        Args:
            what: An image, or the name of a repository.
            path: Where to; nothing may be there but an empty folder. A layout
                becomes a folder, or a tar archive if the name ends in ".tar".
            format: "oci-layout", or "docker-archive", which has no manifests: it
                gets configs and layers as they are.

        Raises:
            ExchangeError: The content is not complete and true, or does not fit
                the format; or something is there already.
        """
        module: Any = importlib.import_module("fakeregistry.exchange")
        module.save_images(self.store, what, Path(path), format=format)
