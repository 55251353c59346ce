"""Token servers: what is asked of them, and what is made of their answers.

The scheme is Docker's (distribution v2.8.3, docs/spec/auth: token.md for GET, and
oauth.md for POST). Both leave much open; where they do, the case says so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from conformance.case import Feature, Level, NotTestable, case
from conformance.cases._content import assert_not_crashed
from conformance.cases._wire import (
    LOGIN,
    SCOPE,
    TICKET,
    ask_for_ticket,
    assert_bounded,
    assert_none,
    assert_ok,
    bearer,
    elsewhere,
    form,
    hand_out,
    met,
    scopes,
    words,
)
from fakeregistry import TokenAuth

if TYPE_CHECKING:
    from conformance.bench import Bench
    from fakeregistry import Exchange, Registry

TOKENS: Final = {Feature.TOKEN_AUTH}
SPEC: Final = "distribution v2.8.3 docs/spec/auth/token.md"
OAUTH: Final = "distribution v2.8.3 docs/spec/auth/oauth.md"
AUTHORIZER: Final = "containerd v1.5.18 remotes/docker/authorizer.go"
IDENTITY: Final = "identity-token-of-the-user"


@case(
    clause=f"{AUTHORIZER}:280, remotes/docker/auth/fetch.go:100",
    level=Level.REFERENCE,
    needs=TOKENS,
    catalogue=("auth-oauth-post-first",),
)
def test_password_is_posted_in_a_form(bench: Bench) -> None:
    """With a password, the first request for a token is OAuth's POST."""
    registry = bench.new_registry(auth=TokenAuth(*LOGIN))
    bench.must_pull(bench.publish())
    asked = registry.journal.requests(path="/token")
    assert [e.method for e in asked[:1]] == ["POST"]
    assert form(asked[0]) == {
        "client_id": "containerd-client",
        "grant_type": "password",
        "password": LOGIN[1],
        "scope": SCOPE,
        "service": "fakeregistry",
        "username": LOGIN[0],
    }


@case(
    clause=f"{AUTHORIZER}:280, remotes/docker/auth/fetch.go:97; {OAUTH}, refresh_token",
    level=Level.REFERENCE,
    needs=TOKENS,
    catalogue=("auth-oauth-identity-token",),
)
def test_identity_token_is_posted_as_a_refresh_token(bench: Bench) -> None:
    """A secret without a user name is a refresh token, and goes out as one."""
    registry = bench.registry
    ask_for_ticket(registry, bearer(registry))
    handed = hand_out(registry, access_token=TICKET)
    bench.must_pull(bench.publish(), username="", password=IDENTITY)
    assert handed.fired, "no token was asked for"
    (asked,) = registry.journal.requests(path="/token")[:1]
    assert asked.method == "POST"
    posted = form(asked)
    assert posted["grant_type"] == "refresh_token"
    assert posted["refresh_token"] == IDENTITY
    shown = [e for e in registry.journal.requests(path="/v2/*") if IDENTITY in words(e)]
    assert_none(shown, "the registry got the refresh token")


@case(
    clause=f"{AUTHORIZER}:287",
    level=Level.REFERENCE,
    needs=TOKENS,
    catalogue=("auth-post-405-falls-back-to-get",),
)
def test_post_that_is_not_allowed_is_followed_by_a_get(bench: Bench) -> None:
    """405 says that the token server does not know POST: it is asked with GET."""
    registry = bench.new_registry(auth=TokenAuth(*LOGIN, oauth_post=405))
    bench.must_pull(bench.publish())
    assert registry.journal.requests(method="POST", path="/token", status=405)
    assert registry.journal.requests(method="GET", path="/token", status=200)


