"""conformance/config.py: pull-conformance.toml is read strictly."""

from dataclasses import replace
from datetime import date

import pytest

from conformance.case import Case, Level
from conformance.config import Config, ConfigError, find_config, read_config
from conformance.xfails import Xfail

GOOD = """
suite-version = "0.1.0"
clients = ["skopeo"]
adapters = ["ci/mine.toml"]
commands = ["pull {ref}"]
levels = ["MUST", "SHOULD"]
strict = true
timeout = 5

[[off]]
area = "leases"
reason = "mine has none"
[[off]]
case = "auth.one"
reason = "later"
[[on]]
case = "leases.two"
reason = "this one it has"

[[expected-failure]]
case = "auth.two"
reason = "gives up"
link = "https://example.org/1"
versions = "<2"
until = 2126-01-31
[[expected-failure]]
case = "auth.three"
client = "skopeo"
reason = "starts over"
link = "measured: skopeo 1.9.3, 2026-11-24"
until = "2126-01-31"
"""
CASE = Case(
    id="auth.one",
    area="auth",
    title="It holds.",
    function=print,
    docstring="It holds.",
    clause="a spec",
    level=Level.MUST,
)
SUITE = {
    name: replace(CASE, id=name, area=name.partition(".")[0])
    for name in ("auth.one", "auth.two", "auth.three", "leases.one", "leases.two")
}


@pytest.fixture
def read(tmp_path):
    def read(text):
        file = tmp_path / "pull-conformance.toml"
        file.write_text(text)
        return read_config(file)

    return read


def test_everything_is_read(read, tmp_path):
    config = read(GOOD)
    assert config.suite_version == "0.1.0"
    assert config.clients == ("skopeo",)
    # A path is relative to the file that names it, not to where a user stands.
    assert config.adapters == (str(tmp_path / "ci/mine.toml"),)
    assert config.commands == ("pull {ref}",)
    assert config.levels == {Level.MUST, Level.SHOULD}
    assert (config.strict, config.timeout) == (True, 5.0)
    config.check(SUITE)
    config.check_clients(["skopeo", "other"])


def test_cases_are_switched_off_and_on(read):
    config = read(GOOD)
    off = {name: config.switched_off(made) for name, made in SUITE.items()}
    assert off == {
        "auth.one": "switched off: later",
        "auth.two": None,
        "auth.three": None,
        "leases.one": "switched off: mine has none",
        "leases.two": None,
    }


def test_expected_failures_are_added_to_those_of_the_adapter(read):
    own = {
        case: Xfail(reason="own", link="https://example.org/own")
        for case in ("auth.one", "auth.two")
    }
    config = read(GOOD)
    assert {c: x.reason for c, x in config.xfails_of("mine", own).items()} == {
        "auth.one": "own",
        "auth.two": "gives up",
    }
    skopeo = config.xfails_of("skopeo", {})
    assert skopeo.keys() == {"auth.two", "auth.three"}
    assert skopeo["auth.two"].versions == "<2"
    assert skopeo["auth.three"].until == date(2126, 1, 31)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("x = ", "is not TOML"),
        ("suite_version = '1'", "unknown key 'suite_version'; known are"),
        ("suite-version = 1", "suite-version must be a text, not 1"),
        ("strict = 1", "strict must be true or false"),
        ("clients = 'skopeo'", "clients must be a list"),
        ("clients = [1]", "clients must be a list of texts"),
        ("levels = ['must']", "levels: 'must' is none; there are MUST, SHOULD"),
        ("timeout = 0", "timeout must be a number of seconds, not 0"),
        ("timeout = true", "timeout must be a number of seconds, not True"),
        ("off = [1]", "[[off]] 1 must be a table, not 1"),
        ("[[off]]\ncase = 'auth.one'", "[[off]] 1: there must be a reason"),
        ("[[off]]\ncase = 1\nreason = 'x'", "[[off]] 1: case must be a text"),
        ("[[off]]\nreason = 'x'", "either a case or an area"),
        (
            "[[on]]\ncase = 'auth.one'\narea = 'auth'\nreason = 'x'",
            "either a case or an area",
        ),
        ("[[on]]\nlevel = 'MAY'\nreason = 'x'", "[[on]] 1: unknown key 'level'"),
        ("[[expected-failure]]\nreason = 'x'", "there must be a case"),
        (
            "[[expected-failure]]\ncase = 'auth.one'\nreason = 'x'",
            "[[expected-failure]] 1: the link is empty",
        ),
        (
            "[[expected-failure]]\ncase = 'a'\nreason = 'x'\n"
            "until = 2026-01-01 01:02:03",
            "until must be a day",
        ),
    ],
)
def test_what_nobody_understands_is_an_error(read, text, complaint):
    with pytest.raises(ConfigError) as caught:
        read(text)
    assert complaint in str(caught.value)
    assert str(caught.value).count("\n") == 0


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[[off]]\ncase = 'auth.nine'\nreason = 'x'", "auth.nine is no case"),
        ("[[on]]\narea = 'moon'\nreason = 'x'", "no area; there are auth, leases"),
        (
            "[[expected-failure]]\ncase = 'x.y'\nreason = 'x'\nlink = 'https://x'",
            "[[expected-failure]] 1: x.y is no case",
        ),
    ],
)
def test_what_is_not_in_the_suite_is_an_error(read, text, complaint):
    with pytest.raises(ConfigError) as caught:
        read(text).check(SUITE)
    assert complaint in str(caught.value)


def test_expected_failure_of_nobody_is_an_error(read):
    with pytest.raises(ConfigError, match="'skopeo' is no client; there are mine"):
        read(GOOD).check_clients(["mine"])


def test_file_of_the_current_folder_is_found(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert find_config(None) == Config()
    (tmp_path / "pull-conformance.toml").write_text("strict = true")
    assert find_config(None).strict
    with pytest.raises(ConfigError, match=r"other\.toml: cannot be read: No such"):
        find_config("other.toml")
