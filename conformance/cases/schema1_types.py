"""Media types under which Docker's schema1 manifests come, and where they come from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from conformance.case import Feature, Level, case
from conformance.cases._content import must_refuse
from conformance.cases._schema1 import CONVERTED, FORMAT, OLD, publish
from fakeregistry.content import Entry

if TYPE_CHECKING:
    from conformance.bench import Bench


@case(
    clause="distribution v2.8.3 docs/spec/manifest-v2-1.md: The media type of schema 1 "
    "is application/vnd.docker.distribution.manifest.v1+json; application/json will "
    "also be accepted for schema 1",
    level=Level.MAY,
    needs=OLD,
    link=FORMAT,
    catalogue=("resolve-content-type-application-json",),
)
def test_image_served_as_plain_json(bench: Bench) -> None:
    """A registry of 2014 says ``application/json``: is it taken for what it is?"""
    image = publish(bench)
    headers = {"Content-Type": "application/json"}
    bench.registry.fault(path="/manifests/*", headers=headers)
    pull = bench.pull(image)
    asked = bench.registry.journal.requests(digest=image.layers[0].digest)
    known = pull.ok and bool(asked)
    bench.observe("pulled with its layers" if known else "not known for schema1")


@case(
    clause="containerd v1.5.18 remotes/docker/resolver.go:191",
    level=Level.REFERENCE,
    needs=CONVERTED,
    catalogue=("resolve-content-type-text-plain",),
)
def test_image_served_as_plain_text_is_pulled(bench: Bench) -> None:
    """``text/plain`` means schema1: Red Hat's registry had no other word for it."""
    image = publish(bench, layers=2)
    headers = {"Content-Type": "text/plain"}
    bench.registry.fault(path="/manifests/*", headers=headers)
    bench.must_pull(image)
    for layer in image.layers:
        found = bench.registry.journal.requests(method="GET", digest=layer.digest)
        assert found, "a layer was never asked for"


@case(
    clause="containerd v1.5.18 remotes/handlers.go:101",
    level=Level.REFERENCE,
    needs={*OLD, Feature.PLATFORM},
    twin="index.index-intact",
    catalogue=("index-schema1-child",),
)
def test_image_in_a_manifest_list_is_refused(bench: Bench) -> None:
    """A list may name schema1 images; containerd converts them as roots only."""
    old = publish(bench)
    entry = Entry(
        platform="linux/amd64",
        data=old.data[old.digest],
        media_type=old.descriptor.media_type,
    )
    image = bench.publish(format="docker", platforms=[entry])
    must_refuse(bench, image, platform="linux/amd64")
