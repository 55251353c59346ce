"""diff/apply/apply.go: from a blob in the store to a folder and a diff ID."""

import gzip
import hashlib
import io
import sys
import tarfile
import threading

import anyio
import pytest

from refimpl import diff
from refimpl.archive import ApplyOptions, ErrInvalidArchive
from refimpl.archive.errors import ErrChecksum, ErrGzipHeader, ErrHeader
from refimpl.descriptor import Descriptor
from refimpl.diff.stream import ErrNoProcessor
from refimpl.digest import from_bytes
from refimpl.errdefs import (
    ErrFailedPrecondition,
    ErrNotFound,
    ErrUnexpectedEOF,
    message,
)
from refimpl.images import mediatypes
from refimpl.stores.memory import MemoryStore

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

pytestmark = pytest.mark.anyio

OCI = mediatypes.MEDIA_TYPE_IMAGE_LAYER
DOCKER = mediatypes.MEDIA_TYPE_DOCKER_SCHEMA2_LAYER


def make_layer(**files):
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return stream.getvalue()


# Incompressible, so that its blob is one of those that threads are for.
LARGE = make_layer(a=hashlib.shake_128(b"").digest(700_000), b=b"b" * 700_000)
SMALL = make_layer(a=b"small")


class Blobs:
    """A provider of one blob, whatever is asked for."""

    def __init__(self, data):
        self.data = data
        self.closed = 0

    async def reader_at(self, desc):
        return self

    @property
    def size(self):
        return len(self.data)

    def read_at(self, offset, length):
        return self.data[offset : offset + length]

    def close(self):
        self.closed += 1


async def apply(data, root, media_type=OCI + "+gzip", **options):
    blobs = Blobs(data)
    try:
        return await diff.apply(
            blobs,
            Descriptor(media_type=media_type, digest=from_bytes(data)),
            root,
            options=ApplyOptions(**options),
        )
    finally:
        assert blobs.closed
        assert not [t for t in threading.enumerate() if t.name.startswith("layer-")]


@pytest.mark.parametrize("layer", [SMALL, LARGE], ids=["small", "large"])
@pytest.mark.parametrize(
    ("media_type", "pack"),
    [
        (OCI, bytes),
        (OCI + "+gzip", gzip.compress),
        (OCI + "+zstd", zstd.compress),
        # What it is, the first bytes say.
        (OCI + "+gzip", zstd.compress),
        (OCI + "+zstd", gzip.compress),
        (OCI + "+gzip", bytes),
        (DOCKER, gzip.compress),
        (DOCKER, bytes),
        (DOCKER + ".gzip", gzip.compress),
        (mediatypes.MEDIA_TYPE_DOCKER_SCHEMA2_LAYER_FOREIGN_GZIP, gzip.compress),
        (mediatypes.MEDIA_TYPE_IMAGE_LAYER_NON_DISTRIBUTABLE + "+gzip", gzip.compress),
    ],
)
async def test_a_layer_of_any_type(tmp_path, layer, media_type, pack):
    applied = await apply(pack(layer), tmp_path, media_type)
    assert applied == Descriptor(
        media_type=OCI, digest=from_bytes(layer), size=len(layer)
    )
    assert (tmp_path / "a").stat().st_size == (5 if layer is SMALL else 700_000)


@pytest.mark.parametrize(
    "tail", [bytes(10_000), b"anything", bytes(5000) + b"x" * 5000]
)
@pytest.mark.parametrize("layer", [SMALL, LARGE], ids=["small", "large"])
async def test_what_follows_the_archive_counts(tmp_path, layer, tail):
    """apply.go:101."""
    applied = await apply(gzip.compress(layer + tail), tmp_path)
    assert applied.digest == from_bytes(layer + tail)
    assert applied.size == len(layer + tail)


