"""What documents may say, and how they are told what they may not."""

from datetime import date

import pytest

from fakeregistry import BasicAuth, TokenAuth
from fakeregistry.actions import ACTIONS
from fakeregistry.content import Entry, ImageOptions
from fakeregistry.documents import (
    AUTH,
    ENTRY,
    FAULT,
    GATE,
    IMAGE,
    REGISTRY,
    SCHEMA1,
    DocumentError,
    read_fields,
    read_table,
)
from fakeregistry.faults import COUNTS
from fakeregistry.registry import Registry
from fakeregistry.rules import CRITERIA
from fakeregistry.schema1 import Schema1Options


def test_every_keyword_has_a_reader():
    """But for those that take functions, which no document can hold."""
    assert set(GATE) == set(CRITERIA) - {"when"}
    assert set(FAULT) == set(GATE) | set(ACTIONS) | set(COUNTS)
    functions = {"edit_manifest", "edit_index"}
    assert set(IMAGE) == {"ref", *ImageOptions.__annotations__} - functions
    functions = {"edit_manifest", "edit_document"}
    known = {"ref", "format", *Schema1Options.__annotations__}
    assert set(SCHEMA1) == known - functions
    assert set(ENTRY) == set(Entry.__slots__) - {"edit", "edit_descriptor"}
    arguments = set(Registry.__init__.__annotations__) - {"return"}
    # All that a scenario could say is in a HAR file.
    assert set(REGISTRY) == arguments - {"auth", "features", "har"}


def test_every_field_of_access_has_a_reader():
    assert set(AUTH["basic"]) == {"kind", *BasicAuth.__slots__}
    assert set(AUTH["token"]) == {"kind", *TokenAuth.__slots__}


@pytest.mark.parametrize(
    ("fields", "document", "expected"),
    [
        (FAULT, {"body": "hé"}, {"body": "hé".encode()}),
        (FAULT, {"replace": {"base64": "//4="}}, {"replace": b"\xff\xfe"}),
        (FAULT, {"cut": True}, {"cut": True}),
        (FAULT, {"cut": 3}, {"cut": 3}),
        (FAULT, {"drip": [10, 0.5]}, {"drip": (10, 0.5)}),
        (FAULT, {"interim": 103}, {"interim": 103}),
        (FAULT, {"interim": [100, 103]}, {"interim": (100, 103)}),
        (FAULT, {"remove_headers": ["A", "B"]}, {"remove_headers": ("A", "B")}),
        (
            FAULT,
            {"headers": {"A": "1", "B": ["2", "3"]}},
            {"headers": {"A": "1", "B": ("2", "3")}},
        ),
        (IMAGE, {"layers": ["raw"]}, {"layers": (b"raw",)}),
        (IMAGE, {"config": {"os": "x"}}, {"config": {"os": "x"}}),
        (
            IMAGE,
            {"platforms": ["linux/amd64", {"platform": "linux/arm", "layers": 2}, {}]},
            {
                "platforms": (
                    "linux/amd64",
                    Entry(platform="linux/arm", layers=2),
                    Entry(),
                )
            },
        ),
        (
            IMAGE,
            {"platforms": [{"children": ["linux/amd64", {}]}]},
            {"platforms": (Entry(children=("linux/amd64", Entry())),)},
        ),
        (AUTH["token"], {"expires_in": False}, {"expires_in": None}),
        (AUTH["token"], {"oauth_post": 405}, {"oauth_post": 405}),
    ],
)
def test_values(fields, document, expected):
    assert read_fields(document, fields) == expected


@pytest.mark.parametrize(
    ("fields", "document", "message"),
    [
        (FAULT, {"timse": 1}, "timse: unknown key; is it times?"),
        (GATE, {"zzz": 1}, "zzz: unknown key; there are authorized, digest, method"),
        (FAULT, {"times": "1"}, "times: a whole number is needed, not a string"),
        (FAULT, {"times": True}, "times: a whole number is needed, not true or false"),
        (FAULT, {"times": None}, "times: a whole number is needed, not null"),
        (FAULT, {"path": 1}, "path: a string is needed, not a number"),
        (FAULT, {"range": "no"}, "range: true or false is needed, not a string"),
        (FAULT, {"delay": True}, "delay: a number of seconds is needed, not true"),
        (FAULT, {"delay": float("inf")}, "delay: inf: 0 to 1000000 seconds"),
        (FAULT, {"drip": [1, float("nan")]}, "drip: nan: 0 to 1000000 seconds"),
        (
            FAULT,
            {"body": 1},
            'body: a string or {base64 = "..."} is needed, not a number',
        ),
        (FAULT, {"body": {"base64": "!"}}, "body: base64: this is none"),
        (FAULT, {"drip": [1]}, "drip: a list of bytes and seconds is needed"),
        (FAULT, {"drip": ["1", 1]}, "drip: a list of bytes and seconds is needed"),
        (
            FAULT,
            {"cut": "x"},
            "cut: a whole number or true or false is needed, not a string",
        ),
        (FAULT, {"headers": ["A"]}, "headers: a table of strings or lists of"),
        (FAULT, {"headers": {"A": 1}}, "headers: A: a string or a list of strings is"),
        (FAULT, {"remove_headers": "A"}, "remove_headers: a list of strings is"),
        (FAULT, {"interim": ["1"]}, "interim: a whole number or a list of numbers is"),
        (IMAGE, {"annotations": {"a": 1}}, "annotations: a table of strings is needed"),
        (IMAGE, {"config": 1}, "config: a table or a string or"),
        (IMAGE, {"platforms": "linux"}, "platforms: a list of platforms or tables is"),
        (IMAGE, {"platforms": [1]}, "platforms: a list of platforms or tables is"),
        (IMAGE, {"platforms": [{"plat": 1}]}, "platforms: plat: unknown key; is it"),
        (
            IMAGE,
            {"platforms": [{"children": [{"attestation": 1}]}]},
            "platforms: children: attestation: true or false is needed",
        ),
        (AUTH["token"], {"expires_in": True}, "expires_in: a whole number or false"),
        (SCHEMA1, {"outside": "x"}, "outside: a table is needed, not a string"),
        (
            FAULT,
            {"times": date(2020, 1, 1)},
            "times: a whole number is needed, not a date",
        ),
        (FAULT, {"drip": 1}, "drip: a list of bytes and seconds is needed"),
    ],
)
def test_refusals(fields, document, message):
    with pytest.raises(DocumentError) as caught:
        read_fields(document, fields)
    assert str(caught.value).startswith(message)


def test_what_is_no_table():
    with pytest.raises(DocumentError, match=r"^body: a table is needed, not a list$"):
        read_table([], "body")
