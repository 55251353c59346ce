"""The clients that pull: each into a store that was never used, then read back.

refpull  its command; several images: a program that uses the library
skopeo   copy into a folder; several images: sync, from a list
ctr      content fetch; only its daemon writes, so what the daemon takes counts
crane    pull into an OCI layout, with all layers side by side
podman   pull with the driver vfs, which needs nothing from the kernel
"""

from __future__ import annotations

import contextlib
import hashlib
import sys
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from conformance.process import client_environment
from conformance.stores import read_containers_storage
from tests.benchmarks.harness import BenchError, Sample
from tests.benchmarks.peers import containerd
from tests.benchmarks.processes import cpu_of, measured, peak_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from tests.benchmarks.context import Context

__all__ = [
    "CRANE",
    "CTR",
    "OURS",
    "PODMAN",
    "PROGRAMS",
    "SKOPEO",
    "Puller",
    "Wanted",
    "list_for_sync",
    "notes_on",
    "one_image",
    "several_images",
]

OURS: Final = "refpull"
SKOPEO: Final = "skopeo"
CTR: Final = "ctr"
CRANE: Final = "crane"
PODMAN: Final = "podman"
#: What may be missing.
PROGRAMS: Final = ("containerd", "ctr", "crane", "podman")
_NOTES: Final = {
    CTR: "the peak of ctr is that of its daemon, or its own, whichever is higher",
    PODMAN: "podman unpacks as it pulls and keeps no blobs: "
    "its records are checked, not the bytes",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is to be pulled.

    Attributes:
        images: Digests of manifests, by reference.
        blobs: Digests of all configs and layers.
    """

    images: Mapping[str, str]
    blobs: frozenset[str]

    @property
    def ref(self) -> str:
        """The first reference."""
        return next(iter(self.images))


class Puller(Protocol):
    """Pulls once and checks what was stored.

    Raises:
        BenchError: The client failed, or stored something else.
    """

    def __call__(self, context: Context, wanted: Wanted) -> Sample: ...


def one_image(context: Context) -> dict[str, Puller]:
    """Return those that are here and can pull an image."""
    pullers: dict[str, Puller] = {OURS: _refpull, SKOPEO: _skopeo}
    if context.has("containerd", "ctr"):
        pullers[CTR] = _ctr
    return _with_others(context, pullers)


def several_images(context: Context) -> dict[str, Puller]:
    """Return those that are here and can pull several images in one process."""
    return _with_others(context, {OURS: _library, SKOPEO: _skopeo_sync})


def _with_others(context: Context, pullers: dict[str, Puller]) -> dict[str, Puller]:
    if context.has("crane"):
        pullers[CRANE] = _crane
    if context.has("podman"):
        pullers[PODMAN] = _podman
    return pullers


def notes_on(names: Iterable[str]) -> tuple[str, ...]:
    """Return what must be known to read the figures of clients."""
    return tuple(_NOTES[name] for name in names if name in _NOTES)


def _refpull(context: Context, wanted: Wanted) -> Sample:
    def argv(folder: Path) -> list[str | Path]:
        return [
            *(sys.executable, "-m", "refimpl", "--root", folder / "store"),
            *("pull", "--plain-http", wanted.ref),
        ]

    return _measured(context, wanted, argv, "store/content/blobs/sha256/*")


def _library(context: Context, wanted: Wanted) -> Sample:
    def argv(folder: Path) -> list[str | Path]:
        refs = folder / "refs"
        refs.write_text("\n".join(wanted.images), encoding="utf-8")
        program = (sys.executable, "-m", "tests.benchmarks.library")
        return [*program, "pull", folder / "store", refs]

    return _measured(context, wanted, argv, "store/content/blobs/sha256/*")


def _skopeo(context: Context, wanted: Wanted) -> Sample:
    def argv(folder: Path) -> list[str | Path]:
        return [
            *("skopeo", "--insecure-policy", "--tmpdir", folder),
            *("copy", "--quiet", "--src-tls-verify=false"),
            *(f"docker://{wanted.ref}", f"dir:{folder / 'image'}"),
        ]

    return _measured(context, wanted, argv, "image/*")


def _skopeo_sync(context: Context, wanted: Wanted) -> Sample:
    def argv(folder: Path) -> list[str | Path]:
        images = folder / "images.yaml"
        images.write_text(list_for_sync(wanted.images), encoding="utf-8")
        return [
            *("skopeo", "--insecure-policy", "--tmpdir", folder),
            *("sync", "--src", "yaml", "--dest", "dir", images, folder / "synced"),
        ]

    return _measured(context, wanted, argv, "synced/*/*")


def list_for_sync(refs: Iterable[str]) -> str:
    """Return the YAML that names images for skopeo sync (skopeo-sync(1))."""
    hosts: dict[str, list[str]] = defaultdict(list)
    for ref in refs:
        host, _, name = ref.partition("/")
        repository, _, tag = name.rpartition(":")
        hosts[host].append(f'    "{repository}": ["{tag}"]\n')
    return "".join(
        f'"{host}":\n  tls-verify: false\n  images:\n{"".join(images)}'
        for host, images in hosts.items()
    )


def _crane(context: Context, wanted: Wanted) -> Sample:
    def argv(folder: Path) -> list[str | Path]:
        program = ("crane", "pull", "--insecure", "--format", "oci")
        return [*program, *wanted.images, folder / "layout"]

    return _measured(context, wanted, argv, "layout/blobs/sha256/*")


def _podman(context: Context, wanted: Wanted) -> Sample:
    with context.fresh() as folder:
        took = measured(
            [
                *("podman", "--root", folder / "store", "--runroot", folder / "run"),
                *("--storage-driver", "vfs"),
                *("pull", "--quiet", "--tls-verify=false", *wanted.images),
            ],
            env=client_environment(folder / "user"),
        )
        records = read_containers_storage(folder / "store")["images"]
    known = {record["name"]: record["target"]["digest"] for record in records}
    for ref, digest in wanted.images.items():
        if known.get(ref) != digest:
            raise BenchError(f"podman recorded {ref} as {known.get(ref)}")
    return Sample(took.seconds, took.cpu, took.peak)


def _ctr(context: Context, wanted: Wanted) -> Sample:
    with context.fresh() as folder, contextlib.ExitStack() as stack:
        daemon = stack.enter_context(containerd(folder / "c"))
        before = cpu_of(daemon.pid)
        took = measured(
            [
                *("ctr", "--address", daemon.socket, "--namespace", "bench"),
                *("content", "fetch", "--plain-http", wanted.ref),
            ],
            env=client_environment(folder),
        )
        cpu = took.cpu + cpu_of(daemon.pid) - before
        peak = max(took.peak, peak_of(daemon.pid))
        stack.close()
        _verify(daemon.content, "blobs/sha256/*", wanted.blobs)
    return Sample(took.seconds, cpu, peak)


def _measured(
    context: Context,
    wanted: Wanted,
    argv: Callable[[Path], list[str | Path]],
    blobs: str,
) -> Sample:
    """Run a command in a fresh folder, then read back what it left there.

    Args:
        context: Has the folder.
        wanted: What has to be there.
        argv: Makes the command, for the folder.
        blobs: A pattern for the blobs below it, each named by its digest.
    """
    with context.fresh() as folder:
        command = argv(folder)
        took = measured(command, env=client_environment(folder))
        _verify(folder, blobs, wanted.blobs)
    return Sample(took.seconds, took.cpu, took.peak)


def _verify(folder: Path, pattern: str, blobs: Iterable[str]) -> None:
    """Hash what a client stored.

    Raises:
        BenchError: A blob is not there, or has other bytes.
    """
    files = {file.name: file for file in folder.glob(pattern)}
    for digest in blobs:
        encoded = digest.removeprefix("sha256:")
        if encoded not in files:
            raise BenchError(f"{digest} was not stored")
        with files[encoded].open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != encoded:
                raise BenchError(f"{digest} was stored with other bytes")
