"""containerd as a kubelet drives it: PullImage of the Container Runtime Interface.

This is the one command of containerd's own that calls client.Pull
(pkg/cri/server/image_pull.go:117), with layers unpacked while others still come.
A pull makes three records: the reference, the repository with the digest, and the
config's digest. Everything goes into the namespace k8s.io, so each case has a
daemon of its own.

The messages are few and hold nothing but texts: they are written here, and need no
generated code. gRPC itself comes with `pip install oci-pull-conformance[cri]`.
"""

import importlib
import importlib.util
import time
from pathlib import Path
from typing import Any, ClassVar, Final

from conformance.adapters.containerd import ContainerdAdapter
from conformance.adapters.ctr import error_class
from conformance.adapters.daemon import PATIENCE, Daemon
from conformance.adapters.fresh import FreshDaemons
from conformance.contract import AdapterError, Json, OnCancel, failure
from conformance.request import make_hosts_dir

__all__ = ["CriAdapter"]

#: Newest first: containerd 1.5 knows the second only, 2.x the first only.
VERSIONS: Final = ("runtime.v1", "runtime.v1alpha2")
#: How long a daemon that has hung up may take to be gone, in seconds.
DYING: Final = 3.0


class CriAdapter(ContainerdAdapter):
    """Speaks CRI to containerd, and reads its store with ctr."""

    name: ClassVar[str] = "cri"
    description: ClassVar[str] = "containerd's CRI service, as a kubelet drives it"
    install: ClassVar[str] = (
        "apt-get install containerd && pip install 'oci-pull-conformance[cri]'"
    )
    features: ClassVar[tuple[str, ...]] = (
        *("basic-auth", "cancel", "content", "digest-ref", "gc", "image-record"),
        *("ingests", "leases", "plain-http", "reference", "resume", "schema1", "tls"),
        *("token-auth", "unpack"),
    )

    def __init__(self) -> None:
        super().__init__()
        self._daemons = FreshDaemons(start_daemon)

    def installed(self) -> str | None:
        """Return None if containerd and gRPC can run here, or what is missing."""
        if importlib.util.find_spec("grpc") is None:
            return f"grpc: not installed; install it with: {self.install}"
        return super().installed()

    def setup(self) -> None:
        """Start the first daemon."""
        self._must_be_installed()
        self._daemons.prepare()

    def teardown(self) -> None:
        """End every daemon."""
        self._daemons.close()

    def pull(self, request: Json, on_cancel: OnCancel) -> Json:
        """Call PullImage of the daemon of the request's root."""
        daemon = self._daemons.of(request["root"])
        if request.get("plain_http") or request.get("ca"):
            # Without a word containerd itself decides what to speak.
            make_hosts_dir(request, daemon.hosts)
        grpc: Any = importlib.import_module("grpc")
        with grpc.insecure_channel(f"unix://{daemon.address}") as channel:
            for version in VERSIONS:
                method = f"/{version}.ImageService/PullImage"
                call = channel.unary_unary(method).future(pull_image_request(request))
                on_cancel(call.cancel)
                try:
                    call.result()
                except grpc.RpcError as err:
                    if err.code() is grpc.StatusCode.UNIMPLEMENTED:
                        continue
                    said = err.details() or str(err.code())
                    if err.code() is grpc.StatusCode.UNAVAILABLE:
                        # The daemon may have died of it.
                        return _died(daemon) or _failed(said)
                    return _failed(said)
                except grpc.FutureCancelledError:
                    return _failed("cancelled")
                else:
                    return {"ok": True, "exit": None, "error": None}
        return _failed("the daemon knows no PullImage")

    def _daemon_of(self, root: Path | str) -> Daemon:
        return self._daemons.of(root)

    def _namespace(self, _root: str) -> str:
        return "k8s.io"


def start_daemon() -> Daemon:
    """Start containerd and wait until its CRI service takes requests.

    Raises:
        AdapterError: It does not.
    """
    daemon = Daemon(cri=True)
    try:
        await_service(str(daemon.address))
    except BaseException:
        daemon.stop()
        raise
    return daemon


def await_service(address: str) -> None:
    """Wait until CRI is initialized: the socket is there before, and says so.

    Raises:
        AdapterError: It is not there, or not in time.
    """
    grpc: Any = importlib.import_module("grpc")
    end = time.monotonic() + PATIENCE
    said = "no answer"
    with grpc.insecure_channel(f"unix://{address}") as channel:
        while time.monotonic() < end:
            unknown = 0
            for version in VERSIONS:
                ask = channel.unary_unary(f"/{version}.ImageService/ListImages")
                try:
                    ask.future(b"").result()
                except grpc.RpcError as err:
                    said = err.details() or str(err.code())
                    unknown += err.code() is grpc.StatusCode.UNIMPLEMENTED
                else:
                    return
            if unknown == len(VERSIONS):
                break
            time.sleep(0.01)
    raise AdapterError(f"cri: the service of containerd is not there: {said}")


def pull_image_request(request: Json) -> bytes:
    """Return a PullImageRequest (k8s.io/cri-api, api.proto) with its two members."""
    image = _member(1, request["ref"].encode())
    message = _member(1, image)
    password = (request.get("password") or "").encode()
    if request.get("username"):
        user = _member(1, request["username"].encode())
        message += _member(2, user + _member(2, password))
    elif password:
        message += _member(2, _member(5, password))  # an identity token
    return message


def _member(number: int, value: bytes) -> bytes:
    # Protocol Buffers, wire type 2: the tag, the length, the bytes.
    return bytes([number << 3 | 2]) + _varint(len(value)) + value


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def _died(daemon: Daemon) -> Json | None:
    ended = daemon.ended(within=DYING)
    if ended is None:
        return None
    died = f"containerd: the daemon ended: {ended.last_line()}"
    return {**failure(died, died=died), "stderr": ended.stderr.decode(errors="replace")}


def _failed(message: str) -> Json:
    error = {"class": error_class(message), "message": message}
    return {"ok": False, "exit": None, "error": error}
