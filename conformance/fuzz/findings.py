"""The invariants: what it is called when a client breaks one, and what it means."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

__all__ = ["FINDINGS", "Finding"]

FINDINGS: Final[Mapping[str, str]] = {
    "died": "it is killed, or crashes in place of an error of its own",
    "hangs": "it misses its deadline, though every answer ends soon",
    "corrupt": "it keeps bytes under a digest that they do not have",
    "incomplete": "it reports success without all that the image needs",
    "astray": "it reports success for something else than it was told",
    "leak": "it shows credentials to a host that they are not for",
    "unrecovered": "its pull failed, and goes on to fail with the same store when the "
    "registry is well: once for each blob, and once more",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """An invariant that a client broke: one of FINDINGS, and what happened."""

    name: str
    text: str
