"""The suite can fail: clients that are wrong in one way, and who notices.

A mutant is the reference with one thing broken (catalogue/*.toml, run.py). Each
names the cases that are meant to see it, and why: these must be red for that reason
and no other, while the twins show that all else is well.
"""

import re
import runpy
from pathlib import Path

import pytest

from conformance.case import Level, load_suite

MUTANTS = runpy.run_path(str(Path(__file__).with_name("run.py")))["load"]()

#: Cases that no mutant fails, and why. Those of the level MAY are not counted: they
#: tell what a client does, and are never red.
NO_MUTANT: dict[str, str] = {}


@pytest.mark.parametrize("name", MUTANTS)
def test_mutant_is_caught(name, suite_against, tmp_path):
    report, printed = suite_against(name, tmp_path)
    assert not report["broken"], printed
    (client,) = report["clients"]
    cases = {case["id"]: case for case in client["cases"]}
    expected = MUTANTS[name].caught_by
    assert expected.keys() <= cases.keys(), printed
    for made in cases.values():
        said = f"{made['id']}: {made['verdict']}: {made['reason']}\n{printed}"
        if made["id"] in expected:
            optional = made["level"] == Level.SHOULD and not made["critical"]
            assert made["verdict"] == ("warn" if optional else "fail"), said
            assert re.search(expected[made["id"]], made["reason"], re.DOTALL), said
        else:
            assert made["verdict"] == "pass", said


def test_every_case_is_failed_by_some_mutant():
    caught = {case for mutant in MUTANTS.values() for case in mutant.caught_by}
    judging = {made.id for made in load_suite().values() if made.level != Level.MAY}
    assert caught <= judging
    assert judging - caught == NO_MUTANT.keys()
    assert all(NO_MUTANT.values())
