"""Registries that fail, lie or stop: what is tried again, and what is kept."""

from collections.abc import Callable
from typing import Any

from fakeregistry.image import Image
from tests.differential.stage import CRI, FETCH, PULL, Stage, scenario

Document = dict[str, Any]
TWO = ("linux/amd64", "linux/arm64")


def layer_of(image: Image) -> str:
    """Return the path of the first layer."""
    return f"/blobs/{image.layers[0].digest}"


def layer_says(**members: object) -> Callable[[Document], None]:
    """Return an edit of a manifest that changes the first layer's descriptor."""

    def edit(manifest: Document) -> None:
        manifest["layers"][0].update(members)

    return edit


# -- Bytes that are not what was announced ---------------------------------------


@scenario(FETCH, PULL, CRI)
def layer_with_a_flipped_bit(stage: Stage) -> None:
    """The layer's bytes do not match its digest."""
    image = stage.publish()
    stage.fault(path=layer_of(image), flip=40)
    stage.pull(image, fails=True, unsure=[image.config])


@scenario(FETCH, CRI)
def layer_with_bytes_behind_it(stage: Stage) -> None:
    """The layer is longer than its descriptor says."""
    image = stage.publish()
    stage.fault(path=layer_of(image), append=b"extra")
    stage.pull(image, fails=True, unsure=[image.config])


@scenario(FETCH, CRI)
def layer_that_is_short(stage: Stage) -> None:
    """The layer is shorter than its descriptor says, and complete as a response."""
    image = stage.publish()
    stage.fault(path=layer_of(image), shorten=1000)
    stage.pull(image, fails=True, unsure=[image.config])


@scenario(FETCH)
def layer_without_an_end(stage: Stage) -> None:
    """A layer that goes on for a megabyte."""
    image = stage.publish()
    stage.fault(path=layer_of(image), endless=1 << 20)
    stage.pull(image, fails=True, unsure=[image.config])


@scenario(FETCH, CRI)
def config_with_a_flipped_bit(stage: Stage) -> None:
    """The configuration's bytes do not match its digest."""
    image = stage.publish()
    stage.fault(path=f"/blobs/{image.config.digest}", flip=40)
    stage.pull(image, fails=True, unsure=image.layers)


@scenario(FETCH, CRI)
def manifest_with_a_flipped_bit(stage: Stage) -> None:
    """The manifest's bytes do not match its digest."""
    image = stage.publish(annotations={"note": "intact"})
    place = image.data[image.digest].index(b"intact")
    stage.fault(method="GET", path=f"/manifests/{image.digest}", flip=place)
    stage.pull(image, fails=True)


@scenario(FETCH, CRI)
def manifest_of_an_index_with_a_flipped_bit(stage: Stage) -> None:
    """The same, one level further down."""
    image = stage.publish(annotations={"note": "intact"}, platforms=TWO[:1])
    child = image.manifests[0].descriptor.digest
    place = image.data[child].index(b"intact")
    stage.fault(method="GET", path=f"/manifests/{child}", flip=place)
    stage.pull(image, fails=True)


@scenario(FETCH)
def index_with_a_flipped_bit(stage: Stage) -> None:
    """The same of an index."""
    image = stage.publish(index_annotations={"note": "intact"}, platforms=TWO)
    place = image.data[image.digest].index(b"intact")
    stage.fault(method="GET", path=f"/manifests/{image.digest}", flip=place)
    stage.pull(image, fails=True)


@scenario(FETCH, PULL, CRI)
def schema1_layer_with_a_flipped_bit(stage: Stage) -> None:
    """A layer of a schema1 image whose bytes do not match."""
    image = stage.publish_schema1(layers=1)
    stage.fault(path=f"/blobs/{image.steps[0].digest}", flip=40)
    stage.pull(image, fails=True)


@scenario(FETCH, CRI)
def layer_of_wrong_size(stage: Stage) -> None:
    """The manifest says a wrong size; the digest is right."""
    image = stage.publish(edit_manifest=layer_says(size=2590))
    stage.pull(image, fails=True, unsure=[image.config])


@scenario(FETCH)
def layer_of_size_zero(stage: Stage) -> None:
    """The manifest says a size of zero."""
    image = stage.publish(edit_manifest=layer_says(size=0))
    stage.pull(image, fails=True, unsure=[image.config])


@scenario(FETCH)
def layer_of_negative_size(stage: Stage) -> None:
    """The manifest says a negative size."""
    image = stage.publish(edit_manifest=layer_says(size=-1))
    stage.pull(image, fails=True, unsure=[image.config])


