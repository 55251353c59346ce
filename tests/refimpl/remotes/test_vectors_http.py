"""The recorded wire of v1.5.18's resolver, fetcher and challenge parser."""

import json
from pathlib import Path
from typing import Any

import pytest

from refimpl.descriptor import Descriptor
from refimpl.digest import Digest
from refimpl.errdefs import ContainerdError, ErrNotFound, message
from refimpl.remotes.docker import ResolverOptions, new_resolver
from refimpl.remotes.docker.auth import evaluate_challenge

VECTORS = Path(__file__).parents[3] / "conformance" / "vectors"
LOGGED = ("accept", "range", "authorization", "content-type")

# Vectors that a deviation changes, and what comes instead.
CHANGED_HTTP = {
    # D1: the fallback GET was answered with an error page.
    "HEAD 204": {"text": "{host}/a/b:v1: not found", "class": "not_found"},
}
CHANGED_CHALLENGES = {
    'Bearer realm="https://a/t", service="x", scope="a b c"',  # D7
    'Bearer realm="https://a/t", Basic realm="x"',  # D6
    'Basic,Bearer realm="x"',  # D6
}


def cases(name):
    return json.loads((VECTORS / name).read_text())["cases"]


@pytest.fixture
def anyio_backend():
    return "asyncio"


def player(rules, answer):
    """Return a server's ``respond`` that follows the rules of a vector."""

    def respond(seen):
        for rule in rules or ():
            if (rule["method"], rule["path"]) == (seen.method, seen.path):
                return follow(rule, seen)
        return answer(404, {"Content-Type": "application/json"}, b'{"errors":[]}')

    def follow(rule, seen):
        host = seen.headers["host"]
        sent = seen.headers.get("authorization", "")
        bearer = rule.get("need_bearer")
        if bearer and sent != f"Bearer {bearer}":
            challenge = (
                f'Bearer realm="http://{host}/token",service="svc",'
                'scope="repository:a/b:pull"'
            )
            return answer(401, {"WWW-Authenticate": challenge})
        if rule.get("need_basic") and not sent.startswith("Basic "):
            return answer(401, {"WWW-Authenticate": 'Basic realm="r"'})
        headers = {
            name: value.replace("{host}", host)
            for name, value in rule.get("headers", {}).items()
        }
        body = rule.get("body", "").encode()
        # Go's server states no length of a HEAD's answer by itself.
        declared = -1 if seen.method == "HEAD" or rule["status"] == 204 else None
        return answer(rule["status"], headers, body, declared=declared)

    return respond


def logged(seen):
    """Return a request as the vectors hold it."""
    names = {"accept": "Accept", "range": "Range", "authorization": "Authorization"}
    names["content-type"] = "Content-Type"
    headers = {names[k]: v for k, v in seen.headers.items() if k in LOGGED}
    out = {"headers": headers, "method": seen.method, "uri": seen.target}
    return out | ({"body": seen.body.decode()} if seen.body else {})


def error_of(err):
    kind = {"class": "not_found"} if isinstance(err, ErrNotFound) else {}
    return {"text": message(err)} | kind


async def fetch(resolver, ref, wanted, seek_to):
    desc = Descriptor(
        media_type=wanted.get("mediaType", ""),
        digest=Digest(wanted["digest"]),
        size=wanted["size"],
    )
    body = bytearray()
    fetcher = await resolver.fetcher(ref)
    reader = await fetcher.fetch(desc)
    out: dict[str, Any] = {}
    if seek_to is not None:
        await reader.seek(seek_to)
        out["seek_error"] = None

    def sink(view):
        body.extend(view)
        return len(view)

    try:
        await reader.write_to(sink)
    except ContainerdError as err:
        out["error"] = error_of(err)
    await reader.aclose()
    return out | {"body": body.decode()}


async def play(given, server):
    """Return what resolving and fetching comes to, as the vectors hold it."""
    ref = given["ref"].replace("{host}", server.host)
    login = given.get("username", ""), given.get("password", "")
    options = ResolverOptions(credentials=lambda host: login)
    out: dict[str, Any] = {}
    async with new_resolver(options) as resolver:
        try:
            name, desc = await resolver.resolve(ref)
        except ContainerdError as err:
            return {"error": error_of(err)}
        out |= {"name": name, "descriptor": desc.to_json()}
        wanted = given["fetch_after_resolve"] or ()
        seek_to = given.get("seek_to")
        fetches = [await fetch(resolver, ref, one, seek_to) for one in wanted]
    return out | ({"fetches": fetches} if fetches else {})


def neutral(out, server):
    return json.loads(json.dumps(out).replace(server.host, "{host}"))


@pytest.mark.anyio
@pytest.mark.parametrize("vector", cases("resolver_http.json"), ids=lambda v: v["name"])
async def test_the_wire_is_that_of_containerd(vector, serve, answer):
    server = serve(player(vector["input"]["rules"], answer))
    out = await play(vector["input"], server)
    requests = [logged(seen) for seen in server.requests] or None
    got = neutral(out | {"requests": requests}, server)
    recorded = vector["output"] | (
        {"error": vector["error"]} if "error" in vector else {}
    )
    if changed := CHANGED_HTTP.get(vector["name"]):
        assert got != recorded
        assert got["error"] == changed
        assert got["requests"] == recorded["requests"]
    else:
        assert got == recorded


@pytest.mark.anyio
@pytest.mark.parametrize(
    "vector", cases("auth_challenge.json"), ids=lambda v: v["name"]
)
async def test_challenges_are_read_as_containerd_reads_them(vector):
    got = await evaluate_challenge(vector["input"])
    recorded = vector["output"]
    for entry in recorded:
        entry.get("token_options_error", {}).pop("go_stdlib_text", None)
    assert (got != recorded) == (vector["name"] in CHANGED_CHALLENGES)


def test_the_changed_vectors_exist():
    assert set(CHANGED_HTTP) <= {v["name"] for v in cases("resolver_http.json")}
    assert set(CHANGED_CHALLENGES) <= {v["name"] for v in cases("auth_challenge.json")}
