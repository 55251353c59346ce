"""continuity fs/copy.go, du_unix.go: trees are copied, measured and removed whole."""

import errno
import os
import stat
from pathlib import Path

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refimpl.snapshots import files
from refimpl.snapshots.files import copy_dir, disk_usage, remove_tree
from refimpl.snapshots.snapshotter import Usage
from refimpl.workers import run_blocking

pytestmark = pytest.mark.anyio

OLD = 981_173_106_123_456_789
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root owns and devices")


@pytest.fixture
def anyio_backend():
    """One loop will do: what is tested blocks."""
    return "asyncio"


@pytest.fixture
def source(tmp_path):
    folder = tmp_path / "source"
    folder.mkdir()
    return folder


@pytest.fixture
def target(tmp_path):
    folder = tmp_path / "target"
    folder.mkdir()
    return folder


def described(folder):
    """Return what can be told of every name in a tree, but for the inodes."""
    found = {}
    for path in (folder, *sorted(folder.rglob("*"))):
        info = path.lstat()
        content = None
        if stat.S_ISREG(info.st_mode):
            content = path.read_bytes()
        elif stat.S_ISLNK(info.st_mode):
            content = str(path.readlink())
        found[str(path.relative_to(folder))] = (
            info.st_mode,
            info.st_uid,
            info.st_gid,
            info.st_rdev,
            info.st_mtime_ns,
            content,
        )
    return found


async def copied(target, source):
    await run_blocking(copy_dir, target, source)
    return described(target)


def populate(source):
    (source / "sub" / "deeper").mkdir(parents=True)
    (source / "sub" / "file").write_bytes(b"content")
    (source / "empty").write_bytes(b"")
    (source / "run").write_bytes(b"#!/bin/sh\n")
    (source / "run").chmod(0o4755)
    (source / "link").symlink_to("sub/file")
    (source / "dangling").symlink_to("/nowhere/at/all")
    os.mkfifo(source / "pipe", 0o640)
    (source / "sub" / "deeper").chmod(0o1777)
    (source / "sub").chmod(0o550)
    for path in (*source.rglob("*"), source):
        os.utime(path, ns=(OLD, OLD + len(path.name)), follow_symlinks=False)


async def test_a_tree_is_copied_with_all_that_is_known_of_it(source, target):
    populate(source)
    assert await copied(target, source) == described(source)


async def test_what_is_copied_is_another_file(source, target):
    (source / "file").write_bytes(b"content")
    await copied(target, source)
    (target / "file").write_bytes(b"changed")
    assert (source / "file").read_bytes() == b"content"


async def test_hard_links_stay_links(source, target):
    (source / "a").mkdir()
    (source / "a" / "first").write_bytes(b"one file")
    os.link(source / "a" / "first", source / "second")
    os.link(source / "a" / "first", source / "third")
    (source / "twin").symlink_to("second")
    os.link(source / "twin", source / "twin2", follow_symlinks=False)
    (source / "other").write_bytes(b"one file")
    await copied(target, source)
    inodes = [(target / name).stat().st_ino for name in ("a/first", "second", "third")]
    assert len(set(inodes)) == 1
    assert inodes[0] != (target / "other").stat().st_ino
    assert inodes[0] != (source / "second").stat().st_ino
    assert (target / "twin").lstat().st_ino == (target / "twin2").lstat().st_ino


async def test_extended_attributes_are_copied(source, target):
    (source / "file").write_bytes(b"")
    try:
        os.setxattr(source / "file", "user.colour", b"blue")
        os.setxattr(source, "user.shape", b"round")
    except OSError:
        pytest.skip("this file system keeps no user attributes")
    (source / "file").chmod(0o444)
    await copied(target, source)
    assert os.getxattr(target / "file", "user.colour") == b"blue"
    assert os.getxattr(target, "user.shape") == b"round"


async def test_attributes_that_may_not_be_copied_are_left_out(
    source, target, monkeypatch
):
    """native.go:272: security.* often may not."""

    def refuse(*_args, **_kwargs):
        raise OSError(errno.EPERM, "not permitted")

    (source / "file").write_bytes(b"content")
    monkeypatch.setattr(os, "listxattr", lambda *_a, **_k: ["security.x"])
    monkeypatch.setattr(os, "getxattr", lambda *_a, **_k: b"1")
    monkeypatch.setattr(os, "setxattr", refuse)
    assert await copied(target, source) == described(source)
    monkeypatch.setattr(os, "listxattr", refuse)
    (source / "more").write_bytes(b"")
    remove_tree(target)
    target.mkdir()
    assert await copied(target, source) == described(source)


