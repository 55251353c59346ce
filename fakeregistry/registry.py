"""The registry that tests hold in their hands.

    with Registry() as registry:
        image = registry.publish("library/hello:1", layers=2)
        registry.fault(path="/blobs/*", times=1, truncate=100)
        ...
        assert registry.journal.paths("GET") == [...]

It listens when the block starts and is gone when it ends: no thread, socket or
file is left behind, whatever clients, gates and faults were doing.
"""

from __future__ import annotations

import importlib
from dataclasses import replace
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Self, Unpack

from fakeregistry.api import RegistryRoutes
from fakeregistry.app import App, Handler
from fakeregistry.arguments import (
    authority,
    check_alone,
    check_arguments,
    tls_context,
)
from fakeregistry.auth import Access, BasicAccess, BasicAuth, TokenAuth
from fakeregistry.cdn import Cdn, CdnRoutes, Signer, host_port
from fakeregistry.faults import Fault, FaultOptions, FaultScript
from fakeregistry.features import Features
from fakeregistry.filling import Filling
from fakeregistry.gate import Gate, GateKeeper
from fakeregistry.journal import Journal
from fakeregistry.layout import Layouts
from fakeregistry.notices import Notice, Notices
from fakeregistry.profiles import find_profile
from fakeregistry.redirect import Redirect, Redirects, Target, location_of
from fakeregistry.referrers import update_tags
from fakeregistry.rules import Options, take_criteria
from fakeregistry.server import HttpServer, Send
from fakeregistry.store import Data, Store
from fakeregistry.uploads import Uploads
from fakeregistry.wire import send_reply

if TYPE_CHECKING:
    from types import TracebackType

    from fakeregistry.admin import Admin
    from fakeregistry.content import Descriptor, Image
    from fakeregistry.journal import Exchange
    from fakeregistry.replay import Replay
    from fakeregistry.reply import Reply
    from fakeregistry.token import TokenAccess

__all__ = ["Registry"]


