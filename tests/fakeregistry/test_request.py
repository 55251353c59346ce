"""Reading requests: RFC 9112."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakeregistry.body import MAX_BODY, MAX_DRAIN, NO_BODY, BadRequest, Body
from fakeregistry.request import MAX_HEAD, RequestReader

NEXT = b"GET /next HTTP/1.1\r\nHost: x\r\n\r\n"


class Wire:
    """A socket that gives what it was told, in pieces."""

    def __init__(self, data, step=1 << 20):
        self.data, self.step, self.at, self.sent = data, step, 0, b""

    def recv(self, size):
        start, self.at = self.at, self.at + min(size, self.step)
        return self.data[start : self.at]

    def sendall(self, data):
        self.sent += data


def reader_of(data, step=1 << 20):
    """Return a function that reads the next request, which must be there."""
    reader = RequestReader(Wire(data, step))

    def read_next():
        request = reader.next()
        assert request is not None
        return request

    return read_next


def read(data, step=1 << 20):
    return reader_of(data, step)()


def refused(data):
    with pytest.raises(BadRequest) as caught:
        for _ in read(data).body.blocks():
            pass
    assert caught.value.phrase
    return caught.value.status


@pytest.mark.parametrize("step", [1, 2, 3, 7, 1000])
def test_order_and_spelling_of_headers_are_kept(step):
    """Clients are judged by what they send."""
    request = read(
        b"\r\nGET /v2/?a=%20 HTTP/1.1\r\nhOsT:x\r\nB: 1\r\nb:\t2 \r\n\r\n", step
    )
    assert request.method == "GET"
    assert request.target == "/v2/?a=%20"
    assert list(request.headers) == [("hOsT", "x"), ("B", "1"), ("b", "2")]
    assert not request.close


def test_pipelined_requests_come_one_after_the_other():
    """RFC 9112 section 9.3.2."""
    one = b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc"
    read_next = reader_of(one + one.replace(b"/a", b"/b"), 5)
    for target in ("/a", "/b"):
        request = read_next()
        assert (request.target, request.body.read(9)) == (target, b"abc")


def test_forms_are_read_with_the_head():
    """What a client asks a token endpoint is in the journal from the beginning."""
    head = (
        b"POST /token HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n"
        b"Content-Type: Application/X-WWW-Form-URLencoded; charset=utf-8\r\n\r\n"
    )
    assert read(head + b"a=b").body.kept == b"a=b"
    assert refused(head + b"a=") == 400


def test_a_body_is_read_as_far_as_is_wanted():
    head = b"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n"
    read_next = reader_of(head + b"012345678" + NEXT, 50)
    body = read_next().body
    assert body.read(8) is None
    assert body.size == 0
    body.keep(4)
    assert body.read(9) == b"012345678"
    assert body.kept == b"0123"
    assert read_next().target == "/next"
    assert Body((b"ab", b"cd")).read(3) is None
    assert NO_BODY.read(0) == b""
    assert NO_BODY.drain()


@pytest.mark.parametrize("step", [1, 5, 1000])
def test_chunked_body_with_extensions_and_trailers(step):
    """RFC 9112 section 7.1."""
    head = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: Chunked\r\n\r\n"
    body = b'3;x="y"\r\nabc\r\nA\r\n0123456789\r\n0\r\nT: 1\r\n\r\n'
    read_next = reader_of(head + body + NEXT, step)
    assert read_next().body.read(100) == b"abc0123456789"
    assert read_next().target == "/next"


def test_long_body_is_read_but_not_kept():
    """A refusal must reach a client that sends much."""
    size = MAX_BODY + 100_000
    head = f"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: {size}\r\n\r\n".encode()
    read_next = reader_of(head + b"a" * size + NEXT)
    body = read_next().body
    assert body.drain()
    assert (len(body.kept), body.size) == (MAX_BODY, size)
    assert read_next().target == "/next"


def test_body_is_asked_for():
    """Expect: 100-continue (RFC 9110 section 10.1.1)."""

    class Polite(Wire):
        def recv(self, size):
            return b"abc" if self.sent else super().recv(size)

    wire = Polite(
        b"PUT / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"
        b"Content-Length: 3\r\n\r\n"
    )
    request = RequestReader(wire).next()
    assert request is not None
    assert not request.body.drain()
    assert len(wire.sent) == 0
    assert request.body.read(9) == b"abc"
    assert request.body.drain()
    assert wire.sent == b"HTTP/1.1 100 Continue\r\n\r\n"


@pytest.mark.parametrize(
    ("line", "close", "old"),
    [
        (b"Host: x", False, False),
        (b"Host: x\r\nConnection: x, CLOSE", True, False),
        (b"", True, True),
    ],
)
def test_who_closes(line, close, old):
    """RFC 9112 section 9.3: 1.0 closes, 1.1 persists."""
    version = b"1.0" if old else b"1.1"
    lines = b"\r\n" + line if line else b""
    request = read(b"GET / HTTP/" + version + lines + b"\r\n\r\n")
    assert (request.close, request.old) == (close, old)


def test_absolute_form_becomes_a_path():
    """RFC 9112 section 3.2.2."""
    assert read(b"GET http://h:1/v2/?a HTTP/1.1\r\nHost: x\r\n\r\n").target == "/v2/?a"
    assert read(b"GET http://h HTTP/1.1\r\nHost: x\r\n\r\n").target == "/"


@pytest.mark.parametrize("cut", [0, 1, 10, 30])
def test_a_client_that_goes_before_the_end_is_no_error(cut):
    data = b"GET / HTTP/1.1\r\nHost: xxxxxxxxxxx\r\n\r\n"[:cut]
    assert RequestReader(Wire(data)).next() is None


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01\x02\x00\x01",
        b"\x00" * 10,
        b"GET /\r\n\r\n",
        b"GET  / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /\xc3\xa4 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\nHost: x\n\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n folded\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nno colon\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nA : b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nA: b\x00\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nA: b\nC: d\r\n\r\n",
        b"GET nowhere HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET http://[ HTTP/1.1 x\r\nHost: x\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1, 2\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nabc",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
        b"Content-Length: 1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc",
    ],
)
def test_bytes_that_are_no_request_get_400(data):
    assert refused(data) == 400


def test_other_versions_get_505():
    """RFC 9110 section 15.6.6: also the preface of HTTP/2."""
    assert refused(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n") == 505


def test_what_has_no_end_is_bounded():
    """RFC 6585 section 5; a head, a body, a chunk's line and trailers."""
    begin = b"GET / HTTP/1.1\r\nHost: x\r\n"
    assert refused(begin + b"A: b\r\n" * MAX_HEAD) == 431
    assert refused(begin + b"A: " + b"b" * MAX_HEAD + b"\r\n\r\n") == 431
    endless = begin + b"Content-Length: 99999999999\r\n\r\n" + bytes(1 << 27)
    body = read(endless).body
    assert not body.drain()
    assert MAX_DRAIN < body.size < MAX_DRAIN + (1 << 20)
    chunked = begin + b"Transfer-Encoding: chunked\r\n\r\n"
    assert refused(chunked + b"1;" + b"x" * 300_000) == 400
    assert refused(chunked + b"0\r\n" + b"A: b\r\n" * 20_000) == 431


@given(st.binary(max_size=300))
def test_any_bytes_are_a_request_an_end_or_a_refusal(data):
    """Hostile bytes never raise anything else."""
    reader = RequestReader(Wire(data))
    with contextlib.suppress(BadRequest):
        while (request := reader.next()) is not None:
            if not request.body.drain():
                break
