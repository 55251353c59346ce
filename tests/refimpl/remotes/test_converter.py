"""remotes/docker/converter.go: configurations that nobody gave a type."""

import json

import pytest

from refimpl import images
from refimpl.descriptor import Descriptor
from refimpl.digest import from_bytes
from refimpl.errdefs import ErrNotFound, message
from refimpl.gojson import JSONError
from refimpl.remotes.docker import convert_manifest
from refimpl.stores.content import read_blob
from refimpl.stores.memory import MemoryStore

pytestmark = pytest.mark.anyio

DIGESTS = [from_bytes(bytes([number])) for number in range(3)]


def manifest(media_type="application/octet-stream", **more):
    config = {"mediaType": media_type, "size": 1, "digest": DIGESTS[0]}
    layers = [{"digest": digest, "size": 2} for digest in DIGESTS[1:]]
    return {"config": config, "layers": layers, **more}


def stored(document, media_type=images.MEDIA_TYPE_DOCKER_SCHEMA2_MANIFEST):
    data = document if isinstance(document, bytes) else json.dumps(document).encode()
    store = MemoryStore()
    desc = Descriptor(media_type=media_type, digest=from_bytes(data), size=len(data))
    store.put(desc.digest, data)
    return store, desc


async def test_the_configuration_gets_its_type_and_the_manifest_its_labels():
    store, desc = stored(manifest(schemaVersion=2, unknown=1))
    new = await convert_manifest(store, desc)
    data = await read_blob(store, new)
    assert (new.digest, new.size) == (from_bytes(data), len(data))
    written = json.loads(data)
    assert written["config"]["mediaType"] == images.MEDIA_TYPE_DOCKER_SCHEMA2_CONFIG
    assert list(written) == ["schemaVersion", "config", "layers"]
    assert data.startswith(b'{\n   "schemaVersion": 2,\n   "config": {\n      "media')
    assert (await store.info(new.digest)).labels == {
        f"containerd.io/gc.ref.content.{number}": digest
        for number, digest in enumerate(DIGESTS)
    }


async def test_converting_again_finds_the_result():
    store, desc = stored(manifest())
    assert await convert_manifest(store, desc) == await convert_manifest(store, desc)


async def test_missing_layers_become_null():
    store, desc = stored({"config": manifest()["config"]})
    new = await convert_manifest(store, desc)
    assert (await read_blob(store, new)).endswith(b'"layers": null\n}')


async def test_annotations_are_sorted():
    store, desc = stored(manifest(annotations={"b": "<", "a": "1"}))
    new = await convert_manifest(store, desc)
    data = await read_blob(store, new)
    assert data.index(b'"a": "1"') < data.index(rb'"b": "\u003c"')


@pytest.mark.parametrize(
    ("document", "media_type"),
    [
        (manifest(images.MEDIA_TYPE_IMAGE_CONFIG), images.MEDIA_TYPE_IMAGE_MANIFEST),
        (manifest(), images.MEDIA_TYPE_IMAGE_INDEX),
        (b"not json", "text/plain"),
    ],
)
async def test_all_else_stays_as_it_is(document, media_type):
    store, desc = stored(document, media_type)
    assert await convert_manifest(store, desc) is desc


async def test_what_cannot_be_read():
    _, desc = stored(manifest())
    with pytest.raises(ErrNotFound) as missing:
        await convert_manifest(MemoryStore(), desc)
    assert message(missing.value).startswith("failed to read index data: content ")
    store, desc = stored(b"{")
    with pytest.raises(JSONError) as broken:
        await convert_manifest(store, desc)
    assert message(broken.value).startswith("failed to unmarshal data into manifest: ")
