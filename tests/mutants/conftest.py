"""A server of broken clients, one for each process that runs these tests."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

RUN = Path(__file__).with_name("run.py")


@pytest.fixture(scope="session")
def suite_against(tmp_path_factory):
    """Run the suite against a mutant, and return its report and what was printed."""
    # Compiled once for all mutants, also where no bytecode is to be written.
    env = os.environ | {"PYTHONPYCACHEPREFIX": str(tmp_path_factory.mktemp("bytecode"))}
    env.pop("PYTHONDONTWRITEBYTECODE", None)
    # What broken clients run says nothing of what tests cover, and takes its time.
    env = {key: value for key, value in env.items() if not key.startswith("COVERAGE_")}
    server = subprocess.Popen(
        [sys.executable, RUN, "--serve"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=env,
    )
    stdin, stdout = server.stdin, server.stdout
    assert stdin
    assert stdout

    def run(name, folder):
        report, log = folder / "report.json", folder / "log"
        asked = {"name": name, "log": str(log), "options": ["--json", str(report)]}
        stdin.write(json.dumps(asked) + "\n")
        stdin.flush()
        status = stdout.readline().strip()
        printed = log.read_text() if log.exists() else "the server has died"
        assert status in ("0", "1"), f"exit status {status}\n{printed}"
        return json.loads(report.read_text()), printed

    with server, stdin:
        yield run
