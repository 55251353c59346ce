"""The normal form of what a client keeps."""

import hashlib

import pytest

from conformance.contract import AdapterError
from conformance.stored import hash_file, parse_stored

DATA = b"some bytes"
DIGEST = f"sha256:{hashlib.sha256(DATA).hexdigest()}"


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "blob"
    path.write_bytes(DATA)
    return path


def blob(path, digest=DIGEST, **more):
    return {"digest": digest, "size": len(DATA), "path": str(path), **more}


def test_what_is_absent_cannot_be_told():
    stored = parse_stored({}, where="x")
    assert stored.images is None
    assert stored.content is None
    assert stored.ingests is None
    assert stored.leases is None
    assert stored.snapshots is None
    assert stored.corrupt() == ()
    assert not stored.has(DIGEST)
    assert stored.image("r/a:b") is None


def test_digests_are_computed_from_the_bytes(file):
    stored = parse_stored({"content": [blob(file, labels={"a": "b"})]}, where="x")
    assert stored.content is not None
    assert stored.content[DIGEST].actual == DIGEST
    assert stored.content[DIGEST].labels == {"a": "b"}
    assert stored.has(DIGEST)
    assert stored.intact(DIGEST)
    assert stored.corrupt() == ()


def test_wrong_bytes_are_corrupt(file):
    file.write_bytes(DATA + b"!")
    stored = parse_stored({"content": [blob(file)]}, where="x")
    assert [b.digest for b in stored.corrupt()] == [DIGEST]
    assert stored.has(DIGEST)
    assert not stored.intact(DIGEST)


@pytest.mark.parametrize("path", ["", "/nowhere/at-all"])
def test_bytes_that_nobody_shows_are_not_right(path):
    """An adapter's claim alone passes nothing."""
    stored = parse_stored({"content": [blob(path)]}, where="x")
    assert [b.actual for b in stored.corrupt()] == [None]


def test_other_algorithms(file):
    sha512 = f"sha512:{hashlib.sha512(DATA).hexdigest()}"
    assert hash_file(file, "sha512") == sha512
    assert hash_file(file, "md17") is None


def test_records():
    target = {"mediaType": "m", "digest": DIGEST, "size": 3}
    answer = {
        "images": [{"name": "r/a:b", "target": target, "labels": {"k": "v"}}],
        "ingests": [{"ref": "layer-x", "offset": 1, "total": 9}],
        "leases": [{"id": "l", "created": None, "labels": {}}],
        "snapshots": [{"key": "k", "parent": "p", "kind": "Committed"}],
    }
    stored = parse_stored(answer, where="x")
    image = stored.image("r/a:b")
    assert image is not None
    assert (image.target.digest, image.labels) == (DIGEST, {"k": "v"})
    assert stored.ingests is not None
    assert stored.ingests[0].offset == 1
    assert stored.leases is not None
    assert stored.leases[0].id == "l"
    assert stored.snapshots is not None
    assert stored.snapshots[0].parent == "p"


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        ([], "inspect must give an object"),
        ({"images": {}}, "images that is no list"),
        ({"images": ["a"]}, "an entry of images that is no object"),
        ({"images": [{"name": "a"}]}, "an entry of images without 'target'"),
        ({"images": [{"target": {"digest": "d"}}]}, "without 'name', a text"),
        ({"content": [{"digest": 1, "size": 1}]}, "without 'digest', a text"),
        ({"content": [{"digest": "d", "size": True}]}, "without 'size', a whole"),
        ({"leases": [{"id": "a", "labels": {"a": 1}}]}, "labels that are not texts"),
        ({"ingests": [{"ref": "a", "offset": "1"}]}, "without 'offset', a whole"),
    ],
)
def test_answers_against_the_contract(answer, text):
    with pytest.raises(AdapterError) as caught:
        parse_stored(answer, where="some client")
    assert str(caught.value).startswith("some client: ")
    assert text in str(caught.value)


@pytest.mark.parametrize(
    ("snapshots", "top"),
    [
        ([], None),
        ([("a", "", "Committed"), ("b", "a", "Committed")], "b"),
        ([("a", "", "Committed"), ("key", "a", "Active")], "a"),
        ([("a", "", ""), ("b", "a", "")], "b"),
        ([("a", "", "Committed"), ("b", "", "Committed")], None),
        ([("view", "", "View")], None),
    ],
)
def test_root_file_system_has_all_layers(snapshots, top):
    answer = [
        {"key": key, "parent": parent, "kind": kind, "path": f"/store/{key}"}
        for key, parent, kind in snapshots
    ]
    found = parse_stored({"snapshots": answer}, where="x").root_file_system()
    assert (found and found.key) == top
    assert (found and str(found.path)) == (top and f"/store/{top}")
    assert parse_stored({}, where="x").root_file_system() is None
