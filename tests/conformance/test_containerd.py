"""The adapter of containerd: what ctr prints, and containerd itself."""

import os
import select
import shutil
import subprocess
import sys
import tempfile

import pytest

from conformance.adapter import load_clients
from conformance.adapters import daemon as daemon_module
from conformance.adapters.containerd import ContainerdAdapter
from conformance.adapters.ctr import (
    error_class,
    parse_labels,
    parse_table,
    plain_text,
)
from conformance.adapters.daemon import Daemon
from conformance.contract import AdapterError
from fakeregistry import BasicAuth, Registry, TokenAuth
from fakeregistry.layers import files_layer

# Recorded from ctr 1.6.20.
IMAGES = """\
REF                            TYPE                                    DIGEST         SIZE    PLATFORMS               LABELS \n\
127.0.0.1:5987/library/test:v1 application/vnd.oci.image.index.v1+json sha256:63daf1  1.1 KiB linux/amd64,linux/arm64 a=b,c  \n\
127.0.0.1:5987/library/test:v2 application/vnd.oci.image.index.v1+json sha256:63daf1  1.1 KiB linux/amd64,linux/arm64 -      \n"""  # noqa: E501 - a table as it comes
CONTENT = """\
DIGEST\t\t\tSIZE\tAGE\t\t\tLABELS
sha256:2ab78f\t173B\tLess than a second\tcontainerd.io/distribution.source.127.0.0.1=library/test,library/base
sha256:45aff4\t417B\tLess than a second\tcontainerd.io/gc.ref.content.l.0=sha256:b1dd,containerd.io/gc.ref.content.config=sha256:2ab7
sha256:63daf1\t517B\tLess than a second\t-
"""  # noqa: E501 - a table as it comes
LEASES = """\
ID             CREATED AT           LABELS                                                 \n\
941168276-hk7R 2026-11-24T03:59:31Z containerd.io/gc.expire=2026-11-25T03:59:31Z,x=y,z=1,2 \n"""  # noqa: E501 - a table as it comes
PROGRESS = (
    b"layer-sha256:ff:    downloading    |\x1b[32m++\x1b[0m--|    0.0 B/2.5 KiB \n"
    b"elapsed: 0.1 s                    total:  557.0  (5.2 KiB/s)       \n"
    b"layer-sha256:ff:    done           |\x1b[32m++++\x1b[0m| \n"
    b"elapsed: 0.2 s                    total:  557.0  (5.2 KiB/s)       \n"
    b"unpacking linux/amd64 sha256:a7...\n"
)


def test_table_padded_with_blanks():
    rows = parse_table(IMAGES)
    assert [row["REF"].rpartition(":")[2] for row in rows] == ["v1", "v2"]
    assert rows[0] == {
        "REF": "127.0.0.1:5987/library/test:v1",
        "TYPE": "application/vnd.oci.image.index.v1+json",
        "DIGEST": "sha256:63daf1",
        "SIZE": "1.1 KiB",
        "PLATFORMS": "linux/amd64,linux/arm64",
        "LABELS": "a=b,c",
    }
    assert rows[1]["LABELS"] == "-"


def test_table_with_a_heading_of_two_words():
    (row,) = parse_table(LEASES)
    assert (row["ID"], row["CREATED AT"]) == ("941168276-hk7R", "2026-11-24T03:59:31Z")
    assert parse_labels(row["LABELS"])["z"] == "1,2"


def test_table_separated_by_tabs():
    rows = parse_table(CONTENT)
    assert [row["DIGEST"] for row in rows] == [
        "sha256:2ab78f",
        "sha256:45aff4",
        "sha256:63daf1",
    ]
    assert rows[0]["AGE"] == "Less than a second"
    assert parse_labels(rows[1]["LABELS"]) == {
        "containerd.io/gc.ref.content.l.0": "sha256:b1dd",
        "containerd.io/gc.ref.content.config": "sha256:2ab7",
    }


@pytest.mark.parametrize(
    "text", ["", "\n", "REF TYPE DIGEST SIZE PLATFORMS LABELS \n", "REF\tSIZE\tAGE\t\n"]
)
def test_empty_tables(text):
    assert parse_table(text) == []


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("-", {}),
        ("", {}),
        ("a=", {"a": ""}),
        ("a=b=c", {"a": "b=c"}),
        ("s=library/a,library/b,k=v", {"s": "library/a,library/b", "k": "v"}),
        ("lost,a=b", {"a": "b"}),
    ],
)
def test_labels(text, labels):
    assert parse_labels(text) == labels


def test_only_the_last_progress_is_kept():
    assert plain_text(PROGRESS) == (
        "layer-sha256:ff:    done           |++++| \n"
        "unpacking linux/amd64 sha256:a7...\n"
    )
    assert plain_text(b"nothing to see") == "nothing to see"


@pytest.mark.parametrize(
    ("message", "name"),
    [
        ("failed to resolve: r/a:b: not found", "ErrNotFound"),
        ("unexpected commit digest: failed precondition\n", "ErrFailedPrecondition"),
        ("something else", ""),
    ],
)
def test_class_of_an_error(message, name):
    assert error_class(message) == name


