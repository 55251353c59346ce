"""snapshots/native/native.go, storage/bolt.go: folders, rows and crashes."""

import sqlite3
from pathlib import Path

import pytest

from refimpl.descriptor import Descriptor
from refimpl.digest import from_bytes
from refimpl.errdefs import (
    ErrAlreadyExists,
    ErrFailedPrecondition,
    ErrInvalidArgument,
    ErrNotFound,
)
from refimpl.images.image import Image
from refimpl.snapshots import Info, Kind, Usage, storage
from refimpl.stores.content import write_blob
from refimpl.stores.leases import Resource
from refimpl.stores.metadata import DB

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend():
    """One loop will do: what is tested blocks."""
    return "asyncio"


@pytest.fixture
async def db(tmp_path, anyio_backend):
    async with await DB.open(tmp_path / "root") as db:
        yield db


@pytest.fixture
def snapshotter(db):
    return db.snapshotter("default", "native")


@pytest.fixture
def folder(db):
    return Path(db.root) / "snapshots" / "native" / "snapshots"


def listed(folder):
    return sorted(path.name for path in folder.iterdir())


def rows(db):
    with db.database.view() as tx:
        return sorted(
            (str(number), key)
            for number, key in tx.execute("SELECT id, name FROM native_snapshots")
        )


async def committed(snapshotter, name, parent="", **labels):
    (mount,) = await snapshotter.prepare(f"key of {name}", parent)
    (mount.source / name).write_text(name)
    await snapshotter.commit(name, f"key of {name}", labels=labels)


async def keep(db, chain_id):
    """Record an image whose configuration keeps a snapshot."""
    data = chain_id.encode()
    desc = Descriptor(media_type="m", digest=from_bytes(data), size=len(data))
    labels = {"containerd.io/gc.ref.snapshot.native": chain_id}
    await write_blob(db.content_store("default"), "r", data, desc, labels=labels)
    await db.image_store("default").create(Image(name=chain_id, target=desc))


async def test_a_folder_keeps_its_number(snapshotter, folder, db):
    await snapshotter.prepare("active", "")
    assert listed(folder) == ["1"]
    await snapshotter.commit("base", "active")
    assert listed(folder) == ["1"]
    assert rows(db) == [("1", "default/2/base")]
    await snapshotter.prepare("active", "base")
    assert listed(folder) == ["1", "2"]
    assert rows(db)[1] == ("2", "default/3/active")


async def test_the_store_is_closed_to_others(folder):
    """native.go:45."""
    assert folder.stat().st_mode & 0o777 == 0o700


async def test_collection_keeps_what_images_need(db, snapshotter, folder):
    await committed(snapshotter, "base")
    await committed(snapshotter, "top", "base")
    await committed(snapshotter, "side", "base")
    await committed(snapshotter, "lost")
    await committed(snapshotter, "lost child", "lost")
    await snapshotter.view("view", "base")
    await keep(db, "top")
    stats = await db.garbage_collect()
    assert {node.key for node in stats.removed} == {
        "native/side",
        "native/lost",
        "native/lost child",
        "native/view",
    }
    assert [info.name for info in await snapshotter.walk()] == ["base", "top"]
    assert listed(folder) == ["1", "2"]
    assert [key for _, key in rows(db)] == ["default/2/base", "default/4/top"]
    assert stats.files == 3


async def test_collection_keeps_what_leases_name(db, snapshotter, folder):
    await committed(snapshotter, "base")
    await committed(snapshotter, "top", "base")
    await committed(snapshotter, "other")
    manager = db.lease_manager("default")
    lease = await manager.create()
    await manager.add_resource(lease, Resource(type="snapshots/native", id="top"))
    await db.garbage_collect()
    assert listed(folder) == ["1", "2"]
    await manager.delete(lease, synchronous=True)
    assert listed(folder) == []
    assert rows(db) == []


async def test_collection_keeps_roots(db, snapshotter, folder):
    await committed(snapshotter, "base", **{"containerd.io/gc.root": "1"})
    await db.garbage_collect()
    assert listed(folder) == ["1"]


async def test_collection_removes_what_crashes_left(db, snapshotter, folder):
    """A copy that was not finished, a transaction that did not end, a removal."""
    await committed(snapshotter, "base", **{"containerd.io/gc.root": "1"})
    for name in ("new-0123", "7", "rm-5-0123"):
        (folder / name / "sub").mkdir(parents=True)
        (folder / name / "sub" / "file").write_text("left")
    (folder / "file").write_text("not ours")
    stats = await db.garbage_collect()
    assert listed(folder) == ["1", "file"]
    assert stats.files == 2


