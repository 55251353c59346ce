"""What belongs to a root is found, checked, and complete but for two things."""

import pytest

from fakeregistry.archive import ExchangeError
from fakeregistry.content import Entry, Layer, build_image
from fakeregistry.graph import collect, parse_descriptor
from fakeregistry.image import Descriptor, Platform, digest_of

OCI = "application/vnd.oci.image"
DIGEST = digest_of(b"")


def collected(image, *, without=(), **changed):
    """Walk a built image, with bytes missing or changed."""
    data = {**image.data, **changed}
    return collect(
        image.descriptor,
        lambda descriptor: (
            None if descriptor.digest in without else data.get(descriptor.digest)
        ),
        repository=image.repository,
        tag=image.tag,
        where="here",
    )


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"format": "docker", "platforms": ["linux/amd64", "linux/arm/v7"]},
        {"nesting": 100, "layers": 2, "repeat_layers": 2},
        {"artifact_type": "a/b", "embed": ["config", "layers"]},
        {"algorithm": "sha512", "document_algorithm": "sha384", "layers": 0},
        {
            "platforms": [
                Entry(platform="linux/amd64", children=["linux/amd64", None]),
                Entry(media_type="application/vnd.example+json", data=b"[1"),
                Entry(attestation=True),
            ]
        },
    ],
)
def test_what_was_built_is_found(options):
    image = build_image(**options)
    found = collected(image)
    assert found.data == image.data
    assert found.descriptor == image.descriptor
    assert {d.digest for d in found.documents} == {d.digest for d in image.documents}
    assert {d.digest for d in found.contents} == {d.digest for d in image.contents}
    assert [m.descriptor.digest for m in found.manifests] == [
        m.descriptor.digest for m in image.manifests
    ]
    assert found.name == image.name


def test_platforms_are_those_of_index_or_config():
    windows = Platform("windows", "amd64", os_version="10.0", os_features=("win32k",))
    image = build_image(
        platforms=[windows, None, Entry(config_platform="linux/arm/v7")]
    )
    platforms = [manifest.platform for manifest in collected(image).manifests]
    assert platforms == [windows, Platform(), Platform("linux", "arm", "v7")]


@pytest.mark.parametrize(
    "config", [b"{}", b"[]", b"no json", b'{"os":1,"architecture":"x"}']
)
def test_configs_may_be_anything(config):
    image = build_image(config=config)
    assert collected(image).manifest().platform is None


def test_entries_of_an_index_may_be_missing():
    """image-spec v1.1, image-layout.md; Docker saves one platform of many."""
    image = build_image(platforms=["linux/amd64", "linux/arm64"])
    gone = image.manifests[1].descriptor.digest
    found = collected(image, without={gone})
    assert [manifest.platform for manifest in found.manifests] == [Platform()]
    assert gone not in found.data


@pytest.mark.parametrize(
    "layer", [Layer(data=b"x", foreign=True), Layer(data=b"x", urls=("http://x/",))]
)
def test_foreign_layers_may_be_missing(layer):
    image = build_image(layers=[layer])
    found = collected(image, without={image.layers[0].digest})
    assert found.layers[0].digest == image.layers[0].digest
    assert len(found.contents) == 1


@pytest.mark.parametrize("part", ["descriptor", "config", "layers"])
def test_all_else_must_be_there(part):
    image = build_image()
    found = getattr(image, part)
    gone = (found[0] if part == "layers" else found).digest
    with pytest.raises(ExchangeError, match=f"^here: {gone} is missing$"):
        collected(image, without={gone})


def test_bytes_must_match():
    image = build_image()
    layer = image.layers[0].digest
    with pytest.raises(ExchangeError, match=f"^here: {layer} does not match its bytes"):
        collected(image, **{layer: b"other"})


def test_sizes_must_match():
    def lie(document):
        document["layers"][0]["size"] += 1

    size = build_image().layers[0].size
    with pytest.raises(ExchangeError, match=f"has {size} bytes, not the {size + 1} of"):
        collected(build_image(edit_manifest=lie))


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda _: b"no json", "is no JSON: "),
        (lambda _: b"[]", "is no JSON object"),
        (lambda _: {"layers": []}, "a descriptor is an object"),
        (lambda d: {"config": d["config"]}, "is a manifest without layers"),
        (lambda d: d | {"layers": [{}]}, "None is no media type"),
    ],
)
def test_manifests_that_are_none(edit, message):
    image = build_image(edit_manifest=edit)
    with pytest.raises(ExchangeError, match=f"^here: {image.digest}.* ?{message}"):
        collected(image)


@pytest.mark.parametrize("edit", [lambda _: {}, lambda _: {"manifests": {}}])
def test_indexes_that_are_none(edit):
    image = build_image(platforms=[None], edit_index=edit)
    with pytest.raises(ExchangeError, match="is an index without manifests"):
        collected(image)


def test_descriptors_are_read():
    descriptor = Descriptor(
        "a/b", DIGEST, 0, Platform(), {"a": "b"}, urls=("http://x/",)
    )
    assert parse_descriptor(descriptor.to_json(), "here") == descriptor


GOOD = {"mediaType": "a/b", "digest": DIGEST, "size": 0}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mediaType": 1}, "1 is no media type"),
        ({"mediaType": ""}, "'' is no media type"),
        ({"mediaType": "a/b\n"}, "is no media type"),
        ({"digest": None}, "None is no digest"),
        ({"digest": "sha256:../../../etc/passwd"}, "is no digest"),
        ({"digest": "sha256:" + "A" * 64}, "is no digest"),
        ({"digest": "sha256:" + "a" * 63}, "is no digest"),
        ({"digest": "md5:" + "a" * 32}, "is no digest"),
        ({"size": -1}, "with size -1"),
        ({"size": True}, "with size True"),
        ({"size": "1"}, "with size '1'"),
    ],
)
def test_descriptors_that_are_none(change, message):
    with pytest.raises(ExchangeError, match=f"^here: .*{message}"):
        parse_descriptor(GOOD | change, "here")


@pytest.mark.parametrize(
    "change",
    [
        {"platform": 1},
        {"platform": {"os": "linux"}},
        {"platform": {"os": "linux", "architecture": 1}},
        {"annotations": []},
        {"urls": "http://x/"},
    ],
)
def test_what_is_optional_may_be_broken(change):
    assert parse_descriptor(GOOD | change, "here") == Descriptor("a/b", DIGEST, 0)
