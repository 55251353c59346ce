"""image-spec v1.0.2 descriptors: order of the fields and what is left out."""

from hypothesis import given
from hypothesis import strategies as st

from refimpl.descriptor import Descriptor, Platform

words = st.text(max_size=5)
platforms = st.builds(
    Platform,
    architecture=words,
    os=words,
    os_version=words,
    os_features=st.lists(words, max_size=2).map(tuple),
    variant=words,
)
descriptors = st.builds(
    Descriptor,
    media_type=words,
    digest=words,
    size=st.integers(-1, 1 << 40),
    urls=st.lists(words, max_size=2).map(tuple),
    annotations=st.none() | st.dictionaries(words, words, min_size=1, max_size=3),
    platform=st.none() | platforms,
)


@given(descriptors)
def test_a_descriptor_survives_its_json_form(desc):
    assert Descriptor.from_json(desc.to_json()) == desc


def test_the_fields_come_in_the_order_of_go():
    desc = Descriptor(
        media_type="m",
        urls=("u",),
        annotations={"b": "1", "a": "2"},
        platform=Platform(variant="v", os_version="1", os_features=("f",)),
    )
    json = desc.to_json()
    assert list(json) == [
        "mediaType",
        "digest",
        "size",
        "urls",
        "annotations",
        "platform",
    ]
    assert list(json["annotations"]) == ["a", "b"]
    assert list(json["platform"]) == [
        "architecture",
        "os",
        "os.version",
        "os.features",
        "variant",
    ]


def test_an_empty_descriptor_still_has_digest_and_size():
    assert Descriptor(annotations={}).to_json() == {"digest": "", "size": 0}
