"""A pull that unpacks is killed anywhere: the store opens, and all can go on."""

import random
import sqlite3
import subprocess
import sys

import anyio
import pytest

from fakeregistry.layers import files_layer
from refimpl.client import Client, RemoteContext
from refimpl.platforms import only, parse

pytestmark = pytest.mark.slow

# Dies before the n-th change to the disk; says how many there were if it lives.
CHILD = """
import itertools, os, signal, sys
from refimpl.__main__ import main
from refimpl.stores.database import Database

last, steps = int(sys.argv[1]), itertools.count(1)
CHANGES = {"os.rename", "os.mkdir", "os.link", "os.symlink", "os.remove", "os.rmdir",
           "os.chmod", "os.utime", "os.truncate"}

def step():
    global taken
    taken = next(steps)
    if taken == last:
        os.kill(os.getpid(), signal.SIGKILL)

def watch(event, _args):
    if event in CHANGES:
        step()

class Connection:
    def __init__(self, plain):
        self._plain = plain
    def __getattr__(self, name):
        return getattr(self._plain, name)
    def execute(self, statement, *args):
        if statement == "COMMIT":
            step()
        cursor = self._plain.execute(statement, *args)
        if statement == "COMMIT":
            step()
        return cursor

plain = Database.__init__
Database.__init__ = lambda self, path, tx: plain(self, path, Connection(tx))
sys.addaudithook(watch)
status = main(sys.argv[2:])
print(taken)
sys.exit(status)
"""

LAYERS = [
    files_layer({"a": b"1", "b": b"1"}),
    files_layer({"a": b"2", ".wh.b": b"", "d/e": b"2"}),
    files_layer({"f": b"3" * 5000}),
]
WANTED = {"a": b"2", "d/e": b"2", "f": b"3" * 5000}


def pull(root, ref, last):
    command = [sys.executable, "-c", CHILD, str(last), "--root", str(root)]
    return subprocess.run(
        [*command, "pull", ref, "--unpack", "--platform", "linux/amd64"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def files(root):
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file()
    }


async def collected(root):
    """Let go of what died, collect, and return records, blobs and snapshots."""
    async with Client(root) as client:
        for lease in await client.leases_service().list():
            await client.leases_service().delete(lease)
        await client.db.garbage_collect()
        images = await client.image_service().list()
        blobs = {info.digest for info in await client.content_store().walk()}
        snapshots = {info.name for info in await client.snapshot_service().walk()}
    return images, blobs, snapshots


def check_files_and_rows(root, count):
    """There is a folder for each row, and nothing else."""
    folder = root / "snapshots" / "native" / "snapshots"
    connection = sqlite3.connect(root / "metadata.db")
    rows = {str(n) for (n,) in connection.execute("SELECT id FROM native_snapshots")}
    connection.close()
    assert {path.name for path in folder.iterdir()} == rows
    assert len(rows) == count


async def unpacked(root, ref):
    amd64 = only(parse("linux/amd64"))
    async with Client(root, platform=amd64) as client:
        image = await client.pull(ref, RemoteContext(unpack=True))
        assert await image.is_unpacked()
        snapshotter = client.snapshot_service()
        found = await snapshotter.walk()
        parents = {info.parent for info in found}
        (top,) = [info.name for info in found if info.name not in parents]
        return files(await snapshotter.root(top))


@pytest.mark.parametrize("points", [12, pytest.param(100, marks=pytest.mark.extensive)])
def test_a_pull_that_is_killed_anywhere(registry, tmp_path, points):
    image = registry.publish("library/hello:1", layers=LAYERS)
    ref = registry.ref(image)
    whole = pull(tmp_path / "whole", ref, 0)
    assert (whole.returncode, whole.stderr) == (0, "")
    steps = int(whole.stdout.split()[-1])
    assert steps > 100
    chosen = random.Random(20)  # noqa: S311 - repeatable is the point
    for last in chosen.sample(range(1, steps + 1), points):
        root = tmp_path / f"killed at {last}"
        killed = pull(root, ref, last)
        assert killed.returncode in {-9, 0}, killed.stderr
        images, blobs, snapshots = anyio.run(collected, root)
        assert len(images) <= 1
        assert blobs == ({desc.digest for desc in image.blobs} if images else set())
        assert len(snapshots) == (len(LAYERS) if images else 0)
        check_files_and_rows(root, len(snapshots))
        assert anyio.run(unpacked, root, ref) == WANTED
        assert len(anyio.run(collected, root)[2]) == len(LAYERS)
        check_files_and_rows(root, len(LAYERS))
