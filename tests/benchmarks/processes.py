"""Processes that are measured, and processes that run beside what is measured."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.benchmarks.harness import BenchError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

__all__ = [
    "ROOT",
    "Took",
    "background",
    "cpu_of",
    "listening",
    "measured",
    "peak_of",
    "port_of",
]

#: The folder that the packages and the tests are in.
ROOT: Final = Path(__file__).parents[2]
#: How long a command may take, and how long a process that is told to end.
PATIENCE: Final = 600.0
GRACE: Final = 10.0
_LAUNCHER: Final = Path(__file__).with_name("launch.py")
_TICKS: Final = os.sysconf("SC_CLK_TCK")
# State of a socket in /proc/net/tcp (tcp_states.h: TCP_LISTEN).
_LISTEN: Final = "0A"


@dataclass(frozen=True, slots=True, kw_only=True)
class Took:
    """What a command took: wall and processor seconds, peak memory in bytes."""

    seconds: float
    cpu: float
    peak: int
    exit: int


def measured(
    argv: Sequence[str | Path],
    *,
    env: Mapping[str, str] | None = None,
    allowed: Sequence[int] = (0,),
) -> Took:
    """Run a command to its end.

    Args:
        argv: Program and arguments; it runs in the project's folder.
        env: The whole environment; this process's own if absent.
        allowed: Exit statuses that mean that it did its work.

    Raises:
        BenchError: It did not.
    """
    words = [str(word) for word in argv]
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(_LAUNCHER), *words],
            stdout=subprocess.PIPE,
            stderr=errors,
            env=env,
            cwd=ROOT,
            start_new_session=True,
        )
        try:
            out, _ = process.communicate(timeout=PATIENCE)
        except BaseException as err:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            if isinstance(err, subprocess.TimeoutExpired):
                text = f"{words[0]}: still running after {PATIENCE:g} s"
                raise BenchError(text) from None
            raise
        errors.seek(0)
        said = errors.read().decode(errors="replace").strip()
    took = Took(**json.loads(out)) if out else None
    if took is None or took.exit not in allowed:
        raise BenchError(f"{' '.join(words)}: {said[-2000:] or 'failed'}")
    return took


@contextlib.contextmanager
def background(
    argv: Sequence[str | Path], log: Path, *, env: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server for as long as the block lasts; its output goes to a file.

    Its standard input is a pipe that closes when this process ends.
    """
    with log.open("wb") as out:
        process = subprocess.Popen(
            [str(word) for word in argv],
            stdin=subprocess.PIPE,
            stdout=out,
            stderr=out,
            env=env,
            cwd=ROOT,
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(GRACE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdin is not None:
            process.stdin.close()


def pause(process: subprocess.Popen[bytes], log: Path, *, until: float) -> None:
    """Let a moment pass for a server that starts.

    Raises:
        BenchError: It has ended, or it is late.
    """
    if process.poll() is None and time.monotonic() < until:
        time.sleep(0.0005)
        return
    said = log.read_text(encoding="utf-8", errors="replace").strip()[-600:]
    raise BenchError(f"{process.args!r} does not start: ...{said}")


def cpu_of(pid: int) -> float:
    """Return the processor seconds of a living process so far (proc(5), stat)."""
    text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    fields = text.rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def peak_of(pid: int) -> int:
    """Return the most memory a living process had (proc(5), status: VmHWM)."""
    for line in Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise BenchError(f"process {pid} has ended")


def port_of(pid: int) -> int | None:
    """Return a port of IPv4 on which a process listens; None while there is none.

    A server that is told to take any port may not say which one it got.
    """
    held = set()
    with contextlib.suppress(OSError):  # It has ended: whoever waits will notice.
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):  # Closed meanwhile.
                held.add(str(entry.readlink()))
        table = Path(f"/proc/{pid}/net/tcp").read_text(encoding="utf-8")
        for port, inode in listening(table):
            if f"socket:[{inode}]" in held:
                return port
    return None


def listening(table: str) -> Iterator[tuple[int, int]]:
    """Read the table of TCP sockets (proc_pid_net(5)).

    Yields:
        Port and inode of every one that listens.
    """
    for line in table.splitlines()[1:]:
        fields = line.split()
        if fields[3] == _LISTEN:
            yield int(fields[1].rpartition(":")[2], 16), int(fields[9])
