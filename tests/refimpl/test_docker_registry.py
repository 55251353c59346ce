"""refpull against Debian's docker-registry, filled by Debian's skopeo."""

import contextlib
import json
import re
import shutil
import signal
import subprocess
import sys
import urllib.request

import pytest

from fakeregistry import Registry

pytestmark = [
    pytest.mark.clients,
    pytest.mark.skipif(
        not (shutil.which("docker-registry") and shutil.which("skopeo")),
        reason="apt-get install docker-registry skopeo",
    ),
]

CONFIG = """
version: 0.1
log: {{level: info, accesslog: {{disabled: false}}}}
storage: {{filesystem: {{rootdirectory: {root}}}}}
http: {{addr: "127.0.0.1:0"}}
"""

NAME = "library/real:v1"
LAYER = 4 << 20


class DockerRegistry:
    """A docker-registry process; its log tells what was asked."""

    def __init__(self, process, log, address):
        self.process = process
        self.log = log
        self.address = address

    def blob(self, digest):
        url = f"http://{self.address}/v2/library/real/blobs/{digest}"
        with urllib.request.urlopen(url, timeout=10) as response:
            return response.read()

    def requests(self):
        """Return method and path of every request so far."""
        return re.findall(r'"(GET|HEAD) (/v2/\S+) HTTP', self.log.read_text())


@pytest.fixture(scope="module")
def docker_registry(tmp_path_factory):
    folder = tmp_path_factory.mktemp("docker-registry")
    config = folder / "config.yml"
    config.write_text(CONFIG.format(root=folder / "data"))
    log = folder / "log"
    command = ["docker-registry", "serve", str(config)]
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out)
    try:
        yield DockerRegistry(process, log, _address(process, log))
    finally:
        process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(10)
        process.kill()
        process.wait()


def _address(process, log):
    """Wait for the line that says where the registry listens."""
    tail = ["tail", "-n", "+1", "-F", f"--pid={process.pid}", str(log)]
    with subprocess.Popen(tail, stdout=subprocess.PIPE, text=True) as lines:
        try:
            for line in lines.stdout or ():
                if found := re.search(r"listening on ([\d.]+:\d+)", line):
                    return found[1]
        finally:
            lines.kill()
    pytest.fail(f"docker-registry did not start: {log.read_text()}")


@pytest.fixture(scope="module")
def pushed(docker_registry):
    """Let skopeo push an image of two platforms there."""
    with Registry() as source:
        image = source.publish(
            NAME, layers=2, layer_size=LAYER, platforms=["linux/amd64", "linux/arm64"]
        )
        command = [
            *("skopeo", "--insecure-policy", "copy", "--all"),
            *("--src-tls-verify=false", "--dest-tls-verify=false"),
            f"docker://{source.ref(image)}",
            f"docker://{docker_registry.address}/{NAME}",
        ]
        subprocess.run(command, check=True, capture_output=True, timeout=60)
    return image


def refpull(root, *words, timeout=60):
    command = [sys.executable, "-m", "refimpl", "--root", str(root), *words]
    return subprocess.run(
        command, check=True, capture_output=True, text=True, timeout=timeout
    )


def stored(root):
    return json.loads(refpull(root, "content", "ls", "--json").stdout)


def test_the_store_holds_the_bytes_of_the_registry(docker_registry, pushed, tmp_path):
    ref = f"{docker_registry.address}/{NAME}"
    answer = refpull(
        tmp_path, "pull", ref, "--json", "--platform", "linux/arm64", "--plain-http"
    )
    assert json.loads(answer.stdout)["image"]["target"]["digest"] == pushed.digest

    manifest = pushed.manifest("linux/arm64")
    digests = {pushed.digest, manifest.descriptor.digest, manifest.config.digest}
    digests |= {layer.digest for layer in manifest.layers}
    assert {row["digest"] for row in stored(tmp_path)} == digests
    blobs = tmp_path / "content" / "blobs" / "sha256"
    for digest in {manifest.config.digest, *(d.digest for d in manifest.layers)}:
        kept = (blobs / digest.removeprefix("sha256:")).read_bytes()
        assert kept == docker_registry.blob(digest)


def test_a_second_pull_downloads_nothing(docker_registry, pushed, tmp_path):
    ref = f"{docker_registry.address}/{NAME}"
    refpull(tmp_path, "pull", ref)
    before = docker_registry.requests()
    refpull(tmp_path, "pull", ref)
    new = docker_registry.requests()[len(before) :]
    assert new == [("HEAD", "/v2/library/real/manifests/v1")]
    assert pushed.digest in {row["digest"] for row in stored(tmp_path)}


def test_an_interrupted_pull_goes_on(docker_registry, pushed, tmp_path):
    """The first half is there, from a pull that was killed: the rest is asked for."""
    layer = pushed.manifests[0].layers[0]
    data = docker_registry.blob(layer.digest)
    with Registry() as slow:
        slow.publish(
            NAME, layers=2, layer_size=LAYER, platforms=["linux/amd64", "linux/arm64"]
        )
        slow.fault(method="GET", digest=layer.digest, stall=len(data) // 2)
        command = [sys.executable, "-m", "refimpl", "--root", str(tmp_path)]
        command += ["pull", f"{slow.host}/{NAME}"]
        with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
            _wait_for_half(tmp_path, layer, len(data) // 2)
            process.kill()

    ref = f"{docker_registry.address}/{NAME}"
    refpull(tmp_path, "pull", ref)
    path = f"/v2/library/real/blobs/{layer.digest}"
    assert ("GET", path) in docker_registry.requests()
    assert re.search(rf"{layer.digest}.*\b206\b", docker_registry.log.read_text())
    digest = layer.digest.removeprefix("sha256:")
    assert (tmp_path / "content/blobs/sha256" / digest).read_bytes() == data


def _wait_for_half(root, layer, size):
    """Return when the ingest of a layer has grown to a size."""
    while True:
        active = json.loads(refpull(root, "content", "active", "--json").stdout)
        if any(layer.digest in row["ref"] and row["offset"] >= size for row in active):
            return
