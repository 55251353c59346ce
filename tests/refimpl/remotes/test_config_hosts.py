"""config/hosts.go (ConfigureHosts) and config_unix.go, on the wire."""

import re

import pytest

from fakeregistry import BasicAuth, Registry, TokenAuth
from refimpl.errdefs import ContainerdError, ErrInvalidArgument, message
from refimpl.remotes.docker import (
    HostCapabilities,
    HTTPClient,
    ResolverOptions,
    TLSConfig,
    new_resolver,
)
from refimpl.remotes.docker.config import (
    HostOptions,
    configure_hosts,
    host_dir_from_root,
)
from refimpl.remotes.docker.httpclient import Request
from refimpl.remotes.docker.registry import ALL_CAPABILITIES

pytestmark = pytest.mark.anyio

LOGIN = ("jane", "open-sesame")


@pytest.fixture
def start():
    """Start registries with the same image, which stop with the test."""
    running = []

    def run(**options):
        registry = Registry(**options)
        running.append(registry.start())
        registry.publish("library/hello:1")
        return registry

    yield run
    for registry in running:
        registry.stop()


@pytest.fixture
def write(tmp_path):
    """Write the hosts.toml of a registry, and return the folder of all."""

    def run(registry, text):
        folder = tmp_path / "hosts" / registry
        folder.mkdir(parents=True)
        (folder / "hosts.toml").write_text(text)
        return tmp_path / "hosts"

    return run


async def resolve(registry, folder, **options):
    async with new_resolver(ResolverOptions(hosts_dir=folder, **options)) as resolver:
        name, desc = await resolver.resolve(f"{registry.host}/library/hello:1")
        reader = await (await resolver.fetcher(name)).fetch(desc)
        data = bytearray()

        def keep(view):
            data.extend(view)
            return len(view)

        await reader.write_to(keep)
        await reader.aclose()
    return data


def asked(registry):
    return [f"{exchange.method} {exchange.query}" for exchange in registry.journal]


FOLDERS = [
    ("a.example:5000", ["a.example_5000_", "a.example:5000", "_default"]),
    ("a.example", ["a.example", "_default"]),
    ("[::1]:5000", ["[::1]_5000_", "[::1]:5000", "_default"]),
    (":5000", [":5000", "_default"]),
]


@pytest.mark.parametrize(("host", "folders"), FOLDERS)
def test_the_folder_of_a_host(tmp_path, host, folders):
    find = host_dir_from_root(tmp_path)
    assert find(host) is None
    for name in reversed(folders):
        (tmp_path / name).mkdir()
        assert find(host) == tmp_path / name


def test_a_root_that_is_no_folder_is_named(tmp_path):
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(ErrInvalidArgument, match=r"file/a\.example: Not a directory"):
        host_dir_from_root(file)("a.example")


async def test_without_a_folder_there_is_the_registry_itself(tmp_path):
    async with HTTPClient() as client:
        [hub] = configure_hosts(client)("docker.io")
        assert (hub.scheme, hub.host) == ("https", "registry-1.docker.io")
        assert (hub.path, hub.capabilities) == ("/v2", ALL_CAPABILITIES)
        [local] = configure_hosts(client)("127.0.0.1:5000")
        assert (local.scheme, local.host) == ("https", "127.0.0.1:5000")
        options = HostOptions(
            host_dir=host_dir_from_root(tmp_path), plain_http=lambda _host: True
        )
        hosts = configure_hosts(client, options)
        assert [
            one.scheme for one in (*hosts("a.example:80"), *hosts("docker.io"))
        ] == [
            "http",
            "https",
        ]
        [own] = hosts("a.example:80")
        assert (own.host, own.client) == ("a.example:80", client)


