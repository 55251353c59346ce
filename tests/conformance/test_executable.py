"""Executables that speak the contract, and those that do not."""

import json
import stat

import pytest

from conformance import executable
from conformance.adapter import load_clients
from conformance.contract import AdapterError
from conformance.executable import ExecutableAdapter

CAPABILITIES = '{"name": "shell", "version": "1", "features": ["content"]}'


@pytest.fixture
def write(tmp_path):
    """Write a shell script and return its path."""

    def write(script):
        file = tmp_path / "client"
        file.write_text(f"#!/bin/sh\n{script}\n")
        file.chmod(file.stat().st_mode | stat.S_IXUSR)
        return str(file)

    return write


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "root"
    folder.mkdir()
    return folder


def said_by(script, write):
    with pytest.raises(AdapterError) as caught:
        ExecutableAdapter([write(script)]).capabilities()
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_it_is_loaded_under_its_own_name(write):
    client = load_clients(commands=[write(f"echo '{CAPABILITIES}'")])[0]
    assert (client.name, client.version) == ("shell", "1")
    assert client.features == {"content"}
    assert client.installed() is None


def test_expected_failures_lie_beside_it(write, tmp_path):
    command = write(f"echo '{CAPABILITIES}'")
    (tmp_path / "client.xfails").write_text("a.b | why | https://example.org")
    assert load_clients(commands=[command])[0].xfails["a.b"].reason == "why"


@pytest.mark.parametrize(
    ("script", "text"),
    [
        ("exit 1", "capabilities ended with exit status 1"),
        ("echo broken >&2; exit 4", "ended with exit status 4: broken"),
        ("", "must print one JSON object, not nothing"),
        ("echo rubbish", "must print one JSON object, not 'rubbish'"),
        ("echo '[1]'", "must print one JSON object"),
        ("head -c 300000 /dev/zero | tr '\\0' '['", "must print one JSON object"),
        ("kill -KILL $$", "killed by SIGKILL"),
        ("exit 127", "was not found (exit status 127)"),
    ],
)
def test_what_breaks_the_contract_is_one_line(script, text, write):
    assert text in said_by(script, write)


def test_hanging_is_one_line(write, monkeypatch):
    monkeypatch.setattr(executable, "QUICK", 0.05)
    assert "still running after 0.05 s" in said_by("exec sleep 60", write)


def test_endless_answer_is_one_line(write, monkeypatch):
    monkeypatch.setattr(executable, "LONGEST", 1000)
    said = said_by("head -c 5000 /dev/zero | tr '\\0' x", write)
    assert "printed more than 1000 bytes" in said


def test_absent_executable():
    adapter = ExecutableAdapter(["/nowhere/client"])
    assert adapter.installed() == "/nowhere/client: not found or not executable"
    with pytest.raises(AdapterError, match="No such file"):
        adapter.capabilities()


@pytest.mark.parametrize(
    ("told", "text"),
    [
        ({"version": "1", "features": []}, "capabilities must have 'name'"),
        ({"name": "x", "version": 1, "features": []}, "must have 'version'"),
        ({"name": "x", "version": "1"}, "features must be a list"),
        ({"name": "x", "version": "1", "features": ["tsl"]}, "unknown feature 'tsl'"),
        ({"name": "a b", "version": "1", "features": []}, "'a b' is no name"),
    ],
)
def test_capabilities_are_checked(told, text, write):
    with pytest.raises(AdapterError) as caught:
        load_clients(commands=[write(f"echo '{json.dumps(told)}'")])
    assert text in str(caught.value)


def pull(script, write, root):
    adapter = ExecutableAdapter([write(script)])
    return adapter.pull({"ref": "r/a:b", "root": str(root)}, lambda stop: None)


def test_pull_reads_the_request_and_prints_the_result(write, root):
    script = f"""test "$1" = pull && cat > {root}/request
    echo note >&2; echo '{{"ok": true, "exit": 0}}'"""
    answer = pull(script, write, root)
    assert answer == {"ok": True, "exit": 0, "stderr": "note\n"}
    asked = json.loads((root / "request").read_text())
    assert asked == {"ref": "r/a:b", "root": str(root)}


@pytest.mark.parametrize(
    ("script", "text"),
    [
        ("echo rubbish", "must print one JSON object"),
        ("echo '{\"ok\": true}'; exit 1", "ended with exit status 1"),
        ("exit 3", "ended with exit status 3"),
        ("kill -ABRT $$", "killed by SIGABRT"),
    ],
)
def test_pull_without_a_result_has_died(script, text, write, root):
    answer = pull(script, write, root)
    assert answer["ok"] is False
    assert text in answer["died"]


def test_inspect_and_collect(write, root):
    script = 'case $1 in inspect) echo "{\\"images\\": []}";; collect) echo {};; esac'
    adapter = ExecutableAdapter([write(script)])
    assert adapter.inspect({"root": str(root)}) == {"images": []}
    assert adapter.collect({"root": str(root)}) == {}


def test_evaluate(write):
    script = """read -r asked; case "$asked" in *'"function": "known"'*)
    echo '{"output": [1]}';; *) exit 3;; esac"""
    adapter = ExecutableAdapter([write(script)])
    assert adapter.evaluate("known", "table", {}) == {"output": [1]}
    with pytest.raises(NotImplementedError, match="does not implement evaluate"):
        adapter.evaluate("unknown", "table", {})


def test_evaluate_must_have_an_output(write):
    with pytest.raises(AdapterError, match="neither 'output' nor 'error'"):
        ExecutableAdapter([write("echo {}")]).evaluate("f", "table", {})
