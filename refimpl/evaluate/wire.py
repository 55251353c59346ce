"""Vectors of containerd's resolver and fetcher on the wire.

A vector comes with the rules of a server, which runs here while it is evaluated. It
says no more HTTP than the rules need, and logs what it was asked.
"""

import json
from collections.abc import Mapping, Sequence
from contextlib import aclosing, suppress
from http import HTTPStatus
from typing import Any, Final

import anyio
from anyio.abc import SocketAttribute, SocketStream
from anyio.streams.buffered import BufferedByteReceiveStream
from httpx import Headers

from refimpl.descriptor import Descriptor
from refimpl.errdefs import ContainerdError
from refimpl.evaluate.values import Json, Outcome, error_json
from refimpl.remotes.docker import DockerResolver, ResolverOptions, new_resolver

__all__ = ["resolved"]

_LOGGED: Final = ("Accept", "Range", "Authorization", "Content-Type")
_MAX_HEAD: Final = 1 << 16
_UNKNOWN: Final = {
    "status": 404,
    "headers": {"Content-Type": "application/json"},
    "body": '{"errors":[]}',
}

_Rule = Mapping[str, Any]


async def resolved(_kind: str, value: Json) -> Outcome:
    """Resolve a reference against the rules, and fetch what is asked for."""
    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener:
        port = listener.extra(SocketAttribute.local_port)  # noqa: S610 - not Django's
        host = f"127.0.0.1:{port}"
        server = _Server(value["rules"] or (), host)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(listener.serve, server.serve)
            found = await _play(value, host)
            tasks.cancel_scope.cancel()
    found["requests"] = server.requests or None
    # Vectors cannot know the port.
    neutral = json.loads(json.dumps(found).replace(host, "{host}"))
    error = neutral.pop("error", None)
    return Outcome(neutral, error)


async def _play(value: Mapping[str, Any], host: str) -> dict[str, Json]:
    ref = value["ref"].replace("{host}", host)
    login = value.get("username", ""), value.get("password", "")
    options = ResolverOptions(credentials=lambda _host: login)
    async with new_resolver(options) as resolver:
        try:
            name, desc = await resolver.resolve(ref)
        except ContainerdError as err:
            return {"error": error_json(err)}
        out: dict[str, Json] = {"name": name, "descriptor": desc.to_json()}
        fetches = [
            await _fetched(resolver, ref, Descriptor.from_json(one), value)
            for one in value["fetch_after_resolve"] or ()
        ]
    return out | ({"fetches": fetches} if fetches else {})


async def _fetched(
    resolver: DockerResolver, ref: str, desc: Descriptor, value: Mapping[str, Any]
) -> dict[str, Json]:
    body = bytearray()

    def sink(data: memoryview) -> int:
        body.extend(data)
        return len(data)

    out: dict[str, Json] = {}
    reader = await (await resolver.fetcher(ref)).fetch(desc)
    async with aclosing(reader):
        if (offset := value.get("seek_to")) is not None:
            await reader.seek(offset)
            out["seek_error"] = None
        try:
            await reader.write_to(sink)
        except ContainerdError as err:
            out["error"] = error_json(err)
    return out | {"body": body.decode()}


class _Server:
    """Answers by the first rule that fits, and keeps what it was asked."""

    def __init__(self, rules: Sequence[_Rule], host: str) -> None:
        self._rules = rules
        self._host = host
        self.requests: list[Json] = []

    async def serve(self, stream: SocketStream) -> None:
        """Serve one connection for as long as it lasts."""
        incoming = BufferedByteReceiveStream(stream)
        async with stream:
            # The client may be gone at any moment: there is nobody to tell.
            with suppress(
                anyio.BrokenResourceError, anyio.EndOfStream, anyio.IncompleteRead
            ):
                while True:
                    await stream.send(await self._answer(incoming))

    async def _answer(self, incoming: BufferedByteReceiveStream) -> bytes:
        head = (await incoming.receive_until(b"\r\n\r\n", _MAX_HEAD)).decode("latin-1")
        line, *fields = head.split("\r\n")
        method, target, _ = line.split()
        headers = Headers([_field(text) for text in fields])
        body = await incoming.receive_exactly(int(headers.get("Content-Length", "0")))
        self.requests.append(_logged(method, target, headers, body))
        return self._response(method, self._rule(method, target, headers))

    def _rule(self, method: str, target: str, headers: Headers) -> _Rule:
        path = target.partition("?")[0]
        for rule in self._rules:
            if (rule["method"], rule["path"]) == (method, path):
                return self._challenged(rule, headers.get("Authorization", ""))
        return _UNKNOWN

    def _challenged(self, rule: _Rule, sent: str) -> _Rule:
        bearer = rule.get("need_bearer")
        if bearer and sent != f"Bearer {bearer}":
            challenge = (
                f'Bearer realm="http://{self._host}/token",service="svc",'
                'scope="repository:a/b:pull"'
            )
        elif rule.get("need_basic") and not sent.startswith("Basic "):
            challenge = 'Basic realm="r"'
        else:
            return rule
        return {"status": 401, "headers": {"WWW-Authenticate": challenge}}

    def _response(self, method: str, rule: _Rule) -> bytes:
        status, body = HTTPStatus(rule["status"]), rule.get("body", "").encode()
        headers = Headers(
            {
                name: value.replace("{host}", self._host)
                for name, value in (rule.get("headers") or {}).items()
            }
        )
        # Go's server, which the vectors were recorded with, states no length of a
        # HEAD's answer by itself.
        if method != "HEAD" and status != HTTPStatus.NO_CONTENT:
            headers.setdefault("Content-Length", str(len(body)))
        lines = [f"HTTP/1.1 {status.value} {status.phrase}"]
        lines += [f"{name}: {value}" for name, value in headers.multi_items()]
        head = "\r\n".join([*lines, "", ""]).encode()
        return head if method == "HEAD" else head + body


def _field(text: str) -> tuple[str, str]:
    name, _, value = text.partition(":")
    return name, value.strip()


def _logged(method: str, target: str, headers: Headers, body: bytes) -> Json:
    """Return a request as vectors write it."""
    shown = {
        name: " ## ".join(headers.get_list(name)) for name in _LOGGED if name in headers
    }
    out = {"headers": shown, "method": method, "uri": target}
    return out | ({"body": body.decode()} if body else {})
