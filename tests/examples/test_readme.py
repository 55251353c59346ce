"""What the documents show runs as it stands there."""

import re
import shlex
from pathlib import Path

import pytest

from conformance.__main__ import main as pull_conformance
from conformance.case import load_suite
from conformance.config import KEYS as CONFIG_KEYS
from conformance.config import read_config
from fakeregistry.__main__ import main as fakeregistry
from refimpl.cli import parse_arguments as refpull_arguments

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted(
    [
        ROOT / "README.md",
        ROOT / "refimpl/README.md",
        ROOT / "conformance/ADAPTER.md",
        ROOT / "conformance/CONFIG.md",
    ]
)
FENCE = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(
    r"^    ((?:pull-conformance|refpull|fakeregistry) .*)$", re.MULTILINE
)

FENCES = [
    pytest.param(code, id=f"{path.relative_to(ROOT)}-{number}")
    for path in DOCUMENTS
    for number, code in enumerate(FENCE.findall(path.read_text()))
]
COMMANDS = sorted(
    {line for path in DOCUMENTS for line in COMMAND.findall(path.read_text())}
)


def test_there_is_something_to_run():
    assert FENCES
    assert len(COMMANDS) > 5


@pytest.mark.parametrize("code", FENCES)
def test_python(code):
    exec(compile(code, "README", "exec"), {"__name__": "readme"})  # noqa: S102 - ours


def test_settings_are_understood(tmp_path):
    text = (ROOT / "conformance/CONFIG.md").read_text()
    (shown,) = re.findall(r"^```toml\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    file = tmp_path / "pull-conformance.toml"
    file.write_text(shown)
    config = read_config(file)
    config.check(load_suite())
    assert all(f"`{key}`" in text or f"[[{key}]]" in text for key in CONFIG_KEYS)


@pytest.mark.parametrize("line", COMMANDS)
def test_command_is_understood(line, capsys):
    """Its options exist; what it does is tested where it is defined."""
    program, *words = shlex.split(line)
    if program == "refpull":
        assert refpull_arguments(words).run
        return
    command = fakeregistry if program == "fakeregistry" else pull_conformance
    with pytest.raises(SystemExit) as ended:
        command([*words, "--help"])
    assert ended.value.code == 0
    shown = capsys.readouterr().out
    assert all(word in shown for word in words if word.startswith("--"))


def test_the_two_commands_come_first():
    """DESIGN: exactly these, near the top."""
    commands = re.findall(r"^    (python3 .*)$", (ROOT / "README.md").read_text(), re.M)
    assert commands == [
        "python3 -m venv .venv && .venv/bin/pip install -q . && "
        ".venv/bin/pull-conformance run",
        "python3 -m venv .venv && .venv/bin/pip install -q tox && .venv/bin/tox",
    ]
