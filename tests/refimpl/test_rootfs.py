"""rootfs/apply.go, image.go:301: layers from the store become snapshots."""

import json
from pathlib import Path

import anyio
import pytest

from fakeregistry.layers import files_layer
from refimpl import images
from refimpl.archive import ApplyOptions
from refimpl.client import Client, RemoteContext
from refimpl.descriptor import Descriptor
from refimpl.differ import DiffService
from refimpl.digest import Digest, from_bytes
from refimpl.errdefs import (
    ContainerdError,
    ErrAlreadyExists,
    ErrInvalidArgument,
    ErrNotFound,
    ErrNotImplemented,
    message,
)
from refimpl.identity import chain_id, chain_ids
from refimpl.image import UnpackConfig
from refimpl.platforms import only, parse
from refimpl.rootfs import Layer, apply_layer, apply_layers
from refimpl.snapshots import Info, Kind, Mount
from refimpl.stores.content import write_blob

pytestmark = pytest.mark.anyio

FILES = [{"a": b"0", "b": b"0"}, {"a": b"1"}, {"c": b"2"}]


@pytest.fixture
async def client(tmp_path, anyio_backend):
    """A client for linux/amd64, whatever the machine is."""
    amd64 = only(parse("linux/amd64"))
    async with Client(tmp_path / "root", platform=amd64) as client:
        yield client


@pytest.fixture
async def layers(client):
    """Three layers in the store."""
    made = []
    for files in FILES:
        layer = files_layer(files)
        blob = Descriptor(
            media_type=images.MEDIA_TYPE_IMAGE_LAYER_GZIP,
            digest=from_bytes(layer.data),
            size=len(layer.data),
        )
        await write_blob(client.content_store(), blob.digest, layer.data, blob)
        diff = Descriptor(digest=Digest(layer.content_digest()))
        made.append(Layer(diff=diff, blob=blob))
    return made


async def names(client):
    return {info.name: info for info in await client.snapshot_service().walk()}


def ids(layers):
    return chain_ids([layer.diff.digest for layer in layers])


async def content(client, name):
    root = await client.snapshot_service().root(name)
    return {path.name: path.read_bytes() for path in root.iterdir()}


async def test_layers_are_applied_one_upon_the_other(client, layers):
    snapshotter, applier = client.snapshot_service(), client.diff_service()
    name = await apply_layers(layers, snapshotter, applier)
    base, middle, top = ids(layers)
    assert name == top
    found = await names(client)
    assert {key: info.parent for key, info in found.items()} == {
        base: "",
        middle: base,
        top: middle,
    }
    assert {info.kind for info in found.values()} == {Kind.COMMITTED}
    assert await content(client, top) == {"a": b"1", "b": b"0", "c": b"2"}
    assert await content(client, base) == FILES[0]


async def test_no_layers_have_no_snapshot(client):
    with pytest.raises(ErrNotFound):
        await client.snapshot_service().stat(chain_id([]))


class Counting:
    """Counts what is extracted."""

    def __init__(self, applier):
        self.applier = applier
        self.applied = []

    async def apply(self, desc, mounts, *, options=None):
        self.applied.append(desc.digest)
        return await self.applier.apply(desc, mounts)


async def test_what_is_there_is_not_applied_again(client, layers):
    snapshotter, applier = client.snapshot_service(), Counting(client.diff_service())
    await apply_layers(layers[:2], snapshotter, applier)
    await apply_layers(layers, snapshotter, applier)
    await apply_layers(layers, snapshotter, applier)
    assert applier.applied == [layer.blob.digest for layer in layers]


async def test_one_layer_upon_those_that_are_there(client, layers):
    snapshotter, applier = client.snapshot_service(), client.diff_service()
    chain = [layer.diff.digest for layer in layers]
    labels = {"containerd.io/snapshot/x": "1"}
    for number, layer in enumerate(layers):
        below = chain[:number]
        args = (layer, below, snapshotter, applier)
        assert await apply_layer(*args, labels=labels)
        assert not await apply_layer(*args)
    assert (await names(client))[chain_id(chain)].labels == labels


async def test_one_layer_without_those_below(client, layers):
    snapshotter, applier = client.snapshot_service(), client.diff_service()
    with pytest.raises(ErrNotFound, match="parent snapshot sha256:"):
        await apply_layer(layers[1], [layers[0].diff.digest], snapshotter, applier)
    assert await names(client) == {}


