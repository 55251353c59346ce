"""client.go and lease.go: stores, namespaces, resolvers and the lease of a pull."""

from datetime import UTC, datetime, timedelta

import anyio
import pytest

from refimpl.client import Client, RemoteContext
from refimpl.errdefs import (
    ContainerdError,
    ErrFailedPrecondition,
    ErrInvalidArgument,
    ErrNotFound,
    ErrNotImplemented,
    message,
)
from refimpl.remotes.docker import ResolverOptions, new_resolver
from refimpl.stores import leases
from refimpl.stores.leases import EXPIRE_LABEL

pytestmark = pytest.mark.anyio


@pytest.fixture
async def client(tmp_path, anyio_backend):
    async with Client(tmp_path / "root") as client:
        yield client


async def lease_ids(client):
    return [lease.id for lease in await client.leases_service().list()]


async def names(client):
    return [image.name for image in await client.image_service().list()]


# -- open and closed ----------------------------------------------------------------


@pytest.mark.parametrize(
    "service", ["content_store", "image_service", "leases_service"]
)
async def test_a_client_must_be_open(tmp_path, service):
    client = Client(tmp_path / "root")
    with pytest.raises(ErrFailedPrecondition, match="use `async with`"):
        getattr(client, service)()
    async with client:
        assert getattr(client, service)() is not None
    with pytest.raises(ErrFailedPrecondition):
        getattr(client, service)()
    assert (tmp_path / "root" / "metadata.db").is_file()


async def test_a_client_that_was_never_open_makes_no_folder(tmp_path):
    with pytest.raises(ErrFailedPrecondition):
        await Client(tmp_path / "root").pull("example.com/a:1")
    assert not (tmp_path / "root").exists()


async def test_a_client_may_be_opened_again(registry, tmp_path):
    image = registry.publish("library/hello:1")
    client = Client(tmp_path / "root")
    async with client:
        await client.pull(registry.ref(image))
    async with client:
        assert await names(client) == [registry.ref(image)]
        await client.pull(registry.ref(image))


async def test_a_root_that_is_a_file_is_refused(tmp_path):
    root = tmp_path / "root"
    root.write_bytes(b"")
    with pytest.raises(ErrFailedPrecondition, match="cannot hold a store"):
        await Client(root).__aenter__()
    assert root.read_bytes() == b""


# -- namespaces, and many clients on one store ---------------------------------------


async def test_namespaces_see_their_own_images_only(registry, tmp_path):
    image = registry.publish("library/hello:1", layers=1)
    async with Client(tmp_path) as one, Client(tmp_path, namespace="two") as two:
        await one.pull(registry.ref(image))
        assert await names(two) == []
        assert await two.content_store().walk() == ()
        await two.pull(registry.ref(image))
        await one.image_service().delete(registry.ref(image))
        await one.db.garbage_collect()
        assert (await names(one), await names(two)) == ([], [registry.ref(image)])
        assert await one.content_store().walk() == ()
        kept = {info.digest for info in await two.content_store().walk()}
        assert kept == {desc.digest for desc in image.blobs}


async def test_clients_that_pull_the_same_at_once_download_it_once(registry, tmp_path):
    image = registry.publish("library/hello:1", layers=2)
    async with Client(tmp_path) as one, Client(tmp_path) as two:
        with registry.gate(method="HEAD") as gate:
            async with anyio.create_task_group() as tasks:
                for client in (one, two):
                    tasks.start_soon(client.pull, registry.ref(image))
                await anyio.to_thread.run_sync(gate.wait_for, 2)
                gate.open()
        gets = [
            exchange.reference for exchange in registry.journal.requests(method="GET")
        ]
        assert sorted(gets) == sorted(desc.digest for desc in image.blobs)
        for desc in image.blobs:
            path = one.db.blob_path(desc.digest)
            assert path.read_bytes() == image.data[desc.digest]
        assert await lease_ids(two) == []


# -- resolvers ------------------------------------------------------------------------


class Recorder:
    """A resolver that fails, and knows that it was asked."""

    def __init__(self):
        self.asked = []

    async def resolve(self, ref, /):
        self.asked.append(ref)
        raise ErrNotFound(ref)

    async def fetcher(self, ref, /):
        raise AssertionError(ref)


async def test_the_resolver_of_the_context_wins(tmp_path):
    own, given = Recorder(), Recorder()
    async with Client(tmp_path, resolver=own) as client:
        with pytest.raises(ErrNotFound):
            await client.pull("example.com/a:1", RemoteContext(resolver=given))
        with pytest.raises(ErrNotFound) as caught:
            await client.pull("example.com/a:2")
    assert (own.asked, given.asked) == (["example.com/a:2"], ["example.com/a:1"])
    assert message(caught.value) == (
        'failed to resolve reference "example.com/a:2": example.com/a:2: not found'
    )


async def test_a_client_keeps_one_resolver_of_its_own(registry, client):
    image = registry.publish("library/hello:1")
    await client.pull(registry.ref(image))
    resolver = client.resolver(RemoteContext())
    await client.pull(registry.ref(image))
    assert client.resolver(RemoteContext()) is resolver


async def test_a_resolver_that_was_given_is_not_closed(registry, tmp_path):
    image = registry.publish("library/hello:1")
    async with new_resolver(ResolverOptions()) as resolver:
        for name in ("a", "b"):
            async with Client(tmp_path / name, resolver=resolver) as client:
                await client.pull(registry.ref(image))