async def test_a_hub_with_mirrors_is_asked_last(write):
    folder = write("docker.io", '[host."http://m.example"]\ncapabilities = ["pull"]')
    async with HTTPClient() as client:
        options = HostOptions(host_dir=host_dir_from_root(folder))
        mirror, hub = configure_hosts(client, options)("docker.io")
    assert (mirror.scheme, mirror.host) == ("http", "m.example")
    assert mirror.capabilities == HostCapabilities.PULL
    assert (hub.host, hub.capabilities) == ("registry-1.docker.io", ALL_CAPABILITIES)


async def test_a_mirror_is_told_for_whom_it_stands_in(start, write):
    registry, mirror = start(), start()
    folder = write(registry.host, f'[host."{mirror.url}"]')
    assert await resolve(registry, folder)
    namespace = registry.host.replace(":", "%3A")
    assert asked(mirror) == [f"HEAD ns={namespace}", f"GET ns={namespace}"]
    assert asked(registry) == []


async def test_the_registry_helps_where_a_mirror_cannot(start, write):
    registry, mirror = start(), start()
    mirror.fault(path="/v2/*", status=404)
    folder = write(registry.host, f'[host."{mirror.url}"]')
    assert await resolve(registry, folder)
    assert asked(registry) == ["HEAD ", "GET "]
    assert len(asked(mirror)) == 2


async def test_capabilities_are_kept_to(start, write):
    registry, mirror, names = start(), start(), start()
    folder = write(
        registry.host,
        f'[host."{names.url}"]\ncapabilities = ["resolve"]\n'
        f'[host."{mirror.url}"]\ncapabilities = ["pull"]\n',
    )
    assert await resolve(registry, folder)
    assert [one.method for one in registry.journal] == ["HEAD"]
    assert [one.method for one in mirror.journal] == ["GET"]
    assert asked(names) == []


async def test_the_password_is_for_the_registry_only(start, write):
    registry = start(auth=BasicAuth(*LOGIN))
    mirror = start(auth=BasicAuth(*LOGIN))
    folder = write(registry.host, f'[host."{mirror.url}"]')
    assert await resolve(registry, folder, credentials=lambda host: LOGIN)
    assert not mirror.journal.requests(authorized=True)
    assert registry.journal.requests(authorized=True, status=200)


async def test_a_mirror_may_have_an_account_of_its_own(start, write):
    registry, mirror = start(), start(auth=TokenAuth(*LOGIN))
    folder = write(registry.host, f'[host."{mirror.url}"]')
    hosts = []

    def login(host):
        hosts.append(host)
        return LOGIN

    async with HTTPClient() as client:
        options = HostOptions(
            host_dir=host_dir_from_root(folder), mirror_credentials=login
        )
        both = ResolverOptions(hosts=configure_hosts(client, options), client=client)
        async with new_resolver(both) as resolver:
            await resolver.resolve(f"{registry.host}/library/hello:1")
    assert hosts == [mirror.host]
    [token] = mirror.journal.requests(path="/token")
    agent = token.request_headers.get("User-Agent")
    assert agent.startswith("containerd/1.5.18")


async def test_header_fields_are_for_their_host(start, write):
    """They are a mirror's, and do not go along to where it points (D62)."""
    registry, mirror, store = start(), start(), start()
    mirror.redirect("/v2/*", to=store, method="GET")
    folder = write(
        registry.host,
        f'[host."{mirror.url}".header]\nX-Key = ["a", "b"]\nUser-Agent = "me"\n',
    )
    assert await resolve(registry, folder)
    head, get = mirror.journal
    assert head.request_headers.get_all("X-Key") == ("a", "b")
    assert head.request_headers.get_all("User-Agent")[-1] == "me"
    assert get.status == 307
    [moved] = store.journal
    assert not moved.request_headers.get_all("X-Key")
    assert moved.request_headers.get_all("User-Agent")[-1] == "me"


async def test_an_authority_for_one_host(start, write):
    registry, mirror = start(), start(tls=True)
    folder = write(registry.host, f'[host."{mirror.url}"]\nca = "{mirror.ca_file}"')
    assert await resolve(registry, folder)
    assert [one.method for one in mirror.journal] == ["HEAD", "GET"]