@needs_root
async def test_owners_and_devices_are_copied_as_root(source, target):
    (source / "theirs").write_bytes(b"")
    os.chown(source / "theirs", 1234, 5678)
    (source / "theirs").chmod(0o6755)
    (source / "link").symlink_to("theirs")
    os.lchown(source / "link", 12, 34)
    try:
        os.mknod(source / "null", 0o600 | stat.S_IFCHR, os.makedev(1, 3))
    except PermissionError:
        pytest.skip("no devices may be made here")
    assert await copied(target, source) == described(source)


async def test_a_device_is_left_out_without_privileges(
    source, target, monkeypatch, caplog
):
    def refuse(*_args):
        raise PermissionError(errno.EPERM, "not permitted")

    os.mkfifo(source / "pipe")
    (source / "file").write_bytes(b"")
    monkeypatch.setattr(os, "mknod", refuse)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    await copied(target, source)
    assert [path.name for path in target.iterdir()] == ["file"]
    assert "a device is not copied without privileges" in caplog.text


async def test_a_device_that_root_may_not_make_is_an_error(source, target, monkeypatch):
    def refuse(*_args):
        raise PermissionError(errno.EPERM, "not permitted")

    os.mkfifo(source / "pipe")
    monkeypatch.setattr(os, "mknod", refuse)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(os, "lchown", lambda *_: None)
    with pytest.raises(PermissionError):
        await copied(target, source)


async def test_what_is_closed_to_its_owner_is_copied_all_the_same(
    source, target, monkeypatch
):
    """Images have files of mode 000; an ordinary user copies them, too."""
    (source / "closed").mkdir()
    (source / "closed" / "inside").write_bytes(b"inside")
    (source / "secret").write_bytes(b"secret")
    (source / "secret").chmod(0)
    (source / "closed").chmod(0)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    await run_blocking(copy_dir, target, source)
    for folder in (source, target):
        assert stat.S_IMODE((folder / "closed").stat().st_mode) == 0
        assert stat.S_IMODE((folder / "secret").stat().st_mode) == 0
    (target / "closed").chmod(0o700)
    (target / "secret").chmod(0o400)
    assert (target / "closed" / "inside").read_bytes() == b"inside"
    assert (target / "secret").read_bytes() == b"secret"


@pytest.mark.parametrize("way", ["clone", "kernel", "by hand"])
@pytest.mark.parametrize("holes", [True, False])
async def test_every_way_of_copying_gives_the_same_bytes(
    source, target, monkeypatch, way, holes
):
    def unable(*_args):
        raise OSError(errno.EOPNOTSUPP, "not supported")

    if way != "clone":
        monkeypatch.setattr("fcntl.ioctl", unable)
    if way == "by hand":
        monkeypatch.setattr(os, "copy_file_range", unable)
    monkeypatch.setattr(files, "_CHUNK", 1 << 16)
    data = bytes(range(256)) * 1024
    with (source / "file").open("wb") as file:
        file.write(data)
        if holes:
            file.seek(8 << 20)
            file.write(b"after the hole")
            file.truncate(16 << 20)
    await copied(target, source)
    assert (target / "file").read_bytes() == (source / "file").read_bytes()
    blocks = (target / "file").stat().st_blocks * 512
    assert blocks < 4 << 20


async def test_a_file_system_without_holes(source, target, monkeypatch):
    def unable(*_args):
        raise OSError(errno.EINVAL, "not supported")

    (source / "file").write_bytes(b"content" * 1000)
    monkeypatch.setattr(os, "lseek", unable)
    monkeypatch.setattr("fcntl.ioctl", unable)
    assert await copied(target, source) == described(source)


@pytest.mark.parametrize("call", ["ioctl", "copy_file_range"])
async def test_an_error_of_the_disk_is_one(source, target, monkeypatch, call):
    def broken(*_args):
        raise OSError(errno.EIO, "input/output error")

    def unable(*_args):
        raise OSError(errno.ENOTTY, "not supported")

    (source / "file").write_bytes(b"content")
    monkeypatch.setattr("fcntl.ioctl", broken if call == "ioctl" else unable)
    monkeypatch.setattr(os, "copy_file_range", broken)
    with pytest.raises(OSError, match="input/output error"):
        await copied(target, source)


