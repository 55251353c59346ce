"""remotes/docker/schema1/converter.go: what is fetched, trusted, stored and written."""

import gzip
import json
import logging
from collections import Counter
from dataclasses import replace

import anyio
import pytest

from fakeregistry.schema1 import EMPTY_TAR, Signature, Step, build_schema1
from refimpl import images
from refimpl.descriptor import Descriptor
from refimpl.digest import Digest, from_bytes
from refimpl.errdefs import (
    ContainerdError,
    ErrFailedPrecondition,
    ErrInvalidArgument,
    ErrNotFound,
    ErrUnexpectedEOF,
    message,
)
from refimpl.remotes.docker.blobstate import BlobStateCalculator
from refimpl.remotes.docker.schema1 import USE_DOCKER_SCHEMA2, Converter, _Tee
from refimpl.stores.content import BytesReader, read_blob, write_blob
from refimpl.stores.memory import MemoryStore
from refimpl.stores.metadata import DB

pytestmark = pytest.mark.anyio

SCHEMA1 = images.MEDIA_TYPE_DOCKER_SCHEMA1_MANIFEST
GZIP = images.MEDIA_TYPE_DOCKER_SCHEMA2_LAYER_GZIP
PLAIN = images.MEDIA_TYPE_DOCKER_SCHEMA2_LAYER
UNCOMPRESSED = "containerd.io/uncompressed"
EMPTY = "containerd.io/docker.schema1.empty-layer"


class Script:
    """Serves an image from memory; ``data`` may be changed."""

    def __init__(self, image):
        self.data = dict(image.data)
        self.fetched: Counter[str] = Counter()

    async def fetch(self, desc, /):
        self.fetched[desc.digest] += 1
        if desc.digest not in self.data:
            raise ErrNotFound(f"blob {desc.digest}")
        return BytesReader(self.data[desc.digest])


def root(image, **changes):
    digest, size = image.descriptor.digest, image.descriptor.size
    desc = Descriptor(media_type=SCHEMA1, digest=digest, size=size)
    return replace(desc, **changes)


async def fetch(store, script, desc, **options):
    converter = Converter(store, script, **options)
    await images.dispatch(converter.handle, None, desc)
    return converter


async def convert(store, script, desc, *options):
    return await (await fetch(store, script, desc)).convert(*options)


async def document(store, desc):
    return json.loads(await read_blob(store, desc))


async def labels_of(store, digest):
    return dict((await store.info(digest)).labels)


# -- the way through ---------------------------------------------------------------


async def test_an_image_becomes_an_oci_image():
    image = build_schema1(layers=3, empty_layers=1)
    store, script = MemoryStore(), Script(image)
    desc = await convert(store, script, root(image))
    assert desc.media_type == images.MEDIA_TYPE_IMAGE_MANIFEST
    manifest = await document(store, desc)
    assert "mediaType" not in manifest
    assert [layer["digest"] for layer in manifest["layers"]] == [
        layer.digest for layer in image.layers
    ]
    assert {layer["mediaType"] for layer in manifest["layers"]} == {GZIP}
    assert [layer["size"] for layer in manifest["layers"]] == [
        layer.size for layer in image.layers
    ]
    config = Descriptor.from_json(manifest["config"])
    assert config.media_type == images.MEDIA_TYPE_IMAGE_CONFIG
    diff_ids = await images.rootfs(store, config)
    assert diff_ids == tuple(
        from_bytes(gzip.decompress(image.data[layer.digest])) for layer in image.layers
    )


async def test_labels_keep_layers_and_say_what_they_are():
    image = build_schema1(layers=2)
    store = MemoryStore()
    desc = await convert(store, Script(image), root(image))
    manifest = await document(store, desc)
    children = [manifest["config"], *manifest["layers"]]
    assert await labels_of(store, desc.digest) == {
        f"containerd.io/gc.ref.content.{number}": child["digest"]
        for number, child in enumerate(children)
    }
    for layer in image.layers:
        diff_id = from_bytes(gzip.decompress(image.data[layer.digest]))
        want = {UNCOMPRESSED: diff_id, EMPTY: "false"}
        assert await labels_of(store, layer.digest) == want
    assert await labels_of(store, manifest["config"]["digest"]) == {}
    assert image.digest not in {info.digest for info in await store.walk()}


async def test_the_documents_can_be_docker_s():
    image = build_schema1()
    store = MemoryStore()
    desc = await convert(store, Script(image), root(image), USE_DOCKER_SCHEMA2)
    assert desc.media_type == images.MEDIA_TYPE_DOCKER_SCHEMA2_MANIFEST
    config = (await document(store, desc))["config"]
    assert config["mediaType"] == images.MEDIA_TYPE_DOCKER_SCHEMA2_CONFIG


