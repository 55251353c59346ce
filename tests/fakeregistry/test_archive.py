import gzip
import io
import os
import tarfile

import pytest

from fakeregistry.archive import (
    ExchangeError,
    Files,
    open_source,
    read_json,
    write_files,
)
from fakeregistry.layers import make_tar


def member(name, kind=tarfile.REGTYPE, link=""):
    info = tarfile.TarInfo(name)
    info.type = kind
    info.linkname = link
    return info


def archive(path, *members):
    """Write an archive of names with data, and of special members."""
    entries = [
        (m, b"") if isinstance(m, tarfile.TarInfo) else (member(m[0]), m[1])
        for m in members
    ]
    path.write_bytes(make_tar(entries))
    return path


@pytest.fixture(params=["folder", "tar", "tar.gz"])
def source(request, tmp_path):
    """Files that hold their names, and links to one of them."""
    path = tmp_path / "files"
    if request.param == "folder":
        (path / "a").mkdir(parents=True)
        (path / "a" / "b").write_text("a/b")
        (path / "a" / "link").symlink_to("../a/b")
        (path / "hard").hardlink_to(path / "a" / "b")
    else:
        archive(
            path,
            member("./a", tarfile.DIRTYPE),
            ("./a/b", b"a/b"),
            member("a/link", tarfile.SYMTYPE, "../a/b"),
            member("hard", tarfile.LNKTYPE, "./a/b"),
        )
        if request.param == "tar.gz":
            path.write_bytes(gzip.compress(path.read_bytes()))
    return open_source(path)


@pytest.mark.parametrize("name", ["a/b", "./a/b", "a/../a/b", "a/link", "hard"])
def test_files_are_read_by_name(source, name):
    assert source.read(name) == b"a/b"


@pytest.mark.parametrize("name", ["b", "a/c", "x/y/z"])
def test_there_may_be_no_such_file(source, name):
    assert source.read(name) is None


@pytest.mark.parametrize("name", ["../x", "/etc/hostname", "a/../../x"])
def test_no_name_leads_out(source, name):
    with pytest.raises(ExchangeError, match=f"files: {name} leads out of the "):
        source.read(name)


def test_folders_refuse_links_to_the_outside(tmp_path):
    (tmp_path / "secret").write_text("secret")
    root = tmp_path / "root"
    root.mkdir()
    (root / "link").symlink_to("../secret")
    (root / "circle").symlink_to("circle")
    source = open_source(root)
    with pytest.raises(ExchangeError, match="root: link leads out of the folder"):
        source.read("link")
    with pytest.raises(ExchangeError, match="circle is a link that leads"):
        source.read("circle")
    with pytest.raises(ExchangeError, match="embedded null"):
        source.read("a\0b")


def test_folders_refuse_what_is_no_file(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    source = open_source(tmp_path)
    for name in ("pipe", "folder"):
        with pytest.raises(ExchangeError, match=f"{name} is no regular file"):
            source.read(name)


def test_files_that_may_not_be_read(tmp_path, monkeypatch):
    (tmp_path / "a").write_text("a")
    source = open_source(tmp_path)

    def refuse(_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.read_bytes", refuse)
    with pytest.raises(ExchangeError, match="a: Permission denied"):
        source.read("a")


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (("../x", b""), r"\.\./x leads out of the archive"),
        (("/x", b""), "/x leads out of the archive"),
        (("a/../../x", b""), "leads out of the archive"),
        (member("l", tarfile.SYMTYPE, "/etc/passwd"), "l leads out of the archive"),
        (member("d/l", tarfile.SYMTYPE, "../../x"), "d/l leads out of the archive"),
        (member("l", tarfile.LNKTYPE, "../x"), "l leads out of the archive"),
        (member("dev", tarfile.CHRTYPE), "dev is no regular file"),
        (member("pipe", tarfile.FIFOTYPE), "pipe is no regular file"),
        (("good", b"again"), "good is there twice"),
    ],
)
def test_archives_with_tricks_are_refused(bad, message, tmp_path):
    path = archive(tmp_path / "x.tar", ("good", b"good"), bad)
    with pytest.raises(ExchangeError, match=rf"x\.tar: .*{message}"):
        open_source(path)