async def test_an_unknown_authority_is_not_trusted(start, write, tmp_path):
    registry, mirror = start(), start(tls=True)
    # Trusted without the line about it, the mirror would be asked.
    folder = write(registry.host, f'[host."{mirror.url}"]\nskip_verify = false')
    assert await resolve(registry, folder)
    assert asked(mirror) == []
    assert len(asked(registry)) == 2


async def test_verification_can_be_skipped_for_one_host(start, write):
    registry, mirror = start(), start(tls=True)
    folder = write(registry.host, f'[host."{mirror.url}"]\nskip_verify = true')
    assert await resolve(registry, folder)
    assert len(asked(mirror)) == 2


@pytest.mark.parametrize("combined", [False, True])
async def test_a_certificate_of_ones_own(start, write, tmp_path, combined):
    registry, mirror = start(), start(tls=True, client_ca=True)
    certificate, key = mirror.client_certificate
    if combined:
        both = tmp_path / "both.pem"
        both.write_bytes(certificate.read_bytes() + key.read_bytes())
        pair = f'"{both}"'
    else:
        pair = f'[["{certificate}", "{key}"]]'
    text = f'[host."{mirror.url}"]\nca = "{mirror.ca_file}"\nclient = {pair}'
    assert await resolve(registry, write(registry.host, text))
    assert len(asked(mirror)) == 2
    # Without the certificate, the mirror is no help.
    (tmp_path / "hosts" / registry.host / "hosts.toml").write_text(
        f'[host."{mirror.url}"]\nca = "{mirror.ca_file}"'
    )
    assert await resolve(registry, tmp_path / "hosts")
    assert len(asked(mirror)) == 2


async def test_certificates_as_docker_keeps_them(start, tmp_path):
    """They say that the registry speaks TLS, on this machine too."""
    registry = start(tls=True)
    folder = tmp_path / f"{registry.host.replace(':', '_')}_"
    folder.mkdir()
    with pytest.raises(ContainerdError, match="400 Bad Request"):
        await resolve(registry, tmp_path)
    (folder / "ca.crt").write_bytes(registry.ca_file.read_bytes())
    assert await resolve(registry, tmp_path)
    assert asked(registry) == ["HEAD ", "GET "]


BROKEN = [
    ('ca = "gone.pem"', r'host\."http://m": ca: unable to read CA cert ".*gone\.pem"'),
    ('client = "gone.pem"', r"client: unable to read CERT file .*gone\.pem"),
    ('client = [["hosts.toml", "gone.key"]]', r"unable to read CERT file .*gone\.key"),
    ('ca = "hosts.toml"', r'host\."http://m": TLS files of .*hosts\.toml'),
    ('client = "hosts.toml"', r'host\."http://m": TLS files of .*hosts\.toml'),
    ("capabilities = 5", r'hosts\.toml: host\."http://m": capabilities must be'),
]


@pytest.mark.parametrize(("line", "said"), BROKEN)
async def test_what_cannot_be_used_ends_the_pull(start, write, line, said):
    """Go pulls from the registry itself then (D60); nothing is sent here."""
    registry = start()
    folder = write(registry.host, f'[host."http://m"]\n{line}\n')
    with pytest.raises(ErrInvalidArgument) as caught:
        await resolve(registry, folder)
    text = message(caught.value)
    assert re.search(said, text)
    assert "\n" not in text
    assert asked(registry) == []


async def test_clients_for_other_files_are_kept_and_closed(start):
    registry = start(tls=True)
    async with HTTPClient() as client:
        tls = TLSConfig(insecure_skip_verify=True)
        other = client.with_tls(tls)
        assert other is not client
        assert other is other.with_tls(tls)
        assert other is client.with_tls(TLSConfig(insecure_skip_verify=True))
        assert other.tls == tls
        for _ in range(2):
            response = await other.send(Request.make("GET", f"{registry.url}/v2/"))
            await response.read(10)
    first, second = (exchange.connection for exchange in registry.journal)
    assert first == second
