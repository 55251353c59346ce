"""archive/tar.go: what a layer's entries become in a folder."""

import io
import os
import stat
import tarfile
from pathlib import Path

import anyio
import pytest

from refimpl import archive
from refimpl.archive.errors import (
    ErrHeader,
    ErrInvalidArchive,
    ErrUnhandledType,
)
from refimpl.errdefs import ErrFailedPrecondition, ErrUnexpectedEOF, message
from refimpl.workers import run_blocking

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="owners and devices take root")


def mode_of(path):
    return stat.S_IMODE(path.lstat().st_mode)


def test_files_folders_and_links(apply, layer, entry, root):
    size = apply(
        layer(
            entry("etc/", "dir", mode=0o750),
            entry("etc/passwd", data=b"root:x:0:0", mode=0o640),
            entry("etc/copy", "link", link="etc/passwd", mode=0o640),
            entry("etc/link", "symlink", link="passwd"),
            entry("run/fifo", "fifo", mode=0o622),
        )
    )
    assert size == 10
    etc = root / "etc"
    assert (etc / "passwd").read_bytes() == b"root:x:0:0"
    assert (etc / "copy").samefile(etc / "passwd")
    assert (etc / "link").readlink().name == "passwd"
    assert stat.S_ISFIFO((root / "run/fifo").stat().st_mode)
    modes = [mode_of(root / p) for p in ("etc", "etc/passwd", "run", "run/fifo")]
    assert modes == [0o750, 0o640, 0o755, 0o622]


def test_modes_are_as_told_whatever_the_umask(apply, layer, entry, root):
    old = os.umask(0o077)
    try:
        apply(
            layer(
                entry("d", "dir", mode=0o1777),
                entry("d/suid", mode=0o6755),
                entry("made/by/need"),
                entry("fifo", "fifo", mode=0o666),
            )
        )
    finally:
        os.umask(old)
    found = {str(p.relative_to(root)): mode_of(p) for p in root.rglob("*")}
    assert found == {
        "d": 0o1777,
        "d/suid": 0o6755,
        "made": 0o755,
        "made/by": 0o755,
        "made/by/need": 0o644,
        "fifo": 0o666,
    }


@as_root
def test_owners_devices_and_the_bits_that_chown_takes(apply, layer, entry, root):
    apply(
        layer(
            entry("d", "dir", uid=1, gid=2, mode=0o2775),
            entry("f", uid=3, gid=4, mode=0o4755),
            entry("l", "symlink", link="f", uid=5, gid=6),
            entry("c", "char", device=(1, 3), uid=7, gid=8, mode=0o666),
            entry("b", "block", device=(259, 1000), mode=0o660),
            entry("h", "link", link="f", uid=9, gid=10, mode=0o4711),
        )
    )
    found = {
        p.name: (p.lstat().st_uid, p.lstat().st_gid, mode_of(p)) for p in root.iterdir()
    }
    assert found["d"] == (1, 2, 0o2775)
    assert found["f"] == found["h"] == (9, 10, 0o4711)
    assert found["l"][:2] == (5, 6)
    assert found["c"] == (7, 8, 0o666)
    char, block = (root / "c").stat(), (root / "b").stat()
    assert stat.S_ISCHR(char.st_mode)
    assert stat.S_ISBLK(block.st_mode)
    assert char.st_rdev == os.makedev(1, 3)
    assert block.st_rdev == os.makedev(259, 1000)


@as_root
def test_an_id_of_more_than_32_bits_is_cut_as_the_kernel_does(
    apply, layer, entry, root
):
    apply(layer(entry("f", pax={"uid": str(2**32 + 5), "gid": str(2**32 - 1)})))
    assert ((root / "f").stat().st_uid, (root / "f").stat().st_gid) == (5, 0)


