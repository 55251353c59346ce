"""Who may pull: challenges, credentials and tokens.

No OCI specification describes how a client proves who it is. What registries
speak is HTTP authentication (RFC 9110 section 11) with Basic (RFC 7617), and
the token scheme that Docker wrote down beside its registry (docs/spec/auth of
distribution).
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from conformance.case import Feature, Level, NotTestable, case
from conformance.cases._wire import (
    LOGIN,
    SCOPE,
    TICKET,
    ask_for_ticket,
    assert_bounded,
    assert_none,
    assert_ok,
    bearer,
    beside,
    elsewhere,
    hand_out,
    met,
    must_pull_with_ticket,
    words,
)
from fakeregistry import BasicAuth, TokenAuth

if TYPE_CHECKING:
    from conformance.bench import Bench
    from fakeregistry import Exchange


@case(
    clause="distribution v2.8.3 docs/spec/auth/token.md, Using the Bearer token",
    level=Level.MUST,
    needs={Feature.TOKEN_AUTH},
    catalogue=("auth-anonymous-bearer-flow", "auth-plain-http-token-server"),
)
def test_anonymous_token_is_fetched_and_used(bench: Bench) -> None:
    """A client without an account asks for a token and pulls with it.

    Docker Hub, ghcr.io and quay.io serve public images in no other way.
    """
    registry = bench.new_registry(auth=TokenAuth())
    image = bench.publish()
    bench.must_pull(image)
    assert registry.journal.requests(path="/token", status=200)
    for layer in image.layers:
        assert registry.journal.requests(digest=layer.digest, authorized=True)


@case(
    clause="RFC 7617 section 2",
    level=Level.MUST,
    needs={Feature.BASIC_AUTH},
    catalogue=("auth-basic-flow",),
)
def test_basic_credentials_answer_a_challenge(bench: Bench) -> None:
    """A client that was given a user name and a password sends them when asked.

    Most small registries that people run themselves ask for nothing else.
    """
    registry = bench.new_registry(auth=BasicAuth(*LOGIN))
    image = bench.publish()
    bench.must_pull(image)
    for layer in image.layers:
        assert registry.journal.requests(digest=layer.digest, status=200)


@case(
    clause="distribution v2.8.3 docs/spec/auth/token.md, Requesting a Token",
    level=Level.MUST,
    needs={Feature.TOKEN_AUTH},
    critical=True,
    catalogue=("auth-credentials-only-to-realm",),
)
def test_password_goes_to_the_token_server_only(bench: Bench) -> None:
    """Where tokens are in use, the registry itself never sees the password.

    That is what tokens are for: each is good for one repository and some
    minutes, a password for everything.
    """
    registry = bench.new_registry(auth=TokenAuth(*LOGIN))
    image = bench.publish()
    bench.must_pull(image)
    seen = [e for e in registry.journal.requests(path="/v2/*") if LOGIN[1] in words(e)]
    assert_none(seen, "the password went to the registry")
    assert any(LOGIN[1] in words(e) for e in registry.journal.requests(path="/token"))


@case(
    clause="distribution v2.8.3 docs/spec/auth/token.md, How to authenticate",
    level=Level.SHOULD,
    needs={Feature.TOKEN_AUTH},
    catalogue=("auth-cross-host-realm-works", "auth-refresh-token-never-to-registry"),
)
def test_token_server_on_another_host_is_used(bench: Bench) -> None:
    """The realm may name another host, as registry-1.docker.io names auth.docker.io.

    A client that is wary of foreign realms must not lock its users out of them,
    and what comes back beside the token stays between it and that host.
    """
    registry, server = bench.registry, bench.new_registry()
    realm = f"{beside(server)}/token"
    ask_for_ticket(registry, f'Bearer realm="{realm}",service="s",scope="{SCOPE}"')
    hand_out(server, token=TICKET, access_token=TICKET, refresh_token="renew-me")  # noqa: S106 - not a secret
    bench.must_pull(bench.publish())
    assert server.journal.requests(path="/token")
    told = [e for e in registry.journal if "renew-me" in words(e)]
    assert_none(told, "the registry got the refresh token")


@case(
    clause="containerd v1.5.18 remotes/docker/authorizer.go:105",
    level=Level.REFERENCE,
    needs={Feature.BASIC_AUTH},
    catalogue=("auth-no-preemptive-credentials",),
)
def test_no_credentials_before_a_challenge(bench: Bench) -> None:
    """Credentials stay at home until a registry asks for them.

    A registry that serves the image to everybody need not learn who pulls it.
    """
    image = bench.publish()
    bench.must_pull(image, username=LOGIN[0], password=LOGIN[1])
    sent = bench.registry.journal.requests(authorized=True)
    assert_none(sent, "sent Authorization unasked")
    assert bench.registry.journal.requests(digest=image.layers[0].digest)


@case(
    clause="distribution v2.8.3 docs/spec/auth/token.md, Token Response Fields",
    level=Level.MUST,
    needs={Feature.TOKEN_AUTH},
    catalogue=("auth-token-field-token",),
)
def test_token_is_read_from_the_field_token(bench: Bench) -> None:
    """Many token servers answer with ``token`` and nothing else."""
    registry = bench.new_registry(auth=TokenAuth(token_field="token"))  # noqa: S106 - a name
    bench.must_pull(bench.publish())
    assert registry.journal.requests(path="/token", status=200)


@case(
    clause="distribution v2.8.3 docs/spec/auth/token.md, Token Response Fields",
    level=Level.MUST,
    needs={Feature.TOKEN_AUTH},
    catalogue=("auth-token-field-access-token",),
)
def test_token_is_read_from_the_field_access_token(bench: Bench) -> None:
    """Others, Azure's for one, answer with ``access_token`` alone."""
    registry = bench.new_registry(auth=TokenAuth(token_field="access_token"))  # noqa: S106 - a name
    bench.must_pull(bench.publish())
    assert registry.journal.requests(path="/token", status=200)


