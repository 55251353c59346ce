"""Documents that are not what they ought to be."""

import json
from typing import Any

from fakeregistry.image import DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST
from tests.differential.stage import CRI, FETCH, Stage, scenario

Document = dict[str, Any]


def put(stage: Stage, data: bytes, media_type: str) -> str:
    """Publish raw bytes as a manifest, and return their reference."""
    stage.registry.put_manifest(
        stage.repository, data, media_type=media_type, tag="latest"
    )
    return f"{stage.registry.host}/{stage.repository}:latest"


def edited(**members: object) -> Any:
    """Return an edit that sets members of a document."""
    return lambda document: document.update(members)


@scenario(FETCH, CRI)
def manifest_that_is_an_index_too(stage: Stage) -> None:
    """A manifest with ``manifests`` (CVE-2021-41190)."""
    stage.pull(stage.publish(edit_manifest=edited(manifests=[])), fails=True)


@scenario(FETCH, CRI)
def index_that_is_a_manifest_too(stage: Stage) -> None:
    """An index with ``layers`` and ``config``."""
    image = stage.publish(
        platforms=["linux/amd64"], edit_index=edited(layers=[], config={})
    )
    stage.pull(image, fails=True)


@scenario(FETCH)
def manifest_with_schema1_layers(stage: Stage) -> None:
    """A manifest with ``fsLayers``."""
    stage.pull(stage.publish(edit_manifest=edited(fsLayers=[])), fails=True)


@scenario(FETCH)
def manifest_that_calls_itself_an_index(stage: Stage) -> None:
    """The document's own media type is that of an index."""
    stage.pull(stage.publish(edit_manifest=edited(mediaType=OCI_INDEX)), fails=True)


@scenario(FETCH)
def manifest_that_calls_itself_something_else(stage: Stage) -> None:
    """The document's own media type is Docker's; the registry says OCI's."""
    stage.pull(stage.publish(edit_manifest=edited(mediaType=DOCKER_MANIFEST)))


@scenario(FETCH)
def manifest_that_is_no_json(stage: Stage) -> None:
    """Text in place of a manifest."""
    stage.pull(put(stage, b"this is no manifest", OCI_MANIFEST), fails=True)


@scenario(FETCH)
def manifest_that_is_null(stage: Stage) -> None:
    """``null`` in place of a manifest."""
    stage.pull(put(stage, b"null", OCI_MANIFEST), fails=True)


@scenario(FETCH)
def manifest_that_is_a_list(stage: Stage) -> None:
    """A JSON array in place of a manifest."""
    stage.pull(put(stage, b"[]", OCI_MANIFEST), fails=True)


@scenario(FETCH)
def manifest_of_nothing(stage: Stage) -> None:
    """An object without members."""
    stage.pull(put(stage, b"{}", OCI_MANIFEST), fails=True)


@scenario(FETCH)
def index_of_nothing(stage: Stage) -> None:
    """An object without members in place of an index."""
    stage.pull(put(stage, b"{}", OCI_INDEX))


@scenario(FETCH)
def manifest_without_config(stage: Stage) -> None:
    """Layers only."""

    def edit(document: Document) -> None:
        del document["config"]

    image = stage.publish(edit_manifest=edit)
    stage.pull(image, fails=True, unsure=image.layers)


@scenario(FETCH)
def keys_in_capitals(stage: Stage) -> None:
    """Go reads member names whatever their case."""

    def edit(document: Document) -> bytes:
        text = json.dumps(document, separators=(",", ":"))
        for name in ("layers", "config", "digest"):
            text = text.replace(f'"{name}"', f'"{name.upper()}"')
        return text.encode()

    stage.pull(stage.publish(edit_manifest=edit))


@scenario(FETCH)
def member_given_twice(stage: Stage) -> None:
    """The last one counts."""

    def edit(document: Document) -> bytes:
        text = json.dumps(document, separators=(",", ":"))
        return text.replace('"layers":', '"layers":[],"layers":').encode()

    stage.pull(stage.publish(edit_manifest=edit))


@scenario(FETCH)
def fraction_of_a_byte(stage: Stage) -> None:
    """A size that is no whole number."""

    def edit(document: Document) -> None:
        document["layers"][0]["size"] = 5.5

    stage.pull(stage.publish(edit_manifest=edit), fails=True)


@scenario(FETCH)
def unknown_members(stage: Stage) -> None:
    """Members that nobody knows do no harm."""
    image = stage.publish(
        platforms=["linux/amd64"],
        edit_manifest=edited(unknown={"a": [1]}),
        edit_index=edited(unknown=True),
    )
    stage.pull(image)


@scenario(FETCH)
def byte_order_mark(stage: Stage) -> None:
    """A manifest that begins with a byte order mark."""

    def edit(document: Document) -> bytes:
        return b"\xef\xbb\xbf" + json.dumps(document).encode()

    stage.pull(stage.publish(edit_manifest=edit), fails=True)


@scenario(FETCH)
def legacy_manifest_with_more(stage: Stage) -> None:
    """What a converted manifest keeps, loses, and how it is written."""

    def edit(document: Document) -> None:
        document["unknown"] = 1
        document["annotations"] = {"z": "<&>\u2028", "a": "\u00e4"}
        document["layers"][0]["annotations"] = {"b": "2", "a": "1"}

    stage.pull(stage.publish(legacy_config=True, edit_manifest=edit))


@scenario(FETCH)
def schema1_with_keys_of_an_index(stage: Stage) -> None:
    """A schema1 manifest with ``layers``."""
    image = stage.publish_schema1(layers=1, edit_manifest=edited(layers=[]))
    stage.pull(image, fails=True)


@scenario(FETCH)
def schema1_history(stage: Stage) -> None:
    """What a configuration is made of: names, times and comments."""
    config = {
        "author": "A <a@example.org>",
        "created": "2016-01-02T03:04:05.600000000+02:00",
        "comment": "a & b",
        "docker_version": "1.9.1",
    }
    stage.pull(stage.publish_schema1(layers=2, config=config))


@scenario(FETCH)
def schema1_variant(stage: Stage) -> None:
    """A variant of the architecture in the history of a schema1 manifest."""
    config = {"architecture": "arm64", "variant": "v8"}
    stage.pull(stage.publish_schema1(layers=1, config=config))


@scenario(FETCH)
def ordinary_layer_with_a_url(stage: Stage) -> None:
    """A layer that the registry has, with a URL where nobody listens."""

    def edit(document: Document) -> None:
        document["layers"][0]["urls"] = ["http://127.0.0.1:1/"]

    image = stage.publish(edit_manifest=edit)
    stage.pull(image, fails=True, unsure=[image.config])
