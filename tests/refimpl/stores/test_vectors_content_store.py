"""What v1.5.18's content store did, step by step (vectors/content_store.json).

The vectors name their steps; what a step does is told here once for each kind.
"""

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from refimpl import errdefs
from refimpl.descriptor import Descriptor
from refimpl.digest import Digest, from_bytes
from refimpl.stores import content
from refimpl.workers import run_blocking

pytestmark = pytest.mark.anyio

VECTORS = Path(__file__).parents[3] / "conformance/vectors/content_store.json"
CASES = {case["name"]: case for case in json.loads(VECTORS.read_text("utf-8"))["cases"]}
HELLO = b"hello world"
DIGEST = from_bytes(HELLO)
OTHER = "sha256:d9298a10d1b0735837dc4bd85dac641b0f3cef27a47e5d53a54f2f3f5b2fcffa"
KINDS = {
    errdefs.ErrAlreadyExists: "already_exists",
    errdefs.ErrFailedPrecondition: "failed_precondition",
    errdefs.ErrInvalidArgument: "invalid_argument",
    errdefs.ErrNotFound: "not_found",
}
MISMATCHES = {
    "wrong size": (12, DIGEST),
    "wrong digest": (11, OTHER),
    "size 0 wrong digest": (0, OTHER),
    "negative size": (-1, DIGEST),
}


class Script:
    """Runs steps and notes what came of them, as the vectors do."""

    def __init__(self, store):
        self.store = store
        self.steps = []

    async def step(self, op, awaitable=None, show=lambda result: result):
        try:
            result = await awaitable if awaitable is not None else None
        except errdefs.ContainerdError as err:
            text = errdefs.message(err)
            self.steps.append({"op": op, "error": {"text": text, "class": kind(err)}})
            return None
        shown = show(result)
        self.steps.append({"op": op} if shown is None else {"op": op, "result": shown})
        return result

    async def content(self):
        infos = await self.store.walk()
        self.note(
            "content",
            [
                {"digest": i.digest, "size": i.size, "labels": dict(i.labels)}
                for i in infos
            ],
        )

    async def ingests(self):
        statuses = await self.store.list_statuses()
        shown = [{"offset": s.offset, "ref": s.ref, "total": s.total} for s in statuses]
        self.note("ingests", shown)

    def note(self, op, result):
        self.steps.append({"op": op, "result": result})


def kind(err):
    return KINDS[type(err)]


def show_status(status):
    return {
        "expected": status.expected,
        "offset": status.offset,
        "ref": status.ref,
        "total": status.total,
    }


def check(script, name):
    assert script.steps == CASES[name]["output"]


async def write(writer, data):
    await run_blocking(writer.write, data)


def desc(size=11, digest=DIGEST):
    return Descriptor(size=size, digest=Digest(digest))


async def test_commit(store):
    script = Script(store)
    writer = await store.writer(ref="r", desc=desc())
    script.note("open", show_status(writer.status()))
    await write(writer, HELLO)
    script.note("status", show_status(writer.status()))
    script.note("digest", writer.digest())
    await script.step("commit", writer.commit(11, DIGEST))
    await script.step("close after commit", writer.aclose())
    await script.step("open again", store.writer(ref="r", desc=desc()))
    other = store.writer(ref="r2", desc=desc(size=5))
    await script.step("open again other ref and size", other)
    await script.content()
    check(script, "write commit size=11, then writer again")


@pytest.mark.parametrize("name", MISMATCHES)
async def test_commit_mismatch(store, name):
    size, digest = MISMATCHES[name]
    script = Script(store)
    async with await store.writer(ref="ref-1", desc=Descriptor(size=11)) as writer:
        await write(writer, HELLO)
        op = f"commit size={size} digest={digest}"
        await script.step(op, writer.commit(size, digest))
    await script.ingests()
    await script.content()
    async with await store.writer(ref="ref-1") as writer:
        script.note("reopen same ref", show_status(writer.status()))
    check(script, name)


@pytest.mark.parametrize("name", MISMATCHES)
async def test_copy_mismatch(store, name):
    size, digest = MISMATCHES[name]
    script = Script(store)
    await script.step(
        f"WriteBlob size={size} digest={digest} of 11 bytes",
        content.write_blob(store, "layer-x", HELLO, desc(size, digest)),
    )
    await script.ingests()
    await script.content()
    check(script, f"{name}#2")


