"""The stores do what a dict would do, in any order of calls."""

import asyncio
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    rule,
)

from refimpl.descriptor import Descriptor
from refimpl.digest import from_bytes
from refimpl.errdefs import ErrAlreadyExists, ErrFailedPrecondition, ErrNotFound
from refimpl.images.image import Image
from refimpl.stores.content import Info, read_blob, write_blob
from refimpl.stores.leases import with_lease
from refimpl.stores.metadata import DB
from refimpl.workers import run_blocking

BLOBS = [b"", b"a", b"bb" * 50_000]
NAMES = st.sampled_from(["a", "b"])
LABELS = st.dictionaries(st.sampled_from("xyz"), st.sampled_from(["", "1", "2"]))
DATA = st.sampled_from(BLOBS)


def kept(labels):
    return {key: value for key, value in labels.items() if value}


class StoreMachine(RuleBasedStateMachine):
    """A store of its own for every run; every rule checks one call's outcome."""

    def __init__(self):
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.runner = asyncio.Runner()
        self.db = self.runner.run(DB.open(Path(self.folder.name)))

    def teardown(self):
        self.runner.run(self.db.aclose())
        self.runner.close()
        self.folder.cleanup()

    def fails(self, kind, call):
        try:
            self.runner.run(call)
        except kind:
            return
        raise AssertionError(kind)

    @rule()
    def reopen(self):
        self.runner.run(self.db.aclose())
        self.db = self.runner.run(DB.open(Path(self.folder.name)))


class ImageMachine(StoreMachine):
    def __init__(self):
        super().__init__()
        self.model = {}

    @property
    def images(self):
        return self.db.image_store("ns")

    def image(self, name, labels, size):
        target = Descriptor(media_type="m", digest=from_bytes(b"x"), size=size)
        return Image(name=name, target=target, labels=labels)

    @rule(name=NAMES, labels=LABELS, size=st.integers(1, 3))
    def create(self, name, labels, size):
        call = self.images.create(self.image(name, labels, size))
        if name in self.model:
            return self.fails(ErrAlreadyExists, call)
        self.runner.run(call)
        self.model[name] = (kept(labels), size)
        return None

    @rule(name=NAMES, labels=LABELS, size=st.integers(1, 3))
    def replace(self, name, labels, size):
        call = self.images.update(self.image(name, labels, size))
        if name not in self.model:
            return self.fails(ErrNotFound, call)
        self.runner.run(call)
        self.model[name] = (kept(labels), size)
        return None

    @rule(name=NAMES, labels=LABELS, key=st.sampled_from("xyz"))
    def update_label(self, name, labels, key):
        call = self.images.update(self.image(name, labels, 9), f"labels.{key}")
        if name not in self.model:
            return self.fails(ErrNotFound, call)
        self.runner.run(call)
        old, size = self.model[name]
        self.model[name] = (kept({**old, key: labels.get(key, "")}), size)
        return None

    @rule(name=NAMES)
    def delete(self, name):
        call = self.images.delete(name)
        if self.model.pop(name, None) is None:
            return self.fails(ErrNotFound, call)
        return self.runner.run(call)

    @invariant()
    def same(self):
        images = self.runner.run(self.images.list())
        found = {i.name: (dict(i.labels), i.target.size) for i in images}
        assert found == self.model


class ContentMachine(StoreMachine):
    def __init__(self):
        super().__init__()
        self.blobs = {}
        self.ingests = {}
        self.leased = set()
        self.runner.run(self.db.lease_manager("ns").create(id="l"))

    @property
    def store(self):
        return self.db.content_store("ns")

    async def in_lease(self, call, *args, **kwargs):
        with with_lease("l"):
            return await call(*args, **kwargs)

    @rule(data=DATA, labels=LABELS, leased=st.booleans())
    def write(self, data, labels, leased):
        desc = Descriptor(digest=from_bytes(data), size=len(data))
        args = (self.store, f"good-{desc.digest}", data, desc)
        if leased:
            self.runner.run(self.in_lease(write_blob, *args, labels=labels))
            self.leased.add(desc.digest)
        else:
            self.runner.run(write_blob(*args, labels=labels))
        self.blobs.setdefault(desc.digest, (data, kept(labels)))

    @rule(data=DATA, ref=NAMES)
    def write_wrongly(self, data, ref):
        desc = Descriptor(digest=from_bytes(b"other"), size=max(len(data), 1))
        call = write_blob(self.store, ref, data, desc)
        self.fails(ErrFailedPrecondition, call)
        self.ingests[ref] = self.runner.run(self.store.status(ref)).offset

    @rule(ref=NAMES)
    def abort(self, ref):
        call = self.store.abort(ref)
        if self.ingests.pop(ref, None) is None:
            return self.fails(ErrNotFound, call)
        return self.runner.run(call)

    @rule(ref=NAMES, data=st.sampled_from([b"part", b"p" * 70_000]))
    def write_more(self, ref, data):
        async def append():
            async with await self.store.writer(ref=ref) as writer:
                await run_blocking(writer.write, data)

        self.runner.run(append())
        self.ingests[ref] = self.ingests.get(ref, 0) + len(data)

    @rule(data=DATA, labels=LABELS, key=st.sampled_from("xyz"))
    def label(self, data, labels, key):
        digest = from_bytes(data)
        if digest not in self.blobs:
            return self.fails(ErrNotFound, self.store.info(digest))
        info = self.runner.run(self.store.info(digest))
        wanted = Info(
            digest=digest,
            size=0,
            created_at=info.created_at,
            updated_at=info.updated_at,
            labels=labels,
        )
        self.runner.run(self.store.update(wanted, f"labels.{key}"))
        old = self.blobs[digest][1]
        self.blobs[digest] = (data, kept({**old, key: labels.get(key, "")}))
        return None

    @rule(data=DATA)
    def delete(self, data):
        digest = from_bytes(data)
        call = self.store.delete(digest)
        if self.blobs.pop(digest, None) is None:
            return self.fails(ErrNotFound, call)
        return self.runner.run(call)

    @rule()
    def collect(self):
        self.runner.run(self.db.garbage_collect())
        self.blobs = {k: v for k, v in self.blobs.items() if k in self.leased}

    @invariant()
    def same(self):
        infos = self.runner.run(self.store.walk())
        assert {i.digest: dict(i.labels) for i in infos} == {
            digest: labels for digest, (_, labels) in self.blobs.items()
        }
        statuses = self.runner.run(self.store.list_statuses())
        assert {s.ref: s.offset for s in statuses} == self.ingests
        for digest, (data, _) in self.blobs.items():
            blob = self.runner.run(read_blob(self.store, Descriptor(digest=digest)))
            assert blob == data


SMALL = settings(max_examples=8, stateful_step_count=12, deadline=None)
ImageMachine.TestCase.settings = SMALL
ContentMachine.TestCase.settings = SMALL
TestImages = pytest.mark.slow(ImageMachine.TestCase)
TestContent = pytest.mark.slow(ContentMachine.TestCase)
