import hashlib
import json
import urllib.request

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fakeregistry import Registry
from fakeregistry.image import digest_of
from fakeregistry.jws import payload_of, verified_keys
from fakeregistry.layers import Layer, files_layer
from fakeregistry.schema1 import EMPTY_TAR, Signature, Step, build_schema1

EMPTY = "sha256:a3ed95caeb02ffe68cdd9fd84406680ae93d633cb16422d00e8a7c22955b46d4"
SIGNED = "application/vnd.docker.distribution.manifest.v1+prettyjws"
UNSIGNED = "application/vnd.docker.distribution.manifest.v1+json"


def histories(image):
    """Return the v1 images, the base first."""
    history = json.loads(image.payload)["history"]
    return [json.loads(entry["v1Compatibility"]) for entry in reversed(history)]


def blob_sums(image):
    return [layer["blobSum"] for layer in json.loads(image.payload)["fsLayers"]]


def signature(image, index=0):
    return json.loads(image.data[image.digest])["signatures"][index]


def check(image):
    """The same checks that docker-registry makes of a push."""
    document = image.data[image.digest]
    assert image.digest == digest_of(image.payload)
    assert image.descriptor.size == len(document)
    if image.descriptor.media_type == SIGNED:
        assert payload_of(document) == image.payload
        assert len(verified_keys(document)) == len(json.loads(document)["signatures"])
    else:
        assert document == image.payload
    payload = json.loads(image.payload)
    assert len(payload["history"]) == len(payload["fsLayers"])
    assert set(blob_sums(image)) == {blob.digest for blob in image.contents}
    for blob in image.contents:
        assert digest_of(image.data[blob.digest]) == blob.digest


def test_the_default_is_one_layer_with_one_signature():
    image = build_schema1("library/old", "1")
    check(image)
    assert image.descriptor.media_type == SIGNED
    assert image.payload.startswith(
        b'{\n   "schemaVersion": 1,\n   "name": "library/old",\n   "tag": "1",\n'
        b'   "architecture": "amd64",\n   "fsLayers": [\n      {\n'
    )
    assert image.payload.endswith(b'"\n      }\n   ]\n}')
    assert signature(image)["header"]["alg"] == "ES256"
    assert [layer.digest for layer in image.layers] == blob_sums(image)


def test_the_bytes_never_change():
    image = build_schema1("library/old", "1", layers=2, empty_layers=1)
    assert image.digest == (
        "sha256:8b1f2688a2ddf75c8a4c908014d4439525e53e6814fee12fa5c9df559e87556b"
    )
    assert digest_of(image.data[image.digest]) == (
        "sha256:b4cc86234ac6cf56b7cc58c8b0c51ec696ee8ac785d3ad4d080cb23c90c393ad"
    )


def test_the_empty_tar_is_the_one_of_docker():
    assert digest_of(EMPTY_TAR) == EMPTY
    assert Layer(data=EMPTY_TAR).content_digest() == digest_of(bytes(1024))


def test_layers_are_listed_from_the_top():
    image = build_schema1(layers=2, empty_layers=2)
    check(image)
    base, top = image.layers
    assert blob_sums(image) == [EMPTY, EMPTY, top.digest, base.digest]
    assert [blob.digest for blob in image.steps] == blob_sums(image)[::-1]
    assert [entry.get("throwaway") for entry in histories(image)] == [
        *(None, None, True, True)
    ]


def test_ids_are_those_of_docker():
    """distribution v2.8, manifest/schema1/config_builder.go, Build."""
    image = build_schema1(layers=3)
    base, middle, top = histories(image)
    sums = [digest.removeprefix("sha256:") for digest in blob_sums(image)[::-1]]
    assert base["id"] == hashlib.sha256(f"{sums[0]} ".encode()).hexdigest()
    assert "parent" not in base
    source = f"{sums[1]} {base['id']}".encode()
    assert middle["id"] == hashlib.sha256(source).hexdigest()
    assert (middle["parent"], top["parent"]) == (base["id"], middle["id"])
    assert list(top) == sorted(top)
    assert "rootfs" not in top
    assert (top["os"], top["architecture"]) == ("linux", "amd64")


