"""Clients that push: what arrives is what went out, byte for byte."""

import os
from pathlib import Path

import pytest

from fakeregistry import BasicAuth, Registry, TokenAuth

pytestmark = [pytest.mark.clients, pytest.mark.slow]

USER = ("user", "a password")
PLATFORMS = ["linux/amd64", "linux/arm64"]


def held(registry, name):
    """Return all that a repository holds."""
    found = registry.store.repository(name)
    assert found is not None
    return {
        digest: bytes(stored.data)
        for digest, stored in (*found.blobs.items(), *found.manifests.items())
    }


@pytest.fixture
def registry():
    with Registry() as registry:
        yield registry


@pytest.mark.parametrize("kind", ["oci", "docker"])
@pytest.mark.parametrize("auth", [None, BasicAuth(*USER), TokenAuth(*USER)])
@pytest.mark.parametrize("stored", [False, True])
def test_skopeo(tmp_path, kind, auth, stored, tools):
    """Another repository (mounts), a folder, and in again (uploads)."""
    tools.require("skopeo")

    def copy(*arguments):
        flags = ["--insecure-policy", "copy", "--all"]
        for side in ("src", "dest"):
            flags += [f"--{side}-tls-verify={str(stored).lower()}"]
            flags += [f"--{side}-creds={':'.join(USER)}"]
        authority = str(ours.ca_file or "")
        tools.run("skopeo", *flags, *arguments, SSL_CERT_FILE=authority)

    storage = tmp_path / "storage" if stored else None
    with Registry(auth, tls=stored, storage=storage) as ours:
        image = ours.publish("library/hello:1", format=kind, platforms=PLATFORMS)
        there = f"docker://{ours.host}/library/there:1"
        copy(f"docker://{ours.ref(image)}", there)
        assert held(ours, "library/there") == image.data
        copy(there, f"dir:{tmp_path}/dir")
        copy(f"dir:{tmp_path}/dir", f"docker://{ours.host}/back:1")
        assert held(ours, "back") == image.data
        found = ours.store.repository("back")
        assert found is not None
        assert found.tags == {"1": image.digest}
        if auth is None or isinstance(auth, TokenAuth):
            mounted = ours.journal.requests(method="POST", status=201)
            assert [item for item in mounted if "mount=" in item.query]


def test_docker(registry, docker, tools):
    """Docker writes the manifest and packs the layers anew, and reads them back."""
    image = registry.publish("library/hello:1", format="docker", layers=3)
    there = f"{registry.host}/there:1"
    tools.run(*docker, "pull", registry.ref(image))
    tools.run(*docker, "tag", registry.ref(image), there)
    tools.run(*docker, "push", there)
    config = held(registry, "there")[image.config.digest]
    assert config == image.data[image.config.digest]
    tools.run(*docker, "rmi", there, registry.ref(image))
    tools.run(*docker, "pull", there)
    identity = tools.run(*docker, "inspect", "--format", "{{.Id}}", there)
    assert identity.strip() == image.config.digest


def test_podman(registry, podman, tools):
    """Podman keeps the configuration, and the layers as it found them unpacked."""
    image = registry.publish("library/hello:1", layers=3)
    there = f"{registry.host}/there:1"
    flag = "--tls-verify=false"
    tools.run(*podman, "pull", flag, registry.ref(image))
    tools.run(*podman, "push", flag, registry.ref(image), f"docker://{there}")
    config = held(registry, "there")[image.config.digest]
    assert config == image.data[image.config.digest]
    tools.run(*podman, "rmi", "--force", image.config.digest.removeprefix("sha256:"))
    tools.run(*podman, "pull", flag, there)
    identity = tools.run(*podman, "inspect", "--format", "{{.Id}}", there)
    assert f"sha256:{identity.strip()}" == image.config.digest


def test_ctr(registry, containerd, tools):
    image = registry.publish("library/hello:1", platforms=PLATFORMS, layers=2)
    there = f"{registry.host}/there:1"
    ctr = (*containerd, "images")
    flags = ("--plain-http", "--snapshotter", "native", "--all-platforms")
    tools.run(*ctr, "pull", *flags, registry.ref(image))
    tools.run(*ctr, "push", "--plain-http", there, registry.ref(image))
    assert held(registry, "there") == image.data
    tools.run(*ctr, "rm", "--sync", registry.ref(image))
    tools.run(*ctr, "pull", *flags, there)
    assert image.digest in tools.run(*ctr, "ls")


def test_oras_py(registry, tmp_path, monkeypatch):
    """The library oras: files as layers of an artifact."""
    client_module = pytest.importorskip("oras.client", reason="pip install oras")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    files = {name: os.urandom(size) for name, size in [("a", 10), ("b", 3_000_000)]}
    for name, data in files.items():
        Path(name).write_bytes(data)
    client = client_module.OrasClient(hostname=registry.host, insecure=True)
    there = f"{registry.host}/there:1"
    answer = client.push(target=there, files=list(files))
    assert answer.status_code == 201
    assert set(files.values()) <= set(held(registry, "there").values())
    pulled = client.pull(target=there, outdir=str(tmp_path / "back"))
    assert {Path(path).name: Path(path).read_bytes() for path in pulled} == files


def test_crane(registry, tmp_path, tools):
    tools.require("crane")
    image = registry.publish("library/hello:1", platforms=PLATFORMS, layers=2)
    folder = tmp_path / "hello"
    crane = ("crane", "--insecure")
    tools.run(*crane, "pull", "--format", "oci", registry.ref(image), folder)
    tools.run(*crane, "push", "--index", folder, f"{registry.host}/there:1")
    assert set(image.data) <= set(held(registry, "there"))
    tools.run(*crane, "copy", registry.ref(image), f"{registry.host}/copied:1")
    assert held(registry, "copied") == image.data
    assert registry.journal.requests(method="POST", status=201)


def test_oras(registry, tmp_path, tools):
    tools.require("oras")
    image = registry.publish("library/hello:1", platforms=PLATFORMS, layers=2)
    there = f"{registry.host}/there:1"
    flags = ("--from-plain-http", "--to-plain-http")
    tools.run("oras", "cp", *flags, registry.ref(image), there, HOME=tmp_path)
    assert held(registry, "there") == image.data
    layout = f"{tmp_path / 'layout'}:1"
    flags = ("--from-plain-http", "--to-oci-layout")
    tools.run("oras", "cp", *flags, there, layout, HOME=tmp_path)
    flags = ("--from-oci-layout", "--to-plain-http")
    back = f"{registry.host}/back:1"
    tools.run("oras", "cp", *flags, layout, back, HOME=tmp_path)
    assert held(registry, "back") == image.data


def test_regctl(registry, tmp_path, tools):
    tools.require("regctl")
    image = registry.publish("library/hello:1", platforms=PLATFORMS, layers=2)
    tools.run(
        "regctl", "registry", "set", registry.host, "--tls=disabled", HOME=tmp_path
    )
    there, layout = f"{registry.host}/there:1", f"ocidir://{tmp_path / 'layout'}:1"
    for source, target in [
        (registry.ref(image), there),
        (there, layout),
        (layout, f"{registry.host}/back:1"),
    ]:
        tools.run("regctl", "image", "copy", source, target, HOME=tmp_path)
    assert held(registry, "there") == held(registry, "back") == image.data