def test_times_to_the_nanosecond_of_folders_too(apply, layer, entry, root):
    pax = {"mtime": "1700000000.123456789", "atime": "1700000001.000000001"}
    apply(
        layer(
            entry("d", "dir", pax=pax),
            entry("d/f", pax=pax),
            entry("d/l", "symlink", link="nowhere", pax=pax),
            entry("d/h", "link", link="d/f", pax=pax),
            entry("d/fifo", "fifo", pax=pax),
        )
    )
    for path in (root / "d", *(root / "d").iterdir()):
        status = path.lstat()
        assert status.st_mtime_ns == 1700000000123456789, path
        # Reading links and listing folders may move an access time forward.
        assert status.st_atime_ns >= 1700000001000000001, path


@pytest.mark.parametrize("time", ["-1", "-1.5", "9999999999999"])
def test_times_out_of_bounds_are_the_epoch(apply, layer, entry, root, time):
    """archive/time.go: boundTime."""
    apply(
        layer(entry("f", pax={"mtime": time}), entry("d", "dir", pax={"mtime": time}))
    )
    assert (root / "f").stat().st_mtime_ns == 0
    assert (root / "d").stat().st_mtime_ns == 0


def test_xattrs_of_files_and_folders(apply, layer, entry, root, warnings):
    pax = {"SCHILY.xattr.user.a": "value"}
    try:
        os.setxattr(root, "user.probe", b"")
    except OSError:
        pytest.skip("no extended attributes here")
    apply(
        layer(
            entry("d", "dir", pax=pax),
            entry("f", pax=pax, mode=0o400),
            entry("h", "link", link="f", pax={"SCHILY.xattr.user.b": "2"}),
            entry("l", "symlink", link="f", pax={"SCHILY.xattr.user.c": "3"}),
            entry("g", pax={"SCHILY.xattr.trusted.x": "4"}),
        )
    )
    assert os.getxattr(root / "d", "user.a") == b"value"
    assert os.listxattr(root / "f") == ["user.a", "user.b"]
    assert os.listxattr(root / "g") == []
    # A link has no such attribute, and no archive gives trusted ones.
    assert [text.split(":")[0] for text in warnings] == [
        'ignored xattr "user.c" and its like',
        'ignored xattr "trusted.x" and its like',
    ]


@as_root
def test_capabilities_survive_owner_and_mode(apply, layer, entry, root):
    value = bytes.fromhex("0100000200040000000000000000000000000000")
    text = value.decode("latin-1")
    pax = {"SCHILY.xattr.security.capability": text}
    apply(layer(entry("ping", pax=pax, uid=7, mode=0o755)))
    assert os.getxattr(root / "ping", "security.capability") == value


def test_an_attribute_that_fails_is_told(apply, layer, entry):
    with pytest.raises(OSError, match="Errno") as caught:
        apply(layer(entry("f", pax={"SCHILY.xattr.": "x"})))
    assert caught.value.__notes__ == ['failed to setxattr for key ""', 'entry "f"']


