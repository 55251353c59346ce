"""containerd, driven through ctr against a daemon of our own.

``ctr content fetch`` is what pulls: it fetches content and writes the image
record, as ``ctr images pull`` does, but unpacks nothing, which is faster and needs
no mounts. It has no ``--max-concurrent-downloads``; a request that sets a limit or
wants the image unpacked goes through ``ctr images pull`` with the native snapshotter.
Neither calls client.Pull (cmd/ctr/commands/images/pull.go:96 calls content.Fetch and
unpacks afterwards), so that --all-metadata has an effect here that it lacks there.

Every root is a namespace of its own in one daemon (conformance/adapters/daemon.py).
Records are read with ctr; blobs and ingests from the content store's folder, where
bytes can be hashed and sizes are exact; root file systems from the native
snapshotter's, where a view shows them.
"""

import functools
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Final

from conformance.adapters.ctr import (
    error_class,
    parse_labels,
    parse_table,
    plain_text,
)
from conformance.adapters.daemon import Daemon
from conformance.contract import AdapterError, Json, OnCancel, failure
from conformance.process import Ended, Process, client_environment, run
from conformance.request import make_hosts_dir

__all__ = ["ContainerdAdapter", "CtrAdapter"]

#: How long a command that asks no registry may take.
QUICK: Final = 30.0
_SNAPSHOTS: Final = ("snapshots", "--snapshotter", "native")
_LISTS: Final[Mapping[str, Sequence[str]]] = {
    "images": ("images", "ls"),
    "content": ("content", "ls"),
    "leases": ("leases", "ls"),
    "snapshots": (*_SNAPSHOTS, "ls"),
}


