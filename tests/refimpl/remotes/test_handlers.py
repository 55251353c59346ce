"""remotes/handlers.go: fetching one descriptor."""

import pytest

from refimpl import images
from refimpl.descriptor import Descriptor
from refimpl.digest import Digest, from_bytes
from refimpl.errdefs import (
    ContainerdError,
    ErrFailedPrecondition,
    ErrInvalidArgument,
    ErrNotFound,
    message,
)
from refimpl.platforms import only, parse
from refimpl.remotes import (
    fetch,
    fetch_handler,
    filter_manifest_by_platform_handler,
    make_ref_key,
    with_media_type_key_prefix,
)
from refimpl.stores.content import BytesReader, read_blob
from refimpl.stores.memory import MemoryStore

pytestmark = pytest.mark.anyio

DATA = b"0123456789"
LAYER = Descriptor(
    media_type=images.MEDIA_TYPE_IMAGE_LAYER, digest=from_bytes(DATA), size=len(DATA)
)


class Fetcher:
    """Serves one body and counts."""

    def __init__(self, body=DATA):
        self.body = body
        self.asked = 0
        self.closed = 0

    async def fetch(self, _desc, /):
        self.asked += 1
        return _Counted(self)


class _Counted(BytesReader):
    def __init__(self, fetcher):
        super().__init__(fetcher.body)
        self.fetcher = fetcher

    async def aclose(self):
        self.fetcher.closed += 1


async def partial(store, desc, data):
    async with await store.writer(ref=make_ref_key(desc), desc=desc) as writer:
        writer.write(data)


async def test_content_is_fetched_and_the_reader_closed():
    store, fetcher = MemoryStore(), Fetcher()
    assert await fetch_handler(store, fetcher)(LAYER) == ()
    assert await read_blob(store, LAYER) == DATA
    assert (fetcher.asked, fetcher.closed) == (1, 1)


async def test_content_that_is_here_is_not_asked_for():
    store, fetcher = MemoryStore(), Fetcher()
    store.put(LAYER.digest, DATA)
    await fetch(store, fetcher, Descriptor(digest=LAYER.digest))
    assert fetcher.asked == 0


async def test_a_partial_ingest_is_resumed():
    store, fetcher = MemoryStore(), Fetcher(b"xxxx456789")
    await partial(store, LAYER, DATA[:4])
    await fetch(store, fetcher, LAYER)
    assert await read_blob(store, LAYER) == DATA


async def test_a_complete_ingest_is_committed_without_asking():
    store, fetcher = MemoryStore(), Fetcher()
    await partial(store, LAYER, DATA)
    await fetch(store, fetcher, LAYER)
    assert await read_blob(store, LAYER) == DATA
    assert fetcher.asked == 0


async def test_wrong_bytes_are_not_kept():
    store, fetcher = MemoryStore(), Fetcher(b"9876543210")
    with pytest.raises(ErrFailedPrecondition) as caught:
        await fetch(store, fetcher, LAYER)
    assert message(caught.value).startswith(
        f'failed commit on ref "layer-{LAYER.digest}": unexpected commit digest '
    )
    assert fetcher.closed == 1
    with pytest.raises(ErrNotFound):
        await store.info(LAYER.digest)


@pytest.mark.parametrize(
    "media_type", [images.MEDIA_TYPE_IMAGE_MANIFEST, images.MEDIA_TYPE_IMAGE_INDEX]
)
async def test_a_document_too_long_to_be_parsed_is_not_fetched(media_type):
    """Deviation D17: at the limit it is."""
    fetcher = Fetcher()
    size = images.MAX_DOCUMENT_SIZE
    for number, asked in ((size + 1, 0), (size, 1)):
        desc = Descriptor(media_type=media_type, digest=LAYER.digest, size=number)
        with pytest.raises(ErrFailedPrecondition):  # the body is shorter
            await fetch(MemoryStore(), fetcher, desc)
        assert fetcher.asked == asked


async def test_a_size_of_zero_is_refused_after_looking():
    """handlers.go:126: content that is here passes even then."""
    fetcher = Fetcher()
    with pytest.raises(ErrInvalidArgument, match="content size of zero: invalid arg"):
        await fetch(MemoryStore(), fetcher, Descriptor(digest=LAYER.digest))
    assert fetcher.asked == 0


@pytest.mark.parametrize(
    "text", ["", "x", "sha256:../../x", f"sha256:{'A' * 64}", f"md5:{'0' * 32}"]
)
async def test_an_invalid_digest_goes_nowhere(text):
    """Deviation D18: nothing is opened, nothing is asked."""
    store, fetcher = MemoryStore(), Fetcher()
    with pytest.raises(ErrInvalidArgument, match="digest"):
        await fetch(store, fetcher, Descriptor(digest=Digest(text), size=3))
    assert fetcher.asked == 0
    assert await store.list_statuses() == ()


async def test_schema1_is_refused():
    desc = Descriptor(media_type=images.MEDIA_TYPE_DOCKER_SCHEMA1_MANIFEST)
    with pytest.raises(ContainerdError, match="prettyjws not supported"):
        await fetch_handler(MemoryStore(), Fetcher())(desc)


@pytest.mark.parametrize(
    ("media_type", "prefix"),
    [
        (images.MEDIA_TYPE_IMAGE_MANIFEST, "manifest"),
        (images.MEDIA_TYPE_DOCKER_SCHEMA2_MANIFEST_LIST, "index"),
        (images.MEDIA_TYPE_IMAGE_LAYER_GZIP, "layer"),
        (images.MEDIA_TYPE_CONTAINERD1_CHECKPOINT, "config"),
        ("text/plain", "unknown"),
    ],
)
async def test_the_name_of_an_ingest(media_type, prefix):
    desc = Descriptor(media_type=media_type, digest=Digest("d"))
    assert make_ref_key(desc) == f"{prefix}-d"


async def test_the_name_of_an_ingest_can_be_set():
    named = Descriptor(
        media_type="text/plain",
        digest=Digest("d"),
        annotations={"org.opencontainers.image.ref.name": ""},
    )
    with with_media_type_key_prefix("text/plain", "a"):
        with with_media_type_key_prefix("text/plain", "b"):
            assert make_ref_key(named) == "b-@d"
        assert make_ref_key(named) == "a-@d"
    assert make_ref_key(named) == "unknown-@d"


@pytest.mark.parametrize(
    ("media_type", "platform", "kept"),
    [
        (images.MEDIA_TYPE_IMAGE_MANIFEST, "linux/amd64", 2),
        (images.MEDIA_TYPE_IMAGE_MANIFEST, "linux/s390x", 1),
        (images.MEDIA_TYPE_IMAGE_MANIFEST, None, 2),
        (images.MEDIA_TYPE_IMAGE_INDEX, "linux/s390x", 2),
    ],
)
async def test_manifests_of_other_platforms_keep_their_configuration(
    media_type, platform, kept
):
    found = (Descriptor(media_type=images.MEDIA_TYPE_IMAGE_CONFIG), LAYER)

    async def find(_desc):
        return found

    handler = filter_manifest_by_platform_handler(find, only(parse("linux/amd64")))
    desc = Descriptor(media_type=media_type, platform=platform and parse(platform))
    assert await handler(desc) == found[:kept]
    assert await filter_manifest_by_platform_handler(find, None)(desc) == found
