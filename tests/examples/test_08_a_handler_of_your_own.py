"""Lesson 8: looking into a pull, and changing it, with handlers.

A base handler sees every descriptor before anything of it is fetched, and leaves one
out with `ErrSkipDesc`, and all below it. A wrapper sees what the whole chain found.
"""

import anyio

from refimpl import Client, ErrSkipDesc, RemoteContext


def test_handlers(registry, tmp_path):
    image = registry.publish("library/hello:1", layers=3)
    unwanted = image.layers[1].digest
    found = {}

    async def skip(desc):
        if desc.digest == unwanted:
            raise ErrSkipDesc
        return ()

    def watch(handler):
        async def handle(desc):
            children = await handler(desc)
            found[desc.digest] = [child.digest for child in children]
            return children

        return handle

    async def lesson():
        context = RemoteContext(base_handlers=[skip], handler_wrapper=watch)
        async with Client(tmp_path) as client:
            await client.pull(registry.ref(image), context)

    anyio.run(lesson)
    wanted = [image.config.digest, *(layer.digest for layer in image.layers)]
    assert found[image.digest] == wanted
    assert registry.journal.requests(digest=unwanted) == ()
    assert registry.journal.requests(digest=image.layers[2].digest)
