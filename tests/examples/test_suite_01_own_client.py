"""Judge a client of your own: describe its command in TOML, run, read the report."""

import json
import subprocess
import sys

CLIENT = """
import hashlib, json, pathlib, sys
from urllib.request import urlopen
where, ref = sys.argv[1:]
host, _, rest = ref.partition("/")
name, _, tag = rest.rpartition(":")
get = lambda kind, what: urlopen(f"http://{host}/v2/{name}/{kind}/{what}").read()
for entry in json.loads(get("manifests", tag))["layers"]:
    data = get("blobs", entry["digest"])
    digest = "sha256:" + hashlib.sha256(data).hexdigest()
    assert digest == entry["digest"], "the content is another one"
    pathlib.Path(where, digest[7:]).write_bytes(data)
"""
ADAPTER = """
name = "mine"
features = ["content", "plain-http"]
pull = [PYTHON, "CLIENT", "{root}/blobs", "{ref}"]
folders = ["{root}/blobs"]
result = { kind = "files", path = "{root}/blobs" }
"""


def test_a_client_that_checks_digests(tmp_path):
    (tmp_path / "client.py").write_text(CLIENT)
    text = ADAPTER.replace("PYTHON", json.dumps(sys.executable))
    text = text.replace("CLIENT", str(tmp_path / "client.py"))
    (tmp_path / "pull-conformance.toml").write_text('adapters = ["mine.toml"]')
    (tmp_path / "mine.toml").write_text(text)
    case = "verify.layer-with-a-flipped-bit-is-rejected"
    run = [*(sys.executable, "-m", "conformance", "run", "--case", case)]
    subprocess.run([*run, "--json", "r.json"], cwd=tmp_path, check=True)
    (client,) = json.loads((tmp_path / "r.json").read_text())["clients"]
    verdicts = {case["id"]: case["verdict"] for case in client["cases"]}
    assert verdicts == {"verify.layer-intact": "pass", case: "pass"}
