"""What v1.5.18's converter made of images, to the byte (vectors/schema1.json)."""

import json
from pathlib import Path

import pytest

from refimpl.evaluate import evaluate

pytestmark = pytest.mark.anyio

FILE = Path(__file__).parents[3] / "conformance/vectors/schema1.json"
VECTORS = json.loads(FILE.read_text("utf-8"))
# Vectors that a deviation changes, and what comes instead.
DEVIATING = {
    "protected length negative": "invalid protected length block: invalid argument",
    "blobSum invalid": 'invalid blobSum "nope": invalid checksum digest format: '
    "invalid argument",
}
# Its input is that of "three layers": nothing says that no handler was called.
UNTOLD = "convert without handling"
CASES = [case for case in VECTORS["cases"] if case["name"] not in {*DEVIATING, UNTOLD}]


@pytest.fixture
def anyio_backend():
    """One loop will do: nothing here is about the order of tasks."""
    return "asyncio"


async def outcome(case):
    return await evaluate(VECTORS["function"], case["kind"], case["input"])


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
async def test_a_vector(case):
    got = await outcome(case)
    assert got["output"] == case["output"]
    want = case.get("error", {})
    error = got.get("error", {})
    assert error.get("class") == want.get("class")
    assert bool(error) == bool(want)
    if not want.get("go_stdlib_text"):
        assert error.get("text") == want.get("text")


async def test_vectors_that_a_deviation_changes():
    found = {
        case["name"]: (await outcome(case))["error"]["text"]
        for case in VECTORS["cases"]
        if case["name"] in DEVIATING
    }
    assert found == DEVIATING


def test_a_vector_whose_input_says_too_little():
    inputs = {case["name"]: case["input"] for case in VECTORS["cases"]}
    assert inputs[UNTOLD] == inputs["three layers"]