@case(
    clause=f"{AUTHORIZER}:287: 405 and a user name",
    level=Level.REFERENCE,
    needs=TOKENS,
    twin="tokens.identity-token-is-posted-as-a-refresh-token",
    catalogue=("auth-post-405-falls-back-to-get",),
)
def test_refresh_token_that_is_not_allowed_is_not_sent_with_get(bench: Bench) -> None:
    """After 405 a refresh token is not tried as a password: the pull fails."""
    registry = bench.registry
    image = bench.publish()
    ask_for_ticket(registry, bearer(registry))
    refused = registry.fault(method="POST", path="/token", status=405)
    bench.must_reject(bench.pull(image, username="", password=IDENTITY), refused)
    tried = registry.journal.requests(method="GET", path="/token")
    assert_none(tried, "the refresh token was tried as a password")


@case(
    clause=f"{AUTHORIZER}:287",
    level=Level.REFERENCE,
    needs=TOKENS,
    catalogue=("auth-post-401-falls-back-to-get",),
)
def test_post_that_is_unauthorized_is_followed_by_a_get(bench: Bench) -> None:
    """Artifactory answers 401 to a POST, and gives the token to a GET."""
    registry = bench.new_registry(auth=TokenAuth(*LOGIN, oauth_post=401))
    bench.must_pull(bench.publish())
    assert registry.journal.requests(method="POST", path="/token", status=401)
    assert registry.journal.requests(method="GET", path="/token", status=200)


@case(
    clause=f"{AUTHORIZER}:287",
    level=Level.REFERENCE,
    needs=TOKENS,
    twin="tokens.password-is-posted-in-a-form",
    catalogue=("auth-post-500-no-fallback",),
)
def test_token_server_that_breaks_is_not_asked_with_get(bench: Bench) -> None:
    """500 is no word about POST: the pull fails, and the password stays at home."""
    registry = bench.new_registry(auth=TokenAuth(*LOGIN, oauth_post=500))
    pull = bench.pull(bench.publish())
    if not registry.journal.requests(method="POST", path="/token", status=500):
        raise NotTestable(f"the client never met the broken server; {pull}")
    bench.must_reject(pull)
    tried = registry.journal.requests(method="GET", path="/token")
    assert_none(tried, "asked again with GET")


@case(
    clause=f"{OAUTH}, Response fields: access_token is REQUIRED",
    level=Level.REFERENCE,
    needs=TOKENS,
    twin="tokens.password-is-posted-in-a-form",
    catalogue=("auth-post-only-token-field",),
)
def test_answer_to_a_post_needs_an_access_token(bench: Bench) -> None:
    """OAuth names the field: ``token`` alone is no answer to a POST."""
    registry = bench.registry
    image = bench.publish()
    ask_for_ticket(registry, bearer(registry))
    answer = hand_out(registry, token=TICKET)
    pull = bench.pull(image, username=LOGIN[0], password=LOGIN[1])
    bench.must_reject(pull, answer)
    made_up = registry.journal.requests(path="/v2/*", authorized=True)
    assert_none(made_up, "sent Authorization without a token")


@case(
    clause="containerd v1.5.18 remotes/docker/auth/fetch.go:200; "
    f"{SPEC}: if both are specified, the choice is undefined",
    level=Level.REFERENCE,
    needs=TOKENS,
    catalogue=("auth-token-both-differ",),
)
def test_access_token_wins_where_the_two_names_differ(bench: Bench) -> None:
    """Of ``token`` and ``access_token`` with different values the second counts."""
    registry = bench.registry
    ask_for_ticket(registry, bearer(registry))
    handed = hand_out(registry, token="another", access_token=TICKET)  # noqa: S106 - no secret
    bench.must_pull(bench.publish())
    assert handed.fired, "no token was asked for"


