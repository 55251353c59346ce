"""What v1.5.18's leases did, step by step (vectors/leases.json).

``Client.WithLease`` is the client's; here its parts are put together by hand.
"""

import json
import re
from datetime import timedelta
from pathlib import Path

import pytest

from refimpl import errdefs
from refimpl.descriptor import Descriptor
from refimpl.digest import from_bytes
from refimpl.stores import content
from refimpl.stores.leases import Lease, Resource, from_context, with_lease

pytestmark = pytest.mark.anyio

VECTORS = Path(__file__).parents[3] / "conformance/vectors/leases.json"
CASES = {case["name"]: case for case in json.loads(VECTORS.read_text("utf-8"))["cases"]}
KINDS = {
    errdefs.ErrAlreadyExists: "already_exists",
    errdefs.ErrInvalidArgument: "invalid_argument",
    errdefs.ErrNotFound: "not_found",
    errdefs.ErrNotImplemented: "not_implemented",
}
NO_LEASE = {"created_at_set": False, "id": "", "labels": None}


class Script:
    """Runs steps and notes what came of them, as the vectors do."""

    def __init__(self, name):
        self.want = CASES[name]["output"]
        self.steps = []

    async def step(self, op, awaitable):
        try:
            await awaitable
        except errdefs.ContainerdError as err:
            error = {"text": errdefs.message(err), "class": KINDS[type(err)]}
            self.steps.append({"op": op, "error": error})
        else:
            self.steps.append({"op": op})

    def note(self, op, result):
        self.steps.append({"op": op, "result": result})

    def check(self):
        assert self.steps == self.want


def show(lease):
    return {
        "created_at_set": lease.created_at is not None,
        "id": lease.id,
        "labels": dict(lease.labels) or None,
    }


@pytest.fixture
def manager(db):
    return db.lease_manager("default")


async def blobs(store):
    return [
        {"digest": info.digest, "size": info.size, "labels": dict(info.labels)}
        for info in await store.walk()
    ]


async def put(store, data, labels=None):
    desc = Descriptor(digest=from_bytes(data), size=len(data))
    await content.write_blob(store, f"put-{desc.digest}", data, desc, labels=labels)
    return desc


async def resources(manager, lease):
    return [f"{r.type} {r.id}" for r in await manager.list_resources(lease)]


async def test_create(manager):
    script = Script("create with id, again, list, delete, delete again")
    lease = await manager.create(id="l1")
    script.note("create id=l1", show(lease))
    await script.step("create id=l1", manager.create(id="l1"))
    script.steps[-1]["result"] = NO_LEASE
    script.note("list", list(map(show, await manager.list())))
    await script.step("delete l1", manager.delete(lease))
    await script.step("delete l1", manager.delete(lease))
    script.note("list", list(map(show, await manager.list())))
    script.check()


async def test_labels(manager):
    script = Script("create with labels")
    # WithLabels twice merges: the caller's business here.
    labels = {"a": "b"} | {"c": "d", "a": "e"}
    lease = await manager.create(id="x", labels=labels)
    script.note("create id=x labels a=b then c=d,a=e", show(lease))
    script.note("list", list(map(show, await manager.list())))
    script.check()


async def test_random_id(manager):
    script = Script("random id format")
    (pattern,) = re.findall(r"\^.*?\$", script.want[0]["op"])
    lease = await manager.create()
    script.note(script.want[0]["op"], re.search(pattern, lease.id) is not None)
    script.check()


async def test_with_lease(manager):
    script = Script("client.WithLease default")
    lease = await manager.create(expiration=timedelta(hours=24))
    with with_lease(lease.id):
        script.note("WithLease: context has lease", from_context() == lease.id)
        found = await manager.list()
        keys = [key for lease in found for key in lease.labels]
        script.note("number of leases; label keys", {"keys": keys, "n": len(found)})
        script.note("nested WithLease reuses the lease", from_context() == lease.id)
        script.steps.append({"op": "nested done is a no-op"})
        script.note("number of leases", len(await manager.list()))
    await script.step("done", manager.delete(lease))
    script.note("list", list(map(show, await manager.list())))
    script.check()
    assert from_context() is None


