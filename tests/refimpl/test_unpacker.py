"""unpacker.go: images are unpacked while they are pulled."""

import json

import anyio
import pytest

from fakeregistry.layers import files_layer
from refimpl.client import Client, RemoteContext
from refimpl.digest import Digest, from_bytes
from refimpl.errdefs import (
    ContainerdError,
    ErrAlreadyExists,
    ErrNotFound,
    message,
)
from refimpl.identity import chain_id, chain_ids
from refimpl.image import UnpackConfig
from refimpl.platforms import only, parse
from refimpl.snapshots import SNAPSHOT_REF_LABEL, Kind

pytestmark = pytest.mark.anyio

UNPACK = RemoteContext(unpack=True)
OCTETS = "application/octet-stream"


@pytest.fixture
async def client(tmp_path, anyio_backend):
    """A client for linux/amd64, whatever the machine is."""
    amd64 = only(parse("linux/amd64"))
    async with Client(tmp_path / "root", platform=amd64) as client:
        yield client


async def snapshots(client):
    return {info.name: info for info in await client.snapshot_service().walk()}


def diff_ids(image):
    config = json.loads(image.data[image.config.digest])
    return tuple(map(Digest, config["rootfs"]["diff_ids"]))


def gets(registry, *descriptors):
    """Return which of some blobs were asked for, in the order of the requests."""
    wanted = {desc.digest for desc in descriptors}
    asked = registry.journal.requests(method="GET", path="/blobs/*")
    return [e.reference for e in asked if e.reference in wanted]


async def test_layers_become_a_chain_of_snapshots(registry, client):
    image = registry.publish("library/hello:1", layers=3)
    pulled = await client.pull(registry.ref(image), UNPACK)
    names = chain_ids(diff_ids(image))
    found = await snapshots(client)
    assert {key: info.parent for key, info in found.items()} == dict(
        zip(names, ("", *names[:-1]), strict=True)
    )
    for name, info in found.items():
        assert info.labels == {SNAPSHOT_REF_LABEL: name}
        assert info.kind is Kind.COMMITTED
    assert await pulled.is_unpacked()
    assert await client.leases_service().list() == ()


async def test_layers_come_after_the_configuration(registry, client):
    image = registry.publish("library/hello:1", layers=3)
    with registry.gate(f"/blobs/{image.config.digest}") as gate:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(client.pull, registry.ref(image), UNPACK)
            await anyio.to_thread.run_sync(gate.wait_for, 1)
            assert gets(registry, *image.layers) == []
            gate.open()
    assert set(gets(registry, *image.layers)) == {d.digest for d in image.layers}


@pytest.mark.parametrize("limit", [1, 2])
async def test_layers_have_a_limit_of_their_own(registry, client, limit):
    """unpacker.go:69: a semaphore of the same size as the walk's."""
    image = registry.publish("library/hello:1", layers=5)
    context = RemoteContext(unpack=True, max_concurrent_downloads=limit)
    paths = [f"/blobs/{layer.digest}" for layer in image.layers]
    with registry.gate("/blobs/*") as gate:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(client.pull, registry.ref(image), context)
            await anyio.to_thread.run_sync(gate.wait_for, 1)
            gate.open()
    assert registry.journal.max_in_flight("/blobs/*") <= limit
    assert len(gets(registry, *image.layers)) == len(paths)


async def test_without_a_limit_all_layers_are_downloaded_at_once(registry, client):
    image = registry.publish("library/hello:1", layers=6)
    layers = {layer.digest for layer in image.layers}
    with registry.gate(when=lambda exchange: exchange.reference in layers) as gate:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(client.pull, registry.ref(image), UNPACK)
            await anyio.to_thread.run_sync(gate.wait_for, 6)
            gate.open()
    assert len(await snapshots(client)) == 6


async def test_a_layer_is_applied_as_soon_as_it_is_here(registry, client):
    """The second is still on its way when the first has its snapshot."""
    image = registry.publish("library/hello:1", layers=2)
    first, second = chain_ids(diff_ids(image))
    committed = anyio.Event()
    watched = client.snapshot_service

    class Watching:
        def __init__(self, snapshotter):
            self.snapshotter = snapshotter

        def __getattr__(self, name):
            return getattr(self.snapshotter, name)

        async def commit(self, name, key, *, labels=None):
            await self.snapshotter.commit(name, key, labels=labels)
            if name == first:
                committed.set()

    client.snapshot_service = lambda name="": Watching(watched(name))
    with registry.gate(f"/blobs/{image.layers[1].digest}") as gate:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(client.pull, registry.ref(image), UNPACK)
            await committed.wait()
            assert second not in await snapshots(client)
            assert await client.image_service().list() == ()
            gate.open()
    assert second in await snapshots(client)


