"""What a case leaves for whoever reads its verdict: the wire and the client's words.

Plain data, so that it travels between processes and into reports; bounded, so that
a client that talks without end does not fill them; and free of secrets, since
reports are passed on.

    {"pulls": [{"ref": ..., "ok": false, "exit": 1, "stderr": "...", ...}],
     "faults": [{"what": "digest='sha256:...': flip=12", "fired": 1}],
     "exchanges": [{"server": "registry", "method": "GET", "target": "/v2/...", ...}],
     "omitted": 0,
     "account": {"sentence": "asked for sha256:... (flip), took all 40 bytes", ...}}

report/schema.json says what every key means.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final

from conformance.account import Asked, Trap, account_of, break_of
from fakeregistry.redaction import redact_header, redact_query, redact_url

if TYPE_CHECKING:
    from conformance.bench import Bench
    from conformance.client import PullResult
    from fakeregistry import Exchange, Fault, Registry

__all__ = ["MISSING_STATUS", "evidence_of"]

Json = dict[str, Any]

#: Of a longer journal its beginning and its end are kept.
FIRST: Final = 100
LAST: Final = 50
#: Characters: of a value on the wire, of an error, and of each output's end.
VALUE: Final = 400
ERROR: Final = 2000
TAIL: Final = 4000
PULLS: Final = 20
#: Of an offset or a length on the wire; what is longer is none.
DIGITS: Final = 19
#: The status of an exchange whose response has not begun.
MISSING_STATUS: Final = 0

# They differ from run to run, or say nothing about pulling.
_DULL: Final = frozenset(
    {"date", "server", "accept-encoding", "connection", "x-content-type-options"}
)
_FORM: Final = "application/x-www-form-urlencoded"
# Separates texts that are redacted together; no header and no path can hold it.
_SEPARATOR: Final = "\x1e"


def evidence_of(bench: "Bench") -> Json:
    """Return what is to be seen of a case so far, without secrets."""
    texts = _Texts()
    made: Json = {
        "pulls": [_pull(ref, result, texts) for ref, result in bench.pulls()[-PULLS:]],
        "faults": [],
        "exchanges": [],
        "omitted": 0,
        "account": None,
    }
    named = [
        (f"registry {number}" if number > 1 else "registry", registry)
        for number, registry in enumerate(bench.registries, 1)
    ]
    met: dict[int, tuple[str, Fault]] = {}
    found: list[tuple[str, Exchange]] = []
    for name, registry in named:
        exchanges = registry.journal.snapshot()
        found += [(_server(name, exchange), exchange) for exchange in exchanges]
        for fault in _faults(registry, exchanges):
            met[id(fault)] = (name, fault)
    found.sort(key=lambda pair: pair[1].started)
    made["faults"] = [_fault(name, fault, texts) for name, fault in met.values()]
    made["omitted"] = max(0, len(found) - FIRST - LAST)
    shown = found[:FIRST] + found[FIRST:][-LAST:] if made["omitted"] else found
    made["exchanges"] = _exchanges(shown, texts)
    if named:
        traps = [_trap(name, fault) for name, fault in met.values()]
        ended = [_ended(result) for _, result in bench.pulls()]
        made["account"] = _account(account_of(traps, _asked(found), ended), texts)
    texts.redact(bench.redact)
    return made


class _Texts:
    """Texts of a document under construction, redacted all at once.

    Redaction is a few regular expressions; one long text costs them far less than
    a hundred short ones.
    """

    def __init__(self) -> None:
        self._texts: list[str] = []
        self._places: list[tuple[Any, Any]] = []

    def put(self, container: Any, key: str | int, text: str) -> None:  # noqa: ANN401 - a list or a dict
        """Put a text where it belongs, to be redacted later."""
        container[key] = text
        # A lone surrogate, which some client's output may hold, is no UTF-8.
        clean = text.encode("utf-8", "replace").decode()
        self._texts.append(clean.replace(_SEPARATOR, " "))
        self._places.append((container, key))

    def redact(self, redact: Callable[[str], str]) -> None:
        """Replace every text by what may be shown of it."""
        if not self._texts:
            return
        clean = redact(_SEPARATOR.join(self._texts)).split(_SEPARATOR)
        for (container, key), text in zip(self._places, clean, strict=True):
            container[key] = text


def _server(name: str, exchange: "Exchange") -> str:
    return name if exchange.server == "registry" else name.replace("registry", "cdn")


def _faults(registry: "Registry", exchanges: Iterable["Exchange"]) -> Iterable["Fault"]:
    yield from registry.faults
    for exchange in exchanges:
        yield from exchange.met


def _fault(name: str, fault: "Fault", texts: _Texts) -> Json:
    actions = ", ".join(
        f"{action}={_short(getattr(fault.actions, action))}"
        for action in sorted(fault.actions.used())
    )
    made: Json = {"server": name, "fired": fault.fired}
    texts.put(made, "what", f"{fault.rule}: {actions}"[:VALUE])
    return made


def _trap(name: str, fault: "Fault") -> Trap:
    return Trap(
        server=name,
        rule=str(fault.rule),
        actions=tuple(fault.actions.used()),
        fired=fault.fired,
    )


def _asked(found: Iterable[tuple[str, "Exchange"]]) -> list[Asked]:
    """Return the requests as `account_of` takes them."""
    return [
        Asked(
            server=server,
            path=exchange.path,
            method=exchange.method,
            status=exchange.status,
            sent=exchange.body_sent,
            outcome=exchange.outcome,
            start=_start(exchange.request_headers.get("Range")),
            location=exchange.response_headers.get("Location"),
            traps=tuple(
                name for fault in exchange.met for name in fault.actions.used()
            ),
            breaks=_break(exchange),
            # A registry and its CDN share a journal, and its ticks.
            journal=int(server.rpartition(" ")[2]) if " " in server else 1,
            began=exchange.interval()[0],
            ended=exchange.interval()[1],
            started=exchange.started,
            finished=exchange.finished,
        )
        for server, exchange in found
    ]


def _break(exchange: "Exchange") -> int:
    length = _number(exchange.response_headers.get("Content-Length"))
    return min(
        (
            break_of(
                {name: getattr(fault.actions, name) for name in fault.actions.used()},
                length,
            )
            for fault in exchange.met
        ),
        default=0,
    )


def _start(header: str) -> int:
    return _number(header.removeprefix("bytes=").partition("-")[0].strip()) or 0


def _number(text: str) -> int | None:
    return int(text) if text.isdecimal() and len(text) < DIGITS else None


def _ended(result: "PullResult | None") -> str:
    if result is None:
        return "running"
    return result.reason or ("success" if result.ok else "failure")


def _account(account: Json, texts: _Texts) -> Json:
    """Let nothing of an account out that was not redacted."""
    texts.put(account, "sentence", redact_url(account["sentence"])[:ERROR])
    for one in account["broken"]:
        texts.put(one, "thing", redact_url(one["thing"])[:VALUE])
    return account


def _short(value: object) -> str:
    if callable(value):
        return "..."
    if isinstance(value, bytes):
        return f"<{len(value)} bytes>"
    return repr(value)


def _pull(ref: str, result: "PullResult | None", texts: _Texts) -> Json:
    made: Json = {"ok": None, "exit": None, "seconds": None, "reason": "running"}
    if result is not None:
        made = {
            "ok": result.ok,
            "exit": result.exit,
            "seconds": round(result.seconds, 4),
            "reason": result.reason,
        }
    texts.put(made, "ref", ref[:VALUE])
    for key, length in (("error_class", VALUE), ("error", ERROR)):
        texts.put(made, key, "" if result is None else getattr(result, key)[:length])
    for key in ("stdout", "stderr"):
        texts.put(made, key, "" if result is None else _tail(getattr(result, key)))
    return made


def _tail(text: str) -> str:
    if len(text) <= TAIL:
        return text
    return f"[{len(text) - TAIL} characters before]\n{text[-TAIL:]}"


def _exchanges(found: Sequence[tuple[str, "Exchange"]], texts: _Texts) -> list[Json]:
    start = found[0][1].started if found else 0.0
    connections: dict[int, int] = {}
    made = []
    for server, exchange in found:
        connections.setdefault(exchange.connection, len(connections) + 1)
        finished = exchange.finished
        one: Json = {
            "server": server,
            "connection": connections[exchange.connection],
            "at": round(exchange.started - start, 4),
            "seconds": (
                None if finished is None else round(finished - exchange.started, 4)
            ),
            "method": exchange.method,
            "status": exchange.status,
            "bytes": exchange.body_sent,
            "outcome": exchange.outcome,
            "request": _headers(exchange.request_headers, texts),
            "response": _headers(exchange.response_headers, texts),
        }
        texts.put(one, "target", redact_url(exchange.target)[:VALUE])
        form = _form(exchange)
        if form:
            texts.put(one, "form", form)
        made.append(one)
    return made


def _headers(pairs: Iterable[tuple[str, str]], texts: _Texts) -> list[list[str]]:
    made = []
    for name, value in pairs:
        if name.lower() not in _DULL:
            pair = [name, ""]
            texts.put(pair, 1, redact_header(name, value)[:VALUE])
            made.append(pair)
    return made


def _form(exchange: "Exchange") -> str:
    """Return the fields of a form that was sent, as to a token server."""
    if not exchange.body.size or not exchange.request_headers.get(
        "Content-Type"
    ).lower().startswith(_FORM):
        return ""
    text = exchange.request_body.decode("utf-8", "replace")
    return redact_query(text)[:VALUE]
