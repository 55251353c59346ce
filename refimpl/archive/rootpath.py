"""Mirrors: continuity fs/path.go:227 (RootPath), vendored by containerd v1.5.18.

Paths below a root, which symbolic links never leave. Go resolves a path to a string
and hands that to the kernel, which resolves it again; here the folders are opened
one by one, without following links, and what is done is done in the open folder. So
nothing that changes in between leads out of the root.

>>> split_name(b"/a/./b/../c/")
(b'a', b'c')
"""

import errno
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from refimpl.archive.errors import ErrTooManyLinks

__all__ = [
    "MAX_PATH",
    "Folder",
    "Root",
    "chmod_at",
    "clean",
    "join",
    "make_folder",
    "open_folder",
    "split_name",
]

# fs/path.go:250. So many links may be on the way, and so many steps: what links lead
# to is walked again.
_MAX_LINKS: Final = 255
_MAX_STEPS: Final = 1 << 14
# The kernel takes paths of up to 4095 bytes, so Go meets no longer ones.
MAX_PATH: Final = 4095
_MAX_OPEN: Final = 64

_NOT_PLAIN: Final = (b"", b".", b"..")

_WALK: Final = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def clean(name: bytes) -> list[bytes]:
    """Return the parts of a path, as Go's filepath.Join("/", name) leaves them."""
    parts: list[bytes] = []
    for part in name.split(b"/"):
        if part == b"..":
            del parts[-1:]
        elif part and part != b".":
            parts.append(part)
    return parts


def split_name(name: bytes) -> tuple[bytes, bytes]:
    """Return the folder and the last part of a name; both are empty for the root."""
    if b"/." in name or b"//" in name or name[:1] in (b".", b"/"):
        name = b"/".join(clean(name))
    folder, _, base = name.rstrip(b"/").rpartition(b"/")
    return folder, base


def join(folder: bytes, base: bytes) -> bytes:
    """Return the path of what is in a folder; the root's path is empty."""
    return folder + b"/" + base if folder else base


def chmod_at(base: bytes, mode: int, folder: int) -> None:
    """Set the mode of anything but a link, without following one.

    Linux has no such call before 6.6, but lets a file be named by an open one.
    """
    fd = os.open(base, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
    try:
        if not stat.S_ISLNK(os.fstat(fd).st_mode):
            os.chmod(f"/proc/self/fd/{fd}", mode)  # noqa: PTH101 - no path of a file
    finally:
        os.close(fd)


@dataclass(frozen=True, slots=True)
class Folder:
    """An open folder below the root.

    Attributes:
        fd: for use as ``dir_fd`` only.
        path: where it is below the root, without links; empty for the root.
    """

    fd: int
    path: bytes


class Root:
    """The folder that nothing leaves.

    Args:
        path: where it is; links on the way to it are the caller's.
        widen: called with folder, name and path of each folder that is about to be
            entered; a user who is not root makes it accessible there.
    """

    def __init__(
        self, path: Path, widen: Callable[[int, bytes, bytes], None] | None = None
    ) -> None:
        self._root = Folder(os.open(path, _READ & ~os.O_NOFOLLOW), b"")
        self._room = MAX_PATH - len(os.fsencode(path.resolve())) - 1
        self._widen = widen
        # By name as in the archive; the last used is last. Two names may mean the
        # same folder. All is forgotten when a folder or link is removed.
        self._folders: dict[bytes, Folder] = {}

    def folder(self, name: bytes, *, create: bool = False) -> Folder:
        """Return a folder, open until two more have been asked for.

        Args:
            name: its path below the root; links are followed within the root.
            create: make what is missing, with mode 0755 (archive/tar.go:445).

        Raises:
            OSError: it is missing, or something on the way is no folder.
            ErrTooManyLinks: links lead to ever more links.
        """
        if not name:
            return self._root
        found = self._folders.pop(name, None)
        if found is None:
            found = self._find(name, create=create)
            if len(self._folders) >= _MAX_OPEN:
                os.close(self._folders.pop(next(iter(self._folders))).fd)
        self._folders[name] = found
        return found

    def forget(self) -> None:
        """Forget all folders: one of them, or a link to one, is gone."""
        for folder in self._folders.values():
            os.close(folder.fd)
        self._folders.clear()

    def close(self) -> None:
        """Close all folders."""
        self.forget()
        os.close(self._root.fd)

    def _find(self, name: bytes, *, create: bool) -> Folder:
        """Walk to a folder, from the one that it is in if that is open."""
        outer, _, base = name.rpartition(b"/")
        start = self._folders.get(outer)
        if start is None or base in _NOT_PLAIN:
            return self._walk(self._root, name.split(b"/"), create=create)
        return self._walk(start, [base], create=create)

    def _walk(self, start: Folder, parts: list[bytes], *, create: bool) -> Folder:
        """Open one folder after another; a link begins again with its target."""
        pending, links, steps = parts[::-1], 0, 0
        path, fd = start.path, os.dup(start.fd)
        try:
            while pending:
                base, steps = pending.pop(), steps + 1
                if base in (b"", b"."):
                    continue
                if base == b"..":
                    onward = path.rpartition(b"/")[0]
                else:
                    inner = join(path, base)
                    child = self._enter(fd, base, inner, create=create)
                    if child is not None:
                        os.close(fd)
                        fd, path = child, inner
                        continue
                    links += 1
                    onward = _target(os.readlink(base, dir_fd=fd), path)
                if links > _MAX_LINKS or steps > _MAX_STEPS:
                    raise ErrTooManyLinks
                pending += onward.split(b"/")[::-1]
                os.close(fd)
                path, fd = b"", os.dup(self._root.fd)
        except BaseException:
            os.close(fd)
            raise
        return Folder(fd, path)

    def _enter(self, fd: int, base: bytes, path: bytes, *, create: bool) -> int | None:
        """Open a folder in a folder, or return None if it is a link."""
        if len(path) > self._room:
            raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))
        if self._widen is not None:
            self._widen(fd, base, path)
        try:
            return os.open(base, _WALK, dir_fd=fd)
        except NotADirectoryError:
            if stat.S_ISLNK(os.lstat(base, dir_fd=fd).st_mode):
                return None
            raise
        except FileNotFoundError:
            if not create:
                raise
        child = make_folder(base, fd)
        try:
            os.fchmod(child, 0o755)
        except BaseException:
            os.close(child)
            raise
        return child


def _target(target: bytes, path: bytes) -> bytes:
    """Return where a link in a folder leads to; Go shortens what is relative."""
    return target if target.startswith(b"/") else b"/".join(clean(join(path, target)))


def make_folder(base: bytes, folder: int) -> int:
    """Make a folder that is its owner's alone, and open it."""
    os.mkdir(base, 0o700, dir_fd=folder)
    return open_folder(base, folder)


def open_folder(base: bytes, folder: int) -> int:
    """Open a folder in a folder for reading, and follow no link."""
    return os.open(base, _READ, dir_fd=folder)
