"""The stores that engines and builders keep: what their readers find."""

import json

import pytest

from conformance.layouts import READERS
from conformance.stored import hash_file, parse_stored

INDEX = b'{"schemaVersion":2,"manifests":[]}'
MANIFEST = b'{"mediaType":"application/vnd.oci.image.manifest.v1+json","layers":[]}'
NAME = "127.0.0.1:5000/library/test:v1"


def read(kind, path):
    return parse_stored(READERS[kind](path), where=kind)


def write(path, data):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return hash_file(path)


@pytest.fixture
def containers(tmp_path):
    """Write what podman leaves, with records as they are given."""

    def containers(*records, driver="vfs"):
        folder = tmp_path / f"{driver}-images"
        for record in records:
            write(folder / record["id"] / "manifest", MANIFEST)
        write(folder / "images.json", json.dumps(records).encode())
        return read("containers-storage", tmp_path)

    return containers


def test_containers_storage(containers):
    record = {
        "id": "c0ffee",
        "digest": "sha256:aa",
        "names": [NAME, "127.0.0.1:5000/library/test@sha256:aa"],
        "big-data-sizes": {"manifest": 70, "manifest-sha256:aa": 504},
    }
    stored = containers(record)
    assert [image.name for image in stored.images] == record["names"]
    target = stored.image(NAME).target
    assert (target.digest, target.size) == ("sha256:aa", 504)
    assert target.media_type == "application/vnd.oci.image.manifest.v1+json"
    assert stored.content is None


@pytest.mark.parametrize("driver", ["vfs", "overlay"])
def test_containers_storage_of_any_driver(driver, containers):
    stored = containers({"id": "x", "names": [NAME]}, driver=driver)
    assert stored.image(NAME).target.size == 0


def test_containers_storage_that_is_broken(containers, tmp_path):
    stored = containers({"id": "x", "names": None}, {"id": "y", "names": [1]})
    assert stored.images == ()
    (tmp_path / "vfs-images/images.json").write_text("{")
    assert read("containers-storage", tmp_path).images == ()


def docker(tmp_path, repositories):
    write(
        tmp_path / "image/vfs/repositories.json",
        json.dumps({"Repositories": repositories}).encode(),
    )
    return READERS["docker"](tmp_path)


def test_docker(tmp_path):
    content = tmp_path / "containerd/daemon/io.containerd.content.v1.content"
    digest = write(content / "blobs/sha256/x", INDEX)
    (content / "blobs/sha256/x").rename(content / f"blobs/{digest.replace(':', '/')}")
    repository = "127.0.0.1:5000/library/test"
    pinned = f"{repository}@{digest}"
    known = {NAME: "sha256:config", pinned: "sha256:config"}
    docker(tmp_path, {repository: known})
    stored = read("docker", tmp_path)
    assert [image.name for image in stored.images] == [NAME, pinned]
    for image in stored.images:
        assert image.target.digest == digest
        assert image.target.size == len(INDEX)
        assert image.target.media_type == "application/vnd.oci.image.index.v1+json"
    assert stored.content is None


def test_docker_without_the_document(tmp_path):
    docker(tmp_path, {"a/b": {"a/b:v1": "sha256:config", "a/b@sha256:1": "other"}})
    stored = read("docker", tmp_path)
    assert stored.image("a/b:v1").target.digest == ""
    assert stored.image("a/b@sha256:1").target.digest == "sha256:1"


@pytest.fixture
def charliecloud(tmp_path):
    """Write what ch-image leaves: its cache, and an image if it came to that."""

    def charliecloud(files, *, unpacked=True):
        for name, data in files.items():
            write(tmp_path / "dlcache" / name, data)
        if unpacked:
            (tmp_path / "img/127.0.0.1+5000%library%test+v1").mkdir(parents=True)
        return read("charliecloud", tmp_path)

    return charliecloud


def test_charliecloud(charliecloud, tmp_path):
    layer = hash_file(tmp_path / "layer") or write(tmp_path / "layer", b"layer")
    encoded = layer.partition(":")[2]
    name = "127.0.0.1+5000%library%test+v1"
    stored = charliecloud(
        {
            f"{encoded}.tar.gz": b"layer",
            f"{'0' * 64}.json": b"other bytes",
            f"{name}.fat.json": INDEX,
            f"{name}%abc.manifest.json": MANIFEST,
        }
    )
    target = stored.image(NAME).target
    assert target.media_type == "application/vnd.oci.image.index.v1+json"
    assert stored.intact(target.digest)
    assert stored.intact(layer)
    assert [blob.digest for blob in stored.corrupt()] == [f"sha256:{'0' * 64}"]
    assert len(stored.content) == 4


def test_charliecloud_without_an_index(charliecloud):
    name = "127.0.0.1+5000%library%test+v1"
    files = {f"{name}.fat.json": b"{}", f"{name}%skinny.manifest.json": MANIFEST}
    target = charliecloud(files).image(NAME).target
    assert target.size == len(MANIFEST)


def test_charliecloud_after_a_failed_pull(charliecloud):
    stored = charliecloud({"x.fat.json": INDEX}, unpacked=False)
    assert stored.images == ()
    assert len(stored.content) == 1


def test_charliecloud_without_documents(charliecloud):
    assert charliecloud({}).image(NAME).target.digest == ""
