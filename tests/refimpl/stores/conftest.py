"""A store of its own for every test, and processes beside this one."""

import subprocess
import sys
from pathlib import Path

import pytest

from refimpl.stores.metadata import DB


@pytest.fixture
async def db(tmp_path, anyio_backend):
    async with await DB.open(tmp_path / "root") as db:
        yield db


@pytest.fixture
def store(db):
    return db.content_store("default")


@pytest.fixture
def spawn():
    """Start Python with a script of ours; what still runs is killed at the end."""
    running = []

    def start(script, *args):
        process = subprocess.Popen(
            [sys.executable, "-c", script, *map(str, args)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        running.append(process)
        return process

    yield start
    for process in running:
        process.kill()
        process.communicate()


@pytest.fixture
def open_files():
    """Count the files that this process has open."""
    return lambda: len(list(Path("/proc/self/fd").iterdir()))
