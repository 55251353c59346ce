"""Unpacking what is already there: inflate, verify the diff ID, extract.

One layer of many files (trees.py) is in the store of each before the clock starts;
afterwards all files are read back. What is written lies in memory where there is
room: ext4 takes five times as long to make thousands of files just after as many
were removed, and every contestant follows another.

    refpull    a program that uses the library (library.py), start included
    ctr        snapshots unpack with the native snapshotter, which copies as ours does
    umoci      unpack, and raw unpack, which leaves out umoci's list of the files
    GNU tar    tar -xzf, which verifies nothing
"""

from __future__ import annotations

import contextlib
import os
import sys
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final, Protocol

from conformance.process import client_environment
from fakeregistry import Registry
from tests.benchmarks import trees
from tests.benchmarks.harness import (
    BenchError,
    Figure,
    Goal,
    Row,
    Sample,
    interleave,
)
from tests.benchmarks.machine import file_system
from tests.benchmarks.peers import containerd
from tests.benchmarks.processes import Took, cpu_of, measured, peak_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tests.benchmarks.context import Context

__all__ = ["run"]

OURS: Final = "refpull"
CTR: Final = "ctr"
UMOCI: Final = "umoci"
UMOCI_RAW: Final = "umoci raw"
TAR: Final = "GNU tar"
_NAME: Final = "library/tree"
#: How often the size of the layer has to fit where stores lie.
_ROOM: Final = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What is to be unpacked.

    Attributes:
        ref: Where it can be pulled from, before the clock.
        digest: Of the manifest.
        layout: An OCI layout that has it.
        blob: The layer, as a file.
        tree: What has to come out.
    """

    ref: str
    digest: str
    layout: Path
    blob: Path
    tree: trees.Tree


class Unpacker(Protocol):
    """Unpacks once and checks what came out.

    Raises:
        BenchError: The client failed, or made something else.
    """

    def __call__(self, context: Context, subject: Subject) -> Sample: ...


def run(context: Context) -> None:
    """Measure unpacking.

    Raises:
        BenchError: A client failed, or made something else.
    """
    files, size = (300, 8 << 20) if context.quick else (10_000, 256 << 20)
    context.tell("unpack: making the layer")
    layer = trees.make(files=files, size=size)
    with (
        context.roomy(_ROOM * size) as there,
        there.fresh() as folder,
        Registry(storage=folder) as registry,
    ):
        image = registry.publish(f"{_NAME}:v1", layers=[layer])
        layout = folder / _NAME
        blob = layout / "blobs" / image.layers[0].digest.replace(":", "/")
        subject = Subject(
            ref=f"127.0.0.1:{registry.port}/{_NAME}:v1",
            digest=image.digest,
            layout=layout,
            blob=blob,
            tree=_expected(there, blob),
        )
        _measure(context, there, subject, f"{size >> 20} MiB in {files} files")


def _measure(context: Context, there: Context, subject: Subject, what: str) -> None:
    unpackers = _unpackers(context)
    title = f"unpack: {what}, {subject.blob.stat().st_size >> 20} MiB compressed"
    took = interleave(
        {name: partial(one, there, subject) for name, one in unpackers.items()},
        rounds=context.rounds,
        tell=lambda text: context.tell(f"{title}: {text}"),
    )
    context.add(
        Figure(
            name="unpack.one-layer",
            title=title,
            unit="s",
            rows=[Row(name, took[name], peer=name != OURS) for name in unpackers],
            goals=(
                Goal(OURS, CTR, most=0.4),
                Goal(OURS, UMOCI, most=0.6),
                Goal(OURS, UMOCI_RAW, most=0.6),
            ),
            notes=(
                f"stores on {file_system(there.root)} ({there.root.parent})",
                "umoci raw does not list and hash the files afterwards; "
                "GNU tar verifies nothing",
                *context.left_out("containerd", "ctr", "umoci", "tar"),
            ),
        )
    )


def _unpackers(context: Context) -> dict[str, Unpacker]:
    unpackers: dict[str, Unpacker] = {OURS: _refpull}
    if context.has("containerd", "ctr"):
        unpackers[CTR] = _ctr
    if context.has("umoci"):
        unpackers[UMOCI] = _umoci
        unpackers[UMOCI_RAW] = _umoci_raw
    if context.has("tar"):
        unpackers[TAR] = _tar
    return unpackers


def _expected(context: Context, blob: Path) -> trees.Tree:
    """Let the standard library say what is in the layer."""
    with context.fresh() as folder:
        trees.extract(blob, folder)
        return trees.read(folder)


def _refpull(context: Context, subject: Subject) -> Sample:
    with context.fresh() as folder:
        store, env = folder / "store", client_environment(folder)
        measured(
            [
                *(sys.executable, "-m", "refimpl", "--root", store),
                *("pull", "--plain-http", subject.ref),
            ],
            env=env,
        )
        program = (sys.executable, "-m", "tests.benchmarks.library")
        took = measured([*program, "unpack", store, subject.ref], env=env)
        _verify(OURS, store / "snapshots/native/snapshots", subject)
    return _sample(took)


def _ctr(context: Context, subject: Subject) -> Sample:
    with context.fresh() as folder, contextlib.ExitStack() as stack:
        daemon = stack.enter_context(containerd(folder / "c"))
        env = client_environment(folder)
        ctr = ("ctr", "--address", daemon.socket, "--namespace", "bench")
        measured([*ctr, "content", "fetch", "--plain-http", subject.ref], env=env)
        before = cpu_of(daemon.pid)
        unpack = ("snapshots", "unpack", "--snapshotter", "native", subject.digest)
        took = measured([*ctr, *unpack], env=env)
        cpu = took.cpu + cpu_of(daemon.pid) - before
        peak = max(took.peak, peak_of(daemon.pid))
        stack.close()
        plugins = daemon.content.parent
        _verify(CTR, plugins / "io.containerd.snapshotter.v1.native/snapshots", subject)
    return Sample(took.seconds, cpu, peak)


def _umoci(context: Context, subject: Subject) -> Sample:
    argv = ["umoci", "unpack", *_user(), "--image", f"{subject.layout}:v1"]
    with context.fresh() as folder:
        bundle = folder / "out"
        took = measured([*argv, bundle], env=client_environment(folder))
        _check(UMOCI, bundle / "rootfs", subject)
    return _sample(took)


def _umoci_raw(context: Context, subject: Subject) -> Sample:
    argv = ["umoci", "raw", "unpack", *_user(), "--image", f"{subject.layout}:v1"]
    with context.fresh() as folder:
        took = measured([*argv, folder / "out"], env=client_environment(folder))
        _check(UMOCI_RAW, folder / "out", subject)
    return _sample(took)


def _user() -> Sequence[str]:
    return () if os.geteuid() == 0 else ("--rootless",)


def _tar(context: Context, subject: Subject) -> Sample:
    with context.fresh() as folder:
        (folder / "out").mkdir()
        env = client_environment(folder)
        took = measured(["tar", "-xzf", subject.blob, "-C", folder / "out"], env=env)
        _check(TAR, folder / "out", subject)
    return _sample(took)


def _sample(took: Took) -> Sample:
    return Sample(took.seconds, took.cpu, took.peak)


def _verify(name: str, snapshots: Path, subject: Subject) -> None:
    """Find the one snapshot of the one layer, and check it."""
    folders = list(snapshots.iterdir())
    if len(folders) != 1:
        raise BenchError(f"{name} made {len(folders)} snapshots of one layer")
    _check(name, folders[0], subject)


def _check(name: str, folder: Path, subject: Subject) -> None:
    found = trees.read(folder)
    if found != subject.tree:
        raise BenchError(f"{name} made {found}, not {subject.tree}")
