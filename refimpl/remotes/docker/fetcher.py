"""Mirrors: containerd v1.5.18 remotes/docker/fetcher.go.

reader = await DockerFetcher(base).fetch(desc)
try:
    await reader.write_to(writer.write)
finally:
    await reader.aclose()
"""

from collections.abc import Iterable
from dataclasses import replace
from itertools import islice
from typing import Final

import httpx

from refimpl import digest
from refimpl.descriptor import Descriptor
from refimpl.errdefs import (
    ContainerdError,
    ErrNotFound,
    ErrUnexpectedEOF,
    ErrUnexpectedStatus,
    message,
    wrapped,
)
from refimpl.remotes.docker.errcode import describe_errors
from refimpl.remotes.docker.httpclient import (
    SENSITIVE_HEADERS,
    Response,
    merge_headers,
)
from refimpl.remotes.docker.httpreadseeker import HTTPReadSeeker
from refimpl.remotes.docker.registry import HostCapabilities, RegistryHost
from refimpl.remotes.docker.request import DockerBase, RegistryRequest
from refimpl.remotes.docker.scope import (
    current_scopes,
    repository_scope,
    with_scope,
)
from refimpl.remotes.docker.transport import TLSConfig

__all__ = ["DockerFetcher"]

MAX_ERROR_BODY: Final = 1 << 16
# A manifest has room for a hundred thousand, each with its time to connect.
MAX_URLS: Final = 16

# fetcher.go:95: what is asked from the manifests endpoint.
_MANIFESTS: Final = frozenset(
    {
        "application/vnd.docker.distribution.manifest.v1+prettyjws",
        "application/vnd.docker.distribution.manifest.v2+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.oci.image.index.v1+json",
    }
)

# images/mediatypes.go: layers that may not be in the registry at all.
_FOREIGN: Final = frozenset(
    {
        "application/vnd.docker.image.rootfs.foreign.diff.tar",
        "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
        "application/vnd.oci.image.layer.nondistributable.v1.tar",
        "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
        "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd",
    }
)


class DockerFetcher:
    """Fetches content of one repository (fetcher.go:35)."""

    def __init__(self, base: DockerBase) -> None:
        self._base = base

    async def fetch(self, desc: Descriptor) -> HTTPReadSeeker:
        """Return a reader of some content; nothing is asked for yet.

        Raises:
            ErrNotFound: no host has the pull capability.
            ErrInvalidArgument: the digest is none.
        """
        # DEVIATION D18: Go puts whatever stands for a digest into the URL.
        with wrapped(f"invalid digest in descriptor ({desc.media_type})"):
            digest.validate(desc.digest)
        if not self._base.filter_hosts(HostCapabilities.PULL):
            raise ErrNotFound("no pull hosts")
        # The body is asked for later, perhaps by a task with other scopes.
        scopes = (*current_scopes(), repository_scope(self._base.refspec))

        async def open_at(offset: int) -> Response:
            with with_scope(*scopes):
                return await self._open_anywhere(desc, offset)

        return HTTPReadSeeker(desc.size, open_at)

    async def _open_anywhere(self, desc: Descriptor, offset: int) -> Response:
        """Ask the hosts and the descriptor's URLs (fetcher.go:50)."""
        # DEVIATION D64: Go asks the URLs first, whatever the type, and ends the pull
        # when one of them answers anything but 404.
        if not desc.urls:
            return await self._open_on_registry(desc, offset)
        first, second = self._open_on_registry, self._open_external
        if desc.media_type in _FOREIGN:
            first, second = second, first
        try:
            return await first(desc, offset)
        except ErrNotFound as err:
            with wrapped(message(err)):
                return await second(desc, offset)

    async def _open_external(self, desc: Descriptor, offset: int) -> Response:
        """Ask the descriptor's URLs, one after the other.

        Raises:
            ErrNotFound: none of them helps.
        """
        why = "no http url"
        urls = islice(_external_urls(desc.urls), MAX_URLS)
        for request in map(self._external_request, urls):
            try:
                return await _open(request, desc.media_type, offset)
            except ContainerdError as err:
                why = message(err)
        raise ErrNotFound(f"urls of {desc.digest}: {why}")

    async def _open_on_registry(self, desc: Descriptor, offset: int) -> Response:
        if desc.media_type in _MANIFESTS:
            return await self._open_on_hosts(desc, "manifests", offset)
        try:
            return await self._open_on_hosts(desc, "blobs", offset)
        except ErrNotFound as err:
            raise ErrNotFound(
                f"could not fetch content descriptor {desc.digest} "
                f"({desc.media_type}) from remote"
            ) from err

    async def _open_on_hosts(
        self, desc: Descriptor, endpoint: str, offset: int
    ) -> Response:
        first_error: ContainerdError | None = None
        # DEVIATION D3: Go asks hosts without the pull capability, too.
        for host in self._base.filter_hosts(HostCapabilities.PULL):
            request = self._base.request(host, "GET", endpoint, desc.digest)
            try:
                return await _open(request, desc.media_type, offset)
            except ContainerdError as err:
                first_error = first_error or err
        raise first_error or ErrNotFound("no pull hosts")

    def _external_request(self, url: httpx.URL) -> RegistryRequest:
        """Return a request to a host that is no registry: it gets no credentials."""
        # Nor is what we trust for the registry good for it (http.DefaultClient, :71).
        client = self._base.client.with_tls(TLSConfig())
        host = RegistryHost(
            host=url.netloc.decode("ascii"), scheme=url.scheme, client=client
        )
        header = merge_headers(self._base.header, without=SENSITIVE_HEADERS)
        base = replace(self._base, header=header)
        return base.request_path(host, "GET", url.raw_path.decode("ascii"))


