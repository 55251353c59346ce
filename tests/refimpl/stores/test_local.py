"""content/local: blobs and ingests as files (store.go, writer.go, readerat.go)."""

import os
import stat

import pytest

from refimpl.descriptor import Descriptor
from refimpl.digest import Digest, from_bytes
from refimpl.errdefs import (
    ContainerdError,
    ErrFailedPrecondition,
    ErrInvalidArgument,
    ErrNotFound,
    message,
)
from refimpl.stores.ingest import Ingest
from refimpl.stores.local import LocalStore
from refimpl.stores.locks import RefLocks, ref_name
from refimpl.workers import run_blocking

pytestmark = pytest.mark.anyio

BIG = bytes(range(256)) * 1024
SMALL = b"hello"


@pytest.fixture
def local(tmp_path):
    locks = RefLocks(tmp_path / "locks")
    yield LocalStore(tmp_path, locks)
    locks.close()


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "ingest" / ref_name("r")


def open_writer(local, ref="r", total=0):
    return local.writer(ref, local.locks.acquire(ref), total)


def put(local, data, ref="r"):
    writer = open_writer(local, ref)
    writer.write(data)
    local.seal(writer, 0, Digest(""))
    digest = local.publish(writer)
    writer.finish()
    return digest


def files(root):
    return sorted(str(p.relative_to(root)) for p in root.rglob("*") if p.is_file())


@pytest.mark.parametrize("data", [SMALL, BIG, b""], ids=["small", "big", "empty"])
async def test_a_blob_has_its_digest_for_a_name(local, tmp_path, data):
    digest = await run_blocking(put, local, data)
    path = tmp_path / "blobs/sha256" / from_bytes(data).partition(":")[2]
    assert digest == from_bytes(data)
    assert path.read_bytes() == data
    assert stat.S_IMODE(path.stat().st_mode) & 0o333 == 0
    assert files(tmp_path / "ingest") == []
    assert local.info(digest).size == len(data)


async def test_a_growing_ingest_has_containerds_files(local, folder):
    writer = open_writer(local, total=len(BIG))
    await run_blocking(writer.write, BIG[:100])
    assert not folder.exists()
    await run_blocking(writer.write, BIG[100:])
    assert files(folder) == ["data", "ref", "startedat", "total", "updatedat"]
    assert (folder / "ref").read_text() == "r"
    assert (folder / "total").read_text() == str(len(BIG))
    assert (folder / "startedat").read_text().endswith("Z")
    assert (folder / "data").read_bytes() == BIG
    status = local.status("r")
    assert (status.ref, status.offset, status.total) == ("r", len(BIG), len(BIG))
    writer.close()


async def test_a_small_ingest_gets_its_files_when_it_is_left(local, folder):
    writer = open_writer(local)
    writer.write(SMALL)
    writer.close()
    writer.close()
    assert files(folder) == ["data", "ref", "startedat", "updatedat"]
    writer = await run_blocking(open_writer, local)
    assert writer.status().offset == 5
    assert writer.digest() == from_bytes(SMALL)
    writer.write(BIG)
    local.seal(writer, 0, Digest(""))
    assert local.publish(writer) == from_bytes(SMALL + BIG)
    writer.finish()
    assert not folder.exists()


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / "ref").write_text("other"),
        lambda folder: (folder / "ref").unlink(),
        lambda folder: (folder / "startedat").write_text("yesterday"),
        lambda folder: (folder / "startedat").unlink(),
        lambda folder: (folder / "data").unlink(),
        lambda folder: (folder / "total").write_text("7"),
        lambda folder: (folder / "unknown").mkdir(),
    ],
    ids=["ref", "no-ref", "time", "no-time", "no-data", "total", "unknown-file"],
)
async def test_what_cannot_be_resumed_begins_empty(local, folder, damage):
    """D12: the longer rest of an old ingest does not spoil the new one."""
    writer = open_writer(local, total=10)
    writer.write(BIG)
    writer.close()
    damage(folder)
    writer = await run_blocking(open_writer, local, "r", 10)
    known = (folder / "unknown").exists()
    assert writer.status().offset == (len(BIG) if known else 0)
    writer.truncate(0)
    writer.write(BIG[:70000])
    local.seal(writer, 70000, from_bytes(BIG[:70000]))
    local.publish(writer)
    writer.finish()
    assert not folder.exists()


