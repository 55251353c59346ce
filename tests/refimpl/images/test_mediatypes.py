"""images/mediatypes.go."""

import pytest

from refimpl import images
from refimpl.descriptor import Descriptor
from refimpl.errdefs import ErrNotImplemented

OCI = "application/vnd.oci.image"
DOCKER = "application/vnd.docker"


@pytest.mark.parametrize(
    ("media_type", "compression"),
    [
        (f"{DOCKER}.image.rootfs.diff.tar", "unknown"),
        (f"{DOCKER}.image.rootfs.diff.tar+x", ""),
        (f"{DOCKER}.image.rootfs.foreign.diff.tar.gzip", "gzip"),
        (f"{DOCKER}.image.rootfs.diff.tar.gzip+encrypted", ""),
        (f"{OCI}.layer.v1.tar", ""),
        (f"{OCI}.layer.v1.tar+gzip", "gzip"),
        (f"{OCI}.layer.v1.tar+zstd", "zstd"),
        (f"{OCI}.layer.v1.tar+gzip+encrypted", "gzip"),
        (f"{OCI}.layer.v1.tar+zzz+zstd", ""),
        (f"{OCI}.layer.nondistributable.v1.tar+zstd", "zstd"),
    ],
)
def test_diff_compression(media_type, compression):
    """The suffixes are sorted first, so the last letter of the alphabet decides."""
    assert images.diff_compression(media_type) == compression


def test_only_layers_have_a_compression():
    with pytest.raises(ErrNotImplemented, match="unrecognised mediatype text/plain"):
        images.diff_compression("text/plain")


@pytest.mark.parametrize(
    ("media_type", "label"),
    [
        (f"{OCI}.config.v1+json", "config"),
        (images.MEDIA_TYPE_CONTAINERD1_CHECKPOINT, "config"),
        (f"{OCI}.manifest.v1+json", "m."),
        (f"{OCI}.layer.v1.tar+gzip", "l."),
        (f"{OCI}.index.v1+json", ""),
        ("", ""),
    ],
)
def test_child_gc_labels(media_type, label):
    desc = Descriptor(media_type=media_type)
    expected = (f"containerd.io/gc.ref.content.{label}",)
    assert images.child_gc_labels(desc) == expected
    kept = () if label == "l." else expected
    assert images.child_gc_labels_filter_layers(desc) == kept


def test_foreign_layers_are_not_to_be_distributed():
    assert images.is_non_distributable(f"{DOCKER}.image.rootfs.foreign.diff.tar.gzip")
    assert not images.is_non_distributable(f"{DOCKER}.image.rootfs.diff.tar.gzip")


def test_only_the_signed_schema1_type_is_schema1():
    assert f"{DOCKER}.distribution.manifest.v1+json" not in images.SCHEMA1_MEDIA_TYPES
