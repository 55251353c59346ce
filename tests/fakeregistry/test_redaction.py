"""What is shown holds no secrets, and everything else."""

import pytest

from fakeregistry.redaction import (
    mask_json,
    redact_header,
    redact_json,
    redact_query,
    redact_url,
)


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("Authorization", "Bearer geheim", "Bearer [redacted]"),
        ("authorization", "geheim", "[redacted]"),
        ("Proxy-Authorization", "Basic Z2VoZWlt", "Basic [redacted]"),
        ("Cookie", "session=geheim", "[redacted]"),
        ("X-Amz-Security-Token", "geheim", "[redacted]"),
        ("Private-Token", "geheim geheim", "[redacted]"),
        ("Range", "bytes=1-", "bytes=1-"),
        (
            "Location",
            "https://cdn/x?X-Amz-Date=1&X-Amz-Signature=geheim",
            "https://cdn/x?X-Amz-Date=1&X-Amz-Signature=[redacted]",
        ),
        ("Location", "https://u:geheim@cdn/x", "https://[redacted]@cdn/x"),
        ("Docker-Content-Digest", "sha256:00", "sha256:00"),
    ],
)
def test_headers(name, value, shown):
    assert redact_header(name, value) == shown


@pytest.mark.parametrize(
    ("query", "shown"),
    [
        ("a=1&b=%20", "a=1&b=%20"),
        ("a&refresh_token=geheim", "a=&refresh_token=[redacted]"),
        ("", ""),
    ],
)
def test_query(query, shown):
    assert redact_query(query) == shown


def test_url_without_secrets_stays_as_it_is():
    url = "http://127.0.0.1:5000/v2/a%2fb?n=1#x@y"
    assert redact_url(url) == url


def test_json():
    text = '{"a": [{"access_token": "geheim", "token": 3}], "b": "x"}'
    shown = redact_json(text)
    assert shown == '{"a": [{"access_token": "[redacted]", "token": 3}], "b": "x"}'
    assert redact_json(' {"a":1}') == ' {"a":1}'
    assert redact_json("password=geheim") is None


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (
            b'{"a" : "b",  "token":"0123456789xyz"}',
            b'{"a" : "b",  "token":"[redacted]***"}',
        ),
        (b'{"access_token": "geheim", "n": 1}', b'{"access_token": "[redac", "n": 1}'),
        (b'[{"x": {"password": "a\\"b"}}]', b'[{"x": {"password": "[red"}}]'),
        (b'{"tok\\u0065n": "geheim"}', b'{"tok\\u0065n": "[redac"}'),
        (b'{"refresh_token": "gehe', b'{"refresh_token": "[red'),
        (b'{"\\x": "y", "\xff": "\xfe"}', b'{"\\x": "y", "\xff": "\xfe"}'),
        (b"token: geheim", b"token: geheim"),
    ],
)
def test_json_keeps_its_length(text, shown):
    """Also where it was cut, and whatever bytes it has."""
    assert mask_json(text) == shown
    assert len(shown) == len(text)
