"""Go's archive/tar: headers, numbers, PAX records; against Python's tarfile."""

import io
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refimpl.archive.errors import (
    ErrFieldTooLong,
    ErrHeader,
    ErrInvalidArchive,
    ErrSparseTooLong,
)
from refimpl.archive.numbers import (
    parse_int,
    parse_numeric,
    parse_octal,
    parse_pax_time,
)
from refimpl.archive.tarheader import parse_header, parse_pax
from refimpl.archive.tarreader import TarReader
from refimpl.errdefs import ErrUnexpectedEOF

FORMATS = [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]

NAMES = st.text(
    st.characters(min_codepoint=1, max_codepoint=0x2FF, exclude_characters="/"),
    min_size=1,
    max_size=150,
)


def read(data):
    """Return all headers and bodies."""
    reader = TarReader(io.BytesIO(data))
    found = []
    while (header := reader.next()) is not None:
        count = header.stored if header.typeflag in (b"0", b"S", b"7") else 0
        found.append((header, b"".join(reader.pieces(count))))
    return found


def seal(block):
    """Give a header the checksum that it needs."""
    block = bytearray(block)
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def plain(name="f", **fields):
    member = tarfile.TarInfo(name)
    for key, value in fields.items():
        setattr(member, key, value)
    return member


MEMBERS = st.builds(
    plain,
    name=st.lists(NAMES, min_size=1, max_size=3).map("/".join),
    linkname=NAMES,
    type=st.sampled_from([bytes([t]) for t in b"0123456"]),
    mode=st.integers(0, 0o7777),
    uid=st.integers(0, 2**31),
    gid=st.integers(0, 2**31),
    # tarfile has floats: what they cannot say to the microsecond is left out.
    mtime=st.one_of(st.integers(0, 2**33), st.integers(0, 2**33).map(lambda n: n / 64)),
    size=st.integers(0, 1500),
    devmajor=st.integers(0, 4095),
    devminor=st.integers(0, 2**18),
)


@given(st.lists(MEMBERS, max_size=4), st.sampled_from(FORMATS))
def test_what_tarfile_writes_is_read_as_tarfile_reads_it(members, kind):
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=kind) as tar:
        for member in members:
            member.size = member.size if member.isreg() else 0
            try:
                tar.addfile(member, io.BytesIO(bytes([len(members)]) * member.size))
            except ValueError:  # more than the oldest format can say
                return
    data = stream.getvalue()
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        expected = [
            (member, (tar.extractfile(member) or io.BytesIO()).read())
            if member.isreg()
            else (member, b"")
            for member in tar
        ]
    found = read(data)
    assert len(found) == len(expected)
    for (header, body), (member, content) in zip(found, expected, strict=True):
        assert header.name.rstrip(b"/") == name_of(member.name)
        assert header.typeflag == member.type
        assert header.linkname == name_of(member.linkname)
        assert (header.mode, header.uid, header.gid) == (
            member.mode,
            member.uid,
            member.gid,
        )
        assert header.mtime // 1000 == int(member.mtime * 1_000_000)
        assert (header.devmajor, header.devminor) == (member.devmajor, member.devminor)
        assert body == content


def name_of(text):
    return text.encode("utf-8", "surrogateescape")


@given(st.data())
def test_what_is_changed_is_refused_or_read_as_tarfile_reads_it(data):
    """Any byte of a header, with a checksum that fits; tarfile takes more.

    Zero bytes in front of a number aside: Go passes over them, to tarfile they end it.
    """
    kind = data.draw(st.sampled_from(FORMATS))
    block = bytearray(plain("some/name", size=3, mtime=9).tobuf(kind))
    for _ in range(data.draw(st.integers(1, 3))):
        position = data.draw(st.sampled_from([*range(148), *range(257, 400)]))
        block[position] = data.draw(st.sampled_from(b" 07x/\x7f"))
    archive = seal(block) + b"abc".ljust(512, b"\0") + bytes(1024)
    try:
        found = read(archive)
    except (ErrInvalidArchive, ErrUnexpectedEOF):
        return
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        members = list(tar)
    for (header, _), member in zip(found, members, strict=True):
        assert header.mode == member.mode
        assert (header.uid, header.gid) == (member.uid, member.gid)
        assert header.size == member.size
        assert header.mtime == member.mtime * 1_000_000_000


