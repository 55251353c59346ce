"""conformance/replay.py and explain.py: one case, for a person."""

import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from dataclasses import replace

import pytest

from conformance.__main__ import main
from conformance.case import load_suite, not_testable
from conformance.explain import explain
from conformance.replay import curl_line, replay
from fakeregistry import BasicAuth
from fakeregistry.gate import Gate

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


INSIDE = "handlers.walk-is-depth-first-and-one-by-one"


def test_lesson_from_the_inside_is_tried_with_a_client():
    suite = load_suite()
    *_, last = explain(suite[INSIDE], suite)
    assert last == f"To try it: pull-conformance replay {INSIDE} --client refimpl"


def test_case_from_the_inside_is_run_by_its_client(capsys):
    assert main(["replay", INSIDE, "--client", "refimpl", "--port", "0"]) == 0
    said = capsys.readouterr().out
    assert "  walk of index, signature: success" in said
    assert main(["replay", INSIDE, "--port", "0"]) == 3
    assert "the adapter does not offer: handlers" in capsys.readouterr().out


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
    assert re.search(
        r"\n  on the wire: asked for sha256:[0-9a-f]{12}… \(flip\), "
        r"took all \d+ bytes, then gave up; the pull failed\n",
        out,
    )
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


@pytest.fixture
def by_hand():
    """Replay a case by hand; give what was said, and what to do when asked."""

    def run(function, answer, *, client=None, case=INTACT):
        lines = []

        def say(line):
            lines.append(line)
            if line.startswith("Then type"):
                answer()

        made = replace(load_suite()[case], function=function)
        status = replay(made, client, port=0, by_hand=True, say=say)
        return status, "\n".join(lines)

    return run


def interrupt():
    os.kill(os.getpid(), signal.SIGINT)


def test_interrupt_ends_it_without_a_verdict(by_hand):
    before = signal.getsignal(signal.SIGINT)
    waits = Gate.wait_for.__kwdefaults__
    status, said = by_hand(load_suite()[INTACT].function, interrupt)
    assert status == 3
    assert said.endswith("no verdict: nobody said how the client ended")
    assert signal.getsignal(signal.SIGINT) is before
    assert Gate.wait_for.__kwdefaults__ is waits


def test_gate_waits_as_long_as_somebody_may_come(by_hand):
    def gated(bench):
        with bench.registry.gate("/blobs/*") as gate:
            bench.start_pull(bench.publish(), deadline=0.001)
            gate.wait_for(1)

    status, _ = by_hand(gated, interrupt)
    assert status == 3


def test_all_that_a_person_needs_is_said(by_hand, typed):
    def guarded(bench):
        bench.new_registry(auth=BasicAuth("someone", "s3cret"), tls=True)
        other = bench.new_registry()
        other.fault(path="/v2/*", status=500)
        bench.publish()
        bench.pull("127.0.0.1:1/library/test:v1", platform="linux/arm64", limit=2)
        not_testable("it is enough")

    typed("failed\n")
    status, said = by_hand(
        guarded, lambda: None, case="auth.basic-credentials-answer-a-challenge"
    )
    assert status == 3
    for part in (
        "  platform: linux/arm64\n",
        "  downloads at once: 2\n",
        "  user: someone\n  password: s3cret\n  authority: /",
        "    breaks path='/v2/*': status\n",
        "-u someone:s3cret",
    ):
        assert part in said
    assert re.search(r"registry 1: https://.*\n.*registry 2: http://", said)
    assert re.search(r"curl -sS -D - -o /dev/null --cacert \S+ -u", said)
    assert said.endswith("not-testable: it is enough")


def test_case_that_breaks_is_told(by_hand):
    status, said = by_hand(lambda bench: 1 / 0, interrupt)
    assert status == 1
    assert "Traceback" in said
    assert said.splitlines()[-1].startswith("error: ZeroDivisionError")


@pytest.mark.parametrize(
    ("one", "words"),
    [
        (
            {
                "method": "GET",
                "target": "/v2/a/blobs/x",
                "request": [["Range", "bytes=5-"]],
            },
            "curl -sS -D - -o /dev/null -r 5- http://h/v2/a/blobs/x",
        ),
        (
            {"method": "GET", "target": "/token", "request": []},
            "curl -sS -i http://h/token",
        ),
        (
            {"method": "POST", "target": "/token", "request": []},
            "curl -sS -i -X POST http://h/token",
        ),
        (
            {
                "method": "HEAD",
                "target": "/x",
                "request": [["Authorization", "Bearer [redacted]"]],
            },
            "curl -sS -I -H 'Authorization: Bearer TOKEN' http://h/x",
        ),
    ],
)
def test_request_as_a_line_for_curl(one, words):
    assert curl_line(f"http://h{one['target']}", one, {}) == words


def test_case_without_a_recording_begins_with_its_manifest(by_hand, typed, monkeypatch):
    monkeypatch.setattr("conformance.replay.load_recording", dict)
    typed("failed\nfailed\n")

    def two(bench):
        image = bench.publish()
        bench.pull(image)
        bench.pull(image, digest=True)

    status, said = by_hand(two, lambda: None)
    assert status == 0
    assert "/v2/library/test/manifests/v1\n" in said
    assert "/v2/library/test/manifests/sha256:" in said
    assert "Pull number 2 of the case" in said


def test_client_without_a_command_says_so(by_hand, typed, naive_client):
    typed("ok\n")
    status, said = by_hand(
        lambda bench: bench.stored() and bench.pull(bench.publish()),
        lambda: None,
        client=naive_client(),
    )
    assert "(no single command: --run lets the adapter pull)" in said
    assert status == 1
