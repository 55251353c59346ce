import json
import subprocess
import sys

import pytest

from fakeregistry import Registry
from fakeregistry.content import build_image
from fakeregistry.schema1 import Schema1Image


def held(registry):
    """Return what the repository a/b holds."""
    found = registry.store.repository("a/b")
    assert found is not None
    return found


def test_publish_builds_and_stores():
    registry = Registry()
    image = registry.publish("a/b:1", platforms=["linux/amd64"], layers=2)
    found = held(registry)
    assert found.tags == {"1": image.digest}
    assert set(found.manifests) == {item.digest for item in image.documents}
    assert set(found.blobs) == {item.digest for item in image.contents}
    assert image.data == build_image(platforms=["linux/amd64"], layers=2).data


def test_publish_without_a_tag_is_the_latest():
    assert Registry().publish("a/b").name == "a/b:latest"


def test_schema1_has_options_of_its_own():
    registry = Registry()
    image = registry.publish("a/b:1", format="schema1", empty_layers=1)
    assert isinstance(image, Schema1Image)
    assert held(registry).tags == {"1": image.digest}
    with pytest.raises(ValueError, match="empty_layers: unknown keyword"):
        registry.publish("a/b:2", empty_layers=1)  # type: ignore[call-overload]
    options = {"format": "schema1", "platforms": []}
    with pytest.raises(ValueError, match="platforms: unknown keyword"):
        registry.publish("a/b:2", **options)  # type: ignore[call-overload]


def test_images_without_a_tag_are_found_by_digest():
    registry = Registry()
    registry.add_image(image := build_image("a/b", None))
    found = held(registry)
    assert (found.tags, set(found.manifests)) == ({}, {image.digest})


@pytest.mark.slow
def test_what_most_tests_do_not_need_is_not_imported():
    code = (
        "import json, sys; from fakeregistry import Registry;"
        "Registry().publish('a/b:1'); print(json.dumps(sorted(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    late = {"cryptography", "fakeregistry.schema1", "fakeregistry.exchange"}
    assert late.isdisjoint(json.loads(done.stdout))
