"""Mirrors: containerd v1.5.18 labels/validate.go, labels/labels.go."""

from typing import Final

from refimpl.errdefs import ErrInvalidArgument

__all__ = ["MAX_SIZE", "UNCOMPRESSED", "validate"]

MAX_SIZE: Final = 4096

# On a compressed layer: the digest of what is inside.
UNCOMPRESSED: Final = "containerd.io/uncompressed"


def validate(key: str, value: str) -> None:
    """Check that key and value together have at most 4096 bytes.

    Raises:
        ErrInvalidArgument: they have more.
    """
    raw = key.encode("utf-8", "surrogatepass")
    if len(raw) + len(value.encode("utf-8", "surrogatepass")) > MAX_SIZE:
        shown = raw[:10].decode("utf-8", "replace")
        raise ErrInvalidArgument(
            "label key and value greater than maximum size "
            f"({MAX_SIZE} bytes), key: {shown}"
        )
