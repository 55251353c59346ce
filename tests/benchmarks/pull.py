"""refpull against other clients: the same images from the same registry.

skopeo pushes the images into a docker-registry; every round pulls into a store
that has never been used, and afterwards every blob is read back and hashed.
pullers.py has the clients.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from tests.benchmarks.harness import BenchError, Figure, Goal, Row, interleave
from tests.benchmarks.peers import docker_registry, fake_registry, push, push_all
from tests.benchmarks.pullers import (
    CTR,
    OURS,
    PROGRAMS,
    SKOPEO,
    Wanted,
    list_for_sync,
    notes_on,
    one_image,
    several_images,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.benchmarks.context import Context
    from tests.benchmarks.peers import Server
    from tests.benchmarks.pullers import Puller

__all__ = ["run"]

_SMALL: Final = 10_000


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
    """Measure pulls of every shape, then of many images.

    Raises:
        BenchError: A client failed, or stored something else.
    """
    if not context.has("docker-registry", "skopeo"):
        raise BenchError("pull needs docker-registry and skopeo to pull from")
    with docker_registry(context.place()) as server:
        _one_by_one(context, server)
        _many(context, server)


def _one_by_one(context: Context, server: Server) -> None:
    shapes = _shapes(quick=context.quick)
    asked = [f"{shape.name}={shape.layers}x{shape.size}" for shape in shapes]
    with fake_registry(context.place(), asked) as source:
        images = source.images
        for name in images:
            context.tell(f"{name} goes to docker-registry")
            with context.fresh() as folder:
                push(source, server, name, folder)
    for shape in shapes:
        _measure(
            context,
            one_image(context),
            _wanted(server, {shape.name: images[shape.name]}),
            Figure(
                name=f"pull.{shape.name}",
                title=shape.title,
                unit="s",
                goals=shape.goals,
            ),
        )


def _many(context: Context, server: Server) -> None:
    """Pull many images in one process, as a mirror does."""
    count = 12 if context.quick else 200
    asked = [f"image-{number}=1x{_SMALL}" for number in range(count)]
    with fake_registry(context.place(), asked) as source:
        images = source.images
        context.tell(f"{count} images go to docker-registry")
        with context.fresh() as folder:
            refs = _wanted(source, images).images
            push_all(list_for_sync(refs), server, folder)
    order = "one image after the other"
    _measure(
        context,
        several_images(context),
        _wanted(server, images),
        Figure(
            name="pull.many-images",
            title=f"pull: {count} images of {_SMALL} B in one process",
            unit="s",
            goals=(Goal(OURS, SKOPEO, most=0.5),),
            notes=(f"skopeo is its sync; refpull is used as a library, {order}",),
        ),
    )


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
            size=_SMALL,
            goals=(Goal(OURS, SKOPEO, most=0.8),),
        ),
    )


def _wanted(server: Server, images: Mapping[str, Mapping[str, Any]]) -> Wanted:
    return Wanted(
        images={
            f"{server.host}/library/{name}:v1": image["digest"]
            for name, image in images.items()
        },
        blobs=frozenset(
            digest
            for image in images.values()
            for digest in (image["config"], *image["layers"])
        ),
    )


def _measure(
    context: Context, pullers: Mapping[str, Puller], wanted: Wanted, figure: Figure
) -> None:
    """Let all pull in turns, and complete a figure that has no rows yet."""
    took = interleave(
        {who: partial(puller, context, wanted) for who, puller in pullers.items()},
        rounds=context.rounds,
        tell=lambda text: context.tell(f"{figure.title}: {text}"),
    )
    notes = (*notes_on(pullers), *context.left_out(*PROGRAMS))
    rows = [Row(who, took[who], peer=who != OURS) for who in pullers]
    context.add(replace(figure, rows=rows, notes=(*figure.notes, *notes)))