class Registry(Filling):
    """A registry on a port of this machine; start it with ``with``.

    Args:
        auth: None, BasicAuth or TokenAuth.
        tls: Speak HTTPS, with a certificate of the authority in ``ca_file``.
        host: Address to listen on.
        port: 0 for any that is free.
        client_ca: Ask for a client certificate of the same authority, such as
            ``client_certificate``; needs ``tls``.
        strict_accept: A manifest that the client does not accept is unknown.
        strict_cdn: The CDN answers 400 to requests that bring an Authorization
            header, as object stores do.
        cdn_tls: Whether the CDN speaks HTTPS; None: as the registry does.
        cdn_host: Host name of the CDN's URLs, such as "localhost"; None: ``host``.
        profile: Name of the registry to resemble; see :mod:`fakeregistry.profiles`.
        storage: Folder that keeps the content, an OCI image layout a repository
            (:mod:`fakeregistry.layout`); None: memory.
        features: What is switched off, and limits.
        record_bodies: Keep what is sent in memory (:mod:`fakeregistry.bodies`).
        har: File that has all answers (:mod:`fakeregistry.replay`); None: content.

    Attributes:
        journal: Every request to the registry and its CDN.
        store: What it holds.
        replay: The answers of ``har``, None without it.

    Raises:
        ValueError: The arguments contradict each other.
    """

    def __init__(  # noqa: PLR0913 - keywords with defaults
        self,
        auth: BasicAuth | TokenAuth | None = None,
        *,
        tls: bool = False,
        host: str = "127.0.0.1",
        port: int = 0,
        client_ca: bool = False,
        strict_accept: bool = False,
        strict_cdn: bool = False,
        cdn_tls: bool | None = None,
        cdn_host: str | None = None,
        profile: str | None = None,
        storage: str | Path | None = None,
        features: Features | None = None,
        record_bodies: bool = False,
        har: str | Path | None = None,
    ) -> None:
        check_arguments(auth, host, port, tls=tls, client_ca=client_ca)
        check_alone(har, {"auth": auth, "profile": profile, "storage": storage})
        self._profile = find_profile(profile)
        auth = self._profile.access(auth)
        self.store = Store(None if storage is None else Layouts(Path(storage)))
        self._features = features or Features()
        if strict_accept or self._profile.strict_accept:
            self._features = replace(self._features, strict_accept=True)
        self._uploads = Uploads(self.store, self._features)
        self._notices = Notices()
        self._host = host
        self._wanted_port = port
        self._tls = tls
        self._client_ca = client_ca
        self._cdn_tls = tls if cdn_tls is None else cdn_tls
        self.journal = Journal(tls=tls, cdn_tls=self._cdn_tls)
        self._cdn_host = cdn_host or host
        self._send = _sender(self.journal) if record_bodies else send_reply
        self.replay: Replay | None = None if har is None else _replay(har)
        self._faults = FaultScript()
        self._gates = GateKeeper()
        self._redirects = Redirects()
        self._tokens = self._token_access(auth) if isinstance(auth, TokenAuth) else None
        self._app = self._make_app(auth)
        self._strict_cdn = strict_cdn or self._profile.strict_cdn
        self._server: HttpServer | None = None
        self._cdn: Cdn | None = None
        self._admin: Admin | None = None
        self._lock = Lock()
        self._stopped = False

    @classmethod
    def from_scenario(cls, path: str | Path, **overrides: Any) -> Self:  # noqa: ANN401 - as Registry
        """Make a registry as a scenario file says (:mod:`fakeregistry.scenario`).

        Args:
            path: A TOML file.
            overrides: Arguments of Registry that win over those of the file.

        Raises:
            ScenarioError: The file says something that cannot be meant.
        """
        module: Any = importlib.import_module("fakeregistry.scenario")
        registry: Self = module.read_scenario(path).build(cls, **overrides)
        return registry

    # -- life ----------------------------------------------------------------

    def start(self) -> Self:
        """Listen from now on.

        Raises:
            ValueError: It was started before.
        """
        with self._lock:
            if self._server is not None or self._stopped:
                raise ValueError("a registry starts once; make another one")
            self._server = HttpServer(
                self._profile.on_wire(self._app),
                host=self._host,
                port=self._wanted_port,
                context=tls_context(tls=self._tls, client_ca=self._client_ca),
                send=self._send,
            )
        self.journal.urls["registry"] = self.url
        if self._profile.sends_away:
            self._cdn = self.cdn
        self._server.start()
        return self

    def open_admin(
        self, *, host: str = "127.0.0.1", port: int = 0, token: str | None = None
    ) -> Admin:
        """Open the admin API (:mod:`fakeregistry.admin`) until the registry stops.

        Args:
            host: Address to listen on.
            port: 0 for any that is free.
            token: What clients are to send as a bearer token; one is made where
                the address is not of this machine alone.
        """
        with self._lock:
            if self._server is None or self._stopped or self._admin is not None:
                raise ValueError("one admin API runs while the registry does")
            module: Any = importlib.import_module("fakeregistry.admin")
            admin: Admin = module.Admin(self, host=host, port=port, token=token)
            self._admin = admin
        return admin.start()

    def stop(self) -> None:
        """Release what is held, end every connection and thread.

        The journal, the faults' counts and the content stay readable.
        """
        with self._lock:
            if self._stopped:
                return
            self._stopped = True
            cdn = None if self._cdn is None else self._cdn.server
            servers = [server for server in (self._server, cdn) if server is not None]
        self._gates.close()
        self._faults.close()
        if self.replay is not None:
            self.replay.close()
        for server in servers:
            server.stop()
        self._uploads.expire()
        self.store.close()
        self.journal.close()
        if self._admin is not None:
            self._admin.stop()

    def __enter__(self) -> Self:
        return self.start() if self._server is None else self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def __repr__(self) -> str:
        where = "not started" if self._server is None else self.url
        return f"<Registry {'stopped, was ' if self._stopped else ''}{where}>"

    # -- where it is -----------------------------------------------------------

    @property
    def port(self) -> int:
        """The port it listens on."""
        if self._server is None:
            raise ValueError("the registry is not started: use it in a with block")
        return self._server.port

    @property
    def host(self) -> str:
        """Host and port, as they stand in a reference."""
        return host_port(self._host, self.port)

    @property
    def url(self) -> str:
        """Scheme, host and port."""
        return f"{'https' if self._tls else 'http'}://{self.host}"

    @property
    def ca_file(self) -> Path | None:
        """PEM file of the authority that clients are to trust; None without TLS."""
        return authority().ca_file if self._tls or self._cdn_tls else None

    @property
    def client_certificate(self) -> tuple[Path, Path] | None:
        """PEM files of a client's certificate and key; None without client_ca."""
        if not self._client_ca:
            return None
        files = authority()
        return files.client_cert, files.client_key

    def ref(self, image: Image, *, digest: bool = False) -> str:
        """Return the reference of an image, by tag or by digest."""
        if digest or image.tag is None:
            return f"{self.host}/{image.repository}@{image.digest}"
        return f"{self.host}/{image.repository}:{image.tag}"

    # -- content -----------------------------------------------------------------

    def add_image(self, image: Image) -> None:
        """Store all documents and blobs of an image, and tag it.

        Without the referrers API the lists of referrers are kept as tags, as
        clients that push would do.
        """
        super().add_image(image)
        if not self._features.referrers:
            digests = [item.digest for item in image.documents]
            update_tags(self.store, image.repository, digests)

    def put_blob(
        self, repository: str, data: Data, *, digest: str | None = None
    ) -> Descriptor:
        """Store a blob; under ``digest``, whatever it hashes to, if one is given."""
        return self.store.put_blob(repository, data, digest=digest)

    def put_manifest(
        self,
        repository: str,
        data: Data,
        *,
        media_type: str,
        tag: str | None = None,
        digest: str | None = None,
    ) -> Descriptor:
        """Store the bytes of a manifest as they are."""
        return self.store.put_manifest(
            repository, data, media_type=media_type, tag=tag, digest=digest
        )

    def tag(self, repository: str, tag: str, digest: str) -> None:
        """Point a tag at a manifest that is stored."""
        self.store.tag(repository, tag, digest)

    # -- behaviour ---------------------------------------------------------------

    def fault(self, **options: Unpack[FaultOptions]) -> Fault:
        """Break responses; see :mod:`fakeregistry.faults`."""
        return self._faults.fault(**options)

    @property
    def faults(self) -> tuple[Fault, ...]:
        """The faults that are in force, in the order in which they were added."""
        return self._faults.faults

    @property
    def gates(self) -> tuple[Gate, ...]:
        """The gates, in the order in which they were added."""
        return self._gates.gates

    def unfired(self) -> tuple[Fault, ...]:
        """Return the faults with ``times`` or ``nth`` that met nothing."""
        return self._faults.unfired()

    def gate(self, path: str | None = None, **criteria: Unpack[Options]) -> Gate:
        """Hold requests until told; see :mod:`fakeregistry.gate`."""
        return self._gates.gate(path, **criteria)

    def expect_requests(self, *, hopeless: str = "") -> None:
        """Say why no further request can come; an empty text takes it back.

        Who waits at a gate or for the journal is told at once: a client that has
        ended asks for nothing more, however long one waits.
        """
        self._gates.expect_requests(hopeless)
        self.journal.expect_requests(hopeless)

    def redirect(
        self,
        path: str | None = "/blobs/*",
        *,
        status: int = 307,
        to: Target | str | None = None,
        times: int | None = None,
        **criteria: Unpack[Options],
    ) -> Redirect:
        """Send clients elsewhere for content that is here.

        Args:
            path: Pattern of the requests it is for.
            status: 301, 302, 303, 307 or 308.
            to: The CDN (None means it too), which gets a URL signed for the
                content; another registry, for the same path; or a URL, in which
                ``{digest}`` and ``{target}`` are filled in.
            times: How often; None for ever.
            criteria: More of :class:`fakeregistry.rules.Rule`.
        """
        criteria.setdefault("server", "registry")
        rule, unknown = take_criteria({"path": path, **criteria})
        if unknown:
            raise ValueError(f"{min(unknown)}: unknown keyword of a redirect")
        location = location_of(self.cdn if to is None else to)
        redirect = Redirect(rule, status, location, times)
        self._redirects.add(redirect)
        return redirect

    def warn(
        self,
        text: str,
        *,
        path: str | None = None,
        times: int | None = None,
        **criteria: Unpack[Options],
    ) -> Notice:
        """Put a warning for people on responses (:mod:`fakeregistry.notices`).

        Args:
            text: At most 4 kB of ASCII.
            path: Pattern of the requests it is for; None: those to the API.
            times: How often; None for ever.
            criteria: More of :class:`fakeregistry.rules.Rule`.
        """
        rule, unknown = take_criteria({"path": path, **criteria})
        if unknown:
            raise ValueError(f"{min(unknown)}: unknown keyword of a warning")
        notice = Notice(rule, text, times)
        self._notices.add(notice)
        return notice

    def locate(self, exchange: Exchange, reply: Reply) -> str:
        """Return the URL here for a request to another registry."""
        del reply
        return self.url + exchange.target

    def expire_uploads(self) -> None:
        """Forget every upload that has begun."""
        self._uploads.expire()

    def expire_tokens(self) -> None:
        """Make every bearer token issued so far invalid."""
        if self._tokens is None:
            raise ValueError("the registry issues no tokens: use auth=TokenAuth()")
        self._tokens.revoke()

    @property
    def cdn(self) -> Cdn:
        """The second host; it starts when it is first asked for."""
        with self._lock:
            if self._server is None or self._stopped:
                raise ValueError("the CDN runs while the registry does")
            if self._cdn is None:
                self._cdn = self._start_cdn()
            return self._cdn

    def _start_cdn(self) -> Cdn:
        signer = Signer()
        routes = CdnRoutes(self.store, signer, strict=self._strict_cdn)
        server = HttpServer(
            self._pipeline(routes, "cdn"),
            host=self._host,
            context=tls_context(tls=self._cdn_tls, client_ca=False),
            send=self._send,
        )
        server.start()
        cdn = Cdn(server, signer, self._cdn_host, tls=self._cdn_tls)
        self.journal.urls["cdn"] = cdn.url
        return cdn

    # -- inside ------------------------------------------------------------------

    def _make_app(self, auth: BasicAuth | TokenAuth | None) -> App:
        if self.replay is not None:
            return self.replay.app(self.journal, self._gates, self._faults)
        access: Access | None = self._tokens
        if isinstance(auth, BasicAuth):
            access = BasicAccess(auth)
        routes = RegistryRoutes(
            self.store,
            access=access,
            tokens=self._tokens.endpoint if self._tokens else None,
            redirects=self._redirects,
            uploads=self._uploads,
            features=self._features,
            notices=self._notices,
            scheme="https" if self._tls else "http",
        )
        return self._pipeline(self._profile.around(routes, self._sign), "registry")

    def _token_access(self, auth: TokenAuth) -> TokenAccess:
        module: Any = importlib.import_module("fakeregistry.token")
        access: TokenAccess = module.TokenAccess(
            auth, realm=lambda: f"{self.url}/token"
        )
        return access

    def _sign(self, exchange: Exchange, reply: Reply) -> str:
        """Return a signed URL; the CDN has run since the registry started."""
        return "" if self._cdn is None else self._cdn.locate(exchange, reply)

    def _pipeline(self, routes: Handler, server: str) -> App:
        return App(
            routes,
            journal=self.journal,
            gates=self._gates,
            faults=self._faults,
            server=server,
        )


def _sender(journal: Journal) -> Send:
    module: Any = importlib.import_module("fakeregistry.bodies")
    send: Send = module.BodyRecorder(journal).send
    return send


def _replay(path: str | Path) -> Replay:
    module: Any = importlib.import_module("fakeregistry.replay")
    replay: Replay = module.Replay(path)
    return replay
