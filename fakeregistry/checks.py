"""Manifests that are pushed: what a registry checks before it takes one.

image-spec v1.1.1 (manifest.md, image-index.md, descriptor.md) for the shape,
distribution-spec v1.1.1, Pushing Manifests, for what must be there already.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from fakeregistry.errors import RegistryError
from fakeregistry.image import DOCKER_LIST, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST
from fakeregistry.store import valid_digest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fakeregistry.store import Repository

__all__ = ["Parsed", "check_manifest", "parse_manifest", "subject_of", "type_of"]

Parsed = Mapping[str, Any]

_IMAGES: Final = frozenset({OCI_MANIFEST, DOCKER_MANIFEST})
_INDEXES: Final = frozenset({OCI_INDEX, DOCKER_LIST})
# Layers that are not meant to be on every registry (layer.md, Non-Distributable).
_ELSEWHERE: Final = (
    "application/vnd.oci.image.layer.nondistributable.",
    "application/vnd.docker.image.rootfs.foreign.",
)


def parse_manifest(data: bytes) -> Parsed:
    """Read a manifest as strictly as JSON is defined (RFC 8259).

    Raises:
        RegistryError: It is no JSON object.
    """
    try:
        document = json.loads(data.decode(), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as err:
        raise _invalid("the manifest is no JSON") from err
    if not isinstance(document, dict):
        raise _invalid("the manifest is no JSON object")
    return document


def type_of(document: Parsed, content_type: str) -> str:
    """Return the media type of a manifest; header and document must agree.

    "If a manifest includes a mediaType field, clients MUST set the Content-Type
    header to the value specified by the mediaType field." Parameters are ignored.

    Raises:
        RegistryError: They do not agree, or neither says anything.
    """
    told = content_type.partition(";")[0].strip()
    inside = document.get("mediaType")
    if inside is not None and not _is_text(inside):
        raise _invalid("mediaType is no media type")
    if told and inside is not None and told.lower() != inside.lower():
        raise _invalid(
            "Content-Type and mediaType differ",
            detail={"Content-Type": told, "mediaType": inside},
        )
    found = inside or told
    if not _is_text(found):
        raise _invalid("neither Content-Type nor mediaType says what it is")
    return str(found)


def check_manifest(document: Parsed, media_type: str, repository: Repository) -> None:
    """Check the shape of a manifest, and that what it refers to is there.

    Media types that are unknown are not looked into, but for the subject.

    Raises:
        RegistryError: MANIFEST_INVALID, or a MANIFEST_BLOB_UNKNOWN for everything
            that is missing.
    """
    subject_of(document)
    if media_type not in _IMAGES and media_type not in _INDEXES:
        return
    if document.get("schemaVersion") != 2:
        raise _invalid("schemaVersion is not 2")
    if "manifests" in document and ("config" in document or "layers" in document):
        # Two readings of one document (CVE-2021-41190).
        raise _invalid("the manifest is an image and an index at once")
    missing = [
        RegistryError("MANIFEST_BLOB_UNKNOWN", 400, detail={"digest": digest})
        for digest in dict.fromkeys(_missing(document, media_type, repository))
    ]
    if missing:
        first, *more = missing
        raise RegistryError(first.code, 400, detail=first.detail, more=more)


def subject_of(document: Parsed) -> str | None:
    """Return the digest of the subject, None without one.

    Raises:
        RegistryError: It is there, but is no descriptor.
    """
    subject = document.get("subject")
    return None if subject is None else _descriptor(subject, "subject")


def _missing(
    document: Parsed, media_type: str, repository: Repository
) -> Iterator[str]:
    if media_type in _INDEXES:
        for entry in _list(document, "manifests"):
            digest = _descriptor(entry, "manifests")
            # Some clients list blobs in an index, such as a build cache.
            if digest not in repository.manifests and digest not in repository.blobs:
                yield digest
        return
    config = _descriptor(document.get("config"), "config")
    if config not in repository.blobs:
        yield config
    for entry in _list(document, "layers"):
        digest = _descriptor(entry, "layers")
        if digest not in repository.blobs and not _is_elsewhere(entry):
            yield digest


def _list(document: Parsed, name: str) -> list[Any]:
    found = document.get(name)
    if not isinstance(found, list):
        raise _invalid(f"{name} is no list")
    return found


def _descriptor(entry: object, where: str) -> str:
    """Return the digest of a descriptor (descriptor.md, Properties)."""
    if not isinstance(entry, dict):
        raise _invalid(f"{where}: no descriptor")
    digest, size = entry.get("digest"), entry.get("size")
    if not isinstance(digest, str) or not valid_digest(digest):
        raise _invalid(f"{where}: a descriptor has no digest")
    if not isinstance(size, int) or isinstance(size, bool) or size < 0:
        raise _invalid(f"{where}: a descriptor has no size", detail={"digest": digest})
    if not _is_text(entry.get("mediaType")):
        raise _invalid(
            f"{where}: a descriptor has no mediaType", detail={"digest": digest}
        )
    return digest


def _is_elsewhere(entry: Parsed) -> bool:
    """Say whether a layer is to be fetched from somewhere else."""
    return bool(entry.get("urls")) or entry["mediaType"].startswith(_ELSEWHERE)


def _is_text(value: object) -> bool:
    """Say whether a value can be sent in a header."""
    return (
        isinstance(value, str)
        and bool(value)
        and value.isascii()
        and value.isprintable()
    )


def _invalid(message: str, *, detail: object = None) -> RegistryError:
    return RegistryError("MANIFEST_INVALID", 400, message=message, detail=detail)


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")
