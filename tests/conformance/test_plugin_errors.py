"""conformance/plugin.py: cases that end badly, and suites that are written wrongly."""

import json

import pytest

import conformance.plugin  # noqa: F401 - else pytester forgets it after each run
from conformance.case import CaseError

pytest_plugins = ["pytester"]
pytestmark = pytest.mark.usefixtures("no_cases")


WAITS_FOR_THE_DEAD = """
@good()
def test_asks(bench):
    "It asks for the manifest."
    with bench.registry.gate("/manifests/*") as gate:
        running = bench.start_pull(bench.publish())
        running._running._thread.join()
        gate.wait_for(1, timeout=0)
"""


@pytest.mark.parametrize(
    ("flaw", "start"),
    [
        ("crashes", "the client died: the adapter raised RuntimeError"),
        ("always-fails", "the client has ended: exit status 1: this client never"),
    ],
)
def test_case_that_waits_for_a_client_that_ended_says_so(
    run, naive_client, flaw, start
):
    report, _ = run(WAITS_FOR_THE_DEAD, clients=[naive_client(flaw)])
    reason = report["clients"][0]["cases"][0]["reason"]
    assert reason.startswith(start)
    assert ("waited for 1 requests" in reason) == (flaw == "always-fails")


LEAKS = """
from fakeregistry import BasicAuth

@good()
def test_leaks(bench):
    "It keeps the password."
    bench.new_registry(auth=BasicAuth("someone", "s3cret-word"))
    pull = bench.must_pull(bench.publish())
    print(pull.stderr)
    bench.observe(pull.stderr)
    assert pull.stderr == ""
"""


def test_secrets_stay_out_of_every_report(run, naive_client, pytester):
    junit = pytester.path / "junit.xml"
    own = pytester.path / "own.xml"
    report, result = run(
        LEAKS,
        *(f"--conformance-junit={junit}", f"--junitxml={own}", "-rA"),
        clients=[naive_client("prints-secrets")],
    )
    (one,) = report["clients"][0]["cases"]
    assert (one["id"], one["verdict"]) == ("sample.leaks", "fail")
    assert "password is [redacted]" in str(result.stdout)
    for text in (json.dumps(report), junit.read_text(), own.read_text()):
        assert "[redacted]" in text
        assert "s3cret-word" not in text
    assert "s3cret-word" not in str(result.stdout)


def test_broken_teardown_of_a_case_is_an_error(run):
    report, result = run(
        """
        import pytest

        @pytest.fixture
        def fragile():
            yield
            raise RuntimeError("left something behind")

        @good()
        def test_ends(bench, fragile):
            "It ends well."
        """
    )
    (one,) = report["clients"][0]["cases"]
    assert (one["id"], one["verdict"]) == ("sample.ends", "error")
    assert "teardown: " in one["reason"]
    assert result.ret == 1


def test_unknown_twin_is_misuse(run):
    _, result = run(
        """
        @good(twin="sample.nobody")
        def test_alone(bench):
            "It has no twin."
        """
    )
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*its twin sample.nobody is not a case*"])


def test_case_with_parameters_is_misuse(run):
    _, result = run(
        """
        import pytest

        @good()
        @pytest.mark.parametrize("number", [1, 2])
        def test_many(bench, number):
            "It is several."
        """
    )
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*sample.many is collected twice*"])


def test_suite_that_is_wrong_is_misuse(run, monkeypatch):
    def load_suite():
        raise CaseError("somewhere.py:1: a case needs a docstring")

    monkeypatch.setattr("conformance.session.load_suite", load_suite)
    _, result = run(LEAKS)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: somewhere.py:1: a case needs a docstring"])
