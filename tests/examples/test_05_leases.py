"""Lesson 5: why a collection does not take a pull's content away under its hands.

The record is written last, so until then nothing refers to what has come. A lease does:
whatever is written while it is held belongs to it. It ends with the pull, or after 24
hours if the pull was killed.
"""

import anyio

from refimpl import Client


def test_leases(registry, tmp_path):
    image = registry.publish("library/hello:1", layers=2)
    gate = registry.gate("/blobs/*", method="GET")  # the pull waits for its blobs

    async def lesson():
        async with Client(tmp_path) as client, anyio.create_task_group() as tasks:
            tasks.start_soon(client.pull, registry.ref(image))
            await anyio.to_thread.run_sync(gate.wait_for, 3)

            (lease,) = await client.leases_service().list()
            assert "containerd.io/gc.expire" in lease.labels
            await client.db.garbage_collect()  # comes at the worst moment
            held = await client.content_store().walk()
            assert [info.digest for info in held] == [image.digest]
            gate.open()

        async with Client(tmp_path) as client:
            assert await client.leases_service().list() == ()
            assert len(await client.image_service().list()) == 1

    anyio.run(lesson)