async def test_layers_of_snapshots_that_are_there_are_not_fetched(registry, client):
    """unpacker.go:143: who has the files does not need the archive."""
    base = files_layer({"a": b"1"})
    first = registry.publish("library/base:1", layers=[base])
    await client.pull(registry.ref(first), UNPACK)
    other = files_layer({"b": b"2"})
    second = registry.publish("library/other:1", layers=[base, other])
    before = len(registry.journal)
    await client.pull(registry.ref(second), UNPACK)
    asked = [e.reference for e in registry.journal][before:]
    assert second.layers[0].digest not in asked
    assert second.layers[1].digest in asked
    assert len(await snapshots(client)) == 2


async def test_labels_tell_what_was_unpacked(registry, client):
    image = registry.publish("library/hello:1", layers=2, platforms=["linux/amd64"])
    context = RemoteContext(
        unpack=True, snapshotter="native", snapshotter_labels={"a": "1"}
    )
    await client.pull(registry.ref(image), context)
    manifest = image.manifest("linux/amd64")
    config = json.loads(image.data[manifest.config.digest])
    ids = list(map(Digest, config["rootfs"]["diff_ids"]))
    store = client.content_store()
    labels = (await store.info(Digest(manifest.config.digest))).labels
    assert labels["containerd.io/gc.ref.snapshot.native"] == chain_id(ids)
    for layer, diff_id in zip(manifest.layers, ids, strict=True):
        info = await store.info(Digest(layer.digest))
        assert info.labels["containerd.io/uncompressed"] == diff_id
    for name, info in (await snapshots(client)).items():
        assert info.labels == {"a": "1", SNAPSHOT_REF_LABEL: name}


async def test_collection_keeps_what_was_unpacked(registry, client):
    image = registry.publish("library/hello:1", layers=2)
    pulled = await client.pull(registry.ref(image), UNPACK)
    before = await snapshots(client)
    await client.db.garbage_collect()
    assert await snapshots(client) == before
    await client.image_service().delete(pulled.name)
    await client.db.garbage_collect()
    assert await snapshots(client) == {}
    folder = client.root / "snapshots" / "native" / "snapshots"
    assert list(folder.iterdir()) == []


async def test_collection_in_the_middle_of_it_takes_nothing(registry, client):
    """The lease of the pull keeps active and committed snapshots."""
    image = registry.publish("library/hello:1", layers=3)

    async def collect(_desc):
        await client.db.garbage_collect()
        return ()

    context = RemoteContext(
        unpack=True, base_handlers=(collect,), max_concurrent_downloads=1
    )
    pulled = await client.pull(registry.ref(image), context)
    assert await pulled.is_unpacked()
    assert len(await snapshots(client)) == 3


# -- what goes wrong ----------------------------------------------------------------


async def test_a_layer_that_cannot_be_had(registry, client):
    """The error is the fetch's own; the snapshot that waits for it stays leased."""
    image = registry.publish("library/hello:1", layers=2)
    registry.fault(method="GET", digest=image.layers[1].digest, status=404)
    with pytest.raises(ErrNotFound) as caught:
        await client.pull(registry.ref(image), UNPACK)
    assert "unpack" not in message(caught.value)
    assert await client.image_service().list() == ()
    kinds = {info.kind for info in (await snapshots(client)).values()}
    assert Kind.ACTIVE in kinds
    await client.db.garbage_collect()
    assert await snapshots(client) == {}


async def test_an_error_stops_the_other_downloads(registry, client):
    image = registry.publish("library/hello:1", layers=3)
    broken = image.layers[0]
    registry.fault(method="GET", digest=broken.digest, status=404)
    rest = {layer.digest for layer in image.layers[1:]}
    with (
        registry.gate(when=lambda exchange: exchange.reference in rest) as gate,
        pytest.raises(ErrNotFound),
    ):
        await client.pull(registry.ref(image), UNPACK)
    gate.open()
    assert await client.image_service().list() == ()


