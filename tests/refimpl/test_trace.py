"""refimpl/trace.py and tracepage.py: what a pull did, as data and as a page."""

import html.parser
import itertools
import json

import anyio
import pytest

from fakeregistry import BasicAuth, Registry
from fakeregistry.content import Entry
from refimpl import Client, ErrInvalidArgument, ErrNotFound, ErrSkipDesc, RemoteContext
from refimpl.__main__ import main
from refimpl.platforms import only, parse
from refimpl.remotes.docker import ResolverOptions, new_resolver
from refimpl.trace import Trace
from refimpl.tracepage import page

AMD64 = only(parse("linux/amd64"))


def traced(root, registry, ref, matcher=AMD64, **options):
    """Pull, and return the trace and the error, if any."""
    counter = itertools.count()
    trace = Trace(ref, clock=lambda: next(counter) / 1000)

    async def pull():
        resolver = new_resolver(ResolverOptions(plain_http=True))
        context = RemoteContext(platform_matcher=matcher, **options)
        async with resolver, Client(root, resolver=resolver) as client:
            with trace.recording():
                image = await client.pull(ref, trace.watching(context, matcher))
                trace.done(image.metadata)

    try:
        anyio.run(pull)
    except ErrNotFound as err:
        return trace.to_json(), err
    return json.loads(json.dumps(trace.to_json())), None


def told(visit):
    return [(child["kept"], child["why"]) for child in visit["children"]]


def test_a_pull_from_the_first_request_to_the_record(registry, tmp_path):
    image = registry.publish("a:1", layers=2)
    trace, _ = traced(tmp_path, registry, registry.ref(image))
    assert trace["image"]["target"] == image.descriptor.to_json()
    assert trace["error"] is None
    root, *blobs = trace["handlers"]
    assert root["parent"] is None
    assert [child["descriptor"]["digest"] for child in root["children"]] == [
        image.config.digest,
        *(layer.digest for layer in image.layers),
    ]
    assert {visit["parent"] for visit in blobs} == {root["id"]}
    for visit in trace["handlers"]:
        assert visit["found"] <= visit["started"] <= visit["ended"] <= trace["seconds"]
    assert [(r["method"], r["status"]) for r in trace["requests"]] == [
        (exchange.method, exchange.status) for exchange in registry.journal
    ]
    assert sum(r["bytes"] for r in trace["requests"]) == sum(
        map(len, image.data.values())
    )
    by_handler = {r["handler"] for r in trace["requests"]}
    assert by_handler == {None, *(visit["id"] for visit in trace["handlers"])}


def test_why_entries_of_an_index_are_left_out(registry, tmp_path):
    image = registry.publish(
        "a:1", platforms=["linux/arm64", "linux/amd64", "linux/amd64", None]
    )
    trace, _ = traced(tmp_path, registry, registry.ref(image))
    assert told(trace["handlers"][0]) == [
        (False, "another platform"),
        (True, "its platform is wanted"),
        (False, "another entry fits better"),
        (False, "another entry fits better"),
    ]
    image = registry.publish("a:2", platforms=[None, "linux/arm64"])
    trace, _ = traced(tmp_path, registry, registry.ref(image))
    assert told(trace["handlers"][0])[0] == (True, "names no platform")


def test_hooks_of_the_caller_go_on_working(registry, tmp_path):
    image = registry.publish("a:1", layers=2)
    seen = []

    def wrapper(handler):
        async def handle(desc):
            seen.append(desc.digest)
            return [
                d for d in await handler(desc) if d.digest != image.layers[0].digest
            ]

        return handle

    async def skip(desc):
        if desc.digest == image.layers[1].digest:
            raise ErrSkipDesc
        return ()

    trace, _ = traced(
        tmp_path,
        registry,
        registry.ref(image),
        handler_wrapper=wrapper,
        child_label_map=lambda desc: ["mine."],
        base_handlers=[skip],
    )
    assert (False, "left out by a handler") in told(trace["handlers"][0])
    assert seen == [visit["descriptor"]["digest"] for visit in trace["handlers"]]
    assert trace["handlers"][-1]["error"] == "skipped by a handler"


