"""The admin API: a registry in the hands of a harness in any language.

    with Registry() as registry:
        admin = registry.open_admin()        # fakeregistry serve --admin-port N
        requests.post(f"{admin.url}/faults", json={"path": "/blobs/*", "status": 503})

It listens on a port of its own and speaks JSON:

    GET    /health                   whether it runs, and the registry's URL
    GET    /journal                  exchanges; a filter is a query: ?method=GET,
                                     path, status, outcome, server, digest,
                                     reference, range, authorized; &since=INDEX;
                                     &count=N&timeout=S waits for that many
    DELETE /journal
    GET    /journal.har              the same as an HTTP Archive, with bodies if the
                                     registry records them
    GET    /faults  POST  DELETE     faults in force, a new one, none any more
    GET    /faults/ID  DELETE        one fault: what it met
    POST   /faults/ID/release        end its delays and stalls
    GET    /gates  POST              gates, a new one
    GET    /gates/ID                 how many it holds; ?held=N&timeout=S waits
    POST   /gates/ID/release         let {"count": N} requests go
    POST   /gates/ID/open            let everything go
    POST   /publish                  build an image: {"ref": "name:tag", ...}
    POST   /tags                     {"repository", "tag", "digest"}
    POST   /tokens/expire            make all bearer tokens invalid
    POST   /cdn/expire               make all signed URLs invalid

Keywords are those of ``Registry.fault``, ``Registry.gate`` and ``build_image``,
read as in scenario files. Secrets are left out of journals, unless
``?redact=false``. An error is ``{"error": {"status": ..., "message": ...}}``;
504 means that what was waited for did not come.

Whoever reaches the port can do all of this: it listens on the loopback
interface, or wants a bearer token. Web pages are kept out: requests that name
an Origin, or another host, are refused.
"""

from __future__ import annotations

import hmac
import ipaddress
import json
import secrets
from typing import TYPE_CHECKING, Any, Final, Self
from urllib.parse import urlsplit

from werkzeug.exceptions import HTTPException, NotFound
from werkzeug.routing import Map, Rule
from werkzeug.wrappers import Request, Response

from fakeregistry.cdn import host_port
from fakeregistry.descriptions import (
    exchange_document,
    fault_document,
    gate_document,
    image_document,
)
from fakeregistry.documents import (
    FAULT,
    GATE,
    DocumentError,
    number,
    read_fields,
    read_image,
    read_table,
    text,
)
from fakeregistry.gate import Gate, GateTimeout
from fakeregistry.journal import JournalTimeout
from fakeregistry.server import HttpServer
from fakeregistry.wsgi import wsgi

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from fakeregistry.faults import Fault
    from fakeregistry.registry import Registry

__all__ = ["Admin", "AdminRoutes"]

Document = dict[str, Any]
Answer = tuple[int, Document | None]

MAX_WAIT: Final = 60.0
_BOOLEANS: Final = {"true": True, "false": False}
_TEXTS: Final = ("method", "path", "digest", "reference", "server", "outcome")
_FLAGS: Final = ("range", "authorized")


class Admin:
    """The admin API of one registry, on a port of its own.

    ``Registry.open_admin`` makes it; it ends with the registry.

    Attributes:
        token: What clients are to send as a bearer token; None: nothing.

    Raises:
        ValueError: The port is none.
    """

    def __init__(
        self,
        registry: Registry,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        token: str | None = None,
    ) -> None:
        if port not in range(65536):
            raise ValueError(f"port={port}: 0 for any, or a number up to 65535")
        local = is_loopback(host)
        self.token = token or (None if local else secrets.token_urlsafe(24))
        self._host = host
        # A name that is not of this machine, on a port that only this machine
        # reaches: a web page that rebinds its own name.
        routes = AdminRoutes(registry, token=self.token, local=local)
        self._server = HttpServer(wsgi(routes), host=host, port=port)

    def start(self) -> Self:
        """Listen from now on."""
        self._server.start()
        return self

    def stop(self) -> None:
        """End every connection and thread."""
        self._server.stop()

    @property
    def port(self) -> int:
        """The port it listens on."""
        return self._server.port

    @property
    def url(self) -> str:
        """Scheme, host and port."""
        return f"http://{host_port(self._host, self.port)}"

    def __repr__(self) -> str:
        return f"<Admin {self.url}>"


