"""Mirrors: containerd v1.5.18 snapshots: file systems made of layers."""

from refimpl.snapshots.native import NativeSnapshotter
from refimpl.snapshots.snapshotter import (
    SNAPSHOT_REF_LABEL,
    Backend,
    Info,
    Kind,
    Mount,
    Snapshotter,
    Usage,
    filter_inherited_labels,
    unpack_key,
)

__all__ = [
    "SNAPSHOT_REF_LABEL",
    "Backend",
    "Info",
    "Kind",
    "Mount",
    "NativeSnapshotter",
    "Snapshotter",
    "Usage",
    "filter_inherited_labels",
    "unpack_key",
]
