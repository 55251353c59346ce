"""Layers as blobs: which are fetched, from where, and how often."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from conformance.case import Feature, Level, case
from conformance.cases._content import IMAGE
from conformance.cases._wire import assert_none
from fakeregistry.image import OCI_FOREIGN_LAYER
from fakeregistry.layers import seeded_layer

if TYPE_CHECKING:
    from conformance.bench import Bench

CONTENT: Final = {Feature.CONTENT}


@case(
    clause="OCI image-spec v1.1.1 layer.md, Non-Distributable Layers: such a media "
    "type SHOULD NOT affect whether an implementation downloads the layer",
    level=Level.SHOULD,
    link=f"{IMAGE}/layer.md#non-distributable-layers",
    catalogue=("layers-nondistributable-downloaded",),
)
def test_layer_that_is_not_distributable_is_pulled(bench: Bench) -> None:
    """A layer of the type for what may not be passed on is in the registry: pull it.

    The type speaks to those who push.
    """
    image = bench.publish(layers=2, layer_media_type=f"{OCI_FOREIGN_LAYER}+gzip")
    bench.must_pull(image)
    for layer in image.layers:
        assert bench.registry.journal.requests(method="GET", digest=layer.digest)


@case(
    clause="containerd v1.5.18 remotes/handlers.go:110",
    level=Level.REFERENCE,
    needs=CONTENT,
    catalogue=("layers-already-present",),
)
def test_layer_of_another_image_is_not_fetched_again(bench: Bench) -> None:
    """Two images on the same base: the second pull brings its own layer only."""
    base, top = (seeded_layer(name, size=2000, compression="gzip") for name in "ab")
    first = bench.publish("library/test:v1", layers=[base])
    second = bench.publish("library/test:v2", layers=[base, top])
    bench.must_pull(first)
    bench.registry.journal.clear()
    bench.must_pull(second)
    shared, own = second.layers
    assert bench.registry.journal.requests(method="GET", digest=own.digest)
    again = bench.registry.journal.requests(method="GET", digest=shared.digest)
    assert_none(again, "the layer was there already")
    assert bench.stored({"content"}).intact(shared.digest)


@case(
    clause="OCI image-spec v1.1.1 manifest.md, layers: array of objects",
    level=Level.SHOULD,
    link=f"{IMAGE}/manifest.md",
    catalogue=("layers-130",),
)
def test_image_of_130_layers_is_pulled(bench: Bench) -> None:
    """No specification sets a limit: 130 small layers are 130 blobs.

    A limit of 127 comes from file systems that stack layers. It is none of pulling.
    Who keeps a copy of all files for each layer may take its time.
    """
    image = bench.publish(layers=130, layer_size=1)
    bench.must_pull(image, deadline=300)
    asked = {e.reference for e in bench.registry.journal.requests(path="/blobs/*")}
    missing = [layer.digest for layer in image.layers if layer.digest not in asked]
    assert not missing, f"{len(missing)} layers were never asked for"
