"""The record of an image: its name, what it points at, when it appears."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from conformance.case import Feature, Level, case
from conformance.cases._wire import LONG, start_half_a_pull

if TYPE_CHECKING:
    from collections.abc import Mapping

    from conformance.bench import Bench
    from conformance.stored import StoredImage
    from fakeregistry import Descriptor, Image

RECORD: Final = {Feature.IMAGE_RECORD}
SOURCE: Final = "containerd.io/distribution.source.127.0.0.1"


def _record(bench: Bench, image: Image) -> StoredImage | None:
    return bench.stored({"images"}).image(bench.registry.ref(image))


def _only_record(bench: Bench) -> StoredImage:
    records = bench.stored({"images"}).images or ()
    assert len(records) == 1, f"{len(records)} records of one image"
    return records[0]


def _labels(bench: Bench, *blobs: Descriptor) -> list[Mapping[str, str]]:
    stored = bench.stored({"content"})
    missing = [blob for blob in blobs if not stored.has(blob.digest)]
    assert not missing, f"not in the store: {missing[0]}"
    return [(stored.content or {})[blob.digest].labels for blob in blobs]


@case(
    clause="containerd v1.5.18 pull.go:224",
    level=Level.REFERENCE,
    needs=RECORD,
)
def test_record_has_the_reference_as_its_name(bench: Bench) -> None:
    """The record's name is the reference as it was given, its target the root.

    The target is the descriptor that was resolved: digest, size and media type.
    """
    image = bench.publish(platforms=["linux/amd64", "linux/arm64"])
    bench.must_pull(image, platform="linux/amd64")
    record = _only_record(bench)
    assert record.name == bench.registry.ref(image)
    assert record.target.digest == image.digest
    assert record.target.size == image.descriptor.size
    assert record.target.media_type == image.descriptor.media_type


@case(
    clause="containerd v1.5.18 pull.go:108",
    level=Level.REFERENCE,
    needs=RECORD,
    catalogue=("store-image-record-last",),
)
def test_record_appears_when_everything_is_there(bench: Bench) -> None:
    """There is no record before the last blob has come.

    Whoever finds a record may use the image: it must be whole by then.
    """
    image = bench.publish(layers=2)
    with bench.registry.gate(method="GET", digest=image.layers[-1].digest) as gate:
        pull = bench.start_pull(image)
        gate.wait_for(1)
        assert _record(bench, image) is None
        gate.open()
    assert pull.wait().ok
    assert _record(bench, image) is not None


@case(
    clause="containerd v1.5.18 pull.go:92",
    level=Level.REFERENCE,
    needs=RECORD,
    twin="records.record-appears-when-everything-is-there",
)
def test_no_record_of_a_pull_that_failed(bench: Bench) -> None:
    """A pull that fails leaves no record of the image."""
    image = bench.publish(layers=2)
    fault = bench.registry.fault(
        method="GET", digest=image.layers[0].digest, status=404
    )
    bench.must_reject(bench.pull(image), fault)
    assert _record(bench, image) is None


@case(
    clause="containerd v1.5.18 pull.go:108, content/local/writer.go:152",
    level=Level.REFERENCE,
    needs=RECORD | {Feature.CANCEL},
    twin="records.record-appears-when-everything-is-there",
    catalogue=("store-cancel",),
)
def test_no_record_of_a_pull_that_was_cancelled(bench: Bench) -> None:
    """Who ends a pull in the midst of a layer finds no image afterwards."""
    image = bench.publish(layers=2, layer_size=LONG)
    running, stall = start_half_a_pull(bench, image)
    ended = running.cancel()
    stall.release()
    assert not ended.ok, "the pull was cancelled, and reports success"
    assert _record(bench, image) is None


@case(
    clause="containerd v1.5.18 pull.go:231",
    level=Level.REFERENCE,
    needs=RECORD,
    catalogue=("store-create-or-update",),
)
def test_record_follows_a_tag_that_moved(bench: Bench) -> None:
    """Pulling a tag again, after it moved, replaces the record.

    One name, one record: it points at what the tag means now.
    """
    old = bench.publish(seed=1)
    bench.must_pull(old)
    new = bench.publish(seed=2)
    bench.must_pull(new)
    record = _only_record(bench)
    assert record.target.digest == new.digest != old.digest


@case(
    clause="containerd v1.5.18 pull.go:231",
    level=Level.REFERENCE,
    needs=RECORD,
    twin="records.record-follows-a-tag-that-moved",
)
def test_record_stays_when_the_new_image_cannot_be_had(bench: Bench) -> None:
    """A failed update leaves the record, and the image, of before.

    The user still has what ran yesterday.
    """
    old = bench.publish(seed=1)
    bench.must_pull(old)
    new = bench.publish(seed=2)
    fault = bench.registry.fault(method="GET", digest=new.layers[0].digest, status=404)
    bench.must_reject(bench.pull(new), fault)
    record = _record(bench, old)
    assert record is not None
    assert record.target.digest == old.digest


@case(
    clause="containerd v1.5.18 client_opts.go:154, pull.go:227",
    level=Level.REFERENCE,
    needs=RECORD | {Feature.LABELS},
)
def test_record_carries_the_labels_of_the_last_pull(bench: Bench) -> None:
    """Labels given to a pull are the record's; the next pull replaces them all."""
    image = bench.publish()
    bench.must_pull(image, labels={"team": "red", "stage": "test"})
    record = _record(bench, image)
    assert record is not None
    assert dict(record.labels) == {"team": "red", "stage": "test"}
    bench.must_pull(image, labels={"team": "blue"})
    record = _record(bench, image)
    assert record is not None
    assert dict(record.labels) == {"team": "blue"}


