"""The store in memory keeps the contract of stores/content.py."""

import pytest

from refimpl.descriptor import Descriptor
from refimpl.digest import Digest, from_bytes
from refimpl.errdefs import (
    ErrAlreadyExists,
    ErrFailedPrecondition,
    ErrInvalidArgument,
    ErrNotFound,
    ErrUnavailable,
    message,
)
from refimpl.stores.content import Store, read_blob, write_blob
from refimpl.stores.memory import MemoryStore

pytestmark = pytest.mark.anyio

DATA = b"hello"
DESC = Descriptor(digest=from_bytes(DATA), size=len(DATA))


@pytest.fixture
def store():
    return MemoryStore()


async def test_a_blob_is_written_and_read(store: Store):
    await write_blob(store, "ref", DATA, DESC, labels={"a": "b", "empty": ""})
    assert await read_blob(store, DESC) == DATA
    assert (await store.info(DESC.digest)).labels == {"a": "b"}
    assert [info.digest for info in await store.walk()] == [DESC.digest]
    assert [info.digest for info in await store.walk("labels.a==b")] == [DESC.digest]
    assert await store.walk("labels.a==c") == ()
    assert await store.list_statuses() == ()


async def test_labels_are_replaced_or_set_one_by_one(store):
    store.put(DESC.digest, DATA, {"a": "1", "b": "2"})
    info = await store.info(DESC.digest)
    for paths, given, expected in [
        (["labels.a"], {"a": "", "b": "ignored"}, {"b": "2"}),
        (["labels"], {"c": "3"}, {"c": "3"}),
        ([], {}, {}),
    ]:
        updated = await store.update(_with_labels(info, given), *paths)
        assert updated.labels == expected
    with pytest.raises(ErrInvalidArgument, match='cannot update "size" field'):
        await store.update(info, "size")


def _with_labels(info, labels):
    return type(info)(
        digest=info.digest,
        size=info.size,
        created_at=info.created_at,
        updated_at=info.updated_at,
        labels=labels,
    )


async def test_what_is_missing(store):
    for awaitable in (
        store.info(DESC.digest),
        store.reader_at(DESC),
        store.delete(DESC.digest),
        store.status("ref"),
        store.abort("ref"),
    ):
        with pytest.raises(ErrNotFound):
            await awaitable


async def test_one_writer_a_ref(store):
    async with await store.writer(ref="ref", desc=DESC) as writer:
        writer.write(DATA[:2])
        with pytest.raises(ErrUnavailable):
            await store.writer(ref="ref", desc=DESC)
    async with await store.writer(ref="ref", desc=DESC) as writer:
        assert writer.status().offset == 2
        await writer.truncate(0)
        assert (await store.status("ref")).offset == 0
        with pytest.raises(ErrInvalidArgument):
            await writer.truncate(1)
    await store.abort("ref")
    assert await store.list_statuses() == ()


async def test_a_ref_is_needed(store):
    with pytest.raises(ErrInvalidArgument, match="ref must not be empty"):
        await store.writer(ref="")


@pytest.mark.parametrize(
    ("size", "digest", "error"),
    [
        (4, DESC.digest, '"ref" failed size validation: 5 != 4'),
        (
            5,
            from_bytes(b""),
            f"unexpected commit digest {DESC.digest}, expected {from_bytes(b'')}",
        ),
    ],
)
async def test_what_differs_is_not_committed(store, size, digest, error):
    writer = await store.writer(ref="ref")
    writer.write(DATA)
    with pytest.raises(ErrFailedPrecondition) as caught:
        await writer.commit(size, digest)
    assert message(caught.value) == f"{error}: failed precondition"
    with pytest.raises(ErrFailedPrecondition, match="closed writer"):
        writer.write(DATA)
    assert (await store.status("ref")).offset == 5


async def test_a_blob_is_committed_once(store):
    first, second = [await store.writer(ref=ref) for ref in ("a", "b")]
    for writer in (first, second):
        writer.write(DATA)
    await first.commit(5, DESC.digest)
    with pytest.raises(ErrAlreadyExists):
        await second.commit(0, Digest(""))
    with pytest.raises(ErrAlreadyExists):
        await store.writer(ref="c", desc=DESC)
    await store.delete(DESC.digest)
    assert await store.walk() == ()
