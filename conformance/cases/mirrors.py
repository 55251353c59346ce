"""Mirrors: other hosts are asked in the place of a registry, and trusted less.

How a client is told of a mirror is its own affair; the adapter translates
(ADAPTER.md, ``hosts_dir``). What a mirror may know and decide is everybody's: the
distribution-spec's main branch (967efdc) has a section on it, and containerd's
docs/hosts.md says what the capabilities mean.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl

from conformance.bench import Mirror
from conformance.case import Feature, Level, NotTestable, case
from conformance.cases._content import assert_nothing_false
from conformance.cases._wire import LOGIN, assert_none, elsewhere, met, words
from fakeregistry import BasicAuth, TokenAuth
from fakeregistry.image import digest_of

if TYPE_CHECKING:
    from conformance.bench import Bench
    from fakeregistry import Exchange, Image, Registry

MIRRORS: Final = {Feature.MIRRORS}
PROXIES: Final = (
    "https://github.com/opencontainers/distribution-spec/blob/967efdc/spec.md"
    "#registry-proxying"
)
HOSTS: Final = "https://github.com/containerd/containerd/blob/v1.6.20/docs/hosts.md"
HEALTHY: Final = "mirrors.mirror-is-asked-before-the-registry"


def _mirror(bench: Bench, image: Image | None, **options: object) -> Registry:
    """Start a mirror that has an image, or nothing."""
    mirror = bench.new_registry(**options)
    if image is not None:
        mirror.add_image(image)
    return mirror


def _namespaces(exchange: Exchange) -> list[str]:
    return [value for name, value in parse_qsl(exchange.query) if name == "ns"]


@case(
    clause="distribution-spec main (967efdc), Registry Proxying: An example of "
    "delegating functionality is proxying pull operations to another registry.",
    level=Level.SHOULD,
    needs=MIRRORS,
    link=PROXIES,
)
def test_mirror_is_asked_before_the_registry(bench: Bench) -> None:
    """A mirror that has the image serves it; the registry need not.

    That is what mirrors are for: they are near, or they are free. The twin of the
    cases in which a mirror is not as it should be.
    """
    image = bench.publish(layers=2)
    mirror = _mirror(bench, image)
    bench.must_pull(image, mirrors=[mirror])
    for layer in image.layers:
        assert mirror.journal.requests(method="GET", digest=layer.digest)
        there = bench.registry.journal.requests(digest=layer.digest)
        assert_none(there, "the registry was asked for what the mirror has")


@case(
    clause="containerd v1.5.18 remotes/docker/resolver.go:295",
    level=Level.REFERENCE,
    needs=MIRRORS,
    catalogue=("resolve-mirror-404-next",),
)
def test_registry_has_what_the_mirror_lacks(bench: Bench) -> None:
    """A mirror without the image is passed over, and the registry serves it."""
    image = bench.publish()
    mirror = _mirror(bench, None)
    bench.must_pull(image, mirrors=[mirror])
    assert mirror.journal.requests(status=404), "the mirror was never asked"
    assert bench.registry.journal.requests(digest=image.layers[0].digest)


@case(
    clause="containerd v1.5.18 remotes/docker/resolver.go:299",
    level=Level.REFERENCE,
    needs=MIRRORS,
    catalogue=("resolve-mirror-5xx-next",),
)
def test_registry_stands_in_for_a_broken_mirror(bench: Bench) -> None:
    """A mirror that answers 403, 500 or 503 costs no pull.

    It is often a cache beside the cluster: when it breaks, nothing else must.
    """
    image = bench.publish()
    for status in (403, 500, 503):
        mirror = _mirror(bench, image)
        broken = mirror.fault(path="/v2/*", status=status)
        bench.fresh_store()
        bench.must_pull(image, mirrors=[mirror])
        assert broken.fired, "the mirror was never asked"


@case(
    clause="containerd v1.5.18 remotes/docker/resolver.go:290",
    level=Level.REFERENCE,
    needs=MIRRORS,
    catalogue=("resolve-mirror-refused-next",),
)
def test_registry_stands_in_for_a_mirror_that_is_gone(bench: Bench) -> None:
    """Nobody listens where the mirror was, and a second one hangs up on everybody."""
    image = bench.publish()
    gone, rude = _mirror(bench, image), _mirror(bench, image)
    gone.stop()
    rudeness = rude.fault(path="/v2/*", reset=True)
    bench.must_pull(image, mirrors=[gone, rude])
    assert rudeness.fired, "the second mirror was never asked"
    assert bench.registry.journal.requests(digest=image.layers[0].digest)


@case(
    clause="containerd v1.5.18 remotes/docker/config/hosts.go:334",
    level=Level.REFERENCE,
    needs=MIRRORS,
)
def test_mirrors_are_asked_in_their_order(bench: Bench) -> None:
    """Of three mirrors the first is asked first, whatever it is called.

    Each of them lacks the image, so that all are asked: for the tag, one after the
    other, before the registry.
    """
    image = bench.publish()
    mirrors = [_mirror(bench, None) for _ in range(3)]
    mirrors.sort(key=lambda mirror: mirror.port, reverse=True)
    bench.must_pull(image, mirrors=mirrors)
    asked = [
        min(e.started for e in each.journal) if len(each.journal) else None
        for each in (*mirrors, bench.registry)
    ]
    assert None not in asked, "not all of them were asked"
    assert asked == sorted(asked, key=lambda at: at or 0), "not in their order"


@case(
    clause="containerd docs/hosts.md, capabilities: A public mirror should never be "
    "trusted to do a resolve action.",
    level=Level.SHOULD,
    needs=MIRRORS,
    twin=HEALTHY,
    critical=True,
    link=f"{HOSTS}#capabilities-field",
    catalogue=("resolve-mirror-without-resolve-capability",),
)
def test_mirror_for_content_does_not_decide_on_tags(bench: Bench) -> None:
    """A mirror that is trusted with content by digest is not asked for a tag.

    It has another image under the same tag here. What a digest names cannot be
    forged; which digest a tag names is the registry's word.
    """
    image = bench.publish()
    other = _mirror(bench, image)
    other.publish("library/test:v1", seed="another image")
    pull = bench.pull(image, mirrors=[Mirror(registry=other, capabilities=["pull"])])
    assert_none(other.journal.requests(reference="v1"), "the mirror was asked for v1")
    assert bench.registry.journal.requests(reference="v1"), f"nobody was asked; {pull}"
    assert pull.ok, f"the pull must succeed; {pull}"
    assert other.journal.requests(method="GET", digest=image.layers[0].digest)


@case(
    clause="containerd docs/hosts.md, capabilities: Include only the values that "
    "apply.",
    level=Level.SHOULD,
    needs=MIRRORS,
    twin=HEALTHY,
    link=f"{HOSTS}#capabilities-field",
    catalogue=("fetch-host-without-pull-capability",),
)
def test_host_without_content_is_not_asked_for_any(bench: Bench) -> None:
    """A host that may resolve tags, and no more, is not asked for manifests or blobs.

    It would answer each with an error, or see what it need not.
    """
    image = bench.publish()
    names = _mirror(bench, image)
    bench.must_pull(image, mirrors=[Mirror(registry=names, capabilities=["resolve"])])
    asked = names.journal.requests(method="GET")
    assert_none(asked, "asked for content where there is none")
    assert bench.registry.journal.requests(digest=image.layers[0].digest)


@case(
    clause="distribution-spec main (967efdc), Registry Proxying: Authorization "
    "credentials for an upstream registry SHOULD NOT be sent to a proxy registry "
    "unless explicitly configured or instructed to do so by the credential owner.",
    level=Level.SHOULD,
    needs={Feature.MIRRORS, Feature.BASIC_AUTH},
    twin=HEALTHY,
    critical=True,
    link=PROXIES,
    catalogue=("resolve-mirror-no-upstream-credentials",),
)
def test_mirror_that_wants_a_password_does_not_get_the_registrys(bench: Bench) -> None:
    """A mirror asks for a password: it does not get the one for the registry.

    A mirror is run by somebody else, else it would not be a mirror.
    """
    bench.new_registry(auth=BasicAuth(*LOGIN))
    image = bench.publish()
    mirror = _mirror(bench, image, auth=BasicAuth(*LOGIN))
    pull = bench.pull(image, mirrors=[mirror])
    if not mirror.journal.requests(status=401):
        raise NotTestable(f"the client never met the challenge; {pull}")
    told = [e for e in mirror.journal if LOGIN[1] in words(e)]
    assert_none(told, "the mirror got the registry's password")


@case(
    clause="distribution-spec main (967efdc), Registry Proxying: Authorization "
    "credentials for an upstream registry SHOULD NOT be sent to a proxy registry",
    level=Level.SHOULD,
    needs={Feature.MIRRORS, Feature.TOKEN_AUTH},
    twin=HEALTHY,
    critical=True,
    link=PROXIES,
    catalogue=("resolve-mirror-no-upstream-credentials",),
)
def test_token_server_of_a_mirror_does_not_get_the_password(bench: Bench) -> None:
    """The same of a mirror that names a token server of its own.

    A token for everybody may be asked for there, as for any public image.
    """
    bench.new_registry(auth=TokenAuth(*LOGIN))
    image = bench.publish()
    mirror = _mirror(bench, image, auth=TokenAuth())
    pull = bench.pull(image, mirrors=[mirror])
    if not mirror.journal.requests(status=401):
        raise NotTestable(f"the client never met the challenge; {pull}")
    told = [e for e in mirror.journal if LOGIN[1] in words(e)]
    assert_none(told, "the mirror's token server got the registry's password")


@case(
    clause="distribution v2.8.3 docs/spec/auth/token.md, Query Parameters, scope: the "
    "scope parameters from the WWW-Authenticate header",
    level=Level.SHOULD,
    needs={Feature.MIRRORS, Feature.TOKEN_AUTH},
    catalogue=("resolve-mirror-token-scope",),
)
def test_token_for_a_mirror_has_the_scope_that_it_names(bench: Bench) -> None:
    """A mirror keeps the registry's images below a name of its own, and says so.

    Its challenge names that repository. A token for the registry's name of it is of
    no use there.
    """
    image = bench.publish()
    mirror = _mirror(bench, None, auth=TokenAuth())
    for item in image.documents:
        data = image.data[item.digest]
        mirror.put_manifest(
            "cache/library/test", data, media_type=item.media_type, tag=image.tag
        )
    for item in image.contents:
        mirror.put_blob("cache/library/test", image.data[item.digest])
    pull = bench.pull(image, mirrors=[Mirror(registry=mirror, path="/v2/cache")])
    asked = mirror.journal.requests(path="/token")
    if not asked:
        raise NotTestable(f"the client never asked for a token; {pull}")
    scopes = [v for e in asked for k, v in parse_qsl(e.query) if k == "scope"]
    wanted = "repository:cache/library/test:pull"
    assert wanted in scopes, f"asked for {' and '.join(scopes)}"
    served = mirror.journal.requests(digest=image.layers[0].digest, status=200)
    assert served, f"the token was of no use; {pull}"


@case(
    clause="containerd v1.5.18 remotes/docker/resolver.go:494",
    level=Level.REFERENCE,
    needs=MIRRORS,
    catalogue=("resolve-mirror-ns-parameter",),
)
def test_mirror_is_told_for_which_registry_it_stands_in(bench: Bench) -> None:
    """Each request to a mirror has the registry's name in the parameter ``ns``.

    One mirror may stand in for many registries, which have repositories of one name.
    """
    image = bench.publish()
    mirror = _mirror(bench, image)
    bench.must_pull(image, mirrors=[mirror])
    assert len(mirror.journal), "the mirror was never asked"
    silent = [e for e in mirror.journal if _namespaces(e) != [bench.registry.host]]
    assert_none(silent, "a request without the registry's name")


@case(
    clause="distribution-spec main (967efdc), Registry Proxying: A client SHOULD avoid "
    "sending ns query parameters to non-proxy registries.",
    level=Level.SHOULD,
    needs=MIRRORS,
    link=PROXIES,
    catalogue=("resolve-mirror-ns-parameter",),
)
def test_registry_itself_is_not_told_its_name(bench: Bench) -> None:
    """What is said to mirrors is not said to the registry, when it is its turn.

    Some refuse parameters that they do not know, and signed URLs break by them.
    """
    image = bench.publish()
    mirror = _mirror(bench, None)
    bench.must_pull(image, mirrors=[mirror])
    told = [e for e in bench.registry.journal if _namespaces(e)]
    assert_none(told, "the registry was told its own name")


@case(
    clause="distribution-spec main (967efdc), Registry Proxying: the Host header "
    "passed to the registry will be the host of the PROXY and NOT the host in the "
    "repository name; RFC 9112 section 3.2",
    level=Level.MUST,
    needs=MIRRORS,
    link=PROXIES,
    catalogue=("transport-host-header",),
)
def test_host_is_the_one_that_is_asked(bench: Bench) -> None:
    """The Host header names the mirror at the mirror, and the registry there."""
    image = bench.publish(layers=2)
    mirror = _mirror(bench, image)
    lacking = mirror.fault(digest=image.layers[1].digest, status=404)
    bench.must_pull(image, mirrors=[mirror])
    assert lacking.fired, "the mirror was never asked for the second layer"
    for registry in (mirror, bench.registry):
        named = {e.request_headers.get("Host") for e in registry.journal}
        assert named == {registry.host}, f"Host was {named} at {registry.host}"


@case(
    clause="OCI distribution-spec v1.1.1, Pulling blobs: clients SHOULD verify that "
    "the response body matches the requested digest",
    level=Level.SHOULD,
    needs={Feature.MIRRORS, Feature.CONTENT},
    twin=HEALTHY,
    critical=True,
)
def test_wrong_bytes_of_a_mirror_are_not_kept(bench: Bench) -> None:
    """What a mirror serves is held against its digest, like anything else.

    Only by that can a mirror be trusted less than the registry.
    """
    image = bench.publish()
    (layer,) = image.layers
    mirror = _mirror(bench, image)
    wrong = mirror.fault(method="GET", digest=layer.digest, flip=layer.size // 2)
    pull = bench.pull(image, mirrors=[mirror])
    met(wrong)
    assert_nothing_false(bench)
    if pull.ok:
        assert bench.stored({"content"}).intact(layer.digest), "a layer is missing"


@case(
    clause="RFC 9110 section 15.4: no automatic fallback is described for a body that "
    "ends early",
    level=Level.MAY,
    needs=MIRRORS,
    catalogue=("resolve-mirror-blob-truncated-no-fallback",),
)
def test_body_of_a_mirror_that_never_comes(bench: Bench) -> None:
    """A mirror announces a blob and sends none of it: is the registry asked?

    containerd asks the mirror again, four times, and fails (its issue 9552).
    """
    image = bench.publish()
    (layer,) = image.layers
    mirror = _mirror(bench, image)
    empty = mirror.fault(method="GET", digest=layer.digest, truncate=0)
    pull = bench.pull(image, mirrors=[mirror])
    met(empty)
    asked = bench.registry.journal.requests(method="GET", digest=layer.digest)
    how = "asks the registry" if asked else f"asks the mirror {empty.fired} times"
    bench.observe(f"{how}, and {'succeeds' if pull.ok else 'fails'}")


@case(
    clause="RFC 9110 section 15.4: remove header fields that were not automatically "
    "generated by the implementation (added by the calling context) where there are "
    "security implications",
    level=Level.SHOULD,
    needs=MIRRORS,
    twin=HEALTHY,
    critical=True,
    link="https://www.rfc-editor.org/rfc/rfc9110#section-15.4",
)
def test_key_for_a_mirror_does_not_follow_a_redirect(bench: Bench) -> None:
    """A header that the user set for a mirror is not sent to where it redirects.

    Such fields carry keys (hosts.toml has them for that), and the store behind a
    mirror is another host.
    """
    image = bench.publish()
    mirror, store = _mirror(bench, image), _mirror(bench, image)
    moved = mirror.redirect(to=elsewhere(store), method="GET")
    key = {"X-Mirror-Key": "for-the-mirror-only"}
    pull = bench.pull(image, mirrors=[Mirror(registry=mirror, headers=key)])
    met(moved)
    if not len(store.journal):
        raise NotTestable(f"the client did not follow the redirect; {pull}")
    shown = [e for e in moved.exchanges if "X-Mirror-Key" in e.request_headers]
    assert shown, "the mirror itself did not get its key"
    told = [e for e in store.journal if "X-Mirror-Key" in e.request_headers]
    assert_none(told, "the mirror's key went to another host")


@case(
    clause="containerd v1.5.18 remotes/docker/resolver.go:368: rejecting, next host",
    level=Level.REFERENCE,
    needs=MIRRORS,
    twin=HEALTHY,
)
def test_answer_that_was_rejected_has_no_say(bench: Bench) -> None:
    """A mirror announces a manifest that is too long: the registry decides alone.

    The digest that the mirror stated goes with its answer.
    """
    image = bench.publish()
    mirror = _mirror(bench, image)
    stated = digest_of(b"something of the mirror's own")
    long = mirror.fault(
        method="HEAD",
        headers={"Content-Length": "5000000", "Docker-Content-Digest": stated},
    )
    pull = bench.pull(image, mirrors=[mirror])
    met(long)
    assert pull.ok, f"the registry was not believed; {pull}"
    everywhere = (*mirror.journal, *bench.registry.journal)
    asked = [e for e in everywhere if e.reference == stated]
    assert_none(asked, "asked for what the mirror had stated")


@case(
    clause="containerd v1.5.18 remotes/docker/resolver.go:382",
    level=Level.REFERENCE,
    needs={Feature.MIRRORS, Feature.IMAGE_RECORD},
)
def test_mirrored_image_keeps_the_registrys_name(bench: Bench) -> None:
    """An image is recorded under the name that was asked for, not the mirror's."""
    image = bench.publish()
    mirror = _mirror(bench, image)
    ref = "registry.example/library/test:v1"
    pull = bench.must_pull(ref, mirrors=[mirror])
    assert mirror.journal.requests(digest=image.layers[0].digest)
    told = {name for e in mirror.journal for name in _namespaces(e)}
    assert told == {"registry.example"}
    assert pull.image is not None, "there is no record"
    assert pull.image.name == ref
