"""Test a client with the ``registry`` fixture: publish, pull, look at the journal."""

import hashlib
import json
from urllib.request import urlopen


def pull(url, name, tag):
    """The client under test: every blob of a single-platform image, by digest."""
    with urlopen(f"{url}/v2/{name}/manifests/{tag}") as response:
        manifest = json.load(response)
    blobs = {}
    for entry in [manifest["config"], *manifest["layers"]]:
        with urlopen(f"{url}/v2/{name}/blobs/{entry['digest']}") as response:
            data = response.read()
        if hashlib.sha256(data).hexdigest() != entry["digest"].partition(":")[2]:
            raise ValueError(f"{entry['digest']}: the content is another one")
        blobs[entry["digest"]] = data
    return blobs


def test_pull(registry):
    image = registry.publish("library/hello:1", layers=2)

    blobs = pull(registry.url, "library/hello", "1")

    wanted = [image.config.digest, *(layer.digest for layer in image.layers)]
    assert blobs == {digest: image.data[digest] for digest in wanted}
    assert registry.journal.paths("GET") == [
        "/v2/library/hello/manifests/1",
        *(f"/v2/library/hello/blobs/{digest}" for digest in wanted),
    ]
