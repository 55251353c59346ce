"""Content in folders: image-spec v1.1.1, image-layout.md."""

import json
import os
import shutil
import subprocess

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fakeregistry import Features, Registry
from fakeregistry.layout import Layouts
from fakeregistry.store import Store, valid_name

OCI = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"


@pytest.fixture(scope="module")
def http():
    with httpx.Client(trust_env=False) as client:
        yield client


def contents(store):
    """Return all that a store holds."""
    return {
        name: (
            {digest: bytes(held.data) for digest, held in found.blobs.items()},
            {
                digest: (held.media_type, bytes(held.data))
                for digest, held in found.manifests.items()
            },
            dict(found.tags),
        )
        for name in store.names
        if (found := store.repository(name)) is not None
    }


def reopened(folder):
    """Return what a new registry finds there."""
    store = Store(Layouts(folder))
    found = contents(store)
    store.close()
    return found


def test_content_survives_the_registry(tmp_path, http):
    """Bytes, media types and tags; pushed, published, mounted and deleted."""
    with Registry(storage=tmp_path) as registry:
        image = registry.publish("library/hello:1", platforms=["linux/amd64", None])
        registry.tag("library/hello", "2", image.digest)
        registry.put_blob("other", b"gone")
        gone = registry.put_blob("other", b"").digest
        registry.put_manifest("other", b"not JSON", media_type=OCI, tag="broken")
        registry.store.delete_blob("other", gone)
        registry.store.delete_manifest("library/hello", "2")
        layer = image.contents[-1].digest
        url = f"{registry.url}/v2/library/new/blobs/uploads/"
        answer = http.post(url, params={"mount": layer, "from": "library/hello"})
        assert answer.status_code == 201
        before = contents(registry.store)
    assert reopened(tmp_path) == before
    assert before["library/hello"][2] == {"1": image.digest}
    with Registry(storage=tmp_path) as registry:
        found = http.get(f"{registry.url}/v2/library/hello/blobs/{layer}")
        assert found.content == image.data[layer]
        part = {"Range": "bytes=1-2"}
        found = http.get(f"{registry.url}/v2/library/new/blobs/{layer}", headers=part)
        assert found.content == image.data[layer][1:3]


def test_it_is_a_layout(tmp_path):
    with Registry(storage=tmp_path) as registry:
        image = registry.publish("a/b:1")
        folder = tmp_path / "a" / "b"
        marker = json.loads((folder / "oci-layout").read_bytes())
        assert marker == {"imageLayoutVersion": "1.0.0"}
        index = json.loads((folder / "index.json").read_bytes())
        assert (index["schemaVersion"], index["mediaType"]) == (2, INDEX)
        names = {"org.opencontainers.image.ref.name": "1"}
        entry = image.descriptor.to_json() | {"annotations": names}
        assert index["manifests"] == [entry]
        files = {path.name for path in (folder / "blobs" / "sha256").iterdir()}
    assert files == {digest.partition(":")[2] for digest in image.data}
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        ".lock",
        ".uploads",
        "a",
    ]
    assert not list((tmp_path / ".uploads").iterdir())


def test_what_others_wrote(tmp_path):
    """Other tools list the outermost index only, and may use names of their own."""
    with Registry(storage=tmp_path) as registry:
        image = registry.publish("a:1", platforms=["linux/amd64", "linux/arm64"])
        before = contents(registry.store)
    path = tmp_path / "a" / "index.json"
    document = json.loads(path.read_bytes())
    top = [item for item in document["manifests"] if item["digest"] == image.digest]
    lost = {"digest": "sha256:" + "0" * 64, "mediaType": OCI}
    named = {"org.opencontainers.image.ref.name": "example.org/a:1"}
    full = {**top[0], "annotations": named}
    path.write_text(json.dumps({"manifests": [*top, full, lost]}))
    (tmp_path / "a" / "blobs" / "README").write_text("not content")
    (tmp_path / "A").mkdir()
    (tmp_path / "A" / "oci-layout").write_text("{}")
    assert reopened(tmp_path) == before


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"manifests": [1]}'])
def test_an_index_that_is_none(tmp_path, text):
    with Registry(storage=tmp_path) as registry:
        registry.put_blob("a", b"")
    (tmp_path / "a" / "index.json").write_text(text)
    for _ in range(2):  # The folder is not left locked.
        with pytest.raises(ValueError, match=r"a/index\.json is no image index"):
            Registry(storage=tmp_path)


def test_a_layout_without_an_index_and_with_a_broken_one_inside(tmp_path):
    with Registry(storage=tmp_path) as registry:
        registry.put_manifest("a", b'{"manifests": [1]}', media_type=INDEX, tag="x")
        before = contents(registry.store)
    assert reopened(tmp_path) == before
    (tmp_path / "a" / "index.json").unlink()
    assert list(reopened(tmp_path)["a"][0].values()) == [b'{"manifests": [1]}']


def test_one_registry_at_a_time(tmp_path):
    with Registry(storage=tmp_path), pytest.raises(ValueError, match="in use by"):
        Registry(storage=tmp_path)
    Registry(storage=str(tmp_path)).stop()
    file = tmp_path / "file"
    file.write_bytes(b"")
    with pytest.raises(ValueError, match="no folder"):
        Registry(storage=file)