async def test_a_wrong_diff_id_leaves_nothing(client, layers):
    """rootfs/apply.go:165."""
    wrong = Layer(diff=layers[1].diff, blob=layers[0].blob)
    with pytest.raises(ContainerdError) as caught:
        await apply_layer(wrong, [], client.snapshot_service(), client.diff_service())
    assert message(caught.value) == (
        f'wrong diff id calculated on extraction "{layers[0].diff.digest}"'
    )
    assert await names(client) == {}


async def test_a_layer_that_is_not_here(client, layers):
    gone = Layer(diff=layers[0].diff, blob=Descriptor(digest=from_bytes(b"gone")))
    with pytest.raises(ErrNotFound) as caught:
        await apply_layer(gone, [], client.snapshot_service(), client.diff_service())
    assert message(caught.value).startswith(
        f"failed to extract layer {layers[0].diff.digest}: failed to get reader from "
        "content store: content digest"
    )
    assert await names(client) == {}


class Taken:
    """A snapshotter where others are faster."""

    def __init__(self, snapshotter, *, keys=0, commits=()):
        self.snapshotter = snapshotter
        self.keys = keys
        self.commits = list(commits)
        self.tried = []

    def __getattr__(self, name):
        return getattr(self.snapshotter, name)

    async def prepare(self, key, parent, *, labels=None):
        self.tried.append(key)
        if len(self.tried) <= self.keys:
            raise ErrAlreadyExists(f'snapshot "{key}"')
        return await self.snapshotter.prepare(key, parent, labels=labels)

    async def commit(self, name, key, *, labels=None):
        if name in self.commits:
            await self.snapshotter.prepare("theirs", await self.parent(key))
            await self.snapshotter.commit(name, "theirs")
        await self.snapshotter.commit(name, key, labels=labels)

    async def parent(self, key):
        return (await self.snapshotter.stat(key)).parent


async def test_a_key_that_is_taken_is_replaced(client, layers):
    snapshotter = Taken(client.snapshot_service(), keys=2)
    assert await apply_layer(layers[0], [], snapshotter, client.diff_service())
    assert len(set(snapshotter.tried)) == 3
    assert list(await names(client)) == [layers[0].diff.digest]


async def test_somebody_else_is_faster(client, layers):
    """Their snapshot is taken, ours goes (rootfs/apply.go:104)."""
    commits = ids(layers)
    snapshotter = Taken(client.snapshot_service(), commits=commits)
    assert not await apply_layer(layers[0], [], snapshotter, client.diff_service())
    name = await apply_layers(layers, snapshotter, client.diff_service())
    assert set(await names(client)) == set(commits)
    assert name == commits[-1]


async def test_layers_go_away_meanwhile(client, layers):
    """Nobody keeps the first once it is committed, so the second has no parent."""

    class Losing(Taken):
        async def commit(self, name, key, *, labels=None):
            await super().commit(name, key, labels=labels)
            await self.snapshotter.remove(name)

    snapshotter = Losing(client.snapshot_service())
    with pytest.raises(ErrNotFound, match="parent snapshot sha256:"):
        await apply_layers(layers, snapshotter, client.diff_service())
    assert await names(client) == {}


async def test_a_snapshotter_that_fails_is_not_taken_for_an_empty_one(client, layers):
    class Broken(Taken):
        async def stat(self, _key):
            raise ContainerdError("disk full")

    with pytest.raises(ContainerdError) as caught:
        await apply_layers(
            layers, Broken(client.snapshot_service()), client.diff_service()
        )
    name = ids(layers)[-1]
    assert message(caught.value) == f"failed to stat snapshot {name}: disk full"


async def test_cancelling_removes_what_was_begun(client, layers):
    class Slow:
        async def apply(self, desc, mounts, *, options=None):
            assert options == ApplyOptions()
            begun.set()
            await anyio.sleep_forever()

    begun = anyio.Event()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(apply_layers, layers, client.snapshot_service(), Slow())
        await begun.wait()
        assert [info.kind for info in (await names(client)).values()] == [Kind.ACTIVE]
        tasks.cancel_scope.cancel()
    assert await names(client) == {}


async def test_a_failed_removal_does_not_hide_the_reason(client, layers, caplog):
    class Stuck(Taken):
        async def remove(self, _key):
            raise ContainerdError("disk full")

    wrong = Layer(diff=layers[1].diff, blob=layers[0].blob)
    snapshotter = Stuck(client.snapshot_service())
    with pytest.raises(ContainerdError, match="wrong diff id"):
        await apply_layer(wrong, [], snapshotter, client.diff_service())
    assert "failed to cleanup" in caplog.text


