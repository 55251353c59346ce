"""What the tests of the suite share: clients to judge, and cases to judge them by."""

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
