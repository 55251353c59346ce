"""Whiteouts and opaque markers (image-spec layer.md; archive/tar.go:161)."""

import itertools
import os

import pytest

from refimpl.archive import tree
from refimpl.archive.errors import ErrInvalidArchive
from refimpl.errdefs import message


def test_a_whiteout_removes_what_is_below_and_leaves_no_marker(apply, layer, names):
    apply(layer("a/f", "a/g", "b/c/d", "e"))
    apply(layer("a/.wh.f", ".wh.b", ".wh.missing", "new/.wh.x"))
    assert names() == ["a", "a/g", "e", "new"]


def test_a_whiteout_removes_links_not_what_they_lead_to(apply, layer, entry, names):
    apply(
        layer("d/f", entry("l", "symlink", link="d"), entry("m", "symlink", link="x"))
    )
    apply(layer(".wh.l", ".wh.m"))
    assert names() == ["d", "d/f"]


@pytest.mark.parametrize("order", [0, 1])
def test_a_whiteout_spares_its_own_layer(apply, layer, root, names, order):
    """D42: MUST only apply to resources in lower layers."""
    apply(layer("a", "d/old", "d/sub/old", "e/old"))
    entries = [["a", "d/", "d/sub/new", "e"], [".wh.a", ".wh.d", ".wh.e"]]
    apply(layer(*itertools.chain(*entries[:: 1 if order else -1])))
    assert names() == ["a", "d", "d/sub", "d/sub/new", "e"]


def test_a_whiteout_of_what_came_and_went_in_its_layer(apply, layer, names):
    apply(layer("d/f", "d", "d/", "d/.wh.f", ".wh.d"))
    assert names() == ["d"]


@pytest.mark.parametrize("order", sorted(itertools.permutations(range(3))))
def test_an_opaque_marker_in_any_order(apply, layer, names, order):
    """D40: also where the folder of a new file has no entry of its own."""
    apply(layer("d/old", "d/sub/old", "d/gone/old", "other"))
    entries = ["d/new", "d/.wh..wh..opq", "d/sub/new"]
    apply(layer(*(entries[i] for i in order)))
    assert names() == ["d", "d/new", "d/sub", "d/sub/new", "other"]


def test_an_opaque_marker_of_the_root(apply, layer, names):
    apply(layer("a/b", "c"))
    apply(layer("a/new", ".wh..wh..opq"))
    assert names() == ["a", "a/new"]


def test_an_opaque_marker_behind_a_link_is_for_its_target(
    apply, layer, entry, names, root
):
    apply(layer("d/old", "e/old", entry("l", "symlink", link="d")))
    apply(layer("l/new", "l/.wh..wh..opq"))
    assert names() == ["d", "d/new", "e", "e/old", "l"]


def test_links_in_an_opaque_folder_are_removed_not_followed(apply, layer, entry, names):
    apply(layer("e/old", entry("d/l", "symlink", link="../e")))
    apply(layer("d/.wh..wh..opq"))
    assert names() == ["d", "e", "e/old"]


def test_markers_alone_keep_nothing(apply, layer, names):
    apply(layer("d/sub/old"))
    apply(layer("d/sub/.wh..wh..opq", "d/.wh..wh..opq"))
    assert names() == ["d"]


def test_an_opaque_marker_twice_or_within_another(apply, layer, names):
    apply(layer("d/old", "d/s/t/old"))
    marker = ".wh..wh..opq"
    apply(layer("d/s/t/x", f"d/{marker}", f"d/{marker}", "d/y", f"d/s/t/{marker}"))
    assert names() == ["d", "d/s", "d/s/t", "d/s/t/x", "d/y"]


def test_names_that_only_begin_like_the_marker(apply, layer, names):
    apply(layer("d/old", "d/.wh.old2"))
    apply(layer("d/.wh..wh..opqX", "d/.wh..wh.plnk"))
    assert names() == ["d", "d/old"]


@pytest.mark.parametrize("base", [".wh.", ".wh..", ".wh..."])
@pytest.mark.parametrize("folder", ["", "d/"])
def test_whiteouts_of_nothing_or_of_folders_above(apply, layer, names, folder, base):
    apply(layer("d/f"))
    with pytest.raises(ErrInvalidArchive) as caught:
        apply(layer(folder + base))
    assert message(caught.value) == (
        f'entry "{folder}{base}": invalid whiteout name: "{base}": invalid archive'
    )
    assert names() == ["d", "d/f"]


def test_the_times_of_a_folder_that_is_removed_again(apply, layer, entry, names):
    """D46: containerd fails here."""
    apply(layer(entry("a/b", "dir"), entry("a/b/c", "dir"), entry("a", data=b"")))
    assert names() == ["a"]


def deep(count):
    return ["/".join(["d"] * (i + 1)) for i in range(count)]


@pytest.mark.slow
def test_folders_nest_as_deep_as_paths_are_long(apply, layer, entry, root):
    """And all of them go again, with few files open at a time."""
    count = (4095 - len(str(root)) - 1) // 2
    apply(layer(*(entry(name, "dir") for name in deep(count))))
    with pytest.raises(OSError, match="File name too long"):
        apply(layer("/".join(["d"] * (count + 2)) + "/x"))
    apply(layer(".wh.d"))
    assert list(root.iterdir()) == []


@pytest.mark.parametrize("direction", [1, -1])
def test_nested_opaque_markers_list_each_folder_once(
    apply, layer, entry, monkeypatch, direction
):
    """D41: GHSA-rp3h-jf77-q9p4, time that grew with the square of their number."""
    listed: list[str] = []
    monkeypatch.setattr(tree, "os", Counting(listed))
    folders = [entry(name, "dir") for name in deep(60)]
    markers = [name + "/.wh..wh..opq" for name in deep(60)][::direction]
    apply(layer(*folders, *markers, *markers))
    assert len(listed) <= 60


class Counting:
    """The module os, which notes what folders are listed."""

    def __init__(self, listed):
        self._listed = listed

    def __getattr__(self, name):
        if name == "scandir":
            self._listed.append(name)
        return getattr(os, name)