def test_the_image_can_be_another_one():
    image = build_schema1(config={"architecture": "arm", "author": "<me>"})
    check(image)
    assert json.loads(image.payload)["architecture"] == "arm"
    assert histories(image)[0]["author"] == "<me>"
    assert rb"\"\\u003cme\\u003e\"" in image.payload


@pytest.mark.parametrize(
    ("mark", "marks"),
    [
        ("throwaway", [{}, {"throwaway": True}]),
        ("size", [{"Size": 2583}, {"Size": 0}]),
        (None, [{}, {}]),
    ],
)
def test_empty_steps_are_marked_in_three_ways(mark, marks):
    image = build_schema1(empty_layers=1, mark=mark)
    check(image)
    found = [
        {key: entry[key] for key in ("throwaway", "Size") if key in entry}
        for entry in histories(image)
    ]
    assert found == marks


def test_steps_say_what_a_number_cannot():
    layer = files_layer({"a": b"b"})
    image = build_schema1(
        layers=[
            layer,
            None,
            Step(layer=layer, empty=True),
            Step(empty=False),
            Step(layer=b"raw", edit=lambda entry: entry.update(comment="c")),
            Step(edit=lambda _: {"id": "x"}),
            Step(edit=lambda _: "no json"),
        ]
    )
    assert blob_sums(image)[::-1] == [
        *(digest_of(layer.data), EMPTY, digest_of(layer.data), EMPTY),
        *(digest_of(b"raw"), EMPTY, EMPTY),
    ]
    history = json.loads(image.payload)["history"][::-1]
    texts = [entry["v1Compatibility"] for entry in history]
    assert "throwaway" in texts[2]
    assert "throwaway" not in texts[3]
    assert json.loads(texts[4])["comment"] == "c"
    assert texts[5:] == ['{"id":"x"}', "no json"]
    assert [blob.digest for blob in image.layers] == [
        *(digest_of(layer.data), EMPTY, digest_of(b"raw"))
    ]
    assert len(image.contents) == 3


def test_layers_can_repeat():
    image = build_schema1(layers=2, repeat_layers=2)
    check(image)
    assert len(blob_sums(image)) == 4
    assert len(set(blob_sums(image))) == 2
    assert len({entry["id"] for entry in histories(image)}) == 4


def test_no_layers_at_all():
    image = build_schema1(layers=0)
    check(image)
    assert b'"fsLayers": [],\n   "history": []\n}' in image.payload


@pytest.mark.slow
def test_several_signatures():
    image = build_schema1(
        signatures=["ES256", "RS256", "ES256", Signature(seed="mine")]
    )
    check(image)
    keys = verified_keys(image.data[image.digest])
    assert len(set(keys)) == 4
    mine = build_schema1(seed=1, signatures=[Signature(seed="mine")])
    assert verified_keys(mine.data[mine.digest]) == keys[3:]


def test_unsigned():
    image = build_schema1(signatures=[])
    check(image)
    assert image.descriptor.media_type == UNSIGNED
    assert image.data[image.digest] == image.payload


@pytest.mark.parametrize("media_type", [SIGNED, "application/json", "text/plain"])
def test_media_types_can_be_wrong(media_type):
    image = build_schema1(signatures=[], media_type=media_type)
    assert image.descriptor.media_type == media_type


@pytest.mark.parametrize("length", [-1, 0, 10**9])
def test_wrong_format_lengths(length):
    """Same payload, same digest: only what the signature says is wrong."""
    image = build_schema1(format_length=length)
    assert image.digest == build_schema1().digest
    with pytest.raises(ValueError, match=r"formatLength|invalid signature"):
        verified_keys(image.data[image.digest])


def test_signatures_with_different_lengths():
    image = build_schema1(
        format_length=5, signatures=["ES256", Signature(format_length=6)]
    )
    with pytest.raises(ValueError, match="disagree"):
        payload_of(image.data[image.digest])


def test_signatures_can_be_edited():
    def forget(found):
        del found["header"]["jwk"]

    forged = Signature(edit=lambda found: {**found, "signature": "A" * 86})
    image = build_schema1(
        signatures=[
            forged,
            Signature(edit=forget),
            Signature(edit_protected=lambda _: b"!"),
        ]
    )
    assert signature(image)["signature"] == "A" * 86
    assert "jwk" not in signature(image, 1)["header"]
    assert signature(image, 2)["protected"] == "IQ"
    forged_only = build_schema1(signatures=[forged])
    with pytest.raises(ValueError, match="invalid signature"):
        verified_keys(forged_only.data[forged_only.digest])


