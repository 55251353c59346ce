"""content/local/locks.go: one writer for a ref, in all processes."""

import re

import pytest

from refimpl.errdefs import ErrUnavailable
from refimpl.stores.locks import RefLocks, ref_name

HOLDER = """
import sys
from pathlib import Path
from refimpl.stores.locks import RefLocks
lock = RefLocks(Path(sys.argv[1])).acquire("r")
print("held", flush=True)
sys.stdin.readline()
lock.release()
print("released", flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def locks(tmp_path):
    locks = RefLocks(tmp_path / "locks")
    yield locks
    locks.close()


@pytest.fixture
def holder(tmp_path, locks, spawn):
    process = spawn(HOLDER, tmp_path / "locks")
    assert process.stdout.readline() == "held\n"
    return process


def test_a_ref_has_one_holder(locks):
    with locks.acquire("r"), pytest.raises(ErrUnavailable) as caught:
        locks.acquire("r")
    text = r"ref r locked since \d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)? \+0000 UTC"
    assert re.fullmatch(text + ": unavailable", str(caught.value))
    locks.acquire("r").release()


def test_other_refs_are_free(locks):
    with locks.acquire("a"), locks.acquire("b"):
        assert locks.held("a")
        assert not locks.held("c")


def test_release_twice(locks):
    lock = locks.acquire("r")
    lock.release()
    with locks.acquire("r"):
        lock.release()
        assert locks.held("r")


def test_stores_of_one_process_share_locks(tmp_path, locks):
    """Closing one must not drop what the other holds, as record locks would."""
    other = RefLocks(tmp_path / "locks")
    with locks.acquire("r"):
        assert other.held("r")
        other.close()
        other.close()
        third = RefLocks(tmp_path / "locks")
        assert third.try_acquire(ref_name("r")) is None
        third.close()


@pytest.mark.slow
def test_between_processes(locks, holder):
    with pytest.raises(ErrUnavailable, match="ref r locked by another process"):
        locks.acquire("r")
    assert locks.held("r")
    holder.stdin.write("\n")
    holder.stdin.flush()
    assert holder.stdout.readline() == "released\n"
    assert not locks.held("r")


@pytest.mark.slow
def test_opening_again_keeps_locks_from_other_processes(tmp_path, locks, spawn):
    RefLocks(tmp_path / "locks").close()
    with locks.acquire("mine"):
        RefLocks(tmp_path / "locks").close()
        script = (
            "import sys; from pathlib import Path;"
            "from refimpl.stores.locks import RefLocks;"
            "print(RefLocks(Path(sys.argv[1])).held('mine'))"
        )
        out, _ = spawn(script, tmp_path / "locks").communicate()
    assert out == "True\n"


@pytest.mark.slow
def test_a_dead_process_holds_nothing(locks, holder):
    holder.kill()
    holder.wait()
    locks.acquire("r").release()


def test_nothing_stays_open(tmp_path, open_files):
    before = open_files()
    locks = RefLocks(tmp_path / "locks")
    lock = locks.acquire("r")
    locks.close()
    lock.release()
    assert open_files() == before
    again = RefLocks(tmp_path / "locks")
    assert not again.held("r")
    again.close()
