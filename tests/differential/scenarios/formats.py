"""Every format of a manifest, an index, a configuration and a layer."""

from typing import Any

from fakeregistry.content import Entry
from fakeregistry.layers import EMPTY_LAYER, Layer, seeded_layer
from tests.differential.stage import CRI, FETCH, PULL, Stage, scenario

THREE = ("linux/amd64", "linux/arm64", "linux/arm/v7")


@scenario(FETCH, PULL, CRI)
def oci_manifest(stage: Stage) -> None:
    """One OCI manifest with two layers."""
    stage.pull(stage.publish(layers=2))


@scenario(FETCH, PULL, CRI)
def oci_index(stage: Stage) -> None:
    """An OCI index of three platforms."""
    stage.pull(stage.publish(layers=2, platforms=THREE))


@scenario(FETCH, PULL, CRI)
def docker_manifest(stage: Stage) -> None:
    """One Docker schema2 manifest."""
    stage.pull(stage.publish(layers=2, format="docker"))


@scenario(FETCH, PULL, CRI)
def docker_list(stage: Stage) -> None:
    """A Docker manifest list of three platforms."""
    stage.pull(stage.publish(layers=2, platforms=THREE, format="docker"))


@scenario(FETCH, CRI)
def documents_without_media_type(stage: Stage) -> None:
    """Neither index nor manifests say what they are."""
    stage.pull(stage.publish(platforms=THREE, media_type_field=False))


@scenario(FETCH, PULL, CRI)
def zstd_layers(stage: Stage) -> None:
    """Layers packed with zstd."""
    stage.pull(stage.publish(layers=2, compression="zstd"))


@scenario(FETCH, PULL, CRI)
def plain_layers(stage: Stage) -> None:
    """Layers that are not packed."""
    stage.pull(stage.publish(layers=2, compression="none"))


@scenario(PULL, CRI)
def plain_docker_layers(stage: Stage) -> None:
    """Docker layers that are not packed."""
    stage.pull(stage.publish(layers=2, compression="none", format="docker"))


@scenario(PULL, CRI)
def layers_packed_otherwise_than_they_say(stage: Stage) -> None:
    """Layers whose media type says gzip, and whose bytes are plain or zstd."""
    layers = [
        seeded_layer("plain", size=600, compression="none"),
        seeded_layer("zstd", size=600, compression="zstd"),
    ]
    stage.pull(stage.publish(layers=layers))


@scenario(FETCH, PULL, CRI)
def image_without_layers(stage: Stage) -> None:
    """A manifest without any layer, with no layers in its configuration."""
    stage.pull(stage.publish(layers=0))


@scenario(FETCH, PULL, CRI)
def layer_listed_twice(stage: Stage) -> None:
    """Each layer stands twice in the manifest."""
    stage.pull(stage.publish(layers=2, repeat_layers=2))


@scenario(FETCH, PULL, CRI)
def layers_shared_by_platforms(stage: Stage) -> None:
    """All platforms have the same layers."""
    layers = [seeded_layer("shared", size=600, compression="gzip")]
    stage.pull(stage.publish(layers=layers, platforms=THREE))


def layer_elsewhere(stage: Stage) -> Layer:
    """Return a layer that is not distributed, and lies at a URL of its own."""
    made = seeded_layer("foreign", size=600, compression="gzip")
    elsewhere = f"{stage.repository}/elsewhere"
    blob = stage.registry.put_blob(elsewhere, made.data)
    url = f"{stage.registry.url}/v2/{elsewhere}/blobs/{blob.digest}"
    return Layer(data=made.data, foreign=True, urls=(url,), stored=False)


@scenario(FETCH, PULL, CRI)
def foreign_layer(stage: Stage) -> None:
    """A foreign layer, as Docker calls it, at another place."""
    layer = layer_elsewhere(stage)
    stage.pull(stage.publish(layers=[layer], format="docker"))


@scenario(FETCH, PULL, CRI)
def nondistributable_layer(stage: Stage) -> None:
    """A non-distributable layer, as OCI calls it, at another place."""
    stage.pull(stage.publish(layers=[layer_elsewhere(stage)]))


@scenario(FETCH, PULL, CRI)
def legacy_config(stage: Stage) -> None:
    """A configuration of type application/octet-stream: the manifest is converted."""
    image = stage.publish(layers=2, legacy_config=True)
    stage.pull(image, fails=stage.way == CRI)


@scenario(FETCH, PULL)
def legacy_config_in_a_list(stage: Stage) -> None:
    """Such a manifest in a list, where it stays as it is."""
    stage.pull(stage.publish(layers=1, legacy_config=True, platforms=THREE))


@scenario(FETCH, PULL, CRI)
def schema1(stage: Stage) -> None:
    """A signed schema1 manifest: it is converted."""
    stage.pull(stage.publish_schema1(layers=2))


@scenario(FETCH, PULL, CRI)
def schema1_empty_layers(stage: Stage) -> None:
    """Steps that changed no file, marked throwaway."""
    stage.pull(stage.publish_schema1(layers=2, empty_layers=2))


@scenario(FETCH, PULL, CRI)
def schema1_sizes(stage: Stage) -> None:
    """Steps that changed no file, marked by their size."""
    stage.pull(stage.publish_schema1(layers=2, empty_layers=1, mark="size"))


@scenario(FETCH, PULL, CRI)
def schema1_without_marks(stage: Stage) -> None:
    """Steps that changed no file, found out by their content."""
    stage.pull(stage.publish_schema1(layers=1, empty_layers=1, mark=None))


