"""What v1.5.18's whole pulls left behind (vectors/pull.json).

The registry is a script: a resolver and a fetcher that serve what the vector says.
"""

import base64
import json
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import anyio
import pytest

from refimpl import images
from refimpl.client import Client, RemoteContext
from refimpl.descriptor import Descriptor
from refimpl.digest import Digest
from refimpl.errdefs import (
    ContainerdError,
    ErrFailedPrecondition,
    ErrInvalidArgument,
    ErrNotFound,
    ErrSkipDesc,
    ErrStopHandler,
    message,
)
from refimpl.platforms import ALL, any_, only, only_strict, ordered, parse
from refimpl.stores.content import BytesReader, write_blob

pytestmark = pytest.mark.anyio

VECTORS = Path(__file__).parents[2] / "conformance/vectors/pull.json"
CASES = json.loads(VECTORS.read_text("utf-8"))["cases"]
CLASSES = {
    "failed_precondition": ErrFailedPrecondition,
    "invalid_argument": ErrInvalidArgument,
    "not_found": ErrNotFound,
}


# D50: containerd fails on these and leaves a record without layers.
MENDED = [case for case in CASES if case["kind"] == "legacy-unpack"]
BUILT = [case for case in CASES if case not in MENDED]
FAILING = [case for case in BUILT if "error" in case]


@pytest.fixture
def anyio_backend():
    """One loop will do: nothing here is about the order of tasks."""
    return "asyncio"


class Script:
    """The registry of a vector."""

    def __init__(self, given):
        self.given = given
        self.fetched: Counter[str] = Counter()

    async def resolve(self, _ref, /):
        if text := self.given.get("resolve_error"):
            raise failure(text)
        root = Descriptor.from_json(self.given["root"])
        return self.given["resolved_name"], root

    async def fetcher(self, _ref, /):
        if text := self.given.get("fetcher_error"):
            raise failure(text)
        return self

    async def fetch(self, desc, /):
        self.fetched[desc.digest] += 1
        if desc.digest not in self.given["blobs"]:
            raise ErrNotFound(f"fake registry: blob {desc.digest}")
        return BytesReader(base64.b64decode(self.given["blobs"][desc.digest]))


def failure(text):
    """Return an error of the class that its text ends with."""
    detail = text.removesuffix(": not found")
    return ContainerdError(text) if detail == text else ErrNotFound(detail)


def matcher(name):
    """Return the matcher that a vector names: ``all``, ``any:P,P`` and so on."""
    if name in {None, "all"}:
        return ALL if name else None
    kind, _, names = name.partition(":")
    wanted = [parse(part) for part in names.split(",")]
    if kind == "onlystrict":
        return only_strict(*wanted)
    return {"any": any_, "ordered": ordered}[kind](*wanted)


def base_handlers(text):
    """Return the base handler that a vector names: ``stop:MEDIATYPE`` and so on."""
    if text is None:
        return ()
    kind, _, media_type = text.partition(":")
    raised = {
        "fail": ContainerdError("base handler failed"),
        "skip": ErrSkipDesc(),
        "stop": ErrStopHandler(),
    }[kind]

    async def handler(desc):
        if desc.media_type == media_type:
            raise raised
        return ()

    return (handler,)


def deaf(handler):
    """Return a handler that an error of a sibling does not stop.

    Neither the recorder's fetcher nor containerd's local store look at their
    context, so siblings that start after an error finish all the same
    (images/handlers.go:126). Here, whatever waits is cancelled.
    """

    async def handle(desc):
        with anyio.CancelScope(shield=True):
            return await handler(desc)

    return handle


def remote_context(options, script):
    label_maps = {None: None, "filter_layers": images.child_gc_labels_filter_layers}
    return RemoteContext(
        resolver=script,
        platform_matcher=matcher(options.get("platform_matcher")),
        platforms=options.get("platforms") or (),
        labels=options.get("labels") or {},
        base_handlers=base_handlers(options.get("base_handler")),
        handler_wrapper=deaf,
        unpack=options.get("unpack", False),
        convert_schema1=options.get("convert_schema1", False),
        max_concurrent_downloads=options.get("max_concurrent_downloads", 0),
        all_metadata=options.get("all_metadata", False),
        child_label_map=label_maps[options.get("child_label_map")],
    )


