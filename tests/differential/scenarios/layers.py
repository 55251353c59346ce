"""What layers do to a snapshot's files."""

import tarfile
from collections.abc import Iterable

from fakeregistry.layers import Layer, tar_layer
from tests.differential.stage import CRI, PULL, Stage, scenario

OLD = 1_000_000_000
Entry = tuple[tarfile.TarInfo, bytes]
Entries = Iterable[Entry]


def entry(
    name: str, data: bytes = b"", **members: object
) -> tuple[tarfile.TarInfo, bytes]:
    """Return a member of an archive; a regular file unless ``type`` says otherwise."""
    info = tarfile.TarInfo(name)
    info.mtime = OLD
    for key, value in members.items():
        setattr(info, key, value)
    return info, data


def folder(name: str, mode: int = 0o755) -> Entry:
    """Return a directory."""
    return entry(name, type=tarfile.DIRTYPE, mode=mode)


def pull(stage: Stage, *layers: Entries) -> None:
    """Pull an image of layers with these members."""
    stage.pull(stage.publish(layers=[made(layer) for layer in layers]))


def made(members: Entries) -> Layer:
    """Return a layer with these members."""
    return tar_layer(members)


@scenario(PULL, CRI)
def kinds_of_files(stage: Stage) -> None:
    """Files, folders, links, devices, pipes, modes, owners and times."""
    pull(
        stage,
        [
            folder("etc", 0o750),
            entry("etc/file", b"data", mode=0o4755, uid=12, gid=34),
            entry("etc/link", type=tarfile.LNKTYPE, linkname="etc/file"),
            entry("etc/symlink", type=tarfile.SYMTYPE, linkname="../etc/file"),
            entry("etc/absolute", type=tarfile.SYMTYPE, linkname="/etc/file"),
            entry("etc/dangling", type=tarfile.SYMTYPE, linkname="nowhere"),
            entry("null", type=tarfile.CHRTYPE, devmajor=1, devminor=3, mode=0o666),
            entry("disk", type=tarfile.BLKTYPE, devmajor=7, devminor=0),
            entry("pipe", type=tarfile.FIFOTYPE),
            folder("tmp", 0o1777),
            entry("implied/folder/file", b"data"),
        ],
    )


@scenario(PULL, CRI)
def whiteouts(stage: Stage) -> None:
    """A layer removes a file and a folder, and empties another folder."""
    pull(
        stage,
        [
            folder("a"),
            entry("a/gone", b"1"),
            entry("a/kept", b"2"),
            folder("b"),
            entry("b/gone", b"3"),
            folder("c"),
            entry("c/old", b"4"),
        ],
        [
            entry("a/.wh.gone"),
            entry(".wh.b"),
            folder("c"),
            entry("c/.wh..wh..opq"),
            entry("c/new", b"5"),
            entry(".wh.never-there"),
        ],
    )


@scenario(PULL)
def opaque_marker_at_the_end(stage: Stage) -> None:
    """The marker comes after what the same layer brings into the folder."""
    pull(
        stage,
        [folder("c"), entry("c/old", b"4")],
        [folder("c"), entry("c/new", b"5"), entry("c/.wh..wh..opq")],
    )


@scenario(PULL)
def whiteout_of_what_the_layer_brings(stage: Stage) -> None:
    """A layer brings a file and removes it."""
    pull(
        stage,
        [folder("a"), entry("a/file", b"old")],
        [folder("a"), entry("a/file", b"new"), entry("a/.wh.file")],
    )


@scenario(PULL, CRI)
def other_kinds_in_the_same_place(stage: Stage) -> None:
    """A file takes the place of a folder, and the other way round."""
    pull(
        stage,
        [
            folder("a"),
            entry("a/file", b"1"),
            entry("b", b"2"),
            entry("c", type=tarfile.SYMTYPE, linkname="a"),
        ],
        [entry("a", b"3"), folder("b"), entry("b/file", b"4"), folder("c")],
    )


@scenario(PULL, CRI)
def names_that_climb(stage: Stage) -> None:
    """Names with dots, and absolute ones, stay below the root."""
    pull(
        stage,
        [
            entry("../up", b"1"),
            entry("/absolute", b"2"),
            entry("./dot", b"3"),
            entry("a/../b", b"4"),
            entry("link", type=tarfile.SYMTYPE, linkname="/"),
            entry("link/through", b"5"),
            entry("up", type=tarfile.SYMTYPE, linkname="../../.."),
            entry("up/there", b"6"),
        ],
    )


@scenario(PULL)
def file_given_twice(stage: Stage) -> None:
    """The last one counts; hard links to the first one are its own."""
    pull(
        stage,
        [
            entry("file", b"first"),
            entry("link", type=tarfile.LNKTYPE, linkname="file"),
            entry("file", b"second"),
        ],
    )


@scenario(PULL)
def attributes(stage: Stage) -> None:
    """Extended attributes in PAX headers."""
    info, data = entry("capable", b"data", mode=0o755)
    info.pax_headers = {"SCHILY.xattr.user.colour": "blue", "mtime": "1000000000.25"}
    pull(stage, [(info, data)])


@scenario(PULL)
def change_below_a_hard_link(stage: Stage) -> None:
    """A file with two names in one layer; the next layer changes one of them."""
    pull(
        stage,
        [entry("a", b"old"), entry("b", type=tarfile.LNKTYPE, linkname="a")],
        [entry("a", b"new")],
    )


@scenario(PULL)
def many_layers(stage: Stage) -> None:
    """Twenty layers, one upon the other."""
    pull(stage, *([entry(f"file-{number}", b"data")] for number in range(20)))
