"""metadata/content.go: namespaces, leases and ingests over the files."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import anyio
import pytest

from refimpl.descriptor import Descriptor
from refimpl.digest import Digest, from_bytes
from refimpl.errdefs import (
    ErrAlreadyExists,
    ErrFailedPrecondition,
    ErrInvalidArgument,
    ErrNotFound,
    ErrUnavailable,
    ErrUnknown,
    message,
)
from refimpl.stores import blobs
from refimpl.stores.content import Info, read_blob, write_blob
from refimpl.stores.leases import with_lease
from refimpl.workers import run_blocking

pytestmark = pytest.mark.anyio

DATA = b"hello world"
BIG = bytes(range(256)) * 1024
DESC = Descriptor(digest=from_bytes(DATA), size=len(DATA))
NO_DESC = Descriptor()


@pytest.fixture(autouse=True)
def _two_tries(monkeypatch):
    monkeypatch.setattr(blobs, "_LOCK_TRIES", 2)


def desc(data):
    return Descriptor(digest=from_bytes(data), size=len(data))


async def put(writer, data):
    await run_blocking(writer.write, data)


async def leave(store, ref, data, desc=NO_DESC):
    """Write a part of an ingest and leave it."""
    async with await store.writer(ref=ref, desc=desc) as writer:
        await put(writer, data)


async def held(manager, lease):
    resources = await manager.list_resources(lease)
    return [f"{resource.type} {resource.id}" for resource in resources]


async def test_a_locked_ref_is_unavailable(store):
    async with await store.writer(ref="r"):
        with pytest.raises(ErrUnavailable, match="ref default/1/r locked since 20"):
            await store.writer(ref="r")
        async with await store.writer(ref="other"):
            pass
    async with await store.writer(ref="r"):
        pass


async def test_a_failed_open_changes_nothing(db, store):
    """metadata/content.go:474: the transaction goes with the lock error."""
    manager = db.lease_manager("default")
    lease = await manager.create()
    async with await store.writer(ref="r"):
        with with_lease(lease.id), pytest.raises(ErrUnavailable):
            await store.writer(ref="r")
    assert await held(manager, lease) == []


async def test_existing_content_needs_no_lock(store):
    await write_blob(store, "w", DATA, DESC)
    async with await store.writer(ref="r"):
        with pytest.raises(ErrAlreadyExists):
            await store.writer(ref="r", desc=DESC)


async def test_a_lease_holds_the_ingest_then_the_blob(db, store):
    manager = db.lease_manager("default")
    lease = await manager.create()
    with with_lease(lease.id):
        async with await store.writer(ref="r", desc=DESC) as writer:
            assert await held(manager, lease) == ["ingests r"]
            await put(writer, DATA)
            await writer.commit(11, DESC.digest)
    assert await held(manager, lease) == [f"content {DESC.digest}"]


async def test_abort_and_delete_let_the_lease_go(db, store):
    manager = db.lease_manager("default")
    lease = await manager.create()
    with with_lease(lease.id):
        await write_blob(store, "w", DATA, DESC)
        await leave(store, "r", b"part")
        await store.abort("r")
        await store.delete(DESC.digest)
    assert await held(manager, lease) == []
    assert await store.list_statuses() == ()
    assert await store.walk() == ()


async def test_a_lease_that_does_not_exist(store):
    with with_lease("no"), pytest.raises(ErrNotFound) as caught:
        await store.writer(ref="r")
    assert message(caught.value) == "lease does not exist: not found"
    await write_blob(store, "w", DATA, DESC)
    with with_lease("no"), pytest.raises(ErrNotFound) as caught:
        await store.writer(ref="r", desc=DESC)
    assert message(caught.value).startswith("unable to lease content: lease does")


async def test_a_lease_deleted_before_the_commit_fails_it(db, store):
    lease = await db.lease_manager("default").create()
    with with_lease(lease.id):
        async with await store.writer(ref="r", desc=DESC) as writer:
            await put(writer, DATA)
            await db.lease_manager("default").delete(lease)
            with pytest.raises(ErrNotFound, match="lease does not exist"):
                await writer.commit(11, DESC.digest)
    with pytest.raises(ErrNotFound):
        await store.info(DESC.digest)
    await write_blob(store, "r", DATA, DESC)


async def test_namespaces_do_not_see_each_other(db, store):
    other = db.content_store("other")
    await write_blob(store, "w", DATA, DESC)
    await leave(store, "r", b"part")
    assert await other.walk() == ()
    assert await other.list_statuses() == ()
    with pytest.raises(ErrNotFound, match="content digest"):
        await read_blob(other, DESC)
    async with await other.writer(ref="r") as writer:
        assert writer.status().offset == 0


async def test_sharing_needs_the_size_if_one_is_given(db, store):
    other = db.content_store("other")
    await write_blob(store, "w", DATA, DESC)
    wrong = Descriptor(digest=DESC.digest, size=12)
    async with await other.writer(ref="r", desc=wrong) as writer:
        assert writer.status().offset == 0
    unknown = Descriptor(digest=DESC.digest)
    async with await other.writer(ref="r2", desc=unknown) as writer:
        assert writer.status().offset == 11
        assert writer.digest() == DESC.digest


@pytest.mark.parametrize(
    ("size", "expected", "text"),
    [
        (12, DESC.digest, '"r" failed size validation: 11 != 12: failed precondition'),
        (11, from_bytes(b""), '"r" unexpected digest: failed precondition'),
    ],
)
async def test_a_shared_commit_is_checked(db, store, size, expected, text):
    """metadata/content.go:623."""
    await write_blob(store, "w", DATA, DESC)
    other = db.content_store("other")
    async with await other.writer(ref="r", desc=DESC) as writer:
        with pytest.raises(ErrFailedPrecondition) as caught:
            await writer.commit(size, expected)
    assert message(caught.value) == text


async def test_a_shared_blob_that_went_away(db, store):
    await write_blob(store, "w", DATA, DESC)
    other = db.content_store("other")
    async with await other.writer(ref="r", desc=DESC) as writer:
        path = db.root / "content/blobs/sha256" / DESC.digest.partition(":")[2]
        path.unlink()
        with pytest.raises(ErrNotFound, match="content sha256:"):
            await writer.commit(11, DESC.digest)


@pytest.mark.parametrize("data", [DATA, BIG], ids=["small", "big"])
async def test_writing_to_a_shared_writer_copies_first(db, store, data):
    """metadata/content.go:511."""
    await write_blob(store, "w", data, desc(data))
    other = db.content_store("other")
    async with await other.writer(ref="r", desc=desc(data)) as writer:
        await put(writer, b"")
        assert writer.status().expected == desc(data).digest
        await put(writer, b"more")
        assert writer.status().offset == len(data) + 4
        await writer.commit(0, Digest(""))
    assert [i.digest for i in await other.walk()] == [from_bytes(data + b"more")]


async def test_truncating_a_shared_writer(db, store):
    await write_blob(store, "w", DATA, DESC)
    other = db.content_store("other")
    async with await other.writer(ref="r", desc=DESC) as writer:
        await writer.truncate(5)
        assert writer.digest() == from_bytes(DATA[:5])
        await writer.truncate(0)
        await put(writer, b"new")
        await writer.commit(3, from_bytes(b"new"))


async def test_a_shared_writer_cannot_copy_more_than_there_is(db, store):
    await write_blob(store, "w", DATA, DESC)
    other = db.content_store("other")
    async with await other.writer(ref="r", desc=DESC) as writer:
        with pytest.raises(Exception, match="failed to read expected number of bytes"):
            await writer.truncate(12)


async def test_a_wrong_complete_ingest_starts_again(store):
    """D12: the pull after a corrupt one succeeds."""
    with pytest.raises(ErrFailedPrecondition):
        await write_blob(store, "r", b"HELLO WORLD", DESC)
    assert (await store.status("r")).offset == 11
    await write_blob(store, "r", DATA, DESC)
    assert await read_blob(store, DESC) == DATA


@pytest.mark.parametrize("extra", [b"", b"!"], ids=["complete", "too-long"])
async def test_only_what_can_but_fail_starts_again(store, extra):
    await leave(store, "r", DATA + extra)
    async with await store.writer(ref="r", desc=DESC) as writer:
        assert writer.status().offset == (0 if extra else 11)


async def test_aborted_while_written(store):
    async with await store.writer(ref="r", desc=desc(BIG)) as writer:
        await put(writer, BIG)
        await store.abort("r")
        with pytest.raises(ErrNotFound, match='ingest ref "r"'):
            await writer.commit(len(BIG), desc(BIG).digest)
    await write_blob(store, "r", BIG, desc(BIG))


async def test_a_cancelled_commit_closes_the_writer(store):
    writer = await store.writer(ref="r", desc=DESC)
    with anyio.CancelScope() as scope:
        scope.cancel()
        await writer.commit(11, DESC.digest)
    assert scope.cancelled_caught
    async with await store.writer(ref="r", desc=DESC):
        pass


async def test_leaving_closes_even_when_cancelled(store):
    with anyio.CancelScope() as scope:
        async with await store.writer(ref="r", desc=DESC) as writer:
            await put(writer, b"part")
            scope.cancel()
            await anyio.lowlevel.checkpoint()
    assert scope.cancelled_caught
    assert (await store.status("r")).offset == 4
    async with await store.writer(ref="r", desc=DESC):
        pass


async def test_labels_are_checked_at_the_commit(store):
    async with await store.writer(ref="r") as writer:
        with pytest.raises(ErrInvalidArgument) as caught:
            await writer.commit(0, Digest(""), labels={"k": "v" * 4096})
    assert message(caught.value).startswith("info.Labels: label key and value greater")
    async with await store.writer(ref="r") as writer:
        await writer.commit(0, Digest(""), labels={"a": "", "b": "c"})
    assert (await store.info(from_bytes(b""))).labels == {"b": "c"}


async def test_update_changes_only_what_is_named(store):
    await write_blob(store, "r", DATA, DESC, labels={"a": "1", "b": "2"})
    before = await store.info(DESC.digest)
    now = datetime.now(UTC)
    wanted = Info(
        digest=DESC.digest,
        size=99,
        created_at=now,
        updated_at=now,
        labels={"a": "9", "b": "", "c": "3"},
    )
    after = await store.update(wanted, "labels.b", "labels.c")
    assert after.labels == {"a": "1", "c": "3"}
    assert (after.size, after.created_at) == (11, before.created_at)
    assert after.updated_at > before.updated_at
    assert await store.info(DESC.digest) == after


async def test_a_label_needs_a_key(store):
    await write_blob(store, "r", DATA, DESC)
    info = await store.info(DESC.digest)
    wanted = replace(info, labels={"": "v"})
    with pytest.raises(ErrUnknown) as caught:
        await store.update(wanted)
    assert message(caught.value) == (
        f"writing labels for info {DESC.digest}: "
        'failed to set label ""="v": key required: unknown'
    )


async def test_statuses_are_sorted(store):
    for ref in ("b", "a"):
        await leave(store, ref, b"part", Descriptor(size=9))
    statuses = await store.list_statuses()
    assert [(s.ref, s.offset, s.total) for s in statuses] == [("a", 4, 9), ("b", 4, 9)]
    assert statuses[0] == await store.status("a")
    assert statuses[0].updated_at - statuses[0].started_at < timedelta(minutes=1)


async def test_a_small_ingest_shows_when_it_is_left(store):
    async with await store.writer(ref="r") as writer:
        await put(writer, b"part")
        assert await store.list_statuses() == ()
        with pytest.raises(ErrNotFound):
            await store.status("r")
    assert [status.offset for status in await store.list_statuses()] == [4]


async def test_nothing_stays_open(store, open_files):
    before = open_files()
    await write_blob(store, "r", DATA, DESC)
    await leave(store, "left", BIG)
    with pytest.raises(ErrFailedPrecondition):
        await write_blob(store, "bad", b"x", desc(b"y"))
    with pytest.raises(ErrAlreadyExists):
        await store.writer(ref="again", desc=DESC)
    await read_blob(store, DESC)
    assert open_files() == before


async def test_filters_choose_blobs_and_ingests(store):
    """metadata/content.go:154 (Walk) and :202 (ListStatuses): any of them matches."""
    for name in ("a", "b", "c"):
        data = name.encode()
        await write_blob(store, name, data, desc(data), labels={"name": name})
        await leave(store, f"ref-{name}", data)
    digests = {name: from_bytes(name.encode()) for name in ("a", "b", "c")}

    async def walked(*filters):
        return {info.digest for info in await store.walk(*filters)}

    assert await walked() == set(digests.values())
    assert await walked("labels.name==a", f"digest=={digests['b']}") == {
        digests["a"],
        digests["b"],
    }
    assert await walked("labels.name!=a,labels.name!=b") == {digests["c"]}
    assert await walked("size==1", "labels.other") == set()
    found = await store.list_statuses("ref~=[ab]$")
    assert [status.ref for status in found] == ["ref-a", "ref-b"]
    assert await store.list_statuses("offset==1") == ()
    for listing in (store.walk, store.list_statuses):
        with pytest.raises(ErrInvalidArgument, match="filters: parse error"):
            await listing("no filter")
