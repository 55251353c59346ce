"""unpacker.go: the wrapper of handlers by itself."""

from contextlib import asynccontextmanager

import pytest

from refimpl import images
from refimpl.client import Client, RemoteContext
from refimpl.descriptor import Descriptor
from refimpl.digest import Digest
from refimpl.errdefs import ErrNotFound, ErrSkipDesc
from refimpl.errgroup import errgroup
from refimpl.platforms import only, parse
from refimpl.unpacker import Unpacker

pytestmark = pytest.mark.anyio

UNPACK = RemoteContext(unpack=True)


@pytest.fixture
async def client(tmp_path, anyio_backend):
    """A client for linux/amd64, whatever the machine is."""
    amd64 = only(parse("linux/amd64"))
    async with Client(tmp_path / "root", platform=amd64) as client:
        yield client


@asynccontextmanager
async def wrapped_handler(client, handler, context=UNPACK):
    unpacker = Unpacker(client, context)
    async with errgroup() as eg:
        yield unpacker, unpacker.handler_wrapper(eg)(handler)


async def test_layers_are_kept_from_the_walk(client):
    config = Descriptor(media_type=images.MEDIA_TYPE_IMAGE_CONFIG, digest=Digest("c"))
    layer = Descriptor(
        media_type=images.MEDIA_TYPE_IMAGE_LAYER_GZIP, digest=Digest("l")
    )
    other = Descriptor(media_type="text/plain", digest=Digest("o"))

    async def handler(_desc):
        return (config, layer, other, layer)

    async with wrapped_handler(client, handler) as (unpacker, handle):
        manifest = Descriptor(
            media_type=images.MEDIA_TYPE_IMAGE_MANIFEST, digest=Digest("m")
        )
        assert await handle(manifest) == (config, other)
        assert await handle(other) == (config, layer, other, layer)
        # A configuration of a manifest that was never seen
        unknown = Descriptor(
            media_type=images.MEDIA_TYPE_IMAGE_CONFIG, digest=Digest("x")
        )
        await handle(unknown)
    assert unpacker.unpacks == 0


async def test_an_error_of_the_handler_is_the_wrappers(client):
    async def handler(_desc):
        raise ErrSkipDesc

    async with wrapped_handler(client, handler) as (_, handle):
        with pytest.raises(ErrSkipDesc):
            await handle(Descriptor())


async def test_a_layer_that_a_handler_skips_is_taken_for_fetched(registry, client):
    """unpacker.go:281: then it has to be there already."""
    image = registry.publish("library/hello:1", layers=1)
    layer = image.layers[0].digest

    async def skip(desc):
        if desc.digest == layer:
            raise ErrSkipDesc
        return ()

    context = RemoteContext(unpack=True, base_handlers=(skip,))
    with pytest.raises(ErrNotFound, match=f"content digest {layer}"):
        await client.pull(registry.ref(image), context)
    await client.pull(registry.ref(image))
    pulled = await client.pull(registry.ref(image), context)
    assert await pulled.is_unpacked()
