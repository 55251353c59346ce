"""Layouts and archives, written and read by skopeo."""

import shutil
import subprocess

import pytest

from fakeregistry import Registry

pytestmark = [
    pytest.mark.clients,
    pytest.mark.skipif(shutil.which("skopeo") is None, reason="apt-get install skopeo"),
]


def skopeo(*arguments):
    command = ["skopeo", "--insecure-policy", *arguments]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def registry():
    with Registry() as registry:
        yield registry


@pytest.fixture(params=["oci", "docker"])
def image(request, registry):
    return registry.publish("library/hello:1", format=request.param, layers=2)


@pytest.mark.parametrize("kind", ["oci", "oci-archive"])
def test_a_layout_of_skopeo_is_loaded(kind, registry, tmp_path):
    image = registry.publish("library/hello:1", layers=2, seed=1)
    target = f"{kind}:{tmp_path / 'made'}:1"
    source = f"docker://{registry.ref(image)}"
    skopeo("copy", "--src-tls-verify=false", source, target)
    (loaded,) = Registry().load(tmp_path / "made")
    assert (loaded.name, loaded.data) == ("made:1", image.data)


def test_an_index_of_skopeo_is_loaded(registry, tmp_path):
    platforms = ["linux/amd64", "linux/arm/v7"]
    image = registry.publish("library/hello:1", platforms=platforms)
    source, target = f"docker://{registry.ref(image)}", f"oci:{tmp_path / 'made'}"
    skopeo("copy", "--all", "--src-tls-verify=false", source, target)
    (loaded,) = Registry().load(tmp_path / "made", repository="mine")
    assert (loaded.name, loaded.data) == ("mine:latest", image.data)
    assert loaded.manifest("linux/arm/v7").layers


def test_an_archive_of_skopeo_is_loaded(image, registry, tmp_path):
    """skopeo unpacks the layers: their digests are the diff IDs then."""
    source = f"docker://{registry.ref(image)}"
    target = f"docker-archive:{tmp_path / 'made'}:docker.io/library/hello:1"
    skopeo("copy", "--src-tls-verify=false", source, target)
    (loaded,) = Registry().load(tmp_path / "made")
    assert (loaded.repository, loaded.tag) == ("library/hello", "1")
    config = image.document(image.config)
    assert [layer.digest for layer in loaded.layers] == config["rootfs"]["diff_ids"]
    assert loaded.config.digest == image.config.digest


@pytest.mark.parametrize(("kind", "name"), [("oci", "x"), ("oci-archive", "x.tar")])
def test_skopeo_reads_our_layouts(kind, name, registry, tmp_path):
    image = registry.publish("library/hello:1", layers=2)
    registry.save("library/hello", tmp_path / name)
    folder = tmp_path / "dir"
    skopeo("copy", f"{kind}:{tmp_path / name}:1", f"dir:{folder}")
    assert (folder / "manifest.json").read_bytes() == image.data[image.digest]
    for blob in image.contents:
        name = blob.digest.removeprefix("sha256:")
        assert (folder / name).read_bytes() == image.data[blob.digest]


def test_skopeo_reads_our_indexes(registry, tmp_path):
    image = registry.publish("library/hello:1", platforms=["linux/amd64"], layers=2)
    registry.save(image, tmp_path / "x")
    raw = skopeo("inspect", "--raw", f"oci:{tmp_path / 'x'}:1")
    assert raw.encode() == image.data[image.digest]
    skopeo("copy", "--all", f"oci:{tmp_path / 'x'}:1", f"dir:{tmp_path / 'dir'}")


def test_skopeo_reads_our_archives(image, registry, tmp_path):
    registry.save(image, tmp_path / "x", format="docker-archive")
    source = f"docker-archive:{tmp_path / 'x'}:library/hello:1"
    copy = tmp_path / "copy"
    skopeo("copy", source, f"docker-archive:{copy}:library/hello:1")
    (loaded,) = Registry().load(copy)
    assert loaded.config.digest == image.config.digest
    assert len(loaded.layers) == 2
