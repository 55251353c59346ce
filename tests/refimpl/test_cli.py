"""The command line: what it understands, and one line for what it does not."""

from pathlib import Path

import pytest

from refimpl import commands
from refimpl.cli import parse_arguments

PULL = ("pull", "example.com/a:1")


def misuse(capsys, *words):
    """Return the one line that is said about a command line that makes no sense."""
    with pytest.raises(SystemExit) as caught:
        parse_arguments(words)
    assert caught.value.code == 2
    said = capsys.readouterr()
    assert said.out == ""
    (line,) = said.err.splitlines()
    return line


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "required: COMMAND"),
        (("images",), "required: COMMAND"),
        (("nope",), "invalid choice: 'nope'"),
        (("pull",), "required: REF"),
        (("pull", "-x"), "required: REF"),
        ((*PULL, "more"), "unrecognized arguments: more"),
        ((*PULL, "--nope"), "unrecognized arguments: --nope"),
        ((*PULL, "--plat", "linux/amd64"), "unrecognized arguments: --plat"),
        ((*PULL, "--platform"), "--platform: expected one argument"),
        ((*PULL, "--snapshotter", "overlayfs"), "invalid choice: 'overlayfs'"),
        ((*PULL, "--json=yes"), "--json: ignored explicit argument 'yes'"),
        (("images", "rm"), "required: NAME"),
        (("content", "get"), "required: DIGEST"),
        (("leases", "rm"), "required: ID"),
        (("snapshots", "mount-path"), "required: KEY"),
        (("images", "ls", "--root", "x"), "unrecognized arguments: --root x"),
        (("--root", "", "gc"), "--root: a path has at least one character"),
        ((*PULL, "--ca", ""), "--ca: a path has at least one character"),
        (("images", "rm", "a\udcff"), r"'a\udcff': these bytes are no UTF-8"),
        ((*PULL, "--label", "a=\udcff"), r"'a=\udcff': these bytes are no UTF-8"),
    ],
)
def test_what_makes_no_sense_is_said_in_one_line(capsys, words, said):
    line = misuse(capsys, *words)
    assert line.startswith("refpull")
    assert said in line
    assert line.endswith("--help")


@pytest.mark.parametrize("count", ["-1", "", "x", "1.5", "1e3", "٣", "9" * 10, " 1"])
def test_a_number_of_downloads_is_a_whole_number(capsys, count):
    line = misuse(capsys, *PULL, f"--max-concurrent-downloads={count}")
    assert f"{count!r} is not a whole number from 0 up" in line


def test_options_of_a_pull():
    args = parse_arguments(
        [
            *("--root", "store", "--namespace", "ns", *PULL),
            *("--platform", "linux/arm/v7", "--platform", "linux/amd64"),
            *("--all-platforms", "--all-metadata", "--max-concurrent-downloads", "3"),
            *("--label", "a=b", "--label", "c=d", "--no-schema1", "--plain-http"),
            *("--ca", "ca.pem", "--user", "u:p", "--json"),
        ]
    )
    assert (args.run, args.ref) == (commands.pull, "example.com/a:1")
    assert (args.root, args.namespace) == (Path("store"), "ns")
    assert args.platform == ["linux/arm/v7", "linux/amd64"]
    assert (args.all_platforms, args.all_metadata, args.json) == (True, True, True)
    assert args.max_concurrent_downloads == 3
    assert args.label == ["a=b", "c=d"]
    assert (args.no_schema1, args.plain_http) == (True, True)
    assert (args.ca, args.user) == (Path("ca.pem"), "u:p")


def test_a_pull_without_options():
    args = parse_arguments(PULL)
    assert (args.namespace, args.platform, args.label) == ("default", [], [])
    assert args.max_concurrent_downloads == 0
    off = ("all_platforms", "all_metadata", "unpack", "no_schema1", "plain_http")
    assert not any(getattr(args, name) for name in (*off, "json", "ca", "user"))


def test_options_that_are_given_twice_do_not_add_up_between_calls():
    parse_arguments([*PULL, "--label", "a=b"])
    assert parse_arguments(PULL).label == []


@pytest.mark.parametrize(
    ("words", "run"),
    [
        ("images ls", commands.list_images),
        ("images rm NAME", commands.remove_image),
        ("content ls", commands.list_content),
        ("content get DIGEST", commands.get_content),
        ("content active", commands.list_active),
        ("leases ls", commands.list_leases),
        ("leases rm ID", commands.remove_lease),
        ("snapshots ls", commands.list_snapshots),
        ("snapshots mount-path KEY", commands.mount_path),
        ("gc", commands.collect_garbage),
    ],
)
def test_every_command_takes_json(words, run):
    args = parse_arguments([*words.split(), "--json"])
    assert (args.run, args.json) == (run, True)


def test_the_default_root_is_the_users_own(monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", "/data")
    assert parse_arguments(["gc"]).root == Path("/data/refpull")
    monkeypatch.setenv("XDG_DATA_HOME", "")
    monkeypatch.setenv("HOME", "/home/somebody")
    assert parse_arguments(["gc"]).root == Path("/home/somebody/.local/share/refpull")


def test_a_root_need_not_be_unicode():
    """File names are bytes: what is there may be used."""
    assert parse_arguments(["--root", "a\udcff", "gc"]).root == Path("a\udcff")


@pytest.mark.parametrize("words", [(), ("pull",), ("images",), ("content", "get")])
def test_help_is_no_misuse(capsys, words):
    with pytest.raises(SystemExit) as caught:
        parse_arguments([*words, "--help"])
    assert caught.value.code == 0
    assert capsys.readouterr().out.startswith("usage: refpull")