@given(st.binary(max_size=3000))
def test_anything_is_read_or_refused(data):
    try:
        read(data)
    except (ErrInvalidArchive, ErrUnexpectedEOF):
        return
    # Nothing but zeros is an archive by chance.
    assert set(data[:1024]) <= {0}


@given(st.binary(min_size=512, max_size=512), st.sampled_from(b"0157LKxgS\0"))
def test_any_header_is_read_or_refused(data, typeflag):
    block = bytearray(data)
    block[156] = typeflag
    try:
        read(seal(block) + bytes(2048))
    except (ErrInvalidArchive, ErrUnexpectedEOF):
        return


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b"0000644\0", 0o644),
        (b"   644 \0", 0o644),
        (b"644\0junk", 0o644),
        (b"\0\0\0\0", 0),
        (b"", 0),
        (b"\x80\0\0\0\0\0\x01\0", 256),
        (b"\xff" * 8, -1),
        (b"\xff" * 11 + b"\0", -256),
        (b"\x80\0\0\0\x7f" + b"\xff" * 7, 2**63 - 1),
        (b"\xff\xff\xff\xff\x80" + b"\0" * 7, -(2**63)),
    ],
)
def test_numbers(data, value):
    assert parse_numeric(data) == value


@pytest.mark.parametrize(
    "data",
    [
        b"8",
        b"-1",
        b"+1",
        b"1_0",
        b"1 1",
        b"0x1",
        b"\x80\0\0\0\x80" + b"\0" * 7,
        b"\xff\xff\xff\xff\x7f" + b"\xff" * 7,
        b"\x81" + b"\0" * 11,
    ],
)
def test_what_is_no_number(data):
    with pytest.raises(ErrHeader):
        parse_numeric(data)


@given(st.integers(0, 8**11 - 1))
def test_octal_numbers(value):
    assert parse_octal(b"%011o\0" % value) == value


@given(st.integers(-(2**63), 2**63 - 1))
def test_numbers_in_base_256(value):
    raw = bytearray(value.to_bytes(12, "big", signed=True))
    raw[0] |= 0x80
    assert parse_numeric(bytes(raw)) == value


@pytest.mark.parametrize(
    "text", [b"", b"x", b"1.", b"1_0", b"9" * 19, b"0" * 65, b" 1"]
)
def test_what_is_no_decimal(text):
    with pytest.raises(ErrHeader):
        parse_int(text)


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [
        (b"1", 10**9),
        (b"1.", 10**9),
        (b"1.5", 1_500_000_000),
        (b"1.1234567899", 1_123_456_789),
        (b"-1.5", -1_500_000_000),
        (b"-0.5", -500_000_000),
    ],
)
def test_times(text, nanoseconds):
    assert parse_pax_time(text) == nanoseconds


@pytest.mark.parametrize("text", [b".5", b"1.x", b"1.-5", b"1.5.5", b"", b"1e3"])
def test_what_is_no_time(text):
    with pytest.raises(ErrHeader):
        parse_pax_time(text)


@pytest.mark.parametrize(
    "data",
    [
        b"x",
        b"5 a=\n5",
        b"6 a=b",
        b"7 a=b\n",
        b"4 =\n",
        b"5 =x\n",
        b"6 abc\n",
        b"-6 a=b\n",
        b"6 a=bx",
        b"10 path=\0\n",
        b"7 a\0=b\n",
        b"99999999999999999999999999999999999999 a=b\n",
        b"23 GNU.sparse.offset=\n" + b"24 GNU.sparse.offset=1\n"[:-2],
        b"26 GNU.sparse.numbytes=12\n",
        b"25 GNU.sparse.offset=1,2\n",
    ],
)
def test_records_that_are_none(data):
    with pytest.raises(ErrHeader):
        parse_pax(data)


