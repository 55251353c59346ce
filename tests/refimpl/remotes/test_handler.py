"""remotes/docker/handler.go: where content came from."""

import logging

import pytest

from refimpl.descriptor import Descriptor
from refimpl.digest import from_bytes
from refimpl.errdefs import ErrNotFound
from refimpl.reference import ErrHostnameRequired
from refimpl.remotes.docker import append_distribution_source_label
from refimpl.stores.memory import MemoryStore

pytestmark = pytest.mark.anyio

BLOB = Descriptor(digest=from_bytes(b""))
SOURCE = "containerd.io/distribution.source"


async def labels_after(*refs, initial=None):
    store = MemoryStore()
    store.put(BLOB.digest, b"", initial)
    for ref in refs:
        assert await append_distribution_source_label(store, ref)(BLOB) == ()
    return (await store.info(BLOB.digest)).labels


async def test_repositories_are_sorted_and_named_once():
    refs = ["r.io/c:1", "r.io/a/b", "r.io/a", "r.io/c@x", "r.io:443/B"]
    assert await labels_after(*refs) == {f"{SOURCE}.r.io": "B,a,a/b,c"}


async def test_what_was_there_is_put_in_order():
    initial = {f"{SOURCE}.r.io": "c,,a,c", "x": "y"}
    labels = await labels_after("r.io/b", initial=initial)
    assert labels == {f"{SOURCE}.r.io": "a,b,c", "x": "y"}


async def test_the_host_is_without_port_user_and_brackets():
    labels = await labels_after("u@R.io:5000/a", "[::1]:5000/b")
    assert labels == {f"{SOURCE}.R.io": "a", f"{SOURCE}.::1": "b"}


async def test_a_reference_without_a_repository_leaves_no_label():
    assert await labels_after("r.io") == {}


@pytest.mark.parametrize(("length", "kept"), [(4096, True), (4097, False)])
async def test_a_label_that_would_be_too_long_is_skipped(length, kept, caplog):
    repository = "x" * (length - len(f"{SOURCE}.r.io"))
    with caplog.at_level(logging.WARNING):
        labels = await labels_after(f"r.io/{repository}")
    assert bool(labels) == kept
    assert ("skip to append" in caplog.text) != kept


async def test_missing_content_is_an_error():
    handler = append_distribution_source_label(MemoryStore(), "r.io/a")
    with pytest.raises(ErrNotFound):
        await handler(BLOB)


async def test_a_bad_reference_is_refused_at_once():
    with pytest.raises(ErrHostnameRequired):
        append_distribution_source_label(MemoryStore(), "/a")