async def test_a_manifest_that_fails_waits_for_what_is_being_unpacked(registry, client):
    """An error of the walk wins, once the unpacker has ended (pull.go:76)."""
    image = registry.publish("library/hello:1", layers=1)
    ended = []

    def wrap(handler):
        async def handle(desc):
            found = await handler(desc)
            if desc.digest == image.config.digest:
                raise ContainerdError("handler failed")
            if desc.digest == image.layers[0].digest:
                ended.append(desc.digest)
            return found

        return handle

    context = RemoteContext(unpack=True, handler_wrapper=wrap)
    with pytest.raises(ContainerdError, match=r"^handler failed$"):
        await client.pull(registry.ref(image), context)
    assert ended == []
    assert await snapshots(client) == {}


@pytest.mark.parametrize(
    ("rootfs", "said"),
    [
        ({"diff_ids": []}, "^number of layers and diffIDs don't match: 1 != 0$"),
        ({"diff_ids": ["x"] * 2}, "^number of layers and diffIDs don't match: 1 != 2$"),
        ({"diff_ids": ["x"]}, "^wrong diff id calculated on extraction"),
        ({"diff_ids": ["x"], "type": "tree"}, 'rootfs.type is "tree", and only'),
    ],
)
async def test_a_configuration_that_does_not_fit(registry, client, rootfs, said):
    ids = [from_bytes(text.encode()) for text in rootfs["diff_ids"]]
    document = {"rootfs": {"type": "layers", **rootfs, "diff_ids": ids}}
    image = registry.publish("library/hello:1", layers=1, config=document)
    with pytest.raises(ContainerdError, match=said):
        await client.pull(registry.ref(image), UNPACK)
    assert await client.image_service().list() == ()
    assert await snapshots(client) == {}
    fetched = gets(registry, *image.layers) != []
    assert fetched == said.startswith("^wrong")


async def test_a_configuration_that_is_no_json(registry, client):
    image = registry.publish("library/hello:1", layers=1, config=b"{")
    with pytest.raises(ContainerdError) as caught:
        await client.pull(registry.ref(image), UNPACK)
    assert message(caught.value).startswith("unmarshal image config: ")
    assert await client.image_service().list() == ()


async def test_a_snapshotter_that_is_for_another_platform(registry, client):
    image = registry.publish("library/hello:1", config={"architecture": "riscv128"})
    config = UnpackConfig(check_platform_supported=True)
    context = RemoteContext(unpack=True, unpack_config=config)
    with pytest.raises(ContainerdError, match=r"^snapshotter native does not support"):
        await client.pull(registry.ref(image), context)
    assert await snapshots(client) == {}


async def test_a_snapshotter_that_is_unknown(registry, client):
    image = registry.publish("library/hello:1")
    context = RemoteContext(unpack=True, snapshotter="overlayfs")
    with pytest.raises(ErrNotFound) as caught:
        await client.pull(registry.ref(image), context)
    assert message(caught.value) == (
        "create unpacker: snapshotter overlayfs was not found: not found"
    )
    assert registry.journal.paths() == []


async def test_cancelling_ends_all_of_it(registry, client):
    image = registry.publish("library/hello:1", layers=3)
    with registry.gate(f"/blobs/{image.layers[1].digest}") as gate:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(client.pull, registry.ref(image), UNPACK)
            await anyio.to_thread.run_sync(gate.wait_for, 1)
            tasks.cancel_scope.cancel()
        gate.open()
    assert await client.image_service().list() == ()
    assert await client.leases_service().list() == ()
    await client.db.garbage_collect()
    assert await snapshots(client) == {}


# -- what is no image of layers -----------------------------------------------------


async def test_an_image_without_layers_is_recorded(registry, client):
    image = registry.publish("library/hello:1", layers=0)
    pulled = await client.pull(registry.ref(image), UNPACK)
    assert pulled.target.digest == image.digest
    assert await snapshots(client) == {}


async def test_an_artifact_is_recorded_and_then_cannot_be_unpacked(registry, client):
    """pull.go:112: Client.Pull unpacks last what nobody unpacked before."""
    image = registry.publish(
        "library/chart:1",
        layers=[b"chart"],
        config=b"{}",
        config_media_type="application/vnd.example.config.v1+json",
    )
    with pytest.raises(ContainerdError) as caught:
        await client.pull(registry.ref(image), RemoteContext(unpack=True))
    assert message(caught.value) == (
        "failed to unpack image on snapshotter : "
        "mismatched image rootfs and manifest layers"
    )
    assert len(await client.image_service().list()) == 1


async def test_a_legacy_configuration_is_one(registry, client):
    """Deviation D50."""
    image = registry.publish("library/old:1", legacy_config=True, layers=2)
    pulled = await client.pull(registry.ref(image), UNPACK)
    assert await pulled.is_unpacked()
    assert len(await snapshots(client)) == 2


