"""Daemons of our own: private, started by the suite, gone afterwards.

Everything of a daemon lies in one temporary folder. A guard (a few lines of shell)
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
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Final

from conformance.contract import AdapterError
from conformance.process import Ended, Process, client_environment

__all__ = ["Daemon", "Dockerd", "PrivateDaemon", "containerd_config"]

#: How long the daemon may take to start, and to end.
PATIENCE: Final = 20.0

#: Nothing outside the folder may be touched: CRI, NRI and "opt" would. Of the
#: snapshotters ctr uses "native"; containerd 2 does not start without "overlayfs".
_DISABLED: Final = (
    *("io.containerd.grpc.v1.cri", "io.containerd.cri.v1.images"),
    *("io.containerd.cri.v1.runtime", "io.containerd.nri.v1.nri"),
    *("io.containerd.internal.v1.opt", "io.containerd.internal.v1.restart"),
    *("io.containerd.monitor.v1.cgroups", "io.containerd.runtime.v1.linux"),
    *("io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs"),
    *("io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs"),
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
# Pulling through CRI needs no network and no runtime, but the plugin starts both.
_CRI: Final = """\
[plugins."io.containerd.grpc.v1.cri"]
disable_tcp_service = true
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "{folder}/cni"
conf_dir = "{folder}/cni"
[plugins."io.containerd.grpc.v1.cri".containerd]
snapshotter = "native"
[plugins."io.containerd.grpc.v1.cri".registry]
config_path = "{folder}/hosts"
[plugins."io.containerd.internal.v1.opt"]
path = "{folder}/opt"
"""
_FOR_CRI: Final = frozenset(
    {
        *("io.containerd.grpc.v1.cri", "io.containerd.cri.v1.images"),
        *("io.containerd.cri.v1.runtime", "io.containerd.internal.v1.opt"),
        "io.containerd.runtime.v1.linux",
    }
)
_GUARD: Final = """\
exec 3<&0 </dev/null
folder=$1
shift
"$@" 3<&- &
daemon=$!
{ read -r _ <&3; kill "$daemon"; } &
wait "$daemon"
status=$?
rm -rf -- "$folder"
exit "$status"
"""
#: The longest path of a socket.
_LONGEST: Final = 104


class PrivateDaemon:
    """A running daemon.

    Raises:
        AdapterError: It did not start.
    """

    #: What it is called in messages.
    name: ClassVar[str]
    #: The longest path of a socket that it makes below its folder.
    longest_socket: ClassVar[str]

    def __init__(self) -> None:
        self.folder = _make_folder(len(self.longest_socket))
        self.address = self.folder / "sock"
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

    def ended(self, *, within: float) -> Ended | None:
        """Return how the daemon ended by itself, None if it still runs.

        Args:
            within: How long to wait for it, in seconds.
        """
        return self._said if self._ended.wait(within) else None

    def command(self) -> Sequence[str]:
        """Write what the daemon is configured with, and return its command."""
        raise NotImplementedError

    def _start(self) -> None:
        command = self.command()
        reading, self._pipe = os.pipe()
        try:
            self._guard = Process(
                ["/bin/sh", "-c", _GUARD, "guard", str(self.folder), *command],
                env=client_environment(self.folder),
                stdin=reading,
            )
        finally:
            os.close(reading)
        threading.Thread(target=self._reap, name=self.name, daemon=True).start()
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
                    f"{self.name}: the daemon did not start: {self._said.last_line()}"
                )
        raise AdapterError(f"{self.name}: the daemon did not start in {PATIENCE:g} s")


def containerd_config(*, cri: bool) -> str:
    """Return a configuration; ``{folder}`` stands for the folder of the daemon."""
    wanted = _FOR_CRI if cri else frozenset()
    disabled = ", ".join(f'"{name}"' for name in _DISABLED if name not in wanted)
    text = _CONFIG.replace("{disabled}", disabled)
    return text + _CRI if cri else text


class Daemon(PrivateDaemon):
    """containerd.

    Args:
        cri: With the plugin that kubelets speak to. It looks for registries in
            ``hosts``, a folder as containerd's docs/hosts.md describes it.
        config: Another configuration, with ``{folder}`` where the daemon's own
            folder stands; its socket is ``{folder}/sock``.
    """

    name = "containerd"
    longest_socket = "/sock.ttrpc"

    def __init__(self, *, cri: bool = False, config: str | None = None) -> None:
        self._config = containerd_config(cri=cri) if config is None else config
        super().__init__()

    @property
    def content(self) -> Path:
        """The folder of the content store."""
        return self.folder / "root/io.containerd.content.v1.content"

    @property
    def hosts(self) -> Path:
        """The folder in which CRI looks for hosts.toml files."""
        return self.folder / "hosts"

    def command(self) -> Sequence[str]:
        """Write config.toml and return the command."""
        file = self.folder / "config.toml"
        file.write_text(self._config.format(folder=self.folder), encoding="utf-8")
        return ["containerd", "--config", str(file)]


class Dockerd(PrivateDaemon):
    """dockerd with a containerd of its own, which touches no network of the machine."""

    name = "dockerd"
    longest_socket = "/exec/containerd/containerd.sock.ttrpc"

    @property
    def data(self) -> Path:
        """The daemon's store."""
        return self.folder / "data"

    def command(self) -> Sequence[str]:
        """Write daemon.json and return the command.

        A download that failed would be tried again after 5 s, four times.
        """
        file = self.folder / "daemon.json"
        file.write_text("{}", encoding="utf-8")
        return [
            *("dockerd", "--config-file", str(file), "--data-root", str(self.data)),
            *("--exec-root", f"{self.folder}/exec", "--pidfile", f"{self.folder}/pid"),
            *("-H", f"unix://{self.address}", "--storage-driver", "vfs"),
            *("--iptables=false", "--ip6tables=false", "--bridge=none"),
            *("--ip-forward=false", "--ip-masq=false", "--max-download-attempts", "1"),
        ]


def _make_folder(longest: int) -> Path:
    """Make a folder whose path leaves room for those of its sockets."""
    folder = Path(tempfile.mkdtemp(prefix="pull-conformance-"))
    if len(os.fsencode(folder)) <= _LONGEST - longest:
        return folder
    folder.rmdir()
    return Path(tempfile.mkdtemp(prefix="pull-conformance-", dir="/tmp"))
