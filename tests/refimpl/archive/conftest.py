"""Layers made by tarfile, folders to apply them to, and users who may less."""

import io
import json
import os
import stat
import subprocess
import sys
import tarfile
import tempfile
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import anyio
import pytest

from refimpl import archive
from refimpl.archive import ApplyOptions
from refimpl.workers import run_blocking

MTIME = 1_600_000_000
NOBODY = 65534

TYPES = {
    "file": tarfile.REGTYPE,
    "dir": tarfile.DIRTYPE,
    "symlink": tarfile.SYMTYPE,
    "link": tarfile.LNKTYPE,
    "char": tarfile.CHRTYPE,
    "block": tarfile.BLKTYPE,
    "fifo": tarfile.FIFOTYPE,
}


@dataclass
class Entry:
    """One entry: what tarfile's member has, and the data."""

    name: str
    kind: str = "file"
    data: bytes = b""
    link: str = ""
    mode: int | None = None
    uid: int = os.geteuid()
    gid: int = os.getegid()
    mtime: float = MTIME
    device: tuple[int, int] = (0, 0)
    pax: dict[str, str] | None = None

    def member(self):
        member = tarfile.TarInfo(self.name)
        member.type = TYPES[self.kind]
        member.size = len(self.data)
        member.linkname = self.link
        default = 0o755 if self.kind == "dir" else 0o644
        member.mode = default if self.mode is None else self.mode
        member.uid, member.gid = self.uid, self.gid
        member.mtime = self.mtime
        member.devmajor, member.devminor = self.device
        member.pax_headers = self.pax or {}
        return member


def named(name):
    """Return a folder or a file that holds its name."""
    return (
        Entry(name, "dir")
        if name.endswith("/")
        else Entry(name, data=os.fsencode(name))
    )


@pytest.fixture
def entry():
    return Entry


@pytest.fixture
def layer():
    """Make a layer of entries; a name alone is a file that holds its name."""

    def make(*entries, kind=tarfile.PAX_FORMAT):
        stream = io.BytesIO()
        with tarfile.open(fileobj=stream, mode="w", format=kind) as tar:
            for item in entries:
                added = named(item) if isinstance(item, str) else item
                tar.addfile(added.member(), io.BytesIO(added.data))
        return stream.getvalue()

    return make


@pytest.fixture
def root(tmp_path):
    path = tmp_path / "root"
    path.mkdir()
    yield path
    # Deeper than pytest can remove, at times.
    archive.remove_all(path)


@pytest.fixture
def warnings():
    return []


@pytest.fixture
def apply(root, warnings):
    """Apply layers to the root, in a worker thread as the reference does."""

    def apply(*layers, to=root, **options):
        options.setdefault("warn", warnings.append)
        size = 0
        for data in layers:
            source = io.BytesIO(data) if isinstance(data, bytes) else data
            job = partial(archive.apply, to, source, options=ApplyOptions(**options))
            size = anyio.run(run_blocking, job)
        return size

    return apply


@pytest.fixture
def names(root):
    """List what is below the root."""
    return lambda: sorted(str(p.relative_to(root)) for p in root.rglob("*"))


USER_SCRIPT = """
import io, json, os, sys
from functools import partial
from pathlib import Path
import anyio
from refimpl import archive
from refimpl.workers import run_blocking

# What is imported late may lie where the user cannot read.
anyio.run(run_blocking, os.getpid)
if os.geteuid() == 0:
    os.setgroups([])
    os.setresgid(NOBODY, NOBODY, NOBODY)
    os.setresuid(NOBODY, NOBODY, NOBODY)
assert os.geteuid() != 0
os.umask(0o077)
root, warnings = Path(sys.argv[1]), []
options = archive.ApplyOptions(warn=warnings.append)
for data in json.loads(sys.stdin.readline()):
    source = io.BytesIO(bytes.fromhex(data))
    anyio.run(run_blocking, partial(archive.apply, root, source, options=options))
print(json.dumps(warnings))
""".replace("NOBODY", str(NOBODY))


@pytest.fixture
def user_root():
    """A folder that belongs to an ordinary user: as root, to nobody."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        path = Path(folder) / "root"
        path.mkdir()
        if os.geteuid() == 0:
            Path(folder).chmod(0o755)
            os.chown(path, NOBODY, NOBODY)
        yield path


@pytest.fixture
def apply_as_user(user_root):
    """Apply layers in a process of an ordinary user; return the warnings."""

    def apply(*layers):
        done = subprocess.run(
            [sys.executable, "-c", USER_SCRIPT, str(user_root)],
            input=json.dumps([data.hex() for data in layers]),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return apply


@pytest.fixture
def describe():
    return _describe


@pytest.fixture
def describe_settled():
    """Describe a tree without the times of folders that a later layer changed."""

    def settled(folder):
        day_ago = (time.time() - 86400) * 1e9
        return {
            name: (*row[:3], *row[4:]) if row[3] > day_ago or name == "soft" else row
            for name, row in _describe(folder).items()
        }

    return settled


@pytest.fixture
def source(tmp_path):
    """A tree with everything that a file system has."""
    folder = tmp_path / "source"
    (folder / "dir/sub").mkdir(parents=True)
    (folder / "dir/file").write_bytes(b"content")
    (folder / "dir/file").chmod(0o4751)
    (folder / ("long-" * 30)).mkdir()
    (folder / ("long-" * 30) / ("name-" * 20)).write_bytes(b"x" * 1000)
    (folder / "caf\udce9").write_bytes(b"latin-1")
    (folder / "hard").hardlink_to(folder / "dir/file")
    (folder / "soft").symlink_to("dir/../nowhere")
    os.mkfifo(folder / "fifo", 0o644)
    with (folder / "sparse").open("wb") as file:
        for i in range(9):
            file.seek(i << 17)
            file.write(bytes([i + 1]) * 4096)
        file.truncate(3 << 20)
    (folder / "empty").write_bytes(b"")
    if os.geteuid() == 0:
        os.mknod(folder / "null", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
        os.mknod(folder / "disk", 0o660 | stat.S_IFBLK, os.makedev(8, 17))
        os.chown(folder / "dir", 1, 2)
        os.chown(folder / "soft", 5, 6, follow_symlinks=False)
        os.chown(folder / "hard", 3, 4)
        (folder / "hard").chmod(0o6755)
    (folder / "dir/sub").chmod(0o1777)
    for path in (*folder.rglob("*"), folder):
        os.utime(path, ns=(10**18, 1234567890123456789), follow_symlinks=False)
    return folder


def _describe(folder):
    """Return everything that two trees have in common if they are the same."""
    found: dict[str, object] = {}
    links: dict[int, str] = {}
    for path in sorted(folder.rglob("*")):
        name, status = str(path.relative_to(folder)), path.lstat()
        mode, content = status.st_mode, None
        if stat.S_ISREG(mode):
            content = path.read_bytes()
        elif stat.S_ISLNK(mode):
            content = str(path.readlink())
        attributes = {
            key: os.getxattr(path, key, follow_symlinks=False)
            for key in os.listxattr(path, follow_symlinks=False)
        }
        found[name] = (
            stat.filemode(mode),
            status.st_uid,
            status.st_gid,
            status.st_mtime_ns,
            status.st_rdev if stat.S_ISCHR(mode) or stat.S_ISBLK(mode) else 0,
            links.setdefault(status.st_ino, name) if stat.S_ISREG(mode) else name,
            content,
            attributes,
        )
    return found
