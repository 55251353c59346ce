"""Debian's containerd: a daemon, driven by ctr or by CRI."""

import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from conformance.adapters.ctr import plain_text
from conformance.adapters.daemon import Daemon
from conformance.process import Process, client_environment
from tests.differential.grpc_calls import CallError, Socket
from tests.differential.stage import CRI, FETCH, Outcome, Pull
from tests.differential.trees import read_tree

__all__ = ["Containerd", "CriClient", "CtrClient"]

#: Seconds for one pull.
DEADLINE: Final = 60.0
SNAPSHOTTER: Final = "native"
#: CRI's, which cannot be changed.
_CRI_NAMESPACE: Final = "k8s.io"
_KINDS: Final = {1: "View", 2: "Active", 3: "Committed"}
_ERRORS: Final = {
    "INVALID_ARGUMENT": "ErrInvalidArgument",
    "NOT_FOUND": "ErrNotFound",
    "ALREADY_EXISTS": "ErrAlreadyExists",
    "FAILED_PRECONDITION": "ErrFailedPrecondition",
    "UNAVAILABLE": "ErrUnavailable",
    "UNIMPLEMENTED": "ErrNotImplemented",
}
# As conformance/adapters/daemon.py has it, with CRI. "isolated": a namespace sees
# nothing of another's. Garbage is collected when told and at no other time.
_CONFIG: Final = """\
version = 2
root = "{folder}/root"
state = "{folder}/state"
disabled_plugins = [
    "io.containerd.internal.v1.opt", "io.containerd.internal.v1.restart",
    "io.containerd.nri.v1.nri", "io.containerd.monitor.v1.cgroups",
    "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs",
    "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs",
    "io.containerd.snapshotter.v1.overlayfs",
    "io.containerd.tracing.processor.v1.otlp", "io.containerd.internal.v1.tracing",
]
[grpc]
address = "{folder}/sock"
[plugins."io.containerd.gc.v1.scheduler"]
startup_delay = "0s"
pause_threshold = 0.000000001
deletion_threshold = 1000000000
mutation_threshold = 0
[plugins."io.containerd.metadata.v1.bolt"]
content_sharing_policy = "isolated"
[plugins."io.containerd.grpc.v1.cri"]
disable_tcp_service = true
netns_mounts_under_state_dir = true
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "{folder}/cni/bin"
conf_dir = "{folder}/cni/conf"
[plugins."io.containerd.grpc.v1.cri".containerd]
snapshotter = "native"
[plugins."io.containerd.grpc.v1.cri".registry]
config_path = "{folder}/hosts"
"""


class Containerd:
    """A daemon that serves a whole run; a client of it is a namespace."""

    def __init__(self) -> None:
        self._daemon = Daemon(config=_CONFIG)
        self.folder = self._daemon.folder
        self.address = self._daemon.address
        self.socket = Socket(self.address)
        self._count = 0

    def close(self) -> None:
        """End the daemon."""
        self.socket.close()
        self._daemon.stop()

    def client(self, way: str) -> "CtrClient":
        """Return a client with nothing pulled yet."""
        if way == CRI:
            return CriClient(self, _CRI_NAMESPACE, way)
        self._count += 1
        return CtrClient(self, f"play-{self._count}", way)


