"""Signed schema1 and the programs that knew it: what we sign, they accept."""

import json
import urllib.error
import urllib.request

import pytest

from conformance.adapter import load_clients
from fakeregistry import Registry
from fakeregistry.jws import payload_of, verified_keys
from fakeregistry.schema1 import Signature, build_schema1

pytestmark = pytest.mark.clients

SIGNED = "application/vnd.docker.distribution.manifest.v1+prettyjws"
CONFIG = """
version: 0.1
log: {{level: info}}
storage: {{filesystem: {{rootdirectory: {root}}}}}
http: {{addr: "127.0.0.1:0"}}
compatibility: {{schema1: {{enabled: true}}}}
"""


def call(method, url, data=None, **headers):
    """Send a request; return status, headers and body, whatever they are."""
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(url, data, fields, method=method)  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as answer:
        with answer:
            return answer.code, answer.headers, answer.read()


@pytest.fixture
def docker_registry(tmp_path, tools):
    """URL of a docker-registry that takes schema1."""
    tools.require("docker-registry")
    (tmp_path / "config.yml").write_text(CONFIG.format(root=tmp_path / "data"))
    command = ["docker-registry", "serve", tmp_path / "config.yml"]
    with tools.running(
        command, tmp_path / "log", r"listening on ([\d.]+:\d+)"
    ) as match:
        yield f"http://{match[1]}"


def push(url, image):
    for blob in image.contents:
        _, headers, _ = call("POST", f"{url}/v2/{image.repository}/blobs/uploads/", b"")
        target = f"{headers['Location']}&digest={blob.digest}"
        kind = "application/octet-stream"
        status, _, said = call(
            "PUT", target, image.data[blob.digest], Content_Type=kind
        )
        assert status == 201, said
    manifest = f"{url}/v2/{image.repository}/manifests/{image.tag}"
    document = image.data[image.digest]
    return call("PUT", manifest, document, Content_Type=image.descriptor.media_type)


class TestDockerRegistry:
    """docker-registry 2.8 checks signatures with libtrust."""

    @pytest.mark.parametrize(
        "options",
        [
            {},
            {"signatures": ["RS256"]},
            {
                "layers": 3,
                "empty_layers": 2,
                "repeat_layers": 2,
                "signatures": ["ES256", "RS256", "ES256"],
            },
            {"config": {"author": "<é&\u2028>\b\f"}, "mark": "size"},
            {"outside": {"fsLayers": []}},
        ],
    )
    def test_it_takes_what_we_sign(self, options, docker_registry):
        image = build_schema1("library/old", "1", **options)
        status, headers, said = push(docker_registry, image)
        assert status == 201, said
        assert headers["Docker-Content-Digest"] == image.digest
        # It signs the payload anew: here we check what libtrust signs.
        url = f"{docker_registry}/v2/library/old/manifests/1"
        _, headers, document = call("GET", url, Accept=SIGNED)
        assert headers["Docker-Content-Digest"] == image.digest
        assert payload_of(document) == image.payload
        assert len(verified_keys(document)) == 1

    @pytest.mark.parametrize(
        ("options", "code"),
        [
            (
                {"signatures": [Signature(edit=lambda s: s | {"signature": "A" * 86})]},
                "MANIFEST_UNVERIFIED",
            ),
            ({"signatures": [], "media_type": SIGNED}, "MANIFEST_INVALID"),
            ({"format_length": 10**6}, "MANIFEST_INVALID"),
            ({"edit_document": lambda d: d.replace(b"amd64", b"arm64")}, "UNVERIFIED"),
        ],
    )
    def test_it_refuses_what_we_break(self, options, code, docker_registry):
        image = build_schema1("library/bad", "1", **options)
        status, _, said = push(docker_registry, image)
        assert status == 400
        assert code in json.loads(said)["errors"][0]["code"]


@pytest.fixture
def registry():
    with Registry() as registry:
        yield registry


@pytest.fixture
def image(registry):
    return registry.publish(
        "library/old:1",
        format="schema1",
        layers=3,
        empty_layers=2,
        signatures=["ES256", "RS256"],
    )


@pytest.mark.parametrize("limit", [None, 2], ids=["content-fetch", "images-pull"])
def test_containerd_converts_it(limit, registry, image, tmp_path, tools):
    tools.require("containerd", "ctr", root=True)
    client = load_clients(["containerd"])[0]
    client.setup()
    try:
        request = {"ref": registry.ref(image), "root": str(tmp_path)}
        more = {} if limit is None else {"max_concurrent_downloads": limit}
        result = client.pull({**request, "plain_http": True, **more}, 60)
        assert result.ok, result
        stored = client.inspect(tmp_path)
    finally:
        client.teardown()
    media_type = "application/vnd.oci.image.manifest.v1+json"
    record = stored.image(request["ref"])
    assert record is not None
    assert record.target.media_type == media_type
    assert {layer.digest for layer in image.layers} <= set(stored.content or ())
    empty = image.steps[-1].digest
    assert registry.journal.requests(path=f"/blobs/{empty}") == ()


def test_skopeo_converts_it(registry, image, tmp_path, tools):
    tools.require("skopeo")
    skopeo = ("skopeo", "--insecure-policy")
    source = f"docker://{registry.ref(image)}"
    found = tools.run(*skopeo, "inspect", "--tls-verify=false", source)
    assert json.loads(found)["Digest"] == image.digest
    target = f"oci:{tmp_path / 'old'}:1"
    tools.run(*skopeo, "copy", "--src-tls-verify=false", source, target)
    (loaded,) = registry.load(tmp_path / "old")
    assert loaded.name == "old:1"
    assert len(loaded.layers) == len(image.layers)


def test_podman_pulls_it(registry, image, podman, tools):
    tools.run(*podman, "pull", "--tls-verify=false", registry.ref(image))
    assert registry.host in tools.run(*podman, "images")


def test_docker_pulls_it(registry, image, docker, tools):
    said = tools.run(*docker, "pull", registry.ref(image))
    assert f"Digest: {image.digest}" in said
    tools.run(*docker, "pull", registry.ref(image, digest=True))