class AdminRoutes:
    """The API as a WSGI application.

    Args:
        registry: What is administered.
        token: The bearer token that is wanted, or None.
        local: Refuse requests that name another host than this machine.
    """

    def __init__(
        self, registry: Registry, *, token: str | None = None, local: bool = True
    ) -> None:
        self._registry = registry
        self._token = token
        self._local = local
        self._endpoints: dict[str, Callable[..., Answer]] = {
            "GET /health": self._health,
            "GET /journal": self._journal,
            "DELETE /journal": self._clear_journal,
            "GET /journal.har": self._har,
            "GET /faults": self._faults,
            "POST /faults": self._add_fault,
            "DELETE /faults": self._remove_faults,
            "GET /faults/<int:ident>": self._fault,
            "DELETE /faults/<int:ident>": self._remove_fault,
            "POST /faults/<int:ident>/release": self._release_fault,
            "GET /gates": self._gates,
            "POST /gates": self._add_gate,
            "GET /gates/<int:ident>": self._gate,
            "POST /gates/<int:ident>/release": self._release_gate,
            "POST /gates/<int:ident>/open": self._open_gate,
            "POST /publish": self._publish,
            "POST /tags": self._tag,
            "POST /tokens/expire": self._expire_tokens,
            "POST /cdn/expire": self._expire_urls,
        }
        self._map = Map(
            [
                Rule(path, endpoint=endpoint, methods=[method])
                for endpoint in self._endpoints
                for method, path in [endpoint.split(" ", 1)]
            ],
            strict_slashes=False,
            merge_slashes=False,
        )

    def __call__(
        self,
        environ: dict[str, Any],
        start_response: Any,  # noqa: ANN401 - PEP 3333
    ) -> Iterable[bytes]:
        """Answer a request as a WSGI application does."""
        response = self._answer(Request(environ))
        found: Iterable[bytes] = response(environ, start_response)
        return found

    def _answer(self, request: Request) -> Response:
        if (refusal := self._refusal(request)) is not None:
            return refusal
        adapter = self._map.bind_to_environ(request.environ)
        try:
            endpoint, values = adapter.match()
            status, document = self._endpoints[endpoint](request, **values)
        except HTTPException as err:
            return _from_werkzeug(err)
        except (JournalTimeout, GateTimeout) as err:
            return _error(504, str(err).partition("\n")[0])
        except ValueError as err:
            return _error(400, str(err))
        except OSError as err:
            return _error(500, f"storage: {err.strerror or err}")
        return _json(status, document)

    def _refusal(self, request: Request) -> Response | None:
        if "Origin" in request.headers:
            return _error(403, "web pages have no access")
        if self._token is None:
            if self._local and not is_loopback(_host_name(request)):
                return _error(403, "this address is for this machine alone")
            return None
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        right = hmac.compare_digest(given.strip().encode(), self._token.encode())
        if scheme.lower() == "bearer" and right:
            return None
        refusal = _error(401, "the admin token is wanted: Authorization: Bearer TOKEN")
        refusal.headers["WWW-Authenticate"] = 'Bearer realm="fakeregistry admin"'
        return refusal

    # -- journal -----------------------------------------------------------------

    def _health(self, request: Request) -> Answer:
        del request
        return 200, {"status": "ok", "registry": self._registry.url}

    def _journal(self, request: Request) -> Answer:
        query = request.args.to_dict()
        redact = _boolean("redact", query.pop("redact", "true"))
        since = _count("since", query.pop("since", "0"))
        count = _count("count", query.pop("count", "0"))
        timeout = _timeout(query)
        criteria = _criteria(query)
        journal = self._registry.journal
        if count:
            journal.wait_for(count, timeout=timeout, **criteria)
        found = [
            exchange_document(exchange, redact=redact)
            for exchange in journal.requests(**criteria)
            if exchange.index >= since
        ]
        return 200, {"exchanges": found}

    def _clear_journal(self, request: Request) -> Answer:
        del request
        self._registry.journal.clear()
        return 204, None

    def _har(self, request: Request) -> Answer:
        query = request.args.to_dict()
        redact = _boolean("redact", query.pop("redact", "true"))
        _no_more(query)
        return 200, self._registry.journal.to_har(redact=redact)

    # -- faults ------------------------------------------------------------------

    def _faults(self, request: Request) -> Answer:
        del request
        faults = [fault_document(fault) for fault in self._registry.faults]
        return 200, {"faults": faults}

    def _add_fault(self, request: Request) -> Answer:
        options = read_fields(_body(request), FAULT)
        return 201, fault_document(self._registry.fault(**options))

    def _remove_faults(self, request: Request) -> Answer:
        del request
        for fault in self._registry.faults:
            fault.remove()
        return 204, None

    def _fault(self, request: Request, ident: int) -> Answer:
        del request
        return 200, fault_document(self._find_fault(ident))

    def _remove_fault(self, request: Request, ident: int) -> Answer:
        del request
        self._find_fault(ident).remove()
        return 204, None

    def _release_fault(self, request: Request, ident: int) -> Answer:
        del request
        fault = self._find_fault(ident)
        fault.release()
        return 200, fault_document(fault)

    def _find_fault(self, ident: int) -> Fault:
        for fault in self._registry.faults:
            if fault.id == ident:
                return fault
        raise NotFound(f"no fault {ident} is in force")

    # -- gates -------------------------------------------------------------------

    def _gates(self, request: Request) -> Answer:
        del request
        return 200, {"gates": [gate_document(gate) for gate in self._registry.gates]}

    def _add_gate(self, request: Request) -> Answer:
        options = read_fields(_body(request), GATE)
        return 201, gate_document(self._registry.gate(**options))

    def _gate(self, request: Request, ident: int) -> Answer:
        gate = self._find_gate(ident)
        query = request.args.to_dict()
        held = _count("held", query.pop("held", "0"))
        timeout = _timeout(query)
        _no_more(query)
        if held:
            gate.wait_for(held, timeout=timeout)
        return 200, gate_document(gate)

    def _release_gate(self, request: Request, ident: int) -> Answer:
        gate = self._find_gate(ident)
        options = read_fields(_body(request), {"count": number})
        gate.release(options.get("count", 1))
        return 200, gate_document(gate)

    def _open_gate(self, request: Request, ident: int) -> Answer:
        del request
        gate = self._find_gate(ident)
        gate.open()
        return 200, gate_document(gate)

    def _find_gate(self, ident: int) -> Gate:
        for gate in self._registry.gates:
            if gate.id == ident:
                return gate
        raise NotFound(f"there is no gate {ident}")

    # -- content -----------------------------------------------------------------

    def _publish(self, request: Request) -> Answer:
        ref, options = read_image(_body(request))
        if "subject" in options:
            options["subject"] = self._stored(options["subject"])
        image = self._registry.publish(ref, **options)
        return 201, image_document(self._registry, image)

    def _stored(self, ref: str) -> Any:  # noqa: ANN401 - a Descriptor
        name, colon, tag = ref.rpartition(":")
        repository = self._registry.store.repository(name) if colon else None
        stored = None if repository is None else repository.manifest(tag)
        if stored is None:
            raise DocumentError("subject", f"there is no image {ref!r}")
        return stored.descriptor()

    def _tag(self, request: Request) -> Answer:
        keys = ("repository", "tag", "digest")
        options = read_fields(_body(request), dict.fromkeys(keys, text))
        for key in keys:
            if key not in options:
                raise DocumentError(key, "it is missing")
        self._registry.tag(**options)
        return 204, None

    def _expire_tokens(self, request: Request) -> Answer:
        del request
        self._registry.expire_tokens()
        return 204, None

    def _expire_urls(self, request: Request) -> Answer:
        del request
        self._registry.cdn.expire_urls()
        return 204, None


