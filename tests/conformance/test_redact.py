"""conformance/redact.py: no secret in a report."""

import base64

import pytest

from conformance.redact import REDACTED, redactor

JWT = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJ1c2VyIn0.c2lnbmF0dXJl"


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("Authorization: Bearer abc.def", "Authorization: Bearer [redacted]"),
        ("authorization: basic dXNlcg==", "authorization: basic [redacted]"),
        ("{'Authorization': 'Basic abc=='}", "{'Authorization': 'Basic [redacted]'}"),
        (
            '{"token": "abc", "expires_in": 60}',
            '{"token": "[redacted]", "expires_in": 60}',
        ),
        (
            "refresh_token=abc&service=s",
            "refresh_token=[redacted]&service=s",
        ),
        ("{'password': 'abc'}", "{'password': '[redacted]'}"),
        (f"got {JWT}.", "got [redacted]."),
        ("http://user:abc@127.0.0.1/v2/", "http://user:[redacted]@127.0.0.1/v2/"),
        ("used Bearer 0123456789abcdef0", "used Bearer [redacted]"),
    ],
)
def test_secrets_of_any_registry(text, clean):
    assert redactor()(text) == clean


@pytest.mark.parametrize(
    "text",
    [
        "the client never asked for a token",
        "unable to retrieve auth token: invalid username/password: unauthorized",
        'WWW-Authenticate: Bearer realm="http://127.0.0.1/token"',
        "sha256:" + "a" * 64,
        "http://127.0.0.1:5000/v2/a/manifests/x@sha256:abc",
        "the Basic scheme of RFC 7617",
    ],
)
def test_what_is_no_secret_stays(text):
    assert redactor()(text) == text


def test_password_of_this_registry_goes_wherever_it_stands():
    pair = base64.b64encode(b"user:s3cret").decode()
    clean = redactor([("user", "s3cret")])(f"--creds user:s3cret, {pair}, xs3cretx")
    assert clean == f"--creds user:{REDACTED}, {REDACTED}, x{REDACTED}x"


def test_short_password_does_not_eat_the_text():
    assert redactor([("user", "a")])("a cat") == "a cat"
