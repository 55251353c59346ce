"""The snapshotter does what a dict of dicts would do, in any order of calls."""

import asyncio
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from refimpl.errdefs import (
    ContainerdError,
    ErrAlreadyExists,
    ErrFailedPrecondition,
    ErrInvalidArgument,
    ErrNotFound,
)
from refimpl.snapshots import Info, Kind
from refimpl.stores.leases import Resource, with_lease
from refimpl.stores.metadata import DB

KEYS = st.sampled_from(["a", "b", "c", "d"])
PARENTS = st.sampled_from(["", "a", "b", "c", "gone"])
LABELS = st.dictionaries(st.sampled_from("xy"), st.sampled_from(["", "1"]))


@dataclass
class Snapshot:
    """What the model keeps of one."""

    kind: Kind
    parent: str
    labels: dict[str, str]
    files: dict[str, str] = field(default_factory=dict)


def kept(labels):
    return {key: value for key, value in labels.items() if value}


class SnapshotMachine(RuleBasedStateMachine):
    """A store of its own for every run; every rule checks one call's outcome."""

    def __init__(self):
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.runner = asyncio.Runner()
        self.db = self.runner.run(DB.open(Path(self.folder.name)))
        self.model = {}
        self.leased = set()
        manager = self.db.lease_manager("ns")
        self.lease = self.runner.run(manager.create(id="l"))

    def teardown(self):
        self.runner.run(self.db.aclose())
        self.runner.close()
        self.folder.cleanup()

    @property
    def snapshotter(self):
        return self.db.snapshotter("ns", "native")

    def call(self, call, expected):
        """Run a call, and return whether it worked as the model says it does."""
        raised = None
        try:
            self.runner.run(call)
        except ContainerdError as err:
            raised = err
        assert (raised and type(raised)) is expected, raised
        return raised is None

    async def in_lease(self, call, leased):
        if not leased:
            return await call
        with with_lease("l"):
            return await call

    def why_not_made(self, key, parent):
        if key in self.model:
            return ErrAlreadyExists
        if not parent:
            return None
        if parent not in self.model:
            return ErrNotFound
        is_parent = self.model[parent].kind is Kind.COMMITTED
        return None if is_parent else ErrInvalidArgument

    @rule(
        key=KEYS,
        parent=PARENTS,
        labels=LABELS,
        view=st.booleans(),
        leased=st.booleans(),
    )
    def make(self, key, parent, labels, view, leased):
        method = self.snapshotter.view if view else self.snapshotter.prepare
        call = self.in_lease(method(key, parent, labels=labels), leased)
        if self.call(call, self.why_not_made(key, parent)):
            kind = Kind.VIEW if view else Kind.ACTIVE
            files = dict(self.model[parent].files) if parent else {}
            self.model[key] = Snapshot(kind, parent, kept(labels), files)
            if leased:
                self.leased.add(key)

    @rule(key=KEYS, name=st.sampled_from(["f", "g"]), text=st.sampled_from("123"))
    def write(self, key, name, text):
        if key in self.model and self.model[key].kind is Kind.ACTIVE:
            (mount,) = self.runner.run(self.snapshotter.mounts(key))
            (mount.source / name).write_text(text)
            self.model[key].files[name] = text

    def why_not_committed(self, name, key):
        if name in self.model:
            return ErrAlreadyExists
        if key not in self.model:
            return ErrNotFound
        is_active = self.model[key].kind is Kind.ACTIVE
        return None if is_active else ErrFailedPrecondition

    @rule(name=KEYS, key=KEYS, labels=LABELS, leased=st.booleans())
    def commit(self, name, key, labels, leased):
        call = self.in_lease(self.snapshotter.commit(name, key, labels=labels), leased)
        if self.call(call, self.why_not_committed(name, key)):
            old = self.model.pop(key)
            self.model[name] = Snapshot(
                Kind.COMMITTED, old.parent, kept(labels), old.files
            )
            if leased:
                self.leased.add(name)
                self.leased.discard(key)

    def why_not_removed(self, key):
        if key not in self.model:
            return ErrNotFound
        has_child = any(other.parent == key for other in self.model.values())
        return ErrFailedPrecondition if has_child else None

    @rule(key=KEYS)
    def remove(self, key):
        if self.call(self.snapshotter.remove(key), self.why_not_removed(key)):
            del self.model[key]

    @rule(key=KEYS, labels=LABELS)
    def label(self, key, labels):
        expected = None if key in self.model else ErrNotFound
        call = self.snapshotter.update(Info(name=key, labels=labels), "labels.x")
        if self.call(call, expected):
            old = self.model[key].labels
            self.model[key].labels = kept({**old, "x": labels.get("x", "")})

    @rule(key=KEYS)
    def unlease(self, key):
        resource = Resource(type="snapshots/native", id=key)
        manager = self.db.lease_manager("ns")
        self.runner.run(manager.delete_resource(self.lease, resource))
        self.leased.discard(key)

    @rule()
    def collect(self):
        self.runner.run(self.db.garbage_collect())
        needed, grays = set(), list(self.leased)
        while grays:
            key = grays.pop()
            if key in self.model and key not in needed:
                needed.add(key)
                grays.append(self.model[key].parent)
        self.model = {key: self.model[key] for key in needed}
        folder = Path(self.folder.name) / "snapshots" / "native" / "snapshots"
        with_folder = [
            snapshot
            for snapshot in self.model.values()
            if snapshot.kind is not Kind.VIEW or not snapshot.parent
        ]
        assert len(list(folder.iterdir())) == len(with_folder)

    @rule()
    def reopen(self):
        self.runner.run(self.db.aclose())
        self.db = self.runner.run(DB.open(Path(self.folder.name)))

    @invariant()
    def same(self):
        infos = self.runner.run(self.snapshotter.walk())
        assert {i.name: (i.kind, i.parent, dict(i.labels)) for i in infos} == {
            key: (snapshot.kind, snapshot.parent, snapshot.labels)
            for key, snapshot in self.model.items()
        }
        for key, snapshot in self.model.items():
            root = self.runner.run(self.snapshotter.root(key))
            files = {path.name: path.read_text() for path in root.iterdir()}
            assert files == snapshot.files


SnapshotMachine.TestCase.settings = settings(
    max_examples=12, stateful_step_count=20, deadline=None
)
TestSnapshots = pytest.mark.slow(SnapshotMachine.TestCase)
