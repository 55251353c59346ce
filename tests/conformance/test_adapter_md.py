"""What ADAPTER.md teaches is true: its examples are read, and the first one is run."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

import conformance
from conformance.__main__ import main
from conformance.adapter import BUNDLED, known_names
from conformance.case import load_suite
from conformance.client import Client, ClientInfo
from conformance.command import KEYS, CommandAdapter
from conformance.description import Description
from conformance.layouts import READERS
from conformance.library import KEYS as LIBRARY_KEYS
from conformance.library import LibraryAdapter
from conformance.template import ALWAYS, OPTIONAL, SWITCHES
from conformance.verdict import not_testable_because
from conformance.whitebox import METHODS

TEXT = (Path(conformance.__file__).parent / "ADAPTER.md").read_text(encoding="utf-8")
FENCES = re.findall(r"^```toml\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
INSIDE = re.findall(r"^```python\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
LIMIT = 15


def lines(text):
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def test_worked_example_is_short_and_right(tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text(FENCES[0])
    assert len(lines(FENCES[0])) <= LIMIT
    assert CommandAdapter.read(file).info.name == "skopeo"


@pytest.mark.clients
def test_worked_example_runs(tmp_path, capsys):
    file = tmp_path / "mine.toml"
    file.write_text(FENCES[0])
    if (missing := CommandAdapter.read(file).installed()) is not None:
        pytest.skip(missing)
    assert main(["smoke", "--adapter", str(file)]) == 0
    said = capsys.readouterr().out
    assert "ok       read back" in said
    assert "FAILED" not in said


def test_command_with_everything_is_right():
    told = tomllib.loads(FENCES[0]) | tomllib.loads(FENCES[1])
    adapter = CommandAdapter.described(Description("ADAPTER.md", told, Path()))
    assert {"username", "ca_dir", "arch"} <= adapter.pull_template.mentioned


class Described:
    """What the example of a Python object leaves out."""

    def capabilities(self):
        features = ["handlers", "limit", "cancel", "reference"]
        return {"name": "mine", "version": "1.0", "features": features}

    def pull(self, request, on_cancel):
        raise NotImplementedError

    def inspect(self, request):
        raise NotImplementedError


@pytest.mark.parametrize(
    "made",
    [made for made in load_suite().values() if made.area in ("handlers", "limiter")],
    ids=lambda made: made.id,
)
def test_example_from_the_inside_does_what_is_asked(made, bench_of):
    (text,) = INSIDE
    names: dict[str, Any] = {}
    exec(text, names)  # noqa: S102 - it is what the test is about
    adapter = type("Mine", (names["Adapter"], Described), {})()
    client = Client(adapter=adapter, info=ClientInfo(name="mine", kind="python"))
    assert not_testable_because(made, client.features) is None
    made.function(bench_of(client))


def test_library_is_right():
    (text,) = [fence for fence in FENCES if "runtime" in fence]
    adapter = LibraryAdapter(Description("ADAPTER.md", tomllib.loads(text), BUNDLED))
    assert Path(adapter.argv[1]).exists()


@pytest.mark.parametrize(
    "word",
    sorted(
        {*KEYS, *LIBRARY_KEYS, *READERS, *ALWAYS, *OPTIONAL, *SWITCHES, *METHODS}
        - {"version", "result", "hosts_dir"}
    ),
)
def test_everything_is_told(word):
    assert f"`{word}`" in TEXT


@pytest.mark.parametrize("file", sorted(BUNDLED.glob("*.toml")), ids=lambda f: f.stem)
def test_bundled_files_are_as_short_as_is_said(file):
    assert len(lines(file.read_text(encoding="utf-8"))) <= LIMIT


def test_every_bundled_client_is_in_the_list():
    text = Path(conformance.__file__).with_name("CLIENTS.md").read_text("utf-8")
    missing = [name for name in known_names() if f"`{name}`" not in text]
    assert not missing