async def test_a_total_that_is_no_number_is_unknown(local, folder):
    writer = open_writer(local, total=10)
    writer.close()
    (folder / "total").write_text("ten")
    assert local.status("r").total == 0


async def test_time_stamps_of_containerd_are_read(local, folder):
    open_writer(local).close()
    for name in ("startedat", "updatedat"):
        (folder / name).write_text("2021-11-24T03:42:00.123456789+01:00")
    assert local.status("r").started_at.isoformat() == (
        "2021-11-24T03:42:00.123456+01:00"
    )


async def test_killed_while_becoming_read_only(local, folder, monkeypatch):
    writer = open_writer(local)
    writer.write(SMALL)
    writer.close()
    (folder / "data").chmod(0o444)
    real = os.open

    def ordinary_user(path, flags, mode=0o777):
        if flags & os.O_WRONLY and not path.stat().st_mode & 0o200:
            raise PermissionError
        return real(path, flags, mode)

    monkeypatch.setattr(os, "open", ordinary_user)
    writer = await run_blocking(open_writer, local)
    assert writer.status().offset == 5
    writer.close()


@pytest.mark.parametrize(
    ("size", "expected", "text"),
    [
        (6, "", "unexpected commit size 5, expected 6: failed precondition"),
        (5, from_bytes(b""), "unexpected commit digest"),
    ],
)
async def test_what_is_not_as_expected_stays_an_ingest(local, size, expected, text):
    writer = open_writer(local)
    writer.write(SMALL)
    with pytest.raises(ErrFailedPrecondition, match=text):
        local.seal(writer, size, expected)
    assert writer.closed
    assert local.status("r").offset == 5


async def test_a_closed_writer_takes_nothing(local):
    writer = open_writer(local)
    writer.close()
    with pytest.raises(ErrFailedPrecondition, match="cannot commit on closed writer"):
        local.seal(writer, 0, Digest(""))
    with pytest.raises(ErrFailedPrecondition, match="cannot write to closed writer"):
        writer.write(b"x")


async def test_a_sealed_writer_that_is_closed_can_be_resumed(local):
    writer = open_writer(local)
    writer.write(SMALL)
    local.seal(writer, 0, Digest(""))
    with pytest.raises(ErrFailedPrecondition):
        writer.write(b"x")
    writer.close()
    assert local.status("r").offset == 5


@pytest.mark.parametrize("data", [SMALL, BIG], ids=["small", "big"])
async def test_truncate(local, data):
    writer = open_writer(local)
    writer.write(data)
    with pytest.raises(ContainerdError, match="Truncate: unsupported size"):
        writer.truncate(1)
    writer.truncate(0)
    assert writer.status().offset == 0
    writer.write(b"again")
    local.seal(writer, 5, from_bytes(b"again"))
    local.publish(writer)
    writer.finish()


@pytest.mark.parametrize("broken", ["open", "link"])
async def test_file_systems_without_nameless_files(local, monkeypatch, broken):
    """Such as some network and overlay file systems."""
    real = getattr(os, broken)

    def fail(path, *args, **kwargs):
        if broken == "link" or args[0] & os.O_TMPFILE == os.O_TMPFILE:
            raise OSError(95, "Operation not supported")
        return real(path, *args, **kwargs)

    monkeypatch.setattr(os, broken, fail)
    digest = put(local, SMALL)
    assert local.info(digest).size == 5


async def test_publishing_what_exists_changes_nothing(local):
    assert put(local, SMALL, "a") == put(local, SMALL, "b")
    local.sync()
    local.sync()


@pytest.mark.parametrize(
    "text",
    [
        "sha256:../../x",
        "",
        "sha256:" + "A" * 64,
        "sha256:" + "a" * 63,
        "md5:" + "a" * 32,
    ],
)
async def test_what_is_no_digest_is_no_path(local, text):
    with pytest.raises(ErrInvalidArgument) as caught:
        local.reader_at(Descriptor(digest=text))
    assert message(caught.value).startswith(
        "calculating blob path for ReaderAt: "
        "cannot calculate blob path from invalid digest: "
    )
    with pytest.raises(ErrInvalidArgument, match="from invalid digest"):
        local.info(text)


