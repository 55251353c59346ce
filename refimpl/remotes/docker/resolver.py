"""Mirrors: containerd v1.5.18 remotes/docker/resolver.go.

From a reference to the descriptor of what it names, on any registry:

    async with new_resolver() as resolver:
        name, desc = await resolver.resolve("docker.io/library/hello-world:latest")
        fetcher = await resolver.fetcher(name)
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import httpx

from refimpl import digest, reference
from refimpl.descriptor import Descriptor
from refimpl.digest import Digest
from refimpl.errdefs import (
    ContainerdError,
    ErrInvalidArgument,
    ErrNotFound,
    ErrUnexpectedStatus,
    wrapped,
)
from refimpl.gotext import quote
from refimpl.remotes.docker.auth import USER_AGENT
from refimpl.remotes.docker.authorizer import (
    Authorizer,
    Credentials,
    DockerAuthorizer,
    ErrInvalidAuthorization,
)
from refimpl.remotes.docker.config.hosts import (
    HostOptions,
    configure_hosts,
    host_dir_from_root,
)
from refimpl.remotes.docker.fetcher import DockerFetcher
from refimpl.remotes.docker.httpclient import (
    HTTPClient,
    Response,
    merge_headers,
)
from refimpl.remotes.docker.registry import (
    HostCapabilities,
    RegistryHost,
    RegistryHosts,
    configure_default_registries,
    match_all_hosts,
    match_localhost,
)
from refimpl.remotes.docker.request import DockerBase
from refimpl.remotes.docker.scope import with_repository_scope
from refimpl.remotes.docker.signature import strip_signature
from refimpl.remotes.docker.transport import Timeouts, TLSConfig
from refimpl.workers import run_blocking

__all__ = ["MAX_MANIFEST_SIZE", "DockerResolver", "ResolverOptions", "new_resolver"]

# resolver.go:59; 1048 is not a slip of ours.
MAX_MANIFEST_SIZE: Final = 4 * 1048 * 1048

_SCHEMA1: Final = "application/vnd.docker.distribution.manifest.v1+prettyjws"
_WEB_PAGES: Final = frozenset({"text/html", "application/xhtml+xml"})

# What a resolver asks for (resolver.go:139).
_ACCEPT: Final = ", ".join(
    (
        "application/vnd.docker.distribution.manifest.v2+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.oci.image.index.v1+json",
        "*/*",
    )
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolverOptions:
    """How registries are reached (resolver.go:76).

    Attributes:
        hosts: names the hosts of a namespace; wins over ``hosts_dir``, ``host``,
            ``plain_http``, ``authorizer`` and ``credentials``. It may block.
        hosts_dir: a folder of folders as in containerd's docs/hosts.md, which name
            mirrors and certificates; wins over ``host`` and ``authorizer``.
        headers: fields to send with every request; ``Accept`` when resolving only.
        authorizer: answers challenges; by default Basic and Bearer.
        credentials: names user and secret for a host, which is asked only when that
            host, reached without a redirect, wants them.
        host: names the host of a namespace; by default the namespace itself.
        plain_http: use http everywhere, not for this machine only.
        client: what sends; the resolver does not close it.
        ca: a PEM file of the authorities to trust instead of the system's. Where it
            is given, registries on this machine are reached over https too.
        tls: more than that about TLS.
        timeouts: how long to wait for a connection, and for the next byte.
    """

    hosts: RegistryHosts | None = None
    hosts_dir: Path | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    authorizer: Authorizer | None = None
    credentials: Credentials | None = field(default=None, repr=False)
    host: Callable[[str], str] | None = None
    plain_http: bool = False
    client: HTTPClient | None = None
    ca: Path | None = None
    tls: TLSConfig | None = None
    timeouts: Timeouts | None = None


def new_resolver(options: ResolverOptions | None = None) -> "DockerResolver":
    """Return a resolver (resolver.go:131). Use it as a context manager, or close it."""
    return DockerResolver(options or ResolverOptions())


def _plain_http(options: ResolverOptions) -> Callable[[str], bool] | None:
    if options.plain_http:
        return match_all_hosts
    return match_localhost if options.ca is None else None


class DockerResolver:
    """A Resolver for registries with the distribution API (resolver.go:124)."""

    def __init__(self, options: ResolverOptions) -> None:
        self._own_client: HTTPClient | None = None
        client = options.client
        if client is None:
            client = HTTPClient(
                ca=options.ca, tls=options.tls, timeouts=options.timeouts
            )
            self._own_client = client
        self._client = client
        self._header = httpx.Headers({"User-Agent": USER_AGENT, **options.headers})
        self._accept = self._header.pop("Accept", _ACCEPT)
        self._hosts = options.hosts or self._make_hosts(options)
        # What reads files does so in a thread.
        self._hosts_block = bool(options.hosts or options.hosts_dir)

    def _make_hosts(self, options: ResolverOptions) -> RegistryHosts:
        if options.hosts_dir is None:
            return self._default_hosts(options)
        host_options = HostOptions(
            host_dir=host_dir_from_root(options.hosts_dir),
            credentials=options.credentials,
            plain_http=_plain_http(options),
            headers=self._header,
        )
        return configure_hosts(self._client, host_options)

    def _default_hosts(self, options: ResolverOptions) -> RegistryHosts:
        authorizer = options.authorizer or DockerAuthorizer(
            self._client, credentials=options.credentials, headers=self._header
        )
        return configure_default_registries(
            plain_http=_plain_http(options),
            host=options.host,
            client=self._client,
            authorizer=authorizer,
        )

    async def resolve(self, ref: str) -> tuple[str, Descriptor]:
        """Return the name and the descriptor of what a reference names (:226).

        Raises:
            ErrNotFound: no host has it.
            ErrUnexpectedStatus: a host answered with a failure.
            ContainerdError: the reference is none, its digest or a host's is none,
                or no host answered.
        """
        base = await self._base(ref)
        spec = base.refspec
        if not spec.object:
            raise reference.ErrObjectRequired
        caps = HostCapabilities.PULL
        attempts = [("manifests", spec.object)]
        if dgst := spec.digest:
            _validate(dgst)
            attempts = [("manifests", dgst), ("blobs", dgst)]
        else:
            caps |= HostCapabilities.RESOLVE
        hosts = base.filter_hosts(caps)
        if not hosts:
            raise ErrNotFound("no resolve hosts")
        with with_repository_scope(spec):
            return ref, await self._try_all(_Lookup(base, ref, dgst), hosts, attempts)

    async def _try_all(
        self,
        lookup: "_Lookup",
        hosts: Sequence[RegistryHost],
        attempts: Sequence[tuple[str, str]],
    ) -> Descriptor:
        """Ask each host on each path; the first error that is no 404 counts."""
        first_error: ContainerdError | None = None
        for path in attempts:
            without: list[RegistryHost] = []
            for host in hosts:
                try:
                    return await lookup.ask(host, path, self._accept)
                except _NextHost as trial:
                    if trial.error is None:
                        without.append(host)
                    first_error = first_error or trial.error
            # DEVIATION D2: Go asks a host for a blob whatever it said before.
            hosts = without
        raise first_error or ErrNotFound(lookup.ref)

    async def fetcher(self, ref: str) -> DockerFetcher:
        """Return what fetches the content of a reference's repository (:386)."""
        return DockerFetcher(await self._base(ref))

    async def _base(self, ref: str) -> DockerBase:
        spec = reference.parse(ref)
        host = spec.hostname
        if self._hosts_block:
            hosts = await run_blocking(self._hosts, host)
        else:
            hosts = self._hosts(host)
        return DockerBase(
            refspec=spec,
            repository=spec.locator.removeprefix(host + "/"),
            hosts=hosts,
            header=self._header,
            client=self._client,
        )

    async def aclose(self) -> None:
        """Close the connections, unless they belong to a client that was given."""
        if self._own_client is not None:
            await self._own_client.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()


