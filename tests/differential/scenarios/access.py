"""Passwords, tokens and certificates."""

from dataclasses import replace
from pathlib import Path

from conformance.hosts import Host, write_hosts
from fakeregistry import BasicAuth, TokenAuth
from tests.differential.stage import CRI, FETCH, PULL, Stage, scenario

USER = ("name", "word")
BASIC = BasicAuth(*USER)
TOKEN = TokenAuth(*USER)
OLD_NAME = replace(TOKEN, oauth_post=404, token_field="token")  # noqa: S106 - a name
NEW_NAME = replace(TOKEN, expires_in=None, token_field="access_token")  # noqa: S106 - likewise
TWO_SCOPES = "repository:differential/two-scopes:pull repository:b:pull"
TWO = ("linux/amd64", "linux/arm64")


@scenario(FETCH, PULL, CRI, auth=BASIC)
def basic(stage: Stage) -> None:
    """A name and a password."""
    stage.pull(stage.publish(layers=2, platforms=TWO), user=USER)


@scenario(FETCH, CRI, auth=BASIC)
def basic_with_a_wrong_password(stage: Stage) -> None:
    """The password is wrong."""
    stage.pull(stage.publish(), user=("name", "guess"), fails=True)


@scenario(FETCH, CRI, auth=BASIC)
def basic_without_a_password(stage: Stage) -> None:
    """Nobody logs in."""
    stage.pull(stage.publish(), fails=True)


@scenario(FETCH, PULL, CRI, auth=TOKEN)
def token(stage: Stage) -> None:
    """A token for a name and a password."""
    stage.pull(stage.publish(layers=2, platforms=TWO), user=USER)


@scenario(FETCH, CRI, auth=TokenAuth())
def token_for_everybody(stage: Stage) -> None:
    """A token that is had without logging in."""
    stage.pull(stage.publish(layers=2), fails=False)


@scenario(FETCH, CRI, auth=TOKEN)
def token_with_a_wrong_password(stage: Stage) -> None:
    """The token server does not know the password."""
    stage.pull(stage.publish(), user=("name", "guess"), fails=True)


@scenario(FETCH, auth=TokenAuth(*USER, oauth_post=404))
def token_by_get(stage: Stage) -> None:
    """The token server does not know POST: 404."""
    stage.pull(stage.publish(layers=2), user=USER)


@scenario(FETCH, auth=TokenAuth(*USER, oauth_post=405))
def token_server_without_post(stage: Stage) -> None:
    """The token server does not know POST: 405."""
    stage.pull(stage.publish(), user=USER)


@scenario(FETCH, auth=TokenAuth(*USER, oauth_post=401))
def token_server_denies_post(stage: Stage) -> None:
    """The token server answers 401 to POST."""
    stage.pull(stage.publish(), user=USER)


@scenario(FETCH, auth=TokenAuth(*USER, oauth_post=400))
def token_server_refuses_the_grant(stage: Stage) -> None:
    """The token server answers 400 to POST."""
    stage.pull(stage.publish(), user=USER)


@scenario(FETCH, auth=TokenAuth(*USER, oauth_post=500))
def token_server_is_broken(stage: Stage) -> None:
    """The token server answers 500 to POST."""
    stage.pull(stage.publish(), user=USER, fails=True)


@scenario(FETCH, auth=OLD_NAME)
def token_by_its_old_name(stage: Stage) -> None:
    """The token is called ``token`` only."""
    stage.pull(stage.publish(), user=USER)


@scenario(FETCH, auth=NEW_NAME)
def token_by_its_new_name(stage: Stage) -> None:
    """The token is called ``access_token``, and nothing is said of its life."""
    stage.pull(stage.publish(), user=USER)


@scenario(FETCH, auth=TokenAuth(*USER, scope=""))
def token_without_scope(stage: Stage) -> None:
    """The challenge names no scope."""
    stage.pull(stage.publish(), user=USER)


@scenario(
    FETCH,
    auth=TokenAuth(scope="repository:differential/two-scopes:pull repository:b:pull"),
)
def two_scopes(stage: Stage) -> None:
    """The challenge names two scopes."""
    stage.pull(stage.publish())


@scenario(FETCH, auth=TokenAuth(*USER, forbidden=["differential/*"]))
def token_that_grants_nothing(stage: Stage) -> None:
    """A token is given, and is not enough."""
    stage.pull(stage.publish(), user=USER, fails=True)


