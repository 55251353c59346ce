"""A small client that pushes: one connection, one request after the other.

    seconds = push("127.0.0.1", 5000, "library/new", [b"layer", b"another"])

It is the same for every registry: POST and PUT for each layer and for an empty
config (distribution-spec v1.1.1, POST then PUT), then the manifest.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
from typing import TYPE_CHECKING, Final, Self
from urllib.parse import urlsplit

from tests.benchmarks.load import Connection, request

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = [
    "MANIFEST",
    "TAG",
    "Uploader",
    "blob_url",
    "digest_of",
    "manifest_of",
    "push",
]

TAG: Final = "v1"
MANIFEST: Final = "application/vnd.oci.image.manifest.v1+json"
_CONFIG: Final = b"{}"
_BLOB: Final = "application/octet-stream"
_EMPTY: Final = "application/vnd.oci.empty.v1+json"
_LAYER: Final = "application/vnd.oci.image.layer.v1.tar"
_LOCATION: Final = re.compile(rb"\r\nlocation: *([!-~]+)\r\n", re.I)


def push(host: str, port: int, repository: str, layers: Sequence[bytes]) -> float:
    """Push an artifact; return the seconds from connecting to the last reply.

    Raises:
        ConnectionError: The registry refuses something.
    """
    blobs = [(digest_of(blob), blob) for blob in (*layers, _CONFIG)]
    manifest = manifest_of(layers)
    began = time.monotonic()
    with Uploader(host, port, repository) as uploader:
        for digest, blob in blobs:
            uploader.blob(digest, blob)
        uploader.manifest(TAG, MANIFEST, manifest)
        return time.monotonic() - began


def digest_of(data: bytes) -> str:
    """Return the digest that data is stored under."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def manifest_of(layers: Sequence[bytes]) -> bytes:
    """Return the manifest of an image with these layers and an empty config."""

    def descriptor(media_type: str, data: bytes) -> dict[str, object]:
        return {
            "mediaType": media_type,
            "digest": digest_of(data),
            "size": len(data),
        }

    document = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "artifactType": "application/vnd.example.benchmark",
        "config": descriptor(_EMPTY, _CONFIG),
        "layers": [descriptor(_LAYER, layer) for layer in layers],
    }
    return json.dumps(document).encode()


def blob_url(location: str, digest: str) -> str:
    """Return path and query of the PUT that ends an upload."""
    parts = urlsplit(location)
    query = f"{parts.query}&" if parts.query else ""
    return f"{parts.path}?{query}digest={digest}"


class Uploader:
    """A connection that fills a repository.

    Raises:
        ConnectionError: The registry refuses something.
    """

    def __init__(self, host: str, port: int, repository: str) -> None:
        self._address = host, port
        self._repository = repository
        self._connection = Connection(host, port)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.sock.close()

    def blob(self, digest: str, data: bytes) -> None:
        """Push a blob."""
        self._ask("PUT", self._upload(digest), _BLOB, data)

    def stream(self, digest: str, size: int, pieces: Iterable[bytes]) -> None:
        """Push a blob that is not in memory as a whole."""
        empty = request(
            *self._address, self._upload(digest), method="PUT", media_type=_BLOB
        )
        old, new = b"Content-Length: 0\r\n", f"Content-Length: {size}\r\n".encode()
        self._connection.ask(empty.replace(old, new))
        for piece in pieces:
            self._connection.sock.sendall(piece)
        self._read()

    def manifest(self, reference: str, media_type: str, data: bytes) -> None:
        """Push a manifest or an index, to a tag or a digest."""
        path = f"/v2/{self._repository}/manifests/{reference}"
        self._ask("PUT", path, media_type, data)

    def _upload(self, digest: str) -> str:
        """Begin an upload; return where it ends."""
        self._ask("POST", f"/v2/{self._repository}/blobs/uploads/")
        found = _LOCATION.search(self._connection.head)
        if found is None:
            raise ConnectionError(f"no Location: {self._connection.head!r}")
        return blob_url(found[1].decode("ascii"), digest)

    def _ask(
        self, method: str, path: str, media_type: str = _BLOB, body: bytes = b""
    ) -> None:
        """Send a request and read the whole reply."""
        self._connection.ask(
            request(
                *self._address, path, method=method, media_type=media_type, body=body
            )
        )
        self._read()

    def _read(self) -> None:
        while not self._connection.read():
            pass
