"""How users name images, and which names are errors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from conformance.case import Feature, Level, case, not_testable
from conformance.cases._content import DISTRIBUTION, assert_not_crashed
from conformance.cases._wire import assert_none
from fakeregistry.image import OCI_MANIFEST
from fakeregistry.layers import Layer, seeded_layer

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


@case(
    clause="containerd v1.5.18 reference/reference.go:89: ErrInvalid",
    level=Level.REFERENCE,
    twin="verify.layer-intact",
    catalogue=("resolve-ref-with-scheme",),
)
def test_url_is_no_reference(bench: Bench) -> None:
    """``http://host/name:tag`` is an error, and nothing is asked for."""
    image = bench.publish()
    bench.must_reject(bench.pull(f"http://{bench.registry.ref(image)}"))
    assert_none(tuple(bench.registry.journal), "something was asked for")


@case(
    clause="OCI distribution-spec v1.1.1, Pulling manifests: <name> MUST match "
    "[a-z0-9]+...; many clients impose a limit of 255 characters",
    level=Level.MAY,
    link=PULLING,
    catalogue=("resolve-name-and-tag-grammar",),
)
def test_names_that_the_grammar_does_not_know(bench: Bench) -> None:
    """Capitals, a tag of 129 characters, a name of 300: refused, or passed on?"""
    bench.publish()
    host = bench.registry.host
    told = []
    for what, ref in (
        ("capitals", f"{host}/Library/Test:v1"),
        ("a long tag", f"{host}/library/test:{'t' * 129}"),
        ("a long name", f"{host}/{'n' * 150}/{'n' * 150}:v1"),
    ):
        bench.registry.journal.clear()
        pull = bench.pull(ref)
        assert_not_crashed(pull)
        asked = bench.registry.journal.requests(path="/manifests/*")
        told.append(f"{what}: {'asked for' if asked else 'refused'}")
    bench.observe(", ".join(told))


@case(
    clause="RFC 3986 section 3.2.2: IP-literal",
    level=Level.MAY,
    catalogue=("resolve-ipv6-literal",),
)
def test_registry_with_an_ipv6_address(bench: Bench) -> None:
    """``[::1]:5000/name:tag`` names a registry by an address with colons."""
    try:
        registry = bench.new_registry(host="::1")
    except OSError:
        not_testable("this machine has no IPv6")
    image = bench.publish()
    pull = bench.pull(image)
    hosts = {e.request_headers.get("Host") for e in registry.journal}
    if pull.ok:
        assert hosts == {registry.host}, f"Host was {hosts}"
    bench.observe("reaches it" if hosts else "does not know such names")


@case(
    clause="containerd v1.5.18 remotes/docker/registry.go:211",
    level=Level.REFERENCE,
    needs={Feature.PLAIN_HTTP},
    catalogue=("resolve-localhost-defaults-to-http",),
)
def test_registry_on_this_machine_is_reached_over_http(bench: Bench) -> None:
    """Without a word about it, http is spoken to this machine's names and addresses.

    To every other host https is spoken.
    """
    for host, name in (("127.0.0.1", "localhost"), ("127.9.9.9", "127.9.9.9")):
        registry = bench.new_registry(host=host)
        image = registry.publish("library/test:v1")
        bench.fresh_store()
        ref = f"{name}:{registry.port}/library/test:v1"
        bench.must_pull(ref, plain_http=False)
        assert registry.journal.requests(digest=image.layers[0].digest)


@case(
    clause="safety (nothing is written outside its place); oras issue 37",
    level=Level.MUST,
    twin="verify.layer-intact",
    critical=True,
    link="https://github.com/oras-project/oras/issues/37",
    catalogue=("security-title-annotation-traversal",),
)
def test_title_of_a_layer_is_no_path(bench: Bench) -> None:
    """A layer is titled ``../escaped``: no file of that name is written.

    Clients for artifacts name files after the title; those for images ignore it.
    """
    outside = bench.root.with_name("escaped")
    titles = ["../escaped", f"../{bench.root.name}/../escaped", str(outside)]
    layers = [
        Layer(
            data=seeded_layer(title, size=64, compression="gzip").data,
            annotations={"org.opencontainers.image.title": title},
        )
        for title in titles
    ]
    image = bench.publish(layers=layers)
    pull = bench.pull(image)
    asked = bench.registry.journal.requests
    if not asked(method="GET", path="/manifests/*"):
        not_testable(f"the client never asked for the manifest; {pull}")
    assert not outside.exists(), f"{outside.name} was written outside the store"
    assert_not_crashed(pull)


@case(
    clause="containerd v1.5.18 remotes/handlers.go:58: MakeRefKey",
    level=Level.REFERENCE,
    twin="verify.layer-intact",
    catalogue=("security-refname-annotation-in-ingest-key",),
)
def test_name_of_a_layer_is_no_path(bench: Bench) -> None:
    """An annotation ``ref.name`` may hold a path, or 20 kB of text: the pull works.

    It becomes a part of the key under which the download goes on, and no more.
    """
    outside = bench.root.with_name("escaped")
    names = ["../../../../escaped", str(outside), "x" * 20_000]
    layers = [
        Layer(
            data=seeded_layer(name[:30], size=64, compression="gzip").data,
            annotations={"org.opencontainers.image.ref.name": name},
        )
        for name in names
    ]
    image = bench.publish(layers=layers)
    bench.must_pull(image)
    assert not outside.exists(), f"{outside.name} was written outside the store"
    for layer in image.layers:
        assert bench.registry.journal.requests(method="GET", digest=layer.digest)
