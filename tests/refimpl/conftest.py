"""Settings that all tests of the reference share."""

import json

import pytest
from hypothesis import settings

from refimpl.__main__ import main

# Machines are slow at times: how long an example takes is never what is tested.
settings.register_profile("refimpl", deadline=None, max_examples=50)
settings.load_profile("refimpl")


@pytest.fixture
def root(tmp_path):
    return tmp_path / "root"


@pytest.fixture
def refpull(root, capsysbinary):
    """Run a command in this process; returns status, output and what was said."""

    def run(*words):
        capsysbinary.readouterr()
        status = main(["--root", str(root), *map(str, words)])
        said = capsysbinary.readouterr()
        return status, said.out, said.err.decode()

    return run


@pytest.fixture
def as_json(refpull):
    """Run a command that must work, and return the JSON that it prints."""

    def run(*words):
        status, out, err = refpull(*words, "--json")
        assert (status, err) == (0, "")
        return json.loads(out)

    return run
