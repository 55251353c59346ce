"""Content that a descriptor says lies elsewhere: ``urls``, and foreign layers.

Whoever builds an image chooses these URLs, not the registry and not the user. That
is why they get no credentials, and why what comes from them counts as little as
their digest allows. Whether URLs or registry come first is where clients differ.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from conformance.case import Feature, Level, NotTestable, case
from conformance.cases._content import assert_nothing_false
from conformance.cases._wire import (
    LOGIN,
    assert_none,
    assert_ok,
    bearer,
    met,
    words,
)
from fakeregistry import TokenAuth
from fakeregistry.content import Entry
from fakeregistry.layers import Layer, seeded_layer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from conformance.bench import Bench
    from fakeregistry import Fault, Image, Registry

PLATFORM: Final = "linux/amd64"
DESCRIPTOR: Final = "OCI image-spec v1.1.1 descriptor.md, urls"
LINK: Final = "https://github.com/opencontainers/image-spec/blob/v1.1.1/descriptor.md"
FETCHER: Final = "containerd v1.5.18 remotes/docker/fetcher.go"
DOCKER: Final = "distribution v2.8.3 docs/spec/manifest-v2-2.md, urls"
ELSEWHERE: Final = "urls.foreign-layer-is-fetched-from-its-url"
DATA: Final = seeded_layer("elsewhere", size=4096, compression="gzip").data


def _foreign(bench: Bench, *urls: str, stored: bool = True) -> Image:
    """Publish an image whose layer is foreign, in the registry as well or not."""
    layer = Layer(data=DATA, foreign=True, urls=urls, stored=stored)
    return bench.publish(layers=[layer])


def _file(
    server: Registry,
    *,
    status: int = 200,
    body: bytes = DATA,
    headers: Mapping[str, str | Sequence[str]] | None = None,
) -> tuple[str, Fault]:
    """Serve the layer as a file of a web server, and return its URL."""
    served = server.fault(
        path="/files/layer", status=status, body=body, headers=headers
    )
    return f"{server.url}/files/layer", served


@case(
    clause=f"{DOCKER}: a list of URLs from which the content may be fetched",
    level=Level.SHOULD,
    link="https://github.com/distribution/distribution/blob/v2.8.3/docs/spec/"
    "manifest-v2-2.md",
)
def test_foreign_layer_is_fetched_from_its_url(bench: Bench) -> None:
    """A layer that the registry does not have, for legal reasons, say, is fetched.

    Its descriptor says where from. The base layers of Windows were such layers.
    """
    bench.new_registry()
    url, served = _file(bench.new_registry())
    pull = bench.pull(_foreign(bench, url, stored=False))
    if not served.fired and re.search(r"private|loopback|link-local", str(pull)):
        raise NotTestable(f"the client mistrusts addresses of the loopback; {pull}")
    assert_ok(pull, "the pull must succeed")
    assert served.fired, "the layer was never asked for"


@case(
    clause=f"{FETCHER}:55",
    level=Level.REFERENCE,
    catalogue=("layers-foreign-url-first",),
)
def test_foreign_layer_comes_from_its_url_first(bench: Bench) -> None:
    """The URL of a foreign layer is asked, and the registry only if that fails."""
    bench.new_registry()
    url, served = _file(bench.new_registry())
    image = _foreign(bench, url)
    bench.must_pull(image)
    assert served.fired, "the URL was never asked"
    asked = bench.registry.journal.requests(digest=image.layers[0].digest)
    assert_none(asked, "the registry was asked for a foreign layer")


@case(
    clause=f"{FETCHER}:86",
    level=Level.REFERENCE,
    catalogue=("layers-foreign-url-404",),
)
def test_next_url_and_then_the_registry_are_asked(bench: Bench) -> None:
    """Of two URLs that answer 404 both are asked, and the registry after them."""
    bench.new_registry()
    other = bench.new_registry()
    first, second = f"{other.url}/files/1", f"{other.url}/files/2"
    image = _foreign(bench, first, second)
    bench.must_pull(image)
    assert [e.path for e in other.journal] == ["/files/1", "/files/2"]
    assert bench.registry.journal.requests(digest=image.layers[0].digest)


@case(
    clause=f"{DESCRIPTOR}: from which this object MAY be downloaded",
    level=Level.SHOULD,
    link=LINK,
    catalogue=("layers-foreign-url-500",),
)
def test_url_that_fails_does_not_fail_the_pull(bench: Bench) -> None:
    """A layer whose URL answers 401, 403, 500 or 503 is fetched from the registry.

    The registry has it. A third party's server is no reason to do without it: the
    specification says MAY of the URLs.
    """
    bench.new_registry()
    for status in (401, 403, 500, 503):
        url, broken = _file(bench.new_registry(), status=status)
        bench.fresh_store()
        pull = bench.pull(_foreign(bench, url))
        bench.observe(f"{status}: {'asked' if broken.fired else 'not asked'}")
        assert_ok(pull, f"the registry has what the URL answers {status} for")


@case(
    clause=f"{DESCRIPTOR}: Entries SHOULD use the http and https schemes",
    level=Level.SHOULD,
    link=LINK,
    catalogue=("layers-foreign-url-non-http",),
)
def test_url_of_another_scheme_is_passed_over(bench: Bench) -> None:
    """``ipfs:`` and ``oci:`` are for others: the registry has the layer."""
    bench.new_registry()
    image = _foreign(bench, "ipfs://bafybeibnsoufr2renqzsh347nrx54wcubt5l", "oci://x/y")
    bench.must_pull(image)
    assert bench.registry.journal.requests(digest=image.layers[0].digest)


@case(
    clause=f"{DOCKER}: Content must be verified against the digest and size",
    level=Level.MUST,
    needs={Feature.CONTENT},
    twin=ELSEWHERE,
    critical=True,
    catalogue=("layers-foreign-url-wrong-bytes",),
)
def test_wrong_bytes_from_a_url_are_not_kept(bench: Bench) -> None:
    """What a URL serves is held against the digest: nobody else vouches for it."""
    bench.new_registry()
    wrong = bytes([DATA[0] ^ 1]) + DATA[1:]
    url, served = _file(bench.new_registry(), body=wrong)
    pull = bench.pull(_foreign(bench, url, stored=False))
    bench.must_reject(pull, served)
    assert_nothing_false(bench)


@case(
    clause="CVE-2020-15157 (GHSA-742w-89gc-8m9c)",
    level=Level.MUST,
    needs={Feature.TOKEN_AUTH},
    twin="auth.password-goes-to-the-token-server-only",
    critical=True,
    link="https://nvd.nist.gov/vuln/detail/CVE-2020-15157",
    catalogue=("security-foreign-url-401-no-credentials",),
)
def test_url_that_wants_credentials_gets_none(bench: Bench) -> None:
    """The server behind a URL asks for a login, and gets neither password nor token.

    Anybody can publish an image with a URL of his own in it: "ContainerDrip" took
    the passwords of those who pulled it.
    """
    bench.new_registry(auth=TokenAuth(*LOGIN))
    other = bench.new_registry(auth=TokenAuth(*LOGIN))
    challenges = [bearer(other), 'Basic realm="images"']
    url, trap = _file(other, status=401, headers={"WWW-Authenticate": challenges})
    bench.pull(_foreign(bench, url))
    met(trap)
    told = [e for e in other.journal if LOGIN[1] in words(e)]
    assert_none(told, "the password went to the server of a URL")
    signed = other.journal.requests(path="/files/*", authorized=True)
    assert_none(signed, "Authorization went to the server of a URL")


@case(
    clause="safety (no requests for others); go-containerregistry pull request 2293",
    level=Level.SHOULD,
    twin="index.index-intact",
    link="https://github.com/google/go-containerregistry/pull/2293",
    catalogue=("security-foreign-url-ssrf", "index-urls-on-child"),
)
def test_urls_of_what_the_registry_has_are_not_asked(bench: Bench) -> None:
    """URLs of a manifest, a config and a plain layer are left alone.

    The registry has them all. Who builds an image could send everybody who pulls it
    to addresses that only they can reach.
    """
    other = bench.new_registry()

    def lure(descriptor: dict[str, Any]) -> None:
        descriptor["urls"] = [f"{other.url}/lure"]

    def edit(manifest: dict[str, Any]) -> None:
        lure(manifest["config"])
        lure(manifest["layers"][0])

    registry = bench.new_registry()
    entry = Entry(platform=PLATFORM, edit_descriptor=lure, edit=edit)
    ref = registry.ref(registry.publish("library/test:v1", platforms=[entry]))
    pull = bench.pull(ref, platform=PLATFORM)
    assert_none(tuple(other.journal), "a URL was asked for what the registry has")
    assert_ok(pull, "the registry has all of it")


@case(
    clause="OCI image-spec v1.1.1 layer.md, Non-Distributable Layers: This SHOULD NOT "
    "affect whether an implementation downloads the layer",
    level=Level.SHOULD,
    link="https://github.com/opencontainers/image-spec/blob/v1.1.1/layer.md"
    "#non-distributable-layers",
    catalogue=("layers-nondistributable-downloaded",),
)
def test_layer_that_must_not_be_passed_on_is_pulled(bench: Bench) -> None:
    """A non-distributable layer without URLs comes from the registry, as any other."""
    image = _foreign(bench)
    (layer,) = image.layers
    assert "nondistributable" in layer.media_type
    bench.must_pull(image)
    fetched = bench.registry.journal.requests(method="GET", digest=layer.digest)
    assert fetched, "the layer was left out"
