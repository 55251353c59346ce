"""The same layers through GNU tar and umoci, and the same trees out of them."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

SAME = {
    "mode": 0o6755,
    "uid": 3,
    "gid": 4,
    "pax": {"mtime": "1234567890.123456789"},
}

WAYS = [
    (form, *sparse)
    for form in ("gnu", "pax", "0.0", "0.1", "1.0")
    for sparse in ((), ("-S",))
]


def needs(program):
    return pytest.mark.skipif(
        shutil.which(program) is None, reason=f"{program} is not installed"
    )


as_root = pytest.mark.skipif(os.geteuid() != 0, reason="owners and devices take root")


def run(*command, **options):
    return subprocess.run(
        command, check=True, capture_output=True, timeout=60, **options
    ).stdout


@needs("tar")
@pytest.mark.slow
@pytest.mark.parametrize("options", WAYS, ids=" ".join)
def test_gnu_tar_writes_it_and_the_tree_is_the_same(
    apply, describe, source, root, options
):
    form, *sparse = options
    kind = ["--format=gnu"] if form == "gnu" else ["--format=posix"]
    if "." in form:
        kind.append(f"--sparse-version={form}")
    command = ["tar", "-C", str(source), *kind, *sparse, "-cf-", "."]
    apply(run(*command))
    expected, found = describe(source), describe(root)
    if form == "gnu":  # has whole seconds only
        expected, found = (
            {name: (*row[:3], row[3] // 10**9, *row[4:]) for name, row in tree.items()}
            for tree in (expected, found)
        )
    assert found == expected
    if sparse:
        assert (root / "sparse").stat().st_blocks * 512 < 1 << 20


@needs("tar")
@pytest.mark.slow
def test_gnu_tar_and_we_extract_the_same(apply, describe, layer, entry, root):
    pax = {"mtime": "1600000000.123456789"}
    data = layer(
        entry("d", "dir", mode=0o2750, pax=pax),
        entry("d/f", data=b"x" * 700, mode=0o4511, pax=pax),
        entry("d/h", "link", link="d/f", mode=0o4511, pax=pax),
        entry("d/l", "symlink", link="../d/f", pax=pax),
        entry("p/q/fifo", "fifo", pax=pax),
        entry("p/q", "dir", pax=pax),
        entry("p", "dir", pax=pax),
    )
    apply(data)
    other = root.parent / "other"
    other.mkdir()
    run("tar", "--xattrs", "-C", str(other), "-xpf-", input=data)
    assert describe(root) == describe(other)


@pytest.mark.clients
@pytest.mark.slow
@as_root
@needs("umoci")
def test_umoci_and_we_unpack_the_same_layers(
    apply, describe_settled, layer, entry, source
):
    tmp_path = source.parent
    base = run("tar", "-C", str(source), "--format=posix", "-cf-", ".")
    pax = {"SCHILY.xattr.user.key": "value"} if has_xattrs(tmp_path) else {}
    layers = [
        base,
        layer(
            "dir/.wh.file",
            entry("dir", "dir", mode=0o700, uid=9, pax=pax),
            entry("dir/new", data=b"new", uid=7, gid=8, pax=pax),
            # As in the layer below: umoci leaves the attributes of links alone.
            entry("hard2", "link", link="hard", **SAME),
            entry("soft", "dir", mode=0o751),
            "soft/inside",
        ),
        layer("soft/.wh..wh..opq", "soft/only", ".wh.caf\udce9", ".wh.fifo"),
    ]
    apply(*layers)
    layout = tmp_path / "layout"
    run("umoci", "init", "--layout", str(layout))
    run("umoci", "new", "--image", f"{layout}:image")
    for number, data in enumerate(layers):
        path = tmp_path / f"{number}.tar"
        path.write_bytes(data)
        run("umoci", "raw", "add-layer", "--image", f"{layout}:image", str(path))
    run("umoci", "raw", "unpack", "--image", f"{layout}:image", str(tmp_path / "out"))
    assert describe_settled(tmp_path / "root") == describe_settled(tmp_path / "out")


def has_xattrs(folder: Path) -> bool:
    try:
        os.setxattr(folder, "user.probe", b"")
    except OSError:
        return False
    return True
