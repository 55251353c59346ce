"""leases/*.go, metadata/leases.go, beyond what the vectors tell."""

import re
from datetime import UTC, datetime, timedelta

import anyio
import pytest

from refimpl.descriptor import Descriptor
from refimpl.digest import from_bytes
from refimpl.errdefs import ContainerdError, ErrInvalidArgument
from refimpl.stores.content import write_blob
from refimpl.stores.leases import (
    EXPIRE_LABEL,
    Resource,
    from_context,
    random_id,
    with_lease,
)

pytestmark = pytest.mark.anyio

DESC = Descriptor(digest=from_bytes(b"x"), size=1)


@pytest.fixture
def manager(db):
    return db.lease_manager("default")


def test_random_ids_differ():
    assert len({random_id() for _ in range(50)}) == 50


async def test_an_id_must_not_be_empty(manager):
    with pytest.raises(ContainerdError, match=r"^lease id must be provided$"):
        await manager.create(id="")


async def test_expiration_is_a_label(manager):
    lease = await manager.create(expiration=timedelta(hours=24), labels={"a": "b"})
    text = lease.labels[EXPIRE_LABEL]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", text)
    left = datetime.fromisoformat(text) - datetime.now(UTC)
    assert timedelta(hours=23) < left <= timedelta(hours=24)
    assert await manager.list() == (lease,)


async def test_filters_know_the_fields(manager):
    await manager.create(id="x", labels={"a": "b"})
    for text, count in [("id==x", 1), ("labels.a", 1), ("labels.z", 0), ("size", 0)]:
        assert len(await manager.list(text)) == count, text
    with pytest.raises(ErrInvalidArgument, match="invalid argument: invalid argument"):
        await manager.list("bad==")


async def test_namespaces_do_not_see_each_other(db, manager):
    await manager.create(id="x")
    other = db.lease_manager("other")
    assert await other.list() == ()
    await other.create(id="x")


async def test_deleting_at_once_collects(db, store, manager):
    lease = await manager.create()
    with with_lease(lease.id):
        await write_blob(store, "r", b"x", DESC)
    await manager.delete(lease, synchronous=True)
    assert await store.walk() == ()
    assert not list((db.root / "content/blobs/sha256").iterdir())


async def test_a_deleted_lease_takes_its_resources_along(manager):
    lease = await manager.create(id="x")
    await manager.add_resource(lease, Resource(type="ingests", id="r"))
    await manager.delete(lease)
    lease = await manager.create(id="x")
    assert await manager.list_resources(lease) == ()


async def test_the_lease_in_force_is_the_tasks_own():
    seen = []

    async def child():
        seen.append(from_context())
        with with_lease("inner"):
            await anyio.lowlevel.checkpoint()

    with with_lease("outer"):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(child)
            tasks.start_soon(child)
        seen.append(from_context())
    assert seen == ["outer"] * 3
    assert from_context() is None
