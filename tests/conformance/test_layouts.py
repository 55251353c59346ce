"""Readers of the layouts that clients write."""

import hashlib
import io
import json
import tarfile

import pytest

from conformance.contract import AdapterError
from conformance.layouts import READERS
from conformance.stored import parse_stored

CONFIG = b'{"architecture": "amd64"}'
LAYER = b"layer"
MANIFEST = b'{"schemaVersion": 2, "mediaType": "application/x"}'


def sha256(data):
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def encoded(data):
    return sha256(data).partition(":")[2]


def read(kind, path):
    return parse_stored(READERS[kind](path), where=kind)


def write_blobs(folder, *blobs):
    folder.mkdir(parents=True)
    for data in blobs:
        (folder / encoded(data)).write_bytes(data)


@pytest.mark.parametrize("kind", sorted(READERS.keys() - {"none"}))
def test_nothing_written_is_empty(kind, tmp_path):
    stored = read(kind, tmp_path / "absent")
    unpacked = kind in {"containers-storage", "docker"}
    assert stored.content == (None if unpacked else {})
    assert not stored.images


def test_none_cannot_be_told(tmp_path):
    assert read("none", tmp_path).content is None


def test_oci_layout(tmp_path):
    write_blobs(tmp_path / "blobs/sha256", MANIFEST, LAYER)
    ref = {"org.opencontainers.image.ref.name": "r/a:b"}
    entry = {"mediaType": "m", "digest": sha256(MANIFEST), "size": 9}
    index = {"manifests": [{**entry, "annotations": ref}, entry, "rubbish", {}]}
    (tmp_path / "index.json").write_text(json.dumps(index))
    stored = read("oci-layout", tmp_path)
    image = stored.image("r/a:b")
    assert image is not None
    assert image.target.digest == sha256(MANIFEST)
    assert [i.name for i in stored.images or ()] == ["r/a:b", ""]
    assert stored.intact(sha256(MANIFEST))
    assert stored.intact(sha256(LAYER))


@pytest.mark.parametrize("index", ["", "[]", "null", '{"manifests": 1}', "[" * 9999])
def test_broken_index_is_no_image(index, tmp_path):
    (tmp_path / "index.json").write_text(index)
    assert read("oci-layout", tmp_path).images == ()


def test_blob_of_an_oci_layout_that_is_wrong(tmp_path):
    write_blobs(tmp_path / "blobs/sha256", LAYER)
    (tmp_path / "blobs/sha256" / encoded(LAYER)).write_bytes(b"other")
    assert [b.digest for b in read("oci-layout", tmp_path).corrupt()] == [sha256(LAYER)]


@pytest.mark.parametrize("name", ["39163.tmp", f"{encoded(LAYER)}2927833841"])
def test_unfinished_download_is_no_blob(name, tmp_path):
    """Its name is no digest: a client that failed left it behind."""
    write_blobs(tmp_path / "blobs/sha256")
    (tmp_path / "blobs/sha256" / name).write_bytes(LAYER)
    assert read("oci-layout", tmp_path).content == {}


def test_several_oci_layouts(tmp_path):
    """A client that writes a layout a repository names its images by both."""
    folder = tmp_path / "127.0.0.1:5000/library/test"
    write_blobs(folder / "blobs/sha256", LAYER)
    (folder / "oci-layout").write_text("{}")
    name = "org.opencontainers.image.ref.name"
    entries = [
        {"digest": "sha256:1", "annotations": {name: "v1"}},
        {"digest": "sha256:2", "annotations": {name: "@sha256:2"}},
        {"digest": "sha256:3"},
    ]
    (folder / "index.json").write_text(json.dumps({"manifests": entries}))
    stored = read("oci-layout", tmp_path)
    assert [image.name.removeprefix("127.0.0.1:5000/") for image in stored.images] == [
        "library/test:v1",
        "library/test@sha256:2",
        "library/test@sha256:3",
    ]
    assert stored.intact(sha256(LAYER))


def test_link_is_no_blob(tmp_path):
    """A link could show another file's bytes as the client's own."""
    write_blobs(tmp_path / "blobs/sha256")
    other = tmp_path / "other"
    other.write_bytes(LAYER)
    (tmp_path / "blobs/sha256" / encoded(LAYER)).symlink_to(other)
    assert read("oci-layout", tmp_path).content == {}