def test_sparse_files_are_refused(tmp_path):
    """A kilobyte may claim to be a terabyte."""
    info = member("huge", tarfile.GNUTYPE_SPARSE)
    header = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    header[483:495] = b"77777777777\0"
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    (tmp_path / "x.tar").write_bytes(bytes(header) + bytes(1024))
    with pytest.raises(ExchangeError, match="huge is no regular file"):
        open_source(tmp_path / "x.tar")


def test_links_that_lead_nowhere(tmp_path):
    circle = member("l", tarfile.SYMTYPE, "l")
    dangling = member("m", tarfile.SYMTYPE, "none")
    source = open_source(archive(tmp_path / "x.tar", circle, dangling))
    with pytest.raises(ExchangeError, match=r"x\.tar: l is a link that leads nowhere"):
        source.read("l")
    assert source.read("m") is None


@pytest.mark.parametrize("data", [b"", b"no archive", b"\x1f\x8bjunk"])
def test_files_that_are_no_archives(data, tmp_path):
    (tmp_path / "x").write_bytes(data)
    with pytest.raises(ExchangeError, match="x: not a readable tar archive"):
        open_source(tmp_path / "x")


@pytest.mark.parametrize("packed", [True, False])
def test_archives_that_were_cut(packed, tmp_path):
    data = archive(tmp_path / "x", ("a", bytes(5000))).read_bytes()[:4000]
    (tmp_path / "x").write_bytes(gzip.compress(data)[:-12] if packed else data)
    with pytest.raises(ExchangeError, match="x: not a readable tar archive"):
        open_source(tmp_path / "x")


def test_nothing_there(tmp_path):
    with pytest.raises(ExchangeError, match="none: there is no such file or folder"):
        open_source(tmp_path / "none")


@pytest.mark.parametrize(
    ("data", "message"),
    [(b"{", "j is no JSON"), (b"[" * 100_000, "j is no JSON"), (None, "j is missing")],
)
def test_json_that_is_none(data, message, tmp_path):
    if data is not None:
        (tmp_path / "j").write_bytes(data)
    with pytest.raises(ExchangeError, match=message):
        read_json(open_source(tmp_path), "j")


FILES: Files = {"a": b"1", "b/c/d": memoryview(b"2")}


@pytest.mark.parametrize("packed", [True, False])
def test_files_are_written_at_once(packed, tmp_path):
    path = tmp_path / "made"
    write_files(path, FILES, packed=packed)
    source = open_source(path)
    assert {name: source.read(name) for name in FILES} == FILES
    assert [entry.name for entry in tmp_path.iterdir()] == ["made"]


def test_archives_are_the_same_every_time(tmp_path):
    for name in "ab":
        write_files(tmp_path / name, FILES, packed=True)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    with tarfile.open(fileobj=io.BytesIO((tmp_path / "a").read_bytes())) as found:
        assert [(entry.name, entry.mtime) for entry in found] == [
            ("a", 0),
            ("b/c/d", 0),
        ]


def test_nothing_is_overwritten(tmp_path):
    path = tmp_path / "made"
    path.mkdir()
    with pytest.raises(ExchangeError, match="made: is there already"):
        write_files(path, FILES, packed=True)
    write_files(path, FILES, packed=False)
    with pytest.raises(ExchangeError, match="made: is there already"):
        write_files(path, {}, packed=False)
    assert (path / "a").read_bytes() == b"1"


def test_half_a_folder_is_removed(tmp_path):
    path = tmp_path / "made"
    with pytest.raises(FileExistsError):
        write_files(path, {"a": b"", "a/b": b""}, packed=False)
    assert list(tmp_path.iterdir()) == []
