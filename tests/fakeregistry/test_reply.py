"""Framing follows RFC 9112 section 6; lies are told only when asked for."""

import threading

import pytest
from werkzeug.datastructures import Headers

from fakeregistry.reply import Reply


def sent(reply, **options):
    return b"".join(data for data, _ in reply.pieces(**options))


def payload(reply):
    return sum(size for _, size in reply.pieces())


def test_a_plain_reply_has_its_length():
    reply = Reply(200, Headers({"ETag": '"x"'}), b"hello", 5)
    assert reply.plain
    assert reply.head() == (
        b'HTTP/1.1 200 OK\r\nETag: "x"\r\nContent-Length: 5\r\n\r\n'
    )
    assert sent(reply) == b"hello"
    assert reply.outcome(5) == "complete"


def test_head_only_keeps_the_head_and_drops_the_body():
    reply = Reply(200, Headers(), b"hello", 5)
    assert reply.head(head_only=True) == reply.head()
    assert sent(reply, head_only=True) == b""
    assert reply.outcome(0, head_only=True) == "complete"


def test_unknown_length_is_chunked():
    """RFC 9112 section 7.1."""
    reply = Reply(body=iter([b"ab", b"c" * 17]), length=None)
    assert ("Transfer-Encoding", "chunked") in reply.wire_headers()
    assert sent(reply) == b"2\r\nab\r\n11\r\n" + b"c" * 17 + b"\r\n0\r\n\r\n"
    assert not reply.must_close()


def test_chunk_size_and_extension():
    reply = Reply(body=b"abcde", length=5, chunked=True, chunk_size=2)
    reply.chunk_extension = ";a=b"
    assert sent(reply) == (b"2;a=b\r\nab\r\n2;a=b\r\ncd\r\n1;a=b\r\ne\r\n0\r\n\r\n")
    assert payload(reply) == 5


def test_a_body_without_announced_length_ends_with_the_connection():
    reply = Reply(body=b"hello", length=5, announce=False)
    assert reply.framing == "close"
    assert reply.wire_headers() == [("Connection", "close")]
    assert reply.must_close()
    assert not reply.must_close(head_only=True)
    assert reply.wire_headers(head_only=True) == []


def test_old_protocol_without_length():
    reply = Reply(body=b"x", length=None, version="HTTP/1.0")
    assert reply.framing == "close"
    assert reply.head().startswith(b"HTTP/1.0 200 OK\r\n")
    assert reply.must_close()


@pytest.mark.parametrize("announced", ["4", "6", "nonsense"])
def test_a_lie_about_the_length_costs_the_connection(announced):
    reply = Reply(
        headers=Headers({"Content-Length": announced}), body=b"hello", length=5
    )
    assert reply.wire_headers() == [("Content-Length", announced)]
    assert sent(reply) == b"hello"
    assert reply.must_close()
    assert not reply.must_close(head_only=True)


def test_announce_length_replaces_the_true_one():
    reply = Reply(body=b"hello", length=5, announce_length=9)
    assert reply.announced() == "9"
    assert reply.must_close()


@pytest.mark.parametrize("status", [204, 304])
def test_statuses_without_a_body(status):
    """RFC 9112 section 6.3, item 1."""
    reply = Reply(status, body=b"hello", length=5)
    assert sent(reply) == b""
    assert reply.wire_headers() == []
    assert not reply.must_close()


@pytest.mark.parametrize("cut", [0, 3, 5])
def test_cut_after(cut):
    reply = Reply(body=iter([b"he", b"llo"]), length=5, cut_after=cut)
    assert reply.announced() == "5"
    assert sent(reply) == b"hello"[:cut]
    assert reply.must_close()
    assert reply.outcome(cut) == ("complete" if cut == 5 else "truncated")


def test_cut_leaves_out_the_last_chunk():
    reply = Reply(body=b"hello", length=5, chunked=True, cut_after=2)
    assert sent(reply) == b"2\r\nhe\r\n"


def test_reset_and_silence_are_named():
    assert Reply(reset=True).outcome(0) == "reset"
    silent = Reply(send_head=False, body=b"x", length=1)
    assert silent.head() == b""
    assert sent(silent) == b""
    assert silent.outcome(0) == "truncated"


class Log(threading.Event):
    """An event whose waits end at once and are written down."""

    def __init__(self):
        super().__init__()
        self.lines = []

    def wait(self, timeout=None):
        self.lines.append(("wait", timeout))
        return True


@pytest.mark.parametrize(
    ("stall", "expected"),
    [
        (0, [b"", "wait", b"hel", b"lo"]),
        (2, [b"he", "wait", b"l", b"lo"]),
        (3, [b"hel", "wait", b"", b"lo"]),
        (4, [b"hel", b"l", "wait", b"o"]),
        (9, [b"hel", b"lo", b"", "wait"]),
    ],
)
def test_a_stall_shows_what_comes_before_it_then_waits(stall, expected):
    log = Log()
    reply = Reply(body=iter([b"hel", b"lo"]), length=5, stall_after=stall)
    reply.released = log
    for data, _ in reply.pieces():
        log.lines.append(data)
    assert [
        "wait" if line == ("wait", None) else line for line in log.lines
    ] == expected


def test_delay_waits_on_the_release():
    log = Log()
    Reply(delay=3600.0, released=log).wait_delay()
    Reply(released=log).wait_delay()
    assert log.lines == [("wait", 3600.0)]


def test_raw_bytes_go_out_untouched():
    reply = Reply(raw=b"HTTP/9 what\n\n", length=13)
    assert reply.head() == b""
    assert sent(reply) == b"HTTP/9 what\n\n"
    assert reply.must_close()
    reply.cut_after = 4
    assert sent(reply) == b"HTTP"


def test_interim_responses_and_lower_case():
    reply = Reply(headers=Headers({"ETag": "x"}), interim=(100, 103), lower_case=True)
    assert reply.head() == (
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\n"
        b"HTTP/1.1 200 OK\r\netag: x\r\ncontent-length: 0\r\n\r\n"
    )


def test_unknown_status_has_no_reason():
    assert Reply(599).head().startswith(b"HTTP/1.1 599 \r\n")


def test_close_is_announced_and_hang_up_is_not():
    assert ("Connection", "close") in Reply(close=True).wire_headers()
    silent = Reply(hang_up=True)
    assert silent.must_close()
    assert ("Connection", "close") not in silent.wire_headers()
