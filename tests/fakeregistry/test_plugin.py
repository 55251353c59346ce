"""The fixtures, as a project that uses them sees them."""

import subprocess
import sys

pytest_plugins = ["pytester"]

TESTS = """
import http.client

def status(registry):
    client = http.client.HTTPConnection("127.0.0.1", registry.port)
    client.request("GET", "/v2/")
    try:
        return client.getresponse().status
    finally:
        client.close()

def test_registry(registry):
    assert status(registry) == 200

def test_tls(tls_registry):
    assert tls_registry.url.startswith("https://")
    assert tls_registry.ca_file.exists()

def test_token(token_registry):
    assert status(token_registry) == 401

started = []

def test_factory(registry_factory):
    started.extend((registry_factory(), registry_factory(strict_cdn=True)))
    assert started[0].port != started[1].port

def test_all_are_stopped():
    assert all("stopped" in repr(registry) for registry in started)
    assert len(started) == 2
"""


def test_fixtures(pytester):
    pytester.makepyfile(TESTS)
    # Whether the package is installed or not, the plugin is there once.
    pytester.makeconftest('pytest_plugins = ["fakeregistry.pytest_plugin"]')
    result = pytester.runpytest_inprocess("-p", "no:fakeregistry", "-q")
    result.assert_outcomes(passed=5)


FAILING = """
import http.client

def test_that_fails(registry):
    client = http.client.HTTPConnection("127.0.0.1", registry.port)
    for _ in range(101):
        client.request("GET", "/v2/", headers={"Authorization": "Bearer geheim"})
        client.getresponse().read()
    client.request("GET", "/v2/?token=geheim")
    client.getresponse().read()
    client.close()
    raise AssertionError

def test_that_asks_nothing(registry):
    assert not registry.url
"""


def test_a_failure_shows_the_requests(pytester):
    """The last ones, without secrets."""
    pytester.makepyfile(FAILING)
    pytester.makeconftest('pytest_plugins = ["fakeregistry.pytest_plugin"]')
    # The default of a CI, and no source lines, which hold what the test sent.
    result = pytester.runpytest_inprocess("-p", "no:fakeregistry", "--tb=line")
    result.assert_outcomes(failed=2)
    shown = result.stdout.str()
    (report,) = [line for line in shown.splitlines() if "requests to" in line]
    assert "<Registry http://127.0.0.1:" in report
    assert "... 2 more before" in shown
    assert shown.count("GET /v2/ -> 200") == 99
    assert "GET /v2/?token=[redacted] -> 200" in shown
    assert "geheim" not in shown


def test_importing_the_plugin_imports_nothing_else():
    """pytest imports it in every project where the package is installed."""
    script = (
        "import sys, pytest\n"
        "before = set(sys.modules)\n"
        "import fakeregistry.pytest_plugin\n"
        "print(sorted(set(sys.modules) - before))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "['fakeregistry', 'fakeregistry.pytest_plugin']"
