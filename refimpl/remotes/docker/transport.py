"""How HTTP is done: connections, TLS and proxies behind httpx's transport API.

containerd uses Go's http.Transport. This one does the same for a pull: it keeps
connections for the next request, as many as there are at a time, and it can be
interrupted from another thread, which cancellation needs. Any other
``httpx.BaseTransport`` does in its place.

    transport = Transport(tls=TLSConfig(ca=Path("ca.pem")))
    response = transport.handle_request(httpx.Request("GET", url))
"""

import socket
import ssl
import threading
import time
from base64 import b64encode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import ip_address
from pathlib import Path
from select import POLLIN, poll
from typing import Any, Final, NamedTuple
from urllib.parse import unquote
from urllib.request import getproxies_environment, proxy_bypass

import httpx

from refimpl.errdefs import ErrInvalidArgument
from refimpl.remotes.docker.http1 import Body, Incoming, framing, read_head

__all__ = ["Interrupt", "TLSConfig", "Timeouts", "Transport", "is_loopback"]

# Go's http.DefaultTransport, IdleConnTimeout.
IDLE_SECONDS: Final = 90.0

_PORTS: Final = {"http": 80, "https": 443}


class Interrupt:
    """Ends, from any thread, what another thread does on a socket."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sock: socket.socket | None = None
        self.fired = False

    def watch(self, sock: socket.socket | None) -> None:
        """Let ``fire`` end what is done on this socket from now on.

        Raises:
            httpx.ReadError: the interrupt has fired.
        """
        with self._lock:
            if self.fired and sock is not None:
                raise httpx.ReadError("interrupted")
            self._sock = sock

    def fire(self) -> None:
        """Shut the watched socket down: whoever waits for it wakes up."""
        with self._lock:
            self.fired = True
            if self._sock is not None:
                with suppress(OSError):
                    # SSLSocket.shutdown would drop its encryption first, and a
                    # writer in another thread could go on in clear.
                    socket.socket.shutdown(self._sock, socket.SHUT_RDWR)


@dataclass(frozen=True, slots=True, kw_only=True)
class TLSConfig:
    """Whom to trust over https, and who we are.

    Attributes:
        ca: a PEM file of the authorities to trust instead of the system's.
        also: PEM files of authorities to trust besides those.
        client_pairs: PEM files with a certificate of ours and its key; None says
            that both are in one file. Of several keys of one kind (RSA, say) the
            last counts: OpenSSL keeps no more.
        insecure_skip_verify: trust anybody.
    """

    ca: Path | None = None
    also: tuple[Path, ...] = ()
    client_pairs: tuple[tuple[Path, Path | None], ...] = ()
    insecure_skip_verify: bool = False

    def context(self) -> ssl.SSLContext:
        """Return the context for new connections; one is shared by all who can.

        Raises:
            ErrInvalidArgument: a file cannot be read or is no PEM file.
        """
        files = [self.ca] if self.ca else []
        files += [*self.also, *(certificate for certificate, _ in self.client_pairs)]
        try:
            return _context(
                _pem(self.ca) if self.ca else None,
                tuple(map(_pem, self.also)),
                self.client_pairs,
                self.insecure_skip_verify,
            )
        except (OSError, ValueError) as err:
            names = ", ".join(map(str, files))
            reason = getattr(err, "strerror", None) or err
            raise ErrInvalidArgument(f"TLS files of {names}: {reason}") from err


def _pem(file: Path) -> str:
    # Bundles have comments in any language; a certificate itself is ASCII.
    return file.read_text("ascii", errors="ignore")


@lru_cache(maxsize=64)
def _context(
    authorities: str | None,
    more: tuple[str, ...],
    client_pairs: tuple[tuple[Path, Path | None], ...],
    insecure: bool,  # noqa: FBT001 - part of the key of the cache
) -> ssl.SSLContext:
    """Make a context. The system's authorities take 40 ms to load, a file's none."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.set_alpn_protocols(["http/1.1"])
    if insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif authorities is not None:
        context.load_verify_locations(cadata=authorities)
    else:
        context.load_default_certs()
    for text in more:
        context.load_verify_locations(cadata=text)
    for certificate, key in client_pairs:
        context.load_cert_chain(certificate, key)
    return context


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """How many seconds to wait; None is for ever.

    Attributes:
        connect: for a connection, TLS included.
        read: for the next byte.
    """

    # DEVIATION D13: a server that goes silent holds containerd's pull for ever.
    connect: float | None = 30.0
    read: float | None = 60.0


