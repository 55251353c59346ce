"""refimpl/whitebox.py: parts of the reference, called from threads."""

from concurrent.futures import CancelledError
from functools import partial
from threading import Event, Thread
from typing import TYPE_CHECKING

import anyio
import pytest
from anyio.from_thread import start_blocking_portal

from refimpl import whitebox
from refimpl.errdefs import ErrNotFound, ErrUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable

DESC = {"mediaType": "a/b", "digest": "sha256:0", "size": 1, "annotations": {"a": "b"}}


class ErrSkipDesc(Exception):
    """Somebody else's, known by its name."""


@pytest.fixture(scope="module")
def portal():
    with start_blocking_portal() as portal:
        yield portal


def test_handler_gets_the_whole_descriptor(portal):
    seen = []
    portal.call(whitebox.walk, [lambda _, desc: seen.append(desc)], [DESC])
    assert seen == [DESC]


def test_signal_is_known_by_its_name(portal):
    def skip(_done, _desc):
        raise ErrSkipDesc

    portal.call(whitebox.dispatch, [skip], [DESC], None)


def test_error_passes_as_it_is(portal):
    error = ErrUnavailable("down")

    def fail(_done, _desc):
        raise error

    with pytest.raises(ErrUnavailable) as caught:
        portal.call(whitebox.dispatch, [fail], [DESC], 1)
    assert caught.value is error


def test_handler_that_begins_too_late_is_told_so(portal):
    """A free permit is granted to who is cancelled (semaphore.Weighted)."""
    told = []

    async def cancelled():
        with anyio.CancelScope() as scope:
            scope.cancel()
            await whitebox.dispatch([lambda d, _: told.append(d.is_set())], [DESC], 1)

    portal.call(cancelled)
    assert told == [True]


def test_cancelled_call_waits_for_its_handlers(portal):
    begun = Event()
    ended: list[bool] = []
    cancels: list[Callable[[], object]] = []

    def handler(done, _desc):
        begun.set()
        assert done.wait(10)
        ended.append(True)

    def cancel():
        assert begun.wait(10)
        cancels[0]()

    thread = Thread(target=cancel)
    run = partial(whitebox.dispatch, [handler], [DESC], None)

    def start(function):
        cancels.append(function)
        thread.start()

    with pytest.raises(CancelledError):
        whitebox.run_cancellable(portal, run, start)
    assert ended == [True]
    thread.join()


def test_store_is_open_until_it_is_closed(portal, tmp_path):
    store = whitebox.ContentStore(portal, str(tmp_path))
    writer = store.writer("ref", 0, "")
    assert writer.write(b"hello") == 5
    writer.commit(5, "", {"a": "b"})
    (info,) = store.walk(["labels.a==b"])
    assert info == store.info(info["digest"])
    assert info["size"] == 5
    with pytest.raises(ErrNotFound):
        store.status("ref")
    store.close()
    store.close()
