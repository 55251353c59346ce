"""Content is what its digest says, or it is not kept.

Both OCI specifications let a client choose whether to verify (SHOULD), yet a
digest that nobody checks protects nothing: those cases are critical. So is the
form of a digest, which becomes part of a URL and of a file's name.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Final

from conformance.case import Feature, Level, case, not_testable
from conformance.cases._content import (
    DISTRIBUTION,
    IMAGE,
    assert_not_astray,
    assert_nothing_false,
    layer_says,
    must_refuse,
)
from conformance.cases._wire import assert_none

if TYPE_CHECKING:
    from conformance.bench import Bench
    from conformance.cases._content import Document

# A text in documents that can lose a bit without any parser noticing it.
NOTE: Final = {"org.opencontainers.image.description": "intact"}
VERIFIED: Final = (
    "OCI image-spec v1.1.1 descriptor.md, Verification: before consuming content "
    "from untrusted sources, the byte content SHOULD be verified against the digest"
)
SIZE: Final = (
    "OCI image-spec v1.1.1 descriptor.md, size: If the length of the retrieved "
    "content does not match the specified length, the content SHOULD NOT be trusted."
)
HEX: Final = (
    "OCI image-spec v1.1.1 descriptor.md, SHA-256: the encoded portion MUST match "
    "/[a-f0-9]{64}/. Note that [A-F] MUST NOT be used here."
)


@case(
    clause="OCI distribution-spec v1.1.1, Pull: The process of pulling an object "
    "centers around retrieving two components: the manifest and one or more blobs.",
    level=Level.MUST,
    link="https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#pull",
)
def test_layer_intact(bench: Bench) -> None:
    """An image whose every document and blob is intact is pulled.

    The least that can be asked, and the twin of the cases that break one byte of
    it: only a client that succeeds here says anything by failing there.
    """
    image = bench.publish(layers=2)
    bench.must_pull(image)
    journal = bench.registry.journal
    for layer in image.layers:
        asked = journal.requests(method="GET", path=f"/blobs/{layer.digest}")
        assert asked, f"layer {layer.digest} was never asked for"
    stored = bench.stored({"content"})
    if stored.content is not None:
        assert not stored.corrupt(), "stored bytes do not match their digest"


@case(
    clause="OCI distribution-spec v1.1.1, Pulling blobs: Clients SHOULD verify that "
    "the response body matches the requested digest.",
    level=Level.SHOULD,
    critical=True,
    twin="verify.layer-intact",
    link="https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md"
    "#pulling-blobs",
    catalogue=("verify-layer-bitflip",),
)
def test_layer_with_a_flipped_bit_is_rejected(bench: Bench) -> None:
    """A layer whose bytes do not match its digest is neither kept nor pulled.

    The length is right and the stream is whole, so nothing but the digest tells
    that a cache, a disk or somebody on the way changed what will be run.
    """
    image = bench.publish(layers=2)
    layer = image.layers[0]
    fault = bench.registry.fault(
        method="GET", path="/blobs/*", digest=layer.digest, flip=layer.size // 2
    )
    pull = bench.pull(image)
    bench.must_reject(pull, fault)
    assert layer.digest not in {blob.digest for blob in bench.stored().corrupt()}, (
        "the client failed, but kept the broken layer under the digest it lacks"
    )


@case(
    clause=VERIFIED,
    level=Level.SHOULD,
    critical=True,
    twin="verify.layer-intact",
    link=f"{IMAGE}/descriptor.md#verification",
    catalogue=("verify-config-bitflip",),
)
def test_config_with_a_flipped_bit_is_rejected(bench: Bench) -> None:
    """A config whose bytes do not match its digest is neither kept nor pulled.

    The config says what is run, as whom and with which environment. It is still
    valid JSON here: PATH alone has changed.
    """
    image = bench.publish()
    path = image.data[image.config.digest].index(b"/usr/bin")
    fault = bench.registry.fault(
        method="GET", digest=image.config.digest, flip=path + len("/usr/b")
    )
    must_refuse(bench, image, fault)


@case(
    clause=VERIFIED,
    level=Level.SHOULD,
    critical=True,
    twin="index.index-intact",
    link=f"{IMAGE}/descriptor.md#verification",
    catalogue=("verify-child-manifest-bitflip",),
)
def test_manifest_of_an_index_with_a_flipped_bit_is_rejected(bench: Bench) -> None:
    """A manifest must be the one that the index names.

    A pinned index pins its images only as long as this is checked.
    """
    image = bench.publish(platforms=["linux/amd64", "linux/arm64"], annotations=NOTE)
    child = image.manifest("linux/amd64").descriptor
    fault = bench.registry.fault(
        method="GET",
        digest=child.digest,
        flip=image.data[child.digest].index(b"intact"),
    )
    must_refuse(bench, image, fault, platform="linux/amd64")


@case(
    clause="OCI distribution-spec v1.1.1, Pulling manifests: If the <reference> part "
    "of a manifest request is a digest, clients SHOULD verify the returned manifest "
    "matches this digest.",
    level=Level.SHOULD,
    critical=True,
    needs={Feature.DIGEST_REF},
    twin="resolve.image-is-pulled-by-digest",
    link=f"{DISTRIBUTION}#pulling-manifests",
)
def test_index_pinned_by_digest_with_a_flipped_bit_is_rejected(bench: Bench) -> None:
    """An index that was asked for by digest must have that digest.

    Whoever pins an image trusts nobody but the digest: it is all that binds the
    registry.
    """
    image = bench.publish(
        platforms=["linux/amd64", "linux/arm64"], index_annotations=NOTE
    )
    note = image.data[image.digest].index(b"intact")
    fault = bench.registry.fault(method="GET", digest=image.digest, flip=note)
    must_refuse(bench, image, fault, digest=True, platform="linux/amd64")


@case(
    clause="OCI distribution-spec v1.1.1, Pulling manifests: If the <reference> part "
    "of a manifest request is a digest, clients SHOULD verify the returned manifest "
    "matches this digest.",
    level=Level.SHOULD,
    critical=True,
    twin="index.index-intact",
    link=f"{DISTRIBUTION}#pulling-manifests",
)
def test_index_found_by_tag_and_asked_for_by_digest_is_checked(bench: Bench) -> None:
    """A client that turns a tag into a digest holds the registry to that digest.

    Some ask with HEAD what a tag means, then for that digest, and take whatever
    comes. Clients that ask for the tag alone are not judged here.
    """
    image = bench.publish(
        platforms=["linux/amd64", "linux/arm64"], index_annotations=NOTE
    )
    note = image.data[image.digest].index(b"intact")
    fault = bench.registry.fault(method="GET", digest=image.digest, flip=note)
    must_refuse(bench, image, fault, platform="linux/amd64")


@case(
    clause="OCI image-spec v1.1.1 descriptor.md, Digests: before consuming content "
    "targeted by a descriptor from untrusted sources, the byte content SHOULD be "
    "verified against the digest; against it, OCI distribution-spec v1.1.1, Pulling "
    "manifests: most clients MAY ignore the value of Docker-Content-Digest",
    level=Level.SHOULD,
    twin="index.index-intact",
    link=f"{DISTRIBUTION}#pulling-manifests",
    catalogue=("resolve-digest-header-lies",),
)
def test_index_changed_behind_its_tag_is_rejected(bench: Bench) -> None:
    """An index that is not what the registry says its tag stands for is refused.

    Only the header Docker-Content-Digest tells, which a client may ignore. One
    that does records whatever it was sent, and is open to whoever can change a
    response on its way.
    """
    image = bench.publish(
        platforms=["linux/amd64", "linux/arm64"], index_annotations=NOTE
    )
    note = image.data[image.digest].index(b"intact")
    fault = bench.registry.fault(
        method="GET", when=lambda e: e.reference in (image.tag, image.digest), flip=note
    )
    must_refuse(bench, image, fault, platform="linux/amd64")


@case(
    clause=VERIFIED,
    level=Level.SHOULD,
    critical=True,
    needs={Feature.CONTENT},
    twin="verify.layer-intact",
    link=f"{IMAGE}/descriptor.md#verification",
)
def test_bytes_after_the_layer_are_not_kept(bench: Bench) -> None:
    """A response that goes on after the layer's last byte changes nothing of it.

    To fail is right, and so is to stop at the size that the descriptor states. To
    keep more than that under the layer's digest is not.
    """
    image = bench.publish()
    (layer,) = image.layers
    longer = bench.registry.fault(method="GET", digest=layer.digest, append=b"extra")
    pull = bench.pull(image)
    if not longer.fired:
        not_testable(f"the client never asked for the layer; {pull}")
    assert_nothing_false(bench)
    if pull.ok:
        assert bench.stored({"content"}).has(layer.digest), "success, but no layer"


@case(
    clause=SIZE,
    level=Level.SHOULD,
    critical=True,
    twin="verify.layer-intact",
    link=f"{IMAGE}/descriptor.md#properties",
    catalogue=("transport-content-length-too-short", "store-no-partial-visible"),
)
def test_layer_that_ends_early_is_rejected(bench: Bench) -> None:
    """A layer with its last bytes missing is not pulled.

    The Content-Length is that of the shorter body, so HTTP sees nothing wrong: a
    registry whose disk was full once serves such blobs for years.
    """
    image = bench.publish()
    (layer,) = image.layers
    fault = bench.registry.fault(
        method="GET", digest=layer.digest, shorten=layer.size - 9
    )
    must_refuse(bench, image, fault)


@case(
    clause=SIZE,
    level=Level.SHOULD,
    twin="verify.layer-intact",
    link=f"{IMAGE}/descriptor.md#properties",
    catalogue=("verify-size-too-small",),
)
def test_size_that_is_too_small_is_rejected(bench: Bench) -> None:
    """A layer that is longer than its descriptor says is not pulled.

    The digest is right. But the size is what limits, quotas and progress rely on,
    and it is there to be checked before anything is hashed.
    """
    size = bench.publish().layers[0].size
    must_refuse(bench, bench.publish(edit_manifest=layer_says(size=size - 1)))


@case(
    clause=SIZE,
    level=Level.SHOULD,
    twin="verify.layer-intact",
    link=f"{IMAGE}/descriptor.md#properties",
    catalogue=("verify-size-too-large",),
)
def test_size_that_is_too_large_is_rejected(bench: Bench) -> None:
    """A layer that is shorter than its descriptor says is not pulled.

    A client that resumes must see that there is no byte more to be had.
    """
    size = bench.publish().layers[0].size
    must_refuse(bench, bench.publish(edit_manifest=layer_says(size=size + 1)))


@case(
    clause="OCI image-spec v1.1.1 descriptor.md, size: int64, the size, in bytes, of "
    "the raw content",
    level=Level.SHOULD,
    twin="verify.layer-intact",
    link=f"{IMAGE}/descriptor.md#properties",
    catalogue=("verify-size-negative",),
)
def test_negative_size_is_rejected(bench: Bench) -> None:
    """No content has -1 bytes: a descriptor that says so is refused.

    Many libraries write "unknown" as -1, and then check nothing.
    """
    must_refuse(bench, bench.publish(edit_manifest=layer_says(size=-1)))


@case(
    clause="OCI image-spec v1.1.1 descriptor.md, size: int64, a REQUIRED property",
    level=Level.SHOULD,
    twin="verify.layer-intact",
    link=f"{IMAGE}/descriptor.md#properties",
    catalogue=("verify-size-not-integer",),
)
def test_size_that_is_a_text_is_rejected(bench: Bench) -> None:
    """A size in quotes is no number, even with the right digits.

    Clients that disagree on what a document says run different images.
    """
    size = bench.publish().layers[0].size
    must_refuse(bench, bench.publish(edit_manifest=layer_says(size=str(size))))


@case(
    clause="containerd v1.5.18 remotes/handlers.go:126",
    level=Level.REFERENCE,
    twin="verify.layer-intact",
    catalogue=("verify-size-missing", "layers-zero-size"),
)
def test_size_of_zero_is_rejected_unasked(bench: Bench) -> None:
    """A descriptor of size zero, or without a size, is an error at once.

    Nothing is asked for: no layer is empty, so whoever made the document forgot.
    """
    image = bench.publish(edit_manifest=layer_says(size=0))
    must_refuse(bench, image)
    asked = bench.registry.journal.requests(digest=image.layers[0].digest)
    assert_none(asked, "the layer of size zero was asked for")


@case(
    clause=HEX,
    level=Level.SHOULD,
    twin="verify.layer-intact",
    link=f"{IMAGE}/descriptor.md#sha-256",
    catalogue=("verify-digest-uppercase-hex",),
)
def test_digest_in_upper_case_is_rejected(bench: Bench) -> None:
    """``sha256:ABC...`` is no digest, although its value would be right.

    One content has one name. With two, what is blocked, counted or collected
    under the one is still there under the other.
    """
    (layer,) = (plain := bench.publish()).layers
    upper = "sha256:" + layer.digest.removeprefix("sha256:").upper()
    bench.registry.put_blob(plain.repository, plain.data[layer.digest], digest=upper)
    must_refuse(bench, bench.publish(edit_manifest=layer_says(digest=upper)))


@case(
    clause=HEX,
    level=Level.SHOULD,
    critical=True,
    twin="verify.layer-intact",
    link=f"{IMAGE}/descriptor.md#sha-256",
    catalogue=("verify-digest-wrong-length",),
)
def test_digest_cut_short_is_rejected(bench: Bench) -> None:
    """A digest that lacks its last digit is not the digest of anything.

    A client that compares as many digits as there are can be given other bytes.
    """
    (layer,) = (plain := bench.publish()).layers
    short = layer.digest[:-1]
    bench.registry.put_blob(plain.repository, plain.data[layer.digest], digest=short)
    must_refuse(bench, bench.publish(edit_manifest=layer_says(digest=short)))


@case(
    clause="CVE-2024-3727; OCI image-spec v1.1.1 descriptor.md, Digests: A digest "
    "string MUST match the following grammar",
    level=Level.MUST,
    critical=True,
    twin="verify.layer-intact",
    link="https://nvd.nist.gov/vuln/detail/CVE-2024-3727",
    catalogue=("verify-digest-injection",),
)
def test_digest_that_is_a_path_is_rejected_unasked(bench: Bench) -> None:
    """A digest with ``../`` in it must never become a part of a URL or a file name.

    A manifest could otherwise make the client ask for anything with its user's
    credentials, or write outside its store.
    """
    path = "sha256:../../../../secret/manifests/latest"
    image = bench.publish(edit_manifest=layer_says(digest=path))
    must_refuse(bench, image)
    assert_not_astray(bench, image)


@case(
    clause="OCI image-spec v1.1.1 descriptor.md, SHA-512: Implementations MAY "
    "implement SHA-512 digest verification",
    level=Level.MAY,
    link=f"{IMAGE}/descriptor.md#sha-512",
    catalogue=("verify-sha512-descriptor",),
)
def test_layer_named_by_its_sha512_is_pulled(bench: Bench) -> None:
    """A config and a layer that are named by SHA-512 are pulled, or else refused."""
    bench.must_pull(bench.publish(algorithm="sha512"))


@case(
    clause=VERIFIED,
    level=Level.SHOULD,
    critical=True,
    twin="verify.layer-intact",
    link=f"{IMAGE}/descriptor.md#verification",
    catalogue=("verify-sha512-descriptor",),
)
def test_layer_that_does_not_match_its_sha512_is_rejected(bench: Bench) -> None:
    """A client that cannot compute a digest must not go on as if it had.

    Whether it knows SHA-512 or not: wrong bytes under such a digest do not pass.
    """
    image = bench.publish(algorithm="sha512")
    bench.registry.fault(
        method="GET", digest=image.layers[0].digest, flip=image.layers[0].size // 2
    )
    must_refuse(bench, image)


@case(
    clause="OCI image-spec v1.1.1 descriptor.md, data: SHOULD be verified against "
    "the digest and size fields by content consumers",
    level=Level.SHOULD,
    critical=True,
    needs={Feature.CONTENT},
    twin="verify.layer-intact",
    link=f"{IMAGE}/descriptor.md#embedded-content",
    catalogue=("verify-data-field-wrong",),
)
def test_embedded_data_is_verified_or_ignored(bench: Bench) -> None:
    """Content that a descriptor brings along is verified like any other.

    The data here is not what the digest says; the blob in the registry is. So a
    client asks for the blob, or fails.
    """
    forged = base64.b64encode(b'{"config":{"Cmd":["/bin/evil"]}}').decode()

    def embed(manifest: Document) -> None:
        manifest["config"]["data"] = forged

    image = bench.publish(edit_manifest=embed)
    pull = bench.pull(image)
    assert_nothing_false(bench)
    if pull.ok:
        assert bench.stored({"content"}).intact(image.config.digest)
