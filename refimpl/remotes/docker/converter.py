"""Mirrors: containerd v1.5.18 remotes/docker/converter.go.

Old registries and tools wrote manifests whose configuration has the media type
``application/octet-stream``. Such a manifest is written anew with the right one.
"""

import logging
from dataclasses import replace
from typing import Final

from refimpl import digest
from refimpl.descriptor import Descriptor
from refimpl.errdefs import wrapped
from refimpl.gojson import marshal_indent
from refimpl.gotext import quote
from refimpl.images.documents import parse_blob, read_bounded
from refimpl.images.image import Manifest, parse_manifest
from refimpl.images.mediatypes import (
    MEDIA_TYPE_DOCKER_SCHEMA2_CONFIG,
    is_manifest_type,
)
from refimpl.remotes.handlers import make_ref_key
from refimpl.stores.content import Store, write_blob

__all__ = ["LEGACY_CONFIG_MEDIA_TYPE", "convert_manifest"]

_log = logging.getLogger(__name__)

# docker/distribution issue 1622.
LEGACY_CONFIG_MEDIA_TYPE: Final = "application/octet-stream"


async def convert_manifest(store: Store, desc: Descriptor) -> Descriptor:
    """Store a manifest with the right type of configuration (converter.go:43).

    Returns the descriptor of the new manifest, or ``desc`` where nothing was to be
    done. What points at the old manifest does not change: an index keeps it.

    Raises:
        ErrNotFound: the manifest is not in the store.
        JSONError: it is not JSON, or a field has another type.
    """
    if not is_manifest_type(desc.media_type):
        _log.info("do nothing for media type: %s", quote(desc.media_type))
        return desc
    with wrapped("failed to read index data"):
        data = await read_bounded(store, desc)
    with wrapped("failed to unmarshal data into manifest"):
        manifest = await parse_blob(parse_manifest, data)
    if manifest.config.media_type != LEGACY_CONFIG_MEDIA_TYPE:
        return desc
    config = replace(manifest.config, media_type=MEDIA_TYPE_DOCKER_SCHEMA2_CONFIG)
    return await _store(store, desc, replace(manifest, config=config))


async def _store(store: Store, desc: Descriptor, manifest: Manifest) -> Descriptor:
    """Write a manifest, labelled with what it refers to."""
    data = marshal_indent(manifest.to_json(), "   ")
    desc = replace(desc, digest=digest.from_bytes(data), size=len(data))
    labels = {
        f"containerd.io/gc.ref.content.{number}": str(child.digest)
        for number, child in enumerate((manifest.config, *(manifest.layers or ())))
    }
    with wrapped("failed to update content"):
        await write_blob(store, make_ref_key(desc), data, desc, labels=labels)
    return desc