@case(
    clause=f"{SPEC}, Token Response Fields",
    level=Level.SHOULD,
    needs=TOKENS,
    twin="auth.token-is-taken-as-it-is",
    catalogue=("auth-token-response-not-json",),
)
def test_answer_that_is_a_web_page_is_an_error(bench: Bench) -> None:
    """A login page in the place of a token ends the pull; no token is made of it."""
    registry = bench.registry
    image = bench.publish()
    ask_for_ticket(registry, bearer(registry))
    page = registry.fault(
        path="/token",
        status=200,
        headers={"Content-Type": "text/html"},
        body=b"<!DOCTYPE html><html><body>Please log in.</body></html>",
    )
    pull = bench.pull(image)
    bench.must_reject(pull, page)
    assert_not_crashed(pull)
    made_up = registry.journal.requests(path="/v2/*", authorized=True)
    assert_none(made_up, "sent Authorization without a token")


@case(
    clause=f"{SPEC}, Token Response Fields: issued_at (Optional)",
    level=Level.MAY,
    needs=TOKENS,
    catalogue=("auth-token-issued-at-garbage",),
)
def test_time_of_issue_that_is_none(bench: Bench) -> None:
    """``"issued_at": "yesterday"``: is the token good all the same?"""
    registry = bench.registry
    image = bench.publish()
    ask_for_ticket(registry, bearer(registry))
    answer = hand_out(
        registry, token=TICKET, access_token=TICKET, issued_at="yesterday"
    )
    pull = bench.pull(image)
    met(answer)
    bench.observe("the token is used" if pull.ok else "an error")


@case(
    clause="RFC 6750 section 3: error SHOULD be there, and need not",
    level=Level.SHOULD,
    needs=TOKENS,
    twin="auth.anonymous-token-is-fetched-and-used",
    catalogue=("auth-token-expires-mid-pull-no-error-param",),
)
def test_token_that_is_refused_without_a_word_is_replaced(bench: Bench) -> None:
    """A token that runs out is replaced, also where the 401 does not say why."""
    _must_replace_the_token(bench, bench.new_registry(auth=TokenAuth()), "")


@case(
    clause=f"{SPEC}, Token Response Fields, expires_in: defaults to 60 seconds",
    level=Level.SHOULD,
    needs=TOKENS,
    twin="auth.anonymous-token-is-fetched-and-used",
    catalogue=("auth-token-expires-in-missing",),
)
def test_token_of_unknown_life_is_replaced_when_it_is_refused(bench: Bench) -> None:
    """Without ``expires_in`` a token lives for a minute: a client asks for the next.

    It may count the seconds, or take the registry's word that it is over.
    """
    registry = bench.new_registry(auth=TokenAuth(expires_in=None))
    _must_replace_the_token(bench, registry, ',error="invalid_token"')


@case(
    clause=f"{SPEC}, Query Parameters, scope",
    level=Level.SHOULD,
    needs=TOKENS,
    catalogue=("auth-scope-missing",),
)
def test_scope_is_made_up_where_the_challenge_has_none(bench: Bench) -> None:
    """A challenge without a scope: the client knows itself what it wants to pull."""
    registry = bench.new_registry(auth=TokenAuth(scope=""))
    bench.must_pull(bench.publish())
    asked = registry.journal.requests(path="/token")
    assert asked, "no token was asked for"


@case(
    clause="containerd v1.5.18 remotes/docker/scope.go:76",
    level=Level.REFERENCE,
    needs=TOKENS,
    catalogue=("auth-scope-dedup-sorted",),
)
def test_scopes_are_sorted_and_each_is_asked_for_once(bench: Bench) -> None:
    """The challenge's scopes and the client's own make one sorted list."""
    other = "repository:a/base:pull"
    registry = bench.new_registry(auth=TokenAuth(scope=other))
    bench.must_pull(bench.publish())
    (asked,) = registry.journal.requests(method="GET", path="/token")[:1]
    assert scopes(asked) == [other, SCOPE]
    same = bench.new_registry(auth=TokenAuth(scope=SCOPE))
    ref = same.ref(same.publish("library/test:v1"))
    bench.must_pull(ref)
    (asked,) = same.journal.requests(method="GET", path="/token")[:1]
    assert scopes(asked) == [SCOPE]


