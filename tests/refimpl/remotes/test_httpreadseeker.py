"""httpreadseeker.go: resuming."""

import pytest

from refimpl.errdefs import (
    ContainerdError,
    ErrInvalidArgument,
    ErrNotFound,
    ErrUnavailable,
    ErrUnexpectedEOF,
    message,
)
from refimpl.remotes.docker.httpreadseeker import HTTPReadSeeker

pytestmark = pytest.mark.anyio


class Script:
    """Gives one response for each opening: bytes, then an error or the end."""

    def __init__(self, *parts):
        self._parts = list(parts)
        self.offsets = []
        self.closed = 0

    async def open_at(self, offset):
        self.offsets.append(offset)
        part = self._parts.pop(0)
        if isinstance(part, Exception):
            raise part
        return ScriptedResponse(self, *part)


class ScriptedResponse:
    def __init__(self, script, data, error=None):
        self._script, self._data, self._error = script, data, error

    async def pump(self, sink):
        if self._data:
            sink(memoryview(self._data))
            self._data = b""
        if self._error:
            raise self._error

    def close(self):
        self._script.closed += 1


EOF = ErrUnexpectedEOF("cut")


async def read(reader):
    out = bytearray()

    def sink(view):
        out.extend(view)
        return len(view)

    return await reader.write_to(sink), bytes(out)


async def test_nothing_is_asked_for_before_it_is_needed():
    script = Script((b"hello",))
    reader = HTTPReadSeeker(5, script.open_at)
    await reader.seek(0)
    assert script.offsets == []
    assert await read(reader) == (5, b"hello")
    assert await read(reader) == (0, b"")
    await reader.aclose()
    await reader.aclose()
    assert (script.offsets, script.closed) == ([0], 1)


async def test_seeking_asks_from_there():
    script = Script((b"abc",), (b"lo",))
    reader = HTTPReadSeeker(5, script.open_at)
    await reader.seek(2)
    await read(reader)
    await reader.seek(3)
    assert await read(reader) == (2, b"lo")
    assert (script.offsets, script.closed) == ([2, 3], 1)


async def test_nothing_is_asked_for_at_the_end():
    script = Script()
    reader = HTTPReadSeeker(5, script.open_at)
    await reader.seek(5)
    assert await read(reader) == (0, b"")
    assert script.offsets == []


async def test_a_body_of_unknown_size_is_always_asked_for():
    script = Script((b"hello",))
    reader = HTTPReadSeeker(-1, script.open_at)
    assert await read(reader) == (5, b"hello")


async def test_a_body_that_breaks_off_is_resumed():
    script = Script((b"he", EOF), (b"l", EOF), (b"lo",))
    assert await read(HTTPReadSeeker(5, script.open_at)) == (5, b"hello")
    assert (script.offsets, script.closed) == ([0, 2, 3], 2)


async def test_four_openings_without_progress_are_enough():
    """httpreadseeker.go:29, maxRetry."""
    script = Script(*[(b"", EOF)] * 9)
    with pytest.raises(ErrUnexpectedEOF):
        await read(HTTPReadSeeker(5, script.open_at))
    assert (script.offsets, script.closed) == ([0] * 4, 4)


async def test_progress_starts_the_count_again():
    """The break after some progress is the first at its offset."""
    nothing = (b"", EOF)
    script = Script(*[nothing] * 3, (b"h", EOF), *[nothing] * 2, (b"ello",))
    assert await read(HTTPReadSeeker(5, script.open_at)) == (5, b"hello")
    assert script.offsets == [0, 0, 0, 0, 1, 1, 1]


async def test_three_openings_after_some_progress_are_enough():
    """As measured with containerd 1.6.20, whose reader is the same."""
    nothing = (b"", EOF)
    script = Script(*[nothing] * 3, (b"h", EOF), *[nothing] * 9)
    with pytest.raises(ErrUnexpectedEOF):
        await read(HTTPReadSeeker(5, script.open_at))
    assert script.offsets == [0, 0, 0, 0, 1, 1, 1]


async def test_a_body_complete_but_for_its_end_is_complete():
    script = Script((b"hello", EOF))
    assert await read(HTTPReadSeeker(5, script.open_at)) == (5, b"hello")


async def test_failing_to_open_is_said():
    reader = HTTPReadSeeker(5, Script(ErrNotFound("x")).open_at)
    with pytest.raises(ErrNotFound) as info:
        await read(reader)
    assert message(info.value) == "httpReadSeeker: failed open: x: not found"


async def test_failing_to_open_again_leaves_the_first_error():
    """httpreadseeker.go:82: why it could not be resumed is the cause."""
    script = Script((b"he", EOF), ErrNotFound("x"))
    with pytest.raises(ErrUnexpectedEOF) as info:
        await read(HTTPReadSeeker(5, script.open_at))
    assert isinstance(info.value.__cause__, ErrNotFound)


async def test_other_errors_are_not_resumed():
    script = Script((b"he", ContainerdError("silent")), (b"llo",))
    with pytest.raises(ContainerdError, match="silent"):
        await read(HTTPReadSeeker(5, script.open_at))
    assert script.offsets == [0]


async def test_a_closed_reader_moves_nothing():
    script = Script((b"hello",))
    reader = HTTPReadSeeker(5, script.open_at)
    await reader.aclose()
    assert await read(reader) == (0, b"")
    with pytest.raises(ErrUnavailable, match=r"Fetcher\.Seek: closed"):
        await reader.seek(1)


async def test_offsets_are_not_negative():
    with pytest.raises(ErrInvalidArgument, match=r"Fetcher\.Seek: negative offset"):
        await HTTPReadSeeker(5, Script().open_at).seek(-1)
