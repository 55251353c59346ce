import gzip
import io
import tarfile

import pytest

from fakeregistry.image import digest_of
from fakeregistry.layers import (
    EMPTY_LAYER,
    Layer,
    compress,
    compression_of,
    files_layer,
    seeded_layer,
    tar_layer,
)

SIZES = [0, 1, 0xFFFE, 0xFFFF, 0x10000, (1 << 17) - 1, 1 << 17, (1 << 17) + 1]


@pytest.mark.parametrize("size", SIZES)
def test_stored_gzip_unpacks(size):
    """RFC 1952; blocks of at most 65535 bytes, RFC 1951 section 3.2.4."""
    data = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    assert gzip.decompress(compress(data, "gzip")) == data


@pytest.mark.parametrize("size", SIZES)
def test_raw_zstd_unpacks(size):
    """RFC 8878 section 3.1.1; blocks of at most 128 KiB."""
    zstandard = pytest.importorskip("zstandard")
    data = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    unpacker = zstandard.ZstdDecompressor().decompressobj()
    assert unpacker.decompress(compress(data, "zstd")) == data


def test_the_bytes_never_change():
    """Digests in reports and traces stay comparable between machines."""
    layer = seeded_layer("layer-0-0", size=1024, compression="gzip")
    assert layer == seeded_layer("layer-0-0", size=1024, compression="gzip")
    assert digest_of(layer.data) == (
        "sha256:7086e228e0a60d717c570125ecb2388535d4858bfd99e4c6f4fc85151053786a"
    )


@pytest.mark.parametrize("compression", ["gzip", "zstd", "none"])
def test_compression_is_told_by_the_first_bytes(compression):
    assert compression_of(compress(b"data", compression)) == compression


def test_the_empty_layer_of_artifacts():
    """image-spec v1.1, manifest.md, Guidance for an Empty Descriptor."""
    assert digest_of(EMPTY_LAYER.data) == (
        "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
    )
    assert EMPTY_LAYER.media_type == "application/vnd.oci.empty.v1+json"


def test_large_layers_are_not_kept():
    size = (1 << 16) + 1
    first = seeded_layer("a", size=size, compression="none")
    second = seeded_layer("a", size=size, compression="none")
    assert first == second
    assert first is not second


def test_seeded_layers_hold_one_file_of_the_size():
    layer = seeded_layer("a/b", size=1000, compression="none")
    with tarfile.open(fileobj=io.BytesIO(layer.data)) as archive:
        (member,) = archive.getmembers()
    assert (member.name, member.size, member.mtime) == ("a-b.bin", 1000, 0)
    assert layer.content_digest() == digest_of(layer.data)


def test_files_come_back_as_they_were():
    files = {"etc/hosts": b"127.0.0.1\n", "empty": b"", "n" * 300: b"long"}
    layer = files_layer(files)
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(layer.data))) as archive:
        found = {member.name: archive.extractfile(member) for member in archive}
        assert {name: file.read() for name, file in found.items() if file} == files


def test_any_member_can_be_written():
    link = tarfile.TarInfo("../../x")
    link.type = tarfile.SYMTYPE
    link.linkname = "/etc/passwd"
    layer = tar_layer([(link, b"")], compression="none")
    with tarfile.open(fileobj=io.BytesIO(layer.data)) as archive:
        (member,) = archive.getmembers()
    assert (member.name, member.linkname) == ("../../x", "/etc/passwd")


@pytest.mark.parametrize(
    ("data", "unpacked"),
    [
        (compress(b"tar", "gzip"), b"tar"),
        (b"plain", b"plain"),
        (compress(b"tar", "gzip")[:-9], compress(b"tar", "gzip")[:-9]),
        (b"\x1f\x8bjunk", b"\x1f\x8bjunk"),
    ],
)
def test_diff_ids_of_given_blobs(data, unpacked):
    assert Layer(data=data).content_digest() == digest_of(unpacked)
    assert Layer(data=data, diff_id="sha256:00").content_digest() == "sha256:00"
