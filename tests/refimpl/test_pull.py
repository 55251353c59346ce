"""pull.go, from the handlers to the record, against a registry."""

import anyio
import pytest

from refimpl import images
from refimpl.client import Client, RemoteContext
from refimpl.descriptor import Descriptor
from refimpl.errdefs import (
    ContainerdError,
    ErrInvalidArgument,
    ErrNotFound,
    ErrSkipDesc,
    ErrStopHandler,
    message,
)
from refimpl.platforms import only, ordered, parse
from refimpl.pull import fetch
from refimpl.stores import leases

pytestmark = pytest.mark.anyio

PLATFORMS = ["linux/amd64", "linux/s390x", "linux/arm64"]
SCHEMA1 = images.MEDIA_TYPE_DOCKER_SCHEMA1_MANIFEST


@pytest.fixture
async def client(tmp_path, anyio_backend):
    """A client for linux/amd64, whatever the machine is."""
    amd64 = only(parse("linux/amd64"))
    async with Client(tmp_path / "root", platform=amd64) as client:
        yield client


async def stored(client):
    """Return the digests of what is in the content store."""
    return {info.digest for info in await client.content_store().walk()}


async def recorded(client):
    return await client.image_service().list()


def digests(*descriptors):
    return {desc.digest for desc in descriptors}


def blob_gets(registry):
    """Return the digests of the blobs that were asked for, in order."""
    gets = registry.journal.requests(method="GET", path="/blobs/*")
    return [exchange.reference for exchange in gets]


# -- what is brought, and what is recorded ---------------------------------------


async def test_everything_of_one_platform_is_stored_as_it_came(registry, client):
    image = registry.publish("library/hello:1", layers=2, platforms=PLATFORMS)
    pulled = await client.pull(
        registry.ref(image), RemoteContext(platforms=("linux/s390x",))
    )
    chosen = image.manifest("linux/s390x")
    wanted = digests(image.descriptor, chosen.descriptor, chosen.config, *chosen.layers)
    assert await stored(client) == wanted
    for digest in wanted:
        assert client.db.blob_path(digest).read_bytes() == image.data[digest]
    assert pulled.name == registry.ref(image)
    assert pulled.target.digest == image.digest
    assert await recorded(client) == (pulled.metadata,)


async def test_a_second_pull_downloads_nothing(registry, client):
    image = registry.publish("library/hello:1", layers=2, platforms=PLATFORMS)
    await client.pull(registry.ref(image))
    before = len(registry.journal)
    await client.pull(registry.ref(image))
    new = [(e.method, e.reference) for e in registry.journal][before:]
    assert new == [("HEAD", "1")]


async def test_a_moved_tag_moves_the_record_and_keeps_what_both_share(registry, client):
    first = registry.publish("library/hello:1", layers=1)
    await client.pull(registry.ref(first), RemoteContext(labels={"a": "1", "b": "2"}))
    second = registry.publish("library/hello:1", layers=2)
    await client.pull(registry.ref(second), RemoteContext(labels={"c": "3"}))

    (record,) = await recorded(client)
    assert record.target.digest == second.digest != first.digest
    assert record.labels == {"c": "3"}
    assert len(blob_gets(registry)) == len(set(blob_gets(registry)))
    await client.db.garbage_collect()
    assert await stored(client) == {desc.digest for desc in second.blobs}


async def test_a_reference_by_digest_is_the_name_of_the_record(registry, client):
    image = registry.publish("library/hello:1")
    ref = registry.ref(image, digest=True)
    await client.pull(ref)
    (record,) = await recorded(client)
    assert record.name == ref
    assert record.target.digest == image.digest


async def test_a_broken_layer_leaves_no_record_and_nothing_after_collection(
    registry, client
):
    image = registry.publish("library/hello:1", layers=2)
    fault = registry.fault(method="GET", digest=image.layers[1].digest, flip=10)
    with pytest.raises(ContainerdError, match="unexpected commit digest"):
        await client.pull(registry.ref(image))
    assert fault.fired == 1
    assert await recorded(client) == ()
    assert image.layers[1].digest not in await stored(client)
    await client.db.garbage_collect()
    assert await stored(client) == set()


