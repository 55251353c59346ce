"""Mirrors: containerd v1.5.18 diff (apply/apply.go, stream.go).

applied = await apply(store, layer, root)
assert applied.digest == diff_id
"""

from refimpl.diff.apply import apply
from refimpl.diff.stream import ErrNoProcessor

__all__ = ["ErrNoProcessor", "apply"]