def _external_urls(urls: Iterable[str]) -> Iterable[httpx.URL]:
    """Return the URLs that can be asked; others are skipped (fetcher.go:56)."""
    for text in urls:
        try:
            url = httpx.URL(text)
        except (httpx.InvalidURL, UnicodeError):
            continue
        if url.scheme in ("http", "https") and url.host:
            yield url


async def _open(request: RegistryRequest, media_type: str, offset: int) -> Response:
    """Ask for content from an offset on (fetcher.go:152).

    Raises:
        ErrNotFound: the host does not have it.
        ErrUnexpectedStatus: the host's answer is no success.
        ContainerdError: the answer does not begin where it should.
    """
    request.header["Accept"] = f"{media_type}, */*"
    if offset > 0:
        request.header["Range"] = f"bytes={offset}-"
    response = await request.do_with_retries()
    opened = False
    try:
        await _check_status(request, response)
        if offset > 0:
            await _skip_to(response, offset)
        opened = True
    finally:
        if not opened:
            response.close()
    return response


async def _check_status(request: RegistryRequest, response: Response) -> None:
    if response.status <= 299:
        return
    if response.status == 404:
        raise ErrNotFound(f"content at {request} not found")
    # DEVIATION D15: Go decodes an error body to its end, however far that is.
    body = await _read_error_body(response)
    detail = f"unexpected status code {request}: {response.status_text}"
    if errors := describe_errors(body):
        detail += f" - Server message: {errors}"
    raise ErrUnexpectedStatus(response.status, detail, body)


async def _read_error_body(response: Response) -> bytes:
    """Return the start of a body; one that breaks off says nothing."""
    try:
        return await response.read(MAX_ERROR_BODY)
    except ContainerdError:
        return b""


async def _skip_to(response: Response, offset: int) -> None:
    """Make sure that the next byte is the one at ``offset`` (fetcher.go:187).

    Accept-Ranges cannot be trusted; only Content-Range says what comes.
    """
    content_range = response.headers.get("Content-Range", "")
    if content_range:
        if not content_range.startswith(f"bytes {offset}-"):
            raise ContainerdError(
                f"unhandled content range in response: {content_range[:100]}"
            )
        return
    with wrapped("failed to discard to offset"):
        try:
            skipped = await response.pump(len, offset)
        except ErrUnexpectedEOF as err:
            raise ContainerdError(str(err)) from err
    if skipped != offset:
        raise ContainerdError("unable to discard to offset")
