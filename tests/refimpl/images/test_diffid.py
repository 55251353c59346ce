"""images/diffid.go: the digest of what is inside."""

import gzip

import pytest

from refimpl.descriptor import Descriptor
from refimpl.digest import from_bytes
from refimpl.errdefs import (
    ErrInvalidArgument,
    ErrNotFound,
    ErrUnavailable,
    ErrUnexpectedEOF,
)
from refimpl.images import mediatypes
from refimpl.images.diffid import get_diff_id
from refimpl.labels import UNCOMPRESSED
from refimpl.stores.content import write_blob
from refimpl.stores.memory import MemoryStore

pytestmark = pytest.mark.anyio

GZIP = mediatypes.MEDIA_TYPE_IMAGE_LAYER_GZIP
DATA = b"not even a tar" * 99


async def put(store, data, **labels):
    desc = Descriptor(media_type=GZIP, digest=from_bytes(data), size=len(data))
    await write_blob(store, "r", data, desc, labels=labels)
    return desc


@pytest.mark.parametrize(
    "media_type",
    [
        mediatypes.MEDIA_TYPE_IMAGE_LAYER,
        mediatypes.MEDIA_TYPE_IMAGE_LAYER_NON_DISTRIBUTABLE,
        mediatypes.MEDIA_TYPE_DOCKER_SCHEMA2_LAYER,
        mediatypes.MEDIA_TYPE_DOCKER_SCHEMA2_LAYER_FOREIGN,
    ],
)
async def test_an_uncompressed_layer_is_what_it_is(media_type):
    desc = Descriptor(media_type=media_type, digest=from_bytes(b"x"))
    assert await get_diff_id(MemoryStore(), desc) == desc.digest


async def test_a_compressed_one_is_decompressed_once():
    store = MemoryStore()
    desc = await put(store, gzip.compress(DATA), other="kept")
    assert await get_diff_id(store, desc) == from_bytes(DATA)
    labels = (await store.info(desc.digest)).labels
    assert labels == {"other": "kept", UNCOMPRESSED: from_bytes(DATA)}
    # The label is believed, whatever it says.
    other = await put(store, b"no gzip", **{UNCOMPRESSED: from_bytes(b"y")})
    assert await get_diff_id(store, other) == from_bytes(b"y")


async def test_a_label_that_is_no_digest():
    store = MemoryStore()
    desc = await put(store, b"x", **{UNCOMPRESSED: "nonsense"})
    with pytest.raises(ErrInvalidArgument):
        await get_diff_id(store, desc)


async def test_a_label_that_cannot_be_set_is_no_error(caplog):
    class ReadOnly(MemoryStore):
        async def update(self, info, *fieldpaths):
            raise ErrUnavailable("read-only")

    store = ReadOnly()
    desc = await put(store, gzip.compress(DATA))
    assert await get_diff_id(store, desc) == from_bytes(DATA)
    assert f"failed to set {UNCOMPRESSED} label for {desc.digest}" in caplog.text


async def test_what_cannot_be_decompressed_or_found():
    store = MemoryStore()
    with pytest.raises(ErrNotFound):
        await get_diff_id(store, Descriptor(media_type=GZIP, digest=from_bytes(b"")))
    with pytest.raises(ErrUnexpectedEOF):
        await get_diff_id(store, await put(store, gzip.compress(DATA)[:-1]))
