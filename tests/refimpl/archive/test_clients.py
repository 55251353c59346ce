"""The same layers through GNU tar and umoci, and the same trees out of them."""

import os
import shutil
import stat
import subprocess
import time
from pathlib import Path

import pytest

SAME = {
    "mode": 0o6755,
    "uid": 3,
    "gid": 4,
    "pax": {"mtime": "1234567890.123456789"},
}


def needs(program):
    return pytest.mark.skipif(
        shutil.which(program) is None, reason=f"{program} is not installed"
    )


as_root = pytest.mark.skipif(os.geteuid() != 0, reason="owners and devices take root")


def run(*command, **options):
    return subprocess.run(
        command, check=True, capture_output=True, timeout=60, **options
    ).stdout


def describe(folder):
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


@needs("tar")
@pytest.mark.slow
@pytest.mark.parametrize("sparse", [(), ("-S",)], ids=["dense", "sparse"])
@pytest.mark.parametrize("form", ["gnu", "pax", "0.0", "0.1", "1.0"])
def test_gnu_tar_writes_it_and_the_tree_is_the_same(apply, source, root, form, sparse):
    kind = ["--format=gnu"] if form == "gnu" else ["--format=posix"]
    if "." in form:
        kind.append(f"--sparse-version={form}")
    command = ["tar", "-C", str(source), *kind, *sparse, "-cf-", "."]
    apply(run(*command))
    expected, found = describe(source), describe(root)
    if form == "gnu":  # has whole seconds only
        expected, found = (
            {name: (*row[:3], row[3] // 10**9, *row[4:]) for name, row in tree.items()}
            for tree in (expected, found)
        )
    assert found == expected
    if sparse:
        assert (root / "sparse").stat().st_blocks * 512 < 1 << 20


@needs("tar")
@pytest.mark.slow
def test_gnu_tar_and_we_extract_the_same(apply, layer, entry, root, tmp_path):
    pax = {"mtime": "1600000000.123456789"}
    data = layer(
        entry("d", "dir", mode=0o2750, pax=pax),
        entry("d/f", data=b"x" * 700, mode=0o4511, pax=pax),
        entry("d/h", "link", link="d/f", mode=0o4511, pax=pax),
        entry("d/l", "symlink", link="../d/f", pax=pax),
        entry("p/q/fifo", "fifo", pax=pax),
        entry("p/q", "dir", pax=pax),
        entry("p", "dir", pax=pax),
    )
    apply(data)
    other = tmp_path / "other"
    other.mkdir()
    run("tar", "--xattrs", "-C", str(other), "-xpf-", input=data)
    assert describe(root) == describe(other)


@pytest.mark.clients
@pytest.mark.slow
@as_root
@needs("umoci")
def test_umoci_and_we_unpack_the_same_layers(apply, layer, entry, source, tmp_path):
    base = run("tar", "-C", str(source), "--format=posix", "-cf-", ".")
    pax = {"SCHILY.xattr.user.key": "value"} if has_xattrs(tmp_path) else {}
    layers = [
        base,
        layer(
            "dir/.wh.file",
            entry("dir", "dir", mode=0o700, uid=9, pax=pax),
            entry("dir/new", data=b"new", uid=7, gid=8, pax=pax),
            # As in the layer below: umoci leaves the attributes of links alone.
            entry("hard2", "link", link="hard", **SAME),
            entry("soft", "dir", mode=0o751),
            "soft/inside",
        ),
        layer("soft/.wh..wh..opq", "soft/only", ".wh.caf\udce9", ".wh.fifo"),
    ]
    apply(*layers)
    layout = tmp_path / "layout"
    run("umoci", "init", "--layout", str(layout))
    run("umoci", "new", "--image", f"{layout}:image")
    for number, data in enumerate(layers):
        path = tmp_path / f"{number}.tar"
        path.write_bytes(data)
        run("umoci", "raw", "add-layer", "--image", f"{layout}:image", str(path))
    run("umoci", "raw", "unpack", "--image", f"{layout}:image", str(tmp_path / "out"))
    assert without_changed_times(describe(tmp_path / "root")) == without_changed_times(
        describe(tmp_path / "out")
    )


def has_xattrs(folder: Path) -> bool:
    try:
        os.setxattr(folder, "user.probe", b"")
    except OSError:
        return False
    return True


def without_changed_times(tree):
    """Drop the times of folders that changed under a later layer."""
    day_ago = (time.time() - 86400) * 1e9
    return {
        name: (*row[:3], *row[4:]) if row[3] > day_ago or name == "soft" else row
        for name, row in tree.items()
    }
