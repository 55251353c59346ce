"""How cases make layers entry by entry, and look at what became of them."""

from __future__ import annotations

import os
import stat
import tarfile
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from conformance.case import Feature, NotTestable
from conformance.cases._content import assert_nothing_false
from fakeregistry.layers import Compression, Layer, tar_layer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from conformance.bench import Bench, Pull
    from conformance.stored import StoredSnapshot
    from fakeregistry import Fault, Image

__all__ = [
    "LAYER",
    "UNPACKS",
    "Outside",
    "device",
    "folder",
    "hardlink",
    "image_of",
    "layer",
    "must_not_unpack",
    "must_unpack",
    "symlink",
    "text",
    "tree",
    "try_unpack",
    "typed",
    "upwards",
]

UNPACKS: Final = frozenset({Feature.UNPACK, Feature.SNAPSHOTS})
LAYER: Final = "https://github.com/opencontainers/image-spec/blob/v1.1.1/layer.md"

Entry = tuple[tarfile.TarInfo, bytes]
_CONTENT: Final = "precious"


def text(name: str, content: str = "", *, mode: int = 0o644) -> Entry:
    """Return an archive's entry for a file."""
    info, _ = typed(name, tarfile.REGTYPE, mode=mode)
    return info, content.encode()


def folder(name: str, *, mode: int = 0o755) -> Entry:
    """Return an archive's entry for a folder."""
    return typed(name, tarfile.DIRTYPE, mode=mode)


def symlink(name: str, target: str) -> Entry:
    """Return an archive's entry for a symbolic link."""
    return typed(name, tarfile.SYMTYPE, link=target, mode=0o777)


def hardlink(name: str, target: str, *, mode: int = 0o644) -> Entry:
    """Return an archive's entry for a hard link."""
    return typed(name, tarfile.LNKTYPE, link=target, mode=mode)


def device(name: str) -> Entry:
    """Return an archive's entry for what /dev/null is."""
    made = typed(name, tarfile.CHRTYPE, mode=0o666)
    made[0].devmajor, made[0].devminor = 1, 3
    return made


def typed(name: str, kind: bytes, *, link: str = "", mode: int = 0o644) -> Entry:
    """Return an archive's entry of any type, owned by whoever runs the suite."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode = kind, link, mode
    info.uid, info.gid = os.getuid(), os.getgid()
    return info, b""


def layer(*entries: Entry, compression: Compression = "gzip") -> Layer:
    """Make a layer of these entries, in this order."""
    return tar_layer(entries, compression=compression)


def image_of(
    bench: Bench,
    *layers: Layer,
    **knobs: Any,  # noqa: ANN401 - those of Registry.publish
) -> Image:
    """Publish an image of these layers, the base first."""
    return bench.publish(layers=list(layers), **knobs)


def upwards(path: Path) -> str:
    """Return a relative way to a path from wherever one is."""
    return "../" * 64 + str(path).lstrip("/")


def must_unpack(bench: Bench, what: Image) -> Path:
    """Let the client pull and unpack, and return the root file system."""
    bench.must_pull(what, unpack=True)
    found = _root_file_system(bench)
    if found is None:
        raise AssertionError("success, but no root file system")
    return found


def try_unpack(bench: Bench, what: Image) -> tuple[Pull, Path | None]:
    """Let the client pull what it may refuse; return the root file system, if any.

    It must have had the layers in its hands, or nothing was put to the test.
    """
    pull = bench.pull(what, unpack=True)
    _must_have_layers(bench, what, pull)
    return pull, _root_file_system(bench)


def must_not_unpack(bench: Bench, what: Image, *reached: Fault) -> Pull:
    """Hold that the client fails, and finishes no root file system.

    Snapshots of layers below the one that is wrong may stay, and so may a record of
    what was pulled: it is for the files that this is about.
    """
    pull = bench.pull(what, unpack=True)
    if not reached and not bench.registry.journal.requests(
        path="/manifests/*", status=200
    ):
        raise NotTestable(f"the client never asked for the manifest; {pull}")
    bench.must_reject(pull, *reached)
    assert_nothing_false(bench)
    count = len([s for s in _snapshots(bench) if s.kind in {"", "Committed"}])
    if count >= len(what.layers):
        raise AssertionError(f"the pull failed, yet {count} layers were unpacked")
    return pull


def _must_have_layers(bench: Bench, what: Image, pull: Pull) -> None:
    for wanted in what.layers:
        if not bench.registry.journal.requests(method="GET", digest=wanted.digest):
            raise NotTestable(f"the client never asked for {wanted.digest}; {pull}")


def _snapshots(bench: Bench) -> tuple[StoredSnapshot, ...]:
    found = bench.stored({"snapshots"}).snapshots
    if found is None:
        raise NotTestable("the adapter cannot tell what was unpacked")
    return found


def _root_file_system(bench: Bench) -> Path | None:
    snapshot = bench.stored({"snapshots"}).root_file_system()
    if snapshot is None:
        return None
    if snapshot.path is None or not snapshot.path.is_dir():
        raise NotTestable(f"the adapter cannot show the files of {snapshot.key}")
    return snapshot.path


def tree(root: Path) -> dict[str, str]:
    """Return what is in a root file system: the content of files, else the kind."""
    found = {}
    for path in sorted(root.rglob("*")):
        mode = path.lstat().st_mode
        if stat.S_ISREG(mode):
            said = path.read_text(errors="replace")
        elif stat.S_ISLNK(mode):
            said = f"-> {path.readlink()}"
        else:
            said = {stat.S_IFDIR: "/", stat.S_IFIFO: "|"}.get(stat.S_IFMT(mode), "?")
        found[str(path.relative_to(root))] = said
    return found


class Outside:
    """A folder of the machine that no image has any business with."""

    def __init__(self, bench: Bench) -> None:
        self.folder = bench.root.parent / "outside"
        self.folder.mkdir()
        self.file = self.folder / "file"
        self.file.write_text(_CONTENT)
        self.file.chmod(0o600)

    def assert_untouched(self, root: Path | None) -> None:
        """Hold that it is as it was, and that the image has nothing of it."""
        names = [path.name for path in self.folder.iterdir()]
        assert names == [self.file.name], f"written outside of the image: {names}"
        info = self.file.stat()
        assert self.file.read_text() == _CONTENT, "a file of the machine was changed"
        mode = stat.S_IMODE(info.st_mode)
        assert mode == 0o600, f"a file of the machine has mode {mode:o} now"
        assert info.st_nlink == 1, "a file of the machine was linked into the image"
        for path in _files(root) if root is not None else ():
            found = path.read_text(errors="replace")
            assert found != _CONTENT, "the image has a file of the machine"


def _files(root: Path) -> Iterator[Path]:
    """Yield the regular files that can be reached: a way may be too long."""
    for folder_, _, names in os.walk(root):
        for name in names:
            path = root / folder_ / name
            with suppress(OSError):
                if stat.S_ISREG(path.lstat().st_mode):
                    yield path
