"""What a layer says of those below it: new, changed, replaced, hidden (layer.md).

A layer is a tar archive of changes. Clients differ in how they apply it, and must not
differ in what comes out.
"""

from __future__ import annotations

import stat
import tarfile
from typing import TYPE_CHECKING, Final

from conformance.case import Level, case
from conformance.cases._rootfs import (
    LAYER,
    UNPACKS,
    device,
    folder,
    hardlink,
    image_of,
    layer,
    must_not_unpack,
    must_unpack,
    symlink,
    text,
    tree,
    try_unpack,
    typed,
)

if TYPE_CHECKING:
    from conformance.bench import Bench

WHITEOUT: Final = (
    "OCI image-spec v1.1.1 layer.md, Whiteouts: A whiteout file is an empty file with "
    "a special filename that signifies a path should be deleted."
)
OPAQUE: Final = (
    "OCI image-spec v1.1.1 layer.md, Opaque Whiteout: indicating that all siblings "
    "are hidden in the lower layer; Implementations SHOULD generate layers using "
    "explicit whiteout files, but MUST accept both."
)
LOWER: Final = (
    "OCI image-spec v1.1.1 layer.md, Whiteouts: Whiteout files MUST only apply to "
    "resources in lower/parent layers. Files that are present in the same layer as a "
    "whiteout file can only be hidden by whiteout files in subsequent layers."
)
CHANGES: Final = (
    "OCI image-spec v1.1.1 layer.md, Changeset over existing files: the removal of "
    "the file path, followed by the creation of the file path, unless both are "
    "directories: then attributes are replaced"
)


@case(
    clause=WHITEOUT,
    level=Level.MUST,
    needs=UNPACKS,
    twin="unpack.image-is-unpacked",
    link=f"{LAYER}#whiteouts",
    catalogue=("unpack-whiteout",),
)
def test_whiteout_removes_a_file(bench: Bench) -> None:
    """``.wh.secret`` in a layer removes ``secret``, and is not there itself.

    Authors remove keys and caches this way, and rely on it.
    """
    base = layer(text("d/secret", "base"), text("d/other", "base"), text("e/f/g"))
    top = layer(text("d/.wh.secret"), text(".wh.e"))
    root = must_unpack(bench, image_of(bench, base, top))
    assert tree(root) == {"d": "/", "d/other": "base"}


@case(
    clause=LOWER,
    level=Level.MUST,
    needs=UNPACKS,
    twin="unpack.image-is-unpacked",
    link=f"{LAYER}#whiteouts",
    catalogue=("unpack-whiteout-lower-only",),
)
def test_whiteout_spares_its_own_layer(bench: Bench) -> None:
    """A file and its whiteout in one layer: the new file stays.

    Whichever comes first in the archive.
    """
    base = layer(text("a", "base"), text("b", "base"))
    top = layer(text("a", "top"), text(".wh.a"), text(".wh.b"), text("b", "top"))
    root = must_unpack(bench, image_of(bench, base, top))
    assert tree(root) == {"a": "top", "b": "top"}


@case(
    clause=OPAQUE,
    level=Level.MUST,
    needs=UNPACKS,
    twin="unpack.image-is-unpacked",
    link=f"{LAYER}#opaque-whiteout",
    catalogue=("unpack-opaque",),
)
def test_opaque_whiteout_empties_a_folder(bench: Bench) -> None:
    """``.wh..wh..opq`` hides all that a folder had, and only that.

    The folder stays, and so does what is beside it.
    """
    base = layer(text("d/a", "base"), text("d/sub/b", "base"), text("e", "base"))
    top = layer(folder("d"), text("d/.wh..wh..opq"))
    root = must_unpack(bench, image_of(bench, base, top))
    assert tree(root) == {"d": "/", "e": "base"}


@case(
    clause=LOWER,
    level=Level.MUST,
    needs=UNPACKS,
    twin="unpack.image-is-unpacked",
    link=f"{LAYER}#opaque-whiteout",
    catalogue=("unpack-opaque-after-siblings",),
)
def test_opaque_whiteout_spares_its_own_layer(bench: Bench) -> None:
    """New files survive an opaque marker that comes after them.

    layer.md says so of any order; Docker before 1.9.1 lost them.
    """
    base = layer(text("d/a", "base"))
    top = layer(folder("d"), text("d/b", "top"), text("d/.wh..wh..opq"))
    root = must_unpack(bench, image_of(bench, base, top))
    assert tree(root) == {"d": "/", "d/b": "top"}


