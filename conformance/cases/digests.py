"""Digests of other kinds than SHA-256, and digests in headers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from conformance.case import Feature, Level, case
from conformance.cases._content import (
    DISTRIBUTION,
    IMAGE,
    assert_not_crashed,
    assert_nothing_false,
    layer_says,
    must_refuse,
)
from conformance.cases._wire import met

if TYPE_CHECKING:
    from conformance.bench import Bench


@case(
    clause="OCI image-spec v1.1.1 descriptor.md, Digests: Implementations SHOULD allow "
    "digests with unrecognized algorithms to pass validation; Verification: before "
    "consuming content, the byte content SHOULD be verified against the digest",
    level=Level.SHOULD,
    critical=True,
    twin="verify.layer-intact",
    link=f"{IMAGE}/descriptor.md#digests",
    catalogue=("verify-unknown-algorithm",),
)
def test_layer_named_by_an_unknown_algorithm_is_not_taken(bench: Bench) -> None:
    """``multihash+base58:Qm...`` is a digest, but nobody here can compute it.

    A descriptor may be carried along with such a name. Content that cannot be
    verified is not pulled.
    """
    (layer,) = (plain := bench.publish()).layers
    unknown = "multihash+base58:QmRZxt2b1FVZPNqd8hsiykDL3TdBDeTSPX9Kv46HmX4Gx8"
    data = plain.data[layer.digest]
    bench.registry.put_blob(plain.repository, data, digest=unknown)
    must_refuse(bench, bench.publish(edit_manifest=layer_says(digest=unknown)))


@case(
    clause="OCI distribution-spec v1.1.1, Pulling blobs: most clients MAY ignore the "
    "value of Docker-Content-Digest",
    level=Level.MAY,
    link=f"{DISTRIBUTION}#pulling-blobs",
    catalogue=("verify-docker-content-digest-on-blob-wrong",),
)
def test_wrong_digest_header_on_a_layer(bench: Bench) -> None:
    """The header names another digest, and the bytes are right: pulled or refused?"""
    image = bench.publish()
    header = {"Docker-Content-Digest": f"sha256:{'0' * 64}"}
    digest = image.layers[0].digest
    wrong = bench.registry.fault(method="GET", digest=digest, headers=header)
    pull = bench.pull(image)
    met(wrong)
    bench.observe("the header is not looked at" if pull.ok else "refused")


@case(
    clause="OCI image-spec v1.1.1 descriptor.md, SHA-512: Implementations MAY "
    "implement SHA-512 digest verification",
    level=Level.MAY,
    needs={Feature.DIGEST_REF},
    link=f"{IMAGE}/descriptor.md#sha-512",
    catalogue=("verify-sha512-reference",),
)
def test_image_asked_for_by_its_sha512(bench: Bench) -> None:
    """``name@sha512:...``: pulled, or refused with a word?"""
    pull = bench.pull(bench.publish(document_algorithm="sha512"), digest=True)
    assert_not_crashed(pull)
    assert_nothing_false(bench)
    bench.observe("pulled" if pull.ok else "refused")