def is_loopback(host: str) -> bool:
    """Say whether only this machine reaches what listens on a host."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        name = host.lower().rstrip(".")
        return name == "localhost" or name.endswith(".localhost")


# -- requests and responses --------------------------------------------------------


def _host_name(request: Request) -> str:
    try:
        return urlsplit(f"//{request.headers.get('Host', '')}").hostname or ""
    except ValueError:
        return ""


def _body(request: Request) -> Mapping[str, Any]:
    """Read a JSON object; an empty body stands for an empty one."""
    raw = request.get_data()
    if not raw.strip():
        return {}
    try:
        document = json.loads(raw)
    except (ValueError, RecursionError):
        raise DocumentError("", "the body is not JSON") from None
    return read_table(document, "body")


def _criteria(query: dict[str, str]) -> dict[str, Any]:
    """Read the criteria of ``Journal.requests``."""
    criteria: dict[str, Any] = {}
    for key, value in query.items():
        if key in _TEXTS:
            criteria[key] = value
        elif key in _FLAGS:
            criteria[key] = _boolean(key, value)
        elif key == "status":
            criteria[key] = _count(key, value)
        else:
            _no_more({key: value})
    return criteria


def _no_more(query: Mapping[str, str]) -> None:
    for key in query:
        raise DocumentError(key, "unknown parameter")


def _boolean(key: str, value: str) -> bool:
    if value not in _BOOLEANS:
        raise DocumentError(key, "true or false is needed")
    return _BOOLEANS[value]


def _count(key: str, value: str) -> int:
    if not (value.isascii() and value.isdecimal() and len(value) < 10):
        raise DocumentError(key, "a whole number is needed")
    return int(value)


def _timeout(query: dict[str, str]) -> float:
    value = query.pop("timeout", "10")
    try:
        timeout = float(value)
    except ValueError:
        timeout = -1
    if not 0 <= timeout <= MAX_WAIT:
        raise DocumentError("timeout", f"seconds are needed, at most {MAX_WAIT:g}")
    return timeout


def _json(status: int, document: Document | None) -> Response:
    if document is None:
        return Response(status=status)
    data = json.dumps(document, indent=2) + "\n"
    return Response(data, status=status, content_type="application/json")


def _error(status: int, message: str) -> Response:
    return _json(status, {"error": {"status": status, "message": message}})


def _from_werkzeug(err: HTTPException) -> Response:
    """Turn an error of the routing into one of ours; Allow stays."""
    status = err.code or 500
    response = _error(status, err.description or "")
    if allow := dict(err.get_headers()).get("Allow"):
        response.headers["Allow"] = allow
    return response
