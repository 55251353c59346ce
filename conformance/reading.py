"""What the readers of stores share: JSON that may be broken, files, descriptors."""

import json
from pathlib import Path
from typing import Any

from conformance.contract import Json
from conformance.stored import hash_file

__all__ = [
    "as_object",
    "as_objects",
    "as_text",
    "blob",
    "descriptor_of",
    "image",
    "is_hexadecimal",
    "is_inside",
    "is_plain",
    "json_file",
]


def is_plain(path: Path) -> bool:
    """Whether a path is a file of its own, not a link."""
    return path.is_file() and not path.is_symlink()


def blob(path: Path, digest: str | None) -> Json:
    """Return a file as the content of a store."""
    return {"digest": digest, "size": path.stat().st_size, "path": str(path)}


def image(name: str, descriptor: Json) -> Json:
    """Return an image record."""
    keys = ("mediaType", "digest", "size")
    return {"name": name, "target": {key: descriptor.get(key) for key in keys}}


def json_file(path: Path) -> Any:  # noqa: ANN401 - the JSON edge
    """Return what a file says; an empty object if it is absent or not JSON.

    A client that keeps a broken document must not break the suite: it is a blob
    whose digest tells.
    """
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}


def as_object(value: Any) -> Json:  # noqa: ANN401 - the JSON edge
    """Return an object, empty if it is none."""
    return value if isinstance(value, dict) else {}


def as_objects(value: Any) -> list[Json]:  # noqa: ANN401 - the JSON edge
    """Return the objects of a list, none if it is none."""
    entries = value if isinstance(value, list) else []
    return [entry for entry in entries if isinstance(entry, dict)]


def as_text(value: Any) -> str:  # noqa: ANN401 - the JSON edge
    """Return a text, empty if it is none."""
    return value if isinstance(value, str) else ""


def is_hexadecimal(name: str) -> bool:
    """Whether a name is the encoded part of a sha256."""
    return len(name) == 64 and not set(name) - set("0123456789abcdef")


def descriptor_of(manifest: Path) -> Json:
    """Return the descriptor of a manifest's file."""
    document = as_object(json_file(manifest))
    media_type = document.get("mediaType")
    if not isinstance(media_type, str):
        kind = "index" if "manifests" in document else "manifest"
        media_type = f"application/vnd.oci.image.{kind}.v1+json"
        if document.get("schemaVersion") == 1:
            media_type = "application/vnd.docker.distribution.manifest.v1+prettyjws"
    return {"mediaType": media_type, **blob(manifest, hash_file(manifest))}


def is_inside(folder: Path, name: str) -> bool:
    """Whether a name is that of a file below a folder."""
    path = (folder / name).resolve()
    return bool(name) and path.is_relative_to(folder.resolve()) and path.is_file()