@case(
    clause="distribution v2.8.3 docs/spec/auth/oauth.md, Response fields",
    level=Level.SHOULD,
    needs={Feature.TOKEN_AUTH},
    catalogue=("auth-token-opaque",),
)
def test_token_is_taken_as_it_is(bench: Bench) -> None:
    """A token is an opaque text: it goes back as it came, whatever it looks like.

    Clients that expect a JWT in it break on registries that use another form.
    """
    must_pull_with_ticket(bench, bearer(bench.registry))


@case(
    clause="distribution v2.8.3 docs/spec/auth/token.md, Token Response Fields",
    level=Level.SHOULD,
    needs={Feature.TOKEN_AUTH},
    twin="auth.token-is-taken-as-it-is",
    catalogue=("auth-token-response-empty",),
)
def test_answer_without_a_token_is_an_error(bench: Bench) -> None:
    """A token server that grants nothing is an error, not an empty token.

    What follows an empty ``Bearer`` is a puzzling refusal by the registry.
    """
    registry = bench.registry
    ask_for_ticket(registry, bearer(registry))
    answer = hand_out(registry)
    bench.must_reject(bench.pull(bench.publish()), answer)
    made_up = registry.journal.requests(path="/v2/*", authorized=True)
    assert_none(made_up, "sent Authorization without a token")


@case(
    clause="distribution v2.8.3 docs/spec/auth/oauth.md, Note",
    level=Level.SHOULD,
    needs={Feature.TOKEN_AUTH},
    catalogue=("auth-post-404-falls-back-to-get",),
)
def test_token_server_without_post_gets_a_get(bench: Bench) -> None:
    """A client that prefers OAuth 2 falls back to GET where POST is not there.

    The GET is the scheme that every token server knows.
    """
    registry = bench.new_registry(auth=TokenAuth(*LOGIN, oauth_post=404))
    bench.must_pull(bench.publish())
    assert registry.journal.requests(method="GET", path="/token", status=200)


@case(
    clause="distribution v2.8.3 docs/spec/auth/token.md, Requesting a Token",
    level=Level.SHOULD,
    needs={Feature.TOKEN_AUTH},
    catalogue=("auth-post-400-acr",),
)
def test_token_server_that_refuses_the_grant_gets_a_get(bench: Bench) -> None:
    """Azure answers 400 to a POST with a password: the GET still works there.

    The specification of tokens knows the GET only; POST is an addition.
    """
    registry = bench.new_registry(auth=TokenAuth(*LOGIN, oauth_post=400))
    bench.must_pull(bench.publish())
    assert registry.journal.requests(method="GET", path="/token", status=200)


@case(
    clause="RFC 6750 section 3.1, invalid_token",
    level=Level.SHOULD,
    needs={Feature.TOKEN_AUTH},
    catalogue=("auth-token-expires-mid-pull",),
)
def test_expired_token_is_replaced(bench: Bench) -> None:
    """A token that runs out during a long pull is replaced by a new one.

    They live some minutes, large images take longer: a client that keeps on
    sending the old one fails exactly where a retry costs most.
    """
    registry = bench.new_registry(auth=TokenAuth())
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
        headers={"WWW-Authenticate": f'{bearer(registry)},error="invalid_token"'},
    )
    pull = bench.pull(image)
    met(expired)
    assert_ok(pull, "the pull must go on with a new token")