async def test_what_follows_has_the_limit_that_files_have(tmp_path):
    data = gzip.compress(make_layer(a=b"1") + bytes(1 << 20))
    await apply(data, tmp_path, max_size=2 << 20)
    with pytest.raises(ErrFailedPrecondition, match="more than 5000 bytes after"):
        await apply(data, tmp_path, max_size=5000)


@pytest.mark.parametrize("data", [b"", bytes(512), bytes(1024)])
async def test_an_empty_layer(tmp_path, data):
    """An empty blob is one too (docker/docker#18170)."""
    applied = await apply(data, tmp_path)
    assert (applied.digest, applied.size) == (from_bytes(data), len(data))
    assert (await apply(gzip.compress(data), tmp_path)).digest == from_bytes(data)


async def test_a_compressed_layer_that_says_it_is_not_compressed(tmp_path):
    with pytest.raises(ErrHeader):
        await apply(gzip.compress(LARGE), tmp_path, OCI)


async def test_a_layer_of_a_compression_that_is_not_known(tmp_path):
    """CVE-2021-20291: broken xz, and a deadlock."""
    with pytest.raises(ErrHeader):
        await apply(b"\xfd7zXZ\0" + b"\xff" * 1000, tmp_path)


async def test_a_type_that_is_no_layers(tmp_path):
    with pytest.raises(ErrNoProcessor) as caught:
        await apply(SMALL, tmp_path, "text/plain")
    assert message(caught.value) == (
        "failed to get stream processor for text/plain: no processor for media-type"
    )


async def test_a_blob_that_is_not_there(tmp_path):
    desc = Descriptor(media_type=OCI, digest=from_bytes(b"x"))
    with pytest.raises(ErrNotFound) as caught:
        await diff.apply(MemoryStore(), desc, tmp_path)
    assert message(caught.value).startswith(
        "failed to get reader from content store: content digest sha256:"
    )


@pytest.mark.parametrize("layer", [SMALL, LARGE], ids=["small", "large"])
@pytest.mark.parametrize("pack", [gzip.compress, zstd.compress])
async def test_a_layer_that_is_cut(tmp_path, layer, pack):
    data = pack(layer)
    for end in (len(data) - 1, len(data) // 2):
        with pytest.raises(ErrUnexpectedEOF):
            await apply(data[:end], tmp_path)


@pytest.mark.parametrize("layer", [SMALL, LARGE], ids=["small", "large"])
async def test_a_layer_whose_checksum_is_wrong(tmp_path, layer):
    data = bytearray(gzip.compress(layer))
    data[-5] ^= 1
    with pytest.raises(ErrChecksum):
        await apply(bytes(data), tmp_path)


async def test_garbage_behind_a_compressed_layer(tmp_path):
    with pytest.raises(ErrGzipHeader):
        await apply(gzip.compress(SMALL) + b"garbage garbage", tmp_path)


async def test_an_error_in_the_midst_of_a_large_layer_ends_all_threads(tmp_path):
    broken = make_layer(x=b"")[:512] + b"broken".ljust(512) + LARGE * 4
    with pytest.raises(ErrInvalidArchive):
        await apply(gzip.compress(broken, 0), tmp_path)


async def test_cancelling_ends_all_threads(tmp_path):
    token = anyio.lowlevel.current_token()

    class Cancelling(Blobs):
        furthest = 0

        def read_at(self, offset, length):
            self.furthest = offset
            if offset > 1 << 20:
                anyio.from_thread.run_sync(scope.cancel, token=token)
            return super().read_at(offset, length)

    blobs = Cancelling(make_layer(x=bytes(16 << 20)))
    desc = Descriptor(media_type=OCI, digest=from_bytes(b""))
    with anyio.CancelScope() as scope:
        await diff.apply(blobs, desc, tmp_path)
    assert scope.cancelled_caught
    assert blobs.closed
    assert blobs.furthest < 12 << 20
    assert not [t for t in threading.enumerate() if t.name.startswith("layer-")]
