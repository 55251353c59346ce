"""Mirrors: opencontainers/go-digest v1.0.0 (vendored by containerd v1.5.18).

A digest names bytes by their hash: ``sha256:`` and 64 lower-case hexadecimal
digits. It is checked before it becomes part of a URL or of a path.

    >>> from_bytes(b"")[:14]
    'sha256:e3b0c44'
"""

import hashlib
import re
from typing import TYPE_CHECKING, Final, NewType

from refimpl.errdefs import ErrInvalidArgument

if TYPE_CHECKING:
    from hashlib import _Hash

__all__ = [
    "ALGORITHMS",
    "Digest",
    "algorithm",
    "defect",
    "encoded",
    "from_bytes",
    "hasher",
    "parse",
    "validate",
]

Digest = NewType("Digest", str)

# Number of hexadecimal digits by algorithm (go-digest algorithm.go:53).
ALGORITHMS: Final = {"sha256": 64, "sha384": 96, "sha512": 128}

_INVALID_FORMAT: Final = "invalid checksum digest format"
_FORMAT: Final = re.compile(r"[a-z0-9]+(?:[.+_-][a-z0-9]+)*:[a-zA-Z0-9=_-]+", re.ASCII)
_HEX: Final = re.compile(r"[a-f0-9]+", re.ASCII)


def defect(text: str) -> str:
    """Return what keeps a text from being a digest, or "" for nothing.

    The words and the order of the checks are go-digest's (digest.go:96,
    algorithm.go:171): the length counts before the alphabet does.
    """
    name, _, hexadecimal = text.partition(":")
    if not name or not hexadecimal:
        return _INVALID_FORMAT
    if name not in ALGORITHMS:
        known = _FORMAT.fullmatch(text)
        return "unsupported digest algorithm" if known else _INVALID_FORMAT
    if len(hexadecimal.encode(errors="replace")) != ALGORITHMS[name]:
        return "invalid checksum digest length"
    return "" if _HEX.fullmatch(hexadecimal) else _INVALID_FORMAT


def validate(text: str) -> None:
    """Check that a text is a digest of an algorithm known here.

    Raises:
        ErrInvalidArgument: it is not; the text is Go's.
    """
    if found := defect(text):
        raise ErrInvalidArgument(found)


def parse(text: str) -> Digest:
    """Return the text as a digest.

    Raises:
        ErrInvalidArgument: it is none.
    """
    validate(text)
    return Digest(text)


def algorithm(digest: Digest) -> str:
    """Return the part before the colon."""
    return digest.partition(":")[0]


def encoded(digest: Digest) -> str:
    """Return the part after the colon."""
    return digest.partition(":")[2]


def hasher(name: str) -> "_Hash":
    """Return a fresh hash object of a known algorithm."""
    if name not in ALGORITHMS:
        raise ErrInvalidArgument("unsupported digest algorithm")
    return hashlib.new(name)


def from_bytes(data: bytes, name: str = "sha256") -> Digest:
    """Return the digest of some bytes."""
    h = hasher(name)
    h.update(data)
    return Digest(f"{name}:{h.hexdigest()}")
