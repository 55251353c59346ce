"""Nothing that a layer says leads out of the root, whatever else becomes of it."""

import contextlib
import os
import stat

import pytest

from refimpl.archive.errors import ErrTooManyLinks
from refimpl.errdefs import ContainerdError

SECRET = b"top secret"


@pytest.fixture
def outside(tmp_path, root):
    """What lies beside the root and must be the same afterwards."""
    folder = tmp_path / "outside"
    (folder / "etc").mkdir(parents=True)
    (folder / "etc/passwd").write_bytes(SECRET)
    (folder / "etc/passwd").chmod(0o600)
    (tmp_path / "root-evil").mkdir()
    (tmp_path / "root-evil/f").write_bytes(SECRET)
    return folder


def picture(folder):
    """Return all there is to know about a folder but access times."""
    found = {}
    for path in sorted(folder.rglob("*")):
        status = path.lstat()
        found[str(path)] = (
            status.st_mode,
            status.st_ino,
            status.st_nlink,
            status.st_uid,
            status.st_mtime_ns,
            status.st_ctime_ns,
            path.read_bytes() if stat.S_ISREG(status.st_mode) else None,
        )
    return found


@pytest.fixture
def attack(apply, layer, root, outside, tmp_path):
    """Apply layers that may fail, and see that nothing outside has changed."""

    def attack(*layers):
        evil = tmp_path / "root-evil"
        before = picture(outside), picture(evil)
        failure = None
        try:
            apply(*(layer(*entries) for entries in layers))
        except (ContainerdError, OSError) as err:
            failure = err
        assert (picture(outside), picture(evil)) == before
        known = {"root", "outside", "root-evil"}
        assert {path.name for path in tmp_path.iterdir()} == known
        assert root.is_dir()
        assert not root.is_symlink()
        for path in root.rglob("*"):
            if path.is_file() and not path.is_symlink():
                assert path.read_bytes() != SECRET
        return failure

    return attack


@pytest.mark.parametrize(
    "name",
    [
        "../x",
        "/x",
        "a/../../x",
        "../../../../../../x",
        "//x",
        "./../x",
        "a/b/../../../x",
    ],
)
@pytest.mark.parametrize("kind", ["file", "dir", "symlink", "fifo"])
def test_names_stay_below_the_root(attack, entry, root, name, kind):
    assert attack([entry(name, kind, link="y")]) is None
    assert os.path.lexists(root / "x")


def ways_out(outside):
    """Yield targets of symbolic links that lead out, were they followed."""
    yield str(outside)
    yield "../outside"
    yield "../" * 40 + str(outside)[1:]
    yield "/proc/self/root" + str(outside)
    yield "/proc/self/cwd/../.." + str(outside)


@pytest.mark.parametrize("way", range(5))
@pytest.mark.parametrize("layers", [1, 2], ids=["same layer", "next layer"])
def test_a_link_on_the_way_is_followed_within_the_root(
    attack, entry, outside, way, layers
):
    target = list(ways_out(outside))[way]
    link = entry("d", "symlink", link=target)
    rest = [
        entry("d/etc/x"),
        entry("d/etc/passwd", mode=0o4777, data=b"x"),
        entry("d/etc", "dir", mode=0o777, mtime=1),
        entry("d/new", "symlink", link="etc"),
        entry("d/fifo", "fifo"),
        entry("d/.wh.etc"),
        entry("d/.wh..wh..opq"),
    ]
    assert attack(*([[link, *rest]] if layers == 1 else [[link], rest])) is None


def test_where_a_link_on_the_way_leads_to(attack, entry, root, outside):
    link = entry("d", "symlink", link="/../../etc")
    assert attack([link, "d/passwd"]) is None
    assert (root / "etc/passwd").read_bytes() == b"d/passwd"


def test_a_link_in_the_place_of_a_file_is_replaced_not_followed(
    attack, entry, outside, root
):
    target = str(outside / "etc/passwd")
    links = [entry(name, "symlink", link=target) for name in "abcde"]
    links.append(entry("f", "symlink", link=str(outside)))
    over = [
        entry("a", data=b"x", mode=0o4777),
        entry("b", "link", link="a"),
        entry("c", "symlink", link="a"),
        entry("d", "fifo"),
        entry("f", "dir", mode=0o777),
        "f/x",
    ]
    assert attack([*links, *over], [".wh.e"]) is None
    assert (root / "a").read_bytes() == b"x"
    assert [path.name for path in (root / "f").iterdir()] == ["x"]
    assert not os.path.lexists(root / "e")


