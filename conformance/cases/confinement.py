"""Whatever a layer says, its files stay in the image's root file system.

A registry, or whoever can push to it, writes the archive. Every one of these was a
way to write to, link to or change files of the machine that pulled. To confine an
entry to the root file system is right, and so is to refuse the layer; what counts is
that nothing outside was touched.
"""

from __future__ import annotations

import tarfile
from typing import TYPE_CHECKING, Final

from conformance.case import Level, case
from conformance.cases._rootfs import (
    UNPACKS,
    Outside,
    folder,
    hardlink,
    image_of,
    layer,
    must_not_unpack,
    symlink,
    text,
    try_unpack,
    typed,
    upwards,
)
from fakeregistry.image import digest_of
from fakeregistry.layers import Layer

if TYPE_CHECKING:
    from conformance.bench import Bench

NVD: Final = "https://nvd.nist.gov/vuln/detail"
# What 16 folders of 247 characters and a link in each make of a short path: one that
# is longer than PATH_MAX, where realpath gives up.
STEPS: Final = "abcdefghijklmnop"
LONG: Final = "d" * 247


@case(
    clause="CVE-2007-4559: names with .. in an archive; safety",
    level=Level.MUST,
    critical=True,
    needs=UNPACKS,
    twin="unpack.image-is-unpacked",
    link=f"{NVD}/CVE-2007-4559",
    catalogue=("unpack-dotdot-name",),
)
def test_name_with_dots_stays_inside(bench: Bench) -> None:
    """``../../x`` is not written two folders above the root file system."""
    outside = Outside(bench)
    name = f"{upwards(outside.folder)}/escaped"
    _, root = try_unpack(bench, image_of(bench, layer(text(name))))
    outside.assert_untouched(root)


@case(
    clause="CVE-2007-4559: absolute names in an archive; safety",
    level=Level.MUST,
    critical=True,
    needs=UNPACKS,
    twin="unpack.image-is-unpacked",
    link=f"{NVD}/CVE-2007-4559",
    catalogue=("unpack-dotdot-name",),
)
def test_absolute_name_stays_inside(bench: Bench) -> None:
    """``/etc/x`` is a file of the image, not of the machine."""
    outside = Outside(bench)
    name = f"{outside.folder}/escaped"
    _, root = try_unpack(bench, image_of(bench, layer(text(name))))
    outside.assert_untouched(root)


@case(
    clause="CVE-2018-15664 and its like: symbolic links are resolved in the root file "
    "system; safety",
    level=Level.MUST,
    critical=True,
    needs=UNPACKS,
    twin="unpack.image-is-unpacked",
    link=f"{NVD}/CVE-2018-15664",
    catalogue=("unpack-symlink-parent",),
)
def test_file_behind_a_link_stays_inside(bench: Bench) -> None:
    """``d`` is a link to a folder of the machine, and ``d/x`` a file in it."""
    outside = Outside(bench)
    made = layer(symlink("d", str(outside.folder)), text("d/escaped"))
    _, root = try_unpack(bench, image_of(bench, made))
    outside.assert_untouched(root)


@case(
    clause="CVE-2018-15664 and its like: symbolic links are resolved in the root file "
    "system; safety",
    level=Level.MUST,
    critical=True,
    needs=UNPACKS,
    twin="unpack.image-is-unpacked",
    link=f"{NVD}/CVE-2018-15664",
    catalogue=("unpack-symlink-parent",),
)
def test_file_behind_a_link_of_the_layer_below_stays_inside(bench: Bench) -> None:
    """The link is there already when the layer with the file comes."""
    outside = Outside(bench)
    below = layer(symlink("d", upwards(outside.folder)))
    image = image_of(bench, below, layer(text("d/escaped")))
    _, root = try_unpack(bench, image)
    outside.assert_untouched(root)


@case(
    clause="CVE-2025-47290: a folder is a link once another layer is applied; safety",
    level=Level.MUST,
    critical=True,
    needs=UNPACKS,
    twin="unpack.image-is-unpacked",
    link=f"{NVD}/CVE-2025-47290",
    catalogue=("unpack-parallel-toctou",),
)
def test_folder_that_becomes_a_link_leads_nowhere(bench: Bench) -> None:
    """One layer puts a link in a folder's place, the next one writes below it.

    containerd 2.1.0 unpacked layers side by side and took the old folder for the way.
    """
    outside = Outside(bench)
    image = image_of(
        bench,
        layer(folder("d"), text("d/a")),
        layer(symlink("d", str(outside.folder))),
        layer(text("d/escaped")),
    )
    _, root = try_unpack(bench, image)
    outside.assert_untouched(root)


