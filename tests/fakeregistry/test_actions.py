"""Each action on the wire, without a server."""

import gzip
import re
import threading
import zlib

import pytest
from werkzeug.datastructures import Headers

from fakeregistry.actions import Actions
from fakeregistry.journal import Journal
from fakeregistry.reply import Reply

BODY = b"0123456789"


def apply(released=None, content=BODY, length=10, **actions):
    exchange = Journal().begin("GET", "/v2/a/blobs/sha256:00?ns=x", [])
    reply = Reply(200, Headers({"ETag": '"x"', "X-Kept": "1"}), content, length)
    event = threading.Event() if released is None else released
    return Actions(**actions).apply(exchange, reply, event)


def body_of(reply):
    return b"".join(data for data, _ in reply.pieces())


def headers_of(reply):
    return dict(reply.wire_headers())


def test_status_answers_with_headers_and_body():
    reply = apply(status=503, headers={"Retry-After": "1"}, body=b"sorry")
    assert (reply.status, body_of(reply)) == (503, b"sorry")
    assert headers_of(reply) == {"Retry-After": "1", "Content-Length": "5"}


def test_several_lines_of_one_header():
    challenges = ["Basic realm=x", "Bearer realm=y"]
    reply = apply(status=401, headers={"WWW-Authenticate": challenges})
    assert reply.headers.getlist("www-authenticate") == challenges


def test_change_status_keeps_the_rest():
    reply = apply(change_status=206)
    assert (reply.status, body_of(reply)) == (206, BODY)
    assert headers_of(reply)["X-Kept"] == "1"


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        ("http://h:1/x", "http://h:1/x"),
        ("{target}", "/v2/a/blobs/sha256:00?ns=x"),
        (
            "http://h{path}?{query}&r={reference}",
            "http://h/v2/a/blobs/sha256:00?ns=x&r=sha256:00",
        ),
        (lambda exchange: f"/n{exchange.index}", "/n0"),
    ],
)
def test_redirect(location, expected):
    reply = apply(redirect=location)
    assert reply.status == 307
    assert reply.headers["Location"] == expected
    reply = apply(redirect=location, status=302, body=b"moved")
    assert (reply.status, body_of(reply)) == (302, b"moved")


def test_raw():
    reply = apply(raw=b"junk")
    assert (reply.head(), body_of(reply)) == (b"", b"junk")


@pytest.mark.parametrize(
    ("actions", "expected"),
    [
        ({"replace": b"other"}, b"other"),
        ({"replace": b""}, b""),
        ({"append": b"abc"}, BODY + b"abc"),
        ({"shorten": 4}, b"0123"),
        ({"shorten": 0}, b""),
        ({"shorten": 99}, BODY),
        ({"flip": 0}, b"1123456789"),
        ({"flip": 9}, b"0123456788"),
        ({"flip": -1}, b"0123456788"),
        ({"flip": 10}, BODY),
        ({"flip": -11}, BODY),
        ({"flip": 2, "append": b"x"}, b"0133456789x"),
        ({"shorten": 4, "append": b"x"}, b"0123x"),
    ],
)
@pytest.mark.parametrize("body", ["bytes", "view", "iterable"])
def test_changed_bodies_have_their_right_length(actions, expected, body):
    forms = {
        "bytes": BODY,
        "view": memoryview(BODY),
        "iterable": iter([b"012", b"", b"3456789"]),
    }
    reply = apply(content=forms[body], **actions)
    assert headers_of(reply)["Content-Length"] == str(len(expected))
    assert body_of(reply) == expected
    assert not reply.must_close()


def test_a_length_the_handler_set_does_not_outlive_its_body():
    exchange = Journal().begin("GET", "/", [])
    reply = Reply(200, Headers({"Content-Length": "10"}), BODY, 10)
    changed = Actions(append=b"x").apply(exchange, reply, threading.Event())
    assert headers_of(changed)["Content-Length"] == "11"
    assert reply.headers["Content-Length"] == "10"


