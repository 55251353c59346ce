"""What a 401 says, in all the forms that RFC 9110 section 11 gives it.

Servers write the header ``WWW-Authenticate`` by hand, gateways rewrite it, and each
form below has kept some client from some registry. The twin of all of them is
``auth.token-is-taken-as-it-is``: the same with the form that Docker Hub uses.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qs

from conformance.case import Feature, Level, NotTestable, case
from conformance.cases._content import assert_not_crashed
from conformance.cases._wire import (
    SCOPE,
    TICKET,
    ask_for_ticket,
    assert_bounded,
    assert_none,
    bearer,
    hand_out,
    must_pull_with_ticket,
)

if TYPE_CHECKING:
    from conformance.bench import Bench, Pull
    from fakeregistry import Fault

TOKENS: Final = {Feature.TOKEN_AUTH}
HEALTHY: Final = "auth.token-is-taken-as-it-is"
DOCKER: Final = "distribution v2.8.3 docs/spec/auth/token.md"


@case(
    clause="RFC 9110 section 11.2: parameter names are matched case-insensitively",
    level=Level.MUST,
    needs=TOKENS,
    catalogue=("auth-param-name-case-insensitive",),
)
def test_parameter_names_have_no_case(bench: Bench) -> None:
    """``Realm`` and ``REALM`` are ``realm``."""
    challenge = bearer(bench.registry)
    challenge = challenge.replace("realm=", "Realm=").replace("service=", "SERVICE=")
    must_pull_with_ticket(bench, challenge)


@case(
    clause="RFC 9110 section 11.2: auth-param = token BWS = BWS ( token / "
    "quoted-string )",
    level=Level.MUST,
    needs=TOKENS,
    catalogue=("auth-param-unquoted-token",),
)
def test_value_need_not_be_quoted(bench: Bench) -> None:
    """A value without special characters may stand without quotes."""
    challenge = bearer(bench.registry).replace('service="fakeregistry",', "")
    bare = challenge.replace("Bearer ", "Bearer service=fakeregistry,")
    must_pull_with_ticket(bench, bare)


@case(
    clause="RFC 9110 sections 5.6.4 and 11.2",
    level=Level.MUST,
    needs=TOKENS,
    catalogue=("auth-quoted-string-escapes",),
)
def test_quoted_value_may_hold_quotes_and_commas(bench: Bench) -> None:
    r"""In a quoted string ``\"`` is a quote, and a comma is a comma.

    The realm is a URL with a query here that has both.
    """
    challenge = bearer(bench.registry)
    challenge = challenge.replace("/token", '/token?for=\\"you, me\\"')
    must_pull_with_ticket(bench, challenge)
    for asked in bench.registry.journal.requests(path="/token"):
        assert parse_qs(asked.query).get("for") == ['"you, me"'], f"{asked!r}"


@case(
    clause="RFC 9110 section 11.6.1",
    level=Level.SHOULD,
    needs=TOKENS,
    catalogue=("auth-unknown-scheme-first",),
)
def test_unknown_scheme_is_passed_over(bench: Bench) -> None:
    """A scheme that a client does not know is no obstacle, when another is offered."""
    must_pull_with_ticket(bench, ["Negotiate", bearer(bench.registry)])


@case(
    clause=f"{DOCKER}, Query Parameters; RFC 6749 section 3.2: the endpoint URI "
    "may include a query component, which must be retained",
    level=Level.SHOULD,
    needs=TOKENS,
    catalogue=("auth-realm-has-query",),
)
def test_query_of_the_realm_is_kept(bench: Bench) -> None:
    """What stands behind ``?`` in a realm stays, and service and scope join it."""
    challenge = bearer(bench.registry).replace("/token", "/token?account=public")
    must_pull_with_ticket(bench, challenge)
    for asked in bench.registry.journal.requests(method="GET", path="/token"):
        query = parse_qs(asked.query)
        assert query.get("account") == ["public"], f"lost the realm's own: {query}"
        assert query.get("service") == ["fakeregistry"], f"lost the service: {query}"
        assert query.get("scope") == [SCOPE], f"lost the scope: {query}"


@case(
    clause="RFC 6750 section 3, which knows no service; token.md, Query Parameters",
    level=Level.SHOULD,
    needs=TOKENS,
    catalogue=("auth-service-missing",),
)
def test_service_may_be_missing(bench: Bench) -> None:
    """A challenge without a service, as Google's, is answered without one."""
    challenge = bearer(bench.registry).replace('service="fakeregistry",', "")
    must_pull_with_ticket(bench, challenge)
    for asked in bench.registry.journal.requests(method="GET", path="/token"):
        assert "service" not in parse_qs(asked.query), "made up a service"