class _NextHost(Exception):
    """A host cannot help; ``error`` is why, and None if it has no such thing."""

    def __init__(self, error: ContainerdError | None = None) -> None:
        super().__init__()
        self.error = error


@dataclass(frozen=True, slots=True)
class _Lookup:
    """What is looked for, and how one host is asked (resolver.go:271)."""

    base: DockerBase
    ref: str
    dgst: Digest

    async def ask(
        self, host: RegistryHost, path: tuple[str, str], accept: str
    ) -> Descriptor:
        """Return the descriptor that one host gives.

        Raises:
            _NextHost: it gives none; another may.
        """
        async with await self._head(host, path, accept) as response:
            self._check_status(host, path, response)
            size = response.content_length
            media_type = _manifest_media_type(response)
            # DEVIATION D63: Go keeps the digest of a host whose manifest it rejects,
            # and gives it the next host's size and type.
            dgst = self.dgst or _trusted_digest(response, size)
        if not dgst or size == -1:
            media_type, dgst, size = await self._get(host, path, accept, dgst)
        self._check_size(size)
        self._check_type(host, media_type)
        return Descriptor(media_type=media_type, digest=dgst, size=size)

    async def _get(
        self, host: RegistryHost, path: tuple[str, str], accept: str, dgst: Digest
    ) -> tuple[str, Digest, int]:
        """Learn from the manifest what its HEAD did not say (resolver.go:328)."""
        async with await self._request(host, "GET", path, accept) as response:
            # DEVIATION D1: Go takes an error page for the manifest.
            self._check_status(host, path, response)
            # DEVIATION D17: Go reads to the end and compares with the limit then.
            self._check_size(response.content_length)
            document = await response.read(MAX_MANIFEST_SIZE + 1)
            self._check_size(len(document))
            media_type = _manifest_media_type(response)
        if not dgst:
            is_schema1 = media_type == _SCHEMA1
            payload = strip_signature(document) if is_schema1 else document
            dgst = digest.from_bytes(payload)
        return media_type, dgst, len(document)

    async def _head(
        self, host: RegistryHost, path: tuple[str, str], accept: str
    ) -> Response:
        try:
            return await self._request(host, "HEAD", path, accept)
        except ErrInvalidAuthorization as err:
            err.add_note(
                "pull access denied, repository does not exist or may require "
                "authorization"
            )
            raise _NextHost(err) from err
        except ContainerdError as err:
            raise _NextHost(err) from err

    async def _request(
        self, host: RegistryHost, method: str, path: tuple[str, str], accept: str
    ) -> Response:
        request = self.base.request(host, method, *path)
        request.header = merge_headers(
            request.header, httpx.Headers({"Accept": accept})
        )
        return await request.do_with_retries()

    @staticmethod
    def _check_status(
        host: RegistryHost, path: tuple[str, str], response: Response
    ) -> None:
        if response.status <= 299:
            return
        if response.status == 404:
            raise _NextHost
        unexpected = "" if response.status > 399 else "unexpected "
        error = ErrUnexpectedStatus(
            response.status,
            f"pulling from host {host.host} failed with {unexpected}status code "
            f"[{' '.join(path)}]: {response.status_text}",
        )
        raise _NextHost(error) if response.status > 399 else error

    def _check_size(self, size: int) -> None:
        if size > MAX_MANIFEST_SIZE:
            raise _NextHost(
                ErrNotFound(f"rejecting {size} byte manifest for {self.ref}")
            )

    def _check_type(self, host: RegistryHost, media_type: str) -> None:
        # DEVIATION D32: containerd records the login page of a hotel's network as
        # an image of type text/html (remotes/docker/resolver.go:376).
        if media_type.strip().lower() in _WEB_PAGES:
            raise _NextHost(
                ErrNotFound(
                    f"{host.host} answered with a web page ({media_type}) in place of "
                    f"the manifest for {self.ref}"
                )
            )


def _manifest_media_type(response: Response) -> str:
    """Return the media type without parameters (resolver.go:191)."""
    media_type = response.headers.get("Content-Type", "").partition(";")[0]
    # registry.access.redhat.com had schema1 manifests and no type for them.
    return _SCHEMA1 if media_type == "text/plain" else media_type


def _trusted_digest(response: Response, size: int) -> Digest:
    """Return the digest that a registry states for a tag (resolver.go:303).

    This is the one place where a registry is taken at its word.

    Raises:
        ContainerdError: what it states is no digest.
    """
    stated = response.headers.get("Docker-Content-Digest", "")
    if not stated or size == -1:
        return Digest("")
    with wrapped(f"{quote(stated[:200])} in header not a valid digest"):
        _validate(stated)
    return Digest(stated)


def _validate(text: str) -> None:
    try:
        digest.validate(text)
    except ErrInvalidArgument as err:
        # The errors of go-digest have no class of containerd's.
        raise ContainerdError(err.detail) from None