@pytest.mark.parametrize("kind", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_long_names_and_links(apply, layer, entry, root, kind):
    name = "/".join(["part" * 20] * 6)
    apply(
        layer(
            entry(name, data=b"x"),
            entry("hard", "link", link=name),
            entry("soft", "symlink", link="y" * 300),
            kind=kind,
        )
    )
    assert (root / name).samefile(root / "hard")
    assert str((root / "soft").readlink()) == "y" * 300


@pytest.mark.parametrize("kind", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_names_are_bytes(apply, layer, entry, root, kind):
    names = "caf\udce9", "\u00e9\n\\ \x07"
    apply(layer(*map(entry, names), kind=kind))
    found = {os.fsencode(path.name) for path in root.iterdir()}
    assert found == {"é\n\\ \a".encode(), b"caf\xe9"}


@pytest.mark.parametrize(
    "name", ["", ".", "./", "/", "..", "../..", "a/..", "./../", "a/../.."]
)
def test_the_root_itself_is_left_alone(apply, layer, entry, root, name):
    before = root.stat()
    for kind in ("dir", "file", "symlink"):
        apply(layer(entry(name, kind, mode=0o700, link="/etc", uid=1, mtime=1)))
    after = root.stat()
    assert (after.st_mode, after.st_uid) == (before.st_mode, before.st_uid)
    assert after.st_mtime_ns == before.st_mtime_ns
    assert list(root.iterdir()) == []


def test_what_is_there_is_replaced_but_folders_merge(apply, layer, entry, root, names):
    apply(layer("a/x", "b/x", "c", "d/", entry("e", "symlink", link="b"), "f", "g/h/i"))
    apply(
        layer(
            entry("a", "dir", mode=0o700),
            "b",
            "c/",
            entry("d", "symlink", link="a"),
            entry("e", "dir"),
            entry("f", "fifo"),
            entry("g", "link", link="b"),
        )
    )
    assert names() == ["a", "a/x", "b", "c", "d", "e", "f", "g"]
    assert mode_of(root / "a") == 0o700
    assert (root / "b").read_bytes() == b"b"
    assert not (root / "e").is_symlink()
    assert stat.S_ISFIFO((root / "f").lstat().st_mode)


def test_of_two_entries_of_a_name_the_later_wins(apply, layer, entry, root, names):
    apply(
        layer(
            entry("f", data=b"1"),
            entry("f", data=b"2"),
            "d/x",
            entry("d", "dir", mtime=5),
            entry("d", data=b"file", mtime=7),
            entry("l", data=b"file"),
            entry("l", "symlink", link="f"),
        )
    )
    assert names() == ["d", "f", "l"]
    assert (root / "f").read_bytes() == b"2"
    # D46: the times are the file's, not those of the folder that was there.
    assert (root / "d").stat().st_mtime == 7
    assert (root / "l").readlink().name == "f"


def test_a_folder_replaced_by_a_dangling_link_is_no_error(apply, layer, entry, root):
    """D46: containerd looks for it at the end, follows the link and fails."""
    apply(layer(entry("d", "dir"), entry("d", "symlink", link="missing")))
    assert str((root / "d").readlink()) == "missing"


def test_a_hard_link_to_a_symbolic_link_is_to_the_link(apply, layer, entry, root):
    """archive/tar.go:732: and its attributes never go through it."""
    apply(
        layer(
            entry("f", data=b"x", mode=0o600),
            entry("soft", "symlink", link="f"),
            entry("hard", "link", link="soft", mode=0o4777, mtime=3),
        )
    )
    assert (root / "hard").is_symlink()
    assert (root / "hard").lstat().st_ino == (root / "soft").lstat().st_ino
    assert mode_of(root / "f") == 0o600


@pytest.mark.parametrize("target", ["missing", "d", "d/", "d/.", "d/..", "..", "."])
def test_a_hard_link_to_nothing_or_a_folder_fails(apply, layer, entry, target):
    with pytest.raises((FileNotFoundError, PermissionError)) as caught:
        apply(layer("d/x", entry("h", "link", link=target)))
    assert caught.value.__notes__ == ['entry "h"']


@pytest.mark.parametrize(
    "long",
    [{"name": "x" * 300_000}, {"name": "f", "kind": "symlink", "link": "x" * 4096}],
)
def test_names_that_are_too_long_are_told_in_short(apply, layer, entry, long):
    with pytest.raises(OSError, match="File name too long") as caught:
        apply(layer(entry(**long)))
    assert len(message(caught.value)) < 400


def test_a_file_on_the_way_is_an_error(apply, layer):
    with pytest.raises(NotADirectoryError):
        apply(layer("f", "f/x"))


@pytest.mark.parametrize("kind", [b"7", b"V", b"D", b"A"])
def test_an_unknown_type_is_an_error(apply, layer, entry, root, kind):
    member = entry("f").member()
    member.type = kind
    data = member.tobuf(tarfile.USTAR_FORMAT)
    with pytest.raises(ErrUnhandledType) as caught:
        apply(data)
    assert message(caught.value) == (f'entry "f": unhandled tar header type {kind[0]}')
    assert list(root.iterdir()) == []


def test_a_global_header_touches_nothing(apply, layer, entry, root):
    """D43: its name is that of a file from below."""
    apply(layer("pax_global_header"))
    header = tarfile.TarInfo.create_pax_global_header({"comment": "x", "path": "y"})
    data = header.replace(b"././@PaxHeader\0\0\0", b"pax_global_header")
    block = bytearray(data)
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block[:512])
    apply(bytes(block) + layer("f"))
    assert sorted(p.name for p in root.iterdir()) == ["f", "pax_global_header"]


def test_nothing_at_all_is_an_empty_layer(apply, layer, names):
    assert apply(b"", layer(), bytes(512)) == 0
    assert names() == []


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"x" * 512, ErrHeader),
        (b"x" * 100, ErrUnexpectedEOF),
        (bytes(512) + b"x" * 512, ErrHeader),
        (b"\xfd7zXZ\0" + b"x" * 600, ErrHeader),
    ],
)
def test_what_is_no_archive_is_an_error(apply, data, error):
    with pytest.raises(error):
        apply(data)


