"""conformance/released.py: what counts for a released version stays what it was."""

import json

import pytest

from conformance import released
from conformance.case import CaseError, load_suite

SUITE = ("a.one", "a.two", "b.new")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(released, "FOLDER", tmp_path / "released")
    return tmp_path / "released"


def test_every_list_names_cases_that_exist():
    suite = load_suite()
    for version in released.versions():
        assert released.cases_of(version, suite)


def test_list_is_written_once(folder):
    file = released.freeze("0.1.0", SUITE[:2])
    assert json.loads(file.read_text())["cases"] == ["a.one", "a.two"]
    assert released.cases_of("0.1.0", SUITE) == {"a.one", "a.two"}
    with pytest.raises(ValueError, match=r"0\.1\.0\.json exists"):
        released.freeze("0.1.0", SUITE)


@pytest.mark.parametrize("version", ["", "1.2", "1.2.3.dev0", "../1.2.3"])
def test_what_is_no_version_is_not_released(folder, version):
    with pytest.raises(ValueError, match="is no version"):
        released.freeze(version, SUITE)
    assert not folder.exists()


def test_versions_are_in_order(folder):
    for version in ("0.10.0", "0.9.0"):
        released.freeze(version, SUITE)
    assert released.versions() == ["0.9.0", "0.10.0"]
    with pytest.raises(ValueError, match=r"'1.0.0'; there are 0.9.0, 0.10.0"):
        released.cases_of("1.0.0", SUITE)


def test_case_may_have_got_another_name_or_gone(folder):
    file = released.freeze("0.1.0", ["a.uno", "a.two", "a.gone"])
    table = json.loads(file.read_text())
    with pytest.raises(CaseError, match=r"a.gone is no case; name it under"):
        released.cases_of("0.1.0", SUITE)
    table |= {"renamed": {"a.uno": "a.eins", "a.eins": "a.one"}}
    table |= {"removed": {"a.gone": "it asked for what no text says"}}
    file.write_text(json.dumps(table))
    assert released.cases_of("0.1.0", SUITE) == {"a.one", "a.two"}