@pytest.mark.parametrize(
    "target",
    [
        "../outside/etc/passwd",
        "/{outside}/etc/passwd",
        "out/etc/passwd",
        "out/passwd",
        "../root-evil/f",
        "l/../../outside/etc/passwd",
        "loop/x",
    ],
)
def test_hard_links_to_elsewhere(attack, entry, outside, target):
    """The file is not there in the root, so all of them fail."""
    target = target.replace("{outside}", str(outside))
    failure = attack(
        [
            entry("out", "symlink", link=str(outside)),
            entry("loop", "symlink", link="loop"),
            entry("l/m/", "dir"),
            entry("h", "link", link=target, mode=0o4777),
            entry("h", data=b"overwritten"),
        ]
    )
    assert failure is not None


def test_a_hard_link_to_a_link_gets_no_attributes_through_it(attack, entry, outside):
    """CVE-2021-32760: its target keeps its mode, owner, times and attributes."""
    failure = attack(
        [
            entry("soft", "symlink", link=str(outside / "etc/passwd")),
            entry("hard", "link", link="soft", mode=0o4777, uid=0, mtime=5),
            entry("dir", "symlink", link=str(outside / "etc")),
            entry("hard2", "link", link="dir", mode=0o777, mtime=5),
        ]
    )
    assert failure is None


@pytest.mark.parametrize("name", [".", "/", "", "..", "./", "a/.."])
def test_the_root_is_not_replaced(attack, entry, outside, root, name):
    """CVE-2021-29136."""
    for kind in ("symlink", "file", "link", "fifo"):
        assert attack([entry(name, kind, link=str(outside)), "etc/x"]) is None
    assert (root / "etc/x").read_bytes() == b"etc/x"


def test_a_folder_that_becomes_a_link_and_a_folder_again(attack, entry, outside, root):
    """What was known of a folder does not outlive it."""
    out = str(outside)
    swaps = [
        "d/etc/1",
        entry("d", "symlink", link=out),
        "d/etc/2",
        entry("d", "dir"),
        "d/etc/3",
        ".wh.d",
        entry("d", "symlink", link="../../outside"),
        "d/etc/4",
        entry("d/etc", "symlink", link=out + "/etc"),
        "d/etc/passwd",
    ]
    assert attack(swaps) is None
    assert attack(swaps, swaps) is None
    assert not (root / "d/etc/1").exists()


def test_a_link_that_is_swapped_for_another(attack, entry, outside, root):
    entries = ["a/", "b/"]
    for target in ("a", "b", str(outside), "b"):
        entries += [entry("l", "symlink", link=target), f"l/{len(entries)}"]
    assert attack(entries) is None
    assert (root / "b/4").exists() == (root / "b/8").exists() is True


def test_the_times_of_a_folder_are_not_set_through_a_link(attack, entry, outside):
    out = str(outside)
    assert attack([entry("d", "dir", mtime=9), entry("d", "symlink", link=out)]) is None
    failure = attack([entry("d/e", "dir"), entry("d", "symlink", link=out)])
    assert failure is None


def test_long_chains_of_links(attack, entry, outside):
    """CVE-2025-4517: a path that is too long to be resolved is not trusted."""
    name = "d" * 200
    entries, path = [], ""
    for letter in "abcdefghijklmnop":
        entries.append(entry(path + name, "dir"))
        entries.append(entry(path + letter, "symlink", link=name))
        path += letter + "/"
    entries.append(entry(path + "l" * 200, "symlink", link="../" * 16))
    entries.append(entry("escape", "symlink", link=path + "l" * 200 + "/../../outside"))
    entries.append(entry("escape/etc/passwd", data=b"overwritten", mode=0o777))
    attack(entries)


def test_links_that_lead_in_circles(attack, entry):
    circle = [entry("a", "symlink", link="b"), entry("b", "symlink", link="a")]
    assert isinstance(attack([*circle, "a/x"]), ErrTooManyLinks)
    spiral = [entry("s", "symlink", link="s/s"), "s/x"]
    assert isinstance(attack(spiral), ErrTooManyLinks | OSError)


@pytest.mark.slow
def test_255_links_are_followed(attack, entry, root):
    chain = [entry(f"l{i}", "symlink", link=f"l{i + 1}") for i in range(256)]
    assert attack([entry("l256", "dir"), *chain, "l1/x"]) is None
    assert (root / "l256/x").exists()
    assert isinstance(attack([*chain, "l0/x"]), ErrTooManyLinks)


@pytest.mark.slow
def test_links_to_deep_folders_take_a_bounded_number_of_steps(attack, entry):
    deep = "/".join("d" * 300)
    links = [
        entry(f"{deep}/l{i}", "symlink", link=f"/{deep}/l{i + 1}") for i in range(60)
    ]
    assert isinstance(attack([*links, f"{deep}/l0/x"]), ErrTooManyLinks)


@pytest.mark.parametrize("name", ["a\0b", "../outside\0/x"])
def test_zero_bytes_in_names_end_or_spoil_them(attack, entry, name):
    with contextlib.suppress(ContainerdError):
        attack([entry("x", pax={"path": name})])
    attack([entry(name)])
    attack([entry("l", "symlink", link=name), "l/x"])
