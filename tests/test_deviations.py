"""Code, table and suite agree on where the reference leaves containerd's path."""

import re
from pathlib import Path

from conformance.case import load_suite

ROOT = Path(__file__).parents[1]
README = ROOT / "refimpl" / "README.md"

IN_CODE = re.compile(r"# DEVIATION (D\d+): \S")
ROW = re.compile(r"^\| (D\d+) \|(.*)\|$", re.MULTILINE)


def rows():
    """Return the cells behind the number of every row of the table."""
    return {
        number: [cell.strip() for cell in rest.split("|")]
        for number, rest in ROW.findall(README.read_text())
    }


def deviations_in_code():
    return {
        number
        for path in (ROOT / "refimpl").rglob("*.py")
        for number in IN_CODE.findall(path.read_text())
    }


def test_every_deviation_in_the_code_has_a_row_and_the_other_way_round():
    assert deviations_in_code() == set(rows())


def test_the_table_names_every_deviation_once():
    numbers = [number for number, _ in ROW.findall(README.read_text())]
    assert len(numbers) == len(set(numbers))


def test_every_deviation_names_the_go_source():
    for number, (_, source, _, _) in rows().items():
        assert re.search(r"\.go:\d+", source), number


def test_every_deviation_has_a_case_of_the_suite_or_says_why_not():
    known = set(load_suite())
    for number, (_, _, case, _) in rows().items():
        ids = re.findall(r"`([^`]+)`", case)
        assert ids or re.match(r"none: \w+", case), number
        assert set(ids) <= known, number