async def test_resources(manager):
    script = Script("add/delete resources variant 0")
    lease = await manager.create(id="l")
    missing = Lease(id="no", created_at=lease.created_at)
    for step in script.want:
        found = re.fullmatch(r'(add|delete) type="(.*)" id="(.*)"', step["op"])
        if found:
            verb, kind, key = found.groups()
            change = getattr(manager, f"{verb}_resource")
            await script.step(step["op"], change(lease, Resource(type=kind, id=key)))
        elif step["op"] == "resources":
            script.note("resources", await resources(manager, lease))
        elif step["op"] == "delete again":
            gone = Resource(type="ingests", id="ref-1")
            await script.step("delete again", manager.delete_resource(lease, gone))
    some = Resource(type="ingests", id="x")
    await script.step("add to missing lease", manager.add_resource(missing, some))
    drop = manager.delete_resource(missing, some)
    await script.step("delete from missing lease", drop)
    await script.step("list missing lease", manager.list_resources(missing))
    script.check()


async def test_leased_content_survives(db, store, manager):
    script = Script(
        "content written under a lease survives gc until the lease is deleted"
    )
    lease = await manager.create(id="l")
    with with_lease(lease.id):
        await put(store, b"leased")
    held = await resources(manager, lease)
    script.note("write 'leased' under the lease; resources", held)
    await db.garbage_collect()
    script.note("gc; content", await blobs(store))
    await script.step("delete lease (asynchronous)", manager.delete(lease))
    script.note("content before gc", await blobs(store))
    await db.garbage_collect()
    script.note("content after gc", await blobs(store))
    script.check()


async def test_existing_content_is_leased(db, store, manager):
    script = Script("already existing content is added to the lease")
    # Which seven bytes were recorded is not told: any will do.
    desc = await put(store, b"existed")
    lease = await manager.create(id="l")
    with with_lease(lease.id):
        opened = store.writer(ref="r", desc=desc)
        await script.step("open writer for existing content", opened)
    script.note("resources", await resources(manager, lease))
    await db.garbage_collect()
    script.note("gc; content", await blobs(store))
    recorded = script.want[1]["result"][0].removeprefix("content ")
    shown = json.dumps(script.steps).replace(desc.digest, recorded)
    assert json.loads(shown) == script.want


async def test_references_and_expiry(db, store, manager):
    name = "gc follows gc.ref labels from a leased blob, expired lease is dropped"
    script = Script(name)
    lease = await manager.create(id="l")
    child = await put(store, b"child")
    lost = await put(store, b"hello world")
    labels = {
        "containerd.io/gc.ref.content.l.0": child.digest,
        "containerd.io/gc.ref.contentX": script.want[0]["result"][1]["labels"][
            "containerd.io/gc.ref.contentX"
        ],
    }
    with with_lease(lease.id):
        await put(store, b"parent", labels)
    await db.garbage_collect()
    script.note("gc; content", await blobs(store))
    assert lost.digest not in json.dumps(script.steps)
    await script.step("delete", manager.delete(lease))
    expired = await manager.create(id="e", expiration=timedelta(hours=-1))
    with with_lease(expired.id):
        await put(store, b"late")
    await db.garbage_collect()
    op = "gc with only an expired lease; content"
    script.note(op, await blobs(store))
    count = len(await manager.list())
    script.note("expired lease is removed by gc; lease count", count)
    script.check()


async def test_flat_lease(db, store, manager):
    script = Script("map[containerd.io/gc.flat:true]")
    lease = await manager.create(id="l", labels={"containerd.io/gc.flat": "true"})
    with with_lease(lease.id):
        pass
    child = await put(store, b"child")
    with with_lease(lease.id):
        await put(store, b"parent", {"containerd.io/gc.ref.content": child.digest})
    await db.garbage_collect()
    script.note("gc; content", await blobs(store))
    script.check()
