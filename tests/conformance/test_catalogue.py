"""Every behaviour that was collected ends as a case, or in a list with its reason.

catalogue.txt names what was found in specifications, advisories and bug reports of
clients; a case names what it covers with ``catalogue=``.
"""

import tomllib
from pathlib import Path

from conformance.case import load_suite

HERE = Path(__file__).parent
COLLECTED = (HERE / "catalogue.txt").read_text().split()
EXCLUDED = tomllib.loads((HERE / "exclusions.toml").read_text())


def covered():
    return {name for made in load_suite().values() for name in made.catalogue}


def test_names_are_unique():
    assert len(COLLECTED) == len(set(COLLECTED))


def test_cases_name_what_was_collected():
    assert covered() <= set(COLLECTED)


def test_nothing_is_missing():
    assert set(COLLECTED) - covered() - EXCLUDED.keys() == set()


def test_what_is_excluded_exists_is_not_covered_and_has_a_reason():
    assert EXCLUDED.keys() <= set(COLLECTED)
    assert EXCLUDED.keys() & covered() == set()
    assert all(len(reason) > 20 for reason in EXCLUDED.values())
