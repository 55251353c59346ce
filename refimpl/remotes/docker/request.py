"""Mirrors: containerd v1.5.18 remotes/docker/resolver.go (dockerBase, request).

One repository on its hosts, and requests to it with their retries:

    request = base.request(host, "HEAD", "manifests", "latest")
    response = await request.do_with_retries()
"""

import posixpath
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

import httpx

from refimpl.errdefs import ErrNotImplemented, wrapped
from refimpl.reference import Spec
from refimpl.remotes.docker.httpclient import (
    HTTPClient,
    Request,
    Response,
    follow,
    merge_headers,
    origin,
    parse_url,
    safe_url,
)
from refimpl.remotes.docker.registry import HostCapabilities, RegistryHost

__all__ = ["DockerBase", "RegistryRequest"]

# resolver.go:562: the sixth answer is the last.
MAX_RESPONSES = 6

# What every request has; the fields of a host may set them too.
_ORDINARY = frozenset({"accept", "range", "user-agent"})


@dataclass(frozen=True, slots=True, kw_only=True)
class DockerBase:
    """A repository and the hosts that serve it (resolver.go:419)."""

    refspec: Spec
    repository: str
    hosts: Sequence[RegistryHost]
    header: httpx.Headers
    client: HTTPClient

    def filter_hosts(self, caps: HostCapabilities) -> list[RegistryHost]:
        """Return the hosts that have all of some capabilities."""
        return [host for host in self.hosts if caps in host.capabilities]

    def request(
        self, host: RegistryHost, method: str, *parts: str
    ) -> "RegistryRequest":
        """Return a request for a path below the repository (resolver.go:451)."""
        path = _join_path(host.path, self.repository, *parts)
        if host.is_proxy(self.refspec.hostname):
            path += "?" + urlencode({"ns": self.refspec.hostname})
        return self.request_path(host, method, path)

    def request_path(
        self, host: RegistryHost, method: str, path: str
    ) -> "RegistryRequest":
        """Return a request for a whole path of a host."""
        header = merge_headers(self.header, host.header)
        client = host.client or self.client
        return RegistryRequest(host, method, path, header, client)


def _join_path(*parts: str) -> str:
    """Join parts as Go's path.Join does; a slash at the end stays."""
    path = posixpath.normpath("/" + "/".join(part for part in parts if part))
    path = "/" + path.lstrip("/")
    return path + "/" if parts[-1].endswith("/") and path != "/" else path


class RegistryRequest:
    """A request to a host of a registry (resolver.go:500).

    Attributes:
        header: the fields to send; may be changed until the request is sent.
    """

    def __init__(
        self,
        host: RegistryHost,
        method: str,
        path: str,
        header: httpx.Headers,
        client: HTTPClient,
    ) -> None:
        self.header = header
        self._host = host
        self._method = method
        self._client = client
        self._path = path
        self._url = parse_url(f"{host.scheme}://{host.host}{path}")

    def __str__(self) -> str:
        """Return the URL, without a query."""
        return safe_url(self._url)

    async def do_with_retries(self) -> Response:
        """Send, and send again as long as that may help (resolver.go:541).

        Raises:
            ErrInvalidAuthorization: the host refuses our authorization.
            ContainerdError: there is no answer.
        """
        responses: list[Response] = []
        while True:
            response = await self._do()
            responses.append(response)
            retry = False
            try:
                retry = await self._retry_request(responses)
            except BaseException:
                response.close()
                raise
            if not retry:
                return response
            response.close()

    async def _do(self) -> Response:
        request = Request(
            method=self._method, url=self._url, headers=merge_headers(self.header)
        )
        with wrapped("failed to authorize"):
            await self._authorize(request)
        with wrapped("failed to do request"):
            return await follow(self._client, request, self._authorize_redirect)

    async def _authorize(self, request: Request) -> None:
        if self._host.authorizer is not None:
            await self._host.authorizer.authorize(request)

    async def _authorize_redirect(self, request: Request) -> None:
        if origin(request.url) != origin(self._url):
            # DEVIATION D62: Go takes a host's fields along to wherever it points, a
            # key of its user's among them (net/http keeps back those it knows).
            for name in self._host.header.keys() - _ORDINARY:
                request.headers.pop(name, None)
        with wrapped("failed to authorize redirect"):
            await self._authorize(request)

    async def _retry_request(self, responses: list[Response]) -> bool:
        """Tell whether to send again, after learning what to (resolver.go:561)."""
        if len(responses) >= MAX_RESPONSES:
            return False
        status = responses[-1].status
        if status == 401:
            return await self._learn(responses)
        if status == 405 and self._method == "HEAD" and "/manifests/" in self._path:
            # Some registries do not know HEAD for manifests.
            self._method = "GET"
            return True
        return status in (408, 429)

    async def _learn(self, responses: list[Response]) -> bool:
        if self._host.authorizer is None:
            return False
        try:
            await self._host.authorizer.add_responses(responses, self._url)
        except ErrNotImplemented:
            return False
        return True