@case(
    clause="distribution v2.8.3 docs/spec/auth/scope.md, Resource Scope Grammar: "
    "resourcename may have a hostname with a port",
    level=Level.MAY,
    needs=TOKENS,
    catalogue=("auth-scope-with-port",),
)
def test_scope_may_hold_a_port(bench: Bench) -> None:
    """``repository:host:5000/name:pull`` has one colon more: does it go through?"""
    registry = bench.registry
    scope = "repository:registry.example:5000/library/test:pull"
    image = bench.publish()
    ask_for_ticket(registry, bearer(registry).replace(SCOPE, scope))
    answer = hand_out(registry, token=TICKET, access_token=TICKET)
    pull = bench.pull(image)
    sent = [one for e in met(answer) for one in scopes(e)]
    how = "goes through as it is" if scope in sent else f"becomes {' and '.join(sent)}"
    bench.observe(f"{how}; {'succeeds' if pull.ok else 'fails'}")


@case(
    clause=f"{SPEC}, Requesting a Token: the token is for the scope asked for",
    level=Level.SHOULD,
    needs=TOKENS,
    twin="auth.anonymous-token-is-fetched-and-used",
    catalogue=("auth-token-per-repository",),
)
def test_token_of_one_repository_is_not_used_for_another(bench: Bench) -> None:
    """Two images of two repositories are pulled with a token each.

    A token says what it is good for; whoever shows it elsewhere is turned away, or
    tells that registry what else it may do.
    """
    registry = bench.new_registry(auth=TokenAuth())
    shown: list[set[str]] = []
    for name in ("library/one:v1", "library/two:v1"):
        bench.must_pull(bench.publish(name, seed=name))
        asked = registry.journal.requests(path=f"/{name[:-3]}/*", authorized=True)
        assert asked, "the image came without a token"
        shown.append({e.request_headers.get("Authorization") for e in asked})
    assert shown[0].isdisjoint(shown[1]), "one token was shown for both"


@case(
    clause="distribution v2.8.3 docs/spec/auth/jwt.md: tokens carry access lists",
    level=Level.SHOULD,
    needs=TOKENS,
    catalogue=("auth-token-16k",),
)
def test_long_token_is_sent_whole(bench: Bench) -> None:
    """A token of 16 KiB, with the groups of its user in it, goes back as it came."""
    registry = bench.registry
    ticket = TICKET + "x" * (16 << 10)
    ask_for_ticket(registry, bearer(registry), ticket=ticket)
    handed = hand_out(registry, token=ticket)
    bench.must_pull(bench.publish())
    assert handed.fired, "no token was asked for"


@case(
    clause=f"{SPEC}, Requesting a Token: If the client only has a subset of the "
    "requested access it must not be considered an error",
    level=Level.SHOULD,
    needs=TOKENS,
    twin="auth.anonymous-token-is-fetched-and-used",
    catalogue=("auth-subset-scope-not-error",),
)
def test_token_that_grants_less_is_tried(bench: Bench) -> None:
    """A token is tried at the registry, whatever it grants; the registry decides.

    It refuses here, and so the pull fails.
    """
    registry = bench.new_registry(auth=TokenAuth(forbidden=["library/test"]))
    image = bench.publish()
    denied = registry.fault(
        path="/v2/library/*",
        authorized=True,
        status=403,
        body=b'{"errors":[{"code":"DENIED","message":"not for you"}]}',
    )
    pull = bench.pull(image)
    if not registry.journal.requests(path="/token", status=200):
        raise NotTestable(f"the client never got a token; {pull}")
    assert denied.fired, f"the token was never tried; {pull}"
    bench.must_reject(pull)
    assert_bounded(registry)