@case(
    clause=LOWER,
    level=Level.MUST,
    needs=UNPACKS,
    twin="unpack.image-is-unpacked",
    link=f"{LAYER}#opaque-whiteout",
    catalogue=("unpack-opaque-after-siblings",),
)
def test_opaque_whiteout_spares_a_folder_without_an_entry(bench: Bench) -> None:
    """New files survive, also in a folder that the layer does not name by itself.

    Archives need not name the folders of their files. containerd 1.5.18 removes
    ``d/new`` here, and all that is in it.
    """
    base = layer(text("d/a", "base"))
    top = layer(text("d/new/b", "top"), text("d/.wh..wh..opq"))
    root = must_unpack(bench, image_of(bench, base, top))
    assert tree(root) == {"d": "/", "d/new": "/", "d/new/b": "top"}


@case(
    clause=OPAQUE,
    level=Level.MUST,
    needs=UNPACKS,
    twin="unpack.image-is-unpacked",
    link="https://github.com/anchore/stereoscope/pull/696",
    catalogue=("unpack-opaque-prefix-name",),
)
def test_only_the_whole_name_is_an_opaque_whiteout(bench: Bench) -> None:
    """``.wh..wh..opqX`` is no opaque marker: the folder keeps what it has."""
    base = layer(text("d/a", "base"))
    top = layer(text("d/.wh..wh..opqX"))
    root = must_unpack(bench, image_of(bench, base, top))
    assert tree(root).get("d/a") == "base"


@case(
    clause="OCI image-spec v1.1.1 layer.md, Whiteouts: it is not possible to create "
    "a whiteout for an empty name; a whiteout prefix alone SHOULD be an error",
    level=Level.SHOULD,
    needs=UNPACKS,
    twin="unpack.image-is-unpacked",
    link=f"{LAYER}#whiteouts",
    catalogue=("unpack-whiteout-empty-name",),
)
def test_whiteout_of_no_name_is_rejected(bench: Bench) -> None:
    """``.wh.`` alone removes nothing that has a name: the layer is broken."""
    base, top = layer(text("d/a", "base")), layer(text("d/.wh."))
    must_not_unpack(bench, image_of(bench, base, top))


@case(
    clause="containerd v1.5.18 archive/tar.go:184; safety",
    level=Level.MUST,
    critical=True,
    needs=UNPACKS,
    twin="unpack.image-is-unpacked",
    catalogue=("unpack-whiteout-dotdot",),
)
def test_whiteout_of_the_parent_folder_removes_nothing(bench: Bench) -> None:
    """``.wh...`` means ``..``: a client that removes that removes too much."""
    base = layer(text("d/a", "base"), text("e", "base"))
    image = image_of(bench, base, layer(text("d/.wh...")))
    _, root = try_unpack(bench, image)
    if root is not None:
        found = tree(root)
        assert (found.get("d/a"), found.get("e")) == ("base", "base")


@case(
    clause=CHANGES,
    level=Level.MUST,
    needs=UNPACKS,
    twin="unpack.image-is-unpacked",
    link=f"{LAYER}#changeset-over-existing-files",
    catalogue=("unpack-type-change",),
)
def test_entry_of_another_type_takes_the_place(bench: Bench) -> None:
    """A folder becomes a file, a file a folder, a link a folder: what is new counts."""
    base = layer(
        *(text("was-folder/a"), text("was-file"), folder("elsewhere")),
        symlink("was-link", "elsewhere"),
    )
    top = layer(
        *(text("was-folder", "top"), folder("was-file"), text("was-file/b", "top")),
        *(folder("was-link"), text("was-link/c", "top")),
    )
    root = must_unpack(bench, image_of(bench, base, top))
    assert tree(root) == {
        "elsewhere": "/",
        "was-file": "/",
        "was-file/b": "top",
        "was-folder": "top",
        "was-link": "/",
        "was-link/c": "top",
    }


@case(
    clause=CHANGES,
    level=Level.MUST,
    needs=UNPACKS,
    twin="unpack.image-is-unpacked",
    link=f"{LAYER}#changeset-over-existing-files",
    catalogue=("unpack-type-change",),
)
def test_folder_over_a_folder_changes_its_mode_alone(bench: Bench) -> None:
    """A folder that a layer names again gets new attributes and keeps its files."""
    base = layer(folder("d", mode=0o755), text("d/a", "base"))
    root = must_unpack(bench, image_of(bench, base, layer(folder("d", mode=0o711))))
    assert tree(root) == {"d": "/", "d/a": "base"}
    assert stat.S_IMODE((root / "d").stat().st_mode) == 0o711


