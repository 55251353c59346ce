"""conformance/vectors/known.py: what is known to differ, and the list's own errors."""

from pathlib import Path

import pytest

from conformance.vectors.known import read_known
from conformance.vectors.runner import VectorError, VectorFile, run

LIST = """\
# a comment
x.json | "with | bars and \\"quotes\\"" | D1

y.json | "b" | because
"""


@pytest.fixture
def listed(tmp_path):
    def write(text):
        file = tmp_path / "client.vectors"
        file.write_text(text)
        return read_known(file)

    return write


def test_lines(listed):
    assert listed(LIST) == {
        ("x.json", 'with | bars and "quotes"'): "D1",
        ("y.json", "b"): "because",
    }


def test_no_file_lists_nothing(tmp_path):
    assert read_known(tmp_path / "absent") == {}


@pytest.mark.parametrize(
    "text", ["x.json", 'x.json | "a"', "x.json | a | b", "x.json | 1 | b", 'x | "a" | ']
)
def test_a_wrong_line_is_named(listed, text):
    with pytest.raises(VectorError, match=r"client\.vectors:1: a line is"):
        listed(text)


def test_a_vector_is_listed_once(listed):
    with pytest.raises(VectorError, match="'b' is listed twice"):
        listed(LIST + 'y.json | "b" | again\n')


def test_a_folder_is_no_list(tmp_path):
    with pytest.raises(VectorError, match="cannot be read"):
        read_known(tmp_path)


class Client:
    def evaluate(self, _function, _kind, value):
        return {"output": value}


@pytest.mark.parametrize(
    ("output", "ends", "says"),
    [
        (1, "0 passed, 1 failed, 0 skipped", "listed as known to differ (D1), and"),
        (2, "0 passed, 0 failed, 1 skipped", 'known k: "v": D1'),
    ],
)
def test_a_listed_vector_has_to_differ(output, ends, says):
    said: list[str] = []
    case = {"name": "v", "kind": "k", "input": 1, "output": output}
    file = VectorFile(path=Path("some/f.json"), function="f", cases=[case])
    tally = run(Client(), [file], said.append, known={("f.json", "v"): "D1"})
    assert str(tally) == said[-1] == ends
    assert says in "\n".join(said)