class _Route(NamedTuple):
    """Where a connection leads."""

    scheme: str
    host: str
    port: int
    proxy: httpx.URL | None


class _Connection:
    def __init__(self, sock: socket.socket, route: _Route) -> None:
        self.sock = sock
        self.route = route
        self.incoming = Incoming(sock)
        self.expires = 0.0

    def is_usable(self) -> bool:
        """Tell whether an idle connection can carry a request.

        One that has something to read was closed by the server, or is out of step.
        """
        poller = poll()
        poller.register(self.sock, POLLIN)
        return time.monotonic() < self.expires and not poller.poll(0)

    def close(self) -> None:
        with suppress(OSError):
            self.sock.close()


class Transport(httpx.BaseTransport):
    """An httpx transport over HTTP/1.1 with a pool of connections.

    It understands two extensions of a request: ``timeout``, as httpx sets it, and
    ``interrupt``, an :class:`Interrupt`.

    Args:
        tls: whom to trust; the context is made when the first https URL comes.
    """

    def __init__(self, *, tls: TLSConfig | None = None) -> None:
        self._tls = tls or TLSConfig()
        self._lock = threading.Lock()
        self._idle: dict[_Route, list[_Connection]] = {}
        self._closed = False

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request and return its response once the head is here.

        Raises:
            httpx.TransportError: as httpx's own transports do.
        """
        route = _route(request.url)
        interrupt = request.extensions.get("interrupt") or Interrupt()
        timeout = request.extensions.get("timeout", {})
        # Only what can be repeated may meet a connection that is just closing.
        repeatable = request.method in ("GET", "HEAD")
        while repeatable and not interrupt.fired and (idle := self._take(route)):
            with suppress(httpx.NetworkError, _NoResponse):
                return self._exchange(idle, request, interrupt, timeout)
        connection = self._connect(route, interrupt, timeout.get("connect"))
        return self._exchange(connection, request, interrupt, timeout)

    def close(self) -> None:
        """Close the idle connections now and the others when they are given back."""
        with self._lock:
            self._closed = True
            idle = [one for some in self._idle.values() for one in some]
            self._idle.clear()
        for connection in idle:
            connection.close()

    def _take(self, route: _Route) -> _Connection | None:
        while True:
            with self._lock:
                some = self._idle.get(route)
                connection = some.pop() if some else None
            if connection is None or connection.is_usable():
                return connection
            connection.close()

    def _give_back(self, connection: _Connection) -> None:
        connection.expires = time.monotonic() + IDLE_SECONDS
        with self._lock:
            if not self._closed:
                self._idle.setdefault(connection.route, []).append(connection)
                return
        connection.close()

    def _connect(
        self, route: _Route, interrupt: Interrupt, timeout: float | None
    ) -> _Connection:
        context = self._tls.context() if route.scheme == "https" else None
        with _connect_errors():
            sock = _dial(route, interrupt, timeout)
            try:
                if context is not None:
                    if route.proxy is not None:
                        _open_tunnel(sock, route, route.proxy)
                    sock = context.wrap_socket(sock, server_hostname=route.host)
                    interrupt.watch(sock)
            except BaseException:
                sock.close()
                raise
        return _Connection(sock, route)

    def _exchange(
        self,
        connection: _Connection,
        request: httpx.Request,
        interrupt: Interrupt,
        timeout: Mapping[str, float | None],
    ) -> httpx.Response:
        def release(reusable: bool) -> None:  # noqa: FBT001 - Body calls it so
            interrupt.watch(None)
            if reusable and not interrupt.fired:
                self._give_back(connection)
            else:
                connection.close()

        try:
            with _read_errors():
                interrupt.watch(connection.sock)
                connection.sock.settimeout(timeout.get("read"))
                connection.sock.sendall(_request_bytes(request, connection.route))
                if not connection.incoming.peek():
                    raise _NoResponse("the server closed the connection unanswered")
                head = read_head(connection.incoming)
                body = _Guarded(
                    connection.incoming, framing(head, request.method), release
                )
        except BaseException:
            connection.close()
            raise
        extensions: dict[str, Any] = {
            "http_version": b"HTTP/1.%d" % head.minor,
            "reason_phrase": head.reason,
        }
        return httpx.Response(
            head.status,
            headers=head.headers,
            stream=body,
            extensions=extensions,
            request=request,
        )


class _NoResponse(httpx.RemoteProtocolError):
    """The server closed the connection instead of answering."""


class _Guarded(Body):
    """A body whose errors are httpx's."""

    def read_into(self, view: memoryview) -> int:
        with _read_errors():
            return super().read_into(view)


