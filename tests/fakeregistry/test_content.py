"""What is built is genuine: every descriptor matches its bytes."""

import base64
import gzip
import hashlib
import json
import tarfile
from io import BytesIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fakeregistry.content import (
    Descriptor,
    Entry,
    Layer,
    Platform,
    build_image,
    split_name,
)
from fakeregistry.image import digest_of
from fakeregistry.layers import EMPTY_LAYER

OCI = "application/vnd.oci.image"
DOCKER = "application/vnd.docker"


def descriptors_in(document):
    found = [document.get("config"), document.get("subject")]
    found += [*document.get("layers", []), *document.get("manifests", [])]
    return [descriptor for descriptor in found if descriptor]


def check(image):
    """Walk from the root: all is there, nothing else, and nothing lies."""
    seen = set()
    waiting = [image.descriptor.to_json()]
    while waiting:
        described = waiting.pop()
        data = image.data[described["digest"]]
        algorithm, _, value = described["digest"].partition(":")
        assert hashlib.new(algorithm, data).hexdigest() == value
        assert described["size"] == len(data)
        seen.add(described["digest"])
        if data.startswith(b'{"schemaVersion"'):
            waiting.extend(descriptors_in(json.loads(data)))
    assert seen == set(image.data)
    assert image.blobs[0] == image.descriptor
    assert {blob.digest for blob in image.blobs} == seen


def config_of(image, platform=None):
    return image.document(image.manifest(platform).config)


def diff_ids(image):
    """Compute them from the layers as a client would."""
    for layer in image.layers:
        data = image.data[layer.digest]
        archive = gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
        with tarfile.open(fileobj=BytesIO(archive)) as members:
            assert members.getnames()
        yield digest_of(archive)


def test_the_default_is_one_small_oci_image():
    image = build_image()
    check(image)
    assert image.name == "library/test:latest"
    assert image.descriptor.media_type == f"{OCI}.manifest.v1+json"
    assert image.config.media_type == f"{OCI}.config.v1+json"
    assert [layer.media_type for layer in image.layers] == [f"{OCI}.layer.v1.tar+gzip"]
    assert image.layers[0].size < 3000
    assert len(image.blobs) == 3


@pytest.mark.parametrize("compression", ["gzip", "none"])
def test_diff_ids_are_those_of_the_unpacked_layers(compression):
    image = build_image(layers=3, compression=compression)
    config = config_of(image)
    assert config["rootfs"] == {"type": "layers", "diff_ids": list(diff_ids(image))}
    assert len(config["history"]) == 3


def test_docker_media_types():
    image = build_image(format="docker", platforms=["linux/amd64"])
    check(image)
    assert image.descriptor.media_type == (
        f"{DOCKER}.distribution.manifest.list.v2+json"
    )
    manifest = image.manifest()
    assert manifest.descriptor.media_type == f"{DOCKER}.distribution.manifest.v2+json"
    assert manifest.config.media_type == f"{DOCKER}.container.image.v1+json"
    assert manifest.layers[0].media_type == f"{DOCKER}.image.rootfs.diff.tar.gzip"
    assert image.document(manifest.descriptor)["mediaType"] == (
        manifest.descriptor.media_type
    )


@pytest.mark.parametrize(
    ("options", "manifest_type"),
    [
        ({}, f"{DOCKER}.distribution.manifest.v2+json"),
        ({"format": "oci"}, f"{OCI}.manifest.v1+json"),
    ],
)
def test_legacy_configs(options, manifest_type):
    image = build_image(legacy_config=True, **options)
    check(image)
    assert image.descriptor.media_type == manifest_type
    assert image.config.media_type == "application/octet-stream"
    assert config_of(image)["os"] == "linux"


def test_an_index_lists_its_platforms_in_order():
    image = build_image(platforms=["linux/arm/v7", "linux/amd64"])
    check(image)
    entries = image.document()["manifests"]
    assert [entry["platform"] for entry in entries] == [
        {"architecture": "arm", "os": "linux", "variant": "v7"},
        {"architecture": "amd64", "os": "linux"},
    ]
    arm = image.manifest("linux/arm/v7")
    assert arm.descriptor.digest == entries[0]["digest"]
    assert config_of(image, "linux/arm/v7")["variant"] == "v7"
    assert image.manifest() is arm
    with pytest.raises(LookupError, match="windows/amd64"):
        image.manifest("windows/amd64")


def test_entries_for_one_platform_differ_in_content():
    image = build_image(platforms=["linux/amd64"] * 2)
    first, second = image.manifests
    assert first.descriptor != second.descriptor
    assert set(first.layers).isdisjoint(second.layers)


