"""Mirrors: containerd v1.5.18 archive/tar.go:126 (Apply), :315 (createTarFile).

Applies a layer to a folder, entry by entry. What an entry is made in is an open
folder below the root, and no link is followed to get at it (rootpath.py); what a
layer hides of those below it is tree.py's to know.
"""

import errno
import os
import stat
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Final, TypeVar

from anyio.from_thread import check_cancelled

from refimpl.archive.attributes import Attributes, permissions, times
from refimpl.archive.compression import BinaryReader
from refimpl.archive.errors import ErrInvalidArchive, ErrUnhandledType
from refimpl.archive.options import ApplyOptions
from refimpl.archive.rootpath import MAX_PATH, join, make_folder, split_name
from refimpl.archive.tarheader import Header
from refimpl.archive.tarreader import GLOBAL, TarReader
from refimpl.archive.tree import Tree
from refimpl.errdefs import ErrFailedPrecondition
from refimpl.gotext import quote

__all__ = ["apply"]

T = TypeVar("T")

_DEFAULT_OPTIONS: Final = ApplyOptions()

# Type flags (Go's archive/tar/common.go:34).
_REGULAR: Final = (b"0", b"S")
_LINK: Final = b"1"
_SYMLINK: Final = b"2"
_DIR: Final = b"5"
_KINDS: Final = {b"3": stat.S_IFCHR, b"4": stat.S_IFBLK, b"6": stat.S_IFIFO}

# archive/tar.go:108.
_WHITEOUT: Final = b".wh."
_OPAQUE: Final = b".wh..wh..opq"

# How much of a name an error shows: it may have a megabyte.
_SHOWN: Final = 256

_NEW_FILE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def apply(
    root: Path, source: BinaryReader, *, options: ApplyOptions = _DEFAULT_OPTIONS
) -> int:
    """Apply one uncompressed layer to a folder (archive/tar.go:126).

    Blocks: call it in a worker thread of anyio, whose cancellation ends it. The
    source is read up to the end of the archive; what may follow is the caller's.
    After an error the folder holds a part of the layer.

    Args:
        root: the folder; it exists.
        source: the layer, a tar.
        options: limits, and what to do without root's rights.

    Returns:
        How many bytes the files of the layer have, holes included.

    Raises:
        ErrInvalidArchive: the archive is damaged or says what none may say.
        ErrUnexpectedEOF: it ends too early.
        ErrFailedPrecondition: it exceeds a limit.
        OSError: the system refuses something; a note names the entry.
    """
    with closing(Tree(root, privileged=options.is_privileged())) as tree:
        return _Applier(source, tree, options).run()


class _Cancellable:
    """A source that stops when the caller is cancelled."""

    def __init__(self, source: BinaryReader) -> None:
        self._source = source

    def read(self, size: int, /) -> bytes:
        """Return the next bytes."""
        check_cancelled()
        return self._source.read(size)


