"""The files of a snapshot, one line each."""

import hashlib
import os
import stat
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

__all__ = ["read_tree"]

#: What is younger, in seconds, was made by the client and not taken from the layer.
_YOUNG: Final = 24 * 3600.0


def read_tree(root: Path) -> Mapping[str, str]:
    """Return kind, mode, owner, time, content and attributes of every entry."""
    now = time.time()
    return {
        str(path.relative_to(root)): _describe(path, now)
        for path in (root, *sorted(root.rglob("*")))
    }


def _describe(path: Path, now: float) -> str:
    info = path.lstat()
    kind = stat.filemode(info.st_mode)
    words = [kind, f"{info.st_uid}:{info.st_gid}"]
    words.append("new" if now - info.st_mtime < _YOUNG else f"{info.st_mtime_ns} ns")
    if stat.S_ISREG(info.st_mode):
        words.append(hashlib.sha256(path.read_bytes()).hexdigest()[:16])
        words.append(f"{info.st_nlink} links")
    elif stat.S_ISLNK(info.st_mode):
        words.append(f"to {path.readlink()}")
    elif stat.S_ISCHR(info.st_mode) or stat.S_ISBLK(info.st_mode):
        words.append(f"{os.major(info.st_rdev)}:{os.minor(info.st_rdev)}")
    for name in sorted(os.listxattr(path, follow_symlinks=False)):
        value = os.getxattr(path, name, follow_symlinks=False)
        words.append(f"{name}={value.hex()}")
    return " ".join(words)