@case(
    clause="GHSA-wwrx-w7c9-rf87 and its like: hard links are resolved in the root "
    "file system; safety",
    level=Level.MUST,
    critical=True,
    needs=UNPACKS,
    twin="unpack.image-is-unpacked",
    link="https://github.com/frostyard/nbc/issues/86",
    catalogue=("unpack-hardlink-escape",),
)
def test_hard_link_to_a_file_of_the_machine_is_not_made(bench: Bench) -> None:
    """A hard link out of the image would give it a file of the machine.

    To read, and to change.
    """
    outside = Outside(bench)
    made = layer(hardlink("link", upwards(outside.file), mode=0o600))
    _, root = try_unpack(bench, image_of(bench, made))
    outside.assert_untouched(root)


@case(
    clause="GHSA-wwrx-w7c9-rf87 and its like: hard links are resolved in the root "
    "file system; safety",
    level=Level.MUST,
    critical=True,
    needs=UNPACKS,
    twin="unpack.image-is-unpacked",
    link="https://github.com/frostyard/nbc/issues/86",
    catalogue=("unpack-hardlink-escape",),
)
def test_hard_link_through_a_link_is_not_made(bench: Bench) -> None:
    """The same, with a symbolic link on the way to the file."""
    outside = Outside(bench)
    way = symlink("d", str(outside.folder))
    made = layer(way, hardlink("link", f"d/{outside.file.name}", mode=0o600))
    _, root = try_unpack(bench, image_of(bench, made))
    outside.assert_untouched(root)


@case(
    clause="CVE-2021-32760: chmod follows a link; safety",
    level=Level.MUST,
    critical=True,
    needs=UNPACKS,
    twin="unpack.image-is-unpacked",
    link=f"{NVD}/CVE-2021-32760",
    catalogue=("unpack-chmod-through-symlink",),
)
def test_mode_of_a_file_of_the_machine_is_not_changed(bench: Bench) -> None:
    """A hard link to a symbolic link has a mode, which is not its target's."""
    outside = Outside(bench)
    made = layer(
        symlink("link", str(outside.file)), hardlink("other", "link", mode=0o4777)
    )
    _, root = try_unpack(bench, image_of(bench, made))
    outside.assert_untouched(root)


@case(
    clause="CVE-2021-29136: the root itself is an entry; safety",
    level=Level.MUST,
    critical=True,
    needs=UNPACKS,
    twin="unpack.image-is-unpacked",
    link=f"{NVD}/CVE-2021-29136",
    catalogue=("unpack-root-entry-symlink",),
)
def test_root_is_not_replaced_by_a_link(bench: Bench) -> None:
    """``.`` as a symbolic link would move the root file system elsewhere."""
    outside = Outside(bench)
    made = layer(symlink(".", str(outside.folder)), text("escaped"))
    _, root = try_unpack(bench, image_of(bench, made))
    outside.assert_untouched(root)


@case(
    clause="CVE-2025-4517, CVE-2025-4330: links whose real path is too long to be "
    "checked; safety",
    level=Level.MUST,
    critical=True,
    needs=UNPACKS,
    twin="unpack.image-is-unpacked",
    link="https://github.com/python/cpython/issues/135034",
    catalogue=("unpack-python-tarfile-filter-bypass",),
)
def test_way_that_is_too_long_to_be_checked_leads_nowhere(bench: Bench) -> None:
    """Links that together are longer than a path may be end a check, not an attack.

    Python's tarfile took what it could not resolve for safe, with every filter.
    """
    outside = Outside(bench)
    entries = []
    for number, step in enumerate(STEPS):
        above = "/".join([LONG] * number)
        entries += [folder(f"{above}/{LONG}"), symlink(f"{above}/{step}", LONG)]
    last = "/".join(STEPS) + "/" + "l" * 254
    entries += [
        symlink(last, "../" * len(STEPS)),
        symlink("escape", f"{last}/{upwards(outside.folder)}"),
        text("escape/escaped"),
    ]
    _, root = try_unpack(bench, image_of(bench, layer(*entries)))
    outside.assert_untouched(root)


@case(
    clause="CVE-2025-8194: a size below zero; safety",
    level=Level.MUST,
    needs=UNPACKS,
    twin="unpack.image-is-unpacked",
    link=f"{NVD}/CVE-2025-8194",
    catalogue=("unpack-tar-negative-offset",),
)
def test_size_below_zero_is_rejected(bench: Bench) -> None:
    """An entry of minus 1024 bytes would send a reader back to where it was.

    Python's tarfile read it again and again, for ever.
    """
    info, _ = typed("a", tarfile.REGTYPE)
    block = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    # Two's complement in base 256: the size, and then the checksum over all of it.
    block[124:136] = (-1024).to_bytes(12, "big", signed=True)
    block[148:156] = b" " * 8
    block[148:156] = f"{sum(block):06o}\0 ".encode()
    archive = bytes(block) * 3 + bytes(1024)
    wrong = Layer(data=archive, diff_id=digest_of(archive))
    kind = "application/vnd.oci.image.layer.v1.tar"
    must_not_unpack(bench, image_of(bench, wrong, layer_media_type=kind))
