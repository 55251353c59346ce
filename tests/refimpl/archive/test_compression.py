"""archive/compression: gzip and zstd streams, whole, joined and broken."""

import gzip
import hashlib
import io
import sys
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refimpl.archive import compression
from refimpl.archive.compression import CHUNK, decompress_stream, detect_compression
from refimpl.archive.errors import (
    ErrChecksum,
    ErrCorruptInput,
    ErrGzipHeader,
    ErrInvalidArchive,
)
from refimpl.errdefs import ErrUnexpectedEOF, message

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

MIXED = hashlib.shake_128(b"").digest(3000) + b"a" * 5000


@pytest.fixture(params=["zlib", "isal.isal_zlib"])
def inflater(request, monkeypatch):
    module = pytest.importorskip(request.param)
    monkeypatch.setattr(compression, "_inflater", module)


def decompress(data):
    return b"".join(decompress_stream(io.BytesIO(data)))


def test_what_the_first_bytes_say():
    assert detect_compression(gzip.compress(b"")) == "gzip"
    assert detect_compression(zstd.compress(b"")) == "zstd"
    assert detect_compression(b"\x1f\x8b\x07") == ""
    assert detect_compression(b"") == ""


@pytest.mark.parametrize("data", [b"", b"x", MIXED, bytes(3 * CHUNK + 1)])
@pytest.mark.parametrize("pack", [gzip.compress, zstd.compress, bytes])
@pytest.mark.usefixtures("inflater")
def test_streams_come_in_pieces_of_bounded_size(pack, data):
    pieces = list(decompress_stream(io.BytesIO(pack(data))))
    assert b"".join(pieces) == data
    assert all(0 < len(piece) <= CHUNK for piece in pieces)


@pytest.mark.usefixtures("inflater")
def test_members_and_frames_follow_each_other():
    members = gzip.compress(b"a" * 600) + gzip.compress(b"") + gzip.compress(MIXED)
    assert decompress(members) == b"a" * 600 + MIXED
    skippable = b"\x50\x2a\x4d\x18" + (3).to_bytes(4, "little") + b"xyz"
    frames = zstd.compress(b"a") + skippable + zstd.compress(b"") + zstd.compress(MIXED)
    assert decompress(frames) == b"a" + MIXED


@pytest.mark.usefixtures("inflater")
def test_members_in_reads_of_one_byte():
    class Dribble(io.BytesIO):
        def read(self, size=-1):
            return super().read(1)

    members = gzip.compress(MIXED) + gzip.compress(b"end")
    assert b"".join(decompress_stream(Dribble(members))) == MIXED + b"end"
    frames = zstd.compress(MIXED) + zstd.compress(b"end")
    assert b"".join(decompress_stream(Dribble(frames))) == MIXED + b"end"


@pytest.mark.parametrize("pack", [gzip.compress, zstd.compress])
@pytest.mark.usefixtures("inflater")
def test_a_stream_that_is_cut_is_never_whole(pack):
    whole = pack(b"some text, " * 20)
    for end in range(4, len(whole)):
        with pytest.raises(ErrUnexpectedEOF):
            decompress(whole[:end])
    # Cut within the magic number, it is no longer a compressed one.
    assert decompress(whole[:2]) == whole[:2]


@pytest.mark.usefixtures("inflater")
def test_a_changed_bit_shows():
    whole = gzip.compress(MIXED, mtime=0)
    for position in range(10, len(whole), 97):
        broken = bytearray(whole)
        broken[position] ^= 0x10
        with pytest.raises((ErrInvalidArchive, ErrUnexpectedEOF)):
            decompress(bytes(broken))


@pytest.mark.parametrize("position", [-8, -1], ids=["checksum", "length"])
@pytest.mark.usefixtures("inflater")
def test_a_wrong_trailer(position):
    broken = bytearray(gzip.compress(MIXED))
    broken[position] ^= 1
    with pytest.raises(ErrChecksum) as caught:
        decompress(bytes(broken))
    assert message(caught.value) == "gzip: invalid checksum"


@pytest.mark.usefixtures("inflater")
def test_data_that_cannot_be_inflated():
    with pytest.raises(ErrCorruptInput, match="flate: corrupt input"):
        decompress(gzip.compress(b"")[:10] + b"\xff" * 20)
    with pytest.raises(ErrCorruptInput, match="zstd: corrupt input"):
        decompress(zstd.compress(MIXED) + b"garbage!")


@pytest.mark.parametrize("garbage", [b"garbage of some length", bytes(512)])
@pytest.mark.usefixtures("inflater")
def test_what_follows_a_gzip_stream_must_be_one(garbage):
    """Go's compress/gzip: not even zeros may follow."""
    with pytest.raises(ErrGzipHeader):
        decompress(gzip.compress(b"x") + garbage)
    with pytest.raises(ErrUnexpectedEOF):
        decompress(gzip.compress(b"x") + garbage[:9])


def member(flags, extras):
    body = zlib.compressobj(wbits=-15)
    deflated = body.compress(b"hello") + body.flush()
    trailer = zlib.crc32(b"hello").to_bytes(4, "little") + (5).to_bytes(4, "little")
    return b"\x1f\x8b\x08" + bytes([flags]) + bytes(6) + extras + deflated + trailer


def test_all_fields_of_a_header_are_passed_over():
    """RFC 1952 section 2.3."""
    extras = b"\x03\x00abc" + b"name\0" + b"comment\0"
    head = b"\x1f\x8b\x08\x1e" + bytes(6) + extras
    checksum = (zlib.crc32(head) & 0xFFFF).to_bytes(2, "little")
    assert decompress(member(0x1E, extras + checksum)) == b"hello"
    with pytest.raises(ErrGzipHeader):
        decompress(member(0x1E, extras + b"\0\0"))


def test_a_name_in_a_header_has_at_most_512_bytes():
    assert decompress(member(0x08, b"n" * 511 + b"\0")) == b"hello"
    with pytest.raises(ErrGzipHeader):
        decompress(member(0x08, b"n" * 512 + b"\0"))
    with pytest.raises(ErrUnexpectedEOF):
        decompress(member(0x08, b"")[:10] + b"nam")


@given(st.lists(st.binary(max_size=2000), max_size=4), st.integers(1, 9))
def test_members_are_what_gzip_reads(parts, level):
    data = b"".join(gzip.compress(part, level) for part in parts)
    assert decompress(data) == gzip.decompress(data)


def test_a_small_stream_that_becomes_a_large_one_stays_small_in_memory():
    """A bomb comes in pieces; nobody holds it."""
    bomb = gzip.compress(bytes(8 << 20))
    assert len(bomb) < 100_000
    pieces = decompress_stream(io.BytesIO(bomb))
    assert max(len(piece) for piece in pieces) <= CHUNK
