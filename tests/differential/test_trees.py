"""What is told of the files of a snapshot."""

import os

from tests.differential.trees import read_tree

OLD = 1_000_000_000


def test_files_links_and_times_are_told(tmp_path):
    file = tmp_path / "file"
    file.write_bytes(b"data")
    file.chmod(0o640)
    os.utime(file, (OLD, OLD))
    os.link(file, tmp_path / "other")
    (tmp_path / "link").symlink_to("file")
    tree = read_tree(tmp_path)
    assert set(tree) == {".", "file", "link", "other"}
    owner = f"{os.getuid()}:{os.getgid()}"
    assert tree["file"].startswith(f"-rw-r----- {owner} {OLD}000000000 ns 3a6eb079")
    assert tree["file"] == tree["other"]
    assert tree["file"].endswith("2 links")
    assert tree["link"].endswith("to file")


def test_what_was_made_just_now_has_no_time(tmp_path):
    assert read_tree(tmp_path)["."].split()[2] == "new"


def test_another_content_is_another_line(tmp_path):
    for name, data in (("a", b"1"), ("b", b"2")):
        (tmp_path / name).write_bytes(data)
        os.utime(tmp_path / name, (OLD, OLD))
    tree = read_tree(tmp_path)
    assert tree["a"] != tree["b"]


def test_a_pipe_is_a_pipe(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    assert read_tree(tmp_path)["pipe"].startswith("p")
