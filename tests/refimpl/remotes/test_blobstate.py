"""converter.go, blobStateCalculator, on archive/compression/compression.go."""

import gzip
import sys
import zlib
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refimpl.digest import from_bytes
from refimpl.errdefs import ContainerdError, ErrFailedPrecondition, ErrUnexpectedEOF
from refimpl.remotes.docker.blobstate import BlobState, BlobStateCalculator

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

PLENTY = 1 << 30


def nothing():
    """Go on."""


def calculate(*chunks, limit=PLENTY):
    calculator = BlobStateCalculator(limit=limit, checkpoint=nothing)
    for chunk in chunks:
        assert calculator.write(memoryview(chunk)) == len(chunk)
    return calculator.finish(), calculator.compressed


def cut(data, places):
    """Cut data into chunks at the places, which may lie anywhere."""
    edges = sorted({0, len(data), *(place % (len(data) + 1) for place in places)})
    return [data[a:b] for a, b in pairwise(edges)]


PACKED = {
    "plain": lambda data: data,
    "gzip": lambda data: gzip.compress(data, mtime=0),
    "members": lambda data: gzip.compress(data[:9]) + gzip.compress(data[9:]),
    "zstd": zstd.compress,
    "frames": lambda data: zstd.compress(data[:9]) + zstd.compress(data[9:]),
}
CONTENT = st.binary(max_size=400).filter(
    lambda data: not data.startswith((b"\x1f\x8b\x08", b"\x28\xb5\x2f\xfd"))
)


@pytest.mark.parametrize("kind", PACKED)
@given(data=CONTENT, places=st.lists(st.integers(0, 1000), max_size=5))
def test_a_layer_is_what_it_unpacks_to_however_it_comes(kind, data, places):
    state, compressed = calculate(*cut(PACKED[kind](data), places))
    assert state == BlobState(diff_id=from_bytes(data), empty=not data.strip(b"\0"))
    assert compressed == (kind != "plain")


@given(st.integers(0, 5000), st.integers(1, 5000))
def test_one_byte_in_the_zeros_is_seen(place, after):
    data = bytearray(place + after)
    data[place] = 1
    assert not calculate(gzip.compress(data))[0].empty
    assert calculate(gzip.compress(bytes(len(data))))[0].empty


@pytest.mark.parametrize("pack", [gzip.compress, zstd.compress])
def test_what_unpacks_to_many_pieces_is_complete(pack):
    """More comes out than zlib or zstd have room for at once."""
    data = bytes(5 << 20) + b"end"
    assert calculate(pack(data))[0] == BlobState(diff_id=from_bytes(data), empty=False)


@pytest.mark.parametrize("size", [(1 << 20) - 1, 1 << 20, (1 << 20) + 1, 2 << 20])
def test_the_last_piece_may_be_a_full_one(size):
    assert calculate(gzip.compress(bytes(size)))[0].diff_id == from_bytes(bytes(size))


def test_nothing_at_all_is_an_empty_layer():
    """docker/docker issue 18170."""
    state, compressed = calculate()
    assert state == BlobState(diff_id=from_bytes(b""), empty=True)
    assert not compressed


@pytest.mark.parametrize("head", [b"\x1f", b"\x1f\x8b", b"\x28\xb5\x2f", b"abc"])
def test_short_layers_are_plain(head):
    assert calculate(head)[0].diff_id == from_bytes(head)


@pytest.mark.parametrize("kind", ["gzip", "members", "zstd", "frames"])
@given(data=st.binary(max_size=400), missing=st.integers(1, 3))
def test_a_layer_that_breaks_off_is_an_error(kind, data, missing):
    with pytest.raises(ErrUnexpectedEOF):
        calculate(PACKED[kind](data)[:-missing])


def test_a_layer_of_three_bytes_is_a_broken_gzip():
    with pytest.raises(ErrUnexpectedEOF):
        calculate(b"\x1f\x8b\x08")


def spoiled(data, place):
    return data[:place] + bytes([data[place] ^ 0xFF]) + data[place + 1 :]


@pytest.mark.parametrize(
    "data",
    [
        spoiled(gzip.compress(b"x" * 99), -5),
        gzip.compress(b"x") + b"no member",
        gzip.compress(b"x") + bytes(64),
        # A checksum of the header that is wrong: RFC 1952 section 2.3.1, FHCRC.
        b"\x1f\x8b\x08\x02" + bytes(6) + b"\xff\xff" + zlib.compress(b"x"),
        spoiled(zstd.compress(b"x" * 99), 5),
        zstd.compress(b"x") + b"no frame",
    ],
    ids=["checksum", "text behind", "zeros behind", "header", "zstd", "zstd behind"],
)
def test_a_layer_that_cannot_be_unpacked_is_told_at_its_end(data):
    """Deviation D33: the writes go on, so that whoever sends is not left waiting."""
    calculator = BlobStateCalculator(limit=PLENTY, checkpoint=nothing)
    for start in range(0, len(data), 5):
        calculator.write(memoryview(data)[start : start + 5])
    calculator.write(memoryview(bytes(1000)))
    with pytest.raises(ContainerdError, match="cannot be unpacked") as caught:
        calculator.finish()
    assert type(caught.value) is ContainerdError


@pytest.mark.parametrize("kind", PACKED)
def test_more_than_the_limit_is_refused(kind):
    """Deviation D19."""
    data = PACKED[kind](b"x" * 1000)
    assert calculate(data, limit=1000)[0].diff_id == from_bytes(b"x" * 1000)
    with pytest.raises(ErrFailedPrecondition, match="unpacks to more than 999 bytes"):
        calculate(data, limit=999)


@pytest.mark.parametrize("pack", [gzip.compress, zstd.compress])
def test_a_bomb_is_stopped_soon_after_the_limit(pack):
    """Deviation D19: what comes out is looked at piece by piece."""
    pieces = 0

    def count():
        nonlocal pieces
        pieces += 1

    calculator = BlobStateCalculator(limit=3 << 20, checkpoint=count)
    with pytest.raises(ErrFailedPrecondition):
        calculator.write(memoryview(pack(bytes(16 << 20))))
    assert 3 < pieces < 6


def test_a_checkpoint_can_end_it():
    def stop():
        raise KeyError

    calculator = BlobStateCalculator(limit=PLENTY, checkpoint=stop)
    with pytest.raises(KeyError):
        calculator.write(memoryview(b"text"))
