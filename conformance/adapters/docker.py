"""Docker: the command, and for every case a daemon of its own.

The daemon takes every host of 127.0.0.0/8 for one that may be insecure: it speaks
http there, or TLS whose certificate it does not check. So TLS cannot be judged
here. Layers are kept unpacked, and only the names of images can be read back.
"""

import os
import shutil
import tempfile
from collections.abc import Sequence
from typing import ClassVar, Final

from conformance.adapters.daemon import Dockerd
from conformance.adapters.fresh import FreshDaemons
from conformance.contract import AdapterError, Json, OnCancel, failure
from conformance.process import Process, client_environment, run
from conformance.request import make_docker_config
from conformance.stores import read_docker

__all__ = ["DockerAdapter"]

QUICK: Final = 30.0


class DockerAdapter:
    """Drives docker; see ADAPTER.md for what the methods take and return."""

    name: ClassVar[str] = "docker"
    description: ClassVar[str] = "Docker's daemon, driven with its command"
    homepage: ClassVar[str] = "https://www.docker.com"
    install: ClassVar[str] = "apt-get install docker.io"
    features: ClassVar[tuple[str, ...]] = (
        *("basic-auth", "cancel", "digest-ref", "image-record", "plain-http"),
        *("platform", "schema1", "token-auth"),
    )

    def __init__(self) -> None:
        self._daemons = FreshDaemons(Dockerd)

    def installed(self) -> str | None:
        """Return None if Docker can run here, or what it lacks."""
        for program in ("dockerd", "docker"):
            if shutil.which(program) is None:
                return f"{program}: not found; install it with: {self.install}"
        if os.geteuid() != 0:
            return "dockerd: needs root; run the suite as root for it"
        return None

    def setup(self) -> None:
        """Start the first daemon."""
        missing = self.installed()
        if missing is not None:
            raise AdapterError(missing)
        self._daemons.prepare()

    def teardown(self) -> None:
        """End every daemon."""
        self._daemons.close()

    def capabilities(self) -> Json:
        """Return name, version and features; no daemon need run for it."""
        version = "unknown"
        if self.installed() is None:
            with tempfile.TemporaryDirectory(prefix="pull-conformance-") as root:
                env = client_environment(root)
                ended = run(["dockerd", "--version"], env=env, timeout=QUICK)
            # Docker version 20.10.24+dfsg1, build 5d6db84
            words = ended.last_line().replace(",", " ").split()
            version = words[2] if len(words) > 2 else "unknown"
        return {"name": self.name, "version": version, "features": list(self.features)}

    def pull(self, request: Json, on_cancel: OnCancel) -> Json:
        """Pull with the daemon of the request's root."""
        daemon = self._daemons.of(request["root"])
        process = Process(
            ["docker", "--host", f"unix://{daemon.address}", *_arguments(request)],
            env=client_environment(request["root"]),
        )
        on_cancel(process.stop)
        ended = process.wait()
        said = {
            "stdout": ended.stdout.decode(errors="replace"),
            "stderr": ended.stderr.decode(errors="replace"),
        }
        if ended.died is not None:
            return {**failure(ended.died, died=ended.died), **said}
        error = None
        if ended.exit != 0:
            error = {"class": "", "message": ended.last_line()}
        return {"ok": ended.exit == 0, "exit": ended.exit, "error": error, **said}

    def inspect(self, request: Json) -> Json:
        """Read the names of the images that the daemon of a root has."""
        daemon = self._daemons.known(request["root"])
        return {"images": []} if daemon is None else read_docker(daemon.data)


def _arguments(request: Json) -> Sequence[str]:
    arguments = ["pull", "--quiet"]
    if request.get("username"):
        arguments = ["--config", str(make_docker_config(request)), *arguments]
    if request.get("platform"):
        arguments += ["--platform", request["platform"]]
    return [*arguments, request["ref"]]
