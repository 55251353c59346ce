"""conformance/vectors/runner.py: vectors against a client, and what differs."""

import json
from pathlib import Path

import pytest

import conformance.vectors
from conformance.vectors.runner import (
    SHOWN_CASES,
    VectorError,
    VectorFile,
    compare,
    differences,
    load,
    run,
)


class Answers:
    """A client whose answers are given beforehand, by input."""

    def __init__(self, answers):
        self.answers = answers
        self.asked = []

    def evaluate(self, function, kind, value):
        self.asked.append((function, kind, value))
        answer = self.answers.get(value, NotImplementedError(function))
        if isinstance(answer, Exception):
            raise answer
        return answer


def vector(value, **expected):
    return {"name": f"case {value}", "kind": "k", "input": value, **expected}


def ran(answers, *vectors):
    said: list[str] = []
    file = VectorFile(path=Path("some.json"), function="f", cases=vectors)
    tally = run(Answers(answers), [file], said.append)
    return tally, "\n".join(said)


def test_equal_output_passes():
    tally, said = ran({1: {"output": {"a": [1]}}}, vector(1, output={"a": [1]}))
    assert said.splitlines()[-1] == "1 passed, 0 failed, 0 skipped"
    assert tally.exit_status == 0


def test_function_kind_and_input_are_asked_for():
    client = Answers({1: {"output": 2}})
    file = VectorFile(path=Path("x"), function="f", cases=[vector(1, output=2)])
    run(client, [file], lambda text: None)
    assert client.asked == [("f", "k", 1)]


def test_difference_fails_and_is_shown():
    tally, said = ran({1: {"output": {"a": 2}}}, vector(1, output={"a": 1}))
    assert 'FAILED k: "case 1"' in said
    assert "output.a: expected 1, got 2" in said
    assert said.endswith("0 passed, 1 failed, 0 skipped")
    assert tally.exit_status == 1


def test_unknown_function_is_skipped():
    tally, said = ran({}, vector(1, output=1))
    assert said.endswith("0 passed, 0 failed, 1 skipped")
    assert tally.exit_status == 3


def test_client_that_raises_failed():
    tally, said = ran({1: ValueError("boom")}, vector(1, output=1))
    assert "the client failed: ValueError: boom" in said
    assert tally.exit_status == 1


def test_numbers_of_several_files_are_added():
    said: list[str] = []
    files = [
        VectorFile(path=Path(name), function="f", cases=[vector(n, output=n)])
        for n, name in enumerate(["a.json", "b.json", "c.json"])
    ]
    run(Answers({0: {"output": 0}, 1: {"output": 5}}), files, said.append)
    assert said[-1] == "1 passed, 1 failed, 1 skipped"
    assert said[0] == "a.json: 1 passed, 0 failed, 0 skipped"


def test_only_so_many_failures_are_shown():
    number = SHOWN_CASES + 3
    answers = {n: {"output": None} for n in range(number)}
    _, said = ran(answers, *(vector(n, output=1) for n in range(number)))
    assert said.count("FAILED") == SHOWN_CASES
    assert "... and 3 more" in said


ERROR = {"text": "a: not found", "class": "not_found"}


@pytest.mark.parametrize(
    ("expected", "answer"),
    [
        ({"error": ERROR}, {"error": ERROR}),
        ({"error": ERROR}, {"error": ERROR, "output": None}),
        ({"output": 1, "error": ERROR}, {"output": 1, "error": ERROR}),
        ({"output": 1}, {"output": 1, "error": None}),
        ({"output": None}, {"output": None}),
        ({"error": {"text": "x"}}, {"error": {"text": "x", "class": ""}}),
        (
            {"error": {"text": "parse: go", "go_stdlib_text": True}},
            {"error": {"text": "in other words"}},
        ),
    ],
)
def test_answers_that_agree(expected, answer):
    assert list(compare(vector(1, **expected), answer)) == []


