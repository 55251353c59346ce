"""How users name images, and which names are errors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from conformance.case import Feature, Level, case
from conformance.cases._content import DISTRIBUTION
from conformance.cases._wire import assert_none
from fakeregistry.image import OCI_MANIFEST

if TYPE_CHECKING:
    from conformance.bench import Bench

PINNED: Final = {Feature.DIGEST_REF}
PULLING: Final = f"{DISTRIBUTION}#pulling-manifests"


@case(
    clause="containerd v1.5.18 remotes/docker/resolver.go:240, reference/reference.go",
    level=Level.REFERENCE,
    needs=PINNED,
    catalogue=("resolve-tag-and-digest",),
)
def test_digest_wins_over_the_tag_beside_it(bench: Bench) -> None:
    """``name:tag@digest`` means the digest; what the tag says is not even asked."""
    image = bench.publish("library/test:v1")
    bench.publish("library/test:v2", seed=1)
    bench.must_pull(f"{bench.registry.host}/library/test:v2@{image.digest}")
    asked = bench.registry.journal.requests(reference="v2")
    assert_none(asked, "the tag was asked for")


@case(
    clause="OCI distribution-spec v1.1.1, Pulling manifests: The <reference> MUST NOT "
    "be in any other format.",
    level=Level.MUST,
    needs=PINNED,
    twin="resolve.image-is-pulled-by-digest",
    link=PULLING,
    catalogue=("resolve-ref-invalid-digest",),
)
def test_digest_cut_short_in_a_reference_is_an_error(bench: Bench) -> None:
    """``name@sha256:abc`` is an error in what the user typed.

    It is not asked for: a registry that helps by guessing would choose the image.
    """
    image = bench.publish()
    short = image.digest[:15]
    bench.registry.put_manifest(
        image.repository,
        image.data[image.digest],
        media_type=OCI_MANIFEST,
        digest=short,
    )
    pull = bench.pull(f"{bench.registry.host}/{image.repository}@{short}")
    bench.must_reject(pull)
    asked = bench.registry.journal.requests(path="/manifests/*")
    assert_none(asked, "half a digest was asked for")


@case(
    clause="containerd v1.5.18 remotes/docker/resolver.go:227: object required",
    level=Level.REFERENCE,
    twin="verify.layer-intact",
    catalogue=("resolve-no-tag-no-digest",),
)
def test_reference_needs_a_tag_or_a_digest(bench: Bench) -> None:
    """Without either, nothing is asked: "latest" is not made up."""
    bench.publish("library/test:latest")
    bench.must_reject(bench.pull(f"{bench.registry.host}/library/test"))
    assert_none(tuple(bench.registry.journal), "something was asked for")


@case(
    clause="OCI distribution-spec v1.1.1, Pulling manifests: <reference>; RFC 3986 "
    "section 3.2.3: port",
    level=Level.MUST,
    twin="verify.layer-intact",
    link=PULLING,
    catalogue=("resolve-port-is-not-tag",),
)
def test_port_is_not_a_tag(bench: Bench) -> None:
    """In ``host:5000/name``, 5000 is where to connect and not what to pull.

    The last colon of a reference is not always that of a tag.
    """
    bench.publish("library/test:latest")
    pull = bench.pull(f"{bench.registry.host}/library/test")
    asked = bench.registry.journal.requests(reference="latest")
    assert asked or not pull.ok, "success without the image"
    bench.observe("pulls the tag latest" if pull.ok else "wants a tag")
    astray = bench.registry.journal.requests(reference=str(bench.registry.port))
    assert_none(astray, "the port was taken for a tag")
