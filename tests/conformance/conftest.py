"""What the tests of the suite share: clients to judge, and cases to judge them by."""

import json
import sys
import textwrap
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType

import pytest

from conformance import case as case_module
from conformance.bench import Bench
from conformance.client import Client, ClientInfo
from conformance.xfails import Xfail


@pytest.fixture(scope="session")
def naive():
    """The module of the naive client (naive.py beside this file)."""
    file = Path(__file__).with_name("naive.py")
    loader = SourceFileLoader("naive", str(file))
    module = ModuleType(loader.name)
    loader.exec_module(module)
    return module


@pytest.fixture
def naive_client(naive):
    """Make a client of the naive adapter, with flaws."""

    def make(*flaws, name="naive", xfails=()):
        return Client(
            adapter=naive.NaiveAdapter(flaws, name),
            info=ClientInfo(name=name, kind="python"),
            xfails={
                case: Xfail(reason="it never worked", link="measured: naive 1.0")
                for case in xfails
            },
        )

    return make


@pytest.fixture
def bench_of(tmp_path):
    """Make a bench for a client; it is closed after the test."""
    made: list[Bench] = []

    def make(client, timeout=10.0):
        made.append(Bench(client, tmp_path / f"bench{len(made)}", timeout=timeout))
        return made[-1]

    yield make
    for bench in made:
        bench.close()


@pytest.fixture
def no_cases(monkeypatch):
    """Start without any case registered."""
    monkeypatch.setattr(case_module, "_registered", {})
    monkeypatch.setattr(case_module, "_by_function", {})


HEAD = """
from conformance.case import Feature, Level, case, not_testable

def good(**options):
    return case(**{"clause": "a spec", "level": Level.MUST} | options)
"""


@pytest.fixture
def run(pytester, monkeypatch, naive_client):
    """Run pytest on the text of a module of cases; return report and result."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setattr("conformance.case.CASES_PACKAGE", "sample_cases")
    package = pytester.mkpydir("sample_cases")
    monkeypatch.syspath_prepend(pytester.path)

    def run(cases, *options, clients=None):
        made = [naive_client()] if clients is None else clients
        monkeypatch.setattr(
            "conformance.session.load_clients", lambda names, files, commands: made
        )
        module = package / "sample.py"
        module.write_text(HEAD + textwrap.dedent(cases))
        report = pytester.path / "report.json"
        result = pytester.runpytest_inprocess(
            *("-p", "conformance.plugin", "-p", "no:cacheprovider"),
            *(f"--conformance-json={report}", *options, module),
        )
        data = json.loads(report.read_text()) if report.exists() else None
        return data, result

    yield run
    for name in [n for n in sys.modules if n.startswith("sample_cases")]:
        del sys.modules[name]
