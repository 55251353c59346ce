"""Import and export, both formats: what goes out comes back byte for byte."""

import gzip
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fakeregistry import Registry
from fakeregistry.archive import ExchangeError, open_source, write_files
from fakeregistry.content import Entry, Layer, build_image
from fakeregistry.docker_archive import save_archive
from fakeregistry.image import canonical_json, digest_of
from fakeregistry.oci_layout import save_layout

FORMATS = [("oci-layout", "made"), ("oci-layout", "made.tar"), ("docker-archive", "x")]


def registry():
    """Return one that is filled, not served."""
    return Registry()


def state(registry):
    """Return all that a registry holds, by repository."""
    return {
        name: (
            dict(found.tags),
            {d: (s.media_type, bytes(s.data)) for d, s in found.manifests.items()},
            {d: bytes(s.data) for d, s in found.blobs.items()},
        )
        for name in registry.store.names
        if (found := registry.store.repository(name)) is not None
    }


def layout(tmp_path, *images, **changed):
    """Write a layout with files changed, or left out if they are None."""
    files = {**save_layout(images or [build_image()]), **changed}
    path = tmp_path / "layout"
    kept = {name: data for name, data in files.items() if data is not None}
    write_files(path, kept, packed=False)
    return path


def archive(tmp_path, *images, **changed):
    files = {**save_archive(images or [build_image(format="docker")]), **changed}
    path = tmp_path / "archive"
    kept = {name: data for name, data in files.items() if data is not None}
    write_files(path, kept, packed=True)
    return path


@pytest.mark.parametrize(("form", "name"), FORMATS)
def test_an_image_comes_back(form, name, tmp_path):
    source, target = registry(), registry()
    image = source.publish("library/hello:1", format="docker", layers=2)
    source.save(image, tmp_path / name, format=form)
    (loaded,) = target.load(str(tmp_path / name))
    assert state(target) == state(source)
    assert (loaded.name, loaded.data) == (image.name, image.data)
    assert loaded.descriptor == image.descriptor
    assert loaded.manifest().platform == image.manifest().platform


@pytest.mark.parametrize("name", ["made", "made.tar"])
def test_a_repository_comes_back(name, tmp_path):
    source, target = registry(), registry()
    image = source.publish(
        "library/hello:1",
        platforms=["linux/amd64", Entry(attestation=True), "linux/arm/v7"],
        nesting=1,
    )
    source.tag("library/hello", "2", image.digest)
    source.tag("library/hello", "arm", image.manifests[2].descriptor.digest)
    source.add_image(build_image("library/hello", None, subject=image, seed=1))
    source.publish("library/other:1", seed=2)
    source.save("library/hello", tmp_path / name)
    loaded = target.load(tmp_path / name)
    assert [item.tag for item in loaded] == ["1", "2", "arm", None]
    everything = state(source)
    assert state(target) == {"library/hello": everything["library/hello"]}


def test_an_archive_of_a_repository(tmp_path):
    source, target = registry(), registry()
    image = source.publish("library/hello:1", format="docker", layers=2)
    source.tag("library/hello", "also", image.digest)
    source.publish("library/hello:2", format="docker", layers=3, seed=0)
    source.save("library/hello", tmp_path / "x.tar", format="docker-archive")
    target.load(tmp_path / "x.tar")
    assert state(target) == state(source)
    listed = json.loads(open_source(tmp_path / "x.tar").read("manifest.json") or b"")
    assert [item["RepoTags"] for item in listed] == [
        ["library/hello:1", "library/hello:also"],
        ["library/hello:2"],
    ]


def test_repositories_can_be_renamed(tmp_path):
    source, target = registry(), registry()
    source.save(source.publish("library/hello:1"), tmp_path / "x")
    target.load(tmp_path / "x", repository="mine")
    assert target.store.names == ("mine",)
    with pytest.raises(ValueError, match="repository='UPPER' is no repository name"):
        target.load(tmp_path / "x", repository="UPPER")


def test_packed_archives_are_read(tmp_path):
    path = archive(tmp_path)
    path.write_bytes(gzip.compress(path.read_bytes()))
    assert len(registry().load(path)) == 1


def test_oci_images_become_docker_images_in_an_archive(tmp_path):
    source = registry()
    image = source.publish("library/hello:1", layers=2)
    source.save(image, tmp_path / "x", format="docker-archive")
    (loaded,) = registry().load(tmp_path / "x")
    assert loaded.config.media_type.startswith("application/vnd.docker.")
    assert loaded.config.digest == image.config.digest
    assert [d.digest for d in loaded.layers] == [d.digest for d in image.layers]


