"""nerdctl: Docker's commands for containerd, with a daemon of our own.

It pulls with containerd's client and its own resolver, and is told not to unpack; what
it keeps is containerd's, and is read as that (conformance/adapters/containerd.py).
"""

import functools
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from conformance.adapters.containerd import QUICK, ContainerdAdapter
from conformance.contract import Json
from conformance.process import Process, client_environment, run
from conformance.request import make_docker_config, make_hosts_dir

__all__ = ["NerdctlAdapter", "nerdctl_arguments"]


class NerdctlAdapter(ContainerdAdapter):
    """Drives nerdctl; see ADAPTER.md for what the methods take and return."""

    name: ClassVar[str] = "nerdctl"
    description: ClassVar[str] = "nerdctl pull, with a containerd of its own"
    homepage: ClassVar[str] = "https://github.com/containerd/nerdctl"
    install: ClassVar[str] = (
        "go install github.com/containerd/nerdctl/v2/cmd/nerdctl@latest"
    )
    features: ClassVar[tuple[str, ...]] = (
        *("all-platforms", "basic-auth", "cancel", "content", "digest-ref"),
        *("image-record", "ingests", "plain-http", "platform", "resume"),
        *("tls", "token-auth"),
    )

    def installed(self) -> str | None:
        """Return None if nerdctl and containerd can run here, or what it lacks."""
        if shutil.which("nerdctl") is None:
            return f"nerdctl: not found; install it with: {self.install}"
        containerd = ContainerdAdapter()
        missing = containerd.installed()
        if missing is None and not containerd.is_new():
            missing = "nerdctl: is judged with containerd 2, and the one here is older"
        return missing

    def capabilities(self) -> Json:
        """Return name, version and features; the daemon need not run for it."""
        return {
            "name": self.name,
            "version": self._own_version(),
            "features": list(self.features),
        }

    @functools.cache  # noqa: B019 - an adapter lives as long as its run
    def _own_version(self) -> str:
        if self.installed() is not None:
            return "unknown"
        with tempfile.TemporaryDirectory(prefix="pull-conformance-") as root:
            env = client_environment(root)
            ended = run(["nerdctl", "--version"], env=env, timeout=QUICK)
        # nerdctl version 2.3.5
        return (ended.last_line().split() or ["unknown"])[-1]

    def _start(self, request: Json) -> Process:
        root = request["root"]
        address, namespace = self._daemon_of(root).address, self._namespace(root)
        env = client_environment(root)
        if request.get("username"):
            env["DOCKER_CONFIG"] = str(make_docker_config(request))
        return Process(
            [
                *("nerdctl", "--address", str(address), "--namespace", namespace),
                *("--data-root", str(Path(root) / "nerdctl")),
                *nerdctl_arguments(request),
            ],
            env=env,
        )


def nerdctl_arguments(request: Json) -> Sequence[str]:
    """Return what a request asks of nerdctl, wherever its daemon is."""
    arguments = ["--snapshotter", "native"]
    if request.get("plain_http"):
        arguments.append("--insecure-registry")
    if request.get("ca"):
        arguments += ["--hosts-dir", str(make_hosts_dir(request))]
    arguments += ["pull", "--quiet", "--unpack=false"]
    if request.get("platform"):
        arguments += ["--platform", request["platform"]]
    if request.get("all_platforms"):
        arguments.append("--all-platforms")
    return [*arguments, request["ref"]]
