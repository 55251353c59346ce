"""Mirrors: containerd v1.5.18 archive/tar_opts.go (ApplyOptions)."""

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

__all__ = ["ApplyOptions"]

_log = logging.getLogger(__name__)

_MAX_ENTRIES: Final = 1 << 23


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplyOptions:
    """How a layer is applied.

    Attributes:
        privileged: whether owners are set and devices made; None: as root, yes.
        max_size: how many bytes of content the layer's files may have, holes
            included; 0 for any number.
        max_entries: how many headers the layer may have, those that only extend
            another included; 0 for any number.
        warn: is told, once a kind, what could not be kept.
    """

    privileged: bool | None = None
    max_size: int = 0
    max_entries: int = _MAX_ENTRIES
    warn: Callable[[str], None] = _log.warning

    def is_privileged(self) -> bool:
        """Return whether owners are set."""
        return os.geteuid() == 0 if self.privileged is None else self.privileged


def running_in_user_ns(uid_map: Path = Path("/proc/self/uid_map")) -> bool:
    """Return whether root is root here only (pkg/userns/userns_linux.go:34)."""
    try:
        fields = uid_map.read_text().split()
    except OSError:
        return False
    return bool(fields) and fields != ["0", "0", "4294967295"]
