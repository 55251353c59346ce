"""Sparse files, as GNU tar has written them over the years."""

import tarfile

import pytest

from refimpl.archive.errors import ErrInvalidArchive, ErrMissData
from refimpl.errdefs import ErrFailedPrecondition


def old_sparse(name, regions, size, data):
    """Return a sparse file in GNU's old format, as tar --format=gnu -S writes it."""
    member = tarfile.TarInfo(name)
    member.type = tarfile.GNUTYPE_SPARSE
    member.size = len(data)
    block = bytearray(member.tobuf(tarfile.GNU_FORMAT))
    pairs = [b"%011o\0%011o\0" % region for region in regions]
    block[386 : 386 + 24 * len(pairs[:4])] = b"".join(pairs[:4])
    block[483:495] = b"%011o\0" % size
    rest, extension = pairs[4:], b""
    block[482] = bool(rest)
    while rest:
        part, rest = rest[:21], rest[21:]
        extension += b"".join(part).ljust(504, b"\0") + bytes([bool(rest)]) + bytes(7)
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block) + extension + data + bytes(-len(data) % 512)


def sparse_layer(layer, entry, version, regions, content):
    size, data = content
    if version == "old":
        return old_sparse("f", regions, size, data)
    count, flat = len(regions), [n for pair in regions for n in pair]
    pax = {
        "GNU.sparse.major": "0",
        "GNU.sparse.minor": "1",
        "GNU.sparse.size": str(size),
        "GNU.sparse.numblocks": str(count),
    }
    if version == "0.1":
        pax |= {"GNU.sparse.map": ",".join(map(str, flat)), "GNU.sparse.name": "f"}
    if version == "1.0":
        pax = {
            "GNU.sparse.major": "1",
            "GNU.sparse.minor": "0",
            "GNU.sparse.realsize": str(size),
            "GNU.sparse.name": "f",
        }
        text = "".join(f"{n}\n" for n in [count, *flat]).encode()
        data = text + bytes(-len(text) % 512) + data
    archive_ = layer(entry("x", data=data, pax=pax))
    if version == "0.0":
        records = pax | {"GNU.sparse.minor": "0"}
        pairs = [
            (key, str(n))
            for region in regions
            for key, n in zip(
                ("GNU.sparse.offset", "GNU.sparse.numbytes"), region, strict=True
            )
        ]
        body = b"".join(record(k, v) for k, v in [*records.items(), *pairs])
        head = tarfile.TarInfo("h")
        head.type, head.size = tarfile.XHDTYPE, len(body)
        archive_ = (
            head.tobuf(tarfile.USTAR_FORMAT)
            + body
            + bytes(-len(body) % 512)
            + layer(entry("f", data=data), kind=tarfile.USTAR_FORMAT)
        )
    return archive_


def record(key, value):
    text = f" {key}={value}\n".encode()
    length = len(text)
    while length != len(text) + len(str(length)):
        length = len(text) + len(str(length))
    return str(length).encode() + text


VERSIONS = ["old", "0.0", "0.1", "1.0"]


@pytest.mark.parametrize(
    "form", [(version, count) for version in VERSIONS for count in (0, 1, 4, 5, 40)]
)
def test_sparse_files(apply, layer, entry, root, form):
    """D44 for the old format; each region is followed by a hole."""
    version, count = form
    regions = [(4096 * i, 512) for i in range(count)]
    data = b"".join(bytes([i + 1]) * 512 for i in range(count))
    size = 4096 * count + 100_000
    assert apply(sparse_layer(layer, entry, version, regions, (size, data))) == size
    content = (root / "f").read_bytes()
    expected = bytearray(size)
    for i, (offset, length) in enumerate(regions):
        expected[offset : offset + length] = bytes([i + 1]) * length
    assert content == bytes(expected)
    assert (root / "f").stat().st_blocks * 512 < size


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    "regions",
    [[(0, 600)], [(0, 400)], [(512, 512), (0, 0)], [(90_000, 512)], [(0, 1), (0, 511)]],
    ids=["too much", "too little", "disorder", "behind", "overlap"],
)
def test_maps_that_do_not_fit_are_errors(apply, layer, entry, version, regions):
    data = sparse_layer(layer, entry, version, regions, (90_000, b"x" * 512))
    with pytest.raises(ErrInvalidArchive) as caught:
        apply(data)
    assert isinstance(caught.value, ErrMissData) == (regions == [(0, 600)])


@pytest.mark.parametrize("version", VERSIONS)
def test_holes_that_would_not_fit_are_refused_at_once(apply, layer, entry, version):
    """D49: containerd would write zeros until the disk is full."""
    data = sparse_layer(layer, entry, version, [], (1 << 50, b""))
    if version == "old":
        data = data.replace(b"%011o\0" % (1 << 50), (1 << 50 | 1 << 95).to_bytes(12))
        block = bytearray(data[:512])
        block[148:156] = b" " * 8
        block[148:156] = b"%06o\0 " % sum(block)
        data = bytes(block)
    with pytest.raises(OSError, match="No space left on device"):
        apply(data)
    with pytest.raises(ErrFailedPrecondition):
        apply(data, max_size=1 << 40)
