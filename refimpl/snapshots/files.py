"""Mirrors: continuity v0.1.0 fs/copy.go, copy_linux.go, du_unix.go (vendored).

Whole folders: copied with all that a file system knows of a file, measured, removed.
All of it blocks, asks whether it is cancelled at every file and chunk, and follows no
symbolic link. Folders nest as deeply as a layer likes, so nothing recurses.
"""

import errno
import fcntl
import logging
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from anyio.from_thread import check_cancelled

from refimpl.snapshots.snapshotter import Usage

__all__ = ["copy_dir", "disk_usage", "remove_tree"]

_log = logging.getLogger(__name__)

# Bytes that are copied between two looks at whether anybody still wants them.
_CHUNK: Final = 8 << 20
_FICLONE: Final = 0x40049409
# du_unix.go: the unit of st_blocks.
_BLOCK: Final = 512
# What a file system answers that cannot do it in the kernel.
_UNABLE: Final = frozenset(
    {
        errno.EBADF,
        errno.EINVAL,
        errno.ENOSYS,
        errno.ENOTTY,
        errno.EOPNOTSUPP,
        errno.EPERM,
        errno.EXDEV,
    }
)


def copy_dir(target: Path, source: Path) -> None:
    """Copy a folder's content and attributes to a folder that exists (copy.go:92).

    Ownership is kept as root; an ordinary user owns all of it anyway. Hard links
    within the folder stay links, holes stay holes.
    """
    copier = _Copier(privileged=os.geteuid() == 0)
    try:
        copier.copy(os.fspath(target), os.fspath(source))
    finally:
        copier.lock_again()


class _Copier:
    """One run of :func:`copy_dir`."""

    def __init__(self, *, privileged: bool) -> None:
        self._privileged = privileged
        self._links: dict[tuple[int, int], str] = {}
        self._opened: list[tuple[str, int]] = []
        self._reflinks = True
        self._kernel = True

    def copy(self, target: str, source: str) -> None:
        """Copy folder after folder; attributes last, since copying changes times."""
        todo = [(target, source, os.lstat(source))]
        done: list[tuple[str, str, os.stat_result]] = []
        while todo:
            folder = todo.pop()
            done.append(folder)
            todo += self._copy_entries(*folder)
        for copied, original, info in reversed(done):
            self._copy_attributes(copied, original, info)

    def _copy_entries(
        self, target: str, source: str, info: os.stat_result
    ) -> Iterator[tuple[str, str, os.stat_result]]:
        """Copy what is no folder, and yield the folders that were made."""
        self._unlock(source, info)
        with os.scandir(source) as entries:
            for entry in entries:
                check_cancelled()
                copied, found = f"{target}/{entry.name}", os.lstat(entry.path)
                if stat.S_ISDIR(found.st_mode):
                    os.mkdir(copied, 0o700)
                    yield copied, entry.path, found
                elif not self._copy_link(copied, found) and self._copy_entry(
                    copied, entry.path, found
                ):
                    self._copy_attributes(copied, entry.path, found)

    def _unlock(self, source: str, info: os.stat_result) -> None:
        """Let an ordinary user into a folder that is closed to its owner."""
        if not self._privileged and info.st_mode & 0o500 != 0o500:
            os.chmod(source, stat.S_IMODE(info.st_mode) | 0o500)
            self._opened.append((source, stat.S_IMODE(info.st_mode)))

    def lock_again(self) -> None:
        """Give the folders that were opened their mode back."""
        for source, mode in reversed(self._opened):
            with suppress(FileNotFoundError):
                os.chmod(source, mode)

    def _copy_link(self, target: str, info: os.stat_result) -> bool:
        """Link to the copy of another name of the same file, if there is one."""
        if info.st_nlink < 2 or stat.S_ISDIR(info.st_mode):
            return False
        first = self._links.setdefault((info.st_dev, info.st_ino), target)
        if first == target:
            return False
        os.link(first, target, follow_symlinks=False)
        return True

    def _copy_entry(self, target: str, source: str, info: os.stat_result) -> bool:
        """Copy a file of any type, and return whether there is a copy."""
        mode = info.st_mode
        if stat.S_ISREG(mode):
            self._copy_file(target, source, info)
        elif stat.S_ISLNK(mode):
            os.symlink(os.readlink(source), target)
        else:
            try:
                os.mknod(target, mode, info.st_rdev)
            except PermissionError:
                if self._privileged:
                    raise
                _log.warning("%s: a device is not copied without privileges", source)
                return False
        return True

    def _copy_file(self, target: str, source: str, info: os.stat_result) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
        with self._reading(source, info) as src:
            dst = os.open(target, flags, 0o600)
            try:
                self._copy_content(dst, src, info.st_size)
            finally:
                os.close(dst)

    @contextmanager
    def _reading(self, source: str, info: os.stat_result) -> Iterator[int]:
        flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        closed = not self._privileged and not info.st_mode & stat.S_IRUSR
        if closed:
            os.chmod(source, stat.S_IMODE(info.st_mode) | stat.S_IRUSR)
        try:
            fd = os.open(source, flags)
        finally:
            if closed:
                os.chmod(source, stat.S_IMODE(info.st_mode))
        try:
            yield fd
        finally:
            os.close(fd)

    def _copy_content(self, dst: int, src: int, size: int) -> None:
        """Copy bytes in the cheapest way that there is (copy_linux.go:67)."""
        if not size or self._cloned(dst, src):
            return
        os.ftruncate(dst, size)
        offset = 0
        while (part := _next_data(src, offset, size)) is not None:
            offset, end = part
            while offset < end:
                check_cancelled()
                count = self._copy_range(dst, src, offset, min(_CHUNK, end - offset))
                if not count:
                    return
                offset += count

    def _cloned(self, dst: int, src: int) -> bool:
        if not self._reflinks:
            return False
        try:
            fcntl.ioctl(dst, _FICLONE, src)
        except OSError as err:
            if err.errno not in _UNABLE:
                raise
            self._reflinks = False
        return self._reflinks

    def _copy_range(self, dst: int, src: int, offset: int, count: int) -> int:
        if self._kernel:
            try:
                return os.copy_file_range(src, dst, count, offset, offset)
            except OSError as err:
                if err.errno not in _UNABLE:
                    raise
                self._kernel = False
        data = os.pread(src, min(count, 1 << 20), offset)
        return os.pwrite(dst, data, offset) if data else 0

    def _copy_attributes(self, target: str, source: str, info: os.stat_result) -> None:
        """Copy owner, mode, extended attributes and times (copy_linux.go:30)."""
        if self._privileged:
            os.lchown(target, info.st_uid, info.st_gid)
        is_link = stat.S_ISLNK(info.st_mode)
        _copy_xattrs(target, source)
        if not is_link:
            os.chmod(target, stat.S_IMODE(info.st_mode))
        times = (info.st_atime_ns, info.st_mtime_ns)
        os.utime(target, ns=times, follow_symlinks=False)