class ContainerdAdapter:
    """Drives ctr; see ADAPTER.md for what the methods take and return."""

    name: ClassVar[str] = "containerd"
    description: ClassVar[str] = "containerd's own pull, driven through ctr"
    homepage: ClassVar[str] = "https://containerd.io"
    install: ClassVar[str] = "apt-get install containerd"
    features: ClassVar[tuple[str, ...]] = (
        *("all-metadata", "all-platforms", "basic-auth", "cancel", "content"),
        *("digest-ref", "gc", "image-record", "ingests", "labels", "leases"),
        *("limit", "mirrors", "plain-http", "platform", "reference", "resume"),
        *("schema1", "snapshots", "tls", "token-auth", "unpack"),
    )

    #: What is read with a command, and by which.
    _lists: ClassVar[Mapping[str, Sequence[str]]] = _LISTS

    def __init__(self) -> None:
        self._daemon: Daemon | None = None

    def installed(self) -> str | None:
        """Return None if containerd can run here, or what it lacks."""
        for program in ("containerd", "ctr"):
            if shutil.which(program) is None:
                return f"{program}: not found; install it with: {self.install}"
        if os.geteuid() != 0:
            return "containerd: its daemon needs root; run the suite as root for it"
        return None

    def setup(self) -> None:
        """Start the daemon."""
        if self._daemon is None:
            self._must_be_installed()
            self._daemon = Daemon()

    def teardown(self) -> None:
        """End the daemon and remove everything of it."""
        daemon, self._daemon = self._daemon, None
        if daemon is not None:
            daemon.stop()

    def capabilities(self) -> Json:
        """Return name, version and features; the daemon need not run for it."""
        # Images in schema1 are no images for containerd 2.
        gone = {"schema1"} if self.is_new() else set()
        features = [feature for feature in self.features if feature not in gone]
        return {"name": self.name, "version": self._version(), "features": features}

    @functools.cache  # noqa: B019 - an adapter lives as long as its run
    def _version(self) -> str:
        version = "unknown"
        if self.installed() is None:
            with tempfile.TemporaryDirectory(prefix="pull-conformance-") as root:
                env = client_environment(root)
                ended = run(["ctr", "--version"], env=env, timeout=QUICK)
            version = (ended.last_line().split() or ["unknown"])[-1]
        return version

    def pull(self, request: Json, on_cancel: OnCancel) -> Json:
        """Fetch an image into the namespace of the request's root."""
        process = self._start(request)
        on_cancel(process.stop)
        ended = process.wait()
        said = {"stdout": plain_text(ended.stdout), "stderr": plain_text(ended.stderr)}
        if ended.died is not None:
            return {**failure(ended.died, died=ended.died), **said}
        error = None
        if ended.exit != 0:
            message = ended.last_line().removeprefix("ctr: ")
            error = {"class": error_class(message), "message": message}
        return {"ok": ended.exit == 0, "exit": ended.exit, "error": error, **said}

    def inspect(self, request: Json) -> Json:
        """Read the namespace of a root; only what is wanted, if that is said."""
        root = request["root"]
        wanted = set(request.get("want") or (*self._lists, "ingests"))
        # Started together, read one after the other: they run side by side.
        running = {
            key: self._ctr(root, *arguments)
            for key, arguments in self._lists.items()
            if key in wanted
        }
        ended = {key: process.wait(QUICK) for key, process in running.items()}
        tables = {key: _table(self._lists[key], end) for key, end in ended.items()}
        answer: Json = {}
        if "images" in tables:
            answer["images"] = [self._image(root, row) for row in tables["images"]]
        if "content" in tables:
            answer["content"] = [self._blob(root, row) for row in tables["content"]]
        if "leases" in tables:
            answer["leases"] = [_lease(row) for row in tables["leases"]]
        if "snapshots" in tables:
            answer["snapshots"] = self._read_snapshots(root, tables["snapshots"])
        if "ingests" in wanted:
            answer["ingests"] = list(self._ingests(root))
        return answer

    def collect(self, request: Json) -> Json:
        """Collect garbage now.

        There is no command for it; deleting a lease with ``--sync`` waits for a
        collection (leases.SynchronousDelete), so a lease is made to be deleted.
        """
        lease = self._run(request["root"], "leases", "create").strip()
        self._run(request["root"], "leases", "rm", "--sync", lease)
        return {}

    def _start(self, request: Json) -> Process:
        """Start what pulls."""
        return self._ctr(request["root"], *self._arguments(request))

    def _run(self, root: str, *arguments: str) -> str:
        ended = self._ctr(root, *arguments).wait(QUICK)
        return plain_text(_checked(arguments, ended).stdout)

    def _must_be_installed(self) -> None:
        missing = self.installed()
        if missing is not None:
            raise AdapterError(missing)

    def _arguments(self, request: Json) -> Sequence[str]:
        if request.get("max_concurrent_downloads") or request.get("unpack"):
            return self._pull_arguments(request)
        return ["content", "fetch", *self._news(request), *shared_arguments(request)]

    def _pull_arguments(self, request: Json) -> Sequence[str]:
        # A service in the daemon pulls for the ctr of containerd 2 unless told so.
        local = ["--local"] if self.is_new() else []
        more = (*local, *self._news(request), *pull_arguments(request))
        return ["images", "pull", *more]

    def _news(self, request: Json) -> Sequence[str]:
        # The ctr of containerd 2 fetches all metadata unless told so.
        told = request.get("all_metadata") or not self.is_new()
        return [] if told else ["--skip-metadata"]

    def is_new(self) -> bool:
        """Say whether it is containerd 2, or newer."""
        major = self._version().partition(".")[0]
        return major.isdigit() and int(major) >= 2

    def _daemon_of(self, _root: Path | str) -> Daemon:
        if self._daemon is None:
            raise AdapterError("containerd: the daemon is not running: call setup")
        return self._daemon

    def _namespace(self, root: str) -> str:
        return f"case-{hashlib.sha256(root.encode()).hexdigest()[:20]}"

    def _ctr(self, root: str, *arguments: str) -> Process:
        address, namespace = str(self._daemon_of(root).address), self._namespace(root)
        return Process(
            ["ctr", "--address", address, "--namespace", namespace, *arguments],
            env=client_environment(root),
        )

    def _image(self, root: str, row: dict[str, str]) -> Json:
        path = self._blob_path(root, row["DIGEST"])
        target = {
            "mediaType": row["TYPE"],
            "digest": row["DIGEST"],
            # ctr prints the size of the whole image, not the target's.
            "size": path.stat().st_size if path.is_file() else 0,
        }
        labels = parse_labels(row.get("LABELS", ""))
        return {"name": row["REF"], "target": target, "labels": labels}

    def _blob(self, root: str, row: dict[str, str]) -> Json:
        path = self._blob_path(root, row["DIGEST"])
        return {
            "digest": row["DIGEST"],
            "size": path.stat().st_size if path.is_file() else 0,
            "labels": parse_labels(row.get("LABELS", "")),
            "path": str(path),
        }

    def _read_snapshots(self, root: str, rows: list[dict[str, str]]) -> list[Json]:
        """Return all snapshots, with the folder of those that have all layers."""
        parents = {row.get("PARENT", "") for row in rows}
        found = []
        for row in rows:
            key, kind = row["KEY"], row.get("KIND", "")
            made = {"key": key, "parent": row.get("PARENT", ""), "kind": kind}
            if kind == "Committed" and key not in parents:
                made["path"] = self._view(root, key)
            found.append(made)
        return found

    def _view(self, root: str, key: str) -> str:
        """Return the folder that a view of a snapshot shows, and forget the view."""
        view = (*_SNAPSHOTS, "view", "--mounts", f"view of {key}", key)
        (mount,) = json.loads(self._run(root, *view))
        self._run(root, *_SNAPSHOTS, "rm", f"view of {key}")
        return str(mount["Source"])

    def _blob_path(self, root: str, digest: str) -> Path:
        algorithm, _, encoded = digest.partition(":")
        return self._daemon_of(root).content / "blobs" / algorithm / encoded

    def _ingests(self, root: str) -> Iterable[Json]:
        # The metadata store names an ingest NAMESPACE/NUMBER/REF in the content
        # store (metadata/bolt.go:61, metadata/content.go createIngestBucket).
        prefix = f"{self._namespace(root)}/"
        for ref in sorted((self._daemon_of(root).content / "ingest").glob("*/ref")):
            try:
                name = ref.read_text(encoding="utf-8")
                offset = (ref.parent / "data").stat().st_size
            except FileNotFoundError:
                continue  # it was finished or given up meanwhile
            if name.startswith(prefix):
                yield {
                    "ref": name.removeprefix(prefix).partition("/")[2],
                    "offset": offset,
                    "total": _number(ref.parent / "total"),
                }