def test_arguments_of_a_pull(tmp_path):
    request = {"ref": "h:1/a:b", "root": str(tmp_path)}
    assert ContainerdAdapter()._arguments(request) == ["content", "fetch", "h:1/a:b"]
    more = {"plain_http": True, "username": "u", "labels": {"k": "v"}}
    more |= {"platform": "linux/arm/v7", "all_metadata": True}
    assert ContainerdAdapter()._arguments(request | more) == [
        *("content", "fetch", "--plain-http", "--user", "u:"),
        *("--platform", "linux/arm/v7", "--all-metadata", "--label", "k=v"),
        "h:1/a:b",
    ]


def test_mirrors_and_refresh_tokens(tmp_path):
    request = {"ref": "h:1/a:b", "root": str(tmp_path)}
    hosts = str(tmp_path / "hosts")
    told = ContainerdAdapter()._arguments(
        request | {"hosts_dir": hosts, "password": "token"}
    )
    assert told == [
        *("content", "fetch", "--hosts-dir", hosts),
        *("--refresh", "token", "h:1/a:b"),
    ]


def test_a_limit_takes_the_other_command(tmp_path):
    request = {"ref": "h:1/a:b", "root": str(tmp_path), "max_concurrent_downloads": 2}
    assert ContainerdAdapter()._arguments(request) == [
        *("images", "pull", "--snapshotter", "native"),
        *("--max-concurrent-downloads", "2", "h:1/a:b"),
    ]


def test_unpacking_takes_the_other_command(tmp_path):
    request = {"ref": "h:1/a:b", "root": str(tmp_path), "unpack": True}
    assert ContainerdAdapter()._arguments(request) == [
        *("images", "pull", "--snapshotter", "native", "h:1/a:b"),
    ]


def test_without_the_daemon_there_is_one_clear_line(tmp_path):
    adapter = ContainerdAdapter()
    with pytest.raises(AdapterError, match="the daemon is not running: call setup"):
        adapter.inspect({"root": str(tmp_path)})
    adapter.teardown()


def test_not_root_says_so(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: name)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert "needs root" in str(ContainerdAdapter().installed())
    with pytest.raises(AdapterError, match="needs root"):
        ContainerdAdapter().setup()


@pytest.fixture
def stand_in(tmp_path, monkeypatch):
    """Put a shell script in containerd's place."""

    def stand_in(script):
        file = tmp_path / "containerd"
        file.write_text(f"#!/bin/sh\n{script}\n")
        file.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
        monkeypatch.setattr(tempfile, "mkdtemp", made)
        return tmp_path / "lab"

    def made(prefix):
        (tmp_path / "lab").mkdir()
        return str(tmp_path / "lab")

    return stand_in


def test_daemon_that_does_not_start(stand_in):
    folder = stand_in("echo 'containerd: bad luck' >&2; exit 1")
    with pytest.raises(AdapterError, match="did not start: containerd: bad luck"):
        Daemon()
    assert not folder.exists()


LISTEN = """\
import socket, sys
with socket.socket(socket.AF_UNIX) as server:
    server.bind(sys.argv[1])
    server.listen()
    server.accept()
sys.exit('panic: bad luck')
"""


def test_daemon_that_dies_has_last_words(stand_in):
    stand_in(f'exec "{sys.executable}" -c "{LISTEN}" "${{2%/*}}/sock"')
    daemon = Daemon()
    try:
        ended = daemon.ended(within=20)
        assert ended is not None
        assert (ended.exit, ended.last_line()) == (1, "panic: bad luck")
    finally:
        daemon.stop()
    assert not daemon.folder.exists()


def test_daemon_that_never_listens(stand_in, monkeypatch):
    monkeypatch.setattr(daemon_module, "PATIENCE", 0.05)
    folder = stand_in("exec sleep 60")
    with pytest.raises(AdapterError, match=r"did not start in 0\.05 s"):
        Daemon()
    assert not folder.exists()


def missing():
    return ContainerdAdapter().installed()


needs_containerd = pytest.mark.skipif(
    missing() is not None, reason=str(missing() or "containerd can run")
)


@pytest.fixture(scope="module")
def client():
    """Have containerd's daemon for every test of this module that asks for it."""
    client = load_clients(["containerd"])[0]
    client.setup()
    yield client
    client.teardown()


def request_of(registry, image, root, **more):
    return {
        "ref": registry.ref(image),
        "root": str(root),
        "registry": registry.host,
        "plain_http": registry.ca_file is None,
        "ca": registry.ca_file and str(registry.ca_file),
        **more,
    }