async def test_what_is_written_depends_on_the_image_alone():
    """Two blobs that unpack to one archive: containerd takes whichever came last."""
    plain = build_schema1(compression="none").data
    tar = max(plain.values(), key=lambda data: data.endswith(bytes(1024)))
    image = build_schema1(layers=[gzip.compress(tar, mtime=0), tar])
    written = set()
    for order in ((0, 1), (1, 0)):
        store, script = MemoryStore(), Script(image)
        converter = Converter(store, script)
        found = await converter.handle(root(image))
        for number in order:
            await converter.handle(found[number])
        desc = await converter.convert()
        written.add(desc.digest)
        layers = (await document(store, desc))["layers"]
        assert [layer["mediaType"] for layer in layers] == [PLAIN, PLAIN]
    assert len(written) == 1


async def test_layers_are_asked_for_once_and_base_first():
    image = build_schema1(layers=2, repeat_layers=2, empty_layers=2)
    found = await Converter(MemoryStore(), Script(image)).handle(root(image))
    assert [desc.digest for desc in found] == [d.digest for d in image.layers[::2]]
    assert {(desc.media_type, desc.size) for desc in found} == {(GZIP, -1)}


@pytest.mark.parametrize("mark", ["throwaway", "size", None])
async def test_empty_layers_are_found_by_history_or_by_content(mark):
    image = build_schema1(layers=1, empty_layers=1, mark=mark)
    store, script = MemoryStore(), Script(image)
    desc = await convert(store, script, root(image))
    empty = from_bytes(EMPTY_TAR)
    assert script.fetched[empty] == (0 if mark else 1)
    manifest = await document(store, desc)
    assert [layer["digest"] for layer in manifest["layers"]] == [image.layers[0].digest]
    config = await document(store, Descriptor.from_json(manifest["config"]))
    assert [e.get("empty_layer", False) for e in config["history"]] == [False, True]
    if not mark:
        assert (await labels_of(store, empty))[EMPTY] == "true"


async def test_a_layer_of_no_bytes_is_stored_and_empty():
    image = build_schema1(layers=[Step(layer=b"", empty=False)])
    store = MemoryStore()
    desc = await convert(store, Script(image), root(image))
    assert (await document(store, desc))["layers"] == []
    assert (await store.info(from_bytes(b""))).size == 0


@pytest.mark.parametrize(
    ("compression", "media_type"), [("none", PLAIN), ("gzip", GZIP), ("zstd", GZIP)]
)
async def test_only_a_layer_that_is_not_packed_changes_its_type(
    compression, media_type
):
    image = build_schema1(compression=compression)
    store = MemoryStore()
    desc = await convert(store, Script(image), root(image))
    (layer,) = (await document(store, desc))["layers"]
    assert layer["mediaType"] == media_type
    tar = max(build_schema1(compression="none").data.values(), key=len)
    assert (await labels_of(store, layer["digest"]))[UNCOMPRESSED] == from_bytes(tar)


# -- what is there already ---------------------------------------------------------


@pytest.mark.parametrize(
    ("empty", "diff_id"),
    [("no", None), (None, None), ("", None), ("true", "sha256:1"), ("yes", None)],
)
async def test_a_stored_layer_is_read_where_its_labels_say_nothing(
    empty, diff_id, caplog
):
    image = build_schema1()
    (layer,) = image.layers
    store, script = MemoryStore(), Script(image)
    right = from_bytes(gzip.decompress(image.data[layer.digest]))
    labels = {UNCOMPRESSED: diff_id or right, EMPTY: empty}
    given = {key: value for key, value in labels.items() if value is not None}
    store.put(Digest(layer.digest), image.data[layer.digest], given)
    with caplog.at_level(logging.WARNING):
        desc = await convert(store, script, root(image))
    assert script.fetched[layer.digest] == 0
    assert await labels_of(store, layer.digest) == {UNCOMPRESSED: right, EMPTY: "false"}
    assert bool(caplog.records) == bool(empty)
    assert [d["size"] for d in (await document(store, desc))["layers"]] == [layer.size]


@pytest.mark.parametrize("empty", ["1", "t", "T", "TRUE", "true", "True"])
async def test_labels_of_an_earlier_conversion_are_believed(empty):
    image = build_schema1()
    (layer,) = image.layers
    store, script = MemoryStore(), Script(image)
    labels = {UNCOMPRESSED: str(layer.digest), EMPTY: empty}
    store.put(Digest(layer.digest), image.data[layer.digest], labels)
    desc = await convert(store, script, root(image))
    assert (await document(store, desc))["layers"] == []
    assert await labels_of(store, layer.digest) == labels


