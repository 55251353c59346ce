"""Every vector that is shipped, through `evaluate`, as the suite runs them."""

import json
import re
from pathlib import Path

import pytest

from conformance.adapter import BUNDLED
from conformance.vectors.known import read_known
from conformance.vectors.runner import compare, load
from refimpl.evaluate import evaluate

ROOT = Path(__file__).parents[3]
FILES = {file.path.name: file for file in load([ROOT / "conformance/vectors"])}
KNOWN = read_known(BUNDLED / "refimpl.vectors")
#: Their steps are told in words: tests of their own follow them.
SCRIPTED = {"content_store.json", "leases.json"}
ROW = re.compile(r"^\| (D\d+) \|.*\|([^|]*)\|$", re.MULTILINE)


@pytest.fixture
def anyio_backend():
    """One loop will do: nothing here is about the order of tasks."""
    return "asyncio"


@pytest.mark.anyio
@pytest.mark.parametrize("name", sorted(FILES.keys() - SCRIPTED))
async def test_vectors(name):
    file = FILES[name]
    differing = {}
    for case in file.cases:
        answer = await evaluate(file.function, case["kind"], case["input"])
        if found := list(compare(case, json.loads(json.dumps(answer)))):
            differing[case["name"]] = found
    known = {vector for where, vector in KNOWN if where == name}
    assert differing.keys() == known, differing


@pytest.mark.anyio
@pytest.mark.parametrize("name", sorted(SCRIPTED))
async def test_scripts_have_no_counterpart(name):
    file = FILES[name]
    with pytest.raises(NotImplementedError, match="no counterpart"):
        await evaluate(file.function, "", {})


def test_known_differences_are_deviations_and_the_table_counts_them():
    """Each row says how many vectors of which file it changes.

    A reason that is no deviation is told in words.
    """
    rows = dict(ROW.findall((ROOT / "refimpl/README.md").read_text()))
    counted: dict[str, list[str]] = {number: [] for number in rows}
    for (file, _), reason in KNOWN.items():
        if " " not in reason:
            counted[reason].append(file.removesuffix(".json"))
    for number, text in rows.items():
        told = dict(re.findall(r"(\w+): (\d+)", text))
        assert told == {f: str(counted[number].count(f)) for f in counted[number]}