def test_what_a_crash_leaves_behind_is_removed(tmp_path):
    with Registry(storage=tmp_path):
        (tmp_path / ".uploads" / "half").write_bytes(b"half a blob")
    assert reopened(tmp_path) == {}
    assert not list((tmp_path / ".uploads").iterdir())


def test_uploads_that_do_not_end_leave_nothing_behind(tmp_path, http):
    with Registry(storage=tmp_path) as registry:
        url = f"{registry.url}/v2/a/blobs/uploads/"
        location = http.post(url).headers["Location"]
        http.patch(registry.url + location, content=b"half")
        wrong = {"digest": "sha256:" + "0" * 64}
        assert http.post(url, params=wrong, content=b"x").status_code == 400
        assert len(list((tmp_path / ".uploads").iterdir())) == 1
    assert not list((tmp_path / ".uploads").iterdir())
    assert reopened(tmp_path) == {}


def test_the_same_bytes_as_manifest_and_blob(tmp_path):
    """Removing one leaves the other."""
    with Registry(storage=tmp_path) as registry:
        for name in ("a", "b", "c"):
            digest = registry.put_blob(name, b"{}").digest
            registry.put_manifest(name, b"{}", media_type=OCI)
        assert registry.store.delete_blob("a", digest)
        assert registry.store.delete_manifest("b", digest)
        before = contents(registry.store)
    assert reopened(tmp_path) == before
    assert [bool(before["a"][kind]) for kind in (0, 1)] == [False, True]
    assert [bool(before["b"][kind]) for kind in (0, 1)] == [True, False]
    assert [bool(before["c"][kind]) for kind in (0, 1)] == [True, True]


@pytest.mark.parametrize("digest", ["..", ".", "sha256:..", "a:b.c", "~", "x", "..:x"])
def test_no_digest_leads_out_of_the_folder(tmp_path, digest):
    with Registry(storage=tmp_path / "in") as registry:
        with pytest.raises(ValueError, match="no digest"):
            registry.put_blob("a", b"", digest=digest)
        with pytest.raises(ValueError, match="no digest"):
            registry.put_manifest("a", b"", media_type=OCI, digest=digest)
        assert registry.store.names == ()
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


@pytest.mark.parametrize(
    "path",
    [
        "../a/blobs/uploads/",
        "..%2Fa/blobs/uploads/",
        "a/../../b/blobs/uploads/",
        ".uploads/blobs/uploads/",
        "%2E%2E/blobs/uploads/",
        "a%00/blobs/uploads/",
    ],
)
def test_no_name_leads_out_of_the_folder(tmp_path, http, path):
    digest = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    with Registry(storage=tmp_path / "in") as registry:
        target = f"/v2/{path}?digest={digest}".encode()
        request = http.build_request("POST", registry.url)
        request.url = request.url.copy_with(raw_path=target)
        assert http.send(request).status_code in {400, 404}
    assert [path.name for path in tmp_path.iterdir()] == ["in"]
    inside = {path.name for path in (tmp_path / "in").iterdir()}
    assert inside == {".lock", ".uploads"}


NAMES = st.lists(
    st.sampled_from(["a", "blobs", "sha256", "index.json", "oci-layout", "b__c"]),
    min_size=1,
    max_size=4,
).map("/".join)


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(st.lists(NAMES, min_size=1, max_size=4, unique=True))
def test_no_name_gets_in_the_way_of_another(tmp_path_factory, names):
    """The names of a layout's own files are names of repositories, too."""
    folder = tmp_path_factory.mktemp("storage")
    store = Store(Layouts(folder))
    for name in names:
        assert valid_name(name)
        store.put_blob(name, name.encode())
        store.put_manifest(name, name.encode() * 2, media_type=OCI, tag="t")
    before = contents(store)
    store.close()
    assert reopened(folder) == before
    assert set(before) == set(names)
    shutil.rmtree(folder)


def test_a_file_system_without_links(tmp_path, monkeypatch):
    def refuse(*_):
        raise PermissionError

    monkeypatch.setattr(os, "link", refuse)
    store = Store(Layouts(tmp_path))
    digest = store.put_blob("a", b"blob").digest
    for name in ("b", "a"):
        repository = store.repository("a")
        assert repository is not None
        store.mount(name, repository.blobs[digest])
    before = contents(store)
    store.close()
    assert reopened(tmp_path) == before
    assert before["b"] == before["a"]


def test_a_folder_that_cannot_be_written_to_is_told(tmp_path, http):
    """Not the client's fault, and not the end of the connection."""
    with Registry(storage=tmp_path, features=Features()) as registry:
        shutil.rmtree(tmp_path / ".uploads")
        answer = http.post(f"{registry.url}/v2/a/blobs/uploads/")
        assert answer.status_code == 500
        assert "No such file" in answer.json()["errors"][0]["message"]
        assert str(tmp_path) not in answer.text


@pytest.mark.clients
@pytest.mark.skipif(shutil.which("skopeo") is None, reason="skopeo is not installed")
def test_skopeo_reads_the_folder(tmp_path):
    with Registry(storage=tmp_path / "in") as registry:
        image = registry.publish("library/hello:1")
        source = f"oci:{tmp_path}/in/library/hello:1"
        command = ["skopeo", "--insecure-policy", "copy", source, f"dir:{tmp_path}/out"]
        subprocess.run(command, check=True, capture_output=True)
    assert (tmp_path / "out" / "manifest.json").read_bytes() == image.data[image.digest]