async def test_a_file_that_shrinks_meanwhile_ends(source, target, monkeypatch):
    def unable(*_args):
        raise OSError(errno.ENOTTY, "not supported")

    (source / "file").write_bytes(b"content")
    monkeypatch.setattr("fcntl.ioctl", unable)
    monkeypatch.setattr(os, "copy_file_range", lambda *_: 0)
    await copied(target, source)
    assert (target / "file").stat().st_size == len(b"content")


@pytest.mark.slow
async def test_deep_trees_are_no_trouble(source, target):
    folder = str(source)
    for _ in range(1100):
        folder += "/d"
        os.mkdir(folder)  # noqa: PTH102 - a Path takes its time, too
    await run_blocking(copy_dir, target, source)
    assert (await run_blocking(disk_usage, target)).inodes == 1101
    for tree in (source, target):
        remove_tree(tree)
        assert not tree.exists()


async def test_copying_can_be_cancelled(source, target, monkeypatch):
    (source / "file").write_bytes(b"content" * 100_000)
    begun = anyio.Event()
    plain = os.copy_file_range

    def unable(*_args):
        raise OSError(errno.ENOTTY, "not supported")

    def slowly(*args):
        anyio.from_thread.run_sync(begun.set)
        return plain(args[0], args[1], 1, *args[3:])

    monkeypatch.setattr("fcntl.ioctl", unable)
    monkeypatch.setattr(os, "copy_file_range", slowly)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run_blocking, copy_dir, target, source)
        await begun.wait()
        tasks.cancel_scope.cancel()
    assert tasks.cancel_scope.cancelled_caught
    blocks = (target / "file").stat().st_blocks
    assert blocks < (source / "file").stat().st_blocks


async def test_usage_counts_each_inode_once(source):
    (source / "a").write_bytes(b"x" * 100_000)
    os.link(source / "a", source / "b")
    (source / "sub").mkdir()
    (source / "sub" / "link").symlink_to("../a")
    usage = await run_blocking(disk_usage, source)
    assert usage.inodes == 4
    blocks = sum(
        path.lstat().st_blocks
        for path in (source, source / "a", source / "sub", source / "sub" / "link")
    )
    assert usage == Usage(inodes=4, size=blocks * 512)


async def test_usage_leaves_out_what_it_may_not_see(source, monkeypatch):
    (source / "sub").mkdir()
    plain = os.scandir

    def scandir(path):
        if path.endswith("sub"):
            raise PermissionError(errno.EACCES, "denied")
        return plain(path)

    monkeypatch.setattr(os, "scandir", scandir)
    assert (await run_blocking(disk_usage, source)).inodes == 2


def test_removing_minds_no_mode_and_no_race(source):
    (source / "sub").mkdir()
    (source / "sub" / "file").write_bytes(b"")
    (source / "sub").chmod(0)
    (source / "away").symlink_to(source.parent)
    remove_tree(source)
    remove_tree(source)
    assert not source.exists()
    assert source.parent.is_dir()


def test_removing_what_goes_meanwhile(source, monkeypatch):
    (source / "sub").mkdir()
    (source / "file").write_bytes(b"")
    plain = os.unlink

    def both(path):
        plain(path)
        (source / "sub").rmdir()
        plain(path)

    monkeypatch.setattr(os, "unlink", both)
    remove_tree(source)
    assert not source.exists()


NAMES = st.sampled_from(["a", "b", "c"])
TREES = st.recursive(
    st.binary(max_size=20) | st.sampled_from(["link", "../x"]),
    lambda inner: st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=8,
)


def build(folder, tree):
    for name, value in tree.items():
        path = folder / name
        if isinstance(value, dict):
            path.mkdir()
            build(path, value)
        elif isinstance(value, str):
            path.symlink_to(value)
        else:
            path.write_bytes(value)


@pytest.mark.slow
@given(st.dictionaries(NAMES, TREES, max_size=3))
def test_any_tree_is_copied_as_it_is(tmp_path_factory, tree):
    folder = tmp_path_factory.mktemp("tree")
    source, target = folder / "source", folder / "target"
    source.mkdir()
    target.mkdir()
    build(source, tree)
    assert anyio.run(copied, target, source) == described(source)
    usages = [anyio.run(run_blocking, disk_usage, tree) for tree in (source, target)]
    assert usages[0] == usages[1]
    remove_tree(folder)
    assert not Path(folder).exists()
