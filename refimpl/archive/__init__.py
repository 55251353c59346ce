"""Mirrors: containerd v1.5.18 archive (Apply, ApplyOptions) and Go's archive/tar.

Applies image layers to folders:

    size = apply(root, source)          # blocks: in a worker thread

Whatever a layer says, nothing outside of ``root`` is read, written or changed.
"""

from refimpl.archive.compression import BinaryReader
from refimpl.archive.errors import ErrInvalidArchive
from refimpl.archive.options import ApplyOptions
from refimpl.archive.tar import apply
from refimpl.archive.tree import remove_all

__all__ = ["ApplyOptions", "BinaryReader", "ErrInvalidArchive", "apply", "remove_all"]
