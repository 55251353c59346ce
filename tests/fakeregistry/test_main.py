"""The command."""

import os
import signal
import ssl
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from fakeregistry import Registry
from fakeregistry.__main__ import main, parse_auth
from fakeregistry.auth import BasicAuth, TokenAuth
from fakeregistry.profiles import PROFILES
from fakeregistry.scenario import read_scenario

CONTEXT = ssl.create_default_context()


@pytest.fixture
def serve(monkeypatch):
    """Run ``serve`` in this process; look at it when its lines are out, then end it."""

    def run(*arguments, look=None, number=signal.SIGTERM):
        class Output:
            def __init__(self):
                self.text = ""

            def write(self, text):
                self.text += text

            def flush(self):
                try:
                    if look is not None:
                        look(self.text.splitlines())
                finally:
                    os.kill(os.getpid(), number)

        output = Output()
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stdout", output)
            status = main(["serve", *arguments])
        return status, output.text.splitlines()

    return run


@pytest.mark.parametrize(
    ("text", "auth"),
    [
        (None, None),
        ("token", TokenAuth()),
        ("token:u:p", TokenAuth("u", "p")),
        ("basic:u:p:q", BasicAuth("u", "p:q")),
    ],
)
def test_auth(text, auth):
    assert parse_auth(text) == auth


@pytest.mark.parametrize(
    "text", ["basic", "basic:u", "magic", "magic:geheim:geheim", "token:geheim", ""]
)
def test_auth_that_is_none(text):
    with pytest.raises(ValueError, match="--auth is") as caught:
        parse_auth(text)
    assert "geheim" not in str(caught.value)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_serve_until_a_signal(serve, number):
    """In process: the handlers are put back afterwards."""
    before = signal.getsignal(number)
    answers = []

    def look(lines):
        url, ref = lines
        path = ref.partition("/")[2].replace(":", "/manifests/")
        answers.append(httpx.get(f"{url}/v2/{path}", verify=CONTEXT).status_code)

    status, lines = serve("--publish", "library/hello:1", look=look, number=number)
    assert status == 0
    assert lines[1].endswith("/library/hello:1")
    assert answers == [200]
    assert signal.getsignal(number) is before


def test_profile_and_auth(serve):
    def look(lines):
        url = lines[0]
        assert httpx.get(f"{url}/v2/", verify=CONTEXT).status_code == 401
        token = httpx.get(f"{url}/token", auth=("u", "p"), verify=CONTEXT).json()
        assert "token" not in token

    options = ("--auth", "token:u:p", "--profile", "access-token-only")
    assert serve(*options, look=look)[0] == 0


def test_admin(serve):
    def look(lines):
        assert lines[1].startswith("Admin: http://127.0.0.1:")
        admin = lines[1].partition(" ")[2]
        health = httpx.get(f"{admin}/health", verify=CONTEXT).json()
        assert health["registry"] == lines[0]

    status, lines = serve("--admin-port", "0", look=look)
    assert status == 0
    assert len(lines) == 2


@pytest.mark.parametrize("variable", [True, False])
def test_admin_token(serve, monkeypatch, variable):
    """One that is given is not printed."""
    options = ["--admin-port", "0"]
    if variable:
        monkeypatch.setenv("FAKEREGISTRY_ADMIN_TOKEN", "geheim")
    else:
        options += ["--admin-token", "geheim"]

    def look(lines):
        url = f"{lines[1].partition(' ')[2]}/health"
        assert httpx.get(url, verify=CONTEXT).status_code == 401
        headers = {"Authorization": "Bearer geheim"}
        assert httpx.get(url, headers=headers, verify=CONTEXT).status_code == 200

    status, lines = serve(*options, look=look)
    assert status == 0
    assert len(lines) == 2


def test_admin_for_other_machines(serve):
    """A token is made and printed."""
    status, lines = serve("--admin-port", "0", "--admin-host", "0.0.0.0")  # noqa: S104 - nothing is sent there
    assert status == 0
    assert lines[2].startswith("Admin token: ")
    assert len(lines[2]) > 40


def test_scenario(serve, tmp_path):
    """What is given on the command line wins."""
    path = tmp_path / "scenario.toml"
    path.write_text(
        '[registry]\nprofile = "no-head"\nhost = "no.such.host.invalid"\n'
        '[[image]]\nref = "library/hello:1"\n[[gate]]\npath = "/tags/*"\n'
    )

    def look(lines):
        url = f"{lines[0]}/v2/library/hello/manifests/1"
        assert httpx.head(url, verify=CONTEXT).status_code == 405
        admin = lines[1].partition(" ")[2]
        gates = httpx.get(f"{admin}/gates", verify=CONTEXT).json()["gates"]
        assert [gate["rule"] for gate in gates] == [{"path": "/tags/*"}]

    options = ["--scenario", str(path), "--host", "127.0.0.1", "--admin-port", "0"]
    assert serve(*options, look=look)[0] == 0


