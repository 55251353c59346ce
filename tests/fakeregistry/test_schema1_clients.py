"""Signed schema1 and the programs that knew it: what we sign, they accept."""

import contextlib
import json
import os
import re
import shutil
import subprocess
import tempfile
import urllib.error
import urllib.request
from pathlib import Path

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


def needs(*programs, root=False):
    missing = [program for program in programs if shutil.which(program) is None]
    lacking = bool(missing) or (root and os.geteuid() != 0)
    return pytest.mark.skipif(lacking, reason=f"needs {programs}, root: {root}")


@contextlib.contextmanager
def running(command, log, line):
    """Run a server; yield what a line of its log says, once it is there."""
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out)
    tail = ["tail", "-n", "+1", "-F", f"--pid={process.pid}", str(log)]
    try:
        with subprocess.Popen(tail, stdout=subprocess.PIPE, text=True) as lines:
            try:
                found = (re.search(line, text) for text in lines.stdout or ())
                match = next(filter(None, found), None)
            finally:
                lines.kill()
        assert match is not None, log.read_text()
        yield match
    finally:
        process.terminate()
        process.wait(30)


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


@pytest.fixture(scope="module")
def docker_registry(tmp_path_factory):
    """URL of a docker-registry that takes schema1."""
    folder = tmp_path_factory.mktemp("docker-registry")
    (folder / "config.yml").write_text(CONFIG.format(root=folder / "data"))
    command = ["docker-registry", "serve", str(folder / "config.yml")]
    with running(command, folder / "log", r"listening on ([\d.]+:\d+)") as match:
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


@needs("docker-registry")
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


def run(*command):
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@needs("containerd", "ctr", root=True)
@pytest.mark.parametrize("limit", [None, 2], ids=["content-fetch", "images-pull"])
def test_containerd_converts_it(limit, registry, image, tmp_path):
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


@needs("skopeo")
def test_skopeo_converts_it(registry, image, tmp_path):
    skopeo = ("skopeo", "--insecure-policy")
    source = f"docker://{registry.ref(image)}"
    found = json.loads(run(*skopeo, "inspect", "--tls-verify=false", source))
    assert found["Digest"] == image.digest
    target = f"oci:{tmp_path / 'old'}:1"
    run(*skopeo, "copy", "--src-tls-verify=false", source, target)
    (loaded,) = registry.load(tmp_path / "old")
    assert loaded.name == "old:1"
    assert len(loaded.layers) == len(image.layers)


@pytest.fixture
def folder():
    """A folder with a short name: sockets and podman's runroot have limits."""
    with tempfile.TemporaryDirectory(prefix="s1-") as name:
        yield Path(name)


@needs("podman", root=True)
def test_podman_pulls_it(registry, image, folder):
    podman = (
        *("podman", "--root", str(folder / "root"), "--storage-driver", "vfs"),
        *("--runroot", str(folder / "run")),
    )
    run(*podman, "pull", "--tls-verify=false", registry.ref(image))
    assert registry.host in run(*podman, "images")


@needs("dockerd", "docker", root=True)
def test_docker_pulls_it(registry, image, folder):
    socket = f"unix://{folder / 'socket'}"
    command = [
        *("dockerd", "--host", socket, "--pidfile", str(folder / "pid")),
        *("--data-root", str(folder / "data"), "--exec-root", str(folder / "run")),
        *("--iptables=false", "--bridge=none", "--storage-driver=vfs"),
    ]
    with running(command, folder / "log", "API listen on"):
        docker = ("docker", "--host", socket)
        said = run(*docker, "pull", registry.ref(image))
        assert f"Digest: {image.digest}" in said
        run(*docker, "pull", registry.ref(image, digest=True))
