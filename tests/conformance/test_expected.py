"""Real clients: the suite says of them today what it said when they were measured."""

import json
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

from conformance.adapter import load_clients

spec = spec_from_file_location("expected", Path(__file__).with_name("expected.py"))
assert spec is not None
assert spec.loader is not None
expected = module_from_spec(spec)
spec.loader.exec_module(expected)


def client(name):
    return load_clients([expected.client_of(name)])[0]


def marks(name):
    """Leave what neither Debian nor PyPI has to the extensive tests."""
    packaged = client(name).info.install.startswith(("apt-get ", "pip "))
    return () if packaged and "@" not in name else pytest.mark.extensive


def reason_not_to_run(name):
    tested = client(name)
    missing = tested.installed()
    if missing is not None:
        return missing
    measured = json.loads(expected.path_of(name).read_text(encoding="utf-8"))
    if measured["version"] != tested.version:
        return f"{name} {measured['version']} was measured, not {tested.version}"
    return None


@pytest.mark.clients
@pytest.mark.slow
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=marks(name)) for name in expected.names()]
)
def test_client_is_judged_as_expected(name):
    """Every failure is in the client's .xfails, with a reason, and is one still."""
    reason = reason_not_to_run(name)
    if reason is not None:
        pytest.skip(reason)
    known = json.loads(expected.path_of(name).read_text(encoding="utf-8"))
    found = expected.differences(expected.measured(name), known)
    assert not found, (
        f"{name} is judged differently; look into it, then run "
        f"`python tests/conformance/expected.py {name}`:\n" + "\n".join(found)
    )


def case(name, verdict, reason=""):
    return {"id": name, "verdict": verdict, "reason": reason}


def test_differences_are_named():
    judged = {
        "cases": [
            case("a.new-failure", "fail", "the client\nreported success"),
            case("a.known", "known", "as listed"),
            case("a.passes", "pass"),
            case("a.observed", "info", "does so"),
            case("a.no-feature", "not-testable", "the adapter does not offer: tls"),
            case("a.never-asked", "not-testable", "the client never asked"),
            case("a.as-before", "not-testable", "twin a.twin did not pass"),
            case("a.judged-now", "pass"),
        ]
    }
    known = {"not-testable": ["a.as-before", "a.judged-now", "a.gone"]}
    assert expected.differences(judged, known) == [
        "fail: a.new-failure: the client reported success",
        "not testable any more: a.never-asked: the client never asked",
        "expected not to be testable, but it is gone: a.gone",
        "expected not to be testable, but it is: a.judged-now",
    ]


@pytest.mark.parametrize("name", expected.names())
def test_expectations_are_of_bundled_clients(name):
    assert client(name).name == expected.client_of(name)