async def test_a_layer_of_octets_is_no_configuration(registry, client):
    """Only the first child of a manifest may be its legacy configuration."""
    plain = registry.publish("library/hello:1", layers=1)
    more = registry.put_blob("library/hello", b"octets")

    def edit(manifest):
        extra = {"mediaType": OCTETS, "digest": more.digest, "size": more.size}
        manifest["layers"].append(extra)

    image = registry.publish("library/hello:2", layers=1, edit_manifest=edit)
    assert image.digest != plain.digest
    pulled = await client.pull(registry.ref(image), UNPACK)
    assert len(await snapshots(client)) == 1
    assert pulled.target.digest == image.digest


# -- others who unpack the same -------------------------------------------------------


class Rival:
    """A snapshotter where somebody else is at work, too."""

    def __init__(self, snapshotter):
        self.snapshotter = snapshotter
        self.prepared = []

    def __getattr__(self, name):
        return getattr(self.snapshotter, name)

    async def make(self, name, parent):
        await self.snapshotter.prepare(f"theirs {name}", parent)
        await self.snapshotter.commit(name, f"theirs {name}")


def against(client, rival):
    plain = client.snapshot_service
    client.snapshot_service = lambda name="": rival(plain(name))


async def test_somebody_else_has_prepared_it(registry, client):
    """unpacker.go:176: their snapshot is taken."""

    class Faster(Rival):
        async def prepare(self, key, parent, *, labels=None):
            await self.make(key.split(" ")[1], parent)
            return await self.snapshotter.prepare(key, parent, labels=labels)

    against(client, Faster)
    image = registry.publish("library/hello:1", layers=2)
    pulled = await client.pull(registry.ref(image), UNPACK)
    assert await pulled.is_unpacked()
    assert set(await snapshots(client)) == set(chain_ids(diff_ids(image)))
    assert gets(registry, *image.layers) == []


async def test_somebody_else_has_committed_it(registry, client):
    """unpacker.go:247: ours goes, and nothing is verified, so nothing is labelled."""

    class Faster(Rival):
        async def commit(self, name, key, *, labels=None):
            await self.make(name, (await self.snapshotter.stat(key)).parent)
            await self.snapshotter.commit(name, key, labels=labels)

    against(client, Faster)
    image = registry.publish("library/hello:1", layers=2)
    await client.pull(registry.ref(image), UNPACK)
    assert set(await snapshots(client)) == set(chain_ids(diff_ids(image)))
    for layer in image.layers:
        info = await client.content_store().info(Digest(layer.digest))
        assert "containerd.io/uncompressed" not in info.labels


@pytest.mark.parametrize(("times", "works"), [(2, True), (3, False)])
async def test_a_key_that_is_taken_is_replaced_twice(registry, client, times, works):
    tries = []

    class Taken(Rival):
        async def prepare(self, key, parent, *, labels=None):
            tries.append(key)
            if len(tries) <= times:
                raise ErrAlreadyExists(f'snapshot "{key}"')
            return await self.snapshotter.prepare(key, parent, labels=labels)

    against(client, Taken)
    image = registry.publish("library/hello:1", layers=1)
    if works:
        await client.pull(registry.ref(image), UNPACK)
    else:
        with pytest.raises(ErrAlreadyExists) as caught:
            await client.pull(registry.ref(image), UNPACK)
        assert message(caught.value).startswith(
            'unable to prepare extraction snapshot: snapshot "extract-'
        )
    assert len(set(tries)) == 3


async def test_a_snapshotter_that_cannot_prepare(registry, client):
    class Broken(Rival):
        async def prepare(self, key, _parent, *, labels):
            raise ContainerdError(f"disk full for {len(labels)}, {len(key) > 0}")

    against(client, Broken)
    image = registry.publish("library/hello:1", layers=1)
    with pytest.raises(ContainerdError) as caught:
        await client.pull(registry.ref(image), UNPACK)
    said = message(caught.value)
    assert said.startswith('failed to prepare extraction snapshot "extract-')
    assert said.endswith(": disk full for 1, True")


async def test_two_pulls_at_once_unpack_one_image(registry, client):
    image = registry.publish("library/hello:1", layers=3)
    async with anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(client.pull, registry.ref(image), UNPACK)
    assert set(await snapshots(client)) == set(chain_ids(diff_ids(image)))
    await client.db.garbage_collect()
    folder = client.root / "snapshots" / "native" / "snapshots"
    assert len(list(folder.iterdir())) == 3
