"""What an image is made of, as far as a pull needs it."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

from conformance.stored import Stored
from fakeregistry import Image

__all__ = ["alternatives", "read_target"]


def alternatives(image: Image, platform: str | None) -> list[tuple[str, ...]]:
    """Return the digests of which a pull needs all: one tuple for each choice.

    Args:
        image: What was published.
        platform: What was asked for; None leaves the choice to the client.
    """
    if not image.manifests:  # schema1
        return [(image.digest, *(layer.digest for layer in image.layers))]
    ends = {manifest.descriptor.digest for manifest in image.manifests}
    around = tuple(d.digest for d in image.documents if d.digest not in ends)
    chosen = list(image.manifests)
    if platform is not None and around:
        chosen = [m for m in chosen if str(m.platform) == platform] or chosen
    return [
        (
            *around,
            manifest.descriptor.digest,
            manifest.config.digest,
            *(layer.digest for layer in manifest.layers),
        )
        for manifest in chosen
    ]


def read_target(
    stored: Stored, digest: str, *, config: bool, layers: bool
) -> str | None:
    """Walk what a client keeps, and say what is wrong with it, if anything is.

    Args:
        stored: All that it keeps.
        digest: Where to begin; its bytes are kept and are the right ones.
        config: Whether this client keeps configs as they come.
        layers: The same of layers.
    """
    document = _read(stored, digest)
    if not isinstance(document, dict):
        return "it is no document"
    if isinstance(entries := document.get("manifests"), list):
        problems = [
            read_target(stored, child, config=config, layers=layers)
            for child in _digests(entries)
            if stored.intact(child)
        ]
        if not problems:
            return "keeps none of the manifests that it lists"
        return None if None in problems else problems[0]
    wanted: list[str] = []
    if not any(key in document for key in ("config", "layers", "fsLayers")):
        return "it is neither a manifest nor an index"
    if config:
        wanted += _digests([document.get("config")])
    if layers and isinstance(document.get("layers"), list):
        wanted += _digests(document["layers"])
    for child in wanted:
        if not stored.intact(child):
            return f"does not keep {child}"
    return None


def _read(stored: Stored, digest: str) -> Any:  # noqa: ANN401 - the JSON edge
    blob = (stored.content or {})[digest]
    try:
        return None if blob.path is None else json.loads(blob.path.read_bytes())
    except (ValueError, RecursionError):
        return None


def _digests(entries: Sequence[object]) -> list[str]:
    return list(_each_digest(entries))


def _each_digest(entries: Sequence[object]) -> Iterator[str]:
    for entry in entries:
        if isinstance(entry, dict) and isinstance(entry.get("digest"), str):
            yield entry["digest"]
