"""Scenario files: what they can say, and what is said of a wrong one."""

import base64
import re

import httpx
import pytest

from fakeregistry import Registry
from fakeregistry.scenario import ScenarioError, read_scenario

FULL = """
[registry]
profile = "no-head"
strict_cdn = true

[features]
page_size = 2

[auth]
kind = "basic"
username = "user"
password = "geheim"

[[image]]
ref = "library/hello:1"
layers = 2
platforms = ["linux/amd64", {platform = "linux/arm64", layers = 1}]
seed = "scenario"

[[image]]
ref = "library/signed:1"
artifact_type = "application/x.signature"
subject = "library/hello:1"
layers = ["a signature"]

[[fault]]
path = "/blobs/*"
nth = 1
status = 503
headers = {Retry-After = "1"}
body = "no"

[[gate]]
path = "/tags/*"
"""


@pytest.fixture
def write(tmp_path):
    def write(text):
        path = tmp_path / "scenario.toml"
        path.write_text(text)
        return path

    return write


def test_all_of_it(write):
    """Everything that a file says is seen on the wire."""
    login = base64.b64encode(b"user:geheim").decode()
    headers = {"Authorization": f"Basic {login}"}
    with (
        Registry.from_scenario(write(FULL)) as registry,
        httpx.Client(base_url=registry.url) as client,
    ):
        path = "/v2/library/hello/manifests/1"
        assert client.get(path).status_code == 401
        assert client.head(path, headers=headers).status_code == 405
        index = client.get(path, headers=headers).json()
        first, second = index["manifests"]
        assert second["platform"]["architecture"] == "arm64"
        signed = client.get("/v2/library/signed/manifests/1", headers=headers).json()
        assert (
            signed["subject"]["digest"]
            == client.get(path, headers=headers).headers["Docker-Content-Digest"]
        )
        blob = f"/v2/library/signed/blobs/{signed['layers'][0]['digest']}"
        failed = client.get(blob, headers=headers)
        assert (failed.status_code, failed.text) == (503, "no")
        assert failed.headers["Retry-After"] == "1"
        assert client.get(blob, headers=headers).text == "a signature"
        assert [gate.id for gate in registry.gates] == [1]
        assert [fault.fired for fault in registry.faults] == [1]
    assert first["digest"] != second["digest"]


def test_empty(write):
    with Registry.from_scenario(str(write(""))) as registry:
        assert registry.url.startswith("http://127.0.0.1:")


def test_schema1_and_load(write, tmp_path):
    """Paths begin where the file is."""
    with Registry() as registry:
        saved = registry.publish("library/saved:1")
        registry.save(saved, tmp_path / "layout")
    text = """
    [[load]]
    path = "layout"
    repository = "library/loaded"

    [[image]]
    ref = "library/old:1"
    format = "schema1"
    signatures = ["ES256"]
    """
    with Registry.from_scenario(write(text)) as registry:
        loaded = registry.store.repository("library/loaded")
        assert loaded is not None
        assert loaded.tags == {"1": saved.digest}
        answer = httpx.get(f"{registry.url}/v2/library/old/manifests/1")
    assert answer.json()["schemaVersion"] == 1


def test_arguments_win_over_the_file(write):
    path = write('[registry]\nhost = "no.such.host.invalid"\nprofile = "no-head"\n')
    with Registry.from_scenario(path, host="127.0.0.1", profile=None) as registry:
        registry.publish("library/hello:1")
        answer = httpx.head(f"{registry.url}/v2/library/hello/manifests/1")
    assert answer.status_code == 200


