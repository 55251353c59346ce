"""Lesson 1: from a name to a descriptor, and whom that makes you trust.

A tag is a word; only a digest says which bytes are meant. Resolving asks HEAD for the
tag and takes the registry at its word, once: from here on every byte is checked.
"""

import anyio

from refimpl import ResolverOptions, new_resolver


def test_resolve(registry):
    image = registry.publish("library/hello:1", platforms=["linux/amd64"])

    async def resolve(ref):
        async with new_resolver(ResolverOptions(plain_http=True)) as resolver:
            return await resolver.resolve(ref)

    # One HEAD is enough: type, digest and size stand in the response's head.
    name, desc = anyio.run(resolve, registry.ref(image))
    assert name == registry.ref(image)
    assert desc.to_json() == image.descriptor.to_json()
    assert [asked.method for asked in registry.journal] == ["HEAD"]

    # Without a digest in the head the manifest is fetched, and hashed here.
    registry.journal.clear()
    registry.fault(method="HEAD", remove_headers=["Docker-Content-Digest", "ETag"])
    assert anyio.run(resolve, registry.ref(image)) == (name, desc)
    assert [asked.method for asked in registry.journal] == ["HEAD", "GET"]

    # A digest in the reference wins over whatever the registry says.
    pinned = registry.ref(image, digest=True)
    registry.fault(headers={"Docker-Content-Digest": f"sha256:{'0' * 64}"})
    assert anyio.run(resolve, pinned)[1].digest == image.digest