async def test_a_label_that_is_the_digest_says_that_nothing_is_packed():
    image = build_schema1()
    (layer,) = image.layers
    store = MemoryStore()
    labels = {UNCOMPRESSED: str(layer.digest), EMPTY: "F"}
    store.put(Digest(layer.digest), image.data[layer.digest], labels)
    desc = await convert(store, Script(image), root(image))
    (found,) = (await document(store, desc))["layers"]
    assert (found["mediaType"], found["size"]) == (PLAIN, layer.size)


async def test_converting_again_finds_the_result():
    image = build_schema1(layers=2)
    store, script = MemoryStore(), Script(image)
    first = await convert(store, script, root(image))
    assert await convert(store, script, root(image)) == first
    assert set(script.fetched.values()) == {1, 2}  # the manifest twice, layers once


async def begin(store, digest, data):
    """Leave an ingest behind, as a pull that was killed does."""
    async with await store.writer(ref=f"layer-{digest}") as writer:
        await anyio.to_thread.run_sync(writer.write, data)


@pytest.mark.parametrize("left", [b"wrong, and of another length", EMPTY_TAR[:9]])
async def test_what_was_left_half_done_begins_again(left):
    """Deviation D34: not even wrong bytes spoil the next pull."""
    image = build_schema1()
    (layer,) = image.layers
    store = MemoryStore()
    await begin(store, layer.digest, left)
    await convert(store, Script(image), root(image))
    right = from_bytes(gzip.decompress(image.data[layer.digest]))
    assert (await labels_of(store, layer.digest))[UNCOMPRESSED] == right


async def test_the_diff_id_is_that_of_the_bytes_that_are_stored():
    """Deviation D34: the first half was right; what comes in its place is not."""
    image = build_schema1()
    (layer,) = image.layers
    data = image.data[layer.digest]
    store, script = MemoryStore(), Script(image)
    await begin(store, layer.digest, data[:500])
    other = bytearray(data)
    other[300] ^= 1
    script.data[layer.digest] = bytes(other)
    with pytest.raises(ErrFailedPrecondition, match="unexpected commit digest"):
        await fetch(store, script, root(image))


async def test_a_blob_of_another_namespace_is_not_a_reason_to_believe(tmp_path):
    """Deviation D34: there, too, what the registry sends is what is looked at."""
    image = build_schema1()
    (layer,) = image.layers
    data = image.data[layer.digest]
    desc = Descriptor(digest=Digest(layer.digest), size=layer.size)
    async with await DB.open(tmp_path / "root") as db:
        await write_blob(db.content_store("theirs"), "ref", data, desc)
        store, script = db.content_store("ours"), Script(image)
        script.data[layer.digest] = gzip.compress(b"other")
        with pytest.raises(ErrFailedPrecondition, match="unexpected commit digest"):
            await fetch(store, script, root(image))
        script = Script(image)
        await convert(store, script, root(image))
        right = from_bytes(gzip.decompress(data))
        assert (await labels_of(store, layer.digest))[UNCOMPRESSED] == right


# -- what is wrong -----------------------------------------------------------------


async def refused(image, kind, *, data=None, desc=None, **options):
    """Return the error that an image is refused with, and what is left of it."""
    store, script = MemoryStore(), Script(image)
    script.data |= data or {}
    with pytest.raises(kind) as caught:
        await fetch(store, script, desc or root(image), **options)
    assert type(caught.value) is kind
    return message(caught.value), {info.digest for info in await store.walk()}, script


@pytest.mark.parametrize("other", ["payload", "signatures"])
async def test_a_document_of_another_digest_is_refused(other):
    """Deviation D14."""
    image = build_schema1()
    signed_anew = [Signature(seed="another key")]
    substitute = build_schema1(seed=int(other == "payload"), signatures=signed_anew)
    document = substitute.data[substitute.digest]
    desc = root(image)
    if other == "signatures":
        # The payload is the same, so a digest of all that came is needed.
        assert substitute.digest == image.digest
        desc = root(image, digest=from_bytes(image.data[image.digest]))
    text, stored, script = await refused(
        image, ErrFailedPrecondition, data={desc.digest: document}, desc=desc
    )
    assert text.startswith(f"unexpected digest {substitute.digest} of a schema 1")
    assert (stored, set(script.fetched)) == (set(), {desc.digest})


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
async def test_payload_and_document_have_a_digest_each(algorithm):
    image = build_schema1()
    document = image.data[image.digest]
    for data in (image.payload, document):
        digest = from_bytes(data, algorithm)
        script = Script(image)
        script.data[digest] = document
        await convert(MemoryStore(), script, root(image, digest=digest))
        assert script.fetched[image.layers[0].digest] == 1


