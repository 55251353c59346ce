"""images/image.go: manifest, configuration and platforms of an image in a store."""

import json

import pytest

from refimpl import images
from refimpl.descriptor import Descriptor, Platform
from refimpl.digest import Digest, from_bytes
from refimpl.errdefs import ContainerdError, ErrNotFound, message
from refimpl.platforms import only, only_strict, parse
from refimpl.stores.memory import MemoryStore

pytestmark = pytest.mark.anyio

AMD64 = only(parse("linux/amd64"))


class Images(MemoryStore):
    """A store with images in it."""

    def add(self, document, media_type, platform=None):
        data = json.dumps(document).encode()
        self.put(from_bytes(data), data)
        return Descriptor(
            media_type=media_type,
            digest=from_bytes(data),
            size=len(data),
            platform=platform and parse(platform),
        )

    def image(self, arch, *, platform=None, layers=1):
        config = self.add(
            {"os": "linux", "architecture": arch, "rootfs": {"diff_ids": ["d1"]}},
            images.MEDIA_TYPE_IMAGE_CONFIG,
        )
        layer = self.add(arch, images.MEDIA_TYPE_IMAGE_LAYER)
        document = {
            "config": config.to_json(),
            "layers": [layer.to_json()] * layers,
        }
        return self.add(document, images.MEDIA_TYPE_IMAGE_MANIFEST, platform)

    def index(self, *entries, platform=None):
        document = {"manifests": [entry.to_json() for entry in entries]}
        return self.add(document, images.MEDIA_TYPE_IMAGE_INDEX, platform)


@pytest.fixture
def store():
    return Images()


async def config_of(store, image, platform=AMD64):
    desc = await images.config(store, image, platform)
    raw = await store.reader_at(desc)
    return json.loads(raw.read_at(0, raw.size))["architecture"]


async def test_a_manifest_that_is_the_image_is_not_judged(store):
    assert await config_of(store, store.image("s390x")) == "s390x"


async def test_an_index_gives_the_best_match(store):
    image = store.index(
        store.image("386", platform="linux/386"),
        store.image("amd64", platform="linux/amd64"),
    )
    assert await config_of(store, image) == "amd64"


async def test_an_entry_without_a_platform_is_judged_by_its_configuration(store):
    fits = store.index(store.image("amd64"))
    assert await config_of(store, fits) == "amd64"
    other = store.index(store.image("s390x"))
    with pytest.raises(ErrNotFound, match="no match for platform in manifest"):
        await images.manifest(store, other, AMD64)


async def test_without_a_wish_the_first_manifest_counts(store):
    image = store.index(
        store.image("s390x", platform="linux/s390x"),
        store.image("amd64", platform="linux/amd64"),
    )
    assert await config_of(store, image, None) == "s390x"


async def test_a_nested_index_is_followed(store):
    inner = store.index(store.image("amd64", platform="linux/amd64"))
    assert await config_of(store, store.index(inner)) == "amd64"


async def test_what_is_neither_manifest_nor_index(store):
    layer = store.add("x", images.MEDIA_TYPE_IMAGE_LAYER)
    with pytest.raises(ErrNotFound, match="unexpected media type"):
        await images.manifest(store, layer, AMD64)


async def test_a_document_of_the_wrong_kind_is_named(store):
    image = store.add({"manifests": []}, images.MEDIA_TYPE_IMAGE_MANIFEST)
    with pytest.raises(images.ErrMediaType) as caught:
        await images.manifest(store, image, AMD64)
    assert message(caught.value).startswith(f"manifest: invalid desc {image.digest}: ")


async def test_the_layers_before_compression(store):
    config = await images.config(store, store.image("amd64"), AMD64)
    assert await images.rootfs(store, config) == ("d1",)


async def test_platforms_come_from_entries_or_configurations(store):
    image = store.index(
        store.image("arm64", platform="linux/arm64/v8"), store.image("x86_64")
    )
    assert await images.platforms(store, image) == (
        Platform(os="linux", architecture="arm64", variant="v8"),
        Platform(os="linux", architecture="amd64"),
    )


async def test_check_tells_what_is_missing(store):
    image = store.image("amd64")
    assert (await images.check(store, image, AMD64)).missing == ()
    layer = (await images.children(store, image))[1]
    await store.delete(layer.digest)
    found = await images.check(store, image, AMD64)
    assert found.available
    assert found.missing == (layer,)
    assert len(found.present) == 1
    await store.delete(image.digest)
    found = await images.check(store, image, AMD64)
    assert not found.available
    assert found.missing == (image,)


async def test_the_size_is_that_of_one_platform(store):
    amd64 = store.image("amd64", platform="linux/amd64")
    image = store.index(amd64, store.image("s390x", platform="linux/s390x"))
    parts = await images.children(store, amd64)
    expected = image.size + amd64.size + sum(part.size for part in parts)
    strict = only_strict(parse("linux/amd64"))
    assert await images.size(store, image, strict) == expected


async def test_a_negative_size_is_an_error(store):
    bad = Descriptor(media_type="x", digest=Digest("d"), size=-1)
    with pytest.raises(ContainerdError, match=r"invalid size -1 in d \(x\)"):
        await images.size(store, bad, AMD64)
