"""A containerd daemon of our own: private, started once a run, gone afterwards.

Everything of it lies in one temporary folder. A guard (a few lines of shell)
starts it, holds the reading end of a pipe and ends it when the pipe closes, which
the kernel does however this process ends: no run leaves a daemon behind.
"""

import atexit
import contextlib
import os
import shutil
import socket
import tempfile
import threading
import time
from pathlib import Path
from typing import Final

from conformance.contract import AdapterError
from conformance.process import Process, client_environment

__all__ = ["Daemon"]

#: How long the daemon may take to start, and to end.
PATIENCE: Final = 20.0

#: Nothing outside the folder may be touched: CRI, NRI and "opt" would. Snapshots
#: are only made where ctr knows no other way to pull, and then by "native".
_DISABLED: Final = (
    *("io.containerd.grpc.v1.cri", "io.containerd.cri.v1.images"),
    *("io.containerd.cri.v1.runtime", "io.containerd.nri.v1.nri"),
    *("io.containerd.internal.v1.opt", "io.containerd.internal.v1.restart"),
    *("io.containerd.monitor.v1.cgroups", "io.containerd.runtime.v1.linux"),
    *("io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs"),
    *("io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs"),
    *("io.containerd.snapshotter.v1.overlayfs",),
)
# "isolated": a namespace does not see what another one has pulled, so that every
# case asks the registry. The scheduler's thresholds (gc/scheduler/scheduler.go:246)
# are set so that garbage is collected when a case says so and at no other time.
_CONFIG: Final = """\
version = 2
root = "{folder}/root"
state = "{folder}/state"
disabled_plugins = [{disabled}]
[grpc]
address = "{folder}/sock"
[plugins."io.containerd.gc.v1.scheduler"]
startup_delay = "0s"
pause_threshold = 0.000000001
deletion_threshold = 1000000000
mutation_threshold = 0
[plugins."io.containerd.metadata.v1.bolt"]
content_sharing_policy = "isolated"
"""
_GUARD: Final = """\
exec 3<&0 </dev/null
containerd --config "$1/config.toml" 3<&- &
daemon=$!
{ read -r _ <&3; kill "$daemon"; } &
wait "$daemon"
status=$?
rm -rf -- "$1"
exit "$status"
"""


#: The longest path of a socket that containerd takes, with what it appends to ours.
_LONGEST_SOCKET: Final = 104 - len("/sock.ttrpc")


def _make_folder() -> Path:
    """Make a folder whose path leaves room for those of its sockets."""
    folder = Path(tempfile.mkdtemp(prefix="pull-conformance-"))
    if len(os.fsencode(folder)) <= _LONGEST_SOCKET:
        return folder
    folder.rmdir()
    return Path(tempfile.mkdtemp(prefix="pull-conformance-", dir="/tmp"))


class Daemon:
    """A running daemon.

    Args:
        config: Another configuration, with ``{folder}`` where the daemon's own
            folder stands; its socket is ``{folder}/sock``.

    Raises:
        AdapterError: It did not start.
    """

    def __init__(self, config: str | None = None) -> None:
        self.folder = _make_folder()
        self._config = _CONFIG if config is None else config
        self.address = self.folder / "sock"
        self.content = self.folder / "root/io.containerd.content.v1.content"
        self._pipe = -1
        self._lock = threading.Lock()
        self._ended = threading.Event()
        atexit.register(self.stop)
        try:
            self._start()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End the daemon and remove its folder; twice is fine."""
        atexit.unregister(self.stop)
        with self._lock:
            pipe, self._pipe = self._pipe, -1
        if pipe >= 0:
            os.close(pipe)
            if not self._ended.wait(PATIENCE):
                self._guard.stop()
                self._ended.wait(PATIENCE)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _start(self) -> None:
        disabled = ", ".join(f'"{plugin}"' for plugin in _DISABLED)
        config = self._config.format(folder=self.folder, disabled=disabled)
        (self.folder / "config.toml").write_text(config, encoding="utf-8")
        reading, self._pipe = os.pipe()
        try:
            self._guard = Process(
                ["/bin/sh", "-c", _GUARD, "guard", str(self.folder)],
                env=client_environment(self.folder),
                stdin=reading,
            )
        finally:
            os.close(reading)
        threading.Thread(target=self._reap, name="containerd", daemon=True).start()
        self._await_socket()

    def _reap(self) -> None:
        self._said = self._guard.wait()
        self._ended.set()

    def _await_socket(self) -> None:
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            with socket.socket(socket.AF_UNIX) as probe, contextlib.suppress(OSError):
                probe.connect(str(self.address))
                return
            if self._ended.wait(0.005):
                raise AdapterError(
                    f"containerd: the daemon did not start: {self._said.last_line()}"
                )
        raise AdapterError(f"containerd: the daemon did not start in {PATIENCE:g} s")
