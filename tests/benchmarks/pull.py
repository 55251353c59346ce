"""refpull against skopeo and ctr: the same images from the same registry.

skopeo pushes the images into a docker-registry; every round pulls into a store
that has never been used, and afterwards every blob is read back and hashed. ctr
only tells its daemon what to write, so that what the daemon takes counts, too.
"""

from __future__ import annotations

import contextlib
import hashlib
import sys
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from conformance.process import client_environment
from tests.benchmarks.harness import BenchError, Figure, Goal, Row, Sample, interleave
from tests.benchmarks.peers import (
    Server,
    containerd,
    docker_registry,
    fake_registry,
    push,
)
from tests.benchmarks.processes import cpu_of, measured, peak_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from tests.benchmarks.context import Context

__all__ = ["run"]

OURS: Final = "refpull"
SKOPEO: Final = "skopeo"
CTR: Final = "ctr"
_FLOOR: Final = "the peak of ctr is that of its daemon, or its own, whichever is higher"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """An image to pull."""

    name: str
    layers: int
    size: int
    goals: tuple[Goal, ...]

    @property
    def title(self) -> str:
        """The shape in words."""
        size = f"{self.size >> 20} MiB" if self.size >= 1 << 20 else f"{self.size} B"
        return f"pull: {self.layers} x {size}" if self.layers > 1 else f"pull: {size}"


def run(context: Context) -> None:
    """Measure pulls of every shape.

    Raises:
        BenchError: A client failed, or stored something else.
    """
    if not context.has("docker-registry", "skopeo"):
        raise BenchError("pull needs docker-registry and skopeo to pull from")
    shapes = _shapes(quick=context.quick)
    wanted = [f"{shape.name}={shape.layers}x{shape.size}" for shape in shapes]
    with docker_registry(context.place()) as server:
        with fake_registry(context.place(), wanted) as source:
            images = source.images
            for name in images:
                context.tell(f"{name} goes to docker-registry")
                with context.fresh() as folder:
                    push(source, server, name, folder)
        for shape in shapes:
            _measure(context, shape, server, images[shape.name])


def _shapes(*, quick: bool) -> tuple[Shape, ...]:
    small = 16 if quick else 1
    return (
        Shape(
            name="one-layer",
            layers=1,
            size=(256 << 20) // small,
            goals=(Goal(OURS, SKOPEO, most=0.5), Goal(OURS, CTR, most=0.25)),
        ),
        Shape(
            name="eight-layers",
            layers=8,
            size=(32 << 20) // small,
            goals=(Goal(OURS, SKOPEO, most=0.7),),
        ),
        Shape(
            name="many-layers",
            layers=200 // small,
            size=10_000,
            goals=(Goal(OURS, SKOPEO, most=0.8),),
        ),
    )


def _measure(
    context: Context, shape: Shape, server: Server, image: Mapping[str, Any]
) -> None:
    ref = f"{server.host}/library/{shape.name}:v1"
    blobs = {image["config"], *image["layers"]}
    contestants: dict[str, Callable[[Context, str, set[str]], Sample]] = {
        OURS: _refpull,
        SKOPEO: _skopeo,
    }
    if context.has("containerd", "ctr"):
        contestants[CTR] = _ctr
    took = interleave(
        {name: partial(one, context, ref, blobs) for name, one in contestants.items()},
        rounds=context.rounds,
        tell=lambda text: context.tell(f"{shape.title}: {text}"),
    )
    context.add(
        Figure(
            name=f"pull.{shape.name}",
            title=shape.title,
            unit="s",
            rows=[Row(name, took[name], peer=name != OURS) for name in contestants],
            goals=shape.goals,
            notes=(_FLOOR,) if CTR in contestants else (),
        )
    )


def _refpull(context: Context, ref: str, blobs: set[str]) -> Sample:
    with context.fresh() as folder:
        took = measured(
            [
                *(sys.executable, "-m", "refimpl", "--root", folder / "store"),
                *("pull", "--plain-http", ref),
            ],
            env=client_environment(folder),
        )
        _verify(folder / "store/content/blobs/sha256", blobs)
    return Sample(took.seconds, took.cpu, took.peak)


def _skopeo(context: Context, ref: str, blobs: set[str]) -> Sample:
    with context.fresh() as folder:
        took = measured(
            [
                *("skopeo", "--insecure-policy", "--tmpdir", folder),
                *("copy", "--quiet", "--src-tls-verify=false"),
                *(f"docker://{ref}", f"dir:{folder / 'image'}"),
            ],
            env=client_environment(folder),
        )
        _verify(folder / "image", blobs)
    return Sample(took.seconds, took.cpu, took.peak)


def _ctr(context: Context, ref: str, blobs: set[str]) -> Sample:
    with context.fresh() as folder, contextlib.ExitStack() as stack:
        daemon = stack.enter_context(containerd(folder / "c"))
        before = cpu_of(daemon.pid)
        took = measured(
            [
                *("ctr", "--address", daemon.socket, "--namespace", "bench"),
                *("content", "fetch", "--plain-http", ref),
            ],
            env=client_environment(folder),
        )
        cpu = took.cpu + cpu_of(daemon.pid) - before
        peak = max(took.peak, peak_of(daemon.pid))
        stack.close()
        _verify(daemon.content / "blobs/sha256", blobs)
    return Sample(took.seconds, cpu, peak)


def _verify(folder: Path, blobs: set[str]) -> None:
    """Hash what a client stored.

    Raises:
        BenchError: A blob is not there, or has other bytes.
    """
    for digest in blobs:
        encoded = digest.removeprefix("sha256:")
        if not (folder / encoded).is_file():
            raise BenchError(f"{digest} was not stored")
        with (folder / encoded).open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != encoded:
                raise BenchError(f"{digest} was stored with other bytes")
