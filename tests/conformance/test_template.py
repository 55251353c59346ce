"""Command lines with holes."""

import pytest

from conformance.contract import AdapterError
from conformance.template import parse_template

VALUES = {"ref": "r/a:b", "root": "/base", "username": "u", "password": "p"}


def fill(*parts, values=VALUES, on=()):
    return parse_template(["x", *parts], where="t").fill(values, frozenset(on))[1:]


def test_placeholders_are_filled():
    assert fill("docker://{ref}", "{root}/{root}") == [
        "docker://r/a:b",
        "/base//base",
    ]


def test_braces_that_are_no_placeholder_stay():
    assert fill("{}", "{a b}", "${") == ["{}", "{a b}", "${"]


def test_values_are_never_placeholders():
    assert fill("{ref}", values={"ref": "{root}"}) == ["{root}"]


def test_group_needs_every_value():
    group = ["--creds", "{username}:{password}"]
    assert fill(group) == ["--creds", "u:p"]
    assert fill(group, values={"username": "u"}) == []


def test_group_in_a_group_is_left_out_alone():
    group = ["--os", "{os}", ["--variant", "{variant}"]]
    assert fill(group, values={"os": "linux"}) == ["--os", "linux"]
    assert fill(group, values={"variant": "v7"}) == []
    both = {"os": "linux", "variant": "v7"}
    assert fill(group, values=both) == ["--os", "linux", "--variant", "v7"]


def test_switch():
    switch = {"when": "plain_http", "args": ["--plain", ["-u", "{username}"]]}
    assert fill(switch) == []
    assert fill(switch, on=["plain_http"]) == ["--plain", "-u", "u"]


def test_mentioned_is_everything_that_occurs():
    switch = {"when": "plain_http", "args": [["{ca}"]]}
    template = parse_template(["x", "{ref}", ["{os}", switch]], where="t")
    assert template.mentioned == {"ref", "os", "ca", "plain_http"}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "must be a list that starts with a program"),
        ([], "must be a list that starts with a program"),
        ([["x"]], "must be a list that starts with a program"),
        (["x", 1], "must be a text, not 1"),
        (["x", "{nope}"], "unknown placeholder {nope}"),
        (["x", "{platform}"], "{platform} may be without a value"),
        (["x", {"when": "plain_http", "args": ["{ca}"]}], "{ca} may be without"),
        (["x", ["--flag"]], "the group ['--flag'] has no placeholder"),
        (["x", {"when": "plain_http"}], "must have 'when' and 'args' only"),
        (["x", {"when": "full_moon", "args": ["-m"]}], "when = 'full_moon'; it may"),
        (["x", {"when": "plain_http", "args": "-m"}], "must be a list, not '-m'"),
    ],
)
def test_wrong_templates(value, text):
    with pytest.raises(AdapterError) as caught:
        parse_template(value, where="t")
    assert str(caught.value).startswith("t")
    assert text in str(caught.value)