@case(
    clause="safety (no unbounded use); RFC 9110 section 15.5.2",
    level=Level.MUST,
    needs={Feature.TOKEN_AUTH},
    twin="auth.token-is-taken-as-it-is",
    catalogue=("auth-401-forever-bounded",),
)
def test_tokens_that_are_refused_end_the_pull(bench: Bench) -> None:
    """A registry that refuses every token is left alone soon.

    A client that asks again for ever hangs its user and floods the registry
    and the token server.
    """
    registry = bench.registry
    image = bench.publish()
    challenge = {"WWW-Authenticate": bearer(registry)}
    refusal = registry.fault(path="/v2/*", status=401, headers=challenge)
    answer = hand_out(registry, token=TICKET)
    bench.must_reject(bench.pull(image), refusal, answer)
    assert_bounded(registry)


@case(
    clause="safety (no unbounded use); RFC 9110 section 15.5.2",
    level=Level.MUST,
    needs={Feature.BASIC_AUTH},
    twin="auth.basic-credentials-answer-a-challenge",
    catalogue=("auth-basic-wrong-password-bounded",),
)
def test_wrong_password_is_not_tried_for_ever(bench: Bench) -> None:
    """A wrong password is tried a few times at most, then the pull fails.

    Servers lock an account after some wrong tries, for all its users.
    """
    registry = bench.new_registry(auth=BasicAuth(*LOGIN))
    image = bench.publish()
    pull = bench.pull(image, username=LOGIN[0], password="not-it")  # noqa: S106 - wrong
    if not registry.journal.requests(authorized=True, status=401):
        raise NotTestable(f"the client never sent the password; {pull}")
    bench.must_reject(pull)
    assert_bounded(registry)


@case(
    clause="RFC 9110 section 11.6.2",
    level=Level.SHOULD,
    needs={Feature.BASIC_AUTH},
    twin="auth.basic-credentials-answer-a-challenge",
    catalogue=("auth-basic-no-credentials",),
)
def test_without_credentials_none_are_made_up(bench: Bench) -> None:
    """A client that has no password does not send an empty one.

    The server counts it as a wrong try, and the user reads "wrong password"
    in place of "log in first".
    """
    registry = bench.new_registry(auth=BasicAuth(*LOGIN))
    pull = bench.pull(bench.publish(), username="")
    if not registry.journal.requests(status=401):
        raise NotTestable(f"the client never met the challenge; {pull}")
    bench.must_reject(pull)
    made_up = registry.journal.requests(authorized=True)
    assert_none(made_up, "sent Authorization without credentials")


@case(
    clause="RFC 9110 section 11.6.1",
    level=Level.SHOULD,
    needs={Feature.TOKEN_AUTH},
    catalogue=("auth-two-challenge-headers",),
)
def test_bearer_is_found_in_a_second_header(bench: Bench) -> None:
    """A server may offer several schemes, each in a header of its own.

    A client takes the one it can use, not the first.
    """
    must_pull_with_ticket(bench, ['Basic realm="accounts"', bearer(bench.registry)])


@case(
    clause="RFC 9110 section 11.6.1",
    level=Level.SHOULD,
    needs={Feature.TOKEN_AUTH},
    catalogue=("auth-two-challenges-one-header",),
)
def test_bearer_is_found_behind_basic_in_one_header(bench: Bench) -> None:
    """One header may hold several challenges, and proxies join headers so.

    The commas between challenges look like those between parameters, which is
    why the RFC advises special care.
    """
    must_pull_with_ticket(bench, f'Basic realm="accounts", {bearer(bench.registry)}')


@case(
    clause="RFC 9110 section 11.1",
    level=Level.MUST,
    needs={Feature.TOKEN_AUTH},
    catalogue=("auth-scheme-case-insensitive",),
)
def test_scheme_is_known_in_any_case(bench: Bench) -> None:
    """``BEARER`` and ``bearer`` are ``Bearer``: schemes have no case."""
    must_pull_with_ticket(bench, bearer(bench.registry).replace("Bearer", "BEARER"))


@case(
    clause="RFC 9110 sections 5.6.4 and 11.2",
    level=Level.MUST,
    needs={Feature.TOKEN_AUTH},
    catalogue=("auth-empty-quoted-string",),
)
def test_empty_parameter_does_not_end_the_challenge(bench: Bench) -> None:
    """A quoted string may be empty; what stands behind it counts all the same."""
    challenge = bearer(bench.registry).replace("Bearer ", 'Bearer error="",')
    must_pull_with_ticket(bench, challenge)


