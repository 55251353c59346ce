"""images/image.go: documents, and what they must not be at once."""

import pytest

from refimpl import images
from refimpl.descriptor import Platform
from refimpl.digest import Digest
from refimpl.errdefs import message
from refimpl.gojson import JSONError, parse
from refimpl.gotime import TimeError
from refimpl.images.image import index_from

MANIFESTS = (
    images.MEDIA_TYPE_IMAGE_MANIFEST,
    images.MEDIA_TYPE_DOCKER_SCHEMA2_MANIFEST,
)
INDEXES = (
    images.MEDIA_TYPE_IMAGE_INDEX,
    images.MEDIA_TYPE_DOCKER_SCHEMA2_MANIFEST_LIST,
)


@pytest.mark.parametrize("media_type", MANIFESTS)
@pytest.mark.parametrize(
    "document",
    [b'{"manifests": null}', b'{"MANIFESTS": []}']
    + [f'{{"mediaType": "{own}"}}'.encode() for own in INDEXES],
)
def test_a_manifest_must_not_look_like_an_index(media_type, document):
    """CVE-2021-41190: presence counts, not content."""
    with pytest.raises(images.ErrMediaType) as caught:
        images.validate_media_type(document, media_type)
    assert message(caught.value) == (
        f"media-type: expected manifest but found index ({media_type})"
    )


@pytest.mark.parametrize("media_type", INDEXES)
@pytest.mark.parametrize(
    "document",
    [b'{"config": null}', b'{"Layers": []}']
    + [f'{{"mediaType": "{own}"}}'.encode() for own in MANIFESTS],
)
def test_an_index_must_not_look_like_a_manifest(media_type, document):
    with pytest.raises(images.ErrMediaType) as caught:
        images.validate_media_type(document, media_type)
    assert message(caught.value) == (
        f"media-type: expected index but found manifest ({media_type})"
    )


def test_schema1_is_told_first():
    with pytest.raises(images.ErrMediaType, match="schema 1 not supported"):
        images.validate_media_type(b'{"fsLayers": 0, "manifests": []}', MANIFESTS[0])


@pytest.mark.parametrize("own", ["", MANIFESTS[1], "application/json"])
def test_the_other_type_of_the_same_kind_is_fine(own):
    document = f'{{"mediaType": "{own}", "config": {{}}, "layers": []}}'.encode()
    images.validate_media_type(document, MANIFESTS[0])


def test_a_manifest_keeps_missing_layers_apart_from_none():
    assert images.parse_manifest(b"{}").layers is None
    assert images.parse_manifest(b'{"layers": []}').layers == ()


def test_the_names_of_types_in_errors_are_those_of_the_specification():
    with pytest.raises(JSONError, match=r"Index\.manifests of type \[\]v1\.Descriptor"):
        index_from(parse(b'{"manifests": "x"}'))


def test_a_configuration():
    document = (
        b'{"os": "linux", "architecture": "arm", "variant": "v7", '
        b'"rootfs": {"type": "layers", "diff_ids": ["sha256:1"]}}'
    )
    assert images.parse_config(document) == images.ConfigFile(
        platform=Platform(os="linux", architecture="arm"),
        rootfs_type="layers",
        diff_ids=(Digest("sha256:1"),),
    )


@pytest.mark.parametrize(
    "document",
    [b'{"created": "yesterday"}', b'{"history": [{"created": 5}]}'],
)
def test_a_configuration_with_a_bad_time_is_refused(document):
    with pytest.raises(TimeError):
        images.parse_config(document)