def test_a_file_can_be_used_many_times(write):
    scenario = read_scenario(write("[[fault]]\nstatus = 503\ntimes = 1\n"))
    registries = [scenario.build(Registry) for _ in range(2)]
    assert [registry.faults[0].id for registry in registries] == [1, 1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[[fault]\n", r"Expected .*line 1"),
        ("[registrry]\n", r"registrry: unknown key; is it registry\?"),
        ("registry = 1\n", r"\[registry\]: a table is needed, not a number"),
        ("[registry]\nprot = 1\n", r"\[registry\]: prot: unknown key; is it port\?"),
        ("[registry]\nport = 'x'\n", r"\[registry\]: port: a whole number is needed"),
        ("[registry]\nport = 99999\n", r"\[registry\]: port=99999: 0 for any"),
        ("[registry]\nprofile = 'x'\n", r"\[registry\]: profile='x': there are no-"),
        ("[registry]\nclient_ca = true\n", r"\[registry\]: client_ca needs tls"),
        ("[auth]\n", r"\[auth\]: kind: \"basic\" or \"token\" is needed"),
        ("[auth]\nkind = []\n", r"\[auth\]: kind: \"basic\" or \"token\" is needed"),
        ("[auth]\nkind='basic'\nusername='u'\n", r"\[auth\]: password: it is missing"),
        ("[auth]\nkind='token'\nusername='u'\n", r"\[auth\]: username and password go"),
        ("[features]\npush = 1\n", r"\[features\]: push: true or false is needed"),
        ("[features]\npage_size = 0\n", r"\[features\]: page_size=0: a number from 1"),
        (
            "[fault]\nstatus = 503\n",
            r"fault: several can be given: write \[\[fault\]\]",
        ),
        ("fault = [1]\n", r"\[\[fault\]\] 1: a table is needed, not a number"),
        (
            "[[fault]]\nstatus=503\n[[fault]]\ntimes=1\n",
            r"\[\[fault\]\] 2: no action: a fault has to do something",
        ),
        ("[[fault]]\ntimes='1'\n", r"\[\[fault\]\] 1: times: a whole number is needed"),
        ("[[gate]]\nmethod='get'\n", r"\[\[gate\]\] 1: method='get': write it in"),
        ("[[gate]]\ntimes=1\n", r"\[\[gate\]\] 1: times: unknown key; there are"),
        ("[[image]]\nlayers=1\n", r"\[\[image\]\] 1: ref: it is missing"),
        ("[[image]]\nref='UPPER'\n", r"\[\[image\]\] 1: 'UPPER' is no repository"),
        ("[[image]]\nref='a'\nformat='x'\n", r"\[\[image\]\] 1: format='x': one of"),
        (
            "[[image]]\nref='a'\nformat='schema1'\nnesting=1\n",
            r"\[\[image\]\] 1: nesting: unknown key; there are compression",
        ),
        ("[[load]]\n", r"\[\[load\]\] 1: path: it is missing"),
        ("[[load]]\npath='gone'\n", r"\[\[load\]\] 1: .*gone"),
        ("[[image]]\nref='a:/'\n", r"\[\[image\]\] 1: '/' is no tag"),
        ("[[image]]\nref='a'\nlayers=-1\n", r"\[\[image\]\] 1: layers=-1: at least 0"),
        ("[[image]]\nref='a'\nsubject='b:1'\n", r"1: subject: no image 'b:1' is furth"),
        (
            "[[image]]\nref='a'\nplatforms=[{attestation=true}]\n",
            r"\[\[image\]\] 1: attestation: comes after an entry",
        ),
    ],
)
def test_refusals(write, text, message):
    """One line: the file, the key, the problem."""
    path = write(text)
    with pytest.raises(ScenarioError) as caught:
        Registry.from_scenario(path)
    line = str(caught.value)
    assert "\n" not in line
    assert line.startswith(f"{path}: ")
    assert re.search(message, line)


def test_what_cannot_be_read(tmp_path):
    with pytest.raises(ScenarioError, match=r"missing\.toml: No such file"):
        read_scenario(tmp_path / "missing.toml")
    (tmp_path / "binary.toml").write_bytes(b"\xff")
    with pytest.raises(ScenarioError, match=r"binary\.toml: "):
        read_scenario(tmp_path / "binary.toml")
