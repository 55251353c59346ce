"""conformance/cli_fuzz.py and fuzz/run.py, search.py, report.py: the command `fuzz`."""

import json
import os
import re
import signal
import subprocess
import sys
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from conformance.__main__ import main
from conformance.fuzz.findings import Finding
from conformance.fuzz.judge import Judge

NAIVE = Path(__file__).with_name("naive.py")
FOUND = re.compile(r"fuzz-corrupt-[0-9a-f]{8}\.toml")


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder of its own for what the command writes."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def naive(naive_client, monkeypatch):
    """Let the command find the naive client, with the flaws set here."""
    flaws: list[str] = []
    monkeypatch.setattr(
        "conformance.session.load_clients", lambda *_: [naive_client(*flaws)]
    )
    return flaws


@pytest.mark.slow
def test_the_reference_withstands_it(here, capsys):
    assert main(["fuzz", "--examples", "20", "--seed", "3"]) == 0
    said = re.fullmatch(
        r"nothing found - refimpl 1\.5\.18, seed 3: (\d+) scenarios, faults met in "
        r"(\d+), the image pulled in (\d+)\n",
        capsys.readouterr().out,
    )
    assert said
    tried, met, pulled = map(int, said.groups())
    assert 10 <= tried <= 20
    # Some that are broken, some that are pulled: it has seen something.
    assert met > 3
    assert 0 < pulled < tried
    assert list(here.iterdir()) == []


@pytest.mark.slow
def test_a_client_that_believes_digests_is_found_out(here, naive, capsys):
    naive.append("no-digest-check")
    fuzz = ["fuzz", "--examples", "100"]
    assert main([*fuzz, "--json", "found.json"]) == 1
    said = capsys.readouterr().out
    (file,) = here.glob("*.toml")
    assert FOUND.fullmatch(file.name)
    text = file.read_text()
    assert text.startswith(
        "# Found by `pull-conformance fuzz` with naive 1.0, seed 0.\n"
        "# Finding: corrupt (it keeps bytes under a digest that they do not have)\n\n"
    )
    # As small as it gets: the config is enough, so there is no layer.
    document = tomllib.loads(text)
    assert document["image"] == [{"ref": "library/fuzz:1", "layers": 0}]
    (fault,) = document["fault"]
    assert set(document) == {"image", "fault"}
    assert "nth" not in fault
    assert said.startswith("naive 1.0: corrupt (it keeps bytes")
    assert "is in truth sha256:" in " ".join(said.split())
    assert "\n  GET  /v2/library/fuzz/manifests/1 -> 200" in said
    assert f"\n  fakeregistry serve --scenario {file.name} --port 5000\n" in said
    assert f"\nor  pull-conformance fuzz --replay {file.name}" in said
    assert "more trials" not in said

    told = json.loads((here / "found.json").read_text())
    assert told["client"] == {"name": "naive", "version": "1.0"}
    finding = told["finding"]
    assert (finding["name"], finding["file"]) == ("corrupt", file.name)
    assert finding["again"] == finding["repeats"] == 3
    assert tomllib.loads(finding["scenario"]) == document

    # The same seed, the same file; another place, if one is asked for.
    assert main([*fuzz, "--out", "again.toml"]) == 1
    assert (here / "again.toml").read_text() == text
    capsys.readouterr()

    # What it says to type does what it says.
    assert main(["fuzz", "--replay", file.name]) == 1
    assert capsys.readouterr().out.startswith("naive 1.0: corrupt")
    naive.clear()
    assert main(["fuzz", "--replay", file.name]) == 0
    said = capsys.readouterr().out
    assert said == f"nothing found - naive 1.0 refuses the image of {file.name}\n"
    assert_served(file)


