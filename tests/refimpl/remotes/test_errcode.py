"""errcode.go and errdesc.go."""

import json

import pytest

from refimpl.remotes.docker.errcode import describe_errors


@pytest.mark.parametrize(
    ("errors", "expected"),
    [
        ([{"code": "DENIED"}], "denied"),
        ([{"code": "DENIED", "message": "quota"}], "denied: quota"),
        (
            [{"code": "TOOMANYREQUESTS", "message": "too many requests"}],
            "toomanyrequests",
        ),
        (
            [
                {
                    "code": "UNAUTHORIZED",
                    "message": "authentication required",
                    "detail": {},
                }
            ],
            "unauthorized: authentication required",
        ),
        ([{"code": "BLOB_UNKNOWN", "message": "gone"}], "unknown: gone"),
        ([{"message": "m"}], "unknown: m"),
        ([{"Code": "DENIED", "MESSAGE": "m"}], "denied: m"),
        (
            [{"code": "DENIED"}, {"code": "UNKNOWN", "message": "x"}],
            "errors:\ndenied\nunknown: x\n",
        ),
    ],
)
def test_errors_are_told_as_go_tells_them(errors, expected):
    assert describe_errors(json.dumps({"errors": errors}).encode()) == expected


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[]",
        b"null",
        b"3",
        b'{"errors":null}',
        b'{"errors":[]}',
        b'{"errors":[1]}',
        b'{"errors":{"code":"DENIED"}}',
        b'{"errors":[{"code":"DENI',
        b'{"errors":' + b"[" * 100000,
        b"\xff\xfe",
    ],
)
def test_what_is_no_error_list_says_nothing(body):
    assert describe_errors(body) == ""


def test_what_follows_the_list_is_ignored():
    assert describe_errors(b'{"errors":[{"code":"DENIED"}]} trailing') == "denied"


def test_a_registry_cannot_write_to_the_terminal():
    body = json.dumps({"errors": [{"code": "DENIED", "message": "a\x1b[2Jb"}]})
    assert describe_errors(body.encode()) == "denied: a[2Jb"


def test_a_long_message_is_cut():
    body = json.dumps({"errors": [{"code": "DENIED", "message": "x" * 10**5}]})
    assert len(describe_errors(body.encode())) < 3000