@scenario(FETCH, PULL)
def schema1_layer_listed_twice(stage: Stage) -> None:
    """Each layer is listed twice."""
    stage.pull(stage.publish_schema1(layers=2, repeat_layers=2))


@scenario(FETCH)
def schema1_two_signatures(stage: Stage) -> None:
    """Two signatures, the first one with an RSA key."""
    stage.pull(stage.publish_schema1(layers=1, signatures=["RS256", "ES256"]))


@scenario(FETCH, PULL)
def schema1_plain_layers(stage: Stage) -> None:
    """Layers that are not packed."""
    stage.pull(stage.publish_schema1(layers=2, compression="none"))


@scenario(FETCH)
def schema1_unsigned(stage: Stage) -> None:
    """A schema1 manifest without signature, whose media type nobody converts."""
    stage.pull(stage.publish_schema1(layers=1, signatures=[]), fails=True)


@scenario(FETCH)
def schema1_by_digest(stage: Stage) -> None:
    """The digest is that of the payload, not of the bytes that are served."""
    image = stage.publish_schema1(layers=1)
    stage.pull(stage.registry.ref(image, digest=True))


@scenario(FETCH, PULL)
def artifact(stage: Stage) -> None:
    """An artifact of today: no configuration and no content."""
    kind = "application/vnd.example.thing.v1"
    image = stage.publish(layers=[EMPTY_LAYER], artifact_type=kind)
    stage.pull(image, fails=stage.unpacks)


@scenario(FETCH, PULL, CRI)
def chart(stage: Stage) -> None:
    """A Helm chart: a configuration and a layer of types of their own."""
    image = stage.publish(
        layers=1,
        config_media_type="application/vnd.cncf.helm.config.v1+json",
        layer_media_type="application/vnd.cncf.helm.chart.content.v1.tar+gzip",
        config=b'{"name":"chart","version":"1.0.0"}',
    )
    stage.pull(image, fails=stage.unpacks)


@scenario(FETCH, PULL)
def sha512_content(stage: Stage) -> None:
    """The configuration and the layer are named by sha512, which nobody can store."""
    image = stage.publish(layers=1, algorithm="sha512")
    stage.pull(image, fails=True, unsure=[image.config, *image.layers])


@scenario(FETCH)
def sha512_manifests(stage: Stage) -> None:
    """All is named by sha512."""
    both: Any = {"algorithm": "sha512", "document_algorithm": "sha512"}
    stage.pull(stage.publish(layers=1, platforms=THREE[:1], **both), fails=True)


@scenario(FETCH, CRI)
def embedded_data(stage: Stage) -> None:
    """Descriptors bring their content along."""
    image = stage.publish(platforms=THREE, embed=["config", "layers", "manifests"])
    stage.pull(image)


@scenario(FETCH, PULL, CRI)
def annotations(stage: Stage) -> None:
    """Annotations everywhere; some of a layer's become labels of its snapshot."""
    made = seeded_layer("annotated", size=600, compression="gzip")
    layer = Layer(
        data=made.data,
        annotations={"containerd.io/snapshot/colour": "blue", "other": "thing"},
    )
    image = stage.publish(
        layers=[layer],
        platforms=[Entry(platform="linux/amd64", annotations={"entry": "one"})],
        annotations={"manifest": "one"},
        index_annotations={"index": "one"},
    )
    stage.pull(image)


@scenario(FETCH)
def referrer(stage: Stage) -> None:
    """A manifest that says what it is about."""
    subject = stage.publish("subject", label="subject")
    image = stage.publish("sbom", subject=subject, artifact_type="application/spdx")
    stage.pull(image)


@scenario(FETCH, PULL, CRI)
def attestation(stage: Stage) -> None:
    """What BuildKit makes: an entry of platform unknown/unknown beside each image."""
    entries = [Entry(platform="linux/amd64"), Entry(attestation=True)]
    stage.pull(stage.publish(platforms=entries))


@scenario(FETCH)
def attestation_of_all_platforms(stage: Stage) -> None:
    """The same, with every platform."""
    entries = [Entry(platform="linux/amd64"), Entry(attestation=True)]
    stage.pull(stage.publish(platforms=entries), all_platforms=True)


@scenario(FETCH, PULL, CRI)
def nested_index(stage: Stage) -> None:
    """An index in an index in an index."""
    stage.pull(stage.publish(platforms=THREE, nesting=2))


@scenario(FETCH, CRI)
def nested_index_with_platform(stage: Stage) -> None:
    """An index whose entry is an index for one platform."""
    image = stage.publish(platforms=THREE, nesting=1, nesting_platform="linux/amd64")
    stage.pull(image)


@scenario(FETCH, CRI)
def index_beside_manifests(stage: Stage) -> None:
    """An index with a manifest, and an index with another one."""
    entries = [
        Entry(platform="linux/arm64"),
        Entry(children=["linux/amd64", "linux/s390x"]),
        Entry(platform="linux/amd64"),
    ]
    stage.pull(stage.publish(platforms=entries))


@scenario(FETCH)
def entry_of_unknown_type(stage: Stage) -> None:
    """An entry of an index that is no manifest, but has the platform."""
    entries = [
        Entry(platform="linux/amd64"),
        Entry(platform="linux/amd64", data=b"thing", media_type="application/x-thing"),
    ]
    stage.pull(stage.publish(platforms=entries))
