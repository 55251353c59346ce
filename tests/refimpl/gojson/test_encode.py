"""Go's encoding/json encoder, byte for byte."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refimpl.gojson import JSON, marshal, marshal_indent

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=8,
)


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("<a&b>", r"\u003ca\u0026b\u003e"),
        ("\u2028\u2029", r"\u2028\u2029"),
        ("\b\f\n\r\t\x00\x1f", r"\u0008\u000c\n\r\t\u0000\u001f"),
        ('"\\/', r"\"\\/"),
        ("\x7fé😀\ufffd", "\x7fé😀\ufffd"),
        ("\ud800", r"\ufffd"),
    ],
)
def test_strings_are_escaped_as_go_before_1_22_does(text, written):
    assert marshal(text) == f'"{written}"'.encode()


def test_an_indented_document():
    value: JSON = {"b": 1, "a": [True, None], "empty": {}, "none": [], "in": {"x": "y"}}
    assert marshal_indent(value, "   ").decode() == (
        "{\n"
        '   "b": 1,\n'
        '   "a": [\n'
        "      true,\n"
        "      null\n"
        "   ],\n"
        '   "empty": {},\n'
        '   "none": [],\n'
        '   "in": {\n'
        '      "x": "y"\n'
        "   }\n"
        "}"
    )


def test_what_is_no_json_is_refused():
    with pytest.raises(TypeError, match="float"):
        marshal(1.5)  # type: ignore[arg-type]


@given(values)
def test_python_reads_what_is_written(value):
    assert json.loads(marshal(value)) == value
    assert json.loads(marshal_indent(value, "  ")) == value
