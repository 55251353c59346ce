"""Go's encoding/json scanner: what is JSON, and the words for what is not."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refimpl.gojson.scan import MAX_DEPTH, JSONError, Number, Object, _Scanner, parse

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=8,
)
# What is nearly JSON: pieces of it in any order.
WORDS = r"""{ } [ ] , : " "a" \ \u12 \n - 0 1 . e + true tru null nul é x"""
pieces = st.lists(
    st.sampled_from([*WORDS.split(" "), " ", "\n", "\x01"]), max_size=12
).map("".join)


@pytest.mark.parametrize(
    ("document", "error"),
    [
        ("", "unexpected end of JSON input"),
        (" ", "unexpected end of JSON input"),
        ("{", "unexpected end of JSON input"),
        ('"abc', "unexpected end of JSON input"),
        ('{"a"', "unexpected end of JSON input"),
        ("[1,", "unexpected end of JSON input"),
        ("x", "invalid character 'x' looking for beginning of value"),
        ("'", r"invalid character '\'' looking for beginning of value"),
        ("é", "invalid character 'Ã' looking for beginning of value"),
        ("[1,]", "invalid character ']' looking for beginning of value"),
        ("{a", "invalid character 'a' looking for beginning of object key string"),
        (
            '{"a":1,}',
            "invalid character '}' looking for beginning of object key string",
        ),
        ('{"a" 1', "invalid character '1' after object key"),
        ('{"a":1 "', "invalid character '\"' after object key:value pair"),
        ("[1 2", "invalid character '2' after array element"),
        ("1 2", "invalid character '2' after top-level value"),
        ("01", "invalid character '1' after top-level value"),
        ('"\n"', r"invalid character '\n' in string literal"),
        ('"\\x"', "invalid character 'x' in string escape code"),
        ('"\\', "invalid character ' ' in string escape code"),
        ('"\\u12', r"invalid character ' ' in \u hexadecimal character escape"),
        ('"\\u12g4"', r"invalid character 'g' in \u hexadecimal character escape"),
        ("-", "invalid character ' ' in numeric literal"),
        ("-a", "invalid character 'a' in numeric literal"),
        ("1.", "invalid character ' ' after decimal point in numeric literal"),
        ("1.e", "invalid character 'e' after decimal point in numeric literal"),
        ("1e+x", "invalid character 'x' in exponent of numeric literal"),
        ("tru", "invalid character ' ' in literal true (expecting 'e')"),
        ("fax", "invalid character 'x' in literal false (expecting 'l')"),
        ("NaN", "invalid character 'N' looking for beginning of value"),
        ("[Infinity]", "invalid character 'I' looking for beginning of value"),
    ],
)
def test_the_words_for_what_is_no_json(document, error):
    with pytest.raises(JSONError) as caught:
        parse(document.encode())
    assert str(caught.value) == error


def test_duplicate_keys_and_the_text_of_numbers_stay():
    tree = parse(b'{"a": 1.50, "a": [true, null, "x"]}')
    assert tree == [("a", "1.50"), ("a", [True, None, "x"])]
    assert isinstance(tree, Object)
    assert isinstance(tree[0][1], Number)


def test_every_byte_that_is_no_utf8_becomes_one_replacement():
    """utf8.DecodeRune takes one byte, Python's "replace" would take two here."""
    assert parse(b'"\xe2\x82"') == "\ufffd\ufffd"
    assert parse(b'"\xed\xa0\x80"') == "\ufffd" * 3


@pytest.mark.parametrize("opening", [b"[", b'{"a":'])
def test_depth_up_to_the_limit_is_fine(opening):
    closing = b"]" if opening == b"[" else b"}"
    tree = parse(opening * MAX_DEPTH + b"1" + closing * MAX_DEPTH)
    depth = 0
    while isinstance(tree, list):
        tree = tree[0][1] if isinstance(tree, Object) else tree[0]
        depth += 1
    assert depth == MAX_DEPTH


@pytest.mark.parametrize("char", ["[", '{"a":'])
def test_depth_beyond_the_limit_is_an_error_and_no_recursion(char):
    with pytest.raises(JSONError) as caught:
        parse(char.encode() * (MAX_DEPTH + 1))
    assert str(caught.value) == f"invalid character '{char[0]}' exceeded max depth"


@given(values)
def test_the_scanner_reads_what_python_reads(value):
    """parse takes the short way, the scanner the long one: one tree."""
    data = json.dumps(value).encode()
    assert _Scanner(data).document() == parse(data)


@given(pieces)
def test_the_scanner_refuses_what_python_refuses(text):
    data = text.encode()
    try:
        expected = json.loads(text)
    except json.JSONDecodeError:
        with pytest.raises(JSONError):
            _Scanner(data).document()
    else:
        assert as_python(_Scanner(data).document()) == expected


def as_python(node):
    if isinstance(node, Object):
        return {key: as_python(value) for key, value in node}
    if isinstance(node, list):
        return [as_python(value) for value in node]
    return json.loads(node) if isinstance(node, Number) else node