def _next_data(fd: int, offset: int, size: int) -> tuple[int, int] | None:
    """Return where the next bytes begin and end that are no hole."""
    if offset >= size:
        return None
    try:
        begin = os.lseek(fd, offset, os.SEEK_DATA)
    except OSError as err:
        if err.errno == errno.ENXIO:
            return None
        return offset, size  # a file system that knows no holes
    return begin, os.lseek(fd, begin, os.SEEK_HOLE)


def _copy_xattrs(target: str, source: str) -> None:
    """Copy what may be copied; security.* often may not (native.go:272)."""
    try:
        keys = os.listxattr(source, follow_symlinks=False)
    except OSError as err:
        _log.debug("%s: extended attributes are not copied: %s", source, err)
        return
    for key in keys:
        try:
            value = os.getxattr(source, key, follow_symlinks=False)
            os.setxattr(target, key, value, follow_symlinks=False)
        except OSError as err:
            _log.debug("%s: the attribute %s is not copied: %s", source, key, err)


def disk_usage(folder: Path) -> Usage:
    """Return the inodes and the bytes of blocks below a folder (du_unix.go:48)."""
    first = os.lstat(folder)
    inodes, size = {(first.st_dev, first.st_ino)}, first.st_blocks * _BLOCK
    todo = [os.fspath(folder)]
    while todo:
        for path, info in _entries(todo.pop()):
            check_cancelled()
            if stat.S_ISDIR(info.st_mode):
                todo.append(path)
            if (key := (info.st_dev, info.st_ino)) not in inodes:
                inodes.add(key)
                size += info.st_blocks * _BLOCK
    return Usage(inodes=len(inodes), size=size)


def _entries(folder: str) -> Iterator[tuple[str, os.stat_result]]:
    """Yield what is in a folder; one that is closed to its owner counts as empty."""
    with suppress(PermissionError), os.scandir(folder) as entries:
        for entry in entries:
            yield entry.path, entry.stat(follow_symlinks=False)


def remove_tree(folder: Path) -> None:
    """Remove a folder with all that is in it, whatever the modes.

    One that is gone, or goes meanwhile by another's hand, is no error.
    """
    todo, found = [os.fspath(folder)], []
    while todo:
        current = todo.pop()
        found.append(current)
        todo += _empty(current)
    for current in reversed(found):
        with suppress(FileNotFoundError):
            os.rmdir(current)


def _empty(folder: str) -> list[str]:
    """Remove what is no folder from a folder, and return what is left."""
    try:
        os.chmod(folder, 0o700)
        with os.scandir(folder) as entries:
            inside = [(e.path, e.is_dir(follow_symlinks=False)) for e in entries]
    except FileNotFoundError:
        return []
    for path, is_folder in inside:
        if not is_folder:
            with suppress(FileNotFoundError):
                os.unlink(path)
    return [path for path, is_folder in inside if is_folder]
