"""Mirrors: containerd v1.5.18 remotes/docker: registries with the distribution API.

    async with new_resolver() as resolver:
        name, desc = await resolver.resolve("docker.io/library/hello-world:latest")

:class:`ResolverOptions` says what can be set.
"""

from refimpl.remotes.docker import schema1
from refimpl.remotes.docker.authorizer import DockerAuthorizer, ErrInvalidAuthorization
from refimpl.remotes.docker.converter import (
    LEGACY_CONFIG_MEDIA_TYPE,
    convert_manifest,
)
from refimpl.remotes.docker.handler import append_distribution_source_label
from refimpl.remotes.docker.httpclient import HTTPClient
from refimpl.remotes.docker.registry import (
    HostCapabilities,
    RegistryHost,
    RegistryHosts,
    configure_default_registries,
    match_all_hosts,
    match_localhost,
    registries,
)
from refimpl.remotes.docker.resolver import (
    DockerResolver,
    ResolverOptions,
    new_resolver,
)
from refimpl.remotes.docker.scope import with_scope
from refimpl.remotes.docker.transport import Timeouts, TLSConfig

__all__ = [
    "LEGACY_CONFIG_MEDIA_TYPE",
    "DockerAuthorizer",
    "DockerResolver",
    "ErrInvalidAuthorization",
    "HTTPClient",
    "HostCapabilities",
    "RegistryHost",
    "RegistryHosts",
    "ResolverOptions",
    "TLSConfig",
    "Timeouts",
    "append_distribution_source_label",
    "configure_default_registries",
    "convert_manifest",
    "match_all_hosts",
    "match_localhost",
    "new_resolver",
    "registries",
    "schema1",
    "with_scope",
]
