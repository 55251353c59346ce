"""conformance/fuzz/wire.py: what a client can have put together."""

import contextlib

import httpx
import pytest

from conformance.fuzz.wire import asked_for, touched, unsent
from fakeregistry import Registry


@pytest.fixture
def registry():
    with Registry() as made:
        yield made


@pytest.fixture
def image(registry):
    return registry.publish("library/fuzz:1", layers=1)


def get(registry, image, digest, wanted=None, kind="blobs"):
    url = f"{registry.url}/v2/{image.repository}/{kind}/{digest}"
    # An error, or a body that ends too soon, is what some of these are about.
    with contextlib.suppress(httpx.HTTPError):
        httpx.get(url, headers={"Range": f"bytes={wanted}"} if wanted else {})


def is_sent(registry, image, digest):
    return not unsent(registry, image, [digest])


def test_what_nobody_asked_for_is_not_missed(registry, image):
    assert unsent(registry, image, list(image.data)) == []
    assert asked_for(registry, image.digest) == ()


@pytest.mark.parametrize(
    ("fault", "sent"),
    [
        ({"lower_case": True}, True),
        ({"append": b"more"}, True),
        ({"encode": "gzip"}, True),
        ({"change_status": 203}, True),
        ({"flip": 100_000}, True),
        ({"flip": 0}, False),
        ({"flip": -1}, False),
        ({"truncate": 9}, False),
        ({"shorten": 9}, False),
        ({"replace": b"another"}, False),
        ({"status": 200, "body": b"another"}, False),
        ({"status": 404}, False),
        ({"cut": True}, False),
    ],
)
def test_one_answer(registry, image, fault, sent):
    (layer,) = image.layers
    registry.fault(path="/blobs/*", **fault)
    get(registry, image, layer.digest)
    assert is_sent(registry, image, layer.digest) is sent


def test_parts_of_several_answers(registry, image):
    (layer,) = image.layers
    registry.fault(path="/blobs/*", times=1, truncate=100)
    get(registry, image, layer.digest)
    get(registry, image, layer.digest, "200-")
    assert not is_sent(registry, image, layer.digest)
    get(registry, image, layer.digest, "100-")
    assert is_sent(registry, image, layer.digest)


def test_parts_beside_a_broken_byte(registry, image):
    (layer,) = image.layers
    registry.fault(path="/blobs/*", flip=10)
    get(registry, image, layer.digest)
    get(registry, image, layer.digest)
    assert not is_sent(registry, image, layer.digest)
    get(registry, image, layer.digest, "5-")
    assert is_sent(registry, image, layer.digest)


def test_a_range_that_is_hard_to_place_counts_for_all(registry, image):
    (layer,) = image.layers
    get(registry, image, layer.digest, "-5")
    assert is_sent(registry, image, layer.digest)


def test_a_document_may_come_by_its_tag(registry, image):
    registry.fault(path="/manifests/sha*", status=503)
    get(registry, image, image.digest, kind="manifests")
    assert not is_sent(registry, image, image.digest)
    get(registry, image, image.tag, kind="manifests")
    assert is_sent(registry, image, image.digest)
    assert touched(registry, image)


def test_a_fault_of_a_blob_does_not_touch_what_the_name_stands_for(registry, image):
    registry.fault(path="/blobs/*", flip=0)
    get(registry, image, image.layers[0].digest)
    get(registry, image, image.tag, kind="manifests")
    assert not touched(registry, image)


def test_the_digest_of_a_schema1_manifest_says_nothing_of_its_signatures(registry):
    image = registry.publish("library/old:1", format="schema1")
    assert image.data[image.digest][-40:-30] not in image.payload
    registry.fault(path="/manifests/*", flip=-40)
    get(registry, image, image.digest, kind="manifests")
    assert is_sent(registry, image, image.digest)
