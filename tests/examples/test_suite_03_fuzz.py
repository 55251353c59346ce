"""Let the suite look for a scenario that breaks a client, and replay what it finds."""

import subprocess
import sys
import tomllib

CARELESS = """
import json, pathlib, sys
from urllib.request import urlopen
where, ref = sys.argv[1:]
host, _, rest = ref.partition("/")
name, _, tag = rest.rpartition(":")
get = lambda kind, what: urlopen(f"http://{host}/v2/{name}/{kind}/{what}").read()
for entry in json.loads(get("manifests", tag))["layers"]:
    data = get("blobs", entry["digest"])  # who would send anything else?
    pathlib.Path(where, entry["digest"][7:]).write_bytes(data)
"""
ADAPTER = """
name = "careless"
features = ["plain-http"]
pull = ["PYTHON", "client.py", "{root}", "{ref}"]
"""


def test_a_client_that_believes_what_it_gets(tmp_path):
    (tmp_path / "client.py").write_text(CARELESS)
    text = ADAPTER.replace("PYTHON", sys.executable)
    text = text.replace("client.py", str(tmp_path / "client.py"))
    (tmp_path / "careless.toml").write_text(text)
    fuzz = [
        *(sys.executable, "-m", "conformance", "fuzz", "--adapter"),
        "careless.toml",
    ]
    search = [*fuzz, "--finding", "incomplete", "--out", "found.toml"]
    found = subprocess.run(search, cwd=tmp_path, capture_output=True, check=False)
    assert found.returncode == 1
    assert b"fakeregistry serve --scenario found.toml --port 5000" in found.stdout
    # One layer and one fault are left of whatever was drawn.
    scenario = tomllib.loads((tmp_path / "found.toml").read_text())
    assert scenario["image"] == [{"ref": "library/fuzz:1", "layers": 1}]
    assert len(scenario["fault"]) == 1
    replay = [*fuzz, "--replay", "found.toml"]
    assert subprocess.run(replay, cwd=tmp_path, check=False).returncode == 1