def test_records():
    assert parse_pax(b"6 a=b\n8 c=d=e\n") == {b"a": b"b", b"c": b"d=e"}
    assert parse_pax(b"5 a=\n") == {b"a": b""}
    assert parse_pax(b"8 a=\n\0b\n") == {b"a": b"\n\0b"}


@pytest.mark.parametrize("pax", [b"size=x", b"uid=1.5", b"mtime=yesterday", b"gid=-"])
def test_records_with_values_that_are_none(pax):
    record = b"%d %s\n" % (len(pax) + 4, pax)
    head = plain("x", type=b"x", size=len(record)).tobuf(tarfile.USTAR_FORMAT)
    with pytest.raises(ErrHeader):
        read(head + record.ljust(512, b"\0") + plain().tobuf())


def test_signed_checksums():
    """Sun's tar (Go's archive/tar/format.go:233)."""
    block = bytearray(plain("\u00e9").tobuf(tarfile.GNU_FORMAT, "latin-1"))
    block[148:156] = b" " * 8
    total = sum(byte - 256 if byte >= 128 else byte for byte in block)
    block[148:156] = b"%06o\0 " % total
    assert parse_header(bytes(block)).name == b"\xe9"
    block[0] ^= 1
    with pytest.raises(ErrHeader):
        parse_header(bytes(block))


def test_a_prefix_and_the_times_of_gnu_and_star():
    ustar = bytearray(plain().tobuf(tarfile.USTAR_FORMAT))
    ustar[345:349] = b"a/b\0"
    assert parse_header(seal(ustar)).name == b"a/b/f"
    star = bytearray(ustar)
    star[476:488], star[488:500], star[508:512] = b"%011o " % 7, b"%011o " % 8, b"tar\0"
    header = parse_header(seal(star))
    assert (header.name, header.atime) == (b"a/b/f", 7_000_000_000)
    gnu = bytearray(plain().tobuf(tarfile.GNU_FORMAT))
    gnu[345:357], gnu[357:369] = b"%011o\0" % 5, b"%011o\0" % 6
    header = parse_header(seal(gnu))
    assert (header.name, header.atime) == (b"f", 5_000_000_000)


def test_a_prefix_where_gnu_has_times():
    """Old versions of Go wrote that (golang.org/issue/12594)."""
    gnu = bytearray(plain().tobuf(tarfile.GNU_FORMAT))
    gnu[345:355] = b"a/folder/x"
    header = parse_header(seal(gnu))
    assert (header.name, header.atime) == (b"a/folder/x/f", None)
    gnu[345:356] = b"a/f\xc3\xa4lder/x"
    assert parse_header(seal(gnu)).name == b"f"


def test_the_oldest_format_has_names_and_folders_by_their_slash():
    block = bytearray(plain("d/", type=b"\0", size=600).tobuf(tarfile.USTAR_FORMAT))
    block[257:265] = bytes(8)
    file = bytearray(plain("f", type=b"\0").tobuf(tarfile.USTAR_FORMAT))
    file[257:265] = bytes(8)
    found = read(seal(block) + seal(file))
    assert [(h.name, h.typeflag) for h, _ in found] == [(b"d/", b"5"), (b"f", b"0")]


def test_links_and_folders_have_no_data_whatever_they_say():
    members = [plain(t, type=t.encode(), size=600) for t in "123456"]
    data = b"".join(member.tobuf(tarfile.USTAR_FORMAT) for member in members)
    assert len(read(data)) == 6