def test_payloads_are_signed_after_their_edit():
    def more(document):
        document["layers"] = []

    image = build_schema1(edit_manifest=more)
    check(image)
    assert json.loads(image.payload)["layers"] == []
    check(build_schema1(layers=0, edit_manifest=lambda d: d | {"tag": "x"}))
    raw = b'{"fsLayers":[],"fsLayers":[],"history":[]}'
    image = build_schema1(layers=0, edit_manifest=lambda _: raw)
    check(image)
    assert image.payload == raw


def test_members_beside_the_signatures():
    """CVE-2014-8179."""
    image = build_schema1(outside={"fsLayers": []})
    check(image)
    assert json.loads(image.data[image.digest])["fsLayers"] == []
    assert blob_sums(image)


def test_documents_can_be_edited_last():
    image = build_schema1(edit_document=lambda data: data[:-1])
    assert image.digest == build_schema1().digest
    assert image.descriptor.size == build_schema1().descriptor.size - 1


def test_there_is_no_config():
    image = build_schema1()
    with pytest.raises(LookupError, match="library/test:latest is a schema1 image"):
        _ = image.config
    with pytest.raises(LookupError):
        image.manifest()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"colour": "red"}, "colour: unknown keyword"),
        ({"layers": -1}, "layers=-1"),
        ({"empty_layers": -1}, "empty_layers=-1"),
        ({"layer_size": -1}, "layer_size=-1"),
        ({"repeat_layers": 0}, "repeat_layers=0"),
        ({"compression": "xz"}, "compression='xz'"),
        ({"mark": "Size"}, "mark='Size'"),
        ({"signatures": "ES256"}, "signatures: a sequence"),
        ({"signatures": ["HS256"]}, "signatures: 'HS256'"),
        ({"signatures": ["ES256", "none"]}, "signatures: 'none'"),
        ({"signatures": [], "outside": {}}, "outside"),
        ({"edit_manifest": lambda _: b"[]"}, "only a JSON object"),
    ],
)
def test_misuse_names_the_argument(options, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        build_schema1(**options)


def test_it_is_served_under_the_digest_of_its_payload():
    """distribution v2.8, docs/spec/api.md, Content Digests."""
    with Registry() as registry:
        image = registry.publish("library/old:1", format="schema1", empty_layers=1)
        for reference in ("1", image.digest):
            url = f"{registry.url}/v2/library/old/manifests/{reference}"
            with urllib.request.urlopen(url) as response:  # noqa: S310 - ours
                assert response.headers["Content-Type"] == SIGNED
                assert response.headers["Docker-Content-Digest"] == image.digest
                assert response.read() == image.data[image.digest]
        for blob in image.contents:
            url = f"{registry.url}/v2/library/old/blobs/{blob.digest}"
            with urllib.request.urlopen(url) as response:  # noqa: S310 - ours
                assert response.read() == image.data[blob.digest]


OPTIONS = st.fixed_dictionaries(
    {},
    optional={
        "layers": st.integers(0, 3)
        | st.lists(
            st.sampled_from([None, b"x", Step(empty=False), Step(layer=b"")]),
            max_size=3,
        ),
        "layer_size": st.integers(0, 2000),
        "empty_layers": st.integers(0, 2),
        "repeat_layers": st.integers(1, 2),
        "compression": st.sampled_from(["gzip", "zstd", "none"]),
        "mark": st.sampled_from(["throwaway", "size", None]),
        "seed": st.integers() | st.text(max_size=3),
        "config": st.none() | st.dictionaries(st.text(), st.text(), max_size=2),
        "signatures": st.lists(
            st.sampled_from(["ES256", Signature(seed="x")]), max_size=3
        ),
    },
)


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(["1", None]), OPTIONS)
def test_any_combination_verifies_and_repeats(tag, options):
    image = build_schema1("library/old", tag, **options)
    check(image)
    again = build_schema1("library/old", tag, **options)
    assert again.data == image.data
    assert again.descriptor == image.descriptor