class _Applier:
    """One layer on its way into a folder."""

    def __init__(self, source: BinaryReader, tree: Tree, options: ApplyOptions) -> None:
        self._reader = TarReader(_Cancellable(source), count=self._count)
        self._tree = tree
        self._root = tree.root
        self._options = options
        self._attributes = Attributes(options)
        self._entries = 0
        self._size = 0
        self._holes = 0
        self._skipped: set[bytes] = set()

    def run(self) -> int:
        """Apply all entries and return how many bytes the files have."""
        while (header := self._reader.next()) is not None:
            # DEVIATION D43: containerd removes what has the name of a global header
            # before it passes over it (archive/tar.go:281, :372).
            if header.typeflag == GLOBAL:
                continue
            try:
                self._account(header)
                self._apply(header)
            except Exception as err:
                err.add_note(f"entry {quote(os.fsdecode(header.name[:_SHOWN]))}")
                raise
        self._tree.finish()
        return self._size

    def _count(self) -> None:
        # DEVIATION D47: containerd takes any number of entries and bytes
        # (archive/tar.go:209).
        self._entries += 1
        limit = self._options.max_entries
        if 0 < limit < self._entries:
            text = f"layer has more than {limit} entries, the limit"
            raise ErrFailedPrecondition(text)

    def _account(self, header: Header) -> None:
        if header.typeflag in _REGULAR:
            self._size += header.size
        limit = self._options.max_size
        if 0 < limit < self._size:
            text = f"layer has files of more than {limit} bytes, the limit"
            raise ErrFailedPrecondition(text)

    def _apply(self, header: Header) -> None:
        """Apply one entry (archive/tar.go:220 on)."""
        folder, base = split_name(header.name)
        # The root itself is left as it is, whatever the archive says it were.
        if not base:
            return
        if max(len(folder) + len(base) + 1, len(header.linkname)) > MAX_PATH:
            raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))
        if self._skips(header):
            self._skipped.add(join(folder, base))
            return
        if base.startswith(_WHITEOUT):
            self._whiteout(folder, base)
            return
        self._create(folder, base, header)
        self._tree.keep(join(self._root.folder(folder).path, base))

    def _skips(self, header: Header) -> bool:
        """Return whether an entry is a device that cannot be, or a link to one."""
        if header.typeflag == _LINK:
            return join(*split_name(header.linkname)) in self._skipped
        return self._attributes.skips(header)

    def _whiteout(self, name: bytes, base: bytes) -> None:
        """Hide what the layers below have (archive/tar.go:161)."""
        folder = self._root.folder(name, create=True)
        if base == _OPAQUE:
            self._tree.hide_below(folder)
            return
        hidden = base.removeprefix(_WHITEOUT)
        if hidden in (b"", b".", b".."):
            shown = quote(os.fsdecode(base))
            raise ErrInvalidArchive(f"invalid whiteout name: {shown}")
        self._tree.hide(folder, hidden)

    def _create(self, name: bytes, base: bytes, header: Header) -> None:
        """Make what an entry describes (archive/tar.go:315)."""
        kind = header.typeflag
        # DEVIATION D44: containerd does not know sparse files in GNU's old format
        # (archive/tar.go:377), which GNU tar writes by itself.
        if kind in _REGULAR:
            fd = self._place(
                name, base, lambda at: os.open(base, _NEW_FILE, 0o600, dir_fd=at)
            )
            self._fill(fd, header)
        elif kind == _DIR:
            self._create_folder(name, base, header)
        elif kind == _SYMLINK:
            target = header.linkname
            self._place(name, base, lambda at: os.symlink(target, base, dir_fd=at))
            self._finish(name, base, header)
        elif kind == _LINK:
            self._link(name, base, header)
        elif kind in _KINDS:
            mode, device = _KINDS[kind] | permissions(header), _device(header)
            self._place(name, base, lambda at: os.mknod(base, mode, device, dir_fd=at))
            self._finish(name, base, header)
        else:
            raise ErrUnhandledType(f"unhandled tar header type {kind[0]}")

    def _place(self, name: bytes, base: bytes, make: Callable[[int], T]) -> T:
        """Make something in a folder, in the place of whatever is there."""
        folder = self._root.folder(name, create=True)
        try:
            return make(folder.fd)
        except FileExistsError:
            self._tree.remove(folder, base)
        return make(self._root.folder(name).fd)

    def _finish(self, name: bytes, base: bytes, header: Header) -> None:
        self._attributes.set_at(self._root.folder(name), base, header)

    def _create_folder(self, name: bytes, base: bytes, header: Header) -> None:
        """Make a folder, or give new attributes to the one that is there."""
        fd = self._place(name, base, lambda at: self._open_folder(base, at, name))
        try:
            path = join(self._root.folder(name).path, base)
            mode = self._tree.describe(
                path, mode=permissions(header), times=times(header)
            )
            self._attributes.set_open(fd, header, mode)
        finally:
            os.close(fd)

    def _open_folder(self, base: bytes, at: int, name: bytes) -> int:
        try:
            return make_folder(base, at)
        except FileExistsError as err:
            try:
                return self._tree.enter(self._root.folder(name), base)
            except NotADirectoryError:
                raise err from None

    def _link(self, name: bytes, base: bytes, header: Header) -> None:
        """Make a hard link, to a symbolic link itself too (archive/tar.go:732)."""
        head, _, target = header.linkname.rpartition(b"/")
        if target in (b"", b".", b".."):  # a folder, which has one name only
            raise OSError(errno.EPERM, os.strerror(errno.EPERM))
        self._place(
            name,
            base,
            lambda at: os.link(
                target,
                base,
                src_dir_fd=self._root.folder(head).fd,
                dst_dir_fd=at,
                follow_symlinks=False,
            ),
        )
        self._finish(name, base, header)

    def _fill(self, fd: int, header: Header) -> None:
        """Write a new file and close it."""
        try:
            if header.sparse is None:
                for piece in self._reader.pieces(header.stored):
                    _write(fd, piece)
            else:
                self._fill_sparse(fd, header)
            self._attributes.set_open(fd, header, permissions(header))
            os.utime(fd, ns=times(header))
        finally:
            os.close(fd)

    def _fill_sparse(self, fd: int, header: Header) -> None:
        regions = header.sparse or ()
        # DEVIATION D49: containerd writes zeros for the holes (archive/tar.go:337)
        # until the disk is full. Here they stay holes, but must fit all the same.
        self._holes += header.size - sum(length for _, length in regions)
        space = os.fstatvfs(fd)
        if self._holes > space.f_bavail * space.f_frsize:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        for offset, length in regions:
            os.lseek(fd, offset, os.SEEK_SET)
            for piece in self._reader.pieces(length):
                _write(fd, piece)
        os.ftruncate(fd, header.size)


def _write(fd: int, data: memoryview) -> None:
    while data:
        data = data[os.write(fd, data) :]


def _device(header: Header) -> int:
    return os.makedev(header.devmajor & 0xFFFFFFFF, header.devminor & 0xFFFFFFFF)
