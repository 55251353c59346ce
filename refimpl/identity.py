"""Mirrors: image-spec v1.0.2 identity/chainid.go (vendored by containerd v1.5.18).

A chain id names what is there after some layers were applied one upon the other.

>>> chain_id([Digest("sha256:aa")])
'sha256:aa'
"""

from collections.abc import Iterable, Sequence

from refimpl.digest import Digest, from_bytes

__all__ = ["chain_id", "chain_ids"]


def chain_id(diff_ids: Sequence[Digest]) -> Digest:
    """Return the chain id of layers, base first; empty where there are none."""
    chained = chain_ids(diff_ids)
    return chained[-1] if chained else Digest("")


def chain_ids(diff_ids: Iterable[Digest]) -> tuple[Digest, ...]:
    """Return the chain id of each layer with all those below it."""
    chained: list[Digest] = []
    for diff_id in diff_ids:
        below = chained[-1:]
        chained += [from_bytes(f"{below[0]} {diff_id}".encode()) if below else diff_id]
    return tuple(chained)
