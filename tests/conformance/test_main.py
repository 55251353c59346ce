"""conformance/__main__.py and front.py: the command pull-conformance."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from conformance import front
from conformance.__main__ import main
from conformance.adapter import AdapterError, ClientInfo
from conformance.case import load_suite

NAIVE = Path(__file__).with_name("naive.py")


@pytest.fixture
def naive(naive_client, monkeypatch):
    """Let every command find the naive client, with the flaws set here."""
    flaws: list[str] = []

    def load_clients(names, files, commands):
        if "nobody" in names:
            raise AdapterError("unknown client 'nobody'; known are naive")
        return [naive_client(*flaws)]

    monkeypatch.setattr("conformance.session.load_clients", load_clients)
    return flaws


def test_cases_lists_every_case(capsys):
    assert main(["cases"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(load_suite())
    (line,) = [one for one in lines if one.startswith("verify.layer-intact ")]
    assert " MUST " in line
    assert line.endswith("is pulled.")


def test_cases_as_json(capsys):
    assert main(["cases", "--json"]) == 0
    cases = {one["id"]: one for one in json.loads(capsys.readouterr().out)}
    flipped = cases["verify.layer-with-a-flipped-bit-is-rejected"]
    assert flipped["twin"] == "verify.layer-intact"
    assert flipped["critical"]
    assert flipped["level"] == "SHOULD"
    assert "digest" in flipped["description"]


@pytest.fixture
def known(monkeypatch):
    infos = [
        ClientInfo(name="here", kind="python", version="1.2", features=frozenset()),
        ClientInfo(name="away", kind="toml", missing="not found", install="get away"),
    ]
    monkeypatch.setattr("conformance.__main__.bundled", lambda: infos)


@pytest.mark.usefixtures("known")
def test_clients_says_what_is_installed(capsys):
    assert main(["clients"]) == 0
    out = capsys.readouterr().out
    assert "here  1.2" in out
    assert "away  not installed: not found" in out
    assert "install: get away" in out


@pytest.mark.usefixtures("known")
def test_clients_as_json(capsys):
    assert main(["clients", "--json"]) == 0
    here, away = json.loads(capsys.readouterr().out)
    assert (here["name"], here["installed"], here["version"]) == ("here", True, "1.2")
    assert (away["installed"], away["missing"]) == (False, "not found")


def test_smoke_of_a_good_client(naive, capsys, monkeypatch):
    monkeypatch.setattr("conformance.smoke.SHORT_DEADLINE", 0.05)
    assert main(["smoke"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["ok"] * 5
    assert lines[0] == "ok       version: naive 1.0"
    assert "ended by the harness" in lines[4]


SMOKE_REASONS = {
    "always-succeeds": "the client reported success and asked for nothing",
    "always-fails": "the pull must succeed; exit status 1: this client never succeeds",
    "crashes": "the client died: the adapter raised RuntimeError",
    "no-content": "two layers in ",
}


@pytest.mark.parametrize(
    ("flaw", "results"),
    [
        ("always-succeeds", "ok FAILED FAILED FAILED FAILED"),
        ("always-fails", "ok FAILED FAILED ok ok"),
        ("crashes", "ok FAILED FAILED FAILED FAILED"),
        ("no-content", "ok ok skipped ok ok"),
    ],
)
def test_smoke_says_what_is_wrong(naive, capsys, monkeypatch, flaw, results):
    monkeypatch.setattr("conformance.smoke.SHORT_DEADLINE", 0.05)
    naive.append(flaw)
    assert main(["smoke", "--client", "naive"]) == (1 if "FAILED" in results else 0)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines if line[0] != " "] == results.split()
    assert SMOKE_REASONS[flaw] in lines[1]


def vectors(tmp_path):
    cases = [
        {"name": "two", "kind": "n", "input": 2, "output": {"double": 4}},
        {
            "name": "word",
            "kind": "n",
            "input": "x",
            "error": {"text": "n: not a number", "class": "invalid"},
        },
    ]
    file = tmp_path / "double.json"
    file.write_text(json.dumps({"function": "test.Double", "cases": cases}))
    return file, cases


def test_vectors_that_pass(naive, tmp_path, capsys):
    file, _ = vectors(tmp_path)
    assert main(["vectors", "--client", "naive", str(file)]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "2 passed, 0 failed, 0 skipped"


def test_vectors_that_do_not(naive, tmp_path, capsys):
    file, cases = vectors(tmp_path)
    cases[0]["output"] = {"double": 5}
    file.write_text(json.dumps({"function": "test.Double", "cases": cases}))
    (tmp_path / "other.json").write_text(
        json.dumps({"function": "test.Other", "cases": cases})
    )
    assert main(["vectors", str(tmp_path)]) == 1
    out = capsys.readouterr().out
    assert "output.double: expected 5, got 4" in out
    assert out.splitlines()[-1] == "1 passed, 1 failed, 2 skipped"


def test_vectors_that_nobody_evaluates(naive, tmp_path, capsys):
    file = tmp_path / "x.json"
    file.write_text('{"function": "test.Other", "cases": []}')
    assert main(["vectors", str(file)]) == 3
    assert capsys.readouterr().out.splitlines()[-1] == "0 passed, 0 failed, 0 skipped"


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["vectors", "no/such/file"], "No such file"),
        (["smoke", "--client", "nobody"], "unknown client 'nobody'"),
        (["run", "--client", "nobody"], "unknown client 'nobody'"),
        (["run", "--area", "nowhere"], "unknown area 'nowhere'"),
        (["run", "--case", "verify.nothing"], "unknown case 'verify.nothing'"),
        (["run", "--level", "WILL"], "unknown level 'WILL'"),
        (["run", "--nonsense"], "unrecognized arguments: --nonsense"),
        (["run", "-k", "a b"], "Wrong expression passed to '-k'"),
        (["run", "--json", "no/such/folder/x"], "there is no such folder"),
        (["run", "no-such-path"], "file or directory not found: no-such-path"),
    ],
)
def test_misuse_is_one_line_and_exit_2(naive, capsys, arguments, complaint):
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert len(error.splitlines()) == 1
    assert complaint in error
    assert error.startswith(f"pull-conformance {arguments[0]}: error: ")


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["explain"],
        ["cases", "--nonsense"],
        ["run", "--timeout", "0"],
        ["run", "--timeout", "soon"],
        ["run", "--timeout", "nan"],
        ["vectors"],
    ],
)
def test_wrong_options_are_exit_2(capsys, arguments):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert "error: " in capsys.readouterr().err.splitlines()[-1]


def test_run_prints_the_report_and_nothing_of_pytest(
    naive, capsys, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = --no-such-option\n")
    (tmp_path / "conftest.py").write_text("raise RuntimeError('not mine')\n")
    monkeypatch.setenv("PYTEST_ADDOPTS", "--no-such-option")
    before = sorted(tmp_path.iterdir())
    assert main(["run", "--case", "verify.layer-intact"]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[1] == "naive 1.0"
    assert out[-1].startswith("ok - 1 case in ")
    assert not any("session starts" in line for line in out)
    assert sorted(tmp_path.iterdir()) == before
    assert os.environ["PYTEST_ADDOPTS"] == "--no-such-option"


def test_run_shows_pytest_where_that_is_asked_for(naive, capsys):
    naive.append("no-digest-check")
    assert main(["run", "--area", "verify", "-k", "flipped", "-v"]) == 1
    out = capsys.readouterr().out
    assert "test session starts" in out
    assert "fail  verify.layer-with-a-flipped-bit-is-rejected" in out


def test_run_writes_reports(naive, tmp_path, capsys):
    report, junit = tmp_path / "r.json", tmp_path / "r.xml"
    options = ["--case", "verify.layer-intact", "--timeout", "5"]
    assert main(["run", *options, "--json", str(report), "--junit", str(junit)]) == 0
    assert json.loads(report.read_text())["clients"][0]["name"] == "naive"
    assert "verify.layer-intact" in junit.read_text()


def test_what_breaks_before_a_report_is_shown(naive, capsys, monkeypatch):
    def pytest_main(arguments, plugins):
        sys.stdout.write("INTERNALERROR> it broke")
        return 3

    monkeypatch.setattr("pytest.main", pytest_main)
    assert main(["run"]) == 1
    assert "it broke" in capsys.readouterr().err


@pytest.mark.slow
def test_run_on_two_processes_from_any_folder(tmp_path):
    """The executable adapter, xdist and results that meet in the controller."""
    report = tmp_path / "report.json"
    place = tmp_path / "cwd"
    place.mkdir()
    careless = f"{sys.executable} {NAIVE} --flaw no-digest-check"
    root = Path(front.__file__).parents[1]
    done = subprocess.run(
        [
            *(sys.executable, "-m", "conformance", "run", "-n", "2"),
            *("--command", careless, "--json", str(report), "--har", "hars"),
            *("-k", "layer-with-a-flipped-bit or basic-credentials"),
        ],
        cwd=place,
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 1, done.stderr
    cases = json.loads(report.read_text())["clients"][0]["cases"]
    verdicts = {one["id"]: one["verdict"] for one in cases}
    assert verdicts["verify.layer-intact"] == "pass"
    assert verdicts["verify.layer-with-a-flipped-bit-is-rejected"] == "fail"
    assert "fail  verify.layer-with-a-flipped-bit-is-rejected" in done.stdout
    assert "bringing up nodes" not in done.stdout
    (left,) = (path for path in place.rglob("*") if path.is_file())
    assert left.name == "verify.layer-with-a-flipped-bit-is-rejected.har"
    assert left.parts[-3] == "hars"