async def test_a_failed_pull_leaves_the_image_that_was_there(registry, client):
    first = registry.publish("library/hello:1")
    await client.pull(registry.ref(first))
    second = registry.publish("library/hello:1", layers=2)
    registry.fault(method="GET", digest=second.layers[1].digest, status=404)
    with pytest.raises(ErrNotFound):
        await client.pull(registry.ref(second))

    (record,) = await recorded(client)
    assert record.target.digest == first.digest
    await client.db.garbage_collect()
    assert await stored(client) == {desc.digest for desc in first.blobs}


# -- schema1 (pull.go:148) ---------------------------------------------------------


@pytest.mark.parametrize("by_digest", [False, True])
async def test_schema1_is_converted(registry, client, by_digest):
    image = registry.publish("library/old:1", format="schema1", layers=2)
    ref = registry.ref(image, digest=by_digest)
    context = RemoteContext(convert_schema1=True, labels={"a": "1"})
    pulled = await client.pull(ref, context)
    assert pulled.target.media_type == images.MEDIA_TYPE_IMAGE_MANIFEST
    assert pulled.target.digest != image.digest
    config = await pulled.config()
    layers = digests(*image.layers)
    assert await stored(client) == layers | digests(pulled.target, config)
    (record,) = await recorded(client)
    assert (record.name, record.labels) == (ref, {"a": "1"})
    await client.db.garbage_collect()
    assert await stored(client) == layers | digests(pulled.target, config)


async def test_schema1_is_refused_where_nobody_wants_it_converted(registry, client):
    """remotes/handlers.go:97."""
    image = registry.publish("library/old:1", format="schema1")
    with pytest.raises(ContainerdError) as caught:
        await client.pull(registry.ref(image))
    assert message(caught.value) == f"{SCHEMA1} not supported"
    assert registry.journal.paths("GET") == []
    assert (await stored(client), await recorded(client)) == (set(), ())


async def test_the_handlers_of_a_caller_see_schema1_too(registry, client):
    """pull.go:150, :199: base handlers come first, and the wrapper wraps them all."""
    image = registry.publish("library/old:1", format="schema1", layers=2)
    seen, wrapped = [], []

    async def base(desc):
        seen.append(desc.digest)
        return ()

    def wrapper(handler):
        async def handle(desc):
            wrapped.append(desc.digest)
            return await handler(desc)

        return handle

    context = RemoteContext(
        convert_schema1=True,
        base_handlers=(base,),
        handler_wrapper=wrapper,
        max_concurrent_downloads=1,
    )
    await client.pull(registry.ref(image), context)
    order = [image.digest, *(layer.digest for layer in image.layers)]
    assert seen == wrapped == order


async def test_a_schema1_image_that_is_left_alone_cannot_be_converted(registry, client):
    image = registry.publish("library/old:1", format="schema1")

    async def stop(_desc):
        raise ErrStopHandler

    context = RemoteContext(convert_schema1=True, base_handlers=(stop,))
    with pytest.raises(ContainerdError, match="missing schema 1 manifest"):
        await client.pull(registry.ref(image), context)
    assert await recorded(client) == ()


async def test_the_size_of_schema1_layers_can_be_limited(registry, client):
    """Deviation D19."""
    image = registry.publish("library/old:1", format="schema1", layer_size=9000)
    context = RemoteContext(convert_schema1=True, max_schema1_layer_size=9000)
    with pytest.raises(ContainerdError, match="more than 9000 bytes"):
        await client.pull(registry.ref(image), context)
    await client.db.garbage_collect()
    assert (await stored(client), await recorded(client)) == (set(), ())


# -- options that are refused (pull.go:45, :57) -----------------------------------


@pytest.mark.parametrize(
    ("context", "kind"),
    [
        (RemoteContext(platforms=("linux/amd64", "linux/arm64")), ContainerdError),
        (RemoteContext(platforms=("nonsense",)), ErrInvalidArgument),
        (RemoteContext(unpack=True, snapshotter="overlayfs"), ErrNotFound),
    ],
    ids=["several platforms", "an unknown platform", "an unknown snapshotter"],
)
async def test_an_option_that_cannot_be_met_is_refused_first(
    registry, client, context, kind
):
    image = registry.publish("library/hello:1")
    with pytest.raises(kind) as caught:
        await client.pull(registry.ref(image), context)
    assert type(caught.value) is kind
    assert registry.journal.paths() == []
    assert await client.leases_service().list() == ()


