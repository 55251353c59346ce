"""What the commands print of secrets, errors and snapshots."""

import json
from pathlib import Path

import pytest

from fakeregistry import BasicAuth
from fakeregistry.layers import files_layer


@pytest.mark.parametrize("user", ["jane:hunter2", ":hunter2"])
def test_a_password_is_never_shown(registry_factory, refpull, user):
    registry = registry_factory(BasicAuth("jane", "other"))
    image = registry.publish("hello:1")
    for options in ((), ("--json",)):
        status, out, err = refpull(
            "pull", registry.ref(image), "--user", user, *options
        )
        assert status == 1
        assert "hunter2" not in out.decode() + err


def test_what_a_registry_writes_cannot_steer_the_terminal(registry, refpull):
    error = '{"errors": [{"code": "DENIED", "message": "\\u001b[2J\\u009b31m\\nx"}]}'
    registry.fault(
        status=403,
        body=error.encode(),
        headers={"Content-Type": "application/json"},
    )
    status, _, err = refpull("pull", f"{registry.host}/he\x1b]0;x\x07llo:1")
    assert status == 1
    assert err[:-1].isprintable()
    status, _, err = refpull("pull", f"{registry.host}/hello:1")
    assert status == 1
    assert err[:-1].isprintable()


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        ("pull alpine", "ErrInvalidArgument"),
        ("images rm nobody", "ErrNotFound"),
        ("snapshots mount-path x", "ErrNotFound"),
    ],
)
def test_a_failure_is_an_object_with_json(refpull, words, kind):
    status, out, err = refpull(*words.split(), "--json")
    error = json.loads(out)["error"]
    assert status == 1
    assert error.keys() == {"class", "message"}
    assert error["class"] == kind
    assert err == f"refpull: {error['message']}\n"


def test_an_image_is_unpacked_into_snapshots(registry, refpull, as_json):
    image = registry.publish(
        "hello:1",
        layers=[files_layer({"a": b"1", "b": b"1"}), files_layer({"a": b"2"})],
    )
    status, _, err = refpull("pull", registry.ref(image), "--unpack")
    assert (status, err) == (0, "")
    snapshots = as_json("snapshots", "ls")
    base, top = sorted(snapshots, key=lambda snapshot: snapshot["parent"])
    assert base["parent"] == ""
    assert (top["parent"], top["kind"]) == (base["key"], "Committed")
    assert top["labels"] == {"containerd.io/snapshot.ref": top["key"]}
    rows = refpull("snapshots", "ls")[1].decode().splitlines()
    assert f"{top['key']}\t{base['key']}\tCommitted" in rows

    path = as_json("snapshots", "mount-path", top["key"])
    assert path["key"] == top["key"]
    assert refpull("snapshots", "mount-path", top["key"])[1].decode() == (
        f"{path['path']}\n"
    )
    files = {file.name: file.read_bytes() for file in Path(path["path"]).iterdir()}
    assert files == {"a": b"2", "b": b"1"}


def test_a_removed_image_takes_its_snapshots_along(root, registry, refpull, as_json):
    image = registry.publish("hello:1", layers=2)
    ref = registry.ref(image)
    refpull("pull", ref, "--unpack", "--snapshotter", "native")
    refpull("gc")
    folder = root / "snapshots" / "native" / "snapshots"
    assert len(list(folder.iterdir())) == 2
    refpull("images", "rm", ref)
    refpull("gc")
    assert list(folder.iterdir()) == []
    assert as_json("snapshots", "ls") == []