def test_storage(serve, tmp_path):
    """The content is there the next time."""
    folder = str(tmp_path / "storage")
    assert serve("--storage", folder, "--publish", "library/hello:1")[0] == 0

    def look(lines):
        url = f"{lines[0]}/v2/library/hello/manifests/1"
        assert httpx.get(url, verify=CONTEXT).status_code == 200

    assert serve("--storage", folder, look=look)[0] == 0


def test_load(serve, tmp_path):
    with Registry() as registry:
        image = registry.publish("library/hello:1")
        registry.save(image, tmp_path / "layout")

    def look(lines):
        digest = httpx.head(
            f"{lines[0]}/v2/library/hello/manifests/1", verify=CONTEXT
        ).headers["Docker-Content-Digest"]
        assert digest == image.digest

    status, lines = serve("--load", str(tmp_path / "layout"), look=look)
    assert status == 0
    assert lines[1].endswith("/library/hello:1")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "the following arguments are required: command"),
        (["sreve"], "invalid choice: 'sreve'"),
        (["serve", "--bad"], "unrecognized arguments: --bad"),
        (["serve", "--port", "x"], "argument --port: invalid int value: 'x'"),
        (["serve", "--port", "99999"], "port=99999"),
        (["serve", "--auth", "basic:u"], "--auth is basic:USER:PASS"),
        (["serve", "--host", "no.such.host.invalid"], "is not known on this machine"),
        (["serve", "--publish", "UPPER"], "is no repository name"),
        (["serve", "--profile", "x"], "profile='x': there are no-head"),
        (["serve", "--scenario", "missing.toml"], "missing.toml: No such file"),
        (["serve", "--load", "missing"], "missing"),
        (["serve", "--admin-token", "x"], "--admin-token is of no use without"),
        (["serve", "--admin-host", "x"], "--admin-host is of no use without"),
        (["serve", "--admin-port", "-1"], "port"),
    ],
)
def test_misuse(arguments, message, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("fakeregistry: ")
    assert err.count("\n") == 1
    assert message in err


def test_a_port_that_is_taken(serve, capsys):
    def look(lines):
        port = lines[0].rpartition(":")[2]
        for option in ("--port", "--admin-port"):
            assert main(["serve", option, port]) == 2

    assert serve(look=look)[0] == 0
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert all("Address already in use" in line for line in lines)


def test_profiles(capsys):
    assert main(["profiles"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if not line.startswith(" ")] == list(PROFILES)
    assert "    Seen in: Harbor" in lines
    assert max(map(len, lines)) <= 80


def test_as_a_process(tmp_path):
    """The first line is the URL; SIGTERM ends it, though much is held, with 0."""
    scenario = tmp_path / "scenario.toml"
    scenario.write_text('[[gate]]\npath = "/v2/"\n[[fault]]\npath="/x"\nstall=true\n')
    command = [sys.executable, "-m", "fakeregistry", "serve", "--tls"]
    command += ["--scenario", str(scenario), "--admin-port", "0"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        admin = process.stdout.readline().removeprefix("Admin: ").strip()
        ca_file = process.stdout.readline().removeprefix("CA: ").strip()
        asking = [
            subprocess.Popen([sys.executable, "-c", ASK, f"{url}{path}", ca_file])
            for path in ("/v2/", "/x")
        ]
        seen = httpx.get(f"{admin}/journal?count=2&timeout=30", timeout=40)
        process.send_signal(signal.SIGTERM)
        assert process.communicate(timeout=30)[1] == ""
    assert process.returncode == 0
    assert len(seen.json()["exchanges"]) == 2
    assert [client.wait(30) for client in asking] == [3, 3]


ASK = """
import ssl, sys, http.client, urllib.request
context = ssl.create_default_context(cafile=sys.argv[2])
try:
    urllib.request.urlopen(sys.argv[1], context=context)
except (OSError, http.client.HTTPException):
    sys.exit(3)
"""


def test_published_scenario():
    """The example of the documentation is one that works."""
    folder = Path(__file__).parents[1] / "examples"
    scenario = read_scenario(folder / "registry_scenario.toml")
    assert [image.repository for image in scenario.images] == ["library/hello"]


def test_recording_and_replaying(serve, tmp_path):
    """What a scenario gave is in the file, and is given again without it."""
    scenario = tmp_path / "scenario.toml"
    scenario.write_text(
        '[[image]]\nref = "library/hello:1"\n'
        '[[fault]]\npath = "/manifests/*"\nreplace = "no manifest"\n'
    )
    har = tmp_path / "pull.har"
    target = "/v2/library/hello/manifests/1"
    said = []

    def record(lines):
        said.append(httpx.get(lines[0] + target).text)
        admin = lines[1].removeprefix("Admin: ")
        har.write_bytes(httpx.get(f"{admin}/journal.har").content)

    def replay(lines):
        said.append(httpx.get(lines[0] + target).text)

    recording = ["--scenario", str(scenario), "--record-bodies", "--admin-port", "0"]
    status, _ = serve(*recording, look=record)
    assert status == 0
    status, lines = serve("--har", str(har), look=replay)
    assert status == 0
    assert lines[1:] == [f"{lines[0].removeprefix('http://')}/library/hello:1"]
    assert said == ["no manifest"] * 2