@pytest.mark.parametrize("actions", [{"append": b"x"}, {"shorten": 4}, {"flip": -1}])
def test_bodies_of_unknown_length(actions):
    expected = body_of(apply(**actions))
    reply = apply(content=iter([BODY]), length=None, chunked=True, **actions)
    sent = re.sub(rb"[0-9a-f]+\r\n(.*?)\r\n", rb"\1", body_of(reply))
    assert sent == expected


@pytest.mark.parametrize(
    ("coding", "decode"),
    [
        ("gzip", gzip.decompress),
        ("x-gzip", gzip.decompress),
        ("deflate", zlib.decompress),
    ],
)
def test_encode(coding, decode):
    reply = apply(encode=coding)
    assert headers_of(reply)["Content-Encoding"] == coding
    assert decode(body_of(reply)) == BODY


def test_headers_are_set_and_removed():
    reply = apply(headers={"etag": "y"}, remove_headers=["x-kept", "Absent"])
    assert headers_of(reply) == {"etag": "y", "Content-Length": "10"}


def test_without_content_length_the_connection_ends_the_body():
    reply = apply(remove_headers=["content-length"])
    assert reply.framing == "close"
    assert apply(remove_headers=["Content-Length"], chunked=True).framing == "chunked"


def test_a_content_length_that_is_given_is_a_lie_only():
    reply = apply(headers={"Content-Length": "3"})
    assert headers_of(reply)["Content-Length"] == "3"
    assert body_of(reply) == BODY
    assert reply.must_close()


def test_content_range():
    reply = apply(content_range="bytes 0-1/2")
    assert headers_of(reply)["Content-Range"] == "bytes 0-1/2"


def test_truncate_announces_all_and_sends_less():
    reply = apply(truncate=4)
    assert headers_of(reply)["Content-Length"] == "10"
    assert body_of(reply) == b"0123"
    assert reply.must_close()
    assert not reply.reset


def test_cut_never_finishes_the_chunks():
    reply = apply(cut=4)
    assert headers_of(reply)["Transfer-Encoding"] == "chunked"
    assert "Content-Length" not in headers_of(reply)
    assert body_of(reply) == b"4\r\n0123\r\n"
    assert reply.must_close()


def test_reset_after_some_bytes():
    reply = apply(reset=4)
    assert headers_of(reply)["Content-Length"] == "10"
    assert body_of(reply) == b"0123"
    assert reply.reset


@pytest.mark.parametrize("action", ["cut", "reset"])
def test_not_a_byte(action):
    reply = apply(**{action: True})
    assert reply.head() + body_of(reply) == b""
    assert (reply.status, reply.wire_headers()) == (0, [])
    assert reply.must_close()
    assert reply.reset == (action == "reset")


def test_raw_bytes_can_be_cut():
    reply = apply(raw=b"HTTP/1.1 200 OK\r\n", cut=8)
    assert body_of(reply) == b"HTTP/1.1"
    assert reply.outcome(8) == "truncated"
    assert apply(raw=b"junk").outcome(4) == "complete"


@pytest.mark.parametrize(("stall", "after"), [(True, 0), (4, 4)])
def test_stall_ends_with_the_release(stall, after):
    released = threading.Event()
    reply = apply(released, stall=stall)
    assert (reply.stall_after, reply.released) == (after, released)


def test_delay_ends_with_the_release():
    released = threading.Event()
    reply = apply(released, delay=3600)
    assert (reply.delay, reply.released) == (3600, released)


def test_endless_goes_on_until_the_release():
    released = threading.Event()
    pieces = apply(released, endless=True).pieces()
    total = 0
    while total < 1 << 20:
        total += next(pieces)[1]
    released.set()
    assert [data for data, _ in pieces] == [b"0\r\n\r\n"]


@pytest.mark.parametrize("blanks", [1, 1 << 16, (1 << 16) + 1])
def test_endless_by_number(blanks):
    reply = apply(endless=blanks)
    assert sum(size for _, size in reply.pieces()) == 10 + blanks
    assert "Content-Length" not in headers_of(reply)