def test_entries_say_what_a_platform_cannot():
    windows = Platform("windows", "amd64", os_version="10.0.17763.1")
    image = build_image(
        platforms=[
            None,
            Entry(platform=windows, annotations={"a": "b"}),
            Entry(platform="linux/amd64", config_platform="linux/arm64"),
            Entry(platform="linux/amd64", layers=0),
            Entry(attestation=True),
            Entry(media_type="application/vnd.example+json", data=b"{}"),
            Entry(platform="linux/386", media_type="text/plain", artifact_type="x/y"),
        ]
    )
    check(image)
    entries = image.document()["manifests"]
    assert "platform" not in entries[0]
    assert entries[1]["platform"]["os.version"] == "10.0.17763.1"
    assert entries[1]["annotations"] == {"a": "b"}
    assert config_of(image, windows)["os.version"] == "10.0.17763.1"
    assert image.document(image.manifests[2].config)["architecture"] == "arm64"
    assert image.manifests[3].layers == ()
    assert entries[4]["platform"] == {"architecture": "unknown", "os": "unknown"}
    assert (
        entries[4]["annotations"]["vnd.docker.reference.digest"]
        == (entries[3]["digest"])
    )
    assert entries[5]["mediaType"] == "application/vnd.example+json"
    assert (entries[6]["mediaType"], entries[6]["artifactType"]) == (
        "text/plain",
        "x/y",
    )


def test_indexes_nest_by_entry_and_by_depth():
    inner = Entry(platform="linux/amd64", children=["linux/amd64", None])
    image = build_image(
        platforms=[inner], nesting=3, nesting_platform="linux/arm64", seed=4
    )
    check(image)
    types = [document.media_type for document in image.documents]
    assert types.count(f"{OCI}.index.v1+json") == 5
    assert image.document()["manifests"][0]["platform"]["architecture"] == "arm64"
    assert len(image.manifests) == 2


def test_a_single_manifest_can_be_nested():
    image = build_image(nesting=1, index_annotations={"a": "b"})
    check(image)
    assert image.document()["annotations"] == {"a": "b"}
    assert image.document()["manifests"] == [image.manifest().descriptor.to_json()]


def test_hundred_levels():
    check(build_image(nesting=100))


def test_given_layers_are_kept_as_they_are():
    foreign = Layer(
        data=b"foreign",
        media_type=f"{DOCKER}.image.rootfs.foreign.diff.tar.gzip",
        urls=("http://127.0.0.1:1/x",),
        annotations={"org.opencontainers.image.title": "../../x"},
    )
    image = build_image(layers=[b"raw", foreign])
    check(image)
    assert image.data[image.layers[0].digest] == b"raw"
    described = image.document()["layers"][1]
    assert described["urls"] == ["http://127.0.0.1:1/x"]
    assert described["annotations"] == {"org.opencontainers.image.title": "../../x"}
    assert described["mediaType"] == foreign.media_type


def test_layers_can_repeat():
    image = build_image(layers=2, repeat_layers=3)
    check(image)
    digests = [layer.digest for layer in image.layers]
    assert digests == [digests[0]] * 3 + [digests[3]] * 3
    assert len(config_of(image)["rootfs"]["diff_ids"]) == 6


def test_configs_can_be_replaced():
    assert config_of(build_image(config={"os": "plan9"}))["os"] == "plan9"
    empty = build_image(config=b"{}", config_media_type="application/vnd.x+json")
    check(empty)
    assert empty.data[empty.config.digest] == b"{}"
    assert empty.document()["config"]["mediaType"] == "application/vnd.x+json"


def test_artifacts():
    """image-spec v1.1, manifest.md, Guidelines for Artifact Usage."""
    subject = Descriptor("a/b", digest_of(b""), 0)
    image = build_image(
        artifact_type="application/vnd.example", layer_media_type="text/plain"
    )
    check(image)
    document = image.document()
    assert document["artifactType"] == "application/vnd.example"
    assert document["config"]["mediaType"] == "application/vnd.oci.empty.v1+json"
    assert image.data[image.config.digest] == b"{}"
    referrer = build_image(artifact_type="x/y", subject=subject).document()
    assert referrer["subject"] == subject.to_json()


def test_sha512():
    image = build_image(algorithm="sha512")
    check(image)
    assert image.config.digest.startswith("sha512:")
    assert image.digest.startswith("sha256:")