def is_loopback(host: str) -> bool:
    """Tell whether a host name or address is this machine's own."""
    with suppress(ValueError):
        address = ip_address(host.strip("[]"))
        return (getattr(address, "ipv4_mapped", None) or address).is_loopback
    return host == "localhost"


def _route(url: httpx.URL) -> _Route:
    if url.scheme not in _PORTS or not url.host:
        raise httpx.UnsupportedProtocol(f"unsupported protocol scheme {url.scheme!r}")
    host = url.raw_host.decode("ascii")
    return _Route(url.scheme, host, url.port or _PORTS[url.scheme], _proxy(url))


def _proxy(url: httpx.URL) -> httpx.URL | None:
    """Return the proxy that the environment names for a URL.

    As Go's http.ProxyFromEnvironment: never one for this machine itself.
    """
    if is_loopback(url.host):
        return None
    text = getproxies_environment().get(url.scheme)
    if not text or proxy_bypass(url.netloc.decode("ascii")):
        return None
    proxy = httpx.URL(text if "://" in text else f"http://{text}")
    if proxy.scheme != "http":
        raise httpx.ProxyError(f"a proxy over {proxy.scheme} is not supported")
    return proxy


def _dial(route: _Route, interrupt: Interrupt, timeout: float | None) -> socket.socket:
    host, port = route.host, route.port
    if route.proxy is not None:
        host, port = route.proxy.host, route.proxy.port or 80
    failure = OSError("no address")
    for family, kind, proto, _, address in socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM
    ):
        sock = socket.socket(family, kind, proto)
        try:
            interrupt.watch(sock)
            sock.settimeout(timeout)
            sock.connect(address)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError as err:
            sock.close()
            failure = err
        except BaseException:
            sock.close()
            raise
        else:
            return sock
    raise failure


def _open_tunnel(sock: socket.socket, route: _Route, proxy: httpx.URL) -> None:
    host = f"[{route.host}]" if ":" in route.host else route.host
    target = f"{host}:{route.port}"
    lines = [f"CONNECT {target} HTTP/1.1", f"Host: {target}", *_proxy_login(proxy)]
    sock.sendall("\r\n".join([*lines, "", ""]).encode("ascii"))
    head = read_head(Incoming(sock))
    if head.status != 200:
        raise httpx.ProxyError(f"the proxy answered {head.status}")


def _proxy_login(proxy: httpx.URL) -> list[str]:
    if not proxy.userinfo:
        return []
    login = unquote(proxy.userinfo.decode("ascii"))
    return [f"Proxy-Authorization: Basic {b64encode(login.encode()).decode()}"]


def _request_bytes(request: httpx.Request, route: _Route) -> bytes:
    """Return a request as it goes out, head and body in one piece.

    Raises:
        httpx.LocalProtocolError: a value would not stay in its line.
    """
    target = request.url.raw_path
    lines = []
    if route.proxy is not None and route.scheme == "http":
        target = b"http://" + request.url.netloc + target
        lines = [line.encode("ascii") for line in _proxy_login(route.proxy)]
    for name, value in request.headers.raw:
        if b"\r" in value or b"\n" in value or b"\0" in value:
            raise httpx.LocalProtocolError(f"invalid value for header {name!r}")
        lines.append(name + b": " + value)
    start = b"%b %b HTTP/1.1" % (request.method.encode("ascii"), target)
    return b"\r\n".join([start, *lines, b"", request.read()])


@contextmanager
def _connect_errors() -> Iterator[None]:
    try:
        yield
    except TimeoutError as err:
        raise httpx.ConnectTimeout("timed out connecting") from err
    except socket.gaierror as err:
        raise httpx.ConnectError("no such host") from err
    except ssl.SSLCertVerificationError as err:
        raise httpx.ConnectError(f"TLS certificate: {err.verify_message}") from err
    except ssl.SSLError as err:
        raise httpx.ConnectError(f"TLS: {err.reason or err}") from err
    except OSError as err:
        raise httpx.ConnectError((err.strerror or str(err)).lower()) from err


@contextmanager
def _read_errors() -> Iterator[None]:
    try:
        yield
    except TimeoutError as err:
        raise httpx.ReadTimeout("timed out waiting for the server") from err
    except OSError as err:
        raise httpx.ReadError((err.strerror or str(err)).lower()) from err
