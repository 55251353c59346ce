"""Clients with a daemon of their own for every case: Docker and CRI."""

import importlib.util
import os
import shutil
import sys
import tomllib
from importlib.machinery import ModuleSpec
from types import ModuleType, SimpleNamespace
from typing import Any, ClassVar

import pytest

from conformance.adapter import load_clients
from conformance.adapters.containerd import ContainerdAdapter, CtrAdapter
from conformance.adapters.cri import (
    CriAdapter,
    await_service,
    pull_image_request,
    start_daemon,
)
from conformance.adapters.daemon import Dockerd, PrivateDaemon, containerd_config
from conformance.adapters.docker import DockerAdapter
from conformance.adapters.fresh import FreshDaemons
from conformance.adapters.nerdctl import NerdctlAdapter, nerdctl_arguments
from conformance.contract import AdapterError
from conformance.process import Ended
from fakeregistry import Registry


class Fake(PrivateDaemon):
    """A daemon that only counts."""

    name = "fake"
    running: ClassVar[list["Fake"]] = []

    def __init__(self):
        self.running.append(self)

    def stop(self):
        if self in self.running:
            self.running.remove(self)


@pytest.fixture
def fresh():
    Fake.running.clear()
    daemons = FreshDaemons(Fake)
    yield daemons
    daemons.close()
    assert Fake.running == []


def test_roots_of_a_case_have_daemons_of_their_own(fresh):
    fresh.prepare()
    first, second = fresh.of("/t/1/1"), fresh.of("/t/1/2")
    assert first is not second
    assert fresh.of("/t/1/1") is first
    assert {first, second} <= set(Fake.running)


def test_next_case_ends_the_daemons_of_the_last(fresh):
    first = fresh.of("/t/1/1")
    assert fresh.known("/t/1/1") is first
    second = fresh.of("/t/2/1")
    for thread in fresh._ending:
        thread.join()
    assert first not in Fake.running
    assert second in Fake.running
    assert fresh.known("/t/1/1") is None
    assert fresh.known("/t/3/1") is None


def test_daemon_that_does_not_start():
    def start():
        raise AdapterError("bad luck")

    daemons = FreshDaemons(start)
    with pytest.raises(AdapterError, match="bad luck"):
        daemons.prepare()
    with pytest.raises(AdapterError, match="bad luck"):
        daemons.of("/t/1/1")
    daemons.close()


DOCKERD = """\
#!PYTHON
import json, pathlib, signal, socket, sys
asked = dict(zip(sys.argv[1:], sys.argv[2:]))
if sys.argv[1] == "--version":
    print("Docker version 20.10.24+dfsg1, build 297e128")
    sys.exit()
store = pathlib.Path(asked["--data-root"], "image/vfs")
store.mkdir(parents=True)
name = "127.0.0.1:1/library/test"
known = {name: {f"{name}:v1": "sha256:c", f"{name}@sha256:d": "sha256:c"}}
(store / "repositories.json").write_text(json.dumps({"Repositories": known}))
server = socket.socket(socket.AF_UNIX)
server.bind(asked["-H"].removeprefix("unix://"))
server.listen()
signal.pause()
"""
DOCKER = """\
#!/bin/sh
echo "$@"
case "$*" in *fail*) echo "Error response from daemon: no" >&2; exit 1 ;; esac
case "$*" in *die*) kill -9 $$ ;; esac
"""


@pytest.fixture
def docker(tmp_path, monkeypatch):
    """Put scripts in Docker's place."""
    for name, text in (("dockerd", DOCKERD), ("docker", DOCKER)):
        file = tmp_path / "bin" / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(text.replace("PYTHON", sys.executable))
        file.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    adapter = DockerAdapter()
    yield adapter
    adapter.teardown()


def asked(root, ref, **more):
    root.mkdir(parents=True, exist_ok=True)
    return {"ref": ref, "root": str(root), **more}


def test_docker_pulls_with_a_daemon_of_the_root(docker, tmp_path):
    docker.setup()
    assert docker.capabilities()["version"] == "20.10.24+dfsg1"
    ref = "127.0.0.1:1/library/test:v1"
    request = asked(tmp_path / "1/1", ref, platform="linux/arm")
    assert docker.inspect(request) == {"images": []}
    answer = docker.pull(request, lambda _stop: None)
    assert answer["ok"]
    assert answer["stdout"].split()[2:] == [
        *("pull", "--quiet", "--platform", "linux/arm", ref),
    ]
    (tagged, _pinned) = docker.inspect(request)["images"]
    assert tagged["name"] == ref


def test_docker_gets_credentials_from_a_folder(docker, tmp_path):
    request = asked(tmp_path / "1/1", "h:1/a:v1", username="u", password="p")  # noqa: S106
    words = docker.pull(request, lambda _stop: None)["stdout"].split()
    config = words[words.index("--config") + 1]
    assert os.listdir(config) == ["config.json"]  # noqa: PTH208 - a text


