"""Go's encoding/json decoder: case, duplicates, null, and types that differ."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refimpl.errdefs import ContainerdError
from refimpl.gojson import (
    BOOL,
    EMPTY,
    INT,
    INT64,
    RAW,
    STRING,
    Custom,
    JSONError,
    Map,
    Pointer,
    Slice,
    String,
    Struct,
    decode,
)

INNER = Struct("v1.Inner", {"a": INT64, "b": STRING})
OUTER = Struct(
    "v1.Outer",
    {
        "inner": INNER,
        "pointer": Pointer(INNER),
        "list": Slice(INNER),
        "map": Map(STRING),
        "set": Map(EMPTY),
        "flag": BOOL,
        "count": INT,
        "digest": String("digest.Digest"),
        "raw": RAW,
    },
)


def outer(text):
    return decode(text.encode(), OUTER)


def test_a_document_that_says_nothing_gives_zero_values():
    expected = {
        "inner": {"a": 0, "b": ""},
        "pointer": None,
        "list": None,
        "map": None,
        "set": None,
        "flag": False,
        "count": 0,
        "digest": "",
        "raw": RAW.ABSENT,
    }
    assert outer("{}") == expected
    assert outer("null") == expected


def test_keys_match_in_any_case_an_exact_one_first():
    fields = Struct("v1.T", {"key": STRING})
    assert decode(b'{"KEY": "x"}', fields) == {"key": "x"}
    assert decode('{"\u212aey": "kelvin"}'.encode(), fields) == {"key": "kelvin"}
    assert decode(b'{"ke\\u0079": "escaped"}', fields) == {"key": "escaped"}
    both = Struct("v1.T", {"key": STRING, "KEY": STRING})
    assert decode(b'{"KEY": "2", "key": "1"}', both) == {"key": "1", "KEY": "2"}


def test_of_duplicate_scalars_the_last_counts_and_objects_merge():
    value = outer('{"inner": {"a": 1, "b": "x"}, "INNER": {"a": 2}, "count": 1}')
    assert value["inner"] == {"a": 2, "b": "x"}
    value = outer('{"pointer": {"a": 1}, "pointer": {"b": "y"}}')
    assert value["pointer"] == {"a": 1, "b": "y"}
    assert outer('{"map": {"a": "1"}, "map": {"b": "2"}}')["map"] == {
        "a": "1",
        "b": "2",
    }


def test_the_elements_of_duplicate_arrays_merge():
    """Measured with Go: what an array still holds is decoded into again."""
    first = '"list": [{"a": 1, "b": "x"}, {"a": 2}]'
    assert outer(f'{{{first}, "list": [{{"b": "y"}}]}}')["list"] == [{"a": 1, "b": "y"}]
    assert outer(f'{{{first}, "list": [{{}}], "list": [{{}}, {{}}]}}')["list"] == [
        {"a": 1, "b": "x"},
        {"a": 2, "b": ""},
    ]
    assert outer(f'{{{first}, "list": [], "list": [{{}}]}}')["list"] == [
        {"a": 0, "b": ""}
    ]


def test_null_clears_what_can_be_nil_and_nothing_else():
    value = outer(
        '{"inner": {"a": 1}, "inner": null, "count": 3, "count": null,'
        '"pointer": {}, "pointer": null, "list": [], "list": null,'
        '"map": {}, "map": null, "flag": true, "flag": null}'
    )
    assert value["inner"] == {"a": 1, "b": ""}
    assert (value["count"], value["flag"]) == (3, True)
    assert (value["pointer"], value["list"], value["map"]) == (None, None, None)


def test_a_raw_value_is_there_even_if_it_is_null():
    assert outer('{"raw": null}')["raw"] is None
    assert outer('{"raw": [1]}')["raw"] == ["1"]


def test_lone_surrogates_become_replacements():
    assert outer(r'{"digest": "\ud800x\ud83d\ude00"}')["digest"] == "\ufffdx😀"


FIELD = "into Go struct field"


@pytest.mark.parametrize(
    ("document", "error"),
    [
        ("[]", "array into Go value of type v1.Outer"),
        ('"x"', "string into Go value of type v1.Outer"),
        ('{"count": "1"}', f"string {FIELD} Outer.count of type int"),
        ('{"count": 1.0}', f"number 1.0 {FIELD} Outer.count of type int"),
        ('{"count": true}', f"bool {FIELD} Outer.count of type int"),
        ('{"flag": 1}', f"number {FIELD} Outer.flag of type bool"),
        ('{"digest": 1}', f"number {FIELD} Outer.digest of type digest.Digest"),
        ('{"inner": []}', f"array {FIELD} Outer.inner of type v1.Inner"),
        ('{"pointer": 1}', f"number {FIELD} Outer.pointer of type v1.Inner"),
        ('{"list": {}}', f"object {FIELD} Outer.list of type []v1.Inner"),
        ('{"list": [{"a": "x"}]}', f"string {FIELD} Inner.list.a of type int64"),
        ('{"map": []}', f"array {FIELD} Outer.map of type map[string]string"),
        ('{"map": {"k": 1}}', f"number {FIELD} Outer.map of type string"),
        ('{"set": {"k": 1}}', f"number {FIELD} Outer.set of type struct {{}}"),
        (
            '{"inner": {"a": 9223372036854775808}}',
            f"number 9223372036854775808 {FIELD} Inner.inner.a of type int64",
        ),
    ],
)
def test_the_words_for_a_type_that_differs(document, error):
    with pytest.raises(JSONError) as caught:
        outer(document)
    assert str(caught.value) == f"json: cannot unmarshal {error}"


def test_the_first_of_several_errors_is_reported():
    with pytest.raises(JSONError, match=r"Outer\.flag"):
        outer('{"flag": 1, "count": "x"}')


def test_a_number_of_any_length_is_an_error_not_a_crash():
    with pytest.raises(JSONError, match="of type int"):
        outer(f'{{"count": {"9" * 10_000}}}')


def test_a_decoder_of_ones_own_ends_everything_at_once():
    def refuse(node):
        raise ContainerdError(f"no {node}")

    kind = Struct("v1.T", {"n": INT, "t": Pointer(Custom("time.Time", refuse))})
    with pytest.raises(ContainerdError, match="no x"):
        decode(b'{"n": "wrong", "t": "x"}', kind)
    assert decode(b'{"t": null}', kind)["t"] is None


def test_what_is_skipped_may_be_nested_deeply():
    deep = "[" * 9_000 + "]" * 9_000
    assert outer(f'{{"unknown": {deep}, "count": 7}}')["count"] == 7
    with pytest.raises(JSONError, match="array into Go struct field"):
        outer(f'{{"count": {deep}}}')


@given(
    st.dictionaries(
        st.sampled_from(["a", "b", "A", "other"]),
        st.none() | st.integers(-(1 << 70), 1 << 70) | st.text(max_size=4),
    )
)
def test_any_object_decodes_or_is_a_type_error(value):
    data = json.dumps(value).encode()
    try:
        fields = decode(data, INNER)
    except JSONError as err:
        assert str(err).startswith("json: cannot unmarshal")  # noqa: PT017 - or not
    else:
        assert isinstance(fields["a"], int)
        assert isinstance(fields["b"], str)