@pytest.mark.parametrize(
    ("expected", "answer", "place"),
    [
        ({"error": ERROR}, {"output": 1}, "output: expected nothing, got 1"),
        ({"output": 1}, {"error": ERROR}, "output: expected 1, got nothing"),
        ({"output": 1}, {"output": 1, "error": ERROR}, "error: expected null"),
        ({"output": 1, "error": ERROR}, {"output": 1}, "error: expected {"),
        ({"error": ERROR}, {"error": ERROR | {"text": "b"}}, "error.text: "),
        ({"error": ERROR}, {"error": ERROR | {"class": "x"}}, "error.class: "),
        ({"error": ERROR}, {"error": "a: not found"}, "error: must be an object"),
        (
            {"error": {"text": "go", "class": "c", "go_stdlib_text": True}},
            {"error": {"text": "go"}},
            "error.class: ",
        ),
        ({"output": 1}, 1, "the answer must be an object"),
        ({"output": 1}, {"output": 1, "more": 2}, "the answer must be an object"),
    ],
)
def test_answers_that_do_not_agree(expected, answer, place):
    found = list(compare(vector(1, **expected), answer))
    assert any(one.startswith(place) for one in found), found


@pytest.mark.parametrize(
    ("left", "right"), [(1, True), (1, 1.0), (0, False), (None, {}), ([], {}), ("1", 1)]
)
def test_json_values_that_python_takes_for_equal_or_empty_differ(left, right):
    assert list(differences(left, right, "x"))


def test_differences_name_their_place():
    expected = {"a": [{"b": 1}, {"b": 2}], "gone": 1}
    got = {"a": [{"b": 1}, {"b": 3}, 4], "new": 1}
    assert list(differences(expected, got, "output")) == [
        "output.a: expected 2 elements, got 3",
        "output.a[1].b: expected 2, got 3",
        "output.gone: expected 1, got nothing",
        "output.new: expected nothing, got 1",
    ]


def test_long_texts_are_shown_from_where_they_differ():
    (line,) = differences("x" * 5000 + "a" * 900, "x" * 5000 + "b" * 900, "output")
    assert "from character 4960" in line
    assert len(line) < 500
    assert "aaa" in line


def test_long_text_that_begins_the_other_differs_at_its_end():
    (line,) = differences("x" * 200, "x" * 201, "output")
    assert "from character 160" in line


def test_files_and_folders_are_read(tmp_path):
    data = {"function": "f", "cases": [vector(1, output=1)]}
    inside = tmp_path / "folder" / "deeper"
    inside.mkdir(parents=True)
    for file in (tmp_path / "one.json", inside / "b.json", inside / "a.json"):
        file.write_text(json.dumps(data))
    files = load([tmp_path / "one.json", tmp_path / "folder"])
    assert [file.path.name for file in files] == ["one.json", "a.json", "b.json"]
    assert files[0].function == "f"


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("{", "not JSON"),
        ("[]", "not vectors"),
        ('{"function": "f"}', "not vectors"),
        ('{"function": "f", "cases": [{"name": "n"}]}', "not vectors"),
        ('{"function": "f", "cases": [{"name": "n", "kind": "k", "input": 1}]}', "not"),
    ],
)
def test_what_is_no_file_of_vectors(tmp_path, content, complaint):
    file = tmp_path / "x.json"
    file.write_text(content)
    with pytest.raises(VectorError, match=complaint):
        load([file])


def test_what_is_not_there(tmp_path):
    with pytest.raises(VectorError, match="No such file"):
        load([tmp_path / "x.json"])
    with pytest.raises(VectorError, match="no vectors in this folder"):
        load([tmp_path])


def test_every_file_that_is_shipped_is_one_of_vectors():
    folder = Path(conformance.vectors.__file__).parent
    files = load([folder])
    assert len(files) >= 16
    listed = (folder / "README.md").read_text()
    for file in files:
        assert file.cases
        assert f"`{file.path.name}`" in listed