@pytest.mark.parametrize("mounts", [(), ("overlay",), ("bind", "bind")])
async def test_mounts_that_are_not_one_folder(client, layers, mounts):
    found = tuple(Mount(type=kind, source=Path("/nowhere")) for kind in mounts)
    with pytest.raises(ErrNotImplemented, match="mounts of a snapshot"):
        await DiffService(client.content_store()).apply(layers[0].blob, found)


# -- Image.unpack (image.go:301) ------------------------------------------------------


async def pulled(registry, client, **options):
    image = registry.publish("library/hello:1", **options)
    return image, await client.pull(registry.ref(image), RemoteContext())


async def labels(client, digest):
    info = await client.content_store().info(digest)
    return {k: v for k, v in info.labels.items() if "distribution.source" not in k}


async def test_an_image_is_unpacked_after_it_was_pulled(registry, client):
    image, found = await pulled(registry, client, layers=2)
    assert not await found.is_unpacked()
    await found.unpack()
    assert await found.is_unpacked("native")
    diff_ids = await found.root_fs()
    assert set(await names(client)) == set(chain_ids(diff_ids))
    for layer, diff_id in zip(image.layers, diff_ids, strict=True):
        assert await labels(client, layer.digest) == {
            "containerd.io/uncompressed": diff_id
        }
    assert await labels(client, image.config.digest) == {
        "containerd.io/gc.ref.snapshot.native": chain_id(diff_ids)
    }
    assert {str(info.labels) for info in (await names(client)).values()} == {"{}"}
    await client.db.garbage_collect()
    assert await found.is_unpacked()
    assert await client.leases_service().list() == ()


async def test_an_image_is_unpacked_twice_with_labels_of_the_first(registry, client):
    _, found = await pulled(registry, client, layers=2)
    await found.unpack("native", UnpackConfig(snapshot_labels={"a": "1"}))
    await found.unpack("native", UnpackConfig(snapshot_labels={"a": "2"}))
    assert [dict(i.labels) for i in (await names(client)).values()] == [{"a": "1"}] * 2


async def test_an_image_without_layers(registry, client):
    image, found = await pulled(registry, client, layers=0)
    await found.unpack()
    assert await labels(client, image.config.digest) == {}
    assert await names(client) == {}


@pytest.mark.parametrize(
    ("rootfs", "said"),
    [
        ({"type": "layers", "diff_ids": []}, "^mismatched image rootfs and manifest"),
        ({"type": "tree", "diff_ids": [DIGEST := from_bytes(b"")]}, 'is "tree", and'),
        ({"diff_ids": [DIGEST]}, 'rootfs.type is "", and only "layers"'),
        ({"type": "layers", "diff_ids": [DIGEST]}, "^wrong diff id calculated on"),
    ],
)
async def test_a_configuration_that_does_not_fit(registry, client, rootfs, said):
    _, found = await pulled(registry, client, layers=1, config={"rootfs": rootfs})
    with pytest.raises(ContainerdError, match=said) as caught:
        await found.unpack()
    about_type = ("layers" in said and "type" in said) or "tree" in said
    assert isinstance(caught.value, ErrInvalidArgument) == about_type
    assert await names(client) == {}


async def test_a_configuration_that_is_gone(registry, client):
    image, found = await pulled(registry, client)
    await client.content_store().delete(image.config.digest)
    with pytest.raises(ErrNotFound) as caught:
        await found.unpack()
    assert message(caught.value).startswith("failed to resolve rootfs: content digest")


async def test_snapshotters_are_for_the_machines_own_platform(registry, client):
    image, found = await pulled(registry, client, platforms=["linux/amd64"])
    other = "s390x" if parse("linux/s390x") != client.platform else "riscv64"
    data = json.loads(image.data[image.manifests[0].config.digest])
    assert data["architecture"] == "amd64"
    config = UnpackConfig(check_platform_supported=True)
    foreign, theirs = await pulled(
        registry, client, config={"architecture": other}, seed=1
    )
    with pytest.raises(ContainerdError) as caught:
        await theirs.unpack("", config)
    assert message(caught.value) == (
        f"snapshotter native does not support platform {{{other} linux  [] }} "
        f"for image {foreign.config.digest}"
    )
    await theirs.unpack()
    with pytest.raises(ErrNotFound, match="snapshotter overlayfs was not found"):
        await found.unpack("overlayfs", config)


async def test_info_is_what_the_snapshotter_says(client):
    await client.snapshot_service().prepare("active", "")
    assert isinstance((await names(client))["active"], Info)
