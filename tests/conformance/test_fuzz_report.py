"""conformance/fuzz/report.py: a finding as its reader sees it."""

import shlex

import pytest

from conformance.client import Client
from conformance.command import CommandAdapter
from conformance.fuzz.findings import Finding
from conformance.fuzz.report import Origin, paragraph, replay_lines


@pytest.fixture
def command_client():
    adapter = CommandAdapter.from_words(["mine", "--quiet", "{ref}"])
    return Client(adapter=adapter, info=adapter.info)


@pytest.mark.parametrize(
    ("text", "end"),
    [
        ('[[image]]\nref = "library/fuzz:1"\n', "library/fuzz:1"),
        ('[[image]]\nref = "library/fuzz:by-digest"\n', "library/fuzz@sha256:"),
    ],
)
def test_the_command_to_type(tmp_path, monkeypatch, command_client, text, end):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    auth = '[auth]\nkind = "basic"\nusername = "me"\npassword = "p"\n'
    file = tmp_path / "found it.toml"
    file.write_text(text + auth)
    origin = Origin(client=command_client, chosen=("--command", "mine {ref}"))
    lines = list(replay_lines(origin, file))
    quoted = shlex.quote(str(file))
    assert lines[1] == f"  fakeregistry serve --scenario {quoted} --port 5000"
    folder, _, command = lines[2].strip().removeprefix("cd ").partition(" && ")
    (made,) = tmp_path.glob("pull-conformance-fuzz-*")
    assert folder == str(made)
    assert command.startswith(f"mine --quiet 127.0.0.1:5000/{end}")
    assert lines[3] == (
        f"or  pull-conformance fuzz --replay {quoted} --command 'mine {{ref}}'"
    )


def test_a_long_journal_is_cut_in_the_middle(command_client):
    exchange = {
        "method": "GET",
        "status": 200,
        "bytes": 7,
        "outcome": "complete",
        "request": [],
        "response": [],
        "server": "registry",
    }
    exchanges = [{**exchange, "target": f"/{number}"} for number in range(40)]
    evidence = {"exchanges": exchanges, "pulls": [{"ref": "r", "ok": False}]}
    finding = Finding(name="died", text="it fell over")
    command_client._capabilities = {"version": "1", "features": frozenset()}
    origin = Origin(client=command_client, chosen=())
    lines = list(paragraph(origin, finding, evidence))
    assert "  GET  /14 -> 200, 7 bytes" in lines
    assert "  ... and 10 more" in lines
    assert "  GET  /20 -> 200, 7 bytes" not in lines
    assert "  GET  /25 -> 200, 7 bytes" in lines
    assert lines[-1] == "  pull of r: failure"
