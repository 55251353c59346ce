"""Sizes that a registry controls: none of them may fill a client's memory or disk.

Whoever can name a registry to a service that pulls can send it such answers. Bodies
are bounded here: a client that reads to the end comes to one, and is found out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from conformance.case import Feature, Level, case
from conformance.cases._content import (
    FLOOD,
    IMAGE,
    assert_bounded,
    assert_not_crashed,
    layer_says,
    member,
    must_refuse,
)
from conformance.cases._wire import ask_for_ticket, assert_none
from fakeregistry import TokenAuth
from fakeregistry.content import Entry

if TYPE_CHECKING:
    from conformance.bench import Bench
    from conformance.cases._content import Document

UNBOUNDED: Final = (
    "CVE-2020-1702: a malicious image can consume an unbounded amount of memory when "
    "being pulled"
)
MEMORY: Final = "https://nvd.nist.gov/vuln/detail/CVE-2020-1702"


@case(
    clause="OCI distribution-spec v1.1.1, Pushing Manifests: Client and registry "
    "implementations SHOULD expect to be able to support manifest pushes of at least "
    "4 megabytes.",
    level=Level.SHOULD,
    link="https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md"
    "#pushing-manifests",
    catalogue=("limits-manifest-4mb-ok",),
)
def test_manifest_of_four_megabytes_is_pulled(bench: Bench) -> None:
    """A manifest of 4 000 000 bytes can be pushed, so it can be pulled.

    Images of thousands of files, signed one by one, come near.
    """

    def grow(manifest: Document) -> None:
        manifest["annotations"] = {"org.example.padding": "x" * 3_999_000}

    image = bench.publish(edit_manifest=grow)
    bench.must_pull(image)


@case(
    clause=UNBOUNDED,
    level=Level.MUST,
    twin="verify.layer-intact",
    link=MEMORY,
    catalogue=("limits-manifest-cl-lies",),
)
def test_manifest_without_end_is_given_up(bench: Bench) -> None:
    """A manifest that goes on and on is given up long before it ends.

    What comes is 64 MiB of blanks, which is valid JSON, without a length.
    """
    image = bench.publish()
    flood = bench.registry.fault(method="GET", path="/manifests/*", endless=FLOOD)
    must_refuse(bench, image, flood)
    assert_bounded(flood)


@case(
    clause=UNBOUNDED,
    level=Level.MUST,
    twin="resolve.headers-of-docker-may-be-missing",
    link=MEMORY,
    catalogue=("limits-manifest-endless-get-fallback",),
)
def test_manifest_without_end_or_digest_is_given_up(bench: Bench) -> None:
    """The same of a registry that states no digest, so that none can be wrong.

    A client that computes the digest of whatever comes must bound that, too.
    """
    image = bench.publish()
    flood = bench.registry.fault(
        method="GET",
        path="/manifests/*",
        endless=FLOOD,
        remove_headers=["Docker-Content-Digest", "Etag"],
    )
    bench.registry.fault(
        method="HEAD", remove_headers=["Docker-Content-Digest", "Etag"]
    )
    must_refuse(bench, image, flood)
    assert_bounded(flood)


@case(
    clause="containerd v1.5.18 remotes/docker/resolver.go:368",
    level=Level.REFERENCE,
    twin="verify.layer-intact",
    catalogue=("limits-manifest-over-max",),
)
def test_manifest_announced_too_long_is_not_fetched(bench: Bench) -> None:
    """A HEAD that announces more than 4 393 216 bytes ends the pull there."""
    image = bench.publish()
    announced = {"Content-Length": "4393217"}
    fault = bench.registry.fault(method="HEAD", path="/manifests/*", headers=announced)
    must_refuse(bench, image, fault)
    fetched = bench.registry.journal.requests(method="GET")
    assert_none(fetched, "a document that is too long was fetched")


@case(
    clause=UNBOUNDED,
    level=Level.SHOULD,
    twin="index.index-intact",
    link=MEMORY,
    catalogue=("index-child-over-limit",),
)
def test_manifest_of_an_index_has_a_limit_too(bench: Bench) -> None:
    """An index says that its manifest has 1 GiB: more than any client has to take.

    The limit for documents holds wherever they come from. It is no use at the
    front door alone.
    """

    def inflate(entry: Document) -> None:
        entry["size"] = 1 << 30

    image = bench.publish(
        platforms=[Entry(platform="linux/amd64", edit_descriptor=inflate)]
    )
    child = image.manifests[0].descriptor.digest
    flood = bench.registry.fault(method="GET", digest=child, endless=FLOOD)
    must_refuse(bench, image, platform="linux/amd64")
    assert_bounded(flood)


@case(
    clause="OCI image-spec v1.1.1 descriptor.md, Verification: Before calculating the "
    "digest, the size of the content SHOULD be verified",
    level=Level.SHOULD,
    twin="verify.layer-intact",
    link=f"{IMAGE}/descriptor.md#verification",
    catalogue=("verify-body-longer-than-size",),
)
def test_layer_that_does_not_end_is_given_up(bench: Bench) -> None:
    """A layer of 2 kB that goes on for 64 MiB is given up near its size.

    Otherwise the disk is full before the digest turns out to be wrong.
    """
    image = bench.publish()
    flood = bench.registry.fault(
        method="GET", digest=image.layers[0].digest, endless=FLOOD
    )
    must_refuse(bench, image, flood)
    assert_bounded(flood)


@case(
    clause=UNBOUNDED,
    level=Level.SHOULD,
    twin="verify.layer-intact",
    link=MEMORY,
    catalogue=("limits-config-huge",),
)
def test_config_that_does_not_end_is_given_up(bench: Bench) -> None:
    """A config of 400 bytes that goes on for 64 MiB: many read it into memory."""
    image = bench.publish()
    flood = bench.registry.fault(
        method="GET", digest=image.config.digest, endless=FLOOD
    )
    must_refuse(bench, image, flood)
    assert_bounded(flood)


@case(
    clause=f"{UNBOUNDED}; RFC 9110 section 5.4: a server MUST respond to fields larger "
    "than it wishes to process, and a client MAY discard or truncate them",
    level=Level.SHOULD,
    twin="verify.layer-intact",
    link="https://www.rfc-editor.org/rfc/rfc9110#section-5.4",
    catalogue=("transport-huge-response-headers",),
)
def test_headers_without_end_are_given_up(bench: Bench) -> None:
    """A response begins with 16 MiB of header fields, and is no layer any more.

    Go's client gives up after 10 MiB, most others much earlier.
    """
    image = bench.publish()
    line = "x" * 64_000
    flood = bench.registry.fault(
        method="GET",
        digest=image.layers[0].digest,
        headers={"X-Flood": [line] * 262},
    )
    must_refuse(bench, image, flood)


@case(
    clause=UNBOUNDED,
    level=Level.SHOULD,
    needs={Feature.TOKEN_AUTH},
    twin="auth.anonymous-token-is-fetched-and-used",
    link=MEMORY,
    catalogue=("transport-token-response-endless",),
)
def test_token_without_end_is_given_up(bench: Bench) -> None:
    """A token server answers with blanks in place of a token, 64 MiB of them.

    Anybody who runs a registry chooses the token server that a client asks.
    """
    registry = bench.new_registry(auth=TokenAuth())
    image = bench.publish()
    flood = registry.fault(path="/token", status=200, body=b"{", endless=FLOOD)
    bench.must_reject(bench.pull(image), flood)
    assert_bounded(flood)


@case(
    clause="RFC 9110 section 11.6.1: a response can have multiple challenges",
    level=Level.MAY,
    needs={Feature.TOKEN_AUTH},
    catalogue=("limits-many-www-authenticate",),
)
def test_hundreds_of_challenges(bench: Bench) -> None:
    """400 challenges in one response, each with another realm: how many are asked?"""
    image = bench.publish()
    realms = [
        f'Bearer realm="{bench.registry.url}/token/{number}",service="s"'
        for number in range(400)
    ]
    ask_for_ticket(bench.registry, realms)
    pull = bench.pull(image)
    assert_not_crashed(pull)
    asked = bench.registry.journal.requests(path="/token/*")
    bench.observe(f"{len(asked)} token requests")


@case(
    clause="containerd v1.5.18 remotes/docker/resolver.go:59",
    level=Level.REFERENCE,
    catalogue=("limits-manifest-at-max",),
)
def test_manifest_of_the_longest_size_is_pulled(bench: Bench) -> None:
    """4 393 216 bytes are taken, as MaxManifestSize says: 4 * 1048 * 1048."""
    bench.must_pull(bench.publish(manifest_size=4_393_216))


@case(
    clause="OCI image-spec v1.1.1 descriptor.md, size: If the length of the retrieved "
    "content does not match the specified length, the content SHOULD NOT be trusted.",
    level=Level.SHOULD,
    twin="verify.layer-intact",
    link="https://github.com/oras-project/oras-go/pull/1197",
    catalogue=("limits-declared-size-huge",),
)
def test_layer_that_claims_exabytes_is_rejected(bench: Bench) -> None:
    """A descriptor says 4 EiB, and a few bytes come: an error, and no more.

    A client that makes room for what a document claims ends here (oras-go
    GHSA-f36w-mj3v-6jqv).
    """
    must_refuse(bench, bench.publish(edit_manifest=layer_says(size=1 << 62)))


@case(
    clause=UNBOUNDED,
    level=Level.SHOULD,
    twin="verify.layer-intact",
    link=MEMORY,
    catalogue=("transport-error-body-bomb",),
)
def test_error_without_end_is_given_up(bench: Bench) -> None:
    """The explanation of an error is read as far as anybody would read it.

    64 MiB of it come here, with status 403.
    """
    image = bench.publish()
    flood = bench.registry.fault(
        method="GET",
        digest=image.layers[0].digest,
        status=403,
        body=b'{"errors":[]}',
        endless=FLOOD,
    )
    must_refuse(bench, image, flood)
    assert_bounded(flood)


@case(
    clause="OCI image-spec v1.1.1 image-index.md, manifests: array of objects",
    level=Level.SHOULD,
    catalogue=("index-10k-entries",),
)
def test_long_index_is_pulled(bench: Bench) -> None:
    """Of 500 entries the last one is the right one.

    A hundred kilobytes, within every limit: a client reads them once, and asks for one.
    """
    image = bench.publish(platforms=["linux/amd64"])
    last = image.document()["manifests"][0]
    others = [
        {
            **last,
            "digest": f"sha256:{number:064x}",
            "platform": {"os": "plan9", "architecture": f"cpu{number}"},
        }
        for number in range(499)
    ]
    long = bench.publish(
        platforms=["linux/amd64"], edit_index=member("manifests", [*others, last])
    )
    bench.must_pull(long, platform="linux/amd64")
    asked = bench.registry.journal.requests(method="GET", digest=last["digest"])
    assert asked, "the last entry was never asked for"


@case(
    clause="OCI image-spec v1.1.1 image-index.md, manifests, mediaType: nested index",
    level=Level.MAY,
    catalogue=("index-deep-nesting",),
)
def test_chain_of_indexes(bench: Bench) -> None:
    """20 indexes in one another, with an image in the last: pulled or refused?

    A client comes to an end with either.
    """
    image = bench.publish(platforms=["linux/amd64"], nesting=19)
    pull = bench.pull(image, platform="linux/amd64")
    asked = bench.registry.journal.requests(method="GET", path="/manifests/*")
    depth = len({exchange.path for exchange in asked})
    bench.observe(f"{'pulled' if pull.ok else 'refused'} after {depth} documents")
