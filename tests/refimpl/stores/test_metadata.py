"""metadata/db.go: a root folder that several processes use, and that survives."""

import signal

import pytest

from refimpl.descriptor import Descriptor
from refimpl.digest import from_bytes
from refimpl.errdefs import ErrFailedPrecondition, ErrInvalidArgument
from refimpl.stores.content import open_writer, read_blob, write_blob
from refimpl.stores.metadata import DB
from refimpl.workers import run_blocking

pytestmark = pytest.mark.anyio

SMALL, BIG = b"small", b"big" * 50_000


def desc(data):
    return Descriptor(media_type="m", digest=from_bytes(data), size=len(data))


# Runs one scenario again and again, each time killed one step later. A step is
# a call that changes files (an audit event) or a statement to the database.
KILLED = """
import os, signal, sys
from pathlib import Path
import anyio
from refimpl.descriptor import Descriptor
from refimpl.digest import from_bytes
from refimpl.images.image import Image
from refimpl.stores.content import BytesReader, copy, open_writer, write_blob
from refimpl.stores.database import Database
from refimpl.stores.leases import with_lease
from refimpl.stores.metadata import DB
from refimpl.workers import run_blocking

root, stride = Path(sys.argv[1]), int(sys.argv[2])
steps, last = 0, 0
EVENTS = {"open", "os.link", "os.rename", "os.mkdir", "os.remove", "os.rmdir",
          "os.chmod", "shutil.rmtree"}

def step(*_):
    global steps
    steps += 1
    if steps == last:
        os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(lambda event, args: step() if event in EVENTS else None)
opened = Database.open

def open_traced(path):
    database = opened(path)
    database._connection.set_trace_callback(step)
    return database

Database.open = open_traced
SMALL, BIG = b"small", b"big" * 50_000

def desc(data):
    return Descriptor(media_type="m", digest=from_bytes(data), size=len(data))

async def scenario(folder):
    async with await DB.open(folder) as db:
        store, leases = db.content_store("ns"), db.lease_manager("ns")
        lease = await leases.create(id="lease")
        with with_lease(lease.id):
            async with await open_writer(store, ref="big", desc=desc(BIG)) as writer:
                await run_blocking(writer.write, BIG[:100_000])
            await write_blob(store, "big", BIG, desc(BIG))
            labels = {"containerd.io/gc.ref.content.0": desc(BIG).digest}
            await write_blob(store, "small", SMALL, desc(SMALL), labels=labels)
            await write_blob(store, "lost", b"lost", desc(b"lost"))
            await db.image_store("ns").create(Image(name="a", target=desc(SMALL)))
        await leases.delete(lease)
        await db.garbage_collect()

status = None
while status != 0:
    steps, last = 0, last + stride
    if not (child := os.fork()):
        anyio.run(scenario, root / str(last))
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    print(last, status, flush=True)
"""


async def check(root):
    """What is listed is whole; what was interrupted can be done again."""
    async with await DB.open(root) as db:
        store, images = db.content_store("ns"), db.image_store("ns")
        for info in await store.walk():
            assert from_bytes(await read_blob(store, desc_of(info))) == info.digest
        for image in await images.list():
            assert len(await read_blob(store, image.target)) == image.target.size
        kept = {desc(SMALL).digest, desc(BIG).digest} if await images.list() else set()
        for lease in await db.lease_manager("ns").list():
            await db.lease_manager("ns").delete(lease)
        await write_blob(store, "big", BIG, desc(BIG))
        if not kept:
            await store.delete(desc(BIG).digest)
        await db.garbage_collect()
        assert {info.digest for info in await store.walk()} == kept
        files = {p.name for p in (root / "content/blobs/sha256").iterdir()}
        assert files == {digest.partition(":")[2] for digest in kept}
        assert (await db.garbage_collect()).files == 0


def desc_of(info):
    return Descriptor(digest=info.digest, size=info.size)


@pytest.mark.slow
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_killed_at_any_moment(tmp_path, spawn, anyio_backend):
    out, _ = spawn(KILLED, tmp_path, 7).communicate()
    *killed, (whole, status) = [map(int, line.split()) for line in out.splitlines()]
    assert status == 0
    async with await DB.open(tmp_path / str(whole)) as db:
        assert len(await db.content_store("ns").walk()) == 2
    assert len(killed) > 20
    for last, status in killed:
        assert status == signal.SIGKILL
        await check(tmp_path / str(last))