async def test_a_document_that_does_not_end_is_given_up():
    """Deviation D17."""
    image = build_schema1()
    document = image.data[image.digest] + b" " * images.MAX_DOCUMENT_SIZE
    text, _, _ = await refused(
        image, ErrFailedPrecondition, data={image.digest: document}
    )
    assert "more than 4393216 bytes" in text


async def test_a_negative_length_is_an_error():
    """Deviation D20."""
    image = build_schema1(format_length=-1)
    text, _, _ = await refused(image, ErrInvalidArgument)
    assert text == "invalid protected length block: invalid argument"


@pytest.mark.parametrize("blob_sum", ["", "nope", "sha256:../../x", "sha256:ab"])
async def test_a_blob_sum_that_is_no_digest_is_not_asked_for(blob_sum):
    """Deviation D18."""

    def edit(manifest):
        manifest["fsLayers"][0]["blobSum"] = blob_sum

    image = build_schema1(edit_manifest=edit)
    text, _, script = await refused(image, ErrInvalidArgument)
    assert text.startswith(f'invalid blobSum "{blob_sum}": ')
    assert set(script.fetched) == {image.digest}


async def test_a_layer_that_does_not_match_is_refused():
    image = build_schema1(layers=2)
    layer = image.layers[0]
    broken = bytearray(image.data[layer.digest])
    broken[99] ^= 1
    text, stored, _ = await refused(
        image, ErrFailedPrecondition, data={layer.digest: bytes(broken)}
    )
    assert "unexpected commit digest" in text
    assert layer.digest not in stored


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (gzip.compress(b"x" * 99)[:-9], ErrUnexpectedEOF),
        # The header's checksum is wrong, and a lot comes behind it.
        (b"\x1f\x8b\x08\x02" + bytes(6) + b"\xff" * (3 << 20), ContainerdError),
    ],
    ids=["cut", "header"],
)
async def test_a_layer_that_cannot_be_unpacked_is_refused(data, kind):
    """Deviation D33: containerd waits for ever on the second one."""
    image = build_schema1(layers=[data])
    await refused(image, kind)


async def test_a_layer_that_does_not_end_is_given_up():
    """Deviation D19: nothing says how long a layer of schema1 is."""
    image = build_schema1(layer_size=3 << 20, compression="none")
    text, stored, _ = await refused(
        image, ErrFailedPrecondition, max_layer_size=2 << 20
    )
    assert text == "failed to copy: a layer of more than 2097152 bytes: " + (
        "failed precondition"
    )
    assert stored == set()


async def test_a_bomb_is_given_up():
    """Deviation D19."""
    image = build_schema1(layers=[gzip.compress(bytes(3 << 20))])
    text, _, _ = await refused(image, ErrFailedPrecondition, max_layer_size=2 << 20)
    assert "unpacks to more than 2097152 bytes" in text


async def test_a_stored_layer_may_be_a_bomb_too():
    data = gzip.compress(bytes(3 << 20))
    image = build_schema1(layers=[data])
    store = MemoryStore()
    store.put(from_bytes(data), data)
    with pytest.raises(ErrFailedPrecondition, match="unpacks to more than"):
        await fetch(store, Script(image), root(image), max_layer_size=2 << 20)


async def test_layers_come_after_their_manifest():
    image = build_schema1()
    desc = root(image, media_type=GZIP)
    text, _, script = await refused(image, ContainerdError, desc=desc)
    assert text == "manifest required for schema 1 blob pull"
    assert not script.fetched


async def test_other_content_is_none_of_its_business():
    image = build_schema1()
    text, _, _ = await refused(
        image, ContainerdError, desc=root(image, media_type="text/plain")
    )
    assert text == "text/plain not support for schema 1 manifests"


async def test_nothing_can_be_converted_before_it_is_fetched():
    converter = Converter(MemoryStore(), Script(build_schema1()))
    with pytest.raises(ContainerdError) as caught:
        await converter.convert()
    assert message(caught.value) == (
        "schema 1 conversion failed: missing schema 1 manifest for conversion"
    )


async def test_a_layer_that_a_caller_left_out_has_no_digest():
    """Its base handler may say so; converter.go:189 writes an empty descriptor."""
    image = build_schema1(layers=1)
    store = MemoryStore()
    converter = Converter(store, Script(image))
    await converter.handle(root(image))
    desc = await converter.convert()
    assert (await document(store, desc))["layers"] == [{"digest": "", "size": 0}]


async def test_a_tee_is_never_rewound():
    image = build_schema1()
    script = Script(image)
    calculator = BlobStateCalculator(limit=1, checkpoint=lambda: None)
    tee = _Tee(await script.fetch(root(image)), calculator, 1)
    with pytest.raises(ErrInvalidArgument, match="is read from 0, not 7"):
        await tee.seek(7)