def test_docker_that_fails_and_that_dies(docker, tmp_path):
    answer = docker.pull(asked(tmp_path / "1/1", "h:1/fail:v1"), lambda _stop: None)
    assert (answer["ok"], answer["exit"]) == (False, 1)
    assert answer["error"]["message"] == "Error response from daemon: no"
    answer = docker.pull(asked(tmp_path / "1/1", "h:1/die:v1"), lambda _stop: None)
    assert "SIGKILL" in answer["died"]


def test_docker_says_what_it_lacks(docker, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(AdapterError, match="dockerd: needs root"):
        docker.setup()
    monkeypatch.setattr(shutil, "which", lambda _name: None)
    assert "apt-get install docker.io" in str(docker.installed())
    assert docker.capabilities()["version"] == "unknown"


def test_docker_touches_no_network_of_the_machine(tmp_path):
    daemon = object.__new__(Dockerd)
    daemon.folder, daemon.address = tmp_path, tmp_path / "sock"
    command = daemon.command()
    assert {"--iptables=false", "--bridge=none", "--ip-forward=false"} <= set(command)
    assert all(str(tmp_path) in word for word in command if word.startswith("/"))


@pytest.mark.parametrize("cri", [False, True])
def test_containerd_serves_cri_only_when_asked(cri):
    text = containerd_config(cri=cri)
    tomllib.loads(text)
    assert ('"io.containerd.grpc.v1.cri", ' in text) is not cri
    assert ('config_path = "{folder}/hosts"' in text) is cri


@pytest.mark.parametrize(
    ("version", "local"),
    [
        ("1.6.20~ds1", []),
        ("2.4.2+unknown", ["--local", "--skip-metadata"]),
        ("unknown", []),
    ],
)
def test_ctr_unpacks(version, local, monkeypatch):
    monkeypatch.setattr(CtrAdapter, "_version", lambda _self: version)
    request = {"ref": "h:1/a:b", "root": "/t", "plain_http": True}
    assert CtrAdapter()._arguments(request) == [
        *("images", "pull", *local),
        *("--snapshotter", "native", "--plain-http", "h:1/a:b"),
    ]
    assert {"unpack", "snapshots"} <= set(CtrAdapter.features)


def test_nerdctl_is_told_what_to_pull(tmp_path):
    ca = tmp_path / "ca.pem"
    ca.write_text("x")
    request = {"ref": "h:1/a:b", "root": str(tmp_path), "platform": "linux/arm64"}
    assert nerdctl_arguments({**request, "plain_http": True}) == [
        *("--snapshotter", "native", "--insecure-registry", "pull", "--quiet"),
        *("--unpack=false", "--platform", "linux/arm64", "h:1/a:b"),
    ]
    secure = nerdctl_arguments({**request, "ca": str(ca), "all_platforms": True})
    assert secure[2] == "--hosts-dir"
    assert "--all-platforms" in secure


@pytest.mark.parametrize(
    ("found", "new", "missing"),
    [
        ((), True, "nerdctl: not found; install it with: go install "),
        (("nerdctl",), True, "containerd: not found"),
        (("nerdctl", "containerd", "ctr"), False, "is judged with containerd 2"),
        (("nerdctl", "containerd", "ctr"), True, None),
    ],
)
def test_nerdctl_needs_a_new_containerd(found, new, missing, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: name if name in found else None)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(ContainerdAdapter, "is_new", lambda _self: new)
    said = NerdctlAdapter().installed()
    assert (said is None) if missing is None else (missing in str(said))


def test_message_of_a_pull():
    """As protoc's code writes it (PullImageRequest of k8s.io/cri-api)."""
    request = {"ref": "h:1/a:b"}
    assert pull_image_request(request) == b"\n\x09\n\x07h:1/a:b"
    request |= {"username": "u", "password": "p"}
    assert pull_image_request(request) == b"\n\x09\n\x07h:1/a:b\x12\x06\n\x01u\x12\x01p"
    request["username"] = ""
    assert pull_image_request(request) == b"\n\x09\n\x07h:1/a:b\x12\x03*\x01p"


def test_message_of_a_long_name():
    ref = f"h:1/{'a' * 200}"
    assert pull_image_request({"ref": ref}).startswith(b"\n\xcf\x01\n\xcc\x01h:1/aaa")


class RpcError(Exception):
    def __init__(self, code, details):
        super().__init__(details)
        self._code, self._details = code, details

    def code(self):
        return self._code

    def details(self):
        return self._details


class Cancelled(Exception):
    pass


@pytest.fixture
def cri(monkeypatch, tmp_path):
    """Let CRI's service answer what a test says, without gRPC and containerd."""
    answers: list[Exception | None] = []
    calls: list[str] = []

    class Channel:
        def __init__(self, address):
            self.address = address

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def unary_unary(self, method):
            def future(_request):
                answer = answers.pop(0)

                def result():
                    calls.append(method)
                    if isinstance(answer, Exception):
                        raise answer

                return SimpleNamespace(result=result, cancel=lambda: None)

            return SimpleNamespace(future=future)

    grpc = ModuleType("grpc")
    grpc.__spec__ = ModuleSpec("grpc", None)
    grpc.__dict__.update(
        insecure_channel=Channel,
        RpcError=RpcError,
        FutureCancelledError=Cancelled,
        StatusCode=SimpleNamespace(
            UNIMPLEMENTED="unimplemented", UNAVAILABLE="unavailable"
        ),
    )
    monkeypatch.setitem(sys.modules, "grpc", grpc)
    adapter: Any = CriAdapter()
    daemon = SimpleNamespace(
        address="/t/sock", hosts=tmp_path / "hosts", ended=lambda within: None
    )

    def wait(*given):
        answers[:] = given
        calls.clear()
        await_service("/t/sock")
        return calls

    adapter._daemons = SimpleNamespace(of=lambda _root: daemon)

    def pull(*given, plain_http=True):
        answers[:] = given
        calls.clear()
        request = {"ref": "h:1/a:b", "root": str(tmp_path), "plain_http": plain_http}
        return adapter.pull(request, lambda _stop: None), calls

    pull.wait = wait  # type: ignore[attr-defined]
    pull.daemon = daemon  # type: ignore[attr-defined]
    return pull


def test_cri_pulls(cri, tmp_path):
    answer, calls = cri(None)
    assert answer["ok"]
    assert calls == ["/runtime.v1.ImageService/PullImage"]
    assert (tmp_path / "hosts/h:1/hosts.toml").exists()


def test_cri_of_an_older_containerd(cri):
    unknown = RpcError("unimplemented", "unknown service")
    answer, calls = cri(unknown, None)
    assert answer["ok"]
    assert calls[1] == "/runtime.v1alpha2.ImageService/PullImage"
    answer, _ = cri(unknown, unknown)
    assert answer["error"]["message"] == "the daemon knows no PullImage"


def test_cri_that_fails(cri):
    answer, _ = cri(RpcError("notfound", "failed to resolve: h:1/a:b: not found"))
    assert answer["error"]["class"] == "ErrNotFound"
    answer, _ = cri(Cancelled())
    assert answer["error"]["message"] == "cancelled"


def test_cri_is_told_of_a_registry_if_there_is_something_to_tell(cri, tmp_path):
    answer, _ = cri(None, plain_http=False)
    assert answer["ok"]
    assert not (tmp_path / "hosts").exists()


def test_cri_whose_daemon_dies(cri):
    """It hangs up on everybody: that is no failure of a pull, but a crash."""
    hung_up = RpcError("unavailable", "error reading from server: EOF")
    answer, _ = cri(hung_up)
    assert answer["error"]["message"] == "error reading from server: EOF"
    assert not answer.get("died")
    said = Ended(exit=2, stderr=b"panic: slice bounds\ngoroutine 1 [running]:\n")
    cri.daemon.ended = lambda within: said
    answer, _ = cri(hung_up)
    assert answer["died"] == "containerd: the daemon ended: goroutine 1 [running]:"
    assert "panic: slice bounds" in answer["stderr"]


def test_cri_is_waited_for(cri):
    """Its socket is there before it takes requests."""
    busy = RpcError("unavailable", "server is not initialized yet")
    unknown = RpcError("unimplemented", "unknown service")
    calls = cri.wait(busy, unknown, busy, unknown, None)
    assert len(calls) == 5
    with pytest.raises(AdapterError, match="is not there: unknown service"):
        cri.wait(unknown, unknown)


def test_cri_that_never_comes(cri, monkeypatch):
    monkeypatch.setattr("conformance.adapters.cri.PATIENCE", 0.0)
    with pytest.raises(AdapterError, match="is not there: no answer"):
        cri.wait()


def test_daemon_whose_service_does_not_come_is_ended(cri, monkeypatch):
    stopped = []
    daemon = SimpleNamespace(address="/t/sock", stop=lambda: stopped.append(1))
    monkeypatch.setattr("conformance.adapters.cri.PATIENCE", 0.0)
    monkeypatch.setattr("conformance.adapters.cri.Daemon", lambda cri: daemon)
    with pytest.raises(AdapterError, match="no answer"):
        start_daemon()
    assert stopped == [1]


def test_cri_without_grpc(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    adapter = CriAdapter()
    assert "pip install 'oci-pull-conformance[cri]'" in str(adapter.installed())
    with pytest.raises(AdapterError, match="grpc: not installed"):
        adapter.setup()
    adapter.teardown()


@pytest.mark.parametrize("name", ["ctr", "cri", "docker", "nerdctl"])
@pytest.mark.clients
def test_real_daemon_pulls_and_forgets(name, tmp_path):
    """What one case pulled is asked for again by the next."""
    client = load_clients([name])[0]
    if (missing := client.installed()) is not None:
        pytest.skip(missing)
    client.setup()
    try:
        with Registry() as registry:
            image = registry.publish("library/test:v1", layers=2)
            for case in ("1", "2"):
                root = tmp_path / case / "1"
                root.mkdir(parents=True)
                request = asked(root, registry.ref(image), plain_http=True)
                result = client.pull(request, 30)
                assert result.ok, result
                assert client.inspect(root).image(request["ref"]) is not None
            for blob in (image.descriptor, *image.blobs):
                found = registry.journal.requests(method="GET", digest=blob.digest)
                assert len(found) == 2, blob
    finally:
        client.teardown()
