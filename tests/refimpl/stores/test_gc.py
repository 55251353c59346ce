"""gc/gc.go, metadata/gc.go: what is kept and what goes."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refimpl.descriptor import Descriptor
from refimpl.digest import from_bytes
from refimpl.images.image import Image
from refimpl.stores.content import write_blob
from refimpl.stores.database import encode_map, encode_time
from refimpl.stores.gc import Node, ResourceType, tricolor
from refimpl.stores.leases import EXPIRE_LABEL, Resource, with_lease
from refimpl.workers import run_blocking

pytestmark = pytest.mark.anyio

REF = "containerd.io/gc.ref.content"


@pytest.fixture
def manager(db):
    return db.lease_manager("default")


async def put(store, data, labels=None):
    desc = Descriptor(media_type="m", digest=from_bytes(data), size=len(data))
    await write_blob(store, f"put-{desc.digest}", data, desc, labels=labels)
    return desc


async def kept(store):
    return {info.digest for info in await store.walk()}


def files(db):
    return {f"sha256:{p.name}" for p in (db.root / "content/blobs/sha256").iterdir()}


async def test_an_image_keeps_all_that_it_refers_to(db, store):
    layer = await put(store, b"layer")
    config = await put(store, b"config")
    manifest = await put(
        store, b"manifest", {f"{REF}.config": config.digest, f"{REF}.l.0": layer.digest}
    )
    index = await put(store, b"index", {f"{REF}.m.0": manifest.digest})
    lost = await put(store, b"lost")
    await db.image_store("default").create(Image(name="a", target=index))
    stats = await db.garbage_collect()
    chain = {d.digest for d in (layer, config, manifest, index)}
    assert await kept(store) == files(db) == chain
    assert stats.removed == (Node(ResourceType.CONTENT, "default", lost.digest),)
    assert (stats.count(ResourceType.CONTENT), stats.files) == (1, 1)
    await db.image_store("default").delete("a")
    await db.garbage_collect()
    assert await kept(store) == files(db) == set()


@pytest.mark.parametrize(
    ("label", "counts"),
    [
        (REF, True),
        (f"{REF}.0", True),
        (f"{REF}/name", True),
        (f"{REF}X", False),
        ("containerd.io/gc.ref.conten", False),
        ("containerd.io/gc.ref.snapshot.native", False),
    ],
)
async def test_which_labels_refer(db, store, label, counts):
    child = await put(store, b"child")
    await db.image_store("default").create(
        Image(
            name="a",
            target=await put(store, b"target"),
            labels={label: child.digest},
        )
    )
    await db.garbage_collect()
    assert (child.digest in await kept(store)) is counts


async def test_root_labels_keep(db, store):
    root = await put(store, b"root", {"containerd.io/gc.root": "any"})
    await put(store, b"other", {"containerd.io/gc.rooted": "any"})
    await db.garbage_collect()
    assert await kept(store) == {root.digest}


async def test_circles_end(db, store):
    one, two = from_bytes(b"one"), from_bytes(b"two")
    await put(store, b"one", {REF: two, "containerd.io/gc.root": "1"})
    await put(store, b"two", {REF: one})
    await db.garbage_collect()
    assert await kept(store) == {one, two}


async def test_references_stay_in_their_namespace(db, store):
    other = db.content_store("other")
    child = await put(store, b"child")
    await put(other, b"parent", {REF: child.digest, "containerd.io/gc.root": "1"})
    await db.garbage_collect()
    assert await kept(store) == set()


async def test_a_file_stays_while_any_namespace_has_it(db, store):
    other = db.content_store("other")
    shared = await put(store, b"shared", {"containerd.io/gc.root": "1"})
    await put(other, b"shared")
    await db.garbage_collect()
    assert await kept(other) == set()
    assert files(db) == await kept(store) == {shared.digest}


@pytest.mark.parametrize(
    ("value", "keeps"),
    [
        ("2000-01-01T00:00:00Z", False),
        ("2000-01-01T00:00:00.5+01:00", False),
        ("2999-01-01T00:00:00Z", True),
        ("20000101T000000Z", True),
        ("2000-13-01T00:00:00Z", True),
        ("yesterday", True),
    ],
)
async def test_expired_leases_keep_nothing(db, store, manager, value, keeps):
    """metadata/gc.go:102: what is no RFC 3339 time does not expire."""
    lease = await manager.create(labels={EXPIRE_LABEL: value})
    with with_lease(lease.id):
        await put(store, b"x")
    await db.garbage_collect()
    assert len(await kept(store)) == len(await manager.list()) == (1 if keeps else 0)


async def test_a_leased_ingest_stays_and_goes_with_its_lease(db, store, manager):
    lease = await manager.create()
    with with_lease(lease.id):
        async with await store.writer(ref="r") as writer:
            await run_blocking(writer.write, b"part")
    await db.garbage_collect()
    assert (await store.status("r")).offset == 4
    await manager.delete(lease)
    stats = await db.garbage_collect()
    assert stats.count(ResourceType.INGEST) == stats.files == 1
    assert await store.list_statuses() == ()
    assert not list((db.root / "content/ingest").iterdir())


async def test_an_ingest_without_a_lease_stays_for_a_day(db, store):
    async with await store.writer(ref="r"):
        pass
    await db.garbage_collect()
    assert await store.status("r")
    stale = encode_time(datetime.now(UTC) - timedelta(seconds=1))
    with db.database.update() as tx:
        tx.execute("UPDATE ingests SET expires_at = ?", (stale,))
    await db.garbage_collect()
    assert await store.list_statuses() == ()


@pytest.mark.parametrize("data", [b"small", b"big" * 100_000], ids=["small", "big"])
async def test_what_is_being_written_stays(db, store, manager, data):
    """Even if its lease is over: the writer may be another process."""
    lease = await manager.create()
    desc = Descriptor(digest=from_bytes(data), size=len(data))
    with with_lease(lease.id):
        writer = await store.writer(ref="r", desc=desc)
    async with writer:
        await run_blocking(writer.write, data)
        await manager.delete(lease)
        await db.garbage_collect()
        await writer.commit(len(data), desc.digest)
    assert await kept(store) == {desc.digest}


async def test_a_shared_writer_keeps_its_blob(db, store):
    desc = await put(store, b"x")
    other = db.content_store("other")
    async with await other.writer(ref="r", desc=desc) as writer:
        await db.garbage_collect()
        assert await kept(store) == set()
        await writer.commit(1, desc.digest)
    assert await kept(other) == files(db) == {desc.digest}


async def test_files_without_rows_go(db, store):
    """A crash between the name and the row."""
    desc = await put(store, b"x")
    with db.database.update() as tx:
        tx.execute("DELETE FROM content")
    assert files(db) == {desc.digest}
    assert (await db.garbage_collect()).files == 1
    assert files(db) == set()


def snapshot(tx, key, parent="", labels=None):
    tx.execute("INSERT OR IGNORE INTO namespaces VALUES ('default')")
    tx.execute(
        "INSERT INTO snapshots VALUES ('default', 'native', ?, ?, ?, ?, 0, 0)",
        (key, f"backend-{key}", parent, encode_map(labels or {})),
    )


async def test_snapshots(db, store, manager):
    """metadata/gc.go:292: parents are kept, and what their labels refer to."""
    config = await put(
        store, b"config", {"containerd.io/gc.ref.snapshot.native": "top"}
    )
    labelled = await put(store, b"labelled")
    swept = []

    def sweep(tx):
        swept.extend(tx.execute("SELECT key FROM snapshots"))
        return 7

    db.register_sweeper(sweep)
    with db.database.update() as tx:
        snapshot(tx, "base", labels={REF: labelled.digest})
        snapshot(tx, "top", "base")
        snapshot(tx, "root", labels={"containerd.io/gc.root": "1"})
        snapshot(tx, "leased/flat")
        snapshot(tx, "lost")
    flat = await manager.create(labels={"containerd.io/gc.flat": "1"})
    resource = Resource(type="snapshots/native", id="leased/flat")
    await manager.add_resource(flat, resource)
    lease = await manager.create()
    content = Resource(type="content", id=config.digest)
    await manager.add_resource(lease, content)
    stats = await db.garbage_collect()
    assert swept == [("base",), ("leased/flat",), ("root",), ("top",)]
    assert stats.removed == (Node(ResourceType.SNAPSHOT, "default", "native/lost"),)
    assert stats.files == 7
    assert await kept(store) == {config.digest, labelled.digest}


async def test_flat_snapshots_keep_parents_but_no_labels(db, store, manager):
    labelled = await put(store, b"labelled")
    with db.database.update() as tx:
        snapshot(tx, "base", labels={REF: labelled.digest})
        snapshot(tx, "top", "base", {REF: labelled.digest})
    flat = await manager.create(labels={"containerd.io/gc.flat": "1"})
    await manager.add_resource(flat, Resource(type="snapshots/native", id="top"))
    stats = await db.garbage_collect()
    assert stats.count(ResourceType.SNAPSHOT) == 0
    assert await kept(store) == set()


async def test_references_to_what_is_gone_are_no_error(db, store, manager):
    target = Descriptor(media_type="m", digest=from_bytes(b"gone"), size=1)
    image = Image(
        name="a",
        target=target,
        labels={"containerd.io/gc.ref.snapshot.native/x": "gone"},
    )
    await db.image_store("default").create(image)
    lease = await manager.create()
    await manager.add_resource(lease, Resource(type="ingests", id="gone"))
    stats = await db.garbage_collect()
    assert stats.removed == ()
    assert stats.elapsed > timedelta(0)
    assert replace(stats, elapsed=timedelta(0)) == type(stats)()


@given(
    st.dictionaries(st.integers(0, 9), st.lists(st.integers(0, 9), max_size=4)),
    st.lists(st.integers(0, 9), max_size=3),
)
def test_tricolor_finds_what_can_be_reached(edges, roots):
    def node(number):
        return Node(ResourceType.CONTENT, "ns", str(number))

    found = tricolor(map(node, roots), lambda n: map(node, edges.get(int(n.key), ())))
    reachable = set(roots)
    while more := {t for n in reachable for t in edges.get(n, ())} - reachable:
        reachable |= more
    assert found == set(map(node, reachable))
