"""metadata/snapshot.go: names, labels, parents and leases over a backend."""

from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest

from refimpl.errdefs import (
    ErrAlreadyExists,
    ErrFailedPrecondition,
    ErrInvalidArgument,
    ErrNotFound,
    ErrUnknown,
    message,
)
from refimpl.snapshots import (
    SNAPSHOT_REF_LABEL,
    Info,
    Kind,
    Mount,
    Usage,
    filter_inherited_labels,
    unpack_key,
)
from refimpl.stores.leases import Resource, with_lease

pytestmark = pytest.mark.anyio

INHERITED = "containerd.io/snapshot/x"


@pytest.fixture
def snapshotter(db):
    return db.snapshotter("default", "native")


async def committed(snapshotter, name, parent="", files=None, labels=None):
    """Make a committed snapshot with some files."""
    (mount,) = await snapshotter.prepare(f"key of {name}", parent)
    for path, text in (files or {}).items():
        (mount.source / path).write_text(text)
    await snapshotter.commit(name, f"key of {name}", labels=labels)


async def names(snapshotter):
    return [info.name for info in await snapshotter.walk()]


def test_keys_and_labels():
    """snapshots/snapshotter.go:30, :352."""
    assert unpack_key("1-abcd", "sha256:aa") == "extract-1-abcd sha256:aa"
    assert filter_inherited_labels(None) == {}
    labels = {SNAPSHOT_REF_LABEL: "a", INHERITED: "b", "containerd.io/snapshotx": "c"}
    assert filter_inherited_labels(labels) == {SNAPSHOT_REF_LABEL: "a", INHERITED: "b"}
    assert [str(kind) for kind in Kind] == ["Unknown", "View", "Active", "Committed"]


async def test_a_chain_of_snapshots(snapshotter):
    await committed(snapshotter, "base", files={"a": "1", "b": "1"})
    await committed(snapshotter, "top", "base", files={"a": "2"}, labels={"k": "v"})
    info = await snapshotter.stat("top")
    assert replace(info, created_at=info.updated_at) == Info(
        name="top",
        kind=Kind.COMMITTED,
        parent="base",
        labels={"k": "v"},
        created_at=info.updated_at,
        updated_at=info.updated_at,
    )
    assert await names(snapshotter) == ["base", "top"]
    root = await snapshotter.root("top")
    assert {path.name: path.read_text() for path in root.iterdir()} == {
        "a": "2",
        "b": "1",
    }
    assert ((await snapshotter.root("base")) / "a").read_text() == "1"


async def test_mounts_are_bind_mounts(snapshotter):
    """snapshots/native/native_default.go."""
    mounts = await snapshotter.prepare("active", "")
    assert await snapshotter.mounts("active") == mounts
    source = await snapshotter.root("active")
    assert mounts == (Mount(type="bind", source=source, options=("rbind", "rw")),)
    assert source.is_dir()
    assert source.stat().st_mode & 0o777 == 0o755


async def test_a_view_shows_its_parent(snapshotter):
    await committed(snapshotter, "base", files={"a": "1"})
    (mount,) = await snapshotter.view("view", "base")
    assert mount.options == ("rbind", "ro")
    assert mount.source == await snapshotter.root("base")
    (empty,) = await snapshotter.view("empty", "")
    assert list(empty.source.iterdir()) == []
    assert (await snapshotter.stat("view")).kind is Kind.VIEW
    assert await snapshotter.usage("view") == Usage()
    with pytest.raises(ErrFailedPrecondition, match='"default/3/view" is not active'):
        await snapshotter.commit("x", "view")
    assert (await snapshotter.stat("view")).kind is Kind.VIEW


async def test_a_committed_snapshot_has_no_mounts(snapshotter):
    await committed(snapshotter, "base")
    with pytest.raises(ErrFailedPrecondition) as caught:
        await snapshotter.mounts("base")
    assert message(caught.value) == (
        "failed to get snapshot mount: requested snapshot default/2/base not active "
        "or view: failed precondition"
    )


async def test_only_committed_snapshots_are_parents(snapshotter):
    await snapshotter.prepare("active", "")
    with pytest.raises(ErrInvalidArgument, match="is not committed snapshot"):
        await snapshotter.prepare("top", "active")
    with pytest.raises(ErrNotFound, match="parent snapshot gone does not exist"):
        await snapshotter.view("top", "gone")
    await committed(snapshotter, "base")
    with pytest.raises(ErrFailedPrecondition, match="is not active"):
        await snapshotter.commit("again", "base")
    assert await names(snapshotter) == ["active", "base"]


async def test_names_are_taken_once(snapshotter):
    await committed(snapshotter, "base")
    await snapshotter.prepare("active", "base")
    with pytest.raises(ErrAlreadyExists, match='snapshot "active"'):
        await snapshotter.prepare("active", "")
    with pytest.raises(ErrAlreadyExists, match='snapshot "base"'):
        await snapshotter.commit("base", "active")
    with pytest.raises(ErrNotFound, match="snapshot gone does not exist"):
        await snapshotter.commit("other", "gone")
    assert (await snapshotter.stat("active")).kind is Kind.ACTIVE


