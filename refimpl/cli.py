"""The words that ``refpull`` understands; what they do is in commands.py."""

from __future__ import annotations

import argparse
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from refimpl import commands

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Sequence

__all__ = ["parse_arguments"]


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line; how it goes right is behind ``--help``."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}; see {self.prog} --help\n")


def parse_arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Return the parsed command line; ``run`` is the command to await.

    Raises:
        SystemExit: with status 2, after one line that says what is wrong.
    """
    parser = _Parser(
        prog="refpull",
        description="Pull container images as containerd v1.5.18 does.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--root",
        type=_path,
        default=_default_root(),
        help="folder of the store (default: %(default)s)",
    )
    parser.add_argument(
        "--namespace", default="default", help="namespace in the store (%(default)s)"
    )
    verbs = parser.add_subparsers(metavar="COMMAND", required=True)
    _add_pull(verbs)
    _add_images(verbs)
    _add_content(verbs)
    _add_leases(verbs)
    _add_snapshots(verbs)
    _leaf(verbs, "gc", commands.collect_garbage, "remove what nothing refers to")
    _add_trace(verbs)
    args = parser.parse_args(argv)
    for text in _texts(args):
        if not _is_unicode(text):
            parser.error(f"{text!r}: these bytes are no UTF-8")
    return args


def _texts(args: argparse.Namespace) -> Iterator[str]:
    for value in vars(args).values():
        texts = value if isinstance(value, list) else [value]
        yield from (text for text in texts if isinstance(text, str))


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _path(text: str) -> Path:
    # Path("") would be the current folder: hardly what a script with an unset
    # variable means.
    if not text:
        raise argparse.ArgumentTypeError("a path has at least one character")
    return Path(text)


def _default_root() -> Path:
    base = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(base) / "refpull"


def _leaf(
    verbs: argparse._SubParsersAction[_Parser],
    name: str,
    run: Callable[[argparse.Namespace], Awaitable[None]],
    help_text: str,
) -> _Parser:
    parser = verbs.add_parser(
        name, help=help_text, description=help_text, allow_abbrev=False
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)
    return parser


def _group(
    verbs: argparse._SubParsersAction[_Parser], name: str, text: str
) -> argparse._SubParsersAction[_Parser]:
    parser = verbs.add_parser(name, help=text, description=text, allow_abbrev=False)
    return parser.add_subparsers(metavar="COMMAND", required=True)


def _add_pull(verbs: argparse._SubParsersAction[_Parser]) -> None:
    pull = _leaf(verbs, "pull", commands.pull, "pull an image")
    pull.add_argument("ref", metavar="REF", help="HOST/NAME:TAG or HOST/NAME@DIGEST")
    pull.add_argument(
        "--platform",
        action="append",
        default=[],
        metavar="P",
        help="as in linux/arm/v7 (default: this machine's)",
    )
    pull.add_argument(
        "--all-platforms", action="store_true", help="pull every platform"
    )
    pull.add_argument(
        "--all-metadata",
        action="store_true",
        help="keep manifests and configurations of all platforms",
    )
    pull.add_argument(
        "--max-concurrent-downloads",
        type=_count,
        default=0,
        metavar="N",
        help="at most N downloads at once (default: no limit)",
    )
    pull.add_argument(
        "--unpack", action="store_true", help="extract the layers into snapshots"
    )
    pull.add_argument(
        "--snapshotter", choices=["native"], help="which one unpacks (native)"
    )
    pull.add_argument(
        "--label", action="append", default=[], metavar="K=V", help="label the image"
    )
    pull.add_argument(
        "--no-schema1", action="store_true", help="refuse Docker schema1 images"
    )
    pull.add_argument(
        "--plain-http", action="store_true", help="http, for any registry"
    )
    pull.add_argument(
        "--ca", type=_path, metavar="FILE", help="trust these certificates (PEM)"
    )
    pull.add_argument(
        "--user", metavar="USER[:PASSWORD]", help="log in (asks for a missing password)"
    )
    pull.add_argument(
        "--hosts-dir",
        type=_path,
        metavar="DIR",
        help="mirrors and certificates: HOST/hosts.toml, as containerd reads it",
    )
    pull.add_argument(
        "--trace", type=_path, metavar="FILE", help="write down what the pull does"
    )


def _add_trace(verbs: argparse._SubParsersAction[_Parser]) -> None:
    trace = _leaf(verbs, "trace", commands.show_trace, "make a page of a pull's trace")
    trace.add_argument("file", type=_path, metavar="FILE", help="what --trace wrote")
    trace.add_argument(
        "--html", type=_path, metavar="OUT", required=True, help="the page to write"
    )


def _count(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,9}", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0 up")
    return int(text)


def _add_images(verbs: argparse._SubParsersAction[_Parser]) -> None:
    group = _group(verbs, "images", "image records")
    _leaf(group, "ls", commands.list_images, "list image records")
    remove = _leaf(group, "rm", commands.remove_image, "remove an image record")
    remove.add_argument("name", metavar="NAME")


def _add_content(verbs: argparse._SubParsersAction[_Parser]) -> None:
    group = _group(verbs, "content", "blobs")
    _leaf(group, "ls", commands.list_content, "list blobs")
    get = _leaf(group, "get", commands.get_content, "write a blob to standard output")
    get.add_argument("digest", metavar="DIGEST")
    _leaf(group, "active", commands.list_active, "list unfinished downloads")


def _add_leases(verbs: argparse._SubParsersAction[_Parser]) -> None:
    group = _group(verbs, "leases", "leases")
    _leaf(group, "ls", commands.list_leases, "list leases")
    remove = _leaf(group, "rm", commands.remove_lease, "remove a lease")
    remove.add_argument("id", metavar="ID")


def _add_snapshots(verbs: argparse._SubParsersAction[_Parser]) -> None:
    group = _group(verbs, "snapshots", "unpacked layers")
    _leaf(group, "ls", commands.list_snapshots, "list snapshots")
    mount_path = _leaf(
        group, "mount-path", commands.mount_path, "print the folder of a snapshot"
    )
    mount_path.add_argument("key", metavar="KEY")
