"""From a root to all that belongs to it: indexes, manifests, configs, layers.

Everything found is checked against its descriptor. Two things may be missing, as
they are in the wild: entries of an index (image-spec v1.1, image-layout.md: blobs
may come from elsewhere), and layers that are not distributed.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Final

from fakeregistry.archive import ExchangeError, parse_json
from fakeregistry.image import (
    DOCKER_FOREIGN_LAYER,
    DOCKER_LIST,
    DOCKER_MANIFEST,
    OCI_FOREIGN_LAYER,
    OCI_INDEX,
    OCI_MANIFEST,
    Descriptor,
    Image,
    Manifest,
    Platform,
    frozen,
    unique,
)

__all__ = ["collect", "parse_descriptor"]

Read = Callable[[Descriptor], bytes | memoryview | None]

INDEXES: Final = frozenset((OCI_INDEX, DOCKER_LIST))
MANIFESTS: Final = frozenset((OCI_MANIFEST, DOCKER_MANIFEST))
# RFC 6838 section 4.2, and parameters.
_MEDIA_TYPE: Final = re.compile(r"[!-.0-~]+/[ -~]+")
_FOREIGN: Final = (OCI_FOREIGN_LAYER, DOCKER_FOREIGN_LAYER)
# image-spec v1.1, descriptor.md, Registered Algorithms; and SHA-384 beside them.
_DIGEST: Final = re.compile(
    r"sha256:[0-9a-f]{64}|sha384:[0-9a-f]{96}|sha512:[0-9a-f]{128}"
)


def collect(
    root: Descriptor, read: Read, *, repository: str, tag: str | None, where: str
) -> Image:
    """Return the image of a root.

    Args:
        root: Its descriptor.
        read: Returns the bytes for a descriptor, None if there are none.
        repository: Where the image will be.
        tag: What will name it.
        where: What errors name first: a file, a repository.

    Raises:
        ExchangeError: Something is missing, malformed, or not what it claims.
    """
    walk = _Walk(read, where)
    walk.run(root)
    return Image(
        repository=repository,
        tag=tag,
        descriptor=replace(root, annotations=None, platform=None),
        manifests=tuple(walk.manifests),
        documents=tuple(unique(walk.documents).values()),
        contents=tuple(unique(walk.contents).values()),
        data=frozen(walk.data),
    )


def parse_descriptor(document: object, where: str) -> Descriptor:
    """Read a descriptor (image-spec v1.1, descriptor.md).

    Raises:
        ExchangeError: A required property is missing or makes no sense.
    """
    if not isinstance(document, dict):
        raise ExchangeError(f"{where}: a descriptor is an object")
    media_type, digest = document.get("mediaType"), document.get("digest")
    size = document.get("size")
    if not isinstance(media_type, str) or not _MEDIA_TYPE.fullmatch(media_type):
        raise ExchangeError(f"{where}: {media_type!r} is no media type")
    if not isinstance(digest, str) or _DIGEST.fullmatch(digest) is None:
        raise ExchangeError(f"{where}: {digest!r} is no digest")
    if type(size) is not int or size < 0:
        raise ExchangeError(f"{where}: {digest} with size {size!r}")
    urls = document.get("urls")
    annotations = document.get("annotations")
    return Descriptor(
        media_type,
        digest,
        size,
        platform=_platform(document.get("platform")),
        annotations=annotations if isinstance(annotations, dict) else None,
        urls=tuple(urls) if isinstance(urls, list) else (),
    )


@dataclass(slots=True)
class _Walk:
    """What was found so far; each digest is visited once."""

    read: Read
    where: str
    manifests: list[Manifest] = field(default_factory=list)
    documents: list[Descriptor] = field(default_factory=list)
    contents: list[Descriptor] = field(default_factory=list)
    data: dict[str, bytes] = field(default_factory=dict)

    def run(self, root: Descriptor) -> None:
        """Visit documents depth first, in the order in which they are listed."""
        waiting = [root]
        while waiting:
            descriptor = waiting.pop()
            if descriptor.digest in self.data:
                continue
            data = self._take(descriptor)
            if data is None:
                if descriptor is root:
                    raise self._error(descriptor, "is missing")
                continue
            self.documents.append(replace(descriptor, annotations=None, platform=None))
            if descriptor.media_type in INDEXES:
                waiting.extend(reversed(self._entries(descriptor, data)))
            elif descriptor.media_type in MANIFESTS:
                self._manifest(descriptor, data)
            else:
                # A thing of its own: clients ask for it here or there.
                self.contents.append(descriptor)

    def _entries(self, descriptor: Descriptor, data: bytes) -> list[Descriptor]:
        document = self._document(descriptor, data)
        entries = document.get("manifests")
        if not isinstance(entries, list):
            raise self._error(descriptor, "is an index without manifests")
        where = f"{self.where}: {descriptor.digest}"
        return [parse_descriptor(entry, where) for entry in entries]

    def _manifest(self, descriptor: Descriptor, data: bytes) -> None:
        document = self._document(descriptor, data)
        listed = document.get("layers")
        if not isinstance(listed, list):
            raise self._error(descriptor, "is a manifest without layers")
        where = f"{self.where}: {descriptor.digest}"
        config = parse_descriptor(document.get("config"), where)
        layers = tuple(parse_descriptor(layer, where) for layer in listed)
        for item in (config, *layers):
            self._content(item)
        platform = descriptor.platform or _platform(self._config(config))
        plain = replace(descriptor, annotations=None, platform=None)
        self.manifests.append(
            Manifest(descriptor=plain, config=config, layers=layers, platform=platform)
        )

    def _content(self, descriptor: Descriptor) -> None:
        if descriptor.digest in self.data:
            return
        if self._take(descriptor) is not None:
            self.contents.append(descriptor)
        elif not descriptor.urls and not descriptor.media_type.startswith(_FOREIGN):
            raise self._error(descriptor, "is missing")

    def _take(self, descriptor: Descriptor) -> bytes | None:
        """Read and check bytes."""
        found = self.read(descriptor)
        if found is None:
            return None
        algorithm, _, value = descriptor.digest.partition(":")
        if hashlib.new(algorithm, found).hexdigest() != value:
            raise self._error(descriptor, "does not match its bytes")
        if len(found) != descriptor.size:
            size = f"{len(found)} bytes, not the {descriptor.size} of its descriptor"
            raise self._error(descriptor, f"has {size}")
        self.data[descriptor.digest] = data = bytes(found)
        return data

    def _document(self, descriptor: Descriptor, data: bytes) -> dict[str, Any]:
        document = parse_json(data, f"{self.where}: {descriptor.digest}")
        if not isinstance(document, dict):
            raise self._error(descriptor, "is no JSON object")
        return document

    def _config(self, config: Descriptor) -> object:
        """Parse a config that may be anything: an artifact's is no image's."""
        try:
            return json.loads(self.data[config.digest])
        except (KeyError, ValueError, RecursionError):
            return None

    def _error(self, descriptor: Descriptor, what: str) -> ExchangeError:
        return ExchangeError(f"{self.where}: {descriptor.digest} {what}")


def _platform(document: object) -> Platform | None:
    """Read the platform of an index entry or of a config, if there is one."""
    if not isinstance(document, dict):
        return None
    names = ("os", "architecture", "variant", "os.version")
    texts = [document.get(name, "") for name in names]
    if not all(isinstance(text, str) for text in texts) or not all(texts[:2]):
        return None
    system, architecture, variant, version = texts
    features = document.get("os.features")
    listed = tuple(map(str, features)) if isinstance(features, list) else ()
    return Platform(system, architecture, variant, version, listed)