@case(
    clause="RFC 6750 section 3.1, insufficient_scope",
    level=Level.SHOULD,
    needs=TOKENS,
    twin="auth.anonymous-token-is-fetched-and-used",
    catalogue=("auth-insufficient-scope",),
)
def test_scope_that_is_never_enough_ends_the_pull(bench: Bench) -> None:
    """A registry that wants ever more scope is given up soon.

    One more token, with the scope that it names, is a fair try.
    """
    registry = bench.new_registry(auth=TokenAuth())
    image = bench.publish()
    wanted = bearer(registry).replace(":pull", ":pull,push")
    more = {"WWW-Authenticate": f'{wanted},error="insufficient_scope"'}
    refusal = registry.fault(
        path="/v2/library/*", authorized=True, status=401, headers=more
    )
    pull = bench.pull(image)
    bench.must_reject(pull, refusal)
    assert_not_crashed(pull)
    assert_bounded(registry)


@case(
    clause="containerd v1.5.18 remotes/docker/auth/fetch.go:160",
    level=Level.REFERENCE,
    needs=TOKENS,
    catalogue=("auth-token-request-user-agent",),
)
def test_token_server_sees_the_same_user_agent(bench: Bench) -> None:
    """Token server and registry are told the same name of the client."""
    registry = bench.new_registry(auth=TokenAuth())
    bench.must_pull(bench.publish())
    asked = registry.journal.requests(path="/token")
    assert asked, "no token was asked for"
    names = {e.request_headers.get("User-Agent") for e in registry.journal}
    assert len(names) == 1, f"it calls itself {' and '.join(sorted(names))}"


@case(
    clause="RFC 9110 section 11.6.1; sources disagree on whether the target of a "
    "redirect may ask",
    level=Level.MAY,
    needs=TOKENS,
    catalogue=("auth-on-redirected-host",),
)
def test_target_of_a_redirect_wants_a_token_of_its_own(bench: Bench) -> None:
    """A registry redirects to another one, which has a token server of its own.

    Some clients get a token there as anybody can, others never answer it. What the
    first registry gave or knows must not be shown there in any case; other cases
    hold that.
    """
    registry = bench.new_registry(auth=TokenAuth(*LOGIN))
    image = bench.publish()
    other = bench.new_registry(auth=TokenAuth())
    other.add_image(image)
    moved = registry.redirect(to=elsewhere(other), authorized=True)
    pull = bench.pull(image, deadline=10)
    met(moved)
    asked = other.journal.requests(path="/token")
    how = "gets a token there" if asked else "does not answer its challenge"
    bench.observe(f"{how}; {'succeeds' if pull.ok else 'fails'}")


@case(
    clause="RFC 9110 section 15.5.4: 403; containerd issue 2683",
    level=Level.MAY,
    needs=TOKENS,
    catalogue=("auth-blob-anonymous-redirect-403",),
)
def test_store_refuses_who_came_without_a_token(bench: Bench) -> None:
    """Without a token a blob is redirected to a store that says 403; with one, not.

    Google's registry was so. Does a client find out that it should have asked for a
    token, which nobody told it?
    """
    registry = bench.new_registry()
    image = bench.publish()
    store = bench.new_registry()
    store.fault(path="/v2/*", status=403)
    moved = registry.fault(
        method="GET", path="/blobs/*", authorized=False, redirect=elsewhere(store)
    )
    pull = bench.pull(image)
    met(moved)
    bench.observe("finds out" if pull.ok else "fails")


def _must_replace_the_token(bench: Bench, registry: Registry, error: str) -> None:
    """Hold that a client gets another token when its first is refused for blobs."""
    image = bench.publish(layers=2)
    tokens: list[str] = []

    def is_that_of_the_first_blob(exchange: Exchange) -> bool:
        tokens.append(exchange.request_headers.get("Authorization"))
        return tokens[-1] == tokens[0]

    expired = registry.fault(
        path="/blobs/*",
        authorized=True,
        when=is_that_of_the_first_blob,
        status=401,
        headers={"WWW-Authenticate": f"{bearer(registry)}{error}"},
    )
    pull = bench.pull(image)
    met(expired)
    assert_ok(pull, "the pull must go on with a new token")
