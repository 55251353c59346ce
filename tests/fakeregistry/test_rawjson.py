import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakeregistry.content import build_image
from fakeregistry.rawjson import Members, Verbatim, duplicated, raw_json, renamed

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


@given(JSON)
def test_usual_values_are_the_usual_json(value):
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    assert raw_json(value) == text.encode("utf-8", "surrogatepass")


def test_what_no_serialiser_writes():
    value = Members(
        [("a", 1), ("a", (Verbatim("1e3"), Members())), ("A", {"b": Verbatim("NaN")})]
    )
    assert raw_json(value) == b'{"a":1,"a":[1e3,{}],"A":{"b":NaN}}'


def test_members_come_again():
    document = {"a": 1, "b": 2}
    assert raw_json(duplicated(document, "a", 3)) == b'{"a":1,"b":2,"a":3}'
    twice = duplicated(duplicated(document, "a", 0, first=True), "c", None)
    assert raw_json(twice) == b'{"a":0,"a":1,"b":2,"c":null}'


def test_members_get_other_names():
    document = duplicated({"a": 1, "b": 2}, "a", 3)
    assert raw_json(renamed(document, {"a": "A"})) == b'{"A":1,"b":2,"A":3}'
    with pytest.raises(ValueError, match="no member 'c'"):
        renamed(document, {"a": "A", "c": "C"})


def test_images_with_such_documents():
    def edit(document):
        return raw_json(
            duplicated(renamed(document, {"config": "Config"}), "layers", [])
        )

    image = build_image(edit_manifest=edit)
    text = image.data[image.digest]
    assert text.count(b'"layers":') == 2
    assert text.endswith(b',"layers":[]}')
    assert b'"Config":' in text
