"""A recorded journal that answers again.

    with Registry(har="pull.har") as registry:      # fakeregistry serve --har FILE
        client.pull(f"{registry.host}/library/test:v1")
        assert not registry.replay.unrecorded

The file is one that ``Journal.save_har`` wrote with ``record_bodies=True``. A request
(method, target, Range) gets the responses that it got then, in their order, and the
last one from then on: status, headers, body, chunks, and the ending, by FIN or RST and
after as many bytes. One that nobody made then gets 404 and is in ``unrecorded``.

What cannot be the same:

- One server answers for all that were recorded (``_server``), the CDN and mirrors
  included. URLs of theirs in headers lead here; those within bodies, such as
  ``urls`` of descriptors, do not: there digests would change.
- Answers do not depend on credentials, nor on bodies of requests.
- Of a response beyond ``RECORD_LIMIT`` the file lacks the end: asked for, it is 500.
- Nothing waits, but two: what had no answer yet gets none, and where the client left
  first the connection stays open for it to leave again.
"""

from __future__ import annotations

import base64
import itertools
import json
import re
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, get_args
from urllib.parse import parse_qsl, urlsplit

from werkzeug.datastructures import Headers

from fakeregistry.app import App, render_error
from fakeregistry.errors import RegistryError
from fakeregistry.journal import Exchange, HeaderList
from fakeregistry.redaction import redact_query
from fakeregistry.reply import Framing, Outcome, Reply
from fakeregistry.routes import parse_path

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from fakeregistry.faults import FaultScript
    from fakeregistry.gate import GateKeeper
    from fakeregistry.journal import Journal

__all__ = ["HarError", "Replay"]

Document = dict[str, Any]
Key = tuple[str, str, tuple[tuple[str, str], ...], str]

_HERE: Final = "*"


