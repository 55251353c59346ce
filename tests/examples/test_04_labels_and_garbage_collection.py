"""Lesson 4: what keeps content alive.

The collector knows nothing of images as such. It starts at the records and follows
labels: an index names its manifests, a manifest its config and layers. What cannot be
reached that way is garbage.
"""

import anyio

from refimpl import Client


def test_labels(registry, tmp_path):
    image = registry.publish("library/hello:1", layers=2)
    everything = {image.digest, *(blob.digest for blob in image.contents)}

    async def lesson():
        async with Client(tmp_path) as client:
            pulled = await client.pull(registry.ref(image))
            store = client.content_store()

            labels = (await store.info(pulled.target.digest)).labels
            assert labels["containerd.io/gc.ref.content.config"] == image.config.digest
            assert labels["containerd.io/gc.ref.content.l.0"] == image.layers[0].digest

            # A record, so everything stays ...
            assert (await client.db.garbage_collect()).removed == ()
            assert {info.digest for info in await store.walk()} == everything

            # ... and without it nothing does.
            await client.image_service().delete(pulled.name)
            await client.db.garbage_collect()
            assert await store.walk() == ()

    anyio.run(lesson)