@needs_containerd
@pytest.mark.clients
class TestRealContainerd:
    """Pulls with ctr from a registry of ours."""

    def test_pull_and_read_back(self, client, tmp_path):
        with Registry() as registry:
            image = registry.publish("library/test:v1", layers=2)
            request = request_of(registry, image, tmp_path, labels={"k": "v,w"})
            result = client.pull(request, 30)
        assert result.ok, result
        stored = client.inspect(tmp_path)
        record = stored.image(request["ref"])
        assert record.target.digest == image.digest
        assert record.target.size == image.descriptor.size
        assert record.labels == {"k": "v,w"}
        assert set(stored.content) == {blob.digest for blob in image.blobs}
        assert stored.corrupt() == ()
        labels = stored.content[image.digest].labels
        assert labels["containerd.io/gc.ref.content.config"] == image.config.digest
        assert (stored.ingests, stored.leases) == ((), ())

    def test_only_what_is_wanted_is_read(self, client, tmp_path):
        stored = client.inspect(tmp_path, {"leases"})
        assert stored.leases == ()
        assert stored.images is None
        assert stored.content is None

    def test_roots_do_not_see_each_other(self, client, tmp_path):
        with Registry() as registry:
            image = registry.publish("library/test:v1", seed=7)
            for name in ("a", "b"):
                (tmp_path / name).mkdir()
                request = request_of(registry, image, tmp_path / name)
                assert client.pull(request, 30).ok
            assert len(registry.journal.requests(method="GET", path="/blobs/*")) == 4

    @pytest.mark.parametrize("auth", [BasicAuth("u", "p"), TokenAuth("u", "p")])
    def test_credentials(self, auth, client, tmp_path):
        with Registry(auth=auth) as registry:
            image = registry.publish("library/test:v1")
            request = request_of(registry, image, tmp_path)
            assert not client.pull(request, 30).ok
            assert client.pull(request | {"username": "u", "password": "p"}, 30).ok

    def test_private_authority(self, client, tmp_path):
        with Registry(tls=True) as registry:
            image = registry.publish("library/test:v1")
            result = client.pull(request_of(registry, image, tmp_path), 30)
        assert result.ok, result

    def test_limit(self, client, tmp_path):
        with Registry() as registry:
            image = registry.publish("library/test:v1", layers=3)
            request = request_of(registry, image, tmp_path)
            result = client.pull(request | {"max_concurrent_downloads": 1}, 30)
            assert result.ok, result
            assert registry.journal.max_in_flight(path="/blobs/*") == 1

    def test_unpack(self, client, tmp_path):
        layers = [files_layer({"a": b"1", "b": b"1"}), files_layer({"a": b"2"})]
        with Registry() as registry:
            image = registry.publish("library/test:v1", layers=layers)
            request = request_of(registry, image, tmp_path, unpack=True)
            result = client.pull(request, 30)
        assert result.ok, result
        stored = client.inspect(tmp_path, {"snapshots"})
        assert {s.kind for s in stored.snapshots} == {"Committed"}
        top = stored.root_file_system()
        assert top.parent
        files = {path.name: path.read_bytes() for path in top.path.iterdir()}
        assert files == {"a": b"2", "b": b"1"}
        assert len(client.inspect(tmp_path, {"snapshots"}).snapshots) == 2

    def test_failure_has_its_class(self, client, tmp_path):
        with Registry() as registry:
            ref = f"{registry.host}/library/none:v1"
            request = {"ref": ref, "root": str(tmp_path), "plain_http": True}
            result = client.pull(request, 30)
        assert (result.ok, result.exit, result.reason) == (False, 1, None)
        assert result.error_class == "ErrNotFound"
        assert result.error.startswith("failed to resolve reference")

    def test_cancelled_pull_leaves_a_lease_and_ingests(self, client, tmp_path):
        with Registry() as registry:
            image = registry.publish("library/test:v1", layers=2)
            with registry.gate("/blobs/*") as gate:
                running = client.start(request_of(registry, image, tmp_path), 30)
                gate.wait_for(3)
                result = running.cancel()
                stored = client.inspect(tmp_path)
        assert result.reason == "cancelled"
        assert stored.images == ()
        assert len(stored.leases) == 1
        assert "containerd.io/gc.expire" in stored.leases[0].labels
        sizes = {blob.size for blob in (image.config, *image.layers)}
        assert {ingest.total for ingest in stored.ingests} == sizes

    def test_collect(self, client, tmp_path):
        with Registry() as registry:
            image = registry.publish("library/test:v1", layers=2)
            registry.fault(digest=image.layers[1].digest, status=404, times=None)
            assert not client.pull(request_of(registry, image, tmp_path), 30).ok
        assert client.inspect(tmp_path).has(image.digest)
        client.collect(tmp_path)
        assert client.inspect(tmp_path).content == {}

    def test_daemon_ends_with_the_process_that_started_it(self):
        """The kernel closes the guard's pipe, even after a SIGKILL."""
        script = (
            "from conformance.adapters.daemon import Daemon\n"
            "daemon = Daemon()\n"
            "print(daemon.folder, daemon._guard.pid, flush=True)\n"
            "input()\n"
        )
        with subprocess.Popen(
            [sys.executable, "-c", script],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        ) as owner:
            assert owner.stdout is not None
            folder, guard = owner.stdout.readline().decode().split()
            watched = os.pidfd_open(int(guard))
            owner.kill()
        ended, _, _ = select.select([watched], [], [], 30)
        os.close(watched)
        assert ended
        assert not os.path.exists(folder)  # noqa: PTH110 - a text, not a path