@pytest.mark.parametrize("call", ["stat", "usage", "mounts", "root", "remove"])
async def test_what_is_not_there(snapshotter, call):
    with pytest.raises(ErrNotFound, match="snapshot gone does not exist"):
        await getattr(snapshotter, call)("gone")


async def test_a_parent_cannot_be_removed(snapshotter):
    await committed(snapshotter, "base")
    await snapshotter.prepare("active", "base")
    with pytest.raises(ErrFailedPrecondition, match="cannot remove snapshot with"):
        await snapshotter.remove("base")
    await snapshotter.remove("active")
    await snapshotter.remove("base")
    assert await names(snapshotter) == []


async def test_usage_of_what_is_written_and_of_what_is_committed(snapshotter):
    (mount,) = await snapshotter.prepare("active", "")
    (mount.source / "file").write_bytes(b"x" * 100_000)
    active = await snapshotter.usage("active")
    assert active.inodes == 2
    assert active.size >= 100_000
    await snapshotter.commit("base", "active")
    (mount.source / "more").write_bytes(b"")
    assert await snapshotter.usage("base") == active


async def test_labels_are_changed(snapshotter):
    """metadata/snapshot.go:142: only some labels are the backend's, too."""
    labels = {"a": "1", "b": "2", INHERITED: "3"}
    await committed(snapshotter, "base", labels=labels)
    before = await snapshotter.stat("base")
    wanted = Info(name="base", labels={"a": "9", "c": "8"})
    after = await snapshotter.update(wanted, "labels.a", "labels.b")
    assert after.labels == {"a": "9", INHERITED: "3"}
    assert after.updated_at > before.updated_at
    assert after.created_at == before.created_at
    after = await snapshotter.update(Info(name="base", labels={INHERITED: "4"}))
    assert after.labels == {INHERITED: "4"}
    assert after == await snapshotter.stat("base")
    with pytest.raises(ErrInvalidArgument, match='cannot update "parent" field on'):
        await snapshotter.update(wanted, "parent")
    with pytest.raises(ErrInvalidArgument):
        await snapshotter.update(Info(name=""))
    with pytest.raises(ErrNotFound, match="snapshot gone does not exist"):
        await snapshotter.update(Info(name="gone"))


async def test_labels_have_a_limit(snapshotter):
    long = {"key": "x" * 4096}
    calls = (
        lambda: snapshotter.prepare("active", "", labels=long),
        lambda: snapshotter.commit("base", "active", labels=long),
        lambda: snapshotter.update(Info(name="active", labels=long)),
    )
    await snapshotter.prepare("active", "")
    for call in calls:
        with pytest.raises(ErrInvalidArgument) as caught:
            await call()
        assert message(caught.value).startswith("info.Labels: label key and value")


async def test_walk_filters(snapshotter):
    await committed(snapshotter, "base", labels={"a": "1"})
    await snapshotter.prepare("active", "base")
    await snapshotter.view("view", "base")

    async def found(*filters):
        return [info.name for info in await snapshotter.walk(*filters)]

    assert await found("kind==committed") == ["base"]
    assert await found("kind==active", "kind==view") == ["active", "view"]
    assert await found("parent==base,name==view") == ["view"]
    assert await found("labels.a==1") == ["base"]
    assert await found("other==1") == []
    with pytest.raises(ErrInvalidArgument):
        await found("name==")


async def test_namespaces_have_their_own_names(db, snapshotter):
    other = db.snapshotter("other", "native")
    await committed(snapshotter, "base", files={"a": "ours"})
    await committed(other, "base", files={"a": "theirs"})
    assert ((await snapshotter.root("base")) / "a").read_text() == "ours"
    await other.remove("base")
    assert await names(snapshotter) == ["base"]
    with pytest.raises(ErrNotFound, match="snapshotter overlayfs was not found"):
        db.snapshotter("default", "overlayfs")
    with pytest.raises(ErrInvalidArgument):
        db.snapshotter("../x", "native")


async def test_a_target_that_exists_need_not_be_prepared(snapshotter):
    """metadata/snapshot.go:313."""
    await committed(snapshotter, "base")
    with pytest.raises(ErrAlreadyExists, match='target snapshot "base"'):
        await snapshotter.prepare("active", "", labels={SNAPSHOT_REF_LABEL: "base"})
    await snapshotter.prepare("active", "", labels={SNAPSHOT_REF_LABEL: "other"})
    info = await snapshotter.stat("active")
    assert info.labels == {SNAPSHOT_REF_LABEL: "other"}