class CtrClient:
    """``ctr content fetch`` or ``ctr images pull``, in one namespace."""

    def __init__(self, containerd: Containerd, namespace: str, way: str) -> None:
        self._containerd = containerd
        self._namespace = namespace
        self._way = way

    def pull(self, pull: Pull) -> Outcome:
        """Pull, and return what ctr said."""
        process = Process(
            [
                *("ctr", "--address", str(self._containerd.address)),
                *("--namespace", self._namespace, *_arguments(self._way, pull)),
            ],
            env=client_environment(self._containerd.folder / "ctr"),
        )
        ended = process.wait(DEADLINE)
        if ended.died is not None:
            return Outcome(error=ended.died, error_class="died")
        if ended.exit == 0:
            return Outcome()
        return Outcome.failed(plain_text(ended.stderr).strip().splitlines()[-1])

    def inspect(self) -> Mapping[str, Any]:
        """Read the namespace."""
        return {
            "images": self._images(),
            "content": [
                {
                    "digest": info.digest,
                    "size": info.size,
                    "labels": dict(info.labels),
                }
                for answer in self._call("content.List")
                for info in answer.info
            ],
            "ingests": [
                {"ref": item.ref, "offset": item.offset, "total": item.total}
                for item in self._call("content.ListStatuses").statuses
            ],
            "leases": [lease.id for lease in self._call("leases.List").leases],
            "snapshots": list(self._snapshots()),
        }

    def collect(self) -> None:
        """Collect garbage: deleting a lease with ``sync`` waits for it."""
        lease = self._call("leases.Create", id="collect").lease
        self._call("leases.Delete", id=lease.id, sync=True)

    def close(self) -> None:
        """Let everything go that was pulled; it is removed with the next collection."""
        for image in self._call("images.List").images:
            self._call("images.Delete", name=image.name)
        for item in self._call("content.ListStatuses").statuses:
            self._call("content.Abort", ref=item.ref)

    def _call(self, name: str, /, **fields: Any) -> Any:
        return self._containerd.socket.call(name, namespace=self._namespace, **fields)

    def _images(self) -> list[dict[str, Any]]:
        return [
            {
                "name": image.name,
                "target": {
                    "mediaType": image.target.media_type,
                    "digest": image.target.digest,
                    "size": image.target.size,
                    "annotations": dict(image.target.annotations),
                },
                "labels": dict(image.labels),
            }
            for image in self._call("images.List").images
        ]

    def _snapshots(self) -> Iterable[dict[str, Any]]:
        answers = self._call("snapshots.List", snapshotter=SNAPSHOTTER)
        infos = [info for answer in answers for info in answer.info]
        parents = {info.parent for info in infos}
        for info in infos:
            kind = _KINDS[info.kind]
            top = kind == "Committed" and info.name not in parents
            yield {
                "name": info.name,
                "parent": info.parent,
                "kind": kind,
                "labels": dict(info.labels),
                "files": self._files(info.name) if top else {},
            }

    def _files(self, name: str) -> Mapping[str, str]:
        key = {"snapshotter": SNAPSHOTTER, "key": f"view {name}"}
        answer = self._call("snapshots.View", parent=name, **key)
        try:
            return read_tree(Path(answer.mounts[0].source))
        finally:
            self._call("snapshots.Remove", **key)


class CriClient(CtrClient):
    """PullImage of CRI, whose namespace is always the same."""

    def pull(self, pull: Pull) -> Outcome:
        """Pull, and return what the call answered."""
        hosts = self._containerd.folder / "hosts"
        shutil.rmtree(hosts, ignore_errors=True)
        if pull.hosts_dir is not None:
            shutil.copytree(pull.hosts_dir, hosts)
        fields: dict[str, Any] = {"image": {"image": pull.ref}}
        if pull.user is not None:
            name, password = pull.user
            fields["auth"] = {"username": name, "password": password}
        socket = self._containerd.socket
        try:
            answer = socket.call("cri.PullImage", timeout=DEADLINE, **fields)
        except CallError as err:
            outcome = Outcome.failed(str(err))
            kind = _ERRORS.get(err.code, outcome.error_class)
            return Outcome(error=outcome.error, error_class=kind)
        return Outcome(image_id=answer.image_ref)

    def close(self) -> None:
        """Remove everything that was pulled: the next client has the same place.

        Raises:
            RuntimeError: Something stays.
        """
        super().close()
        self.collect()
        left = self.inspect()
        if any(left.values()):
            raise RuntimeError(f"{self._namespace} cannot be emptied: {left}")


def _arguments(way: str, pull: Pull) -> Sequence[str]:
    arguments = ["content", "fetch"]
    if way != FETCH:
        arguments = ["images", "pull", "--snapshotter", SNAPSHOTTER]
        if pull.limit:
            arguments += ["--max-concurrent-downloads", str(pull.limit)]
    for platform in pull.platforms:
        arguments += ["--platform", platform]
    if pull.all_platforms:
        arguments.append("--all-platforms")
    if pull.all_metadata:
        arguments.append("--all-metadata")
    for key, value in pull.labels.items():
        arguments += ["--label", f"{key}={value}"]
    if pull.user is not None:
        arguments += ["--user", ":".join(pull.user)]
    if pull.hosts_dir is not None:
        arguments += ["--hosts-dir", str(pull.hosts_dir)]
    return [*arguments, pull.ref]