class Play:
    """One vector in a store of its own."""

    def __init__(self, case, client):
        self.given = case["input"]
        self.client = client
        self.script = Script(self.given)
        self.returned = None
        self.image = None

    async def prepare(self):
        for blob in self.given.get("preexisting_content", ()):
            data = base64.b64decode(blob["blob"])
            desc = Descriptor(digest=Digest(blob["digest"]), size=len(data))
            store = self.client.content_store()
            await write_blob(store, "before", data, desc, labels=blob["labels"])
        if image := self.given.get("preexisting_image"):
            record = images.Image(
                name=image["name"],
                target=Descriptor.from_json(image["target"]),
                labels=image["labels"],
            )
            await self.client.image_service().create(record)

    async def run(self, **changes):
        options = self.given["options"]
        context = replace(remote_context(options, self.script), **changes)
        for _ in range(self.given.get("pull_times", 1)):
            if options.get("use_client_fetch"):
                self.returned = await self.client.fetch(self.given["ref"], context)
            else:
                self.image = await self.client.pull(self.given["ref"], context)
                self.returned = self.image.metadata

    async def image_outcome(self):
        """Return what a pulled image tells of its configuration.

        The vectors also have the size of an image as image.go:157 counts it, which
        has no counterpart in the reference.
        """
        if self.image is None:
            return {}
        try:
            config = await self.image.config()
        except ContainerdError as err:
            return {"image_config_error": err}
        return {"image_config": config.to_json()}

    async def outcome(self):
        """Return what a vector's output has, for pulls that worked or not."""
        store = self.client.content_store()
        out = {
            "content": [
                {"digest": info.digest, "size": info.size, "labels": dict(info.labels)}
                for info in await store.walk()
            ],
            "fetch_counts": dict(self.script.fetched),
            "images": [show(i) for i in await self.client.image_service().list()],
            "ingests": [
                {"offset": status.offset, "ref": status.ref, "total": status.total}
                for status in await store.list_statuses()
            ],
            "leases_left": len(await self.client.leases_service().list()),
        }
        if self.given["options"].get("unpack"):
            found = await self.client.snapshot_service().walk()
            out["snapshots"] = [show_snapshot(info) for info in found]
        if self.returned is not None:
            out["returned"] = show(self.returned)
        await self.client.db.garbage_collect()
        out["content_after_gc"] = [info.digest for info in await store.walk()]
        return out


def show(image):
    return {
        "labels": dict(image.labels) or None,
        "name": image.name,
        "target": image.target.to_json(),
    }


def show_snapshot(info):
    return {
        "kind": str(info.kind),
        "labels": dict(info.labels),
        "name": re.sub("^extract-[^ ]+", "extract-<unique>", info.name),
        "parent": info.parent,
    }


def wanted(case, *, keys):
    """Return the part of a vector's output that is compared."""
    output = {key: value for key, value in case["output"].items() if key in keys}
    for info in output["content"]:
        info["labels"] = info["labels"] or {}
    return output


@pytest.fixture
async def client(tmp_path, anyio_backend):
    """A client for linux/amd64, as in the vectors."""
    amd64 = only(parse("linux/amd64"))
    async with Client(tmp_path / "root", platform=amd64) as client:
        yield client


def check_error(err, want):
    if "class" in want:
        assert type(err) is CLASSES[want["class"]]
    else:
        assert type(err) not in CLASSES.values()
    if not want.get("go_stdlib_text"):
        assert message(err) == want["text"]


def check_image(got, want):
    if error := got.pop("image_config_error", None):
        check_error(error, want["image_config_error"])
    else:
        assert got == {key: want[key] for key in ("image_config",) if key in want}


@pytest.mark.parametrize("case", BUILT, ids=lambda case: case["name"])
async def test_a_pull_leaves_what_containerd_left(case, client):
    play = Play(case, client)
    await play.prepare()
    if want := case.get("error"):
        with pytest.raises(ContainerdError) as caught:
            await play.run()
        check_error(caught.value, want)
    else:
        await play.run()
    check_image(await play.image_outcome(), case["output"])
    out = await play.outcome()
    assert out == wanted(case, keys=out.keys())
    assert ("returned" in case["output"]) == (play.returned is not None)
    for digest, text in case["output"].get("new_blobs", {}).items():
        assert client.db.blob_path(Digest(digest)).read_text("utf-8") == text


@pytest.mark.parametrize("case", FAILING, ids=lambda case: case["name"])
async def test_a_failed_pull_leaves_no_more_than_containerd_left(case, client):
    """With the usual handlers: a sibling that starts after an error fetches nothing."""
    play = Play(case, client)
    with pytest.raises(ContainerdError) as caught:
        await play.run(handler_wrapper=None)
    check_error(caught.value, case["error"])
    out = await play.outcome()
    want = wanted(case, keys=out.keys())
    for key in ("content", "fetch_counts"):
        assert part_of(out.pop(key), want.pop(key))
    assert out == want


def part_of(some, more):
    return all(item in more for item in some)


@pytest.mark.parametrize("case", MENDED, ids=lambda case: case["name"])
async def test_a_legacy_image_is_unpacked(case, client):
    """Where containerd records it and fails (D50), all of it is fetched and here."""
    play = Play(case, client)
    await play.run()
    out = await play.outcome()
    root = case["input"]["root"]["digest"]
    manifest = json.loads(base64.b64decode(case["input"]["blobs"][root]))
    layers = [layer["digest"] for layer in manifest["layers"]]
    assert set(layers) <= set(out["content_after_gc"])
    snapshots = await client.snapshot_service().walk()
    assert [str(info.kind) for info in snapshots] == ["Committed"] * len(layers)
    assert play.image is not None
    assert await play.image.is_unpacked()
    assert out["returned"] == case["output"]["images"][0]