async def test_what_is_missing(local):
    digest = from_bytes(b"missing")
    with pytest.raises(ErrNotFound, match=f"content {digest}: not found"):
        local.info(digest)
    with pytest.raises(ErrNotFound, match="blob not found: not found"):
        local.reader_at(Descriptor(digest=digest))
    with pytest.raises(ErrNotFound, match="no such file or directory: not found"):
        local.status("r")
    local.abort("r")


async def test_reading_in_parts(local):
    reader = local.reader_at(Descriptor(digest=put(local, SMALL)))
    assert reader.size == 5
    assert reader.read_at(1, 2) == b"el"
    assert reader.read_at(3, 100) == b"lo"
    assert reader.read_at(5, 1) == b""
    reader.close()
    reader.close()


async def test_sweep(local, tmp_path):
    kept, gone = put(local, b"kept"), put(local, b"gone")
    (tmp_path / "blobs/sha256/README").write_text("not a blob")
    for ref in ("kept", "gone", "busy"):
        open_writer(local, ref).close()
    (tmp_path / "ingest" / ref_name("half made")).mkdir()
    (tmp_path / "ingest/not-ours").mkdir()
    busy = await run_blocking(open_writer, local, "busy")
    assert local.sweep(frozenset({kept}), frozenset({"kept"})) == 3
    assert local.status("kept").ref == "kept"
    assert local.status("busy").ref == "busy"
    busy.close()
    assert (tmp_path / "ingest/not-ours").exists()
    left = files(tmp_path / "blobs")
    assert left == sorted(["sha256/README", "sha256/" + kept.partition(":")[2]])
    assert gone not in left


async def test_a_full_disk_leaves_what_was_written(local, monkeypatch):
    writer, real, left = open_writer(local), os.write, [100_000]

    def full(fd, data):
        if left[0] <= 0:
            raise OSError(28, "No space left on device")
        count = real(fd, data[: left[0]])
        left[0] -= count
        return count

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError, match="No space left"):
        writer.write(BIG)
    monkeypatch.undo()
    assert writer.status().offset == 100_000
    assert writer.digest() == from_bytes(BIG[:100_000])
    writer.close()


async def test_nothing_stays_open(local, open_files):
    before = open_files()
    put(local, SMALL)
    put(local, BIG)
    for data in (SMALL, BIG):
        writer = open_writer(local, "left")
        writer.write(data)
        writer.close()
        local.abort("left")
        writer = open_writer(local, "left")
        writer.write(data)
        with pytest.raises(ErrFailedPrecondition):
            local.seal(writer, 1, Digest(""))
        local.abort("left")
    assert open_files() == before


async def test_a_failed_open_gives_the_lock_back(local, monkeypatch):
    open_writer(local).close()

    def fail(self):
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(Ingest, "open_data", fail)
    with pytest.raises(OSError, match="Too many open files"):
        await run_blocking(open_writer, local)
    assert not local.locks.held("r")


async def test_what_has_come_is_sent_to_the_disk_once_and_in_order(local, monkeypatch):
    """So that fsync has little to wait for; small ingests are left to it."""
    hinted = []

    def advise(_fd, offset, size, advice):
        assert advice == os.POSIX_FADV_DONTNEED
        hinted.append((offset, offset + size))

    monkeypatch.setattr(os, "posix_fadvise", advise)
    piece = bytes(3 << 20)
    put(local, piece, "short")
    assert hinted == []
    writer = open_writer(local)
    for _ in range(7):
        writer.write(piece)
    assert hinted == [(0, 9 << 20), (9 << 20, 18 << 20)]
    writer.close()
    writer = await run_blocking(open_writer, local)
    for _ in range(3):
        writer.write(piece)
    assert hinted[2:] == [(21 << 20, 30 << 20)]
    writer.truncate(0)
    for _ in range(3):
        writer.write(piece)
    assert hinted[3:] == [(0, 9 << 20)]
    writer.close()