@case(
    clause="containerd v1.5.18 remotes/docker/resolver.go:245, remotes/handlers.go:109",
    level=Level.REFERENCE,
    catalogue=("store-repull-unchanged",),
)
def test_second_pull_asks_once_and_downloads_nothing(bench: Bench) -> None:
    """Pulling what is there costs one HEAD request and not a byte of content."""
    image = bench.publish(layers=2, platforms=["linux/amd64"])
    bench.must_pull(image, platform="linux/amd64")
    bench.registry.journal.clear()
    bench.must_pull(image, platform="linux/amd64")
    assert [asked.method for asked in bench.registry.journal] == ["HEAD"]


@case(
    clause="containerd v1.5.18 images/handlers.go:182, images/mediatypes.go:179",
    level=Level.REFERENCE,
    needs={Feature.LABELS, Feature.CONTENT},
    catalogue=("manifest-gc-label-indices",),
)
def test_parents_are_labelled_with_their_children(bench: Bench) -> None:
    """Each document carries a label for everything it refers to.

    These labels are what the garbage collector follows. An index is labelled
    with all its manifests, also those of platforms that are not pulled.
    """
    image = bench.publish(layers=2, platforms=["linux/amd64", "linux/arm64"])
    bench.must_pull(image, platform="linux/amd64")
    first, second = image.manifests
    index, manifest = _labels(bench, image.descriptor, first.descriptor)
    assert _references(index) == {
        "m.0": first.descriptor.digest,
        "m.1": second.descriptor.digest,
    }
    assert _references(manifest) == {
        "config": first.config.digest,
        "l.0": first.layers[0].digest,
        "l.1": first.layers[1].digest,
    }


def _references(labels: Mapping[str, str]) -> dict[str, str]:
    prefix = "containerd.io/gc.ref.content."
    return {
        key.removeprefix(prefix): value
        for key, value in labels.items()
        if key.startswith(prefix)
    }


@case(
    clause="containerd v1.5.18 remotes/docker/handler.go:39",
    level=Level.REFERENCE,
    needs={Feature.LABELS, Feature.CONTENT},
    catalogue=("store-distribution-source-label",),
)
def test_content_is_labelled_with_where_it_came_from(bench: Bench) -> None:
    """Each blob names the repositories it was pulled from, sorted, without port.

    A later push to the same host can then mount the blob instead of sending it.
    """
    second = bench.publish("zoo/b:v1", seed=1)
    first = bench.publish("ape/a:v1", seed=1)
    assert first.digest == second.digest
    bench.must_pull(second)
    bench.must_pull(first)
    for labels in _labels(bench, *first.blobs):
        assert labels.get(SOURCE) == "ape/a,zoo/b"
