"""conformance/replay.py and explain.py: one case, for a person."""

import os
import re
import signal
import subprocess
import sys
import time
import urllib.request

import pytest

from conformance.__main__ import main
from conformance.case import load_suite
from conformance.explain import explain

FLIPPED = "verify.layer-with-a-flipped-bit-is-rejected"
INTACT = "verify.layer-intact"


def test_case_is_told_as_a_lesson():
    suite = load_suite()
    text = "\n".join(explain(suite[FLIPPED], suite))
    assert text.startswith(f"{FLIPPED}  (SHOULD, critical)\n")
    for part in (
        "The length is right and the stream is whole",
        "Clients SHOULD verify that",
        "spec.md#pulling-blobs",
        "Its twin, the same without the fault: verify.layer-intact",
        "    bench.must_reject(pull, fault)",
        "flip=1291",
        "    HEAD /v2/library/test/manifests/v1 -> 200\n",
        f"To try it: pull-conformance replay {FLIPPED}",
    ):
        assert part in text
    assert '"""' not in text


def test_lesson_tells_of_clients_that_fail(capsys):
    assert main(["explain", "resume.rest-is-asked-for-after-a-reset"]) == 0
    assert "    containerd: a connection that is reset" in capsys.readouterr().out


@pytest.fixture
def typed(monkeypatch):
    """Type lines, as if on a terminal."""
    reader, writer = os.pipe()
    with open(reader) as stdin:  # noqa: PTH123 - a descriptor
        monkeypatch.setattr("sys.stdin", stdin)
        yield lambda text: os.write(writer, text.encode())
    os.close(writer)


@pytest.fixture
def with_client(naive_client, monkeypatch):
    def use(client):
        monkeypatch.setattr(
            "conformance.session.load_clients", lambda names, files, commands: [client]
        )
        return client

    return use


def test_client_itself_pulls(with_client, naive_client, capsys):
    client = with_client(naive_client())
    options = ["--client", "naive", "--run", "--port", "0"]
    assert main(["replay", FLIPPED, *options]) == 0
    out = capsys.readouterr().out
    assert "GET  /v2/library/test/manifests/v1 -> 200" in out
    assert "flip=1291: met 1 times" in out
    assert out.splitlines()[-2:] == [
        "pass",
        f"  (if the client passes its twin {INTACT}, too)",
    ]
    assert client.adapter.teardowns == 1


def test_client_that_fails_is_told_why(with_client, naive_client, capsys):
    with_client(naive_client("no-digest-check"))
    options = ["--client", "naive", "--run", "--port", "0"]
    assert main(["replay", FLIPPED, *options]) == 1
    assert (
        capsys.readouterr().out.splitlines()[-1] == "fail: the client reported success"
    )


def test_person_says_how_it_ended(typed, capsys):
    typed("what?\nfailed\n")
    assert main(["replay", INTACT, "--port", "0"]) == 1
    out = capsys.readouterr().out
    assert "type ok or failed\n" in out
    assert re.search(
        r"  curl -sS -I -H 'Accept: .*' http://127.0.0.1:\d+/v2/library", out
    )
    assert "What was asked, and answered:\n  nothing" in out
    assert "fail: the pull must succeed" in out


def test_command_of_the_client_is_shown(typed, tmp_path, capsys):
    typed("ok\n")
    adapter = tmp_path / "mine.toml"
    adapter.write_text(
        'name = "mine"\npull = ["true", "--to", "{root}", "{ref}"]\n'
        'features = ["plain-http"]\nenv = { HOST = "{registry}" }\n'
    )
    # It said ok and asked for nothing: that is no success.
    assert main(["replay", INTACT, "--port", "0", "--adapter", str(adapter)]) == 1
    out = capsys.readouterr().out
    command = r"env HOST=127.0.0.1:\d+ true --to \S+ 127.0.0.1:\d+/library/test:v1"
    assert re.search(rf"  cd \S+ && {command}\n", out)
    assert "reported success and asked for nothing" in out


@pytest.mark.slow
def test_registry_stands_until_it_is_interrupted():
    process = subprocess.Popen(
        [sys.executable, "-m", "conformance", "replay", INTACT, "--port", "0"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    with process:
        assert process.stdout
        said = ""
        for line in process.stdout:
            said += line
            if line.startswith("Then type"):
                break
        found = re.search(r"registry 1: (\S+)", said)
        assert found, said
        with urllib.request.urlopen(f"{found[1]}/v2/") as response:  # noqa: S310 - ours
            assert response.status == 200
        process.send_signal(signal.SIGTERM)
        start = time.monotonic()
        rest = process.stdout.read()
    assert time.monotonic() - start < 30
    assert "* " in rest
    assert "GET  /v2/ -> 200, 2 bytes" in rest
    assert rest.splitlines()[-1] == "no verdict: nobody said how the client ended"
    assert process.returncode == 3


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["explain", "a.b"], "unknown case 'a.b'"),
        (["replay", "a.b"], "unknown case 'a.b'"),
        (["replay", INTACT, "--run"], "--run goes with --client"),
        (["replay", INTACT, "--client", "a", "--adapter", "b"], "with one client"),
        (["replay", INTACT, "--command", "/no/such {ref}"], "not found"),
    ],
)
def test_misuse_is_one_line_and_exit_2(capsys, arguments, complaint):
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert complaint in error
    assert len(error.splitlines()) == 1
