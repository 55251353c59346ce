"""Signatures of Docker's schema1: inside the document, and in charge of its digest.

The first bytes and the last ones of the document, as a protected header tells them, are
what was signed, the payload. Sources disagree on what else signatures are for: the
registry API of distribution says that the client must verify them, yet their keys come
with the document, and containerd takes them out unread.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from conformance.case import Level, case, not_testable
from conformance.cases._content import (
    assert_not_crashed,
    assert_nothing_false,
    member,
    must_refuse,
)
from conformance.cases._schema1 import (
    API,
    CONVERTER,
    FORMAT,
    OLD,
    publish,
    state_no_digest,
    times_asked,
    what_came_of,
)
from conformance.cases._wire import assert_none
from fakeregistry.image import SCHEMA1_SIGNED
from fakeregistry.schema1 import Signature

if TYPE_CHECKING:
    from collections.abc import Callable

    from conformance.bench import Bench
    from conformance.cases._schema1 import Document

INTACT: Final = "schema1.signed-image-is-pulled"
SIGNED: Final = (
    "distribution v2.8.3 docs/spec/manifest-v2-1.md, Signed Manifests: a signed "
    "manifest consists of an image manifest along with an additional field containing "
    "the signature of the manifest"
)
CRASH: Final = (
    "distribution v2.8.3 docs/spec/manifest-v2-1.md, Signed Manifest Field "
    "Description: protected, the signed protected header; what it says must not crash "
    "a client"
)


@case(
    clause="CVE-2014-8179: does not properly validate and extract the manifest object "
    "from its JSON representation during a pull, which allows attackers to inject new "
    "attributes in a JSON object and bypass pull-by-digest validation",
    level=Level.MUST,
    critical=True,
    needs=OLD,
    twin=INTACT,
    link="https://nvd.nist.gov/vuln/detail/CVE-2014-8179",
    catalogue=("schema1-extra-attributes-outside-payload",),
)
def test_members_outside_the_payload_are_not_believed(bench: Bench) -> None:
    """Members that stand beside the signatures name another layer: it is not used.

    In the text they come last, so that a parser of the whole document takes them.
    The digest and the signature, which are those of the payload, stay right.
    """
    evil = publish(bench, tag="evil", seed="evil")
    (layer,) = evil.layers
    image = publish(bench, outside={"fsLayers": [{"blobSum": layer.digest}]})
    pull = bench.pull(image)
    injected = bench.registry.journal.requests(digest=layer.digest)
    assert_none(injected, "a layer from outside of the payload was asked for")
    bench.observe(what_came_of(bench, image, pull))


@case(
    clause="distribution v2.8.3 docs/spec/api.md, Pulling An Image: When the manifest "
    "is in hand, the client must verify the signature to ensure the names and layers "
    f"are valid; against it, {CONVERTER}:547",
    level=Level.MAY,
    needs=OLD,
    twin=INTACT,
    link=f"{API}#pulling-an-image",
    catalogue=("schema1-signature-not-verified",),
)
def test_signature_of_another_document(bench: Bench) -> None:
    """The signature is well-formed, and not of this payload: does anybody look?

    The key comes with the document, so that a valid signature proves no more than
    that nobody has touched the payload without signing it anew.
    """

    def replace(signature: Document) -> None:
        signature["signature"] = "A" * len(signature["signature"])

    image = publish(bench, signatures=[Signature(edit=replace)])
    bench.observe(what_came_of(bench, image, bench.pull(image)))


@case(
    clause="distribution v2.8.3 docs/spec/manifest-v2-1.md: manifest, "
    "application/vnd.docker.distribution.manifest.v1+json",
    level=Level.MAY,
    needs=OLD,
    twin=INTACT,
    link=FORMAT,
    catalogue=("schema1-unsigned",),
)
def test_image_without_signatures(bench: Bench) -> None:
    """An unsigned manifest of the media type for those: pulled, refused, or kept as is?

    To containerd the type means nothing: it looks for the document among the blobs.
    """
    image = publish(bench, signatures=())
    bench.observe(what_came_of(bench, image, bench.pull(image)))


@case(
    clause=f"{CONVERTER}:553",
    level=Level.REFERENCE,
    needs=OLD,
    twin=INTACT,
    catalogue=("schema1-unsigned",),
)
def test_signed_image_without_signatures_is_an_error(bench: Bench) -> None:
    """A document of the signed media type that bears no signature is refused."""
    must_refuse(bench, publish(bench, signatures=(), media_type=SCHEMA1_SIGNED))


@case(
    clause=CRASH,
    level=Level.MUST,
    needs=OLD,
    twin=INTACT,
    link=FORMAT,
    catalogue=("schema1-formatlength-too-big",),
)
def test_length_beyond_the_document_is_an_error(bench: Bench) -> None:
    """A payload that is longer than the document it is in is none."""
    pull = must_refuse(bench, publish(bench, format_length=1 << 40))
    assert_not_crashed(pull)


@case(
    clause=CRASH,
    level=Level.MUST,
    critical=True,
    needs=OLD,
    twin=INTACT,
    link=FORMAT,
    catalogue=("schema1-formatlength-negative",),
)
def test_negative_length_is_an_error(bench: Bench) -> None:
    """A payload of -1 bytes is an error, and no reason to die.

    Who pulls for others, a daemon that a cluster tells what to run, must not end
    because of an image.
    """
    pull = must_refuse(bench, publish(bench, format_length=-1))
    assert_not_crashed(pull)


@case(
    clause=CRASH,
    level=Level.MUST,
    critical=True,
    twin="resolve.headers-of-docker-may-be-missing",
    link=FORMAT,
    catalogue=("schema1-formatlength-negative",),
)
def test_negative_length_is_an_error_for_everybody(bench: Bench) -> None:
    """The same, where a client needs the digest before it knows what it has.

    Also one that would refuse schema1 may take out the signatures here, to compute
    the digest that the registry does not state. One that never looks at signatures
    has nothing to refuse.
    """
    state_no_digest(bench)
    pull = bench.pull(publish(bench, format_length=-1))
    if not bench.registry.journal.requests(path="/manifests/*", status=200):
        not_testable(f"the client never asked for the manifest; {pull}")
    assert_not_crashed(pull)
    assert_nothing_false(bench)


def _must_refuse_header(
    bench: Bench, *, edit: Callable[[Document], None] | None = None, raw: bytes = b""
) -> None:
    """Hold that a client refuses what a signature says, without falling over it."""
    signature = Signature(edit=edit, edit_protected=lambda _: raw or None)
    pull = must_refuse(bench, publish(bench, signatures=[signature]))
    assert_not_crashed(pull)


@case(
    clause=CRASH,
    level=Level.MUST,
    needs=OLD,
    twin=INTACT,
    link=FORMAT,
    catalogue=("schema1-bad-base64",),
)
def test_header_that_is_no_base64_is_an_error(bench: Bench) -> None:
    """The protected header is base64url (RFC 7515); five letters are none."""
    _must_refuse_header(bench, edit=member("protected", "eyJhb"))


@case(
    clause=CRASH,
    level=Level.MUST,
    needs=OLD,
    twin=INTACT,
    link=FORMAT,
    catalogue=("schema1-bad-base64",),
)
def test_header_that_is_no_json_is_an_error(bench: Bench) -> None:
    """What is left of the protected header when it is decoded is not JSON."""
    _must_refuse_header(bench, raw=b'{"formatLength":')


@case(
    clause=CRASH,
    level=Level.MUST,
    needs=OLD,
    twin=INTACT,
    link=FORMAT,
    catalogue=("schema1-bad-base64",),
)
def test_tail_that_is_no_base64_is_an_error(bench: Bench) -> None:
    """The end of the payload, inside the header, is base64url as well."""
    _must_refuse_header(bench, raw=b'{"formatLength":9,"formatTail":"!!!!"}')


@case(
    clause=f"{SIGNED}; a list of signatures",
    level=Level.SHOULD,
    needs=OLD,
    link=FORMAT,
    catalogue=("schema1-multiple-signatures",),
)
def test_image_signed_twice_is_pulled(bench: Bench) -> None:
    """Two keys have signed the same payload."""
    image = publish(bench, signatures=["ES256", "ES256"])
    bench.must_pull(image)
    assert times_asked(bench, image.layers[0].digest), "its layer was never asked for"


@case(
    clause=f"{CONVERTER}:555; against it, libtrust compares all signatures",
    level=Level.REFERENCE,
    needs=OLD,
    twin="schema1-signed.image-signed-twice-is-pulled",
    catalogue=("schema1-multiple-signatures",),
)
def test_first_signature_says_what_the_payload_is(bench: Bench) -> None:
    """A second signature that disagrees about the payload is not looked at.

    Its length would leave nothing of the document. libtrust, which Docker used,
    refuses such documents.
    """
    signatures = [Signature(), Signature(format_length=3)]
    image = publish(bench, signatures=signatures)
    bench.must_pull(image)
    assert times_asked(bench, image.layers[0].digest), "its layer was never asked for"