async def test_resume(store):
    script = Script(store)
    async with await store.writer(ref="r", desc=desc()) as writer:
        await write(writer, HELLO[:4])
    await script.ingests()
    async with await store.writer(ref="r", desc=desc()) as writer:
        script.note("reopened", show_status(writer.status()))
        await write(writer, HELLO[4:])
        await script.step("commit", writer.commit(11, DIGEST))
    await script.ingests()
    check(script, "partial write, close, reopen, resume")


async def test_partial_garbage(store):
    script = Script(store)
    async with await store.writer(ref="r", desc=desc()) as writer:
        await write(writer, b"XXXX")
    async with await store.writer(ref="r", desc=desc()) as writer:
        reader = content.BytesReader(HELLO)
        await script.step("copy", content.copy(writer, reader, 11, DIGEST))
    await script.ingests()
    check(script, "partial garbage makes the digest wrong")


async def test_short_reader(store):
    script = Script(store)
    async with await store.writer(ref="r", desc=desc()) as writer:
        copied = content.copy(writer, content.BytesReader(HELLO[:5]), 11, DIGEST)
        await script.step("copy of 5 of 11 bytes", copied)
    await script.ingests()
    check(script, "short reader")


async def test_empty_ref(store):
    script = Script(store)
    await script.step("open", store.writer(ref=""))
    check(script, "empty ref")


async def test_commit_twice(store):
    script = Script(store)
    async with await store.writer(ref="r") as writer:
        await write(writer, HELLO)
        await script.step("commit", writer.commit(11, DIGEST))
        await script.step("commit again", writer.commit(11, DIGEST))
    check(script, "commit twice")


async def test_zero_length(store):
    script = Script(store)
    nothing = desc(0, from_bytes(b""))
    op = "WriteBlob of nothing"
    await script.step(op, content.write_blob(store, "r", b"", nothing))
    await script.content()
    check(script, "zero length content")


UPDATES = [
    name for name, case in CASES.items() if case["kind"] in {"update", "update-limits"}
]


@pytest.mark.parametrize("name", UPDATES)
async def test_update(store, name):
    recorded = CASES[name]["output"][0]
    given = recorded["result"]["input"]
    labels = {} if given["initial"] is None else given["initial"]
    script = Script(store)
    await content.write_blob(store, "r", HELLO, desc(), labels=labels)
    info = replace(await store.info(DIGEST), labels=given["labels"] or {})
    update = store.update(info, *(given["fieldpaths"] or ()))
    result = await script.step(recorded["op"], update, lambda _: None)
    script.steps[0]["result"] = {
        "input": given,
        "labels": dict(result.labels) if result else None,
        "size": result.size if result else 0,
    }
    await script.content()
    check(script, name)


async def test_missing(store):
    script = Script(store)
    name = "info/delete/reader/update of missing"
    missing = Digest(CASES[name]["output"][-1]["result"])
    now = datetime.now(UTC)
    info = content.Info(digest=missing, size=0, created_at=now, updated_at=now)
    desc = Descriptor(digest=missing)
    await script.step("info", store.info(missing))
    await script.step("delete", store.delete(missing))
    await script.step("readerat", store.reader_at(desc))
    await script.step("update", store.update(info))
    await script.step("readblob", content.read_blob(store, desc))
    await script.step("status", store.status("nope"))
    await script.step("abort", store.abort("nope"))
    script.note("missing digest", missing)
    check(script, name)


async def test_shared_between_namespaces(db, store):
    other = db.content_store("other")
    await content.write_blob(store, "r", HELLO, desc())
    script = Script(other)
    await script.step("info in other", other.info(DIGEST))
    async with await other.writer(ref="r", desc=desc()) as writer:
        script.note("open in other", show_status(writer.status()))
        await script.step("commit without writing", writer.commit(11, DIGEST))
    await script.step("info in other", other.info(DIGEST), lambda _: None)
    check(
        script,
        "content of another namespace (shared policy): "
        "writer is complete at once, no bytes needed",
    )


def test_every_case_is_run():
    here = Path(__file__).read_text("utf-8").replace('"\n        "', "")
    names = {name.removesuffix("#2") for name in CASES} - set(UPDATES)
    assert all(f'"{name}"' in here for name in names)
