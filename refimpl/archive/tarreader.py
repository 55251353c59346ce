"""Mirrors: Go's archive/tar/reader.go (used by containerd v1.5.18).

Reads an archive entry by entry, from a stream that is read once:

    reader = TarReader(source)
    while (header := reader.next()) is not None:
        for piece in reader.pieces(header.stored):
            ...

What is not asked for is passed over. Python's tarfile takes two and a half times
as long, and forgives where Go does not.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Final

from refimpl.archive.compression import CHUNK, BinaryReader
from refimpl.archive.errors import ErrFieldTooLong, ErrHeader
from refimpl.archive.numbers import BLOCK, parse_int, parse_numeric, text_of
from refimpl.archive.sparse import (
    MAX_SPECIAL,
    check_regions,
    map_from_data,
    map_from_header,
    map_from_records,
    pax_version,
)
from refimpl.archive.tarheader import Header, merge_pax, parse_header, parse_pax
from refimpl.errdefs import ErrUnexpectedEOF

__all__ = ["GLOBAL", "TarReader"]

# Type flags (Go's archive/tar/common.go:34).
GLOBAL: Final = b"g"
_PAX: Final = b"x"
_LONG_NAME: Final = b"L"
_LONG_LINK: Final = b"K"
_GNU_SPARSE: Final = b"S"
_HEADER_ONLY: Final = frozenset((b"1", b"2", b"3", b"4", b"5", b"6"))
_SPECIAL: Final = frozenset((_PAX, GLOBAL, _LONG_NAME, _LONG_LINK))

_ZEROS: Final = bytes(BLOCK)


class TarReader:
    """An archive, one entry after another.

    Args:
        source: the archive; read in pieces of ``CHUNK`` bytes and never beyond what
            the piece with the end of the archive holds.
        count: called before each header, also before those that only extend another.
    """

    def __init__(
        self, source: BinaryReader, *, count: Callable[[], None] = lambda: None
    ) -> None:
        self._source = source
        self._count = count
        self._chunk = b""
        self._position = 0
        self._left = 0
        self._padding = 0

    def next(self) -> Header | None:
        """Return the next entry, or None at the end of the archive (reader.go:49).

        Raises:
            ErrInvalidArchive: what should be a header is none.
            ErrUnexpectedEOF: the archive ends in the midst of an entry.
        """
        special: dict[bytes, bytes] = {}
        while True:
            self._count()
            block = self._next_block()
            if block is None:
                return None
            header = parse_header(block)
            if header.typeflag not in _SPECIAL:
                return self._entry(header, block, special)
            self._expect(header)
            if header.stored > MAX_SPECIAL:
                raise ErrFieldTooLong
            special[header.typeflag] = self._take(header.stored)
            self._left = 0
            if header.typeflag == GLOBAL:
                pax = parse_pax(special[GLOBAL])
                return Header(name=header.name, typeflag=GLOBAL, pax=pax)

    def pieces(self, count: int) -> Iterator[memoryview]:
        """Yield the next bytes of the entry's data.

        Args:
            count: how many bytes; at most as many as the entry has left.

        Raises:
            ErrUnexpectedEOF: the archive ends before.
        """
        self._left -= count
        while count > 0:
            if self._position == len(self._chunk):
                self._fill()
            piece = memoryview(self._chunk)[self._position : self._position + count]
            self._position += len(piece)
            count -= len(piece)
            yield piece

    def _entry(
        self, header: Header, block: bytes, special: dict[bytes, bytes]
    ) -> Header:
        """Return the header of a file with all that stood in front of it."""
        header = _merge(header, special)
        if header.typeflag == b"\0":
            # Old archives have no other way to say that it is a folder.
            folder = header.name.endswith(b"/")
            header = replace(header, typeflag=b"5" if folder else b"0")
        self._expect(header)
        if header.typeflag == _GNU_SPARSE:
            return self._old_sparse(header, block)
        if header.pax and (version := pax_version(header.pax)):
            return self._pax_sparse(header, version)
        return header

    def _expect(self, header: Header) -> None:
        """Let the entry's data be what comes next (reader.go:151)."""
        size = 0 if header.typeflag in _HEADER_ONLY else header.stored
        if size < 0:
            raise ErrHeader
        self._left, self._padding = size, -size % BLOCK

    def _old_sparse(self, header: Header, block: bytes) -> Header:
        if not header.gnu:  # star has the letter too, and another layout
            raise ErrHeader
        regions = map_from_header(block, self._take)
        size = parse_numeric(block[483:495])
        check_regions(regions, size, header.stored)
        return replace(header, size=size, sparse=regions)

    def _pax_sparse(self, header: Header, version: str) -> Header:
        pax = header.pax
        real = pax.get(b"GNU.sparse.size") or pax.get(b"GNU.sparse.realsize")
        size = parse_int(real) if real else header.size
        if version == "1.0":
            regions = map_from_data(self._take_data)
        else:
            regions = map_from_records(pax)
        if header.typeflag in _HEADER_ONLY:
            raise ErrHeader
        check_regions(regions, size, self._left)
        name = pax.get(b"GNU.sparse.name") or header.name
        return replace(header, name=name, size=size, sparse=regions, stored=self._left)

    def _next_block(self) -> bytes | None:
        """Return the next header, or None at the end (reader.go:347)."""
        self._skip(self._left)
        self._left = 0
        padding, self._padding = self._padding, 0
        if padding and not self._skip_padding(padding):
            return None
        block = self._take_block()
        if block != _ZEROS:
            return block
        # Two blocks of zeros end an archive; one will do where nothing follows.
        if self._take_block() in (None, _ZEROS):
            return None
        raise ErrHeader

    def _take_block(self) -> bytes | None:
        end = self._position + BLOCK
        if end <= len(self._chunk):
            block = self._chunk[self._position : end]
            self._position = end
            return block
        if self._position == len(self._chunk) and not self._refill():
            return None
        return self._take(BLOCK)

    def _take(self, count: int) -> bytes:
        end = self._position + count
        if end <= len(self._chunk):
            data = self._chunk[self._position : end]
            self._position = end
            return data
        parts = []
        while count > 0:
            if self._position == len(self._chunk):
                self._fill()
            part = self._chunk[self._position : self._position + count]
            self._position += len(part)
            count -= len(part)
            parts.append(part)
        return b"".join(parts)

    def _take_data(self, count: int) -> bytes:
        if count > self._left:
            raise ErrUnexpectedEOF
        self._left -= count
        return self._take(count)

    def _skip(self, count: int) -> None:
        while count > 0:
            if self._position == len(self._chunk):
                self._fill()
            step = min(count, len(self._chunk) - self._position)
            self._position += step
            count -= step

    def _skip_padding(self, count: int) -> bool:
        """Pass over the padding; say whether it was there (reader.go:78)."""
        try:
            self._skip(count)
        except ErrUnexpectedEOF:
            return False
        return True

    def _fill(self) -> None:
        if not self._refill():
            raise ErrUnexpectedEOF

    def _refill(self) -> bool:
        self._chunk, self._position = self._source.read(CHUNK), 0
        return bool(self._chunk)


def _merge(header: Header, special: dict[bytes, bytes]) -> Header:
    """Apply the long names and PAX records that stood in front (reader.go:115)."""
    if not special:
        return header
    if records := special.get(_PAX):
        header = merge_pax(header, parse_pax(records))
    if name := text_of(special.get(_LONG_NAME, b"")):
        header = replace(header, name=name)
    if link := text_of(special.get(_LONG_LINK, b"")):
        header = replace(header, linkname=link)
    return header
