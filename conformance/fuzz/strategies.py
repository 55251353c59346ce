"""What a registry may hold and do, as hypothesis draws it.

Of everything the first choice is the plainest: that is where shrinking ends. Only
what ends by itself is drawn: on a registry that stalls for ever, or asks to be
tried again in an hour, a client that waits does nothing wrong.
"""

from collections.abc import Callable, Collection, Mapping
from typing import Any, Final

from hypothesis import strategies as st

from conformance.case import Feature
from conformance.fuzz.scenarios import BY_DIGEST, Document
from fakeregistry.profiles import PROFILES

__all__ = ["plain", "scenarios"]

Draw = Callable[[st.SearchStrategy[Any]], Any]
Table = dict[str, Any]

MOST_LAYERS: Final = 4
MOST_FAULTS: Final = 4

# Both of the architectures that this may run on, for clients that choose by it.
_PLATFORMS: Final = (
    ["linux/amd64", "linux/arm64"],
    ["linux/arm64", "linux/amd64"],
    ["windows/amd64", "linux/arm/v7", "linux/amd64", "linux/arm64"],
)
_DEFAULTS: Final[Mapping[str, Any]] = {
    "compression": "gzip",
    "layer_size": 1024,
    "repeat_layers": 1,
    "nesting": 0,
    "media_type_field": True,
    "algorithm": "sha256",
    "embed": [],
    "legacy_config": False,
    "platforms": None,
    "empty_layers": 0,
}
_PATHS: Final = ("/blobs/*", "/blobs/*", "/manifests/*", "/manifests/sha*", "/v2/*")
_COUNTS: Final[tuple[Table, ...]] = (
    *({}, {"times": 1}, {"times": 1}, {"times": 2}),
    *({"nth": 2}, {"nth": 3}, {"skip": 1}),
)
_WRONG: Final = "sha256:" + "0123456789abcdef" * 4
_BODIES: Final = ("", "{}", "[]", "<html>busy</html>", '{"schemaVersion": 2}')
_STATUSES: Final = (
    *(404, 500, 503, 429, 401, 403, 400, 408, 416, 502, 504, 410),
    *(200, 204, 206, 203, 304, 418, 599),
)

_size: Final = st.sampled_from((0, 1, 10, 100, 500))
# Each kind of fault: the keyword, and the values that it can have.
_ACTIONS: Final[Mapping[str, st.SearchStrategy[Any]]] = {
    "flip": st.sampled_from((0, -1, 1, 20, 100, 300, -2, -40)),
    "truncate": _size,
    "shorten": _size,
    "append": st.sampled_from(("x", " ", "\n{}", "x" * 5000)),
    "replace": st.sampled_from(_BODIES),
    "status": st.sampled_from(_STATUSES),
    "change_status": st.sampled_from((206, 404, 500, 203, 503)),
    "reset": st.one_of(st.just(value=True), _size),
    "cut": st.one_of(st.just(value=True), _size),
    "remove_headers": st.sampled_from(
        (["Content-Length"], ["Content-Type"], ["Docker-Content-Digest"], ["Etag"])
    ),
    "headers": st.sampled_from(
        (
            {"Docker-Content-Digest": _WRONG},
            {"Docker-Content-Digest": "nonsense"},
            {"Content-Type": "application/octet-stream"},
            {"Content-Type": "text/html"},
            {"Content-Type": ""},
            {"Content-Length": "10"},
            {"Content-Length": "1000000"},
            {"Content-Length": "-1"},
            {"Content-Encoding": "gzip"},
            {"Etag": '"other"'},
        )
    ),
    "redirect": st.sampled_from(("{target}", "/v2/", "{path}?again")),
    "ignore_range": st.just(value=True),
    "content_range": st.sampled_from(("bytes 0-9/10", "bytes 5-/*", "nonsense")),
    "encode": st.sampled_from(("gzip", "deflate")),
    "chunked": st.sampled_from((True, 7)),
    "chunk_extension": st.just(";a=b"),
    "close": st.just(value=True),
    "hang_up": st.just(value=True),
    "version": st.just("HTTP/1.0"),
    "interim": st.sampled_from((103, 100)),
    "lower_case": st.just(value=True),
    "drip": st.just([200, 0.001]),
    "delay": st.just(0.02),
    "endless": st.just(200_000),
    "raw": st.sampled_from(("", "HTTP/1.1 200 OK\r\n\r\n", "nonsense\r\n\r\n")),
}
# What a client can be blind to; much of the rest only makes it fail.
_OFTEN: Final = ("flip", "flip", "flip", "shorten", "replace", "truncate", "cut")


def scenarios(features: Collection[Feature]) -> st.SearchStrategy[Document]:
    """Return the scenarios that a client with these features can be asked about."""
    return _scenario(frozenset(features))


