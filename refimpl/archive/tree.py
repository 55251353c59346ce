"""Mirrors: containerd v1.5.18 archive/tar.go:156 (unpackedPaths), :161, :302.

What a layer does to the folders that are there: things go, and what the layer has
brought itself stays (image-spec v1.0.2 layer.md, Whiteouts).
"""

import errno
import os
import stat
from collections.abc import Container
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from refimpl.archive.rootpath import Folder, Root, chmod_at, join, open_folder

__all__ = ["Times", "Tree", "remove_all"]

# Access and modification, in nanoseconds since 1970.
Times = tuple[int, int]

_OWNER: Final = 0o700
_NOTHING: Final[frozenset[bytes]] = frozenset()


@dataclass(frozen=True, slots=True)
class _Level:
    """A folder that is being emptied, and the folders in it that are left to do."""

    path: bytes
    identity: tuple[int, int]
    folders: list[bytes]


class Tree:
    """The folder that a layer is applied to, and what must be known until the end.

    Args:
        path: the folder.
        privileged: whether modes do not bind this process. For others, a folder that
            its owner may not enter is made accessible while the layer is applied.
    """

    def __init__(self, path: Path, *, privileged: bool) -> None:
        self._privileged = privileged
        self.root = Root(path, None if privileged else self._widen)
        # What this layer has brought, and the folders that such things are in.
        self._kept: set[bytes] = set()
        # Folders that hold nothing of the layers below.
        self._opaque: set[bytes] = set()
        self._times: dict[bytes, Times] = {}
        self._modes: dict[bytes, int] = {}

    def keep(self, path: bytes) -> None:
        """Note that this layer has brought a path."""
        # DEVIATION D40: containerd notes the path alone (archive/tar.go:299), so an
        # opaque marker removes new files whose folder has no entry of its own.
        while path and path not in self._kept:
            self._kept.add(path)
            path = path.rpartition(b"/")[0]

    def describe(self, path: bytes, *, mode: int, times: Times) -> int:
        """Note what a folder is to have at the end; return the mode for now."""
        self._times[path] = times
        self._modes.pop(path, None)
        if self._privileged or mode & _OWNER == _OWNER:
            return mode
        self._modes[path] = mode
        return mode | _OWNER

    def finish(self) -> None:
        """Give the folders their times, and modes to the innermost first."""
        # DEVIATION D46: containerd looks the folders up again by name and touches
        # what has come in their place, or fails where nothing has (tar.go:303).
        for path, times in sorted(self._times.items()):
            name, _, base = path.rpartition(b"/")
            fd = self.root.folder(name).fd
            os.utime(base, ns=times, dir_fd=fd, follow_symlinks=False)
        for path, mode in sorted(self._modes.items(), reverse=True):
            name, _, base = path.rpartition(b"/")
            chmod_at(base, mode, self.root.folder(name).fd)

    def close(self) -> None:
        """Close all folders."""
        self.root.close()

    def enter(self, folder: Folder, base: bytes) -> int:
        """Open a folder in a folder for reading."""
        return self._open(base, folder.fd, join(folder.path, base))

    def remove(self, folder: Folder, base: bytes) -> None:
        """Remove what has a name, if anything has. The folder may be closed then."""
        try:
            mode = os.lstat(base, dir_fd=folder.fd).st_mode
        except FileNotFoundError:
            return
        if stat.S_ISDIR(mode):
            path = join(folder.path, base)
            self._empty(self._open(base, folder.fd, path), path, _NOTHING)
            os.rmdir(base, dir_fd=folder.fd)
            self._forget(path)
        else:
            os.unlink(base, dir_fd=folder.fd)
        if not stat.S_ISREG(mode):
            self.root.forget()

    def hide(self, folder: Folder, base: bytes) -> None:
        """Remove what the layers below have under a name (archive/tar.go:190).

        The folder may be closed afterwards.
        """
        path = join(folder.path, base)
        # DEVIATION D42: containerd removes what this layer has brought, too.
        if path not in self._kept:
            self.remove(folder, base)
            return
        with suppress(FileNotFoundError, NotADirectoryError):
            self._hide_below(self._open(base, folder.fd, path), path)

    def hide_below(self, folder: Folder) -> None:
        """Remove what the layers below have in a folder (archive/tar.go:166).

        The folder may be closed afterwards.
        """
        self._hide_below(open_folder(b".", folder.fd), folder.path)

    def _hide_below(self, fd: int, path: bytes) -> None:
        # DEVIATION D41: containerd walks the whole folder for each marker, so nested
        # ones take time that grows with the square of their number.
        if self._is_opaque(path):
            os.close(fd)
            return
        self._empty(fd, path, self._kept)
        self._opaque.add(path)
        self.root.forget()

    def _is_opaque(self, path: bytes) -> bool:
        while path and path not in self._opaque:
            path = path.rpartition(b"/")[0]
        return path in self._opaque

    def _empty(self, fd: int, path: bytes, kept: Container[bytes]) -> None:
        """Remove what is in an open folder, which is closed, but what is kept.

        One folder is open at a time, however deep they nest.
        """
        try:
            levels = [self._sweep(fd, path, kept)]
            while True:
                if levels[-1].folders:
                    base = levels[-1].folders.pop()
                    inner = join(levels[-1].path, base)
                    outer, fd = fd, self._open(base, fd, inner)
                    os.close(outer)
                    levels.append(self._sweep(fd, inner, kept))
                    continue
                done = levels.pop()
                if not levels:
                    return
                inner_fd, fd = fd, _leave(fd, levels[-1].identity)
                os.close(inner_fd)
                if done.path not in kept:
                    os.rmdir(done.path.rpartition(b"/")[2], dir_fd=fd)
                    self._forget(done.path)
        finally:
            os.close(fd)

    def _sweep(self, fd: int, path: bytes, kept: Container[bytes]) -> _Level:
        """Remove the files in an open folder and return which folders are in it."""
        status = os.fstat(fd)
        with os.scandir(fd) as found:
            entries = [
                (os.fsencode(entry.name), entry.is_dir(follow_symlinks=False))
                for entry in found
            ]
        folders = []
        for base, is_folder in entries:
            inner = join(path, base)
            if is_folder:
                if inner not in kept or inner not in self._opaque:
                    folders.append(base)
            elif inner not in kept:
                os.unlink(base, dir_fd=fd)
        return _Level(path, (status.st_dev, status.st_ino), folders)

    def _open(self, base: bytes, folder: int, path: bytes) -> int:
        if not self._privileged:
            self._widen(folder, base, path)
        return open_folder(base, folder)

    def _widen(self, folder: int, base: bytes, path: bytes) -> None:
        """Let the owner into a folder of his own until the end."""
        with suppress(FileNotFoundError, PermissionError):
            mode = os.lstat(base, dir_fd=folder).st_mode
            if stat.S_ISDIR(mode) and mode & _OWNER != _OWNER:
                chmod_at(base, stat.S_IMODE(mode) | _OWNER, folder)
                self._modes.setdefault(path, stat.S_IMODE(mode))

    def _forget(self, path: bytes) -> None:
        """A folder is gone: nothing is left to be done to it."""
        self._times.pop(path, None)
        self._modes.pop(path, None)


def remove_all(path: Path) -> None:
    """Remove a path and all that is below it: Go's os.RemoveAll. Blocks.

    However deep folders nest, where shutil.rmtree exceeds Python's own stack; and
    whatever their modes, as long as they are the user's own.
    """
    with closing(Tree(path.parent, privileged=os.geteuid() == 0)) as tree:
        tree.remove(tree.root.folder(b""), os.fsencode(path.name))


def _leave(fd: int, identity: tuple[int, int]) -> int:
    """Open the folder that a folder is in; it must be the one we came from."""
    outer = os.open("..", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=fd)
    status = os.fstat(outer)
    if (status.st_dev, status.st_ino) != identity:
        os.close(outer)
        raise OSError(errno.ESTALE, "folder was moved while it was emptied")
    return outer