class HarError(ValueError):
    """The file cannot be replayed; the text is one line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer:
    """One recorded response.

    Attributes:
        chunks: The body, in the pieces in which it was sent.
        framing: As ``Reply.framing``; None: raw bytes, or nothing.
        ending: As ``Exchange.outcome``; None while it lasted.
        missing: How many bytes of the body are not in the file.
    """

    status: int
    version: str
    headers: tuple[tuple[str, str], ...]
    chunks: tuple[bytes, ...]
    framing: str | None
    ending: str | None
    closes: bool
    interim: tuple[int, ...]
    extension: str
    missing: int

    def reply(self, released: threading.Event) -> Reply:
        """Return what sends the same again."""
        length = sum(map(len, self.chunks))
        reply = Reply(
            self.status,
            Headers(list(self.headers)),
            # Not plain bytes, which the server would frame by itself.
            self.chunks,
            length,
            announce=False,
            chunked=self.framing == "chunked",
            chunk_extension=self.extension,
            hang_up=self.closes,
            reset=self.ending == "reset",
            version=self.version,
            interim=self.interim,
            released=released,
        )
        if self.framing is None:
            reply.send_head = False
            if self.chunks:
                reply.send_head, reply.raw = True, b"".join(self.chunks)
        if self.ending in {"truncated", "reset"}:
            reply.cut_after, reply.length = length, None
        elif self.ending != "complete":
            reply.stall_after, reply.length = length, None
            if self.framing is None:
                reply.delay = threading.TIMEOUT_MAX
        return reply


class Replay:
    """The answers of a file.

    Args:
        path: The file.

    Raises:
        HarError: It is none, or bodies were not recorded.
        OSError: It cannot be read.
    """

    def __init__(self, path: str | Path) -> None:
        entries, hosts = _read(Path(path))
        self._hosts = hosts
        self._origins = _pattern(hosts)
        self._lock = threading.Lock()
        self._answers: dict[Key, list[_Answer]] = {}
        self._unrecorded: list[Exchange] = []
        self._released = threading.Event()
        for exchange, answer in entries:
            self._answers.setdefault(self._key(exchange), []).append(answer)
        self._names = [exchange.path for exchange, _ in entries]

    @property
    def unrecorded(self) -> tuple[Exchange, ...]:
        """The requests that nobody made when the file was recorded."""
        with self._lock:
            return tuple(self._unrecorded)

    def references(self, host: str) -> tuple[str, ...]:
        """Return what was pulled, as references to this host.

        Those by a tag; if there is none the first digest, which may have children.
        """
        routes = [parse_path(name) for name in self._names]
        asked = [route for route in routes if route and route.endpoint == "manifests"]
        tags = [route for route in asked if ":" not in route.reference]
        found = [f"{host}/{route.name}:{route.reference}" for route in tags]
        by_digest = [f"{host}/{route.name}@{route.reference}" for route in asked[:1]]
        return tuple(dict.fromkeys(found or by_digest))

    def app(self, journal: Journal, gates: GateKeeper, faults: FaultScript) -> App:
        """Return what answers requests from the file."""
        return _ReplayApp(self, journal=journal, gates=gates, faults=faults)

    def answer(self, exchange: Exchange, scheme: str) -> Reply | None:
        """Return the next answer to a request, None if it was never recorded.

        Raises:
            RegistryError: Its body is not all there.
        """
        with self._lock:
            answers = self._answers.get(self._key(exchange))
            if answers is None:
                self._unrecorded.append(exchange)
                return None
            answer = answers[0] if len(answers) == 1 else answers.pop(0)
        if answer.missing:
            raise RegistryError(
                "UNSUPPORTED",
                500,
                message=f"the recording lacks the last {answer.missing} bytes of this",
            )
        reply = answer.reply(self._released)
        if host := exchange.request_headers.get("Host"):
            own = f"{scheme}://{host}"
            reply.headers = Headers(
                [
                    (name, self._origins.sub(lambda _: own, value))
                    for name, value in answer.headers
                ]
            )
        return reply

    def close(self) -> None:
        """End every answer that waits."""
        self._released.set()

    def _key(self, exchange: Exchange) -> Key:
        """Return what tells requests apart, wherever they were sent to."""
        headers = exchange.request_headers
        own = {*self._hosts, headers.get("Host")}
        pairs = [
            (name, _HERE if value in own else value)
            for name, value in parse_qsl(
                redact_query(exchange.query), keep_blank_values=True
            )
        ]
        return exchange.method, exchange.path, tuple(pairs), headers.get("Range")


class _ReplayApp(App):
    """Takes requests to recorded replies, past faults and gates as ever."""

    def __init__(
        self,
        replay: Replay,
        *,
        journal: Journal,
        gates: GateKeeper,
        faults: FaultScript,
    ) -> None:
        super().__init__(
            _refuse, journal=journal, gates=gates, faults=faults, server="registry"
        )
        self._replay = replay
        self._scheme = journal.schemes["registry"]

    def _handle(self, exchange: Exchange) -> Reply:
        """Answer from the file: with the date that is there, or none."""
        try:
            reply = self._replay.answer(exchange, self._scheme)
        except RegistryError as err:
            return render_error(err)
        return super()._handle(exchange) if reply is None else reply


def _refuse(exchange: Exchange) -> Reply:
    asked = exchange.request_headers.get("Range")
    what = f"{exchange.method} {exchange.path}{f' ({asked})' if asked else ''}"
    code = "MANIFEST_UNKNOWN" if "/manifests/" in exchange.path else "BLOB_UNKNOWN"
    raise RegistryError(code, 404, message=f"not in the recording: {what}")


# -- the file ------------------------------------------------------------------


def _read(path: Path) -> tuple[list[tuple[Exchange, _Answer]], frozenset[str]]:
    """Return the requests and answers of a file, and the hosts that were asked."""
    try:
        document = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as err:
        raise HarError(f"{path}: no JSON: {err}") from None
    try:
        log = _typed(_typed(document, dict, "the file").get("log"), dict, "log")
        raw = _typed(log.get("entries"), list, "log.entries")
        if not raw:
            raise HarError("no request was recorded")
        found = [_entry(entry, number) for number, entry in enumerate(raw, 1)]
        servers = _typed(log.get("_servers", {}), dict, "log._servers")
        urls = [*map(str, servers.values()), *(url for url, _, _ in found)]
        hosts = frozenset(filter(None, (urlsplit(url).netloc for url in urls)))
    except ValueError as err:
        raise HarError(f"{path}: {err}") from None
    return [(exchange, answer) for _, exchange, answer in found], hosts


def _entry(raw: object, number: int) -> tuple[str, Exchange, _Answer]:
    where = f"entry {number}"
    entry = _typed(raw, dict, where)
    request = _typed(entry.get("request"), dict, f"{where}: request")
    method = _typed(request.get("method"), str, f"{where}: method")
    url = _typed(request.get("url"), str, f"{where}: url")
    headers = HeaderList(_pairs(request, f"{where}: request"))
    response = _typed(entry.get("response"), dict, f"{where}: response")
    answer = _answer(entry, response, f"{where} ({method} {urlsplit(url).path})")
    return url, Exchange(method, url, headers), answer


def _answer(entry: Document, response: Document, where: str) -> _Answer:
    ending = _one_of(entry.get("_outcome"), Outcome, f"{where}: _outcome")
    content = _typed(response.get("content"), dict, f"{where}: content")
    is_recorded = "text" in content and "_framing" in response
    if ending not in (None, "held") and not is_recorded:
        raise HarError(
            f"{where}: the body was not recorded; record with --record-bodies, or"
            " Registry(record_bodies=True)"
        )
    version = _typed(response.get("httpVersion"), str, f"{where}: httpVersion")
    status = _number(response.get("status"), f"{where}: status")
    if status > 999 or not re.fullmatch(r"HTTP/\d\.\d", version):
        raise HarError(f"{where}: there is no status {version} {status}")
    sizes = _typed(response.get("_chunks", []), list, f"{where}: _chunks")
    interim = _typed(response.get("_interim", []), list, f"{where}: _interim")
    answer = _Answer(
        status=status,
        version=version,
        headers=tuple(_pairs(response, where)),
        chunks=_chunks(_body(content, where), sizes, f"{where}: _chunks"),
        framing=_one_of(response.get("_framing"), Framing, f"{where}: _framing"),
        ending=ending,
        closes=bool(response.get("_closes")),
        interim=tuple(_number(code, f"{where}: _interim") for code in interim),
        extension=str(response.get("_chunkExtension", "")),
        missing=_number(content.get("_missing", 0), f"{where}: _missing"),
    )
    _check_sendable(answer, where)
    return answer


def _body(content: Document, where: str) -> bytes:
    text: str = _typed(content.get("text", ""), str, f"{where}: content.text")
    if content.get("encoding") != "base64":
        return text.encode()
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        raise HarError(f"{where}: content.text is no base64") from None


def _chunks(body: bytes, sizes: list[object], where: str) -> tuple[bytes, ...]:
    """Divide a body as it was; all of it is one piece without sizes."""
    if not sizes:
        return (body,) if body else ()
    ends = list(itertools.accumulate(_number(size, where) for size in sizes))
    if ends[-1] != len(body):
        raise HarError(f"{where} are {ends[-1]} bytes, the body has {len(body)}")
    starts = [0, *ends]
    return tuple(
        body[start:end] for start, end in zip(starts, ends, strict=False) if end > start
    )


def _check_sendable(answer: _Answer, where: str) -> None:
    """Refuse what would break while it is sent."""
    try:
        answer.reply(threading.Event()).head()
    except ValueError:
        raise HarError(f"{where}: these headers cannot be sent") from None


def _pairs(message: Document, where: str) -> Iterator[tuple[str, str]]:
    for header in _typed(message.get("headers"), list, f"{where}: headers"):
        pair = _typed(header, dict, f"{where}: headers")
        yield (
            _typed(pair.get("name"), str, f"{where}: name of a header"),
            _typed(pair.get("value"), str, f"{where}: value of a header"),
        )


_KINDS: Final[Mapping[type, str]] = {
    dict: "an object",
    list: "an array",
    str: "a text",
}


def _typed(value: object, kind: type, where: str) -> Any:  # noqa: ANN401 - of that kind
    if not isinstance(value, kind):
        raise HarError(f"{where} must be {_KINDS[kind]}")
    return value


def _one_of(value: object, choices: object, where: str) -> Any:  # noqa: ANN401 - a choice
    if value is not None and value not in get_args(choices):
        raise HarError(f"{where} is none that there is")
    return value


def _number(value: object, where: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise HarError(f"{where} must be a number from 0 on")
    return value


def _pattern(hosts: frozenset[str]) -> re.Pattern[str]:
    """Match the beginning of a URL on one of these hosts."""
    names = "|".join(re.escape(host) for host in sorted(hosts))
    return re.compile(rf"https?://(?:{names})(?![\w.:-])" if names else r"(?!)", re.I)