@scenario(FETCH)
def layer_whose_digest_is_a_path(stage: Stage) -> None:
    """The manifest names a path in place of a digest."""
    image = stage.publish(edit_manifest=layer_says(digest="../../etc/passwd"))
    stage.pull(image, fails=True, unsure=[image.config])


@scenario(PULL, CRI)
def wrong_diff_id(stage: Stage) -> None:
    """The configuration says another digest for what is in the layer."""
    rootfs = {"type": "layers", "diff_ids": [f"sha256:{'1' * 64}"]}
    image = stage.publish(config={"rootfs": rootfs})
    stage.pull(image, fails=True)


@scenario(PULL, CRI)
def fewer_diff_ids_than_layers(stage: Stage) -> None:
    """The configuration knows one of two layers."""
    rootfs = {"type": "layers", "diff_ids": [f"sha256:{'1' * 64}"]}
    image = stage.publish(layers=2, config={"rootfs": rootfs})
    stage.pull(image, fails=True)


@scenario(PULL, CRI)
def layer_that_is_no_archive(stage: Stage) -> None:
    """A layer of text."""
    image = stage.publish(layers=[b"this is no archive\n" * 60], compression="none")
    stage.pull(image, fails=True)


# -- Bodies that break off ------------------------------------------------------


@scenario(FETCH, PULL, CRI)
def layer_cut_once(stage: Stage) -> None:
    """A body that breaks off is continued."""
    image = stage.publish()
    stage.fault(method="GET", path=layer_of(image), times=1, truncate=1000)
    stage.pull(image)


@scenario(FETCH)
def layer_cut_every_time(stage: Stage) -> None:
    """A body that breaks off again and again, and gets on each time."""
    image = stage.publish()
    stage.fault(method="GET", path=layer_of(image), truncate=1000)
    stage.pull(image)


@scenario(FETCH)
def layer_cut_in_a_chunk(stage: Stage) -> None:
    """The same without Content-Length."""
    image = stage.publish()
    stage.fault(method="GET", path=layer_of(image), times=1, cut=1000)
    stage.pull(image)


@scenario(FETCH, CRI)
def layer_reset_once(stage: Stage) -> None:
    """A connection that is reset in the middle of a body."""
    image = stage.publish()
    stage.fault(method="GET", path=layer_of(image), times=1, reset=1000)
    stage.pull(image, fails=True, unsure=[image.config])


@scenario(FETCH)
def layer_never_begins(stage: Stage) -> None:
    """A body that breaks off before its first byte, always."""
    image = stage.publish()
    stage.fault(method="GET", path=layer_of(image), truncate=0)
    stage.pull(image, fails=True, unsure=[image.config])


@scenario(FETCH)
def range_is_overlooked(stage: Stage) -> None:
    """The registry sends the whole layer where the rest was asked for."""
    image = stage.publish()
    stage.fault(method="GET", path=layer_of(image), times=1, truncate=1000)
    stage.fault(method="GET", path=layer_of(image), range=True, ignore_range=True)
    stage.pull(image)


@scenario(FETCH)
def wrong_range(stage: Stage) -> None:
    """The registry says that it sends another part."""
    image = stage.publish()
    size = image.layers[0].size
    lie = f"bytes 0-{size - 1}/{size}"
    stage.fault(method="GET", path=layer_of(image), times=1, truncate=1000)
    stage.fault(method="GET", path=layer_of(image), range=True, content_range=lie)
    stage.pull(image, fails=True, unsure=[image.config])


@scenario(FETCH)
def range_is_refused(stage: Stage) -> None:
    """The registry answers 416 to the request for the rest."""
    image = stage.publish()
    stage.fault(method="GET", path=layer_of(image), times=1, truncate=1000)
    stage.fault(method="GET", path=layer_of(image), range=True, status=416)
    stage.pull(image, fails=True, unsure=[image.config])


@scenario(FETCH, PULL)
def continued_by_the_next_pull(stage: Stage) -> None:
    """A pull that failed in the middle of a layer; the next one asks for the rest."""
    image = stage.publish()
    stage.fault(method="GET", path=layer_of(image), times=1, truncate=1000)
    stage.fault(method="GET", path=layer_of(image), range=True, status=404)
    stage.pull(image, fails=True, unsure=[image.config])
    stage.mend()
    stage.pull(image, unsure=[image.config])


