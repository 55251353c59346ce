"""Mirrors: containerd v1.5.18 archive/tar_unix.go, archive/tar.go:380 on.

Owner, extended attributes, mode and times of what was just made, in this order: a
new owner takes away set-user-ID bits and capabilities, and writing changes times.
"""

import errno
import os
import stat
from collections.abc import Callable, Iterator
from typing import Final

from refimpl.archive.options import ApplyOptions, running_in_user_ns
from refimpl.archive.rootpath import Folder, chmod_at
from refimpl.archive.tarheader import Header
from refimpl.archive.times import bound_time, latest_time
from refimpl.archive.tree import Times
from refimpl.gotext import quote

__all__ = ["Attributes", "permissions", "times"]

_PAX_XATTR: Final = b"SCHILY.xattr."


def permissions(header: Header) -> int:
    """Return the bits of a mode that chmod takes."""
    return header.mode & 0o7777


def times(header: Header) -> Times:
    """Return the times to set, in nanoseconds since 1970 (archive/tar.go:417)."""
    latest = latest_time(header.atime, header.mtime)
    return bound_time(latest), bound_time(header.mtime)


class Attributes:
    """Gives attributes to files, as far as the user may."""

    def __init__(self, options: ApplyOptions) -> None:
        self.privileged = options.is_privileged()
        self._warn = options.warn
        self._warned: set[object] = set()
        self._own = (os.geteuid(), os.getegid())

    def skips(self, header: Header) -> bool:
        """Return whether an entry is left out, with a warning (tar_unix.go:87)."""
        if header.typeflag not in (b"3", b"4"):
            return False
        if self.privileged and not running_in_user_ns():
            return False
        self._warn_once("devices", "devices are not made: that takes root")
        return True

    def set_open(self, fd: int, header: Header, mode: int) -> None:
        """Give attributes to an open file or folder; not the times."""
        if self._owns(header):
            os.fchown(fd, _kernel_id(header.uid), _kernel_id(header.gid))
        for key, value in _xattrs(header):
            self._set_xattr(lambda k, v: os.setxattr(fd, k, v), key, value)
        os.fchmod(fd, mode)

    def set_at(self, folder: Folder, base: bytes, header: Header) -> None:
        """Give attributes to what has a name in a folder; no link is followed."""
        fd = folder.fd
        if self._owns(header):
            uid, gid = _kernel_id(header.uid), _kernel_id(header.gid)
            os.chown(base, uid, gid, dir_fd=fd, follow_symlinks=False)
        path = b"/proc/self/fd/%d/%s" % (fd, base)
        for key, value in _xattrs(header):
            self._set_xattr(
                lambda k, v: os.setxattr(path, k, v, follow_symlinks=False),
                key,
                value,
                special=not _is_file(base, fd),
            )
        if header.typeflag != b"2":
            chmod_at(base, permissions(header), fd)
        os.utime(base, ns=times(header), dir_fd=fd, follow_symlinks=False)

    def _owns(self, header: Header) -> bool:
        """Return whether to set the owner."""
        # DEVIATION D48: containerd fails for whoever may not (archive/tar.go:382).
        if not self.privileged and (header.uid, header.gid) != self._own:
            self._warn_once("owners", "owners are not kept: that takes root")
        return self.privileged

    def _set_xattr(
        self,
        set_: Callable[[bytes, bytes], None],
        key: bytes,
        value: bytes,
        *,
        special: bool = False,
    ) -> None:
        """Set one attribute (archive/tar.go:391).

        Args:
            set_: does it.
            key: the attribute.
            value: its value.
            special: whether the file is neither regular nor a folder: those have no
                attributes in the user's namespace.
        """
        try:
            if key.startswith(b"trusted."):  # an administrator's, not an archive's
                raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP))
            set_(key, value)
        except OSError as err:
            refused = err.errno == errno.EPERM and (
                not self.privileged or (special and key.startswith(b"user."))
            )
            shown = quote(os.fsdecode(key[:256]))
            if not refused and err.errno != errno.ENOTSUP:
                err.add_note(f"failed to setxattr for key {shown}")
                raise
            text = f"ignored xattr {shown} and its like: {err.strerror}"
            self._warn_once(err.errno, text)

    def _warn_once(self, kind: object, text: str) -> None:
        if kind not in self._warned:
            self._warned.add(kind)
            self._warn(text)


def _xattrs(header: Header) -> Iterator[tuple[bytes, bytes]]:
    for key, value in header.pax.items():
        if key.startswith(_PAX_XATTR):
            yield key[len(_PAX_XATTR) :], value


def _kernel_id(value: int) -> int:
    """Return what the kernel makes of an id: 32 bits, all set for "as it is"."""
    value &= 0xFFFFFFFF
    return -1 if value == 0xFFFFFFFF else value


def _is_file(base: bytes, folder: int) -> bool:
    mode = os.lstat(base, dir_fd=folder).st_mode
    return stat.S_ISREG(mode) or stat.S_ISDIR(mode)