def test_a_failure_is_written_down_and_no_secret_is(tmp_path):
    with Registry(auth=BasicAuth("user", "sesame")) as registry:
        image = registry.publish("a:1", layers=1)
        digest = image.layers[0].digest
        registry.fault(method="GET", digest=digest, authorized=True, status=404)
        file = tmp_path / "trace"
        command = ["--root", str(tmp_path / "root"), "pull", registry.ref(image)]
        command += ["--user", "user:sesame", "--trace", str(file)]
        assert main(command) == 1
    text = file.read_text()
    trace = json.loads(text)
    assert trace["image"] is None
    assert trace["error"]["class"] == "ErrNotFound"
    (failed,) = [v for v in trace["handlers"] if v["descriptor"]["digest"] == digest]
    assert "not found" in failed["error"]
    assert any(request["authorized"] for request in trace["requests"])
    assert "sesame" not in text


def test_a_body_that_breaks_off_is_seen_with_its_resumption(registry, tmp_path):
    image = registry.publish("a:1", layers=1, layer_size=100_000)
    layer = image.layers[0]
    registry.fault(method="GET", digest=layer.digest, times=1, truncate=5000)
    trace, _ = traced(tmp_path, registry, registry.ref(image))
    first, second = (r for r in trace["requests"] if layer.digest in r["url"])
    assert (first["bytes"], second["bytes"]) == (5000, layer.size - 5000)
    assert "unexpected EOF" in first["error"]
    assert second["range"] == "bytes=5000-"


class Reader(html.parser.HTMLParser):
    """Reads a page, and holds that every element that is opened is closed."""

    VOID = frozenset({"meta", "br", "line", "rect", "link"})

    def __init__(self, text):
        super().__init__()
        self.open: list[str] = []
        self.words: list[str] = []
        self.bars: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        if tag == "rect":
            self.bars.append(dict(attrs)["class"])
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        assert tag in self.VOID

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self):
        return " ".join(self.words)


def test_the_page(registry, tmp_path):
    nested = Entry(platform="linux/amd64", children=["linux/amd64"])
    image = registry.publish("a:1", platforms=["linux/arm64", nested], layers=2)
    trace, _ = traced(
        tmp_path, registry, registry.ref(image), max_concurrent_downloads=2
    )
    shown = Reader(page(trace))
    assert "at most 2 at once" in shown.text
    assert shown.bars.count("run") == len(trace["handlers"]) == 6
    assert "another platform" in shown.text
    for request in trace["requests"]:
        assert request["url"] in shown.text


def test_the_page_of_a_failure(registry, tmp_path):
    image = registry.publish("a:1", layers=2)
    registry.fault(method="GET", digest=image.layers[0].digest, status=404)
    trace, error = traced(tmp_path, registry, registry.ref(image))
    assert error is not None
    shown = Reader(page(trace))
    assert "Failed: ErrNotFound" in shown.text
    assert "bad" in shown.bars


def test_what_a_registry_says_is_text_on_the_page(registry, tmp_path):
    evil = "application/<script>alert(1)</script>"
    image = registry.publish("a:1", layers=1, layer_media_type=evil)
    trace, _ = traced(tmp_path, registry, registry.ref(image))
    assert "<script" not in page(trace)


def test_a_trace_that_has_just_begun_has_a_page():
    assert "Nothing was recorded" in page(Trace("r.io/a:1").to_json())


@pytest.mark.parametrize(
    ("trace", "said"),
    [
        ({}, "this is no trace"),
        ([], "this is no trace"),
        ({"trace": 2}, "a trace of version 2; version 1 is known here"),
        ({"trace": 1}, "the trace is broken: KeyError"),
    ],
)
def test_what_is_no_trace(trace, said):
    with pytest.raises(ErrInvalidArgument, match=said):
        page(trace)


def test_from_pull_to_page_by_the_command(registry, tmp_path, capsys):
    image = registry.publish("a:1")
    file, out = str(tmp_path / "t.json"), tmp_path / "t.html"
    root = ["--root", str(tmp_path / "root")]
    assert main([*root, "pull", registry.ref(image), "--trace", file]) == 0
    assert main(["trace", file, "--html", str(out)]) == 0
    assert registry.ref(image) in Reader(out.read_text()).text
    capsys.readouterr()
    assert main(["trace", file, "--html", str(out), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"html": str(out)}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["pull", "127.0.0.1:1/a:1", "--trace", "/nowhere/at/all"], "no such folder"),
        (["pull", "127.0.0.1:1/a:1", "--trace", "/"], "it is a folder"),
        (["trace", "/nowhere", "--html", "x"], "/nowhere: No such file"),
        (["trace", "{file}", "--html", "x"], "no JSON"),
    ],
)
def test_misuse_is_one_line(tmp_path, capsys, words, said):
    file = tmp_path / "file"
    file.write_text("{")
    words = [word.replace("{file}", str(file)) for word in words]
    assert main(["--root", str(tmp_path / "root"), *words]) == 1
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