def test_documents_by_sha512():
    image = build_image(document_algorithm="sha512", platforms=["linux/amd64"])
    check(image)
    assert image.digest.startswith("sha512:")
    assert image.document()["manifests"][0]["digest"].startswith("sha512:")
    assert image.config.digest.startswith("sha256:")


@pytest.mark.parametrize("subject", [build_image(), build_image(platforms=[None])])
def test_referrers_name_the_image_that_they_are_about(subject):
    """image-spec v1.1, manifest.md, subject."""
    image = build_image(
        tag=None, artifact_type="a/b", layers=[EMPTY_LAYER], subject=subject
    )
    assert image.document()["subject"] == subject.descriptor.to_json()
    assert image.document()["layers"] == [image.document()["config"]]


@pytest.mark.parametrize(
    ("form", "compression", "media_type"),
    [
        ("oci", "gzip", f"{OCI}.layer.nondistributable.v1.tar+gzip"),
        ("oci", "none", f"{OCI}.layer.nondistributable.v1.tar"),
        ("docker", "gzip", f"{DOCKER}.image.rootfs.foreign.diff.tar.gzip"),
        ("docker", "zstd", f"{DOCKER}.image.rootfs.foreign.diff.tar.zstd"),
    ],
)
def test_foreign_layers(form, compression, media_type):
    layer = Layer(data=b"x", foreign=True, urls=("http://x/",), stored=False)
    image = build_image(layers=[layer], format=form, compression=compression)
    assert image.document()["layers"][0]["mediaType"] == media_type
    assert image.document()["layers"][0]["urls"] == ["http://x/"]
    digests = {blob.digest for blob in image.blobs}
    assert image.layers[0].digest not in digests
    assert image.data[image.layers[0].digest] == b"x"


def test_content_can_be_embedded():
    """image-spec v1.1, descriptor.md, data."""
    image = build_image(
        platforms=["linux/amd64"], nesting=1, embed=["config", "layers", "manifests"]
    )
    check(image)
    found = [image.document(), *(image.document(d) for d in image.documents[1:])]
    described = [each for document in found for each in descriptors_in(document)]
    assert len(described) == 4
    for each in described:
        assert base64.b64decode(each["data"]) == image.data[each["digest"]]
    assert image.config.data is None
    assert "data" not in build_image(embed=["layers"]).document()["config"]


@pytest.mark.parametrize("size", [700, 701, 4 << 20])
def test_documents_of_an_exact_size(size):
    image = build_image(
        platforms=["linux/amd64", None],
        annotations={"a": "b"},
        manifest_size=size,
        index_size=size + 1,
    )
    check(image)
    assert image.descriptor.size == size + 1
    assert {manifest.descriptor.size for manifest in image.manifests} == {size}
    assert image.document(image.manifest().descriptor)["annotations"]["a"] == "b"


def test_sizes_that_cannot_be():
    least = build_image(manifest_size=1000).document()["annotations"]
    ((padding, text),) = least.items()
    smallest = 1000 - len(text)
    assert build_image(manifest_size=smallest).document()["annotations"][padding] == ""
    wrong = f"manifest_size={smallest - 1}: {smallest} bytes are the least"
    with pytest.raises(ValueError, match=wrong):
        build_image(manifest_size=smallest - 1)


@pytest.mark.parametrize(
    ("result", "message"),
    [(b"raw", "raw bytes of an edit"), ({"annotations": "x"}, "no annotations")],
)
def test_edits_that_cannot_be_padded(result, message):
    with pytest.raises(ValueError, match=f"^index_size=1000: .*{message}"):
        build_image(platforms=[], index_size=1000, edit_index=lambda _: result)
    exact = build_image(manifest_size=3, edit_manifest=lambda _: b"raw")
    assert exact.data[exact.digest] == b"raw"


def test_media_type_fields_can_be_left_out():
    image = build_image(platforms=["linux/amd64"], media_type_field=False)
    assert "mediaType" not in image.document()
    assert "mediaType" not in image.document(image.manifest().descriptor)


def test_edits_change_what_is_said_and_nothing_else():
    def lie(document):
        document["layers"][0]["size"] -= 1

    honest, lying = build_image(), build_image(edit_manifest=lie)
    assert lying.document()["layers"][0]["size"] == honest.layers[0].size - 1
    assert lying.layers == honest.layers
    assert lying.digest == digest_of(lying.data[lying.digest])
    assert lying.digest != honest.digest


def test_edits_may_return_another_document_or_raw_bytes():
    assert build_image(edit_manifest=lambda _: {"a": 1}).document() == {"a": 1}
    raw = b'{"layers": [], "layers": []}\n'
    image = build_image(edit_manifest=lambda _: raw)
    assert image.data[image.digest] == raw