class CtrAdapter(ContainerdAdapter):
    """Drives ``ctr images pull``, which unpacks what it fetched."""

    name: ClassVar[str] = "ctr"
    description: ClassVar[str] = "containerd's ctr images pull, with unpacking"

    def _arguments(self, request: Json) -> Sequence[str]:
        return self._pull_arguments(request)


def pull_arguments(request: Json) -> Sequence[str]:
    """Return the arguments of a pull that unpacks."""
    arguments = ["--snapshotter", "native"]
    if limit := request.get("max_concurrent_downloads"):
        arguments += ["--max-concurrent-downloads", str(limit)]
    return [*arguments, *shared_arguments(request)]


def shared_arguments(request: Json) -> Sequence[str]:
    """Return what `content fetch` and `images pull` take alike."""
    arguments = []
    if request.get("plain_http"):
        arguments.append("--plain-http")
    if request.get("ca") or request.get("hosts_dir"):
        # On a loopback host only a hosts.toml makes ctr speak TLS.
        arguments += ["--hosts-dir", str(make_hosts_dir(request))]
    arguments += _credentials(request)
    if request.get("platform"):
        arguments += ["--platform", request["platform"]]
    for switch in ("all_platforms", "all_metadata"):
        if request.get(switch):
            arguments.append(f"--{switch.replace('_', '-')}")
    for key, value in (request.get("labels") or {}).items():
        arguments += ["--label", f"{key}={value}"]
    return [*arguments, request["ref"]]


def _credentials(request: Json) -> Sequence[str]:
    username, password = request.get("username"), request.get("password") or ""
    if username:
        return ["--user", f"{username}:{password}"]
    return ["--refresh", password] if password else []


def _checked(arguments: Sequence[str], ended: Ended) -> Ended:
    if ended.exit != 0:
        command = " ".join(arguments)
        raise AdapterError(f"ctr {command}: {ended.died or ended.last_line()}")
    return ended


def _table(arguments: Sequence[str], ended: Ended) -> list[dict[str, str]]:
    return parse_table(plain_text(_checked(arguments, ended).stdout))


def _lease(row: dict[str, str]) -> Json:
    labels = parse_labels(row.get("LABELS", ""))
    return {"id": row["ID"], "created": row.get("CREATED AT", ""), "labels": labels}


def _number(file: Path) -> int:
    try:
        return int(file.read_text(encoding="ascii").strip() or 0)
    except (FileNotFoundError, ValueError):
        return 0
