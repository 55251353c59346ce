"""metadata/images.go, beyond what the vectors tell."""

import sqlite3
from dataclasses import replace

import pytest

from refimpl.descriptor import Descriptor
from refimpl.digest import from_bytes
from refimpl.errdefs import ErrInvalidArgument, ErrNotFound, ErrUnknown, message
from refimpl.images.image import Image
from refimpl.stores.images import ImageStore

pytestmark = pytest.mark.anyio

TARGET = Descriptor(media_type="m", digest=from_bytes(b"t"), size=1)
IMAGE = Image(name="docker.io/library/a:1", target=TARGET, labels={"a": "b"})


@pytest.fixture
def images(db):
    return db.image_store("default")


async def test_namespaces_do_not_see_each_other(db, images):
    await images.create(IMAGE)
    other = db.image_store("other")
    assert await other.list() == ()
    with pytest.raises(ErrNotFound):
        await other.delete(IMAGE.name)
    await other.create(replace(IMAGE, labels={}))
    assert (await images.get(IMAGE.name)).labels == {"a": "b"}


async def test_content_is_on_the_disk_before_its_image(db):
    seen = []

    def barrier():
        with db.database.view() as tx:
            seen.append(tx.execute("SELECT count(*) FROM images").fetchone()[0])

    images = ImageStore(db.database, "default", barrier)
    await images.create(IMAGE)
    await images.update(IMAGE)
    assert seen == [0, 1]


async def test_filters_know_the_fields(images):
    target = replace(TARGET, annotations={"x": "y"})
    await images.create(replace(IMAGE, target=target))
    for text, count in [
        ("name", 1),
        ("target", 0),
        ("target.digest", 1),
        ("target.mediatype==m", 1),
        ("target.size", 0),
        ("labels.a==b", 1),
        ("annotations.x==y", 1),
        ("annotations.z", 0),
    ]:
        assert len(await images.list(text)) == count, text


async def test_an_update_without_a_name(images):
    with pytest.raises(ErrInvalidArgument, match=r"Image\.Name required"):
        await images.update(replace(IMAGE, name=""))


async def test_an_annotation_needs_a_key(images):
    target = replace(TARGET, annotations={"": "v"})
    with pytest.raises(ErrUnknown) as caught:
        await images.create(replace(IMAGE, target=target))
    assert message(caught.value).startswith("writing Annotations for image docker.io")


async def test_another_process_sees_it_at_once(db, images):
    await images.create(IMAGE)
    connection = sqlite3.connect(db.root / "metadata.db")
    names = connection.execute("SELECT name FROM images").fetchall()
    connection.close()
    assert names == [(IMAGE.name,)]
