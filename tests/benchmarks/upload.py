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
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from tests.benchmarks.load import Connection, request

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["TAG", "blob_url", "manifest_of", "push"]

TAG: Final = "v1"
_CONFIG: Final = b"{}"
_BLOB: Final = "application/octet-stream"
_MANIFEST: Final = "application/vnd.oci.image.manifest.v1+json"
_EMPTY: Final = "application/vnd.oci.empty.v1+json"
_LAYER: Final = "application/vnd.oci.image.layer.v1.tar"
_LOCATION: Final = re.compile(rb"\r\nlocation: *([!-~]+)\r\n", re.I)


def push(host: str, port: int, repository: str, layers: Sequence[bytes]) -> float:
    """Push an image; return the seconds from connecting to the last reply.

    Raises:
        ConnectionError: The registry refuses something.
    """
    blobs = [(digest_of(blob), blob) for blob in (*layers, _CONFIG)]
    manifest = manifest_of(layers)
    began = time.monotonic()
    client = _Client(host, port)
    with client.connection.sock:
        for digest, blob in blobs:
            client.ask("POST", f"/v2/{repository}/blobs/uploads/")
            client.ask("PUT", blob_url(client.location(), digest), _BLOB, blob)
        client.ask("PUT", f"/v2/{repository}/manifests/{TAG}", _MANIFEST, manifest)
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
        "mediaType": _MANIFEST,
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


class _Client:
    """A connection and what comes back on it."""

    def __init__(self, host: str, port: int) -> None:
        self._address = host, port
        self.connection = Connection(host, port)

    def ask(
        self, method: str, path: str, media_type: str = _BLOB, body: bytes = b""
    ) -> None:
        """Send a request and read the whole reply."""
        self.connection.ask(
            request(
                *self._address, path, method=method, media_type=media_type, body=body
            )
        )
        while not self.connection.read():
            pass

    def location(self) -> str:
        """Return the Location of the last reply."""
        found = _LOCATION.search(self.connection.head)
        if found is None:
            raise ConnectionError(f"no Location: {self.connection.head!r}")
        return found[1].decode("ascii")