async def test_a_matcher_wins_over_platforms(registry, client):
    """pull.go:45: with a matcher, not even several platforms are an error."""
    image = registry.publish("library/hello:1", platforms=PLATFORMS)
    context = RemoteContext(
        platforms=("linux/amd64", "linux/arm64"),
        platform_matcher=only(parse("linux/s390x")),
    )
    pulled = await client.pull(registry.ref(image), context)
    config = await pulled.config()
    assert config.digest == image.manifest("linux/s390x").config.digest


# -- handlers (pull.go:186) -------------------------------------------------------


@pytest.mark.parametrize("signal", [ErrStopHandler, ErrSkipDesc])
async def test_a_base_handler_that_stops_at_the_root_leaves_a_bare_record(
    registry, client, signal
):
    """Nothing is fetched, yet the image is recorded: nobody checks its target."""
    image = registry.publish("library/hello:1", layers=1)

    async def stop(_desc):
        raise signal

    pulled = await client.pull(
        registry.ref(image), RemoteContext(base_handlers=(stop,))
    )
    assert registry.journal.paths("GET") == []
    assert await stored(client) == set()
    assert await recorded(client) == (pulled.metadata,)
    assert pulled.target.digest == image.digest


async def test_base_handlers_come_before_anything_is_fetched(registry, client):
    image = registry.publish("library/hello:1", layers=2)
    seen, asked = [], []

    async def first(desc):
        gets = registry.journal.requests(method="GET", reference=desc.digest)
        asked.extend(gets)
        seen.append(desc.digest)
        return ()

    async def second(desc):
        assert seen[-1] == desc.digest
        return ()

    await client.pull(registry.ref(image), RemoteContext(base_handlers=(first, second)))
    assert set(seen) == {desc.digest for desc in image.blobs}
    assert asked == []


async def test_what_base_handlers_return_is_visited_too(registry, client):
    """Children are those of all handlers of the chain (images/handlers.go:61)."""
    image = registry.publish("library/hello:1")
    data = b"beside the image"
    more = registry.put_blob("library/hello", data)
    beside = Descriptor(media_type="text/plain", digest=more.digest, size=more.size)

    async def add(desc):
        return (beside,) if desc.digest == image.digest else ()

    await client.pull(registry.ref(image), RemoteContext(base_handlers=(add,)))
    assert client.db.blob_path(beside.digest).read_bytes() == data


async def test_a_handler_wrapper_stands_around_the_whole_chain(registry, client):
    image = registry.publish("library/hello:1", layers=2)
    wrapped, children = [], {}

    def wrap(handler):
        wrapped.append(handler)

        async def handle(desc):
            found = await handler(desc)
            children[desc.digest] = digests(*found)
            return [child for child in found if "config" in child.media_type]

        return handle

    await client.pull(registry.ref(image), RemoteContext(handler_wrapper=wrap))
    assert len(wrapped) == 1
    assert children == {
        image.digest: digests(image.config, *image.layers),
        image.config.digest: set(),
    }
    assert await stored(client) == digests(image.descriptor, image.config)


async def test_a_child_label_map_names_the_labels_of_parents(registry, client):
    image = registry.publish("library/hello:1", layers=2)

    def keys(desc):
        return () if "config" in desc.media_type else ("containerd.io/gc.ref.content/",)

    await client.pull(registry.ref(image), RemoteContext(child_label_map=keys))
    info = await client.content_store().info(image.digest)
    labels = {key: value for key, value in info.labels.items() if ".io/gc." in key}
    first, second = image.layers
    assert labels == {
        "containerd.io/gc.ref.content/": first.digest,
        "containerd.io/gc.ref.content/1": second.digest,
    }
    await client.db.garbage_collect()
    assert image.config.digest not in await stored(client)


# -- platforms, metadata and limits (pull.go:160) -----------------------------------


async def test_all_metadata_of_a_fetch_has_every_configuration(registry, client):
    image = registry.publish("library/hello:1", layers=1, platforms=PLATFORMS)
    context = RemoteContext(platforms=("linux/amd64",), all_metadata=True)
    await client.fetch(registry.ref(image), context)
    kept = [m.descriptor for m in image.manifests] + [m.config for m in image.manifests]
    kept += image.manifest("linux/amd64").layers
    assert await stored(client) == digests(image.descriptor, *kept)