async def test_collection_leaves_alone_what_is_being_copied(
    db, snapshotter, folder, monkeypatch
):
    """A collection in another process sees a folder that has no row yet."""
    await committed(snapshotter, "base", **{"containerd.io/gc.root": "1"})
    backend = db._snapshotters["native"]
    seen = []

    def copy(target, _source):
        with db.database.update() as tx:
            seen.append((backend.sweep(tx), target.exists()))

    monkeypatch.setattr("refimpl.snapshots.native.copy_dir", copy)
    await snapshotter.prepare("active", "base")
    assert seen == [(0, True)]


async def test_a_number_that_was_rolled_back_is_free(db, snapshotter, folder):
    (folder / "1").mkdir()
    (folder / "1" / "left").write_text("by a transaction that never ended")
    (mount,) = await snapshotter.prepare("active", "")
    assert mount.source == folder / "1"
    assert list(mount.source.iterdir()) == []
    assert [name[:5] for name in listed(folder)] == ["1", "rm-1-"]
    await db.garbage_collect()
    assert listed(folder) == []


async def test_a_transaction_that_fails_leaves_no_row(
    db, snapshotter, folder, monkeypatch
):
    def broken(*_args):
        raise OSError("no more links")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", broken)
        with pytest.raises(OSError, match="no more links"):
            await snapshotter.prepare("active", "")
    assert rows(db) == []
    assert listed(folder) == []
    await snapshotter.prepare("active", "")


async def test_a_backend_that_lost_a_parent_does_not_stop_collection(db, snapshotter):
    """metadata/snapshot.go:906: it is left to a later collection."""
    await committed(snapshotter, "base")
    await committed(snapshotter, "top", "base")
    await keep(db, "top")
    with db.database.update() as tx:
        tx.execute("DELETE FROM snapshots WHERE key = 'base'")
    await db.garbage_collect()
    assert [key for _, key in rows(db)] == ["default/2/base", "default/4/top"]


@pytest.fixture
def tx(db):
    with db.database.update() as tx:
        yield tx


def make(tx, name, parent="", kind=Kind.ACTIVE):
    return storage.create_snapshot(tx, Info(name=name, kind=kind, parent=parent))


def commit(tx, key, name):
    storage.commit_active(tx, key, name, usage=Usage(inodes=1, size=2), labels={})


async def test_storage_gives_no_number_twice(tx):
    assert make(tx, "a") == 1
    storage.remove(tx, "a")
    assert make(tx, "b") == 2
    assert storage.ids(tx) == {2}


async def test_storage_says_what_is_wrong(tx):
    """storage/bolt.go: the texts that reach a user."""
    make(tx, "active")
    make(tx, "base")
    commit(tx, "base", "committed")
    make(tx, "child", "committed")
    for kind, text, call in (
        (ErrNotFound, "snapshot does not exist", lambda: storage.get(tx, "x")),
        (ErrNotFound, 'missing parent "x" bucket', lambda: make(tx, "n", "x")),
        (ErrInvalidArgument, 'parent "active" is', lambda: make(tx, "n", "active")),
        (ErrAlreadyExists, "snapshot active", lambda: make(tx, "active")),
        (ErrAlreadyExists, "committed snapshot a", lambda: commit(tx, "a", "active")),
        (ErrNotFound, 'active snapshot "x"', lambda: commit(tx, "x", "n")),
        (ErrFailedPrecondition, "not active", lambda: commit(tx, "committed", "n")),
        (ErrNotFound, "snapshot x", lambda: storage.remove(tx, "x")),
        (
            ErrFailedPrecondition,
            "cannot remove snapshot with child",
            lambda: storage.remove(tx, "committed"),
        ),
        (
            ErrFailedPrecondition,
            "requested snapshot committed not active or view",
            lambda: storage.get_active(tx, "committed"),
        ),
    ):
        with pytest.raises(kind, match=text):
            call()
    assert storage.get(tx, "committed").usage == Usage(inodes=1, size=2)


async def test_rows_and_names_are_one_to_one(tx):
    make(tx, "a")
    with pytest.raises(sqlite3.IntegrityError):
        tx.execute(
            "INSERT INTO native_snapshots (name, kind, parent, labels, created_at, "
            "updated_at) VALUES ('a', 2, '', '{}', 0, 0)"
        )


async def test_nothing_is_left_open(tmp_path):
    def open_files():
        return len(list(Path("/proc/self/fd").iterdir()))

    before = open_files()
    async with await DB.open(tmp_path / "other") as db:
        snapshotter = db.snapshotter("default", "native")
        await committed(snapshotter, "base")
        await committed(snapshotter, "top", "base")
        await db.garbage_collect()
    assert open_files() == before
