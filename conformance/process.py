"""Run a client's process: with its own group, bounded output and a clean end.

    with tempfile.TemporaryDirectory() as root:
        process = Process(["skopeo", "--version"], env=client_environment(root))
        ended = process.wait(timeout=10)

Whatever a process leaves running in its group ends with it, and it is always
ended by its own id.
"""

import contextlib
import os
import signal
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

__all__ = [
    "MISLEADING_VARIABLES",
    "Ended",
    "Process",
    "client_environment",
    "run",
]

#: What a machine may preset and what would change the verdict on a client: CA
#: bundles (Go, requests and Node obey them), proxies (everything here is on the
#: loopback), and the credentials and daemons of the person who runs the suite.
MISLEADING_VARIABLES: Final = (
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"),
    *("NIX_SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS"),
    *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"),
    *("http_proxy", "https_proxy", "all_proxy"),
    *("DOCKER_CONFIG", "DOCKER_HOST", "REGISTRY_AUTH_FILE"),
    *("CONTAINERD_ADDRESS", "CONTAINERD_NAMESPACE", "CONTAINERD_SNAPSHOTTER"),
    *("XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME", "XDG_RUNTIME_DIR"),
)
#: How much of an output stream is kept: its beginning and its end.
KEPT: Final = 256 * 1024
#: How long a process may take to end after it was asked to.
GRACE: Final = 2.0
# Statuses of a shell that could not run a command (POSIX, 2.8.2).
_CANNOT_RUN: Final = {126: "cannot be executed", 127: "was not found"}


