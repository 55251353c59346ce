"""What a registry holds, and the mistakes that are refused."""

import hashlib

import pytest

from fakeregistry.store import Store

OCI = "application/vnd.oci.image.manifest.v1+json"


def test_nothing_is_copied():
    data = bytes(1000)
    store = Store()
    digest = store.put_blob("a", data).digest
    repository = store.repository("a")
    assert repository is not None
    assert repository.blobs[digest].data is data


def test_files_and_buffers(tmp_path):
    """A file is mapped, so that its size costs no memory."""
    store = Store()
    path = tmp_path / "layer"
    path.write_bytes(b"layer")
    expected = f"sha256:{hashlib.sha256(b'layer').hexdigest()}"
    for data in (path, bytearray(b"layer"), memoryview(b"layer")):
        assert store.put_blob("a", data).digest == expected
    path.write_bytes(b"")
    assert store.put_blob("a", path).size == 0


@pytest.mark.parametrize(
    "name", ["", "A", "a/", "/a", "a//b", "a b", "-a", "a..b", "a___b", "a" * 256, "ä"]
)
def test_names_outside_the_pattern(name):
    """distribution-spec v1.1.1, Pulling manifests: <name>."""
    with pytest.raises(ValueError, match="repository name"):
        Store().put_blob(name, b"")


@pytest.mark.parametrize("name", ["a", "a/b/c", "a.b", "a_b", "a__b", "a---b", "0"])
def test_names_inside_the_pattern(name):
    store = Store()
    store.put_blob(name, b"")
    assert store.names == (name,)


@pytest.mark.parametrize("tag", ["", "-a", ".a", "a/b", "a:b", "a" * 129, "a\n"])
def test_tags_outside_the_pattern(tag):
    with pytest.raises(ValueError, match="no tag"):
        Store().put_manifest("a", b"", media_type=OCI, tag=tag)


def test_mistakes_have_one_clear_message():
    store = Store()
    store.put_blob("a", b"")
    with pytest.raises(ValueError, match="holds no manifest"):
        store.tag("a", "t", "sha256:0")
    with pytest.raises(ValueError, match="last part of a URL"):
        store.put_blob("a", b"", digest="a/b")
    with pytest.raises(ValueError, match="not str"):
        store.put_blob("a", "text")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="media type"):
        store.put_manifest("a", b"", media_type="a\r\nb")
    for repository in ("a", "b"):
        with pytest.raises(ValueError, match="holds no x"):
            store.delete(repository, "x")


def test_delete():
    store = Store()
    blob = store.put_blob("a", b"blob")
    manifest = store.put_manifest("a", b"{}", media_type=OCI, tag="t")
    repository = store.repository("a")
    assert repository is not None
    store.delete("a", blob.digest)
    store.delete("a", "t")
    assert not repository.blobs
    assert repository.manifest(manifest.digest) is not None
    store.tag("a", "t", manifest.digest)
    store.tag("a", "u", manifest.digest)
    store.delete("a", manifest.digest)
    assert not repository.tags
