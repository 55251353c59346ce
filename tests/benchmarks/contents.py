"""Images made for a measurement: documents, and blobs that nobody has to hold.

Everything is repeatable: the same arguments give the same digests.
"""

from __future__ import annotations

import hashlib
import json
import random
import tarfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from fakeregistry.layers import tar_parts
from tests.benchmarks.upload import MANIFEST, digest_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

__all__ = ["INDEX", "LAYER", "Blob", "Stream", "archive", "config", "index", "manifest"]

INDEX: Final = "application/vnd.oci.image.index.v1+json"
LAYER: Final = "application/vnd.oci.image.layer.v1.tar"
_CONFIG: Final = "application/vnd.oci.image.config.v1+json"
_PIECE: Final = 1 << 20
_END: Final = bytes(2 * tarfile.BLOCKSIZE)


@dataclass(frozen=True, slots=True)
class Blob:
    """Bytes, and what a document says of them."""

    media_type: str
    data: bytes

    @property
    def digest(self) -> str:
        """The digest of the bytes."""
        return digest_of(self.data)

    def descriptor(self, **more: object) -> dict[str, Any]:
        """Return a descriptor, with what else is to stand in it."""
        described = {
            "mediaType": self.media_type,
            "digest": self.digest,
            "size": len(self.data),
        }
        return described | more


class Stream:
    """A layer of one file whose bytes are made when they are needed.

    Attributes:
        size: Bytes of the layer, an archive; the file is a little smaller.
        digest: Their digest; the archive is not compressed, so its diff ID, too.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        digest = hashlib.sha256()
        for piece in self.pieces():
            digest.update(piece)
        self.digest = f"sha256:{digest.hexdigest()}"

    def pieces(self) -> Iterator[bytes]:
        """Yield the bytes, at most a MiB at a time."""
        info = tarfile.TarInfo("data.bin")
        info.size = self.size - tarfile.BLOCKSIZE - len(_END)
        yield info.tobuf(tarfile.USTAR_FORMAT)
        generator = random.Random(self.size)  # noqa: S311 - repeatable is the point
        for start in range(0, info.size, _PIECE):
            yield generator.randbytes(min(_PIECE, info.size - start))
        yield _END

    def descriptor(self) -> dict[str, Any]:
        """Return a descriptor."""
        return {"mediaType": LAYER, "digest": self.digest, "size": self.size}


def archive(name: str, data: bytes) -> Blob:
    """Return a layer of one file; it is not compressed: its digest is its diff ID."""
    info = tarfile.TarInfo(name)
    return Blob(LAYER, b"".join(tar_parts([(info, data)])))


def config(
    diff_ids: Sequence[str], *, architecture: str = "amd64", os: str = "linux"
) -> Blob:
    """Return the configuration of an image."""
    return _document(
        _CONFIG,
        {
            "architecture": architecture,
            "os": os,
            "rootfs": {"type": "layers", "diff_ids": list(diff_ids)},
        },
    )


def manifest(configuration: Blob, layers: Sequence[Mapping[str, Any]]) -> Blob:
    """Return the manifest of an image with layers of these descriptors."""
    return _document(
        MANIFEST,
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": configuration.descriptor(),
            "layers": list(layers),
        },
    )


def index(manifests: Sequence[Mapping[str, Any]]) -> Blob:
    """Return an index of manifests of these descriptors."""
    return _document(
        INDEX, {"schemaVersion": 2, "mediaType": INDEX, "manifests": list(manifests)}
    )


def _document(media_type: str, value: Mapping[str, Any]) -> Blob:
    return Blob(media_type, json.dumps(value).encode())