async def test_leases_keep_what_is_made(db, snapshotter):
    """metadata/leases.go:330: an active snapshot, then the committed one instead."""
    manager = db.lease_manager("default")
    lease = await manager.create()
    with with_lease(lease.id):
        await snapshotter.prepare("active", "")
        assert await manager.list_resources(lease) == (
            Resource(type="snapshots/native", id="active"),
        )
        await snapshotter.commit("base", "active")
        await snapshotter.prepare("gone", "base")
        await snapshotter.remove("gone")
    assert await manager.list_resources(lease) == (
        Resource(type="snapshots/native", id="base"),
    )
    with with_lease("no such lease"), pytest.raises(ErrNotFound, match="lease does"):
        await snapshotter.prepare("active", "")
    assert await names(snapshotter) == ["base"]


class Remote:
    """A backend that has snapshots without being asked, as stargz has."""

    def __init__(self, *has):
        self.has = list(has)
        self.made = []

    def staged(self, _tx, _kind, _parent):
        return nullcontext()

    def create(self, _tx, _staged, info):
        if not self.made:
            self.made.append(info)
            raise ErrAlreadyExists("snapshot")
        raise AssertionError("made again")

    def stat(self, _tx, name):
        return next(info for info in self.has if info.name == name)

    def walk(self, _tx):
        return tuple(self.has)


def remote(db, *has):
    backend = Remote(*has)
    db.register_snapshotter("remote", backend)
    return db.snapshotter("default", "remote")


TARGET = Info(
    name="theirs",
    kind=Kind.COMMITTED,
    labels={SNAPSHOT_REF_LABEL: "top", INHERITED: "theirs", "a": "1"},
)


async def test_a_target_that_the_backend_has_is_adopted(db):
    """metadata/snapshot.go:361."""
    others = (
        replace(TARGET, name="active", kind=Kind.ACTIVE),
        replace(TARGET, name="elsewhere", parent="x"),
        replace(TARGET, name="another", labels={SNAPSHOT_REF_LABEL: "base"}),
    )
    snapshotter = remote(db, *others, TARGET)
    lease = await db.lease_manager("default").create()
    labels = {SNAPSHOT_REF_LABEL: "top", INHERITED: "ours"}
    with with_lease(lease.id), pytest.raises(ErrAlreadyExists) as caught:
        await snapshotter.prepare("active", "", labels=labels)
    assert message(caught.value) == (
        'target snapshot "top" from snapshotter: already exists'
    )
    assert await names(snapshotter) == ["top"]
    info = await snapshotter.stat("top")
    assert info.kind is Kind.COMMITTED
    assert info.labels == {SNAPSHOT_REF_LABEL: "top", INHERITED: "ours", "a": "1"}
    assert await db.lease_manager("default").list_resources(lease) == (
        Resource(type="snapshots/remote", id="top"),
    )


async def test_a_target_that_the_backend_claims_and_lacks(db):
    snapshotter = remote(db, replace(TARGET, parent="x"))
    with pytest.raises(ErrNotFound, match='target snapshot "top" in backend'):
        await snapshotter.prepare("a", "", labels={SNAPSHOT_REF_LABEL: "top"})
    assert await names(snapshotter) == []


async def test_a_key_that_only_the_backend_has(db):
    """metadata/snapshot.go:400: callers would think that the key is theirs."""
    snapshotter = remote(db)
    with pytest.raises(ErrUnknown) as caught:
        await snapshotter.prepare("a", "")
    assert message(caught.value) == (
        "unexpected error from snapshotter: snapshot: already exists: unknown"
    )


async def test_what_the_backend_has_lost_is_not_listed(db):
    snapshotter = remote(db, TARGET)
    with pytest.raises(ErrAlreadyExists):
        await snapshotter.prepare("a", "", labels={SNAPSHOT_REF_LABEL: "top"})
    db._snapshotters["remote"].has.clear()
    assert await names(snapshotter) == []


async def test_a_parent_that_changes_meanwhile(db, snapshotter, monkeypatch):
    """It was copied before the transaction: what was copied is not it."""
    await committed(snapshotter, "base")
    backend = db._snapshotters["native"]
    staged = backend.staged

    def replaced(tx, kind, parent):
        plan = staged(tx, kind, parent)
        if parent:
            tx.execute("UPDATE snapshots SET backend_key = 'default/9/new'")
            tx.execute("UPDATE native_snapshots SET name = 'default/9/new'")
        return plan

    monkeypatch.setattr(backend, "staged", replaced)
    with pytest.raises(ErrNotFound, match="parent snapshot base does not exist"):
        await snapshotter.prepare("active", "base")
    assert await names(snapshotter) == ["base"]


def folders(db):
    root = Path(db.root) / "snapshots" / "native" / "snapshots"
    return sorted(path.name for path in root.iterdir())


async def test_a_failed_copy_leaves_nothing(db, snapshotter, monkeypatch):
    await committed(snapshotter, "base", files={"a": "1"})

    def broken(_target, _source):
        raise OSError("disk full")

    monkeypatch.setattr("refimpl.snapshots.native.copy_dir", broken)
    with pytest.raises(OSError, match="disk full") as caught:
        await snapshotter.prepare("active", "base")
    assert message(caught.value) == "copying of parent failed: disk full"
    assert folders(db) == ["1"]
