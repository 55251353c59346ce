"""What is measured about refpull, in small: it has to be done, and be seen to be.

Against fakeregistry, in this process; the peers need to be installed and are not run.
"""

import importlib
import io
import os
import tarfile
from dataclasses import replace
from pathlib import Path

import anyio
import pytest
from rich.console import Console

from fakeregistry import Registry

ROOT = Path(__file__).parents[2]


def load(name):
    """Import a module of the benchmarks, wherever pytest was started."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT))
        return importlib.import_module(f"tests.benchmarks.{name}")


def test_what_is_not_installed_is_left_out(tmp_path):
    context = bare_context(tmp_path, absent={"crane": "not installed"})
    names = set(load("pullers").several_images(context))
    assert names == {"refpull", "skopeo", "podman"}
    assert context.left_out("crane", "podman") == ("crane: left out, not installed",)


def test_unpacked_files_go_where_the_user_said(tmp_path):
    context = bare_context(tmp_path, store=tmp_path)
    with context.roomy(1) as there, there.fresh() as folder:
        assert folder.parent.parent == tmp_path
    assert not list(tmp_path.iterdir())


def bare_context(root, absent=(), **more):
    return load("context").Context(
        console=Console(file=io.StringIO()),
        root=root,
        rounds=1,
        quick=True,
        absent=dict(absent),
        **more,
    )


@pytest.mark.slow
def test_tree_is_the_same_again_and_has_what_was_asked_for(tmp_path):
    trees = load("trees")
    layer = trees.make(files=200, size=100_000)
    assert layer == trees.make(files=200, size=100_000)
    (tmp_path / "layer").write_bytes(layer.data)
    trees.extract(tmp_path / "layer", tmp_path / "out")
    found = trees.read(tmp_path / "out")
    # Of 200, two are symbolic links; two hard links are files once more.
    links = [path for path in (tmp_path / "out").rglob("*") if path.is_symlink()]
    assert (found.files, len(links)) == (198, 2)
    once = {path.stat().st_ino: path for path in (tmp_path / "out").rglob("file-*")}
    assert sum(path.stat().st_size for path in once.values()) == 100_000


@pytest.mark.parametrize("change", ["byte", "name", "kind"])
def test_other_files_are_another_tree(tmp_path, change):
    trees = load("trees")
    (tmp_path / "one").write_bytes(b"1")
    before = trees.read(tmp_path)
    if change == "byte":
        (tmp_path / "one").write_bytes(b"2")
    elif change == "name":
        (tmp_path / "one").rename(tmp_path / "two")
    else:
        (tmp_path / "one").unlink()
        (tmp_path / "one").symlink_to("1")
    assert trees.read(tmp_path) != before


@pytest.mark.slow
def test_library_pulls_and_unpacks_what_is_measured(tmp_path):
    """The program of `pull` and `unpack`, with its API, in this process."""
    library, trees = load("library"), load("trees")
    layer = trees.make(files=100, size=10_000)
    with Registry() as registry:
        image = registry.publish("library/tree:v1", layers=[layer])
        ref = f"127.0.0.1:{registry.port}/library/tree:v1"
        wanted = load("pullers").Wanted(
            images={ref: image.digest}, blobs=frozenset({image.layers[0].digest})
        )
        anyio.run(library._pull, str(tmp_path / "store"), ref)
    anyio.run(library._unpack, str(tmp_path / "store"), ref)
    blobs = "store/content/blobs/sha256/*"
    load("pullers")._verify(tmp_path, blobs, wanted.blobs)
    (tmp_path / "layer").write_bytes(layer.data)
    trees.extract(tmp_path / "layer", tmp_path / "out")
    (unpacked,) = (tmp_path / "store/snapshots/native/snapshots").iterdir()
    assert trees.read(unpacked) == trees.read(tmp_path / "out")


def test_blob_that_is_missing_or_other_is_seen(tmp_path):
    verify = load("pullers")._verify
    digest = load("upload").digest_of(b"data")
    with pytest.raises(load("harness").BenchError, match="not stored"):
        verify(tmp_path, "*", [digest])
    (tmp_path / digest.removeprefix("sha256:")).write_bytes(b"other")
    with pytest.raises(load("harness").BenchError, match="other bytes"):
        verify(tmp_path, "*", [digest])


def test_list_for_sync_names_every_image():
    """skopeo-sync(1), YAML file content."""
    listed = load("pullers").list_for_sync(["h:1/a/b:v1", "h:1/c:v2", "i:2/d:v3"])
    assert listed == (
        '"h:1":\n  tls-verify: false\n  images:\n'
        '    "a/b": ["v1"]\n    "c": ["v2"]\n'
        '"i:2":\n  tls-verify: false\n  images:\n    "d": ["v3"]\n'
    )


def test_stream_is_an_archive_of_the_size_that_was_asked_for():
    stream = load("contents").Stream(3 << 20)
    data = b"".join(stream.pieces())
    assert (len(data), load("upload").digest_of(data)) == (stream.size, stream.digest)
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        (member,) = archive.getmembers()
    assert member.size == (3 << 20) - 3 * tarfile.BLOCKSIZE


@pytest.mark.slow
def test_streamed_image_is_there(tmp_path):
    memory = load("memory")
    with Registry() as registry:
        server = load("peers").Server(pid=os.getpid(), port=registry.port)
        wanted = memory._push(server, 1)
        anyio.run(load("library")._pull, str(tmp_path), wanted.ref)
    load("pullers")._verify(tmp_path, "content/blobs/sha256/*", wanted.blobs)


@pytest.mark.slow
def test_pulls_of_many_things_bring_all_of_them(tmp_path):
    """The measurement itself counts blobs and labels."""
    scaling, context = load("scaling"), bare_context(tmp_path)
    with Registry() as registry:
        server = load("peers").Server(pid=os.getpid(), port=registry.port)
        layers = scaling._push_layers(server, "layers", 3)
        entries = scaling._push_index(server, "entries", 3)
        assert scaling._pull(context, layers, scaling._ONE, 5) > 0
        unpacked = replace(scaling._ONE, unpack=True)
        assert scaling._pull(context, layers, unpacked, 5) > 0
        assert scaling._pull(context, entries, scaling._ONE, 4) > 0
        with pytest.raises(load("harness").BenchError, match="5 blobs"):
            scaling._pull(context, layers, scaling._ONE, 6)


@pytest.mark.slow
def test_store_of_records_is_measured_as_it_fills(tmp_path):
    scaling, records = load("scaling"), load("records")
    with Registry() as registry, pytest.MonkeyPatch.context() as patch:
        patch.setattr(records, "_QUICK", (1, 3))
        server = load("peers").Server(pid=os.getpid(), port=registry.port)
        refs = [scaling._push_layers(server, "one-more", 1)]
        growths = records.measure(bare_context(tmp_path), refs)
    assert [growth.name.rpartition(".")[2] for growth in growths] == [
        *("create", "pull", "list", "gc")
    ]
    assert {tuple(p.size for p in growth.points) for growth in growths} == {(1, 3)}
