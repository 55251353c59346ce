"""Lesson 6: an image of 2015, whose manifest is signed and knows no sizes.

Schema1 lists layers top first, and beside each a history entry that was the layer's
configuration then. The converter fetches base first, finds out what is empty, and
writes the manifest and the configuration that such an image never had.
"""

import json

import anyio

from refimpl import Client, RemoteContext


def test_schema1(registry, tmp_path):
    image = registry.publish(
        "library/old:1", format="schema1", layers=2, empty_layers=1
    )

    async def lesson():
        async with Client(tmp_path) as client:
            context = RemoteContext(convert_schema1=True)
            pulled = await client.pull(registry.ref(image), context)
            path = client.db.blob_path
            manifest = json.loads(path(pulled.target.digest).read_bytes())
            config = json.loads(path(manifest["config"]["digest"]).read_bytes())
            return pulled.target, manifest, config, path(image.digest).exists()

    target, manifest, config, kept = anyio.run(lesson)
    assert target.media_type == "application/vnd.oci.image.manifest.v1+json"
    assert [layer["digest"] for layer in manifest["layers"]] == [
        layer.digest for layer in image.layers
    ]
    # The history has all steps, the root file system those that changed something.
    assert len(config["history"]) == 3
    assert len(config["rootfs"]["diff_ids"]) == 2
    assert not kept  # the signed document itself is not needed any more
