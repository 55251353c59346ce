"""Mirrors: Go's archive/tar/common.go:34, compress/gzip (containerd v1.5.18).

What can be wrong with a layer. Go has plain values for these; here they share a
class, so that a caller can tell a broken layer from a disk that is full.
"""

from refimpl.errdefs import ContainerdError

__all__ = [
    "ErrChecksum",
    "ErrCorruptInput",
    "ErrFieldTooLong",
    "ErrGzipHeader",
    "ErrHeader",
    "ErrInvalidArchive",
    "ErrMissData",
    "ErrSparseTooLong",
    "ErrTooManyLinks",
    "ErrUnhandledType",
    "ErrUnrefData",
]


class ErrInvalidArchive(ContainerdError):
    """An archive says what no archive may say (archive/tar.go:45)."""

    text = "invalid archive"


class ErrHeader(ErrInvalidArchive):
    """A header is none, or one of its numbers."""

    text = "archive/tar: invalid tar header"


class ErrFieldTooLong(ErrInvalidArchive):
    """A header in front of an entry has more than a megabyte."""

    text = "archive/tar: header field too long"


class ErrMissData(ErrInvalidArchive):
    """The map of a sparse file speaks of more data than there is."""

    text = "archive/tar: sparse file references non-existent data"


class ErrUnrefData(ErrInvalidArchive):
    """The map of a sparse file leaves out some of its data."""

    text = "archive/tar: sparse file contains unreferenced data"


class ErrSparseTooLong(ErrInvalidArchive):
    """The map of a sparse file has more than a megabyte."""

    text = "archive/tar: sparse map too long"


class ErrUnhandledType(ErrInvalidArchive):
    """An entry is of a type that no layer has (archive/tar.go:377)."""

    text = ""


class ErrTooManyLinks(ErrInvalidArchive):
    """Symbolic links that lead to ever more links (continuity fs/path.go:29)."""

    text = "too many links"


class ErrGzipHeader(ErrInvalidArchive):
    """What should be a member of a gzip stream is none."""

    text = "gzip: invalid header"


class ErrChecksum(ErrInvalidArchive):
    """A gzip member's checksum or length is another one."""

    text = "gzip: invalid checksum"


class ErrCorruptInput(ErrInvalidArchive):
    """Compressed data that cannot be decompressed."""

    text = "corrupt input"
