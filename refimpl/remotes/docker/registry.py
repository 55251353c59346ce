"""Mirrors: containerd v1.5.18 remotes/docker/registry.go.

Which hosts serve a namespace, and what each may be asked for:

    hosts = configure_default_registries(plain_http=match_localhost)
    assert hosts("docker.io")[0].host == "registry-1.docker.io"
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from enum import IntFlag
from ipaddress import ip_address
from typing import TYPE_CHECKING

import httpx

from refimpl.errdefs import ErrInvalidArgument

if TYPE_CHECKING:
    from refimpl.remotes.docker.authorizer import Authorizer
    from refimpl.remotes.docker.httpclient import HTTPClient

__all__ = [
    "HostCapabilities",
    "RegistryHost",
    "RegistryHosts",
    "configure_default_registries",
    "match_all_hosts",
    "match_localhost",
    "registries",
]


class HostCapabilities(IntFlag):
    """What a host may be trusted with (registry.go:50)."""

    PULL = 1
    RESOLVE = 2
    PUSH = 4


ALL_CAPABILITIES = (
    HostCapabilities.PULL | HostCapabilities.RESOLVE | HostCapabilities.PUSH
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistryHost:
    """One host that serves a registry's API (registry.go:76).

    Attributes:
        host: name or address, with the port unless it is the scheme's own.
        scheme: ``http`` or ``https``.
        path: what stands before the repository's name.
        capabilities: what it may be asked for.
        header: fields to send to this host only.
        client: what sends; None takes the resolver's.
        authorizer: answers its challenges; None: they stay unanswered.
    """

    host: str
    scheme: str = "https"
    path: str = "/v2"
    capabilities: HostCapabilities = ALL_CAPABILITIES
    header: httpx.Headers = field(default_factory=httpx.Headers)
    client: "HTTPClient | None" = None
    authorizer: "Authorizer | None" = None

    def is_proxy(self, refhost: str) -> bool:
        """Tell whether the host stands in for another registry (registry.go:80)."""
        if refhost == self.host:
            return False
        return refhost != "docker.io" or self.host != "registry-1.docker.io"


RegistryHosts = Callable[[str], Sequence[RegistryHost]]


def registries(*functions: RegistryHosts) -> RegistryHosts:
    """Return a function that takes the first answer that is not empty."""

    def hosts(namespace: str) -> Sequence[RegistryHost]:
        for function in functions:
            if found := function(namespace):
                return found
        return ()

    return hosts


def configure_default_registries(
    *,
    plain_http: Callable[[str], bool] | None = None,
    host: Callable[[str], str] | None = None,
    client: "HTTPClient | None" = None,
    authorizer: "Authorizer | None" = None,
) -> RegistryHosts:
    """Return a function that names one host with all capabilities.

    Args:
        plain_http: tells for which namespaces http is used, not https.
        host: names the host of a namespace; by default the namespace itself.
        client: what sends.
        authorizer: answers challenges.
    """

    def hosts(namespace: str) -> Sequence[RegistryHost]:
        name = "registry-1.docker.io" if namespace == "docker.io" else namespace
        registry = RegistryHost(
            host=host(namespace) if host else name,
            scheme="http" if plain_http and plain_http(namespace) else "https",
            client=client,
            authorizer=authorizer,
        )
        return (registry,)

    return hosts


def match_all_hosts(_host: str) -> bool:
    """Match every host."""
    return True


def match_localhost(host: str) -> bool:
    """Match the names and addresses of this machine (registry.go:211).

    Raises:
        ErrInvalidArgument: it is no host, or a port is missing after the colon.
    """
    if host in ("::1", "[::1]"):
        return True
    name = _split_port(host)
    if name == "localhost":
        return True
    with suppress(ValueError):
        address = ip_address(name)
        return (getattr(address, "ipv4_mapped", None) or address).is_loopback
    return False


def _split_port(host: str) -> str:
    """Return a host without its port, as net.SplitHostPort does."""
    name, colon, port = host.rpartition(":")
    if not colon or (host.startswith("[") and host.endswith("]")):
        return host
    if name.startswith("[") and name.endswith("]"):
        name = name[1:-1]
    elif ":" in name:
        raise ErrInvalidArgument(f"address {host}: too many colons in address")
    if not port:
        raise ErrInvalidArgument("invalid host name format")
    return name
