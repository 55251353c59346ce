"""diff/apply/apply.go:94: a stream that is hashed as it is read."""

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refimpl.diff.pipeline import Pipeline
from refimpl.digest import from_bytes
from refimpl.errdefs import ErrUnexpectedEOF


def read_all(stream, size):
    data = b""
    while piece := stream.read(size):
        assert len(piece) <= size
        data += piece
    assert stream.read(size) == b""
    return data


@pytest.mark.parametrize("parallel", [False, True])
@given(
    chunks=st.lists(st.binary(min_size=1, max_size=50), max_size=60),
    size=st.integers(1, 80),
)
def test_all_bytes_come_through_and_count(parallel, chunks, size):
    whole = b"".join(chunks)
    with Pipeline(iter(chunks), parallel=parallel) as stream:
        assert read_all(stream, size) == whole
        assert stream.result() == (from_bytes(whole), len(whole))


@pytest.mark.parametrize("parallel", [False, True])
def test_an_error_comes_where_it_happened(parallel):
    def chunks():
        yield b"a"
        yield b"b"
        raise ErrUnexpectedEOF

    with Pipeline(chunks(), parallel=parallel) as stream:
        assert (stream.read(9), stream.read(9)) == (b"a", b"b")
        with pytest.raises(ErrUnexpectedEOF):
            stream.read(9)


def endless(taken):
    while True:
        taken.append(1)
        yield b"x" * 100


def test_nobody_reads_further_ahead_than_there_is_room():
    taken: list[int] = []
    before = threading.active_count()
    with Pipeline(endless(taken), parallel=True) as stream:
        assert stream.read(10) == b"x" * 10
        assert threading.active_count() == before + 2
    assert threading.active_count() == before
    assert len(taken) < 40


def test_leaving_after_an_error_of_the_stream_that_nobody_saw():
    def chunks():
        for _ in range(16):
            yield b"x"
        raise ErrUnexpectedEOF

    before = threading.active_count()
    with Pipeline(chunks(), parallel=True):
        pass
    assert threading.active_count() == before
