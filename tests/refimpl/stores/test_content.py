"""content/helpers.go: what can be said of any content store."""

import anyio
import pytest

from refimpl.descriptor import Descriptor
from refimpl.digest import Digest, from_bytes
from refimpl.errdefs import (
    ErrFailedPrecondition,
    ErrNotFound,
    ErrUnavailable,
    ErrUnexpectedEOF,
    message,
)
from refimpl.stores import content
from refimpl.workers import run_blocking

pytestmark = pytest.mark.anyio

DATA = b"hello world"
DESC = Descriptor(digest=from_bytes(DATA), size=len(DATA))


class Endless:
    """A registry that never stops sending."""

    def __init__(self, chunk):
        self.chunk = chunk
        self.sent = 0

    async def seek(self, offset):
        self.sent = offset

    async def write_to(self, sink):
        return await run_blocking(self._pour, sink)

    def _pour(self, sink):
        while True:
            self.sent += len(self.chunk)
            sink(memoryview(self.chunk))

    async def aclose(self):
        pass


class Broken(content.BytesReader):
    async def seek(self, offset):
        raise ErrNotFound("gone")


async def test_read_blob(store):
    await content.write_blob(store, "r", DATA, DESC)
    assert await content.read_blob(store, DESC) == DATA
    assert await content.read_blob(store, DESC, limit=11) == DATA


async def test_read_blob_refuses_more_than_the_limit(store):
    await content.write_blob(store, "r", DATA, DESC)
    with pytest.raises(ErrFailedPrecondition, match="has 11 bytes, more than"):
        await content.read_blob(store, DESC, limit=10)


async def test_read_blob_notices_a_file_that_shrank(db, store):
    await content.write_blob(store, "r", DATA, DESC)
    reader = await store.reader_at(DESC)

    class Provider:
        async def reader_at(self, desc):
            return reader

    path = db.root / "content/blobs/sha256" / DESC.digest.partition(":")[2]
    path.chmod(0o600)
    path.write_bytes(b"hello")
    with pytest.raises(ErrUnexpectedEOF):
        await content.read_blob(Provider(), DESC)


async def test_write_blob_that_exists_reads_nothing(store):
    await content.write_blob(store, "r", DATA, DESC)
    await content.write_blob(store, "r", b"never read", DESC)
    assert [info.digest for info in await store.walk()] == [DESC.digest]


async def test_write_blob_says_what_failed(store):
    with pytest.raises(Exception, match="ref must not be empty") as caught:
        await content.write_blob(store, "", DATA, DESC)
    assert message(caught.value).startswith("failed to open writer: ref must")


async def test_copy_resumes_where_the_writer_stands(store):
    async with await store.writer(ref="r", desc=DESC) as writer:
        await run_blocking(writer.write, DATA[:6])
    reader = content.BytesReader(DATA)
    async with await store.writer(ref="r", desc=DESC) as writer:
        await content.copy(writer, reader, 11, DESC.digest, labels={"a": "b"})
    assert (await store.info(DESC.digest)).labels == {"a": "b"}


async def test_copy_says_that_it_cannot_resume(store):
    async with await store.writer(ref="r", desc=DESC) as writer:
        await run_blocking(writer.write, DATA[:6])
    async with await store.writer(ref="r", desc=DESC) as writer:
        with pytest.raises(ErrNotFound) as caught:
            await content.copy(writer, Broken(DATA), 11, DESC.digest)
    assert message(caught.value) == "unable to resume write to r: gone: not found"


async def test_copy_stops_when_more_than_the_size_came(store):
    """D16: an endless body fails near the stated size."""
    reader = Endless(b"x" * 100)
    async with await store.writer(ref="r", desc=Descriptor(size=1000)) as writer:
        with pytest.raises(ErrFailedPrecondition) as caught:
            await content.copy(writer, reader, 1000, Digest(""))
    assert reader.sent == 1100
    assert message(caught.value) == (
        'failed commit on ref "r": "r" failed size validation: '
        "1100 != 1000: failed precondition"
    )


async def test_copy_takes_any_size_when_it_is_unknown(store):
    async with await store.writer(ref="r") as writer:
        await content.copy(writer, content.BytesReader(DATA), 0, Digest(""))
    assert (await store.info(DESC.digest)).size == 11


async def test_copy_is_content_when_another_writer_was_first(store):
    async with await store.writer(ref="r1", desc=DESC) as slow:
        await content.write_blob(store, "r2", DATA, DESC)
        await content.copy(slow, content.BytesReader(DATA), 11, DESC.digest)
    assert await store.list_statuses() == ()


async def test_copy_passes_on_what_the_sink_raises(store):
    async with await store.writer(ref="r", desc=DESC) as writer:
        pass
    with pytest.raises(ErrFailedPrecondition) as caught:
        await content.copy(writer, content.BytesReader(DATA), 11, DESC.digest)
    assert message(caught.value).startswith("failed to copy: cannot write to closed")


async def test_open_writer_waits_for_the_lock():
    tries: list[str] = []

    class Ingester:
        async def writer(self, *, ref, desc=DESC):
            tries.append(ref)
            if len(tries) < 3:
                raise ErrUnavailable("locked")
            return "the writer"

    opened: object = await content.open_writer(Ingester(), ref="r")
    assert opened == "the writer"
    assert tries == ["r"] * 3


async def test_open_writer_can_be_cancelled():
    class Ingester:
        async def writer(self, *, ref, desc=DESC):
            scope.cancel()
            raise ErrUnavailable("locked")

    with anyio.CancelScope() as scope:
        await content.open_writer(Ingester(), ref="r")
    assert scope.cancelled_caught


async def test_bytes_reader_moves_large_data_in_parts():
    data, parts = bytes(range(256)) * 8192, []

    def sink(view):
        parts.append(bytes(view))
        return len(view)

    reader = content.BytesReader(data)
    await reader.seek(5)
    moved = await reader.write_to(sink)
    await reader.aclose()
    assert moved == len(data) - 5
    assert b"".join(parts) == data[5:]
    assert len(parts) == 2
    assert await reader.write_to(len) == 0