@pytest.mark.parametrize(
    ("compression", "suffix"), [("gzip", ".gzip"), ("zstd", ".zstd"), ("none", "")]
)
def test_layers_of_an_archive_are_told_by_their_bytes(compression, suffix, tmp_path):
    path = archive(tmp_path, build_image(compression=compression))
    (loaded,) = registry().load(path)
    media_type = "application/vnd.docker.image.rootfs.diff.tar"
    assert loaded.layers[0].media_type == media_type + suffix


def test_the_only_image_needs_no_name(tmp_path):
    image = build_image("x", None, format="docker")
    (loaded,) = registry().load(archive(tmp_path, image))
    assert loaded.name == "archive:latest"
    entry = {**image.descriptor.to_json(), "annotations": None}
    index = canonical_json({"manifests": [entry]})
    (loaded,) = registry().load(layout(tmp_path, image, **{"index.json": index}))
    assert loaded.name == "layout:latest"
    index = canonical_json({"manifests": [entry, entry]})
    (tmp_path / "layout" / "index.json").write_bytes(index)
    loaded, _ = registry().load(tmp_path / "layout")
    assert loaded.name == f"layout@{image.digest}"


@pytest.mark.parametrize(
    ("annotations", "name"),
    [
        ({"org.opencontainers.image.ref.name": "v1"}, "layout:v1"),
        ({"org.opencontainers.image.ref.name": "docker.io/a/b:v1"}, "a/b:v1"),
        (
            {
                "io.containerd.image.name": "docker.io/library/hello:v1",
                "org.opencontainers.image.ref.name": "v1",
            },
            "library/hello:v1",
        ),
        ({"org.opencontainers.image.ref.name": 1}, "layout:latest"),
    ],
)
def test_layouts_name_their_images(annotations, name, tmp_path):
    image = build_image()
    entry = {**image.descriptor.to_json(), "annotations": annotations}
    index = canonical_json({"manifests": [entry]})
    (loaded,) = registry().load(layout(tmp_path, image, **{"index.json": index}))
    assert loaded.name == name


BROKEN_LAYOUTS = [
    ({"oci-layout": None}, "oci-layout is missing"),
    ({"oci-layout": b"{"}, "oci-layout is no JSON"),
    ({"oci-layout": b"[]"}, "oci-layout has version None"),
    ({"oci-layout": b'{"imageLayoutVersion":"2.0.0"}'}, "version '2.0.0', not 1.0.0"),
    ({"index.json": None}, "index.json is missing"),
    ({"index.json": b"[]"}, "index.json has no manifests"),
    ({"index.json": b'{"manifests":[1]}'}, "index.json: a descriptor is an object"),
]


@pytest.mark.parametrize(("changed", "message"), BROKEN_LAYOUTS)
def test_layouts_that_are_broken(changed, message, tmp_path):
    check_refused(layout(tmp_path, **changed), message)


def test_layouts_are_loaded_whole_or_not_at_all(tmp_path):
    good, bad = build_image("a/b", "1"), build_image("a/b", "2", seed=1)
    layer = bad.layers[0].digest
    blob = f"blobs/sha256/{layer.removeprefix('sha256:')}"
    path = layout(tmp_path, good, bad, **{blob: b"x"})
    check_refused(path, f"{layer} does not match its bytes")
    (path / blob).unlink()
    check_refused(path, f"{layer} is missing")
    (path / blob).symlink_to("/etc/hostname")
    check_refused(path, f"{blob} leads out of the folder")


@pytest.mark.parametrize("name", ["UPPER:1", "a/b:$"])
def test_names_are_checked_before_anything_is_stored(name, tmp_path):
    image = build_image()
    annotations = {"io.containerd.image.name": name}
    entries = [image.descriptor.to_json()] * 2
    entries[1] = {**entries[1], "annotations": annotations}
    index = canonical_json({"manifests": entries})
    check_refused(layout(tmp_path, image, **{"index.json": index}), "is no ")


IMAGE = build_image(format="docker", layers=2)
CONFIG = IMAGE.config.digest.removeprefix("sha256:") + ".json"
LAYER = IMAGE.layers[1].digest.removeprefix("sha256:") + ".tar"


def manifest(**changed):
    item = {"Config": CONFIG, "RepoTags": ["a:1"], "Layers": []}
    return {"manifest.json": canonical_json([{**item, **changed}])}


