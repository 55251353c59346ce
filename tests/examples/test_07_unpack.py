"""Lesson 7: from layers to a folder that a container could run in.

Each layer is a snapshot on top of the one before, and named by its chain ID: the digest
of all that lies below it. So two images with the same first layers share snapshots.
"""

import io
import tarfile
from pathlib import Path

import anyio

from refimpl import Client, RemoteContext
from refimpl.identity import chain_id


def layer(**files):
    """Make a layer of names and contents; a name in capitals is removed."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, data in files.items():
            entry = tarfile.TarInfo(name if name.islower() else f".wh.{name.lower()}")
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return out.getvalue()


def test_unpack(registry, tmp_path):
    layers = [layer(old=b"1", kept=b"2"), layer(OLD=b"", new=b"3")]
    image = registry.publish("a:1", layers=layers, compression="none")

    async def lesson():
        async with Client(tmp_path) as client:
            pulled = await client.pull(registry.ref(image), RemoteContext(unpack=True))
            name = chain_id(await pulled.root_fs())
            (mount,) = await client.snapshot_service().view("look", name)
            return Path(mount.source)

    files = {file.name: file.read_bytes() for file in anyio.run(lesson).iterdir()}
    assert files == {"kept": b"2", "new": b"3"}
