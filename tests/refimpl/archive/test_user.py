"""Layers without root's rights: owners and devices are skipped, nothing else (D48)."""

import os
import stat

import pytest

from refimpl.archive import options as options_module
from refimpl.archive import remove_all
from refimpl.archive.options import ApplyOptions, running_in_user_ns

OWNERS = "owners are not kept: that takes root"
DEVICES = "devices are not made: that takes root"


def mode_of(path):
    return stat.S_IMODE(path.lstat().st_mode)


@pytest.mark.slow
def test_a_user_gets_everything_but_owners_and_devices(
    apply_as_user, layer, entry, user_root
):
    capability = bytes.fromhex("0100000200040000" + 24 * "0").decode("latin-1")
    warnings = apply_as_user(
        layer(
            entry("d", "dir", mode=0o1775, uid=1, gid=2, mtime=5),
            entry("d/f", data=b"x", mode=0o4755, uid=3, mtime=6),
            entry("d/h", "link", link="d/f", mode=0o4755, uid=4, mtime=6),
            entry("d/l", "symlink", link="f", uid=5, mtime=7),
            entry("d/fifo", "fifo", mode=0o622, uid=6, mtime=8),
            entry("null", "char", device=(1, 3)),
            entry("sda", "block", device=(8, 0)),
            entry("zero", "link", link="/null"),
            entry("one", "link", link="zero"),
            entry("cap", pax={"SCHILY.xattr.security.capability": capability}),
        )
    )
    assert warnings[:2] == [OWNERS, DEVICES]
    assert [text.split(":")[0] for text in warnings[2:]] == [
        'ignored xattr "security.capability" and its like'
    ]
    d = user_root / "d"
    owner = user_root.stat().st_uid
    assert {path.lstat().st_uid for path in user_root.rglob("*")} == {owner}
    assert (mode_of(d), mode_of(d / "f"), mode_of(d / "fifo")) == (
        0o1775,
        0o4755,
        0o622,
    )
    assert (d / "h").samefile(d / "f")
    times = [path.lstat().st_mtime for path in (d, d / "f", d / "l", d / "fifo")]
    assert times == [5, 6, 7, 8]
    assert sorted(path.name for path in user_root.iterdir()) == ["cap", "d"]


@pytest.mark.slow
def test_folders_that_their_owner_may_not_enter(apply_as_user, layer, entry, user_root):
    """In one layer, and in the next one on top."""
    first = layer(
        entry("ro", "dir", mode=0o555, mtime=5),
        entry("ro/none", "dir", mode=0, mtime=6),
        entry("ro/none/f", data=b"x", mode=0),
        entry("ro/none/old", "dir", mode=0),
        entry("ro/none/old/sub/f"),
        entry("ro/gone", "dir", mode=0),
        entry("ro/gone/f"),
        entry("now", "dir", mode=0o500),
    )
    second = layer(
        "ro/none/new",
        "ro/none/old/.wh.sub",
        "ro/.wh.gone",
        entry("ro/link", "link", link="ro/none/f", mode=0o400),
        entry("now", "dir", mode=0o711),
        "now/x",
        entry("opaque", "dir", mode=0o400),
        "opaque/.wh..wh..opq",
    )
    apply_as_user(first, second)
    ro = user_root / "ro"
    assert mode_of(user_root / "opaque") == 0o400
    assert (mode_of(ro), mode_of(user_root / "now")) == (0o555, 0o711)
    if os.geteuid() != 0:
        ro.chmod(0o755)
    assert mode_of(ro / "none") == 0
    if os.geteuid() != 0:
        (ro / "none").chmod(0o755)
    assert sorted(path.name for path in ro.iterdir()) == ["link", "none"]
    assert sorted(p.name for p in (ro / "none").iterdir()) == ["f", "new", "old"]
    assert mode_of(ro / "none/f") == 0o400
    assert mode_of(ro / "none/old") == 0


def test_rights_that_are_not_used(apply, layer, entry, root, warnings):
    """The same in this process, whoever it is."""
    apply(
        layer(
            entry("d", "dir", mode=0o500),
            entry("d/s", "dir", mode=0o100),
            entry("d/f", uid=os.geteuid() + 1),
            entry("c", "char"),
            "d/s/x",
        ),
        layer(entry("d", "dir", mode=0o300), "d/.wh.s", "d/new", "d/.wh..wh..opq"),
        privileged=False,
    )
    assert warnings == [OWNERS, DEVICES]
    assert mode_of(root / "d") == 0o300
    (root / "d").chmod(0o700)
    assert [path.name for path in (root / "d").iterdir()] == ["new"]


def test_everything_can_be_removed_again(apply, layer, entry, root):
    apply(layer(entry("d/e", "dir", mode=0), entry("d", "dir", mode=0)))
    remove_all(root / "d")
    remove_all(root / "d")
    assert list(root.iterdir()) == []


def test_who_is_root_in_a_namespace_of_users_makes_no_devices(
    apply, layer, entry, warnings, monkeypatch
):
    """archive/tar_unix.go:87."""
    monkeypatch.setattr("refimpl.archive.attributes.running_in_user_ns", lambda: True)
    apply(layer(entry("c", "char"), "f"), privileged=True)
    apply(layer(entry("h", "link", link="f")), privileged=True)
    assert warnings == [DEVICES]


@pytest.mark.parametrize(
    ("text", "inside"),
    [
        ("         0          0 4294967295\n", False),
        ("         0       1000          1\n", True),
        ("0 0 1\n", True),
        ("0 1000 1\n1 100000 65536\n", True),
        ("", False),
    ],
)
def test_which_map_of_users_is_a_namespace(tmp_path, text, inside):
    path = tmp_path / "uid_map"
    path.write_text(text)
    assert running_in_user_ns(path) is inside
    assert running_in_user_ns(tmp_path / "missing") is False


def test_root_is_privileged_by_default():
    assert ApplyOptions().is_privileged() is (os.geteuid() == 0)
    assert ApplyOptions(privileged=True).is_privileged()
    assert options_module.ApplyOptions().max_size == 0
