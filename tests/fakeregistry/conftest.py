"""Real servers and clients for the tests that are marked ``clients``."""

import contextlib
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from types import SimpleNamespace

import pytest

DEADLINE = 60


def run(*command, **variables):
    """Run a client to its end; return what it printed."""
    environment = {**os.environ, **{k: str(v) for k, v in variables.items()}}
    done = subprocess.run(
        list(map(str, command)),
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=DEADLINE,
    )
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


@contextlib.contextmanager
def running(command, log, line):
    """Run a server; yield what a line of its log says, once it is there."""
    with log.open("wb") as out:
        process = subprocess.Popen(list(map(str, command)), stdout=out, stderr=out)
    tail = ["tail", "-n", "+1", "-F", f"--pid={process.pid}", str(log)]
    try:
        with subprocess.Popen(tail, stdout=subprocess.PIPE, text=True) as lines:
            try:
                found = (re.search(line, text) for text in lines.stdout or ())
                match = next(filter(None, found), None)
            finally:
                lines.kill()
        assert match is not None, log.read_text()
        yield match
    finally:
        process.terminate()
        process.wait(30)


def require(*programs, root=False):
    """Skip the test where a program is missing, or where it may not run."""
    missing = [program for program in programs if shutil.which(program) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")
    if root and os.geteuid() != 0:
        pytest.skip(f"{programs[0]} needs root")


@pytest.fixture
def short_folder():
    """A folder with a short name: sockets and podman's runroot have limits."""
    with tempfile.TemporaryDirectory(prefix="fr-") as name:
        yield Path(name)


@pytest.fixture
def tools():
    """The functions of this file, for tests whose modules cannot import it."""
    return SimpleNamespace(run=run, running=running, require=require)


@pytest.fixture
def docker(short_folder):
    """The command of a client whose daemon is private and fresh."""
    require("dockerd", "docker", root=True)
    socket = f"unix://{short_folder / 'socket'}"
    command = [
        *("dockerd", "--host", socket, "--pidfile", short_folder / "pid"),
        *("--data-root", short_folder / "data", "--exec-root", short_folder / "run"),
        *("--iptables=false", "--bridge=none", "--storage-driver=vfs"),
    ]
    with running(command, short_folder / "log", "API listen on"):
        yield ("docker", "--host", socket)


@pytest.fixture
def podman(short_folder):
    """The command of a podman whose store is private and fresh."""
    require("podman", root=True)
    return (
        *("podman", "--root", short_folder / "root", "--storage-driver", "vfs"),
        *("--runroot", short_folder / "run"),
    )


CONTAINERD = """\
version = 2
root = "{folder}/root"
state = "{folder}/state"
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.internal.v1.opt"]
[grpc]
address = "{folder}/sock"
"""


@pytest.fixture
def containerd(short_folder):
    """The command of a ctr whose daemon is private and fresh."""
    require("containerd", "ctr", root=True)
    config = short_folder / "config.toml"
    config.write_text(CONTAINERD.format(folder=short_folder))
    command = ["containerd", "--config", config]
    with running(command, short_folder / "log", "containerd successfully booted"):
        yield ("ctr", "--address", short_folder / "sock")
