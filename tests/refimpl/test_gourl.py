"""Go's net/url: what is a URL, and the words for what is none."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refimpl import gourl
from refimpl.errdefs import message


@pytest.mark.parametrize(
    ("text", "host", "path"),
    [
        ("a", "a", ""),
        ("a:5000/b", "a:5000", "/b"),
        ("a:/b", "a:", "/b"),
        ("user:pass@a/b", "a", "/b"),
        ("u@v@a", None, None),
        ("[::1]:80/x", "[::1]:80", "/x"),
        ("[fe80::1%25en%200]/x", "[fe80::1%en 0]", "/x"),
        ("a/b?c#d", "a", "/b"),
        ("a/b%2Fc d", "a", "/b/c d"),
        ("ä.io/ö", "ä.io", "/ö"),
        ("%C3%A4.io", "ä.io", ""),
        ("", "", ""),
        ("/x", "", "/x"),
    ],
)
def test_the_parts(text, host, path):
    if host is None:
        url = gourl.parse(f"dummy://{text}")
        assert (url.host, url.path) == ("a", "")
    else:
        assert gourl.parse(f"dummy://{text}") == gourl.URL(host=host, path=path)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("a:b", 'invalid port ":b" after host'),
        ("[::1]x", 'invalid port "x" after host'),
        ("[::1", "missing ']' in host"),
        ("a b%zz", 'invalid character " " in host name'),
        ("a%zz b", 'invalid URL escape "%zz"'),
        ("a%4", 'invalid URL escape "%4"'),
        ("%41", 'invalid URL escape "%41"'),
        ("[fe80::1%25%41%80]", 'invalid URL escape "%80"'),
        ("a/%", 'invalid URL escape "%"'),
        ("ü@a", "net/url: invalid userinfo"),
        ("%zz@a", 'invalid URL escape "%zz"'),
        ("a\x7f", "net/url: invalid control character in URL"),
    ],
)
def test_what_is_no_url(text, error):
    with pytest.raises(gourl.URLError) as caught:
        gourl.parse(f"dummy://{text}")
    assert message(caught.value).endswith(f'": {error}')


def test_a_bad_fragment_is_reported_with_the_whole_url():
    with pytest.raises(gourl.URLError) as caught:
        gourl.parse("dummy://a#%z")
    assert message(caught.value) == 'parse "dummy://a#%z": invalid URL escape "%z"'


@pytest.mark.parametrize(
    ("host", "name"),
    [("a", "a"), ("a:1", "a"), ("a:", "a"), ("[::1]:5", "::1"), ("[::1]", "::1")],
)
def test_the_host_name_is_without_port_and_brackets(host, name):
    assert gourl.parse(f"dummy://{host}/x").hostname == name


@given(st.text(max_size=30))
def test_any_text_is_a_url_or_an_error(text):
    try:
        url = gourl.parse(f"dummy://{text}")
    except gourl.URLError as err:
        shown = message(err)
        assert_error(shown)
    else:
        assert url.path[:1] in ("", "/")


def assert_error(shown):
    assert shown.startswith('parse "dummy://')