def test_drip_waits_between_pieces():
    released = threading.Event()
    released.set()
    pieces = [data for data, _ in apply(released, drip=(4, 3600.0)).pieces()]
    assert [data for data in pieces if data] == [b"0123", b"4567", b"89"]


def test_chunked():
    assert body_of(apply(chunked=True)) == b"a\r\n0123456789\r\n0\r\n\r\n"
    assert body_of(apply(chunked=5, chunk_extension=";x")) == (
        b"5;x\r\n01234\r\n5;x\r\n56789\r\n0\r\n\r\n"
    )


def test_ways_to_end_a_connection():
    assert headers_of(apply(close=True))["Connection"] == "close"
    reply = apply(hang_up=True)
    assert "Connection" not in headers_of(reply)
    assert reply.must_close()


def test_version_interim_and_lower_case():
    reply = apply(version="HTTP/1.0", interim=103, lower_case=True)
    assert reply.head() == (
        b"HTTP/1.0 103 Early Hints\r\n\r\nHTTP/1.0 200 OK\r\n"
        b'etag: "x"\r\nx-kept: 1\r\ncontent-length: 10\r\n\r\n'
    )
    assert apply(interim=[100, 103]).interim == (100, 103)


@pytest.mark.parametrize(
    ("actions", "message"),
    [
        ({}, "no action"),
        ({"close": False, "truncate": None}, "no action"),
        ({"status": 503, "raw": b""}, "raw: contradicts status"),
        ({"status": 503, "change_status": 200}, "change_status: contradicts status"),
        ({"redirect": "/", "raw": b""}, "raw: contradicts redirect"),
        ({"truncate": 1, "reset": 1}, "reset: contradicts truncate"),
        ({"cut": True, "stall": True}, "stall: contradicts cut"),
        ({"truncate": 1, "chunked": True}, "chunked: contradicts truncate"),
        ({"truncate": 1, "endless": True}, "endless: contradicts truncate"),
        ({"replace": b"", "append": b""}, "append: contradicts replace"),
        ({"replace": b"", "flip": 0}, "flip: contradicts replace"),
        ({"close": True, "hang_up": True}, "hang_up: contradicts close"),
        ({"raw": b"", "headers": {"A": "b"}}, "headers: has no effect on raw"),
        ({"body": b"x", "flip": 1}, "body: goes with status="),
        ({"truncate": -1}, "truncate=-1"),
        ({"truncate": True}, "truncate=True"),
        ({"shorten": "1"}, "shorten='1'"),
        ({"cut": -1}, "cut=-1"),
        ({"reset": -1}, "reset=-1"),
        ({"stall": -1}, "stall=-1"),
        ({"chunked": 0}, "chunked=0"),
        ({"endless": -1}, "endless=-1"),
        ({"status": 99}, "status=99"),
        ({"change_status": 1000}, "change_status=1000"),
        ({"delay": -1}, "delay=-1"),
        ({"drip": (0, 1)}, r"drip=\(0, 1\)"),
        ({"redirect": "/", "status": 200}, "status=200"),
        ({"encode": "br"}, "encode='br'"),
        ({"remove_headers": "ETag"}, "remove_headers"),
        ({"interim": 200}, "interim=200"),
        ({"content_range": "x", "headers": {"Content-Range": "y"}}, "content_range"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_name(actions, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        Actions(**actions)


def test_aspects_tell_which_actions_clash():
    assert Actions(truncate=1).aspects() & Actions(reset=True).aspects()
    assert Actions(stall=1).aspects() & Actions(delay=1).aspects()
    assert not Actions(truncate=1).aspects() & Actions(flip=1).aspects()
    etag = Actions(headers={"ETag": "x"}).aspects()
    assert etag & Actions(remove_headers=["etag"]).aspects()
    assert not etag & Actions(content_range="x").aspects()
    assert str(Actions(truncate=1, flip=0)) == "flip, truncate"