async def test_all_metadata_of_a_pull_is_cut_to_one_manifest(registry, client):
    image = registry.publish("library/hello:1", layers=1, platforms=PLATFORMS)
    context = RemoteContext(platforms=("linux/s390x",), all_metadata=True)
    await client.pull(registry.ref(image), context)
    kept = image.manifest("linux/s390x")
    assert await stored(client) == digests(
        image.descriptor, kept.descriptor, kept.config, *kept.layers
    )


async def test_all_metadata_without_a_match_takes_the_first_manifest(registry, client):
    """No error: manifest and configuration come, layers do not."""
    image = registry.publish("library/hello:1", layers=1, platforms=PLATFORMS)
    context = RemoteContext(platforms=("windows/amd64",), all_metadata=True)
    await client.pull(registry.ref(image), context)
    first = image.manifests[0]
    assert await stored(client) == digests(
        image.descriptor, first.descriptor, first.config
    )
    assert len(await recorded(client)) == 1


async def test_no_match_is_an_error_after_the_index(registry, client):
    image = registry.publish("library/hello:1", platforms=PLATFORMS)
    context = RemoteContext(platforms=("windows/amd64",))
    with pytest.raises(ErrNotFound, match=r"^no match for platform in manifest"):
        await client.pull(registry.ref(image), context)
    assert await stored(client) == {image.digest}
    assert await recorded(client) == ()


async def test_fetch_keeps_every_platform_unless_told_otherwise(registry, client):
    image = registry.publish("library/hello:1", layers=1, platforms=PLATFORMS)
    await client.fetch(registry.ref(image))
    assert await stored(client) == {desc.digest for desc in image.blobs}


async def test_a_limit_keeps_the_best_manifests(registry, client):
    image = registry.publish("library/hello:1", platforms=PLATFORMS)
    wanted = ordered(*map(parse, ["linux/arm64", "linux/amd64", "linux/s390x"]))
    context = RemoteContext(platform_matcher=wanted)
    record = await fetch(client, context, registry.ref(image), limit=2)
    kept = await stored(client)
    assert image.manifest("linux/s390x").descriptor.digest not in kept
    best = [image.manifest(p).descriptor for p in ("linux/arm64", "linux/amd64")]
    assert digests(*best) <= kept
    assert record.target.digest == image.digest
    assert await recorded(client) == ()


@pytest.mark.parametrize("limit", [1, 2])
async def test_no_more_than_the_limit_are_downloaded_at_once(registry, client, limit):
    image = registry.publish("library/hello:1", layers=5)
    context = RemoteContext(max_concurrent_downloads=limit)
    with registry.gate("/blobs/*") as gate:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(client.pull, registry.ref(image), context)
            await anyio.to_thread.run_sync(gate.wait_for, limit)
            gate.open()
    assert registry.journal.max_in_flight("/blobs/*") == limit
    assert len(blob_gets(registry)) == 6


async def test_without_a_limit_all_are_downloaded_at_once(registry, client):
    image = registry.publish("library/hello:1", layers=7)
    with registry.gate("/blobs/*") as gate:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(client.pull, registry.ref(image))
            await anyio.to_thread.run_sync(gate.wait_for, 8)
            gate.open()
    assert len(await recorded(client)) == 1


# -- leases -------------------------------------------------------------------------


async def test_content_is_leased_while_it_is_pulled(registry, client):
    """A collection in the middle of a pull takes nothing from it."""
    image = registry.publish("library/hello:1", layers=2)
    seen = []

    async def collect(desc):
        lease = leases.from_context()
        (found,) = await client.leases_service().list()
        seen.append((lease, found.id))
        if desc.digest != image.digest:
            await client.db.garbage_collect()
            assert image.digest in await stored(client)
        return ()

    context = RemoteContext(base_handlers=(collect,), max_concurrent_downloads=1)
    await client.pull(registry.ref(image), context)
    assert len(set(seen)) == 1
    assert seen[0][0] == seen[0][1]
    assert await stored(client) == {desc.digest for desc in image.blobs}
    assert await client.leases_service().list() == ()