def test_indexes_and_their_entries_can_be_edited():
    def reverse(document):
        document["manifests"].reverse()

    def forget_size(descriptor):
        del descriptor["size"]

    image = build_image(
        platforms=[
            Entry(platform="linux/amd64", edit_descriptor=forget_size),
            Entry(platform="linux/arm64", edit=lambda _: b"not json"),
        ],
        edit_index=reverse,
    )
    first, second = image.document()["manifests"]
    assert first["platform"]["architecture"] == "arm64"
    assert image.data[first["digest"]] == b"not json"
    assert "size" not in second


def test_documents_are_compact_json():
    image = build_image(annotations={"k": "ü"})
    text = image.data[image.digest].decode()
    assert text.startswith('{"schemaVersion":2,"mediaType":"')
    assert ": " not in text
    assert '"annotations":{"k":"ü"}' in text


def test_names_are_split_at_the_tag():
    assert split_name("library/hello:1") == ("library/hello", "1")
    assert split_name("library/hello") == ("library/hello", "latest")


def test_representations_are_short():
    image = build_image("a/b", None)
    assert image.name == f"a/b@{image.digest}"
    assert repr(image) == f"<Image {image.name}, {image.digest}, 1 documents, 2 blobs>"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"colour": "red"}, "colour: unknown keyword"),
        ({"format": "podman"}, "format='podman'"),
        ({"compression": "xz"}, "compression='xz'"),
        ({"layers": -1}, "layers=-1"),
        ({"layer_size": -1}, "layer_size=-1"),
        ({"repeat_layers": 0}, "repeat_layers=0"),
        ({"nesting": -1}, "nesting=-1"),
        ({"algorithm": "md5"}, "algorithm='md5'"),
        ({"legacy_config": True, "config_media_type": "a/b"}, "config_media_type"),
        ({"platforms": "linux/amd64"}, "platforms"),
        ({"platforms": ["linux"]}, "platform 'linux'"),
        ({"platforms": [Entry(attestation=True)]}, "attestation"),
        ({"platforms": [Entry(data=b"")]}, "data"),
        ({"document_algorithm": "md5"}, "document_algorithm='md5'"),
        ({"embed": "config"}, "embed='config'"),
        ({"embed": ["subject"]}, r"embed=\['subject'\]"),
        ({"edit_index": dict}, "edit_index"),
        ({"index_size": 1}, "index_size"),
        ({"index_annotations": {}}, "index_annotations"),
    ],
)
def test_misuse_names_the_argument(options, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        build_image(**options)


PLATFORMS = st.sampled_from(
    [
        None,
        "linux/amd64",
        "linux/arm/v7",
        Platform("windows", "amd64", os_version="10.0.1", os_features=("win32k",)),
        Entry(platform="linux/arm64", annotations={"a": "b"}),
        Entry(platform="linux/386", config_platform="linux/amd64", layers=2),
        Entry(platform="linux/amd64", children=["linux/amd64", None]),
        Entry(media_type="application/vnd.example.thing", data=b"thing"),
        Entry(layers=[b"blob"]),
    ]
)
OPTIONS = st.fixed_dictionaries(
    {},
    optional={
        "layers": st.integers(0, 3),
        "layer_size": st.integers(0, 3000),
        "platforms": st.none() | st.lists(PLATFORMS, max_size=4),
        "format": st.sampled_from(["oci", "docker", None]),
        "legacy_config": st.booleans(),
        "compression": st.sampled_from(["gzip", "zstd", "none"]),
        "annotations": st.dictionaries(st.text(), st.text(), max_size=2),
        "seed": st.integers() | st.text(max_size=5),
        "config": st.sampled_from([None, b"{}", {"os": "x"}]),
        "repeat_layers": st.integers(1, 3),
        "nesting": st.integers(0, 3),
        "nesting_platform": st.sampled_from([None, "linux/amd64"]),
        "media_type_field": st.booleans(),
        "artifact_type": st.sampled_from([None, "a/b"]),
        "algorithm": st.sampled_from(["sha256", "sha512"]),
        "document_algorithm": st.sampled_from(["sha256", "sha512"]),
        "embed": st.lists(st.sampled_from(["config", "layers", "manifests"])),
        "manifest_size": st.sampled_from([None, 300_000]),
    },
)


@settings(max_examples=40, deadline=None)
@given(OPTIONS)
def test_any_combination_is_deterministic_and_true(options):
    image = build_image(**options)
    check(image)
    again = build_image(**options)
    assert again.data == image.data
    assert again.descriptor == image.descriptor