@case(
    clause="OCI image-spec v1.1.1 layer.md, Add/Modify: Layer archives MUST NOT "
    "include duplicate entries for file paths in the resulting tar archive.",
    level=Level.SHOULD,
    needs=UNPACKS,
    twin="unpack.image-is-unpacked",
    link=f"{LAYER}#representing-changes",
    catalogue=("unpack-duplicate-entries",),
)
def test_second_entry_of_a_name_wins(bench: Bench) -> None:
    """A name that comes twice in an archive is refused, or means the second one.

    So tar has always read archives that were appended to.
    """
    image = image_of(
        bench,
        layer(
            *(text("a", "first"), text("a", "second")),
            *(text("b", "first"), symlink("b", "a")),
        ),
    )
    pull, root = try_unpack(bench, image)
    if pull.ok:
        assert root is not None
        assert tree(root) == {"a": "second", "b": "-> a"}


@case(
    clause="OCI image-spec v1.1.1 layer.md, Hardlinks: Hardlinks are a POSIX concept "
    "for having one or more directory entries for the same file on the same device.",
    level=Level.MUST,
    needs=UNPACKS,
    twin="unpack.image-is-unpacked",
    link=f"{LAYER}#hardlinks",
)
def test_hard_links_are_one_file(bench: Bench) -> None:
    """Two names of one file are that in the root file system, and in layers above."""
    base = layer(text("a", "one"), hardlink("b", "a"))
    root = must_unpack(bench, image_of(bench, base, layer(text("c", "other"))))
    assert tree(root) == {"a": "one", "b": "one", "c": "other"}
    assert (root / "a").stat().st_ino == (root / "b").stat().st_ino


@case(
    clause="OCI image-spec v1.1.1 layer.md, File Types: named pipes",
    level=Level.SHOULD,
    needs=UNPACKS,
    twin="unpack.image-is-unpacked",
    link=f"{LAYER}#file-types",
    catalogue=("unpack-special-files",),
)
def test_named_pipe_is_made(bench: Bench) -> None:
    """A named pipe is a file like any other, and takes no privilege to make."""
    image = image_of(bench, layer(typed("pipe", tarfile.FIFOTYPE), text("a", "x")))
    assert tree(must_unpack(bench, image)) == {"a": "x", "pipe": "|"}


@case(
    clause="OCI image-spec v1.1.1 layer.md, File Types: character devices",
    level=Level.MAY,
    needs=UNPACKS,
    twin="unpack.image-is-unpacked",
    link=f"{LAYER}#file-types",
    catalogue=("unpack-special-files",),
)
def test_device(bench: Bench) -> None:
    """A device takes privileges: it is made, left out, or the image is refused."""
    pull, root = try_unpack(bench, image_of(bench, layer(device("null"))))
    if not pull.ok:
        bench.observe("refused")
        return
    assert root is not None, "success, but no root file system"
    bench.observe("made" if "null" in tree(root) else "left out")


@case(
    clause="POSIX pax Interchange Format: typeflag g, global extended header",
    level=Level.SHOULD,
    needs=UNPACKS,
    twin="unpack.image-is-unpacked",
    catalogue=("unpack-special-files",),
)
def test_global_header_is_no_file(bench: Bench) -> None:
    """``git archive`` writes a global header first; it has a name, and is no file.

    Nor does it replace one: a file of that name in a layer below stays.
    """
    comment, _ = typed("pax_global_header", tarfile.XGLTYPE)
    base = layer(text("pax_global_header", "base"))
    top = layer((comment, b"19 comment=0123456\n"), text("a", "x"))
    root = must_unpack(bench, image_of(bench, base, top))
    assert tree(root) == {"a": "x", "pax_global_header": "base"}


@case(
    clause="containerd v1.5.18 archive/tar.go:377",
    level=Level.REFERENCE,
    needs=UNPACKS,
    twin="unpack.image-is-unpacked",
    catalogue=("unpack-special-files",),
)
def test_entry_of_an_unknown_type_is_rejected(bench: Bench) -> None:
    """What an archive's entry is that nobody knows, nobody can unpack."""
    must_not_unpack(bench, image_of(bench, layer(typed("what", b"Z"))))