@case(
    clause=f"{DOCKER}, How to authenticate: the WWW-Authenticate header names "
    "the realm",
    level=Level.SHOULD,
    needs=TOKENS,
    twin=HEALTHY,
    catalogue=("auth-realm-missing",),
)
def test_challenge_without_a_realm_is_an_error(bench: Bench) -> None:
    """Without a realm there is nowhere to go for a token: the pull fails."""
    challenge = bearer(bench.registry)
    _must_fail_cleanly(bench, "Bearer " + challenge.partition(",")[2])
    astray = [e for e in bench.registry.journal if not e.path.startswith("/v2")]
    assert_none(astray, "asked somewhere for a token")


@case(
    clause="RFC 9110 section 11.5: a realm is opaque; token.md has absolute URLs only",
    level=Level.MAY,
    needs=TOKENS,
    catalogue=("auth-realm-relative",),
)
def test_realm_may_be_relative(bench: Bench) -> None:
    """``realm="/token"``: is it resolved against the registry, or an error?"""
    registry = bench.registry
    challenge = bearer(registry).replace(f'"{registry.url}/token"', '"/token"')
    image = bench.publish()
    refusal = ask_for_ticket(registry, challenge)
    hand_out(registry, token=TICKET)
    pull = bench.pull(image)
    _met(refusal, pull)
    bench.observe("resolves it" if pull.ok else "an error")


@case(
    clause="safety (no crash); regclient commit d083a07",
    level=Level.MUST,
    twin="verify.layer-intact",
    catalogue=("auth-quoted-scheme-no-panic",),
)
def test_challenge_that_is_none_is_an_error(bench: Bench) -> None:
    """A header that breaks the grammar ends the pull, with words and not a crash.

    The scheme is in quotes, the quotes do not end, there is nothing but commas: none
    of it says what to do.
    """
    realm = f"{bench.registry.url}/token"
    for challenge in (f'"Bearer" realm="{realm}"', 'Bearer realm="', "Bearer", ",,,="):
        bench.fresh_store()
        _must_fail_cleanly(bench, challenge)


@case(
    clause="safety (a registry must not read files of its users)",
    level=Level.MUST,
    needs=TOKENS,
    twin=HEALTHY,
    critical=True,
    link="https://github.com/oras-project/oras-go/issues/1276",
    catalogue=("security-realm-non-http-scheme",),
)
def test_realm_that_is_a_file_is_refused(bench: Bench) -> None:
    """A realm is on the web: ``file:`` is not read, though it would have a token.

    The file holds just the right answer here, so that only a refusal keeps the pull
    from succeeding.
    """
    planted = bench.root.with_name("planted")
    planted.write_text(json.dumps({"token": TICKET, "access_token": TICKET}))
    challenge = bearer(bench.registry)
    realm = f"{bench.registry.url}/token"
    _must_fail_cleanly(bench, challenge.replace(realm, planted.as_uri()))


@case(
    clause="RFC 9110 section 15.5.2: the server MUST send a challenge",
    level=Level.SHOULD,
    twin="verify.layer-intact",
    catalogue=("auth-401-without-challenge",),
)
def test_refusal_without_a_challenge_is_final(bench: Bench) -> None:
    """A 401 that does not say what it wants ends the pull, soon."""
    image = bench.publish()
    refusal = bench.registry.fault(path="/v2/*", status=401)
    pull = bench.pull(image)
    bench.must_reject(pull, refusal)
    assert_not_crashed(pull)
    assert_bounded(bench.registry)


def _must_fail_cleanly(bench: Bench, challenge: str) -> None:
    """Hold that a client fails on a challenge, soon and without a crash."""
    image = bench.publish()
    refusal = bench.registry.fault(
        path="/v2/*",
        when=lambda e: e.request_headers.get("Authorization") != f"Bearer {TICKET}",
        status=401,
        headers={"WWW-Authenticate": challenge},
    )
    pull = bench.pull(image)
    bench.must_reject(pull, refusal)
    assert_not_crashed(pull)
    assert_bounded(bench.registry)
    refusal.remove()


def _met(fault: Fault, pull: Pull) -> None:
    if not fault.fired:
        raise NotTestable(f"the client never met the challenge; {pull}")
