"""refimpl/stores/hashing.py."""

import hashlib
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refimpl.stores.hashing import Hashing

LARGE = 1 << 18


@given(st.lists(st.sampled_from([0, 1, 1000, LARGE - 1, LARGE, LARGE + 7]), max_size=8))
def test_pieces_of_any_size_make_one_digest(sizes):
    whole, hashing = hashlib.sha256(), Hashing(hashlib.sha256())
    try:
        for number, size in enumerate(sizes):
            piece = bytes([number]) * size
            whole.update(piece)
            hashing.begin(memoryview(piece))
            hashing.end(size)
        assert hashing.hexdigest() == whole.hexdigest()
    finally:
        hashing.close()


@pytest.mark.parametrize("size", [10, LARGE])
def test_only_what_was_written_counts(size):
    hashing = Hashing(hashlib.sha256(b"start"))
    hashing.begin(memoryview(b"x" * size))
    hashing.end(3)
    assert hashing.hexdigest() == hashlib.sha256(b"startxxx").hexdigest()
    hashing.close()


def test_a_closed_one_leaves_no_thread_and_can_go_on():
    hashing = Hashing(hashlib.sha256())
    for _ in range(2):
        before = set(threading.enumerate())
        hashing.begin(memoryview(bytes(LARGE)))
        hashing.end(LARGE)
        (thread,) = set(threading.enumerate()) - before
        hashing.close()
        thread.join(10)
        assert not thread.is_alive()
    assert hashing.hexdigest() == hashlib.sha256(bytes(2 * LARGE)).hexdigest()


def test_small_pieces_start_no_thread():
    before = threading.active_count()
    hashing = Hashing(hashlib.sha256())
    hashing.begin(memoryview(b"small"))
    hashing.end(5)
    assert threading.active_count() == before