@scenario(FETCH)
def challenge_without_end(stage: Stage) -> None:
    """The token is taken for nothing, every time."""
    image = stage.publish()
    url = stage.registry.url
    realm = f'Bearer realm="{url}/token",service="x",scope="repository:a:pull"'
    stage.fault(path="/v2/*", status=401, headers={"WWW-Authenticate": realm})
    stage.fault(path="/token", status=200, body=b'{"token":"abc"}')
    stage.pull(image, fails=True)


@scenario(FETCH)
def token_expires_during_a_pull(stage: Stage) -> None:
    """The first token is refused for the layer."""
    image = stage.publish()
    url = stage.registry.url
    realm = f'Bearer realm="{url}/token",service="x",scope="repository:a:pull"'
    challenge = {"WWW-Authenticate": realm}
    expired = {"WWW-Authenticate": f'{realm},error="invalid_token"'}
    layer = f"/blobs/{image.layers[0].digest}"
    stage.fault(path="/v2/*", authorized=False, status=401, headers=challenge)
    stage.fault(path=layer, authorized=True, times=1, status=401, headers=expired)
    stage.fault(path="/token", status=200, body=b'{"token":"abc"}')
    stage.pull(image)


@scenario(FETCH)
def basic_before_bearer(stage: Stage) -> None:
    """Two challenges in two fields: Bearer is stronger."""
    image = stage.publish()
    bearer = f'Bearer realm="{stage.registry.url}/token",service="x"'
    challenges = ['Basic realm="x"', bearer]
    stage.fault(
        path="/v2/*",
        authorized=False,
        status=401,
        headers={"WWW-Authenticate": challenges},
    )
    stage.fault(path="/token", status=200, body=b'{"token":"abc"}')
    stage.pull(image)


@scenario(FETCH)
def both_challenges_in_one_field(stage: Stage) -> None:
    """Two challenges in one field."""
    image = stage.publish()
    bearer = f'Bearer realm="{stage.registry.url}/token",service="x"'
    stage.fault(
        path="/v2/*",
        authorized=False,
        status=401,
        headers={"WWW-Authenticate": f'Basic realm="x", {bearer}'},
    )
    stage.fault(path="/token", status=200, body=b'{"token":"abc"}')
    stage.pull(image, fails=True)


@scenario(FETCH)
def challenge_nobody_knows(stage: Stage) -> None:
    """A scheme that no client has."""
    image = stage.publish()
    stage.fault(
        path="/v2/*", status=401, headers={"WWW-Authenticate": 'Unknown realm="x"'}
    )
    stage.pull(image, fails=True)


def trusted(stage: Stage) -> Path:
    """Write a hosts.toml that names the registry's authority; return its folder."""
    url = stage.registry.url
    host = Host(url=url, ca=stage.registry.ca_file)
    write_hosts(stage.root, stage.registry.host, Host(url=url), [host])
    return stage.root


@scenario(FETCH, PULL, CRI, tls=True)
def tls(stage: Stage) -> None:
    """TLS with an authority that hosts.toml names."""
    stage.pull(stage.publish(layers=2), hosts_dir=trusted(stage))


@scenario(FETCH, CRI, tls=True, auth=TOKEN)
def tls_with_token(stage: Stage) -> None:
    """TLS, and a token."""
    stage.pull(stage.publish(layers=2), hosts_dir=trusted(stage), user=USER)


@scenario(FETCH, tls=True)
def tls_of_an_unknown_authority(stage: Stage) -> None:
    """Nobody vouches for the registry."""
    host = Host(url=stage.registry.url)
    write_hosts(stage.root, stage.registry.host, host, [host])
    stage.pull(stage.publish(), hosts_dir=stage.root, fails=True)


@scenario(FETCH, tls=True)
def hosts_file_without_hosts(stage: Stage) -> None:
    """A hosts.toml with a server, and no table of hosts."""
    file = stage.root / stage.registry.host / "hosts.toml"
    file.parent.mkdir(parents=True)
    lines = [f'server = "{stage.registry.url}"', f'ca = "{stage.registry.ca_file}"']
    file.write_text("\n".join(lines), encoding="utf-8")
    stage.pull(stage.publish(), hosts_dir=stage.root, fails=True)