BROKEN_ARCHIVES = [
    ({"manifest.json": None}, "neither an OCI image layout"),
    ({"manifest.json": b"{"}, "manifest.json is no JSON"),
    ({"manifest.json": b"{}"}, "manifest.json is no list"),
    ({"manifest.json": b"[1]"}, "manifest.json: an image is an object"),
    (manifest(Config=None), "manifest.json: an image without Config"),
    (manifest(Layers="x"), "manifest.json: Layers is no list of texts"),
    (manifest(Layers=[1]), "manifest.json: Layers is no list of texts"),
    (manifest(RepoTags={"a": 1}), "manifest.json: RepoTags is no list of texts"),
    (manifest(RepoTags=["A:1"]), "'A' is no repository name"),
    (manifest(Config="../x"), "../x leads out of the archive"),
    (manifest(Config="x"), "x is missing"),
    (manifest(), f"{CONFIG} has no diff_ids for 0 layers"),
    ({CONFIG: b"x"}, f"{CONFIG} is no JSON"),
    ({CONFIG: b"[]"}, f"{CONFIG} has no diff_ids for 2 layers"),
    ({CONFIG: b'{"rootfs":{"diff_ids":[]}}'}, f"{CONFIG} has no diff_ids for 2"),
    ({LAYER: None}, f"{LAYER} is missing"),
    ({LAYER: b"x"}, f"{LAYER} does not match sha256:"),
]


@pytest.mark.parametrize(("changed", "message"), BROKEN_ARCHIVES)
def test_archives_that_are_broken(changed, message, tmp_path):
    check_refused(archive(tmp_path, IMAGE, **changed), message)


def check_refused(path, message):
    """Loading fails with the file's name, and leaves nothing behind."""
    target = registry()
    with pytest.raises(ExchangeError) as caught:
        target.load(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert message in str(caught.value)
    assert state(target) == {}


def test_what_cannot_be_saved(tmp_path):
    source = registry()
    index = source.publish("a/index:1", platforms=["linux/amd64"])
    signed = source.publish("a/signed:1", format="schema1")
    foreign = source.publish(
        "a/foreign:1", layers=[Layer(data=b"x", foreign=True, stored=False)]
    )
    path = tmp_path / "x"
    for image, message in [
        (index, "does not go into a docker-archive"),
        (foreign, f"{digest_of(b'x')} is not stored here"),
        (signed, "is signed schema1"),
        (build_image("a/index", "2", seed=1), "a/index: there is no manifest sha256:"),
        ("a/none", "there is no repository 'a/none'"),
    ]:
        with pytest.raises(ExchangeError, match=message):
            source.save(image, path, format="docker-archive")
    with pytest.raises(ValueError, match="format='zip': one of oci-layout, docker-"):
        source.save(index, path, format="zip")
    source.save(foreign, path)
    with pytest.raises(ExchangeError, match="x: is there already"):
        source.save(index, path)
    assert registry().load(path)[0].layers == foreign.layers


def test_what_is_stored_is_saved(tmp_path):
    """Not what was built: a layout of lies is refused."""
    source = registry()
    image = source.publish("a/b:1")
    source.put_blob("a/b", b"x", digest=image.layers[0].digest)
    with pytest.raises(ExchangeError, match=r"a/b: sha256:.* does not match its bytes"):
        source.save(image, tmp_path / "x")
    assert list(tmp_path.iterdir()) == []


OPTIONS = st.fixed_dictionaries(
    {},
    optional={
        "layers": st.integers(0, 2) | st.lists(st.binary(max_size=9), max_size=2),
        "platforms": st.none()
        | st.lists(
            st.sampled_from(["linux/amd64", None, Entry(children=["a/b"])]), max_size=3
        ),
        "format": st.sampled_from(["oci", "docker"]),
        "compression": st.sampled_from(["gzip", "zstd", "none"]),
        "annotations": st.dictionaries(st.text(), st.text(), max_size=2),
        "config": st.sampled_from([None, b"{}", {"os": "x"}]),
        "nesting": st.integers(0, 2),
        "algorithm": st.sampled_from(["sha256", "sha512"]),
        "document_algorithm": st.sampled_from(["sha256", "sha384"]),
    },
)


@settings(max_examples=25, deadline=None)
@given(OPTIONS)
def test_any_image_comes_back(tmp_path_factory, options):
    path = tmp_path_factory.mktemp("x") / "x.tar"
    source, target = registry(), registry()
    source.save(source.publish("a/b:1", **options), path)
    target.load(path)
    assert state(target) == state(source)
