"""filters/*.go: syntax, matching and what is said of mistakes."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refimpl.errdefs import ErrInvalidArgument
from refimpl.stores.filters import check_map, parse_all

OBJECTS = {
    "a": {"foo": "bar", "x.y": "1"},
    "b/c": {'quoted"': "v|w", "empty": ""},
    "": {},
}


def adaptor(name):
    def field(path):
        if path == ("name",):
            return name, bool(name)
        if path[0] == "labels":
            return check_map(path[1:], OBJECTS[name])
        return "", False

    return field


def matching(*filters):
    match = parse_all(*filters)
    return [name for name in OBJECTS if match(adaptor(name))]


@pytest.mark.parametrize(
    ("filters", "names"),
    [
        ((), ["a", "b/c", ""]),
        (("",), ["a", "b/c", ""]),
        (("name",), ["a", "b/c"]),
        (("nothing",), []),
        (("name==a",), ["a"]),
        (("name != a",), ["b/c", ""]),
        (("name==b/c",), ["b/c"]),
        (("name==a", "name==b/c"), ["a", "b/c"]),
        (("name==a,labels.foo==bar",), ["a"]),
        (("name==a,labels.foo==other",), []),
        (("labels.foo",), ["a"]),
        (("labels.empty",), ["b/c"]),
        (("labels.x.y==1",), ["a"]),
        ((r'labels."x.y"==1',), ["a"]),
        ((r'labels."quoted\""=="v|w"',), ["b/c"]),
        (("name~=^[ab]",), ["a", "b/c"]),
        (("name~=/b\\/c/",), ["b/c"]),
        (("name~=|b/c|",), ["b/c"]),
        (("name~=(",), []),
        ((r'name=="\x61"',), ["a"]),
        ((r'name=="\u0061"',), ["a"]),
        ((r'name=="\U00000061"',), ["a"]),
        ((r'name=="\141"',), ["a"]),
        ((r'name=="\ud800"',), []),
        ((r'name=="\n"',), []),
    ],
)
def test_matching(filters, names):
    assert matching(*filters) == names


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("bad==", "[bad==]: expected value or quoted"),
        ("==x", "[ >|=|< =x]: expected field or quoted"),
        ("a=", '[a >|=|< ]: unsupported operator "="'),
        ("a===b", '[a >|=|< ==b]: unsupported operator "==="'),
        ("a b", '[a  >|b|< ]: expected an operator ("=="|"!="|"~=")'),
        ("a==b c", "[a==b >| |< c]: unexpected input:  "),
        ("a,", "[a,]: expected field or quoted"),
        ("a.", "[a.]: expected field or quoted"),
        ("ä==b", "[ >|ä|< ==b]: expected field or quoted"),
        ("a==/b/", "[a== >|/|< b/]: invalid quote encountered"),
        ('a=="b', '[a== >|"|< b]: quoted literal not terminated'),
        (r'a=="\q"', r'[a== >|"|< \q"]: illegal escape sequence'),
        (r'a=="\x4"', r'[a== >|"|< \x4"]: illegal numeric escape sequence'),
        (r'a=="\777"', r'[a== >|"|< \777"]: unquoting failed: quote syntax error'),
        (
            r'a=="\UFFFFFFFF"',
            r'[a== >|"|< \UFFFFFFFF"]: unquoting failed: quote syntax error',
        ),
        ("a==\0", "[a== >|\0|< ]: unexpected null"),
    ],
)
def test_mistakes(text, reason):
    with pytest.raises(ErrInvalidArgument) as caught:
        parse_all(text)
    wanted = f"filters: parse error: {reason}: invalid argument"
    assert str(caught.value) == wanted


@given(st.text())
def test_any_text_is_a_filter_or_a_mistake(text):
    with suppress(ErrInvalidArgument):
        assert parse_all(text)(adaptor("a")) in {True, False}
