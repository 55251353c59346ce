"""Processes of clients: bounded, clean and ended by their own id."""

import os
import select
import signal
import threading

import pytest

from conformance import process
from conformance.process import MISLEADING_VARIABLES, Process, client_environment, run

SH = "/bin/sh"


def sh(script, *, timeout=10.0, **options):
    return run([SH, "-c", script], env=dict(os.environ), timeout=timeout, **options)


def gone(pid):
    """Say whether a process has ended, or does so now that it was signalled."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    with open(fd, "rb", buffering=0) as process:  # noqa: PTH123 - no path
        return bool(select.select([process], [], [], 10.0)[0])


def test_output_and_exit_status_are_told():
    ended = sh("echo out; echo first >&2; echo err >&2; exit 5")
    assert (ended.exit, ended.died) == (5, None)
    assert (ended.stdout, ended.stderr) == (b"out\n", b"first\nerr\n")
    assert ended.last_line() == "err"


def test_stdin_is_given():
    assert run(["/bin/cat"], env={}, timeout=10, stdin=b"abc").stdout == b"abc"


def test_without_stdin_there_is_nothing_to_read():
    assert run(["/bin/cat"], env={}, timeout=10).stdout == b""


def test_a_program_that_ignores_its_stdin_blocks_nobody():
    ended = sh("exit 0", stdin=b"x" * 1_000_000)
    assert ended.exit == 0


def test_absent_program_has_died():
    ended = run(["/nowhere/at-all"], env={}, timeout=10)
    assert ended.exit is None
    assert ended.died == "/nowhere/at-all: No such file or directory"


def test_file_that_is_no_program_has_died(tmp_path):
    file = tmp_path / "data"
    file.write_text("no program")
    ended = run([str(file)], env={}, timeout=10)
    assert ended.died == f"{file}: Permission denied"


@pytest.mark.parametrize(("status", "text"), [(126, "executed"), (127, "not found")])
def test_a_shell_that_cannot_run_the_client_is_a_death(status, text):
    ended = sh(f"exit {status}")
    assert ended.died is not None
    assert text in ended.died


def test_killed_by_a_signal_is_a_death():
    ended = sh("kill -SEGV $$")
    assert (ended.exit, ended.died) == (None, "/bin/sh: killed by SIGSEGV")


def test_deadline_ends_it():
    ended = sh("echo begun; exec sleep 60", timeout=0.05)
    assert ended.died == "/bin/sh: still running after 0.05 s"
    assert ended.stdout == b"begun\n"


def test_what_does_not_listen_is_killed(monkeypatch):
    monkeypatch.setattr(process, "GRACE", 0.05)
    ended = sh("trap '' TERM; while :; do sleep 60; done", timeout=0.05)
    assert ended.died == "/bin/sh: still running after 0.05 s"


def test_what_it_leaves_running_ends_with_it():
    ended = sh("sleep 60 & echo $!")
    assert ended.exit == 0
    assert gone(int(ended.stdout))


def test_stop_from_another_thread():
    running = Process([SH, "-c", "exec sleep 60"], env={"PATH": "/bin:/usr/bin"})
    threading.Timer(0.01, running.stop).start()
    ended = running.wait()
    assert ended.died == "/bin/sh: killed by SIGTERM"
    running.stop()  # late, and harmless
    assert gone(running.pid)


def test_long_output_keeps_its_beginning_and_its_end():
    script = "echo begin; head -c 400000 /dev/zero | tr '\\0' x; echo; echo end"
    ended = sh(script, kept=1000)
    assert ended.truncated
    assert ended.stdout.startswith(b"begin\nxxx")
    assert ended.stdout.endswith(b"xxx\nend\n")
    assert b"... 399011 bytes left out ..." in ended.stdout
    assert len(ended.stdout) < 1100


def test_output_within_bounds_is_kept_whole():
    ended = sh("head -c 900 /dev/zero", kept=1000)
    assert (len(ended.stdout), ended.truncated) == (900, False)


def test_signals_without_a_name():
    assert process._signal_name(signal.SIGKILL) == "SIGKILL"
    assert process._signal_name(99) == "signal 99"


def test_environment_is_without_what_misleads(tmp_path, monkeypatch):
    for name in MISLEADING_VARIABLES:
        monkeypatch.setenv(name, "/somewhere")
    env = client_environment(tmp_path)
    left = {n for n in MISLEADING_VARIABLES if n in env} - {"XDG_RUNTIME_DIR"}
    assert left == set()
    for name in ("HOME", "TMPDIR", "XDG_RUNTIME_DIR"):
        assert env[name].startswith(str(tmp_path))
        assert os.path.isdir(env[name])  # noqa: PTH112 - a text, not a path


@pytest.mark.parametrize(
    "name",
    ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NODE_EXTRA_CA_CERTS"],
)
def test_ca_bundles_mislead(name):
    assert name in MISLEADING_VARIABLES