@scenario(FETCH)
def schema1_layer_cut_once(stage: Stage) -> None:
    """A layer of a schema1 image is continued, too."""
    image = stage.publish_schema1(layers=1)
    path = f"/blobs/{image.steps[0].digest}"
    stage.fault(method="GET", path=path, times=1, truncate=1000)
    stage.pull(image)


# -- Statuses ---------------------------------------------------------------------


@scenario(FETCH, PULL, CRI)
def layer_is_missing(stage: Stage) -> None:
    """404 for a layer."""
    image = stage.publish()
    stage.fault(path=layer_of(image), status=404)
    stage.pull(image, fails=True, unsure=[image.config])


@scenario(FETCH)
def config_is_missing(stage: Stage) -> None:
    """404 for the configuration."""
    image = stage.publish()
    stage.fault(path=f"/blobs/{image.config.digest}", status=404)
    stage.pull(image, fails=True, unsure=image.layers)


@scenario(FETCH, CRI)
def manifest_of_an_index_is_missing(stage: Stage) -> None:
    """404 for a manifest that the index names."""
    image = stage.publish(platforms=TWO)
    child = image.manifests[0].descriptor.digest
    stage.fault(path=f"/manifests/{child}", status=404)
    stage.pull(image, fails=True)


@scenario(FETCH)
def layer_is_denied(stage: Stage) -> None:
    """403 with an error of the registry's."""
    image = stage.publish()
    body = b'{"errors":[{"code":"DENIED","message":"not yours"}]}'
    stage.fault(path=layer_of(image), status=403, body=body)
    stage.pull(image, fails=True, unsure=[image.config])


@scenario(FETCH, CRI)
def layer_breaks_the_registry(stage: Stage) -> None:
    """500 for a layer."""
    image = stage.publish()
    stage.fault(path=layer_of(image), status=500)
    stage.pull(image, fails=True, unsure=[image.config])


@scenario(FETCH)
def layer_is_not_there_for_the_moment(stage: Stage) -> None:
    """503 for a layer, once."""
    image = stage.publish()
    stage.fault(path=layer_of(image), times=1, status=503)
    stage.pull(image, fails=True, unsure=[image.config])


@scenario(FETCH, CRI)
def registry_is_broken(stage: Stage) -> None:
    """500 for everything."""
    image = stage.publish()
    stage.fault(path="/v2/*", status=500)
    stage.pull(image, fails=True)


@scenario(FETCH, CRI)
def busy_twice(stage: Stage) -> None:
    """429 twice for the name, and once for a layer."""
    image = stage.publish()
    stage.fault(method="HEAD", path="/manifests/*", times=2, status=429)
    stage.fault(path=layer_of(image), times=1, status=429)
    stage.pull(image)


@scenario(FETCH)
def always_busy(stage: Stage) -> None:
    """429 for ever."""
    image = stage.publish()
    stage.fault(path="/manifests/*", status=429)
    stage.pull(image, fails=True)


@scenario(FETCH)
def too_late_once(stage: Stage) -> None:
    """408 for the name, and for a layer."""
    image = stage.publish()
    stage.fault(method="HEAD", path="/manifests/*", times=1, status=408)
    stage.fault(path=layer_of(image), times=1, status=408)
    stage.pull(image)


@scenario(FETCH, CRI)
def head_is_not_allowed(stage: Stage) -> None:
    """405 for HEAD: the manifest is fetched by its tag."""
    image = stage.publish()
    stage.fault(method="HEAD", path="/manifests/*", status=405)
    stage.pull(image)


@scenario(FETCH)
def head_is_unknown(stage: Stage) -> None:
    """404 for HEAD, though GET would do."""
    image = stage.publish()
    stage.fault(method="HEAD", path="/manifests/*", status=404)
    stage.pull(image, fails=True)


@scenario(FETCH)
def head_breaks_the_registry(stage: Stage) -> None:
    """500 for HEAD."""
    image = stage.publish()
    stage.fault(method="HEAD", path="/manifests/*", status=500)
    stage.pull(image, fails=True)


@scenario(FETCH)
def first_request_gets_no_answer(stage: Stage) -> None:
    """A new connection that is closed without an answer."""
    image = stage.publish()
    stage.fault(method="HEAD", path="/manifests/*", cut=True)
    stage.pull(image, fails=True)


@scenario(FETCH)
def next_request_gets_no_answer(stage: Stage) -> None:
    """A connection that is closed while it was idle: the request is sent again."""
    image = stage.publish(platforms=TWO[:1])
    child = image.manifests[0].descriptor.digest
    stage.fault(method="GET", path=f"/manifests/{child}", times=1, cut=True)
    stage.pull(image)
