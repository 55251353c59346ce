"""Run vectors through a client and say what differs.

    pull-conformance vectors --client refimpl conformance/vectors/walk.json

A vector gives an input and what containerd v1.5.18 made of it: an output, an
error, or both. The client's answer is an object of the same shape, and must be
equal as JSON; of an error whose words are Go's own library's (`go_stdlib_text`)
only the class counts.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Protocol

SHOWN_CASES: Final = 20
SHOWN_DIFFERENCES: Final = 5
SHOWN_LENGTH: Final = 160

_ABSENT: Final = object()


class VectorError(Exception):
    """A file is not one of vectors; the text is one line."""


class Evaluator(Protocol):
    """What can be asked for the outcome of a function."""

    def evaluate(self, function: str, kind: str, value: Any) -> Any:  # noqa: ANN401 - any JSON
        """Return ``{"output": ...}``, ``{"error": {...}}`` or both.

        Raises:
            NotImplementedError: It does not know the function.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class VectorFile:
    """One file of vectors."""

    path: Path
    function: str
    cases: Sequence[Mapping[str, Any]]


@dataclass(kw_only=True)
class Tally:
    """How many vectors passed, failed and were skipped."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0
    failures: list[str] = field(default_factory=list)
    known: list[str] = field(default_factory=list)

    @property
    def exit_status(self) -> int:
        """0: all passed. 1: some did not. 3: none was tried."""
        if self.failed:
            return 1
        return 0 if self.passed else 3

    def __str__(self) -> str:
        return f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped"

    def add(self, other: "Tally") -> None:
        """Add the numbers of another tally."""
        self.passed += other.passed
        self.failed += other.failed
        self.skipped += other.skipped


def load(paths: Iterable[Path]) -> list[VectorFile]:
    """Read files of vectors, and every one in a folder.

    Raises:
        VectorError: There is no such file, or it holds something else.
    """
    files: list[VectorFile] = []
    for path in paths:
        if path.is_dir():
            inside = sorted(path.rglob("*.json"))
            if not inside:
                raise VectorError(f"{path}: no vectors in this folder")
            files += [_load(file) for file in inside]
        else:
            files.append(_load(path))
    return files


def _load(path: Path) -> VectorFile:
    try:
        data = json.loads(path.read_bytes())
    except OSError as err:
        raise VectorError(f"{path}: {err.strerror or err}") from err
    except ValueError as err:
        raise VectorError(f"{path}: not JSON: {err}") from err
    match data:
        case {"function": str(function), "cases": list(cases)} if all(
            isinstance(case, dict)
            and isinstance(case.get("name"), str)
            and isinstance(case.get("kind"), str)
            and "input" in case
            and ("output" in case or "error" in case)
            for case in cases
        ):
            return VectorFile(path=path, function=function, cases=cases)
    raise VectorError(
        f'{path}: not vectors: {{"function", "cases": [{{"name", "kind", "input", '
        '"output" or "error"}]} is expected'
    )


def run(
    client: Evaluator,
    files: Iterable[VectorFile],
    say: Callable[[str], None],
    *,
    known: Mapping[tuple[str, str], str] = MappingProxyType({}),
) -> Tally:
    """Run files of vectors, saying what differs and how many passed.

    Args:
        client: Is asked.
        files: Are run, one after another.
        say: Is given a line, or a few.
        known: Why a vector is known to differ, by its file's name and its own.
    """
    total = Tally()
    for file in files:
        tally = run_file(client, file, known=known)
        say(f"{file.path.name}: {tally}")
        for listed in tally.known:
            say(listed)
        for failure in tally.failures[:SHOWN_CASES]:
            say(failure)
        if len(tally.failures) > SHOWN_CASES:
            say(f"  ... and {len(tally.failures) - SHOWN_CASES} more")
        total.add(tally)
    say(str(total))
    return total


def run_file(
    client: Evaluator,
    file: VectorFile,
    *,
    known: Mapping[tuple[str, str], str] = MappingProxyType({}),
) -> Tally:
    """Run the vectors of one file."""
    tally = Tally()
    for case in file.cases:
        try:
            answer = client.evaluate(file.function, case["kind"], case["input"])
        except NotImplementedError:
            tally.skipped += 1
            continue
        except Exception as err:  # noqa: BLE001 - whatever it is, the vector failed
            found = [f"the client failed: {type(err).__name__}: {err}"]
        else:
            found = list(compare(case, answer))
        reason = known.get((file.path.name, case["name"]))
        if reason is not None and found:
            tally.skipped += 1
            tally.known.append(
                f"  known {case['kind']}: {_short(case['name'])}: {reason}"
            )
            continue
        if reason is not None:
            found = [f"listed as known to differ ({reason}), and does not"]
        if found:
            tally.failed += 1
            tally.failures.append(_failure(case, found))
        else:
            tally.passed += 1
    return tally


def compare(case: Mapping[str, Any], answer: object) -> Iterator[str]:
    """Yield what differs between a vector and an answer, place by place."""
    if not isinstance(answer, dict) or not answer.keys() <= {"output", "error"}:
        yield (
            f'the answer must be an object with "output", "error" or both: '
            f"{_short(answer)}"
        )
        return
    expected = case.get("output", _ABSENT)
    got = answer.get("output", _ABSENT)
    # A function that failed has no output; null says the same in other languages.
    failed = expected is _ABSENT and got is None
    if not failed:
        yield from differences(expected, got, "output")
    yield from _compare_errors(case.get("error"), answer.get("error"))


def _compare_errors(expected: Mapping[str, Any] | None, got: object) -> Iterator[str]:
    if expected is None or got is None:
        if expected is not got:
            yield _difference("error", expected, got)
        return
    if not isinstance(got, dict):
        yield f"error: must be an object or null: {_short(got)}"
        return
    yield from differences(
        expected.get("class") or None, got.get("class") or None, "error.class"
    )
    if not expected.get("go_stdlib_text"):
        yield from differences(expected.get("text"), got.get("text"), "error.text")


def differences(expected: object, got: object, place: str) -> Iterator[str]:
    """Yield where two JSON values differ; 1, 1.0 and true are three values."""
    if type(expected) is not type(got):
        yield _difference(place, expected, got)
    elif isinstance(expected, dict) and isinstance(got, dict):
        for key in sorted(expected.keys() | got.keys()):
            yield from differences(
                expected.get(key, _ABSENT), got.get(key, _ABSENT), f"{place}.{key}"
            )
    elif isinstance(expected, list) and isinstance(got, list):
        if len(expected) != len(got):
            yield f"{place}: expected {len(expected)} elements, got {len(got)}"
        for number, (left, right) in enumerate(zip(expected, got, strict=False)):
            yield from differences(left, right, f"{place}[{number}]")
    elif expected != got:
        yield _difference(place, expected, got)


def _difference(place: str, expected: object, got: object) -> str:
    left, right = expected, got
    if isinstance(expected, str) and isinstance(got, str):
        # Long texts differ somewhere in the middle: begin shortly before.
        same = next(
            (i for i, (a, b) in enumerate(zip(expected, got, strict=False)) if a != b),
            min(len(expected), len(got)),
        )
        if same > SHOWN_LENGTH // 2:
            start = same - SHOWN_LENGTH // 4
            place += f" (from character {start})"
            left, right = expected[start:], got[start:]
    return f"{place}: expected {_short(left)}, got {_short(right)}"


def _short(value: object) -> str:
    text = "nothing" if value is _ABSENT else json.dumps(value, default=repr)
    return text if len(text) <= SHOWN_LENGTH else f"{text[:SHOWN_LENGTH]}..."


def _failure(case: Mapping[str, Any], found: Sequence[str]) -> str:
    lines = [f"  FAILED {case['kind']}: {_short(case['name'])}"]
    lines += [f"    {line}" for line in found[:SHOWN_DIFFERENCES]]
    if len(found) > SHOWN_DIFFERENCES:
        lines.append(f"    ... and {len(found) - SHOWN_DIFFERENCES} more differences")
    return "\n".join(lines)
