"""images/image.go, Children: what a document in a store points at."""

import json

import pytest

from refimpl import images
from refimpl.descriptor import Descriptor
from refimpl.digest import from_bytes
from refimpl.errdefs import ErrFailedPrecondition, ErrNotFound, message
from refimpl.gojson import JSONError
from refimpl.images.documents import MAX_DOCUMENT_SIZE
from refimpl.stores.memory import MemoryStore

pytestmark = pytest.mark.anyio


def stored(document, media_type=images.MEDIA_TYPE_IMAGE_MANIFEST):
    data = document if isinstance(document, bytes) else json.dumps(document).encode()
    store = MemoryStore()
    desc = Descriptor(media_type=media_type, digest=from_bytes(data), size=len(data))
    store.put(desc.digest, data)
    return store, desc


async def test_a_manifest_has_its_configuration_first():
    store, desc = stored({"config": {"size": 1}, "layers": [{"size": 2}, {"size": 3}]})
    found = await images.children(store, desc)
    assert [child.size for child in found] == [1, 2, 3]


async def test_an_index_has_its_manifests():
    document = {"manifests": [{"size": 2}, {"size": 1}]}
    store, desc = stored(document, images.MEDIA_TYPE_IMAGE_INDEX)
    found = await images.children_handler(store)(desc)
    assert [child.size for child in found] == [2, 1]


@pytest.mark.parametrize(
    "media_type",
    [images.MEDIA_TYPE_IMAGE_CONFIG, images.MEDIA_TYPE_IMAGE_LAYER, "text/plain"],
)
async def test_all_else_has_no_children_and_is_not_read(media_type):
    desc = Descriptor(media_type=media_type, digest=from_bytes(b"missing"))
    assert await images.children(MemoryStore(), desc) == ()


async def test_a_document_that_is_missing():
    desc = Descriptor(media_type=images.MEDIA_TYPE_IMAGE_INDEX, digest=from_bytes(b""))
    with pytest.raises(ErrNotFound):
        await images.children(MemoryStore(), desc)


async def test_only_the_check_of_the_type_names_the_document():
    """image.go:350 wraps, image.go:357 does not."""
    store, desc = stored(b"{")
    with pytest.raises(JSONError) as caught:
        await images.children(store, desc)
    assert message(caught.value) == (
        f"children: invalid desc {desc.digest}: unexpected end of JSON input"
    )
    store, desc = stored({"layers": {}})
    with pytest.raises(JSONError) as caught:
        await images.children(store, desc)
    assert message(caught.value).startswith("json: cannot unmarshal object")


async def test_a_document_that_is_too_long_is_not_parsed():
    """Deviation D17."""
    room = MAX_DOCUMENT_SIZE - len(b'{"layers":[]}')
    fits, desc = stored(b'{"layers":[]}' + b" " * room)
    assert len(await images.children(fits, desc)) == 1
    store, desc = stored(b'{"layers":[]}' + b" " * (room + 1))
    with pytest.raises(ErrFailedPrecondition, match="more than the limit"):
        await images.children(store, desc)


async def test_nesting_without_end_is_an_error():
    store, desc = stored(b'{"x":' + b"[" * 100_000)
    with pytest.raises(JSONError, match="exceeded max depth"):
        await images.children(store, desc)