def assert_served(file):
    """Hold that the registry takes the file, and does what it says."""
    command = [sys.executable, "-m", "fakeregistry", "serve", "--scenario", str(file)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as serving:
        try:
            assert serving.stdout is not None
            assert serving.stdout.readline().startswith("http://127.0.0.1:")
        finally:
            os.kill(serving.pid, signal.SIGTERM)
        assert serving.wait(10) == 0


@pytest.mark.parametrize(
    ("flaw", "why"),
    [
        ("always-fails", "this client never succeeds"),
        ("always-succeeds", "asked for nothing"),
        ("crashes", "segmentation fault"),
        ("hangs", "missed its deadline"),
    ],
)
def test_nothing_is_learned_of_a_client_that_never_pulls(
    here, naive, capsys, flaw, why
):
    naive.append(flaw)
    assert main(["fuzz", "--timeout", "0.3"]) == 1
    said = capsys.readouterr().out
    assert said.startswith("nothing to fuzz: naive 1.0 does not pull a plain image\n  ")
    assert why in said
    assert list(here.iterdir()) == []


HANGS = """
import sys, time
from urllib.request import urlopen
ref = sys.argv[1]
host, _, rest = ref.partition("/")
name, _, tag = rest.rpartition(":")
try:
    urlopen(f"http://{host}/v2/{name}/manifests/{tag}", timeout=5).read()
except OSError:
    time.sleep(60)
"""


@pytest.mark.slow
def test_a_client_that_hangs_is_found_and_its_command_is_told(here, capsys):
    (here / "client.py").write_text(HANGS)
    command = f"{sys.executable} {here}/client.py {{ref}}"
    (here / "busy.toml").write_text(
        '[[image]]\nref = "library/fuzz:1"\n[[fault]]\npath = "/v2/*"\nstatus = 503\n'
    )
    fuzz = ["fuzz", "--command", command, "--timeout", "1.5"]
    assert main([*fuzz, "--replay", "busy.toml"]) == 1
    said = capsys.readouterr().out
    assert " hangs (it misses its deadline" in said
    assert "ended after 1." in said


def test_what_is_not_found_again_is_said_to_be_so(here, naive, capsys, monkeypatch):
    """A race: each scenario breaks the client the first time alone."""
    seen = []
    judge = Judge.judge

    def once(self, file):
        trial = judge(self, file)
        text = file.read_text()
        if trial.met and text not in seen:
            seen.append(text)
            return replace(trial, finding=Finding(name="died", text="it fell over"))
        return trial

    monkeypatch.setattr(Judge, "judge", once)
    assert naive == []
    assert main(["fuzz", "--examples", "30"]) == 1
    assert "found again in 0 of 3 more trials" in capsys.readouterr().out
    assert len(list(here.glob("fuzz-died-*.toml"))) == 1


def test_a_client_that_is_not_there(here, capsys):
    assert main(["fuzz", "--command", "no-such-client {ref}"]) == 3
    assert "no-such-client: not found" in capsys.readouterr().err
    assert list(here.iterdir()) == []


def test_a_reader_who_has_enough_is_no_misuse(here):
    """As `| head -1` is, with a pipe that nobody reads."""
    (here / "plain.toml").write_text('[[image]]\nref = "library/fuzz:1"\n')
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-m", "conformance", "fuzz", "--replay", "plain.toml"],
        stdout=writing,
        stderr=subprocess.PIPE,
        check=False,
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (1, b"")


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["--client", "nobody"], "unknown client 'nobody'"),
        (["--client", "refimpl", "--command", "x {ref}"], "one client"),
        (["--replay", "gone.toml"], "gone.toml: No such file or directory"),
        (["--replay", "x.toml", "--seed", "1"], "--seed is of no use with --replay"),
        (["--replay", "x.toml", "--finding", "leak"], "--finding is of no use"),
        (["--out", "no/where.toml"], "there is no such folder"),
        (["--json", "."], "it is a folder"),
    ],
)
def test_misuse_is_one_line(capsys, words, problem):
    assert main(["fuzz", *words]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("pull-conformance fuzz: error: ")
    assert problem in line


@pytest.mark.parametrize(
    "words",
    [
        ["--examples", "0"],
        ["--examples", "many"],
        ["--seed", "-1"],
        ["--timeout", "nan"],
        ["--finding", "nothing"],
        ["--unknown"],
        ["x"],
    ],
)
def test_what_cannot_be_meant_is_refused(capsys, words):
    with pytest.raises(SystemExit) as ended:
        main(["fuzz", *words])
    assert ended.value.code == 2
    assert "error: " in capsys.readouterr().err.splitlines()[-1]


def test_other_commands_do_not_wait_for_hypothesis():
    code = (
        "import sys\nfrom conformance.__main__ import main\nmain(['cases'])\n"
        "sys.exit('hypothesis' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, check=False
    )
    assert done.returncode == 0