def plain(features: Collection[Feature]) -> Document:
    """Return what any client must be able to pull: two layers, and no fault."""
    document: Document = {"image": [{"ref": "library/fuzz:1", "layers": 2}]}
    if Feature.PLAIN_HTTP not in features:
        document = {"registry": {"tls": True}, **document}
    return document


@st.composite
def _scenario(draw: Draw, features: frozenset[Feature]) -> Document:
    document: Document = {}
    auth = draw(st.sampled_from(_access(features)))
    registry = draw(_registry(features, tokens=auth == "token"))
    if registry:
        document["registry"] = registry
    if auth is not None:
        document["auth"] = {"kind": auth, "username": "user", "password": "open-sesame"}
    document["image"] = [draw(_image(features))]
    paths = (*_PATHS, "/token") if auth == "token" else _PATHS
    # A well registry is worth a look, but only now and then.
    least = draw(st.sampled_from((0, 1, 1, 1, 1, 2)))
    faults = draw(st.lists(_fault(paths), min_size=least, max_size=MOST_FAULTS))
    if faults:
        document["fault"] = faults
    return document


def _access(features: frozenset[Feature]) -> list[str | None]:
    # Most of the time nobody is asked who they are.
    access: list[str | None] = [None, None, None]
    access += ["basic"] if Feature.BASIC_AUTH in features else []
    return access + (["token"] if Feature.TOKEN_AUTH in features else [])


@st.composite
def _registry(draw: Draw, features: frozenset[Feature], *, tokens: bool) -> Table:
    registry: Table = {}
    names = [
        profile.name for profile in PROFILES.values() if tokens or not profile.tokens
    ]
    if draw(st.integers(0, 2)) == 2:
        registry["profile"] = draw(st.sampled_from(names))
        if registry["profile"] == "signed-redirects":
            # A host of another name: what is shown to it is shown to a stranger.
            registry["cdn_host"] = "localhost"
    if Feature.PLAIN_HTTP not in features:
        registry["tls"] = True
    return registry


@st.composite
def _image(draw: Draw, features: frozenset[Feature]) -> Table:
    kinds = ["oci", "docker", "legacy"]
    kinds += ["schema1"] if Feature.SCHEMA1 in features else []
    kind = draw(st.sampled_from(kinds))
    tags = ["1", BY_DIGEST] if Feature.DIGEST_REF in features else ["1"]
    tag = "1" if kind == "schema1" else draw(st.sampled_from(tags))
    image: Table = {"ref": f"library/fuzz:{tag}"}
    if kind in ("docker", "schema1"):
        image["format"] = kind
    if kind == "legacy":
        image["legacy_config"] = True
    image["layers"] = draw(st.integers(0, MOST_LAYERS))
    if kind == "schema1":
        # History and layers are one list there, and an empty one is no image.
        image["layers"] = max(1, image["layers"])
        return image | _unusual({"empty_layers": draw(st.integers(0, 2))})
    knobs = {
        "layer_size": draw(st.sampled_from((1024, 0, 100, 60_000))),
        "repeat_layers": draw(st.sampled_from((1, 1, 2))),
        "compression": draw(st.sampled_from(("gzip", "gzip", "none", "zstd"))),
        "media_type_field": draw(st.sampled_from((True, True, False))),
        "algorithm": draw(st.sampled_from(("sha256", "sha256", "sha256", "sha512"))),
        "embed": draw(st.sampled_from(([], [], ["config"], ["layers"], ["manifests"]))),
        "platforms": draw(st.sampled_from((None, None, *_PLATFORMS))),
    }
    if knobs["platforms"] is not None:
        knobs["nesting"] = draw(st.sampled_from((0, 0, 0, 1)))
    return image | _unusual(knobs)


def _unusual(knobs: Table) -> Table:
    return {name: value for name, value in knobs.items() if value != _DEFAULTS[name]}


@st.composite
def _fault(draw: Draw, paths: Collection[str]) -> Table:
    fault: Table = {}
    if method := draw(st.sampled_from(("GET", "GET", "GET", None, "HEAD"))):
        fault["method"] = method
    fault["path"] = draw(st.sampled_from(tuple(paths)))
    fault |= draw(st.sampled_from(_COUNTS))
    action = draw(st.sampled_from((*_OFTEN, *_ACTIONS)))
    fault[action] = draw(_ACTIONS[action])
    if action == "status" and draw(st.booleans()):
        fault["body"] = draw(st.sampled_from(_BODIES))
    if fault.get("status") == 401:
        fault["headers"] = {"WWW-Authenticate": 'Basic realm="fuzz"'}
    return fault