def test_containerd_content(tmp_path):
    write_blobs(tmp_path / "blobs/sha256", LAYER)
    stored = read("containerd", tmp_path)
    assert stored.intact(sha256(LAYER))
    assert stored.images is None


def write_dir(folder, manifest, *blobs):
    write_blobs(folder, *blobs)
    (folder / "version").write_text("Directory Transport Version: 1.1\n")
    (folder / "manifest.json").write_bytes(manifest)


def test_dir_is_named_by_its_folder(tmp_path):
    write_dir(tmp_path / "h:1/a/b:v1", MANIFEST, CONFIG, LAYER)
    (tmp_path / "h:1/a/b:v1/signature-1").write_text("no blob")
    stored = read("dir", tmp_path)
    image = stored.image("h:1/a/b:v1")
    assert image is not None
    assert image.target.digest == sha256(MANIFEST)
    assert image.target.media_type == "application/x"
    wanted = {sha256(MANIFEST), sha256(CONFIG), sha256(LAYER)}
    assert set(stored.content or ()) == wanted
    assert stored.corrupt() == ()


@pytest.mark.parametrize(
    ("manifest", "media_type"),
    [
        (b'{"manifests": []}', "application/vnd.oci.image.index.v1+json"),
        (b'{"layers": []}', "application/vnd.oci.image.manifest.v1+json"),
        (
            b'{"schemaVersion": 1}',
            "application/vnd.docker.distribution.manifest.v1+prettyjws",
        ),
        (b"rubbish", "application/vnd.oci.image.manifest.v1+json"),
    ],
)
def test_media_type_that_a_manifest_does_not_say(manifest, media_type, tmp_path):
    write_dir(tmp_path / "x", manifest)
    image = read("dir", tmp_path).image("x")
    assert image is not None
    assert image.target.media_type == media_type


def test_dir_of_a_whole_index(tmp_path):
    write_dir(tmp_path / "x", b'{"manifests": []}')
    (tmp_path / "x" / f"{encoded(MANIFEST)}.manifest.json").write_bytes(MANIFEST)
    assert read("dir", tmp_path).intact(sha256(MANIFEST))


def test_dir_without_a_manifest_is_no_image(tmp_path):
    write_dir(tmp_path / "x", b"", LAYER)
    (tmp_path / "x/manifest.json").unlink()
    stored = read("dir", tmp_path)
    assert stored.images == ()
    assert stored.intact(sha256(LAYER))


def write_archive(path, files):
    with tarfile.open(path, "w") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))


def test_docker_archive(tmp_path):
    config, layer = f"{encoded(CONFIG)}.json", "abc/layer.tar"
    entry = {"Config": config, "Layers": [layer, "absent"], "RepoTags": ["r/a:b"]}
    manifest = json.dumps([entry]).encode()
    files = {"manifest.json": manifest, config: CONFIG, layer: LAYER}
    write_archive(tmp_path / "image.tar", files)
    stored = read("docker-archive", tmp_path / "image.tar")
    image = stored.image("r/a:b")
    assert image is not None
    assert image.target.digest == sha256(CONFIG)
    assert set(stored.content or ()) == {sha256(CONFIG), sha256(LAYER)}


def test_docker_archive_with_a_wrong_config(tmp_path):
    config = f"{encoded(CONFIG)}.json"
    manifest = json.dumps([{"Config": config, "Layers": []}]).encode()
    files = {"manifest.json": manifest, config: b"other"}
    write_archive(tmp_path / "image.tar", files)
    stored = read("docker-archive", tmp_path / "image.tar")
    assert [b.digest for b in stored.corrupt()] == [sha256(CONFIG)]


def test_file_that_is_no_archive(tmp_path):
    (tmp_path / "image.tar").write_text("rubbish")
    with pytest.raises(AdapterError, match="is no docker archive"):
        read("docker-archive", tmp_path / "image.tar")


def test_archive_that_reaches_outside(tmp_path):
    write_archive(tmp_path / "image.tar", {"../escaped": LAYER})
    with pytest.raises(AdapterError, match="is no docker archive"):
        read("docker-archive", tmp_path / "image.tar")
    assert not (tmp_path / "escaped").exists()


def test_files(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a/layer").write_bytes(LAYER)
    assert read("files", tmp_path).intact(sha256(LAYER))
    assert read("files", tmp_path / "a/layer").intact(sha256(LAYER))
