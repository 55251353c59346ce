"""pull.go:231: a record is created, or updated where there is one."""

import pytest

from refimpl import images
from refimpl.client import Client
from refimpl.descriptor import Descriptor
from refimpl.digest import from_bytes
from refimpl.errdefs import ContainerdError, message
from refimpl.pull import create_new_image

pytestmark = pytest.mark.anyio


@pytest.fixture
async def client(tmp_path, anyio_backend):
    async with Client(tmp_path / "root") as client:
        yield client


class Racing:
    """An image store where somebody removes the image before it is updated."""

    def __init__(self, store, *, times):
        self.store = store
        self.times = times
        self.calls = []

    async def create(self, image):
        self.calls.append("create")
        return await self.store.create(image)

    async def update(self, image):
        self.calls.append("update")
        if self.times:
            self.times -= 1
            await self.store.delete(image.name)
            try:
                return await self.store.update(image)
            finally:
                if self.times:
                    await self.store.create(record("another"))
        return await self.store.update(image)


def record(text, **labels):
    data = text.encode()
    target = Descriptor(media_type="m", digest=from_bytes(data), size=len(data))
    return images.Image(name="example.com/a:1", target=target, labels=labels)


@pytest.mark.parametrize("times", [0, 1, 3])
async def test_a_record_that_is_removed_in_between_is_created_again(
    client, monkeypatch, times
):
    """Create, and update where it exists, until one of both works."""
    store = client.image_service()
    await store.create(record("old", a="1"))
    racing = Racing(store, times=times)
    monkeypatch.setattr(client, "image_service", lambda: racing)

    made = await create_new_image(client, record("new", b="2"))
    ends = ["create"] if times else []
    assert racing.calls == ["create", "update"] * max(times, 1) + ends
    assert await store.list() == (made,)
    assert (made.target, made.labels) == (record("new").target, {"b": "2"})


async def test_any_other_error_of_the_store_ends_it(client, monkeypatch):
    class Full:
        async def create(self, _image):
            raise ContainerdError("disk full")

    monkeypatch.setattr(client, "image_service", Full)
    with pytest.raises(ContainerdError) as caught:
        await create_new_image(client, record("new"))
    assert message(caught.value) == "disk full"
