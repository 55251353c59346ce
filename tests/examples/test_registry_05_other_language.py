"""A harness in another language: a scenario file, curl, and the admin API."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SCENARIO = Path(__file__).with_name("registry_scenario.toml")
HARNESS = """
curl -sf "$ADMIN/gates" -d '{"path": "/manifests/*"}' > gate.json
curl -sf "$URL/v2/library/hello/manifests/1" > index.json &   # the client under test
curl -sf "$ADMIN/gates/1?held=1&timeout=10" | grep '"held": 1'
curl -sf -X POST "$ADMIN/gates/1/open" > gate.json; wait
digest=$(grep -o 'sha256:[0-9a-f]*' index.json | head -n 1)
layer=$(curl -sf "$URL/v2/library/hello/manifests/$digest" |
    grep -o 'sha256:[0-9a-f]*' | tail -n 1)
curl -sf --retry 2 -o layer "$URL/v2/library/hello/blobs/$layer"
echo "$layer" | sed 's/sha256:\\(.*\\)/\\1  layer/' | sha256sum -c
curl -sf "$ADMIN/journal?path=/blobs/*" | grep '"status"'
"""


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_with_curl(tmp_path):
    command = [sys.executable, "-m", "fakeregistry", "serve", "--admin-port", "0"]
    command += ["--scenario", str(SCENARIO)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        lines = iter(server.stdout or ())
        url, admin = next(lines).strip(), next(lines).removeprefix("Admin: ").strip()
        env = {"URL": url, "ADMIN": admin, "PATH": "/usr/bin:/bin"}
        try:
            shell = ["sh", "-euc", HARNESS]
            said = subprocess.check_output(shell, env=env, cwd=tmp_path, text=True)
        finally:
            server.terminate()
    answers = ['"held": 1,', "layer: OK", '"status": 503,', '"status": 200,']
    assert [line.strip() for line in said.splitlines()] == answers
    assert server.returncode == 0