@case(
    clause="distribution v2.8.3 docs/spec/auth/token.md, Query Parameters, scope",
    level=Level.SHOULD,
    needs={Feature.TOKEN_AUTH},
    catalogue=("auth-scope-multiple-space-delimited",),
)
def test_each_scope_of_a_challenge_is_a_parameter(bench: Bench) -> None:
    """A challenge that names two scopes is answered with two, one a parameter.

    An image that borrows layers from a second repository needs access to both.
    """
    scopes = {SCOPE, "repository:library/base:pull"}
    offer = TokenAuth(scope=" ".join(sorted(scopes)))
    registry = bench.new_registry(auth=offer)
    bench.must_pull(bench.publish())
    tokens = registry.journal.requests(method="GET", path="/token")
    assert tokens, "no token was asked for"
    for asked in tokens:
        sent = [value for name, value in parse_qsl(asked.query) if name == "scope"]
        assert sorted(sent) == sorted(scopes), f"asked for {' and '.join(sent)}"


@case(
    clause="RFC 9110 section 4.2.2",
    level=Level.MUST,
    needs={Feature.TLS, Feature.TOKEN_AUTH},
    catalogue=("auth-credentials-only-to-realm",),
)
def test_password_token_flow_works_over_tls(bench: Bench) -> None:
    """Registry and token server over https, as in public."""
    registry = bench.new_registry(auth=TokenAuth(*LOGIN), tls=True)
    bench.must_pull(bench.publish())
    assert registry.journal.requests(path="/token", status=200)


@case(
    clause="CVE-2026-48978 (GHSA-xf85-363p-868w)",
    level=Level.MUST,
    needs={Feature.TLS, Feature.TOKEN_AUTH},
    twin="auth.password-token-flow-works-over-tls",
    critical=True,
    catalogue=("security-realm-tls-downgrade",),
)
def test_plain_http_realm_gets_no_password(bench: Bench) -> None:
    """A registry on https that names a token server on http gets no password there.

    The registry chooses the realm: a user's password would cross the network in
    clear because a server said so.
    """
    plain = bench.new_registry(auth=TokenAuth(*LOGIN), tls=False)
    realm = f"{plain.url}/token"
    registry = bench.new_registry(auth=TokenAuth(*LOGIN, realm=realm), tls=True)
    image = registry.publish("library/test:v1")
    pull = bench.pull(registry.ref(image))
    if not registry.journal.requests(status=401):
        raise NotTestable(f"the client never met the challenge; {pull}")
    seen = [e for e in plain.journal if LOGIN[1] in words(e)]
    assert_none(seen, "the password was sent in clear")


@case(
    clause="RFC 9110 section 15.4",
    level=Level.SHOULD,
    needs={Feature.TOKEN_AUTH},
    twin="auth.password-goes-to-the-token-server-only",
    critical=True,
    catalogue=("security-token-server-redirect",),
)
def test_redirected_token_request_keeps_the_password(bench: Bench) -> None:
    """A token server that redirects to another host does not take the password along.

    With 307 a client repeats a POST as it was: with a password in the form, that
    hands it to whoever the redirect names.
    """
    registry = bench.new_registry(auth=TokenAuth(*LOGIN))
    other = bench.new_registry()
    moved = registry.fault(path="/token", redirect=elsewhere(other))
    bench.pull(bench.publish())
    met(moved)
    seen = [e for e in other.journal if LOGIN[1] in words(e)]
    assert_none(seen, "the password followed a redirect")


@case(
    clause="containerd v1.5.18 remotes/docker/authorizer.go:255",
    level=Level.REFERENCE,
    needs={Feature.TOKEN_AUTH},
    catalogue=("auth-one-token-request-per-scope",),
)
def test_one_token_serves_all_layers(bench: Bench) -> None:
    """The token of a repository is asked for once, not once a layer.

    Token servers limit how often they are asked; a client that resolves and
    fetches with two sets of connections may ask twice.
    """
    registry = bench.new_registry(auth=TokenAuth())
    bench.must_pull(bench.publish(layers=8))
    asked = registry.journal.requests(path="/token")
    assert 1 <= len(asked) <= 2, f"{len(asked)} tokens were asked for"


@case(
    clause="RFC 9110 section 15.5.4",
    level=Level.SHOULD,
    needs={Feature.TOKEN_AUTH},
    twin="auth.anonymous-token-is-fetched-and-used",
    catalogue=("auth-403-not-retried",),
)
def test_403_is_not_tried_again(bench: Bench) -> None:
    """A registry that knows the client and refuses it is not asked again.

    403 differs from 401 in just that: other credentials, or none, are needed.
    """
    registry = bench.new_registry(auth=TokenAuth())
    image = bench.publish()
    denied = registry.fault(
        method="GET",
        digest=image.layers[0].digest,
        authorized=True,
        status=403,
        body=b'{"errors":[{"code":"DENIED","message":"no"}]}',
    )
    bench.must_reject(bench.pull(image), denied)
    assert denied.fired == 1, f"the same request was sent {denied.fired} times"
