"""Redirects: content lies elsewhere, credentials stay at home.

Large registries answer a blob request with the URL of an object store. The
released distribution-spec (v1.1.1) is silent about it; its main branch (967efdc,
section API) is not, and RFC 9110 section 15.4 never was.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from conformance.case import Feature, Level, NotTestable, case
from conformance.cases._wire import (
    LOGIN,
    assert_bounded,
    assert_none,
    assert_ok,
    bearer,
    elsewhere,
    met,
)
from fakeregistry import TokenAuth

if TYPE_CHECKING:
    from conformance.bench import Bench
    from fakeregistry import Exchange

LINK: Final = (
    "https://github.com/opencontainers/distribution-spec/blob/967efdc/spec.md#api"
)


@case(
    clause="distribution-spec main (967efdc), API: clients SHOULD follow such "
    "redirects",
    level=Level.SHOULD,
    link=LINK,
    catalogue=("redirect-unfollowed-body-not-stored",),
)
def test_blob_on_another_host_is_fetched_there(bench: Bench) -> None:
    """A client follows the redirect of a blob to another host.

    Most public registries keep no blobs of their own.
    """
    image = bench.publish(layers=2)
    other = bench.new_registry()
    other.add_image(image)
    bench.registry.redirect(to=elsewhere(other), method="GET")
    bench.must_pull(image)
    for layer in image.layers:
        assert other.journal.requests(method="GET", digest=layer.digest)


@case(
    clause="distribution-spec main (967efdc), API: clients MUST NOT forward "
    "Authorization headers across host boundaries; CVE-2018-20060",
    level=Level.MUST,
    needs={Feature.TOKEN_AUTH},
    twin="redirect.blob-on-another-host-is-fetched-there",
    critical=True,
    link=LINK,
    catalogue=("redirect-strip-authorization-cross-host",),
)
def test_authorization_does_not_follow_to_another_host(bench: Bench) -> None:
    """A token is for the registry: another host never sees it.

    The store behind a registry may be anybody's, and a registry that was broken
    into could collect tokens by redirects.
    """
    registry = bench.new_registry(auth=TokenAuth(*LOGIN))
    image = bench.publish()
    other = bench.new_registry()
    other.add_image(image)
    moved = registry.redirect(to=elsewhere(other), authorized=True)
    pull = bench.pull(image)
    met(moved)
    if not len(other.journal):
        raise NotTestable(f"the client did not follow the redirect; {pull}")
    told = other.journal.requests(authorized=True)
    assert_none(told, "Authorization went to another host")


@case(
    clause="GHSA-vh4v-2xq2-g5cg; CVE-2018-20060 (host, port or scheme)",
    level=Level.SHOULD,
    needs={Feature.TOKEN_AUTH},
    twin="redirect.blob-on-another-host-is-fetched-there",
    critical=True,
    catalogue=("redirect-strip-authorization-other-port",),
)
def test_authorization_does_not_follow_to_another_port(bench: Bench) -> None:
    """Another port of the same host is another server: it gets no token either.

    No specification says what a host boundary is; the advisories count the port,
    since on one machine anybody may open another.
    """
    registry = bench.new_registry(auth=TokenAuth(*LOGIN))
    image = bench.publish()
    other = bench.new_registry()
    other.add_image(image)
    moved = registry.redirect(to=other, authorized=True)
    pull = bench.pull(image)
    met(moved)
    if not len(other.journal):
        raise NotTestable(f"the client did not follow the redirect; {pull}")
    told = other.journal.requests(authorized=True)
    assert_none(told, "Authorization went to another port")


@case(
    clause="CVE-2018-18074 (requests: https to http on the same host)",
    level=Level.MUST,
    needs={Feature.TLS, Feature.TOKEN_AUTH},
    twin="auth.password-token-flow-works-over-tls",
    critical=True,
    catalogue=("redirect-https-to-http-same-host",),
)
def test_authorization_does_not_leave_tls(bench: Bench) -> None:
    """A redirect from https to http takes no token along, if it is followed.

    Who listens on the way would have the token, and the registry's name alone
    does not make the target the registry.
    """
    registry = bench.new_registry(auth=TokenAuth(*LOGIN), tls=True)
    image = bench.publish()
    plain = bench.new_registry(tls=False)
    plain.add_image(image)
    moved = registry.redirect(to=plain, authorized=True)
    bench.pull(image)
    met(moved)
    told = plain.journal.requests(authorized=True)
    assert_none(told, "Authorization went out in clear")


@case(
    clause="distribution-spec main (967efdc), API: MUST NOT forward Authorization "
    "headers across host boundaries",
    level=Level.MUST,
    needs={Feature.TOKEN_AUTH},
    twin="redirect.blob-on-another-host-is-fetched-there",
    critical=True,
    link=LINK,
    catalogue=("redirect-reattach-after-challenge",),
)
def test_challenge_of_the_target_gets_no_token(bench: Bench) -> None:
    """The target of a redirect cannot ask for what the redirect did not bring.

    Some clients authenticate wherever they are sent, others never do; a target
    that names the registry's own token server must not get the registry's token.
    """
    registry = bench.new_registry(auth=TokenAuth(*LOGIN))
    image = bench.publish()
    other = bench.new_registry()
    challenge = {"WWW-Authenticate": bearer(registry)}
    trap = other.fault(path="/v2/*", status=401, headers=challenge)
    registry.redirect(to=elsewhere(other), authorized=True)
    bench.must_reject(bench.pull(image), trap)
    told = other.journal.requests(authorized=True)
    assert_none(told, "the target of a redirect got a token")


@case(
    clause="distribution-spec main (967efdc), API; RFC 9110 sections 15.4.2 to 15.4.9",
    level=Level.SHOULD,
    link=LINK,
    catalogue=("redirect-all-3xx-codes",),
)
def test_every_kind_of_redirect_is_followed(bench: Bench) -> None:
    """301, 302, 303, 307 and 308 all lead on; servers use each of them."""
    image = bench.publish(layers=5)
    other = bench.new_registry()
    other.add_image(image)
    for status, layer in zip((301, 302, 303, 307, 308), image.layers, strict=True):
        bench.registry.redirect(
            to=elsewhere(other), status=status, method="GET", digest=layer.digest
        )
    bench.must_pull(image)
    for layer in image.layers:
        assert other.journal.requests(method="GET", digest=layer.digest)


@case(
    clause="RFC 9110 section 15.4.3",
    level=Level.SHOULD,
    catalogue=("redirect-head-stays-head",),
)
def test_redirected_head_stays_head(bench: Bench) -> None:
    """A HEAD that is redirected is sent on as a HEAD.

    Only POST may turn into GET; a client that asks for the whole manifest in
    place of its digest pays for a pull, and registries count them.
    """
    image = bench.publish()
    other = bench.new_registry()
    other.add_image(image)
    moved = bench.registry.redirect(
        "/manifests/*", to=elsewhere(other), status=302, method="HEAD"
    )
    bench.must_pull(image)
    met(moved)
    methods = {e.method for e in other.journal}
    assert methods == {"HEAD"}, f"HEAD became {sorted(methods)}"


@case(
    clause="RFC 9110 section 10.2.2",
    level=Level.MUST,
    catalogue=("redirect-relative-location",),
)
def test_relative_location_is_resolved(bench: Bench) -> None:
    """A Location without a host is resolved against the URL that was asked for."""
    image = bench.publish()
    moved = bench.registry.fault(
        method="GET",
        path="/blobs/*",
        when=lambda e: not e.query,
        redirect="../blobs/{reference}?moved=1",
    )
    bench.must_pull(image)
    met(moved)
    for layer in image.layers:
        found = bench.registry.journal.requests(method="GET", digest=layer.digest)
        assert found[-1].target.endswith(f"/blobs/{layer.digest}?moved=1")


@case(
    clause="RFC 9110 section 15.4: a client SHOULD detect cyclical redirections",
    level=Level.SHOULD,
    twin="redirect.blob-on-another-host-is-fetched-there",
    catalogue=("redirect-loop",),
)
def test_circle_of_redirects_is_left(bench: Bench) -> None:
    """A blob that is redirected to itself ends the pull, soon."""
    registry = bench.registry
    image = bench.publish()
    circle = registry.fault(
        method="GET", path="/blobs/*", redirect=f"{registry.url}{{target}}"
    )
    bench.must_reject(bench.pull(image), circle)
    # Clients give up after 10 to 50, and some try the blob again.
    assert_bounded(registry, limit=200)


@case(
    clause="RFC 9110 section 15.4: resend the original request",
    level=Level.SHOULD,
    needs={Feature.RESUME},
    catalogue=("redirect-range-kept",),
)
def test_range_is_kept_on_a_redirect(bench: Bench) -> None:
    """A client that resumes asks the target of a redirect for the rest only."""
    image = bench.publish(layer_size=8192)
    (layer,) = image.layers
    other = bench.new_registry()
    other.add_image(image)
    bench.registry.fault(method="GET", digest=layer.digest, times=1, truncate=1000)
    moved = bench.registry.redirect(to=elsewhere(other), method="GET", range=True)
    pull = bench.pull(image)
    met(moved)
    asked = [e.request_headers.get("Range") for e in other.journal]
    assert asked == [e.request_headers.get("Range") for e in moved.exchanges]
    assert_ok(pull, "the rest came from elsewhere, yet the pull failed")


@case(
    clause="CVE-2009-0037 (libcurl), CVE-2011-1521 (Python): redirects to file:",
    level=Level.MUST,
    twin="redirect.blob-on-another-host-is-fetched-there",
    critical=True,
    catalogue=("redirect-non-http-scheme",),
)
def test_redirect_to_a_file_is_refused(bench: Bench) -> None:
    """A registry cannot make a client read a file of its own machine.

    The file holds just the right bytes here, so that only a refusal keeps the
    pull from succeeding.
    """
    image = bench.publish()
    (layer,) = image.layers
    planted = bench.root.with_name("planted")
    planted.write_bytes(image.data[layer.digest])
    moved = bench.registry.fault(
        method="GET", digest=layer.digest, redirect=planted.as_uri()
    )
    bench.must_reject(bench.pull(image), moved)


@case(
    clause="distribution-spec v1.1.1, Pulling blobs: clients SHOULD verify that the "
    "response body matches the requested digest",
    level=Level.SHOULD,
    twin="redirect.blob-on-another-host-is-fetched-there",
    critical=True,
    catalogue=("redirect-manifest-digest-still-checked",),
)
def test_digest_is_checked_after_a_redirect(bench: Bench) -> None:
    """What another host serves is held against the digest that was asked for."""
    image = bench.publish()
    (layer,) = image.layers
    other = bench.new_registry()
    other.add_image(image)
    bench.registry.redirect(to=elsewhere(other), method="GET")
    wrong = other.fault(method="GET", digest=layer.digest, flip=layer.size // 2)
    bench.must_reject(bench.pull(image), wrong)
    if bench.claims(Feature.CONTENT):
        assert not bench.stored({"content"}).corrupt(), "the broken layer was kept"


@case(
    clause="CVE-2023-43804; RFC 6265 section 5.4: a cookie is for its host",
    level=Level.MUST,
    twin="redirect.blob-on-another-host-is-fetched-there",
    critical=True,
    link="https://nvd.nist.gov/vuln/detail/CVE-2023-43804",
    catalogue=("security-cookie-not-cross-host",),
)
def test_cookie_does_not_follow_to_another_host(bench: Bench) -> None:
    """A registry sets a cookie and redirects: the other host does not see it.

    Most clients keep no cookies at all, which is fine.
    """
    image = bench.publish()
    other = bench.new_registry()
    other.add_image(image)
    bench.registry.fault(path="/v2/*", headers={"Set-Cookie": "session=1234; Path=/"})
    moved = bench.registry.redirect(to=elsewhere(other), method="GET")
    pull = bench.pull(image)
    met(moved)
    if not len(other.journal):
        raise NotTestable(f"the client did not follow the redirect; {pull}")
    told = [e for e in other.journal if e.request_headers.get("Cookie")]
    assert_none(told, "a cookie went to another host")
    assert_ok(pull, "the blob is there")


@case(
    clause="containerd v1.5.18 remotes/docker/resolver.go:560: len(via) >= 10",
    level=Level.REFERENCE,
    twin="redirect.blob-on-another-host-is-fetched-there",
    catalogue=("redirect-chain-9-and-10",),
)
def test_nine_redirects_are_followed_and_no_tenth(bench: Bench) -> None:
    """Nine in a row lead to the blob; a tenth is not followed."""
    registry = bench.registry

    def on(exchange: Exchange) -> str:
        return f"{registry.url}{exchange.path}?hop={_hops(exchange) + 1}"

    for hops, works in ((9, True), (10, False)):
        image = bench.publish(f"library/test:after-{hops}", seed=hops)
        (layer,) = image.layers
        chain = registry.fault(
            method="GET",
            digest=layer.digest,
            when=partial(_is_before, hops),
            redirect=on,
        )
        pull = bench.pull(image)
        met(chain)
        assert pull.ok == works, f"{hops} redirects: {pull}"


def _hops(exchange: Exchange) -> int:
    return int(exchange.query.removeprefix("hop=") or 0)


def _is_before(hops: int, exchange: Exchange) -> bool:
    return _hops(exchange) < hops


@case(
    clause="RFC 9110 section 15.4: 304, and 302 without Location",
    level=Level.MAY,
    catalogue=("resolve-3xx-without-location",),
)
def test_redirect_to_nowhere(bench: Bench) -> None:
    """A HEAD for the tag is answered with 304, or with 302 and no Location."""
    told = []
    for status in (302, 304):
        image = bench.publish(f"library/test:v{status}")
        odd = bench.registry.fault(reference=image.tag, status=status)
        bench.fresh_store()
        pull = bench.pull(image)
        met(odd)
        told.append(f"{status}: {'goes on' if pull.ok else 'an error'}")
    assert_bounded(bench.registry)
    bench.observe(", ".join(told))


@case(
    clause="RFC 6265: a client need not keep cookies",
    level=Level.MAY,
    catalogue=("redirect-cookie-gate",),
)
def test_gate_that_wants_a_cookie(bench: Bench) -> None:
    """A login host sets a cookie and redirects back; without it, round again.

    Load balancers with a login in front do that. A client without cookies leaves the
    circle, soon.
    """
    registry, gate = bench.registry, bench.new_registry()
    image = bench.publish()
    back = gate.fault(
        redirect=f"{registry.url}{{path}}",
        status=302,
        headers={"Set-Cookie": "session=1234; Path=/"},
    )
    registry.fault(
        path="/v2/*",
        when=lambda e: "session=1234" not in e.request_headers.get("Cookie"),
        status=302,
        redirect=f"{gate.url}{{path}}",
    )
    pull = bench.pull(image)
    met(back)
    assert_bounded(registry, limit=200)
    bench.observe("keeps the cookie" if pull.ok else "leaves the circle")


@case(
    clause="RFC 9110 section 4.2.2: http and https are different origins",
    level=Level.MAY,
    needs={Feature.TLS, Feature.TOKEN_AUTH},
    catalogue=("redirect-http-to-https-same-host-then-401",),
)
def test_registry_that_moves_to_https_and_wants_a_token(bench: Bench) -> None:
    """An http registry redirects to https, where a challenge waits.

    To answer it is safe: nothing leaves TLS. Yet it is another origin.
    """
    plain = bench.new_registry()
    image = plain.publish("library/test:v1")
    secure = bench.new_registry(auth=TokenAuth(), tls=True)
    secure.add_image(image)
    moved = plain.redirect("/v2/*", to=secure)
    pull = bench.pull(image, ca=secure.ca_file)
    met(moved)
    asked = secure.journal.requests(path="/token")
    bench.observe(
        f"{'gets' if asked else 'gets no'} token; {'works' if pull.ok else 'fails'}"
    )


@case(
    clause="practice (signed URLs are credentials); containerd TestRequestSanitize",
    level=Level.MAY,
    catalogue=("security-presigned-url-not-logged",),
)
def test_signature_of_a_url_is_not_in_the_error(bench: Bench) -> None:
    """The store behind a redirect fails: is its signed URL in the client's words?

    Logs are read by many, and the signature is good for everybody.
    """
    image = bench.publish()
    store = bench.new_registry()
    failing = store.fault(path="/v2/*", status=500)
    to = f"{elsewhere(store)}?X-Amz-Signature=0123456789abcdef"
    bench.registry.fault(method="GET", path="/blobs/*", redirect=to)
    pull = bench.pull(image)
    met(failing)
    said = f"{pull.error} {pull.stderr} {pull.stdout}"
    bench.observe("shows it" if "0123456789abcdef" in said else "does not show it")
