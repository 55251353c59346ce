"""Mirrors: containerd v1.5.18 remotes/docker/config/hosts.go, config_unix.go.

Which hosts serve a registry, as a folder of folders says:

    async with HTTPClient() as client:
        folder = host_dir_from_root(Path("/etc/containerd/certs.d"))
        hosts = configure_hosts(client, HostOptions(host_dir=folder))
        async with new_resolver(ResolverOptions(hosts=hosts, client=client)) as it:
            name, desc = await it.resolve("docker.io/library/hello-world:latest")

``ResolverOptions(hosts_dir=...)`` says the same in one word.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import httpx

from refimpl.errdefs import ErrInvalidArgument, wrapped
from refimpl.remotes.docker.auth import USER_AGENT
from refimpl.remotes.docker.authorizer import Credentials, DockerAuthorizer
from refimpl.remotes.docker.config.hostsfile import HostConfig, load_host_dir
from refimpl.remotes.docker.httpclient import HTTPClient
from refimpl.remotes.docker.registry import (
    ALL_CAPABILITIES,
    RegistryHost,
    RegistryHosts,
)
from refimpl.remotes.docker.transport import TLSConfig

__all__ = ["HostOptions", "configure_hosts", "host_dir_from_root"]


@dataclass(frozen=True, slots=True, kw_only=True)
class HostOptions:
    """How the hosts of a registry are found and reached (hosts.go:63).

    Attributes:
        host_dir: names the folder of a registry, and None where there is none.
        credentials: names user and secret for the registry itself.
        mirror_credentials: names user and secret for a host that stands in for
            another; by default nobody.
        plain_http: tells for which registries http is used where a folder names
            neither a scheme nor files for TLS; by default for none.
        headers: fields for requests to token servers.
    """

    host_dir: Callable[[str], Path | None] | None = None
    credentials: Credentials | None = field(default=None, repr=False)
    mirror_credentials: Credentials | None = field(default=None, repr=False)
    plain_http: Callable[[str], bool] | None = None
    headers: httpx.Headers = field(
        default_factory=lambda: httpx.Headers({"User-Agent": USER_AGENT})
    )


def configure_hosts(
    client: HTTPClient, options: HostOptions | None = None
) -> RegistryHosts:
    """Return a function that names the hosts of a registry (hosts.go:76).

    It reads the files anew with every call, and may block for them.

    Args:
        client: what sends, and closes what is made for hosts with TLS files of
            their own.
        options: where to look, and defaults.
    """
    given = options or HostOptions()

    def hosts(namespace: str) -> Sequence[RegistryHost]:
        configs = _with_default(_load(given, namespace), namespace, given)
        factory = _Factory(client, given, namespace)
        return tuple(map(factory.registry_host, configs))

    return hosts


def _load(options: HostOptions, namespace: str) -> Sequence[HostConfig]:
    folder = options.host_dir(namespace) if options.host_dir else None
    return load_host_dir(folder) if folder is not None else ()


def _with_default(
    configs: Sequence[HostConfig], namespace: str, options: HostOptions
) -> Sequence[HostConfig]:
    """Return the hosts with the registry itself where none is named (hosts.go:99)."""
    *first, last = configs or (HostConfig(),)
    if last.host:
        return configs
    is_hub = namespace == "docker.io"
    matches = options.plain_http or (lambda _namespace: False)
    plain = not is_hub and not last.has_tls and matches(namespace)
    default = replace(
        last,
        host="registry-1.docker.io" if is_hub else namespace,
        scheme="http" if plain else "https",
        path="/v2",
        capabilities=ALL_CAPABILITIES,
    )
    return (*first, default)


class _Factory:
    """Makes the hosts of one registry, which share what they can (hosts.go:152)."""

    def __init__(
        self, client: HTTPClient, options: HostOptions, namespace: str
    ) -> None:
        self._client = client
        self._options = options
        self._namespace = namespace
        self._authorizers: dict[tuple[HTTPClient, bool], DockerAuthorizer] = {}

    def registry_host(self, config: HostConfig) -> RegistryHost:
        """Return a host with its client and authorizer."""
        client = self._client
        if config.has_tls:
            client = client.with_tls(_tls(client.tls, config))
        host = RegistryHost(
            host=config.host,
            scheme=config.scheme,
            path=config.path,
            capabilities=config.capabilities,
            header=httpx.Headers(config.header, encoding="utf-8"),
            client=client,
        )
        is_proxy = host.is_proxy(self._namespace)
        return replace(host, authorizer=self._authorizer(client, is_proxy=is_proxy))

    def _authorizer(self, client: HTTPClient, *, is_proxy: bool) -> DockerAuthorizer:
        # DEVIATION D61: Go asks one function for all hosts, so that ctr hands the
        # registry's password to any mirror that wants one (hosts.go:147).
        credentials = (
            self._options.mirror_credentials if is_proxy else self._options.credentials
        )
        made = DockerAuthorizer(
            client, credentials=credentials, headers=self._options.headers
        )
        return self._authorizers.setdefault((client, is_proxy), made)


def _tls(base: TLSConfig, config: HostConfig) -> TLSConfig:
    """Return what a host adds to the default (hosts.go:162).

    Raises:
        ErrInvalidArgument: a file cannot be read or used.
    """
    for file in config.ca_certs:
        _check_file(file, f"{config.where}: ca: unable to read CA cert")
    for pair in config.client_pairs:
        for file in filter(None, pair):
            _check_file(file, f"{config.where}: client: unable to read CERT file")
    insecure = base.insecure_skip_verify
    if config.skip_verify is not None:
        insecure = config.skip_verify
    tls = replace(
        base,
        also=(*base.also, *config.ca_certs),
        client_pairs=(*base.client_pairs, *config.client_pairs),
        insecure_skip_verify=insecure,
    )
    with wrapped(config.where):
        tls.context()
    return tls


def _check_file(file: Path, what: str) -> None:
    try:
        file.open("rb").close()
    except OSError as err:
        raise ErrInvalidArgument(f'{what} "{file}": {err.strerror}') from err


def host_dir_from_root(root: Path) -> Callable[[str], Path | None]:
    """Return a function that finds a registry's folder below a root (hosts.go:233).

    For ``example.org:5000`` that is ``example.org_5000_``, ``example.org:5000`` or,
    as from containerd 1.6 on, ``_default``.
    """

    def host_dir(host: str) -> Path | None:
        name, colon, port = host.rpartition(":")
        names = [f"{name}_{port}_"] if name and colon else []
        for candidate in (*names, host, "_default"):
            folder = root / candidate
            try:
                folder.stat()
            except FileNotFoundError:
                continue
            except OSError as err:
                raise ErrInvalidArgument(f"{folder}: {err.strerror}") from err
            return folder
        return None

    return host_dir