# -- fetch (client.go:380) ------------------------------------------------------------


@pytest.mark.parametrize(
    ("context", "kind", "text"),
    [
        (RemoteContext(unpack=True), ErrNotImplemented, "unpack on fetch"),
        (
            RemoteContext(platforms=("linux/amd64", "a b")),
            ErrInvalidArgument,
            "component",
        ),
    ],
    ids=["unpack", "platform"],
)
async def test_fetch_refuses_before_it_asks(registry, client, context, kind, text):
    image = registry.publish("library/hello:1")
    with pytest.raises(kind, match=text):
        await client.fetch(registry.ref(image), context)
    assert len(registry.journal) == 0
    assert await lease_ids(client) == []


async def test_fetch_takes_several_platforms_and_records(registry, client):
    image = registry.publish(
        "library/hello:1", platforms=["linux/amd64", "linux/s390x", "linux/arm64"]
    )
    context = RemoteContext(platforms=("linux/amd64", "linux/s390x"), labels={"a": "b"})
    record = await client.fetch(registry.ref(image), context)
    kept = {info.digest for info in await client.content_store().walk()}
    assert image.manifest("linux/arm64").descriptor.digest not in kept
    assert image.manifest("linux/s390x").config.digest in kept
    assert record.labels == {"a": "b"}
    assert await client.image_service().list() == (record,)


# -- the lease (lease.go:27) ----------------------------------------------------------


async def test_a_lease_lasts_a_day_at_most(client):
    before = datetime.now(UTC)
    async with client.with_lease():
        (lease,) = await client.leases_service().list()
        assert leases.from_context() == lease.id
    expires = datetime.fromisoformat(lease.labels[EXPIRE_LABEL])
    day = timedelta(hours=24)
    assert before.replace(microsecond=0) + day <= expires <= datetime.now(UTC) + day
    assert leases.from_context() is None
    assert await lease_ids(client) == []


async def test_a_lease_that_is_set_is_used_and_kept(registry, client):
    image = registry.publish("library/hello:1", layers=1)
    manager = client.leases_service()
    mine = await manager.create(id="mine")
    with leases.with_lease("mine"):
        async with client.with_lease():
            assert leases.from_context() == "mine"
        await client.pull(registry.ref(image))
    assert await lease_ids(client) == ["mine"]
    held = {r.id for r in await manager.list_resources(mine) if r.type == "content"}
    assert held == {desc.digest for desc in image.blobs}
    await client.image_service().delete(registry.ref(image))
    await client.db.garbage_collect()
    assert {info.digest for info in await client.content_store().walk()} == held


async def test_a_lease_that_is_set_is_not_checked(registry, client):
    """Only what is written under it shows that it does not exist."""
    image = registry.publish("library/hello:1")
    with leases.with_lease("nobody's"):
        async with client.with_lease():
            assert await lease_ids(client) == []
        with pytest.raises(ErrNotFound, match="lease does not exist"):
            await client.pull(registry.ref(image))
    assert await names(client) == []


async def test_a_lease_goes_with_an_error(registry, client):
    image = registry.publish("library/hello:1", layers=1)
    registry.fault(method="GET", digest=image.layers[0].digest, status=404)
    with pytest.raises(ErrNotFound):
        await client.pull(registry.ref(image))
    assert await lease_ids(client) == []


async def test_a_lease_goes_with_a_cancelled_pull(registry, client):
    image = registry.publish("library/hello:1", layers=1)
    with registry.gate(method="GET", digest=image.layers[0].digest) as gate:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(client.pull, registry.ref(image))
            await anyio.to_thread.run_sync(gate.wait_for)
            assert len(await lease_ids(client)) == 1
            tasks.cancel_scope.cancel()
    assert await lease_ids(client) == []
    assert await names(client) == []


async def test_a_cancelled_pull_goes_on_later(registry, client):
    """What had come stays an ingest, and the next pull asks for the rest."""
    size = 1 << 20
    image = registry.publish("library/hello:1", layers=1, layer_size=size)
    layer = image.layers[0]
    half = layer.size // 2
    fault = registry.fault(method="GET", digest=layer.digest, stall=half)
    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(client.pull, registry.ref(image))
            while not await has_ingest(client, layer.digest, half):
                await anyio.lowlevel.checkpoint()
            tasks.cancel_scope.cancel()
    fault.remove()
    await client.pull(registry.ref(image))

    _, rest = registry.journal.requests(method="GET", digest=layer.digest)
    assert (rest.range, rest.status) == (f"bytes={half}-", 206)
    path = client.db.blob_path(layer.digest)
    assert path.read_bytes() == image.data[layer.digest]


async def has_ingest(client, digest, offset):
    statuses = await client.content_store().list_statuses()
    return any(digest in s.ref and s.offset == offset for s in statuses)


async def test_a_lease_that_somebody_removed_is_no_error(client):
    """Go drops what the deletion says, too (pull.go:63)."""
    async with client.with_lease():
        (lease,) = await client.leases_service().list()
        await client.leases_service().delete(lease)
    assert leases.from_context() is None


async def test_an_error_passes_through_a_lease_as_it_is(client):
    error = ContainerdError("mine")

    async def fail():
        async with client.with_lease():
            raise error

    with pytest.raises(ContainerdError) as caught:
        await fail()
    assert caught.value is error
    assert await lease_ids(client) == []
