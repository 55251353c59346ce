"""Bytes on their way in: memory, nameless files, files in a folder."""

import hashlib
from pathlib import Path

import pytest

from fakeregistry.spool import Spool, known_digest, mapped

DATA = bytes(range(100))


def read(content):
    return content.read_bytes() if isinstance(content, Path) else bytes(content)


@pytest.fixture(params=["memory", "nameless", "folder"])
def spool(request, tmp_path):
    if request.param == "folder":
        return Spool(tmp_path)
    return Spool(in_memory=1000 if request.param == "memory" else 50)


def write(spool, data):
    for start in range(0, len(data), 7):
        spool.write(data[start : start + 7])


def test_bytes_and_digests(spool):
    write(spool, DATA)
    assert spool.size == 100
    for algorithm in ("sha256", "sha512", "sha256"):
        found = spool.digest(algorithm)
        assert found == f"{algorithm}:{hashlib.new(algorithm, DATA).hexdigest()}"
    assert read(spool.content()) == DATA


@pytest.mark.parametrize("size", [0, 30, 70, 100])
def test_what_is_cut_off_is_forgotten(spool, size):
    """A chunk that was not as long as it said, and the right one after it."""
    write(spool, DATA)
    spool.truncate(size)
    assert spool.size == size
    write(spool, DATA)
    expected = DATA[:size] + DATA
    assert spool.digest("sha256") == f"sha256:{hashlib.sha256(expected).hexdigest()}"
    assert read(spool.content()) == expected


def test_what_is_dropped_leaves_nothing_behind(spool, tmp_path):
    write(spool, DATA)
    spool.discard()
    spool.discard()
    assert not list(tmp_path.iterdir())


def test_nothing_is_left(spool):
    write(spool, DATA)
    spool.truncate(0)
    assert read(spool.content()) == b""


def test_mapping(tmp_path):
    path = tmp_path / "file"
    for data in (b"", DATA):
        path.write_bytes(data)
        assert bytes(mapped(path)) == data


@pytest.mark.parametrize(
    ("text", "known"),
    [
        ("sha256:" + "0" * 64, True),
        ("sha512:" + "f" * 128, True),
        ("sha256:" + "F" * 64, False),
        ("sha256:" + "0" * 63, False),
        ("sha256", False),
        ("md5:" + "0" * 32, False),
        ("", False),
    ],
)
def test_known_digests(text, known):
    assert known_digest(text) == known