PULLER = """
import sys
from pathlib import Path
import anyio
from refimpl.descriptor import Descriptor
from refimpl.digest import from_bytes
from refimpl.stores.content import write_blob
from refimpl.stores.metadata import DB

async def main():
    async with await DB.open(Path(sys.argv[1])) as db:
        print("ready", flush=True)
        sys.stdin.readline()
        store = db.content_store("ns")
        for number in range(20):
            data = b"%d" % number * 20_000
            desc = Descriptor(digest=from_bytes(data), size=len(data))
            await write_blob(store, f"ref-{number}", data, desc)
    print("done")

anyio.run(main)
"""


@pytest.mark.slow
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_processes_share_a_root(tmp_path, spawn, anyio_backend):
    """Both write the same refs at once; neither fails, nothing is written twice."""
    pullers = [spawn(PULLER, tmp_path) for _ in range(2)]
    for puller in pullers:
        assert puller.stdout.readline() == "ready\n"
    for puller in pullers:
        puller.stdin.write("\n")
        puller.stdin.flush()
    async with await DB.open(tmp_path) as db:
        for puller in pullers:
            await db.garbage_collect()
            assert await run_blocking(puller.stdout.readline) == "done\n"
            assert await run_blocking(puller.wait) == 0
        store = db.content_store("ns")
        for info in await store.walk():
            await read_blob(store, desc_of(info))
        assert await store.list_statuses() == ()


HOLDER = """
import sys
from pathlib import Path
import anyio
from refimpl.descriptor import Descriptor
from refimpl.digest import from_bytes
from refimpl.stores.content import open_writer
from refimpl.stores.metadata import DB
from refimpl.workers import run_blocking

async def main():
    data = b"x" * 100_000
    desc = Descriptor(digest=from_bytes(data), size=len(data))
    async with await DB.open(Path(sys.argv[1])) as db:
        store = db.content_store("ns")
        async with await open_writer(store, ref="r", desc=desc) as writer:
            await run_blocking(writer.write, data[:70_000])
            print("writing", flush=True)
            await run_blocking(sys.stdin.readline)
            await run_blocking(writer.write, data[70_000:])
            await writer.commit(len(data), desc.digest)

anyio.run(main)
"""


@pytest.mark.slow
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_what_another_process_writes_is_not_collected(
    tmp_path, spawn, anyio_backend
):
    holder = spawn(HOLDER, tmp_path)
    assert holder.stdout.readline() == "writing\n"
    async with await DB.open(tmp_path) as db:
        with db.database.update() as tx:
            tx.execute("UPDATE ingests SET expires_at = 0")
        assert (await db.garbage_collect()).removed == ()
        holder.stdin.write("\n")
        holder.stdin.flush()
        assert holder.wait() == 0
        assert [i.size for i in await db.content_store("ns").walk()] == [100_000]


async def test_a_root_that_cannot_be_one(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ErrFailedPrecondition, match="cannot hold a store"):
        await DB.open(tmp_path / "file")


async def test_a_failed_open_leaves_nothing_open(tmp_path, open_files):
    before = open_files()
    (tmp_path / "locks").mkdir()
    with pytest.raises(ErrFailedPrecondition, match="cannot hold a store"):
        await DB.open(tmp_path)
    (tmp_path / "metadata.db").write_bytes(b"no database" * 1000)
    with pytest.raises(ErrFailedPrecondition, match="no database"):
        await DB.open(tmp_path)
    assert open_files() == before


async def test_namespaces_are_checked(db):
    for get in (db.content_store, db.image_store, db.lease_manager):
        with pytest.raises(ErrInvalidArgument):
            get("../x")


async def test_closing_leaves_nothing_open(tmp_path, open_files):
    before = open_files()
    async with await DB.open(tmp_path / "root") as db:
        await write_blob(db.content_store("ns"), "r", SMALL, desc(SMALL))
        writer = await open_writer(db.content_store("ns"), ref="left")
    await writer.aclose()
    await db.aclose()
    assert open_files() == before
    names = sorted(path.name for path in (tmp_path / "root").iterdir())
    assert names == ["content", "locks", "metadata.db", "snapshots"]