def test_a_file_that_is_cut_is_an_error(apply, layer, entry):
    data = layer(entry("f", data=b"x" * 5000))
    with pytest.raises(ErrUnexpectedEOF) as caught:
        apply(data[:3000])
    assert message(caught.value) == 'entry "f": unexpected EOF'


def test_a_last_padding_that_is_missing_is_none(apply, layer, entry, root):
    """Go's archive/tar/reader.go:78."""
    data = layer(entry("f", data=b"x" * 5))
    for end in (512 + 5, 512 + 100):
        apply(data[:end])
        assert (root / "f").read_bytes() == b"xxxxx"


def test_a_limit_on_bytes(apply, layer, entry, root):
    data = layer(entry("f", data=b"x" * 600), entry("g", data=b"y" * 401))
    assert apply(data, max_size=1001) == 1001
    with pytest.raises(ErrFailedPrecondition) as caught:
        apply(data, max_size=1000)
    assert message(caught.value) == (
        'entry "g": layer has files of more than 1000 bytes, the limit: '
        "failed precondition"
    )


def test_a_limit_on_entries_counts_what_extends_others(apply, layer, entry):
    data = layer("f", entry("g", pax={"comment": "x"}))
    apply(data, max_entries=4)
    with pytest.raises(ErrFailedPrecondition, match="more than 3 entries"):
        apply(data, max_entries=3)
    assert apply(data, max_entries=0) == 1


def test_a_negative_size_is_an_error_at_once(apply, entry):
    """CVE-2025-8194 and its like."""
    block = bytearray(entry("f").member().tobuf(tarfile.GNU_FORMAT))
    block[124:136] = (-512).to_bytes(12, "big", signed=True)
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    with pytest.raises(ErrHeader):
        apply(bytes(block) * 3)


class Endless:
    """A file that never ends, of which what was asked for is counted."""

    def __init__(self, data):
        self.data = data
        self.reads = 0
        self.scope = anyio.CancelScope()

    def read(self, size):
        self.reads += 1
        if self.reads == 10:
            anyio.from_thread.run_sync(self.scope.cancel)
        data, self.data = self.data, b""
        return data or bytes(size)


@pytest.mark.anyio
async def test_cancellation_ends_it_within_a_file(layer, entry, root):
    source = Endless(layer(entry("f", pax={"size": str(1 << 60)}))[:1536])
    with source.scope:
        await run_blocking(archive.apply, root, source)
    assert source.scope.cancelled_caught
    assert source.reads == 10


def test_no_file_stays_open(apply, layer, entry, root):
    def open_files():
        return len(list(Path("/proc/self/fd").iterdir()))

    apply(layer("warm/up"))
    before = open_files()
    apply(layer(*(f"d{i}/f" for i in range(70))))
    with pytest.raises(ErrInvalidArchive):
        apply(layer("a/b/c", "x/.wh..wh..opq", "x/.wh."))
    with pytest.raises(NotADirectoryError):
        apply(layer("f", "f/x"))
    assert open_files() == before


def test_a_source_may_give_any_number_of_bytes_at_a_time(apply, layer, entry, root):
    class Dribble(io.BytesIO):
        def read(self, size=-1):
            return super().read(min(size, 7))

    data = layer(entry("f", data=bytes(range(256)) * 9), entry("d/g", data=b"y" * 513))
    apply(Dribble(data))
    assert (root / "f").read_bytes() == bytes(range(256)) * 9
    assert (root / "d/g").read_bytes() == b"y" * 513