@pytest.mark.parametrize("typeflag", [b"x", b"g", b"L", b"K"])
def test_what_stands_in_front_has_at_most_a_megabyte(typeflag):
    head = plain("h", type=typeflag, size=(1 << 20) + 1).tobuf(tarfile.GNU_FORMAT)
    with pytest.raises(ErrFieldTooLong):
        read(head + bytes(1 << 21))


def test_special_headers_without_end_are_counted():
    """What extends a header that never comes."""
    seen = []
    head = plain("h", type=b"L", size=1).tobuf(tarfile.GNU_FORMAT)
    source = io.BytesIO((head + b"n".ljust(512, b"\0")) * 10)
    assert TarReader(source, count=lambda: seen.append(1)).next() is None
    assert len(seen) == 11


def test_sparse_maps_have_at_most_a_megabyte():
    """D45: CVE-2025-58183."""
    block = bytearray(plain("s", type=b"S", size=0).tobuf(tarfile.GNU_FORMAT))
    block[482] = 1
    extension = bytearray(512)
    extension[504] = 1
    with pytest.raises(ErrSparseTooLong):
        read(seal(block) + bytes(extension) * 2048)
    for text in (b"1" * (1 << 20), b"1000000\n" + b"1\n" * (1 << 20)):
        with pytest.raises(ErrSparseTooLong):
            read(sparse_1_0(text, 3 << 20))


def sparse_1_0(text, size):
    record = b"22 GNU.sparse.major=1\n22 GNU.sparse.minor=0\n"
    head = plain("h", type=b"x", size=len(record)).tobuf(tarfile.USTAR_FORMAT)
    body = record.ljust(512, b"\0")
    return head + body + plain("f", size=size).tobuf(tarfile.USTAR_FORMAT) + text


@pytest.mark.parametrize(
    "rest", [b"GNU.sparse.numblocks=1\n", b"GNU.sparse.numblocks=-1\n", b"a=b\n"]
)
def test_sparse_records_that_do_not_fit_together(rest):
    record = b"22 GNU.sparse.major=0\n22 GNU.sparse.minor=1\n"
    record += b"%d %s" % (len(rest) + 3, rest) if len(rest) > 6 else b"6 a=b\n"
    head = plain("h", type=b"x", size=len(record)).tobuf(tarfile.USTAR_FORMAT)
    with pytest.raises(ErrHeader):
        read(head + record.ljust(512, b"\0") + plain("f").tobuf(tarfile.USTAR_FORMAT))


@pytest.mark.parametrize("text", [b"x\n", b"-1\n", b"1\n0\nx\n", b"9" * 30 + b"\n"])
def test_sparse_maps_that_are_none(text):
    with pytest.raises(ErrHeader):
        read(sparse_1_0(text.ljust(512, b"\0"), 512))


def test_a_sparse_map_that_ends_before_it_is_whole():
    with pytest.raises(ErrUnexpectedEOF):
        read(sparse_1_0(b"4\n0\n".ljust(512, b"\0"), 512))


def test_sparse_records_that_are_not_known_are_ignored():
    record = b"22 GNU.sparse.major=2\n22 GNU.sparse.minor=0\n"
    head = plain("h", type=b"x", size=len(record)).tobuf(tarfile.USTAR_FORMAT)
    data = head + record.ljust(512, b"\0") + plain("f").tobuf(tarfile.USTAR_FORMAT)
    assert read(data)[0][0].sparse is None


def test_a_folder_is_never_sparse_nor_is_a_star_archive():
    record = b"22 GNU.sparse.major=0\n22 GNU.sparse.minor=1\n"
    record += b"26 GNU.sparse.numblocks=0\n"
    head = plain("h", type=b"x", size=len(record)).tobuf(tarfile.USTAR_FORMAT)
    folder = plain("d", type=b"5").tobuf(tarfile.USTAR_FORMAT)
    with pytest.raises(ErrHeader):
        read(head + record.ljust(512, b"\0") + folder)
    with pytest.raises(ErrHeader):
        read(plain("s", type=b"S").tobuf(tarfile.USTAR_FORMAT))