def client_environment(root: Path | str) -> dict[str, str]:
    """Return the environment of a client whose files go below ``root``.

    It gets a home, a temporary folder and a runtime folder of its own, which are
    made here.
    """
    env = {k: v for k, v in os.environ.items() if k not in MISLEADING_VARIABLES}
    for variable, name in (
        ("HOME", "home"),
        ("TMPDIR", "tmp"),
        ("XDG_RUNTIME_DIR", "run"),
    ):
        folder = Path(root) / name
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        env[variable] = str(folder)
    return env


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a process ended.

    ``exit`` is None if a signal ended it or it never ran; ``died`` then says so.
    """

    exit: int | None
    stdout: bytes = b""
    stderr: bytes = b""
    died: str | None = None
    truncated: bool = False

    def last_line(self) -> str:
        """Return the last line of what it said, errors first."""
        for stream in (self.stderr, self.stdout):
            lines = stream.decode(errors="replace").strip().splitlines()
            if lines:
                return lines[-1].strip()
        return ""


class Process:
    """A running process and its group.

    Args:
        argv: Program and arguments.
        env: The whole environment.
        stdin: What it reads, nothing if empty; or an open file's number.
        cwd: The folder it runs in.
        kept: How much of each stream to keep.
    """

    def __init__(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str],
        stdin: bytes | int = b"",
        cwd: Path | str | None = None,
        kept: int = KEPT,
    ) -> None:
        self.argv = tuple(argv)
        self._popen: subprocess.Popen[bytes] | None = None
        self._failed: Ended | None = None
        self._allowed: float | None = None
        self._late = False
        self._ended = threading.Event()
        self._lock = threading.Lock()
        try:
            with _input(stdin) as source:
                self._popen = subprocess.Popen(  # noqa: S603 - running it is the point
                    self.argv,
                    env=dict(env),
                    cwd=cwd,
                    stdin=source,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    start_new_session=True,
                )
        except (OSError, ValueError) as err:
            reason = getattr(err, "strerror", None) or str(err)
            self._failed = Ended(exit=None, died=f"{argv[0]}: {reason}")
            self._ended.set()
            return
        self._streams = (
            _Kept(self._popen.stdout, kept),
            _Kept(self._popen.stderr, kept),
        )

    @property
    def pid(self) -> int | None:
        """The id of the process, unless it never ran."""
        return None if self._popen is None else self._popen.pid

    def wait(self, timeout: float | None = None) -> Ended:
        """Wait for the end of the process; end it when the time is over.

        One thread waits; others may call :meth:`stop` meanwhile.
        """
        if self._popen is None:
            assert self._failed is not None  # noqa: S101 - one of the two is set
            return self._failed
        timer = None
        if timeout is not None:
            self._allowed = timeout
            timer = threading.Timer(timeout, self._too_late)
            timer.daemon = True
            timer.start()
        try:
            # WNOWAIT: until it is reaped its id is nobody else's, so that the
            # group can be ended without a race.
            os.waitid(os.P_PID, self._popen.pid, os.WEXITED | os.WNOWAIT)
        finally:
            if timer is not None:
                timer.cancel()
            with self._lock:
                self._ended.set()
                self._signal(signal.SIGKILL)
                status = self._popen.wait()
        return self._told(status)

    def stop(self) -> None:
        """Ask the process to end, and kill it if it does not listen."""
        with self._lock:
            if self._ended.is_set():
                return
            self._signal(signal.SIGTERM)
        killer = threading.Thread(target=self._kill_later, daemon=True)
        killer.start()

    def _too_late(self) -> None:
        self._late = True
        self.stop()

    def _kill_later(self) -> None:
        if not self._ended.wait(GRACE):
            with self._lock:
                if not self._ended.is_set():
                    self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        assert self._popen is not None  # noqa: S101 - callers know
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._popen.pid, number)

    def _told(self, status: int) -> Ended:
        out, err = (stream.finish() for stream in self._streams)
        died = None
        if self._late:
            died = f"{self.argv[0]}: still running after {self._allowed:g} s"
        elif status < 0:
            died = f"{self.argv[0]}: killed by {_signal_name(-status)}"
        elif status in _CANNOT_RUN:
            died = f"{self.argv[0]}: {_CANNOT_RUN[status]} (exit status {status})"
        return Ended(
            exit=None if status < 0 else status,
            stdout=out,
            stderr=err,
            died=died,
            truncated=any(stream.truncated for stream in self._streams),
        )


def run(
    argv: Sequence[str],
    *,
    env: Mapping[str, str],
    timeout: float,
    stdin: bytes = b"",
    kept: int = KEPT,
) -> Ended:
    """Run a short command to its end."""
    return Process(argv, env=env, stdin=stdin, kept=kept).wait(timeout)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


@contextlib.contextmanager
def _input(data: bytes | int) -> Iterator[IO[bytes] | int]:
    if isinstance(data, int) or not data:
        yield data if isinstance(data, int) else subprocess.DEVNULL
        return
    # A file, not a pipe: a client that does not read cannot block the suite.
    with tempfile.TemporaryFile() as file:
        file.write(data)
        file.seek(0)
        yield file


class _Kept:
    """Reads a stream to its end and keeps its beginning and its end."""

    def __init__(self, stream: IO[bytes] | None, limit: int) -> None:
        assert stream is not None  # noqa: S101 - both are pipes
        self._stream = stream
        self._half = max(limit // 2, 1)
        self._head = bytearray()
        self._tail = bytearray()
        self._dropped = 0
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    @property
    def truncated(self) -> bool:
        """Whether something in the middle is gone."""
        return self._dropped > 0

    def finish(self) -> bytes:
        """Return what was kept, once the stream has ended."""
        # A process that left its group may hold the pipe open for ever.
        self._thread.join(GRACE)
        cut = b"\n... %d bytes left out ...\n" % self._dropped if self._dropped else b""
        return bytes(self._head) + cut + bytes(self._tail)

    def _read(self) -> None:
        with self._stream:
            while data := os.read(self._stream.fileno(), 65536):
                room = self._half - len(self._head)
                self._head += data[:room]
                self._tail += data[room:]
                if len(self._tail) > 2 * self._half:
                    self._drop()
        if len(self._tail) > self._half:
            self._drop()

    def _drop(self) -> None:
        surplus = len(self._tail) - self._half
        self._dropped += surplus
        del self._tail[:surplus]
