"""Blobs: distribution-spec v1.1.1, Pulling blobs; RFC 9110 sections 13 and 14."""

import http.client
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakeregistry import Registry
from fakeregistry.ranges import RangeNotSatisfiable, parse_ranges

DATA = bytes(range(200))


@pytest.fixture(scope="module")
def served():
    with Registry() as registry:
        yield registry, registry.put_blob("a/b", DATA)


def ask(served, method="GET", digest=None, **headers):
    registry, blob = served
    client = http.client.HTTPConnection("127.0.0.1", registry.port, timeout=10)
    path = f"/v2/a/b/blobs/{digest or blob.digest}"
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    try:
        client.request(method, path, headers=fields)
        response = client.getresponse()
        return response.status, response.headers, response.read()
    finally:
        client.close()


def test_whole_blob(served):
    status, headers, body = ask(served)
    assert (status, body) == (200, DATA)
    assert headers["Content-Length"] == "200"
    assert headers["Content-Type"] == "application/octet-stream"
    assert headers["Docker-Content-Digest"] == served[1].digest
    assert headers["ETag"] == f'"{served[1].digest}"'
    assert headers["Accept-Ranges"] == "bytes"
    assert headers["Docker-Distribution-Api-Version"] == "registry/2.0"


def test_head_tells_the_length_and_sends_nothing(served):
    status, headers, body = ask(served, "HEAD")
    assert (status, body, headers["Content-Length"]) == (200, b"", "200")


@pytest.mark.parametrize(
    ("value", "part", "content_range"),
    [
        ("bytes=0-9", DATA[:10], "bytes 0-9/200"),
        ("bytes=190-", DATA[190:], "bytes 190-199/200"),
        ("bytes=-5", DATA[195:], "bytes 195-199/200"),
        ("bytes=-500", DATA, "bytes 0-199/200"),
        ("bytes=0-9,", DATA[:10], "bytes 0-9/200"),
        ("Bytes= 0-999 ", DATA, "bytes 0-199/200"),
    ],
)
def test_one_range_gets_206(served, value, part, content_range):
    status, headers, body = ask(served, Range=value)
    assert (status, body) == (206, part)
    assert headers["Content-Range"] == content_range
    assert headers["Content-Length"] == str(len(part))


@pytest.mark.parametrize(
    "value", ["bytes=200-", "bytes=200-300", "bytes=-0", "bytes=5-4", "bytes=999-, -0"]
)
def test_a_range_outside_gets_416(served, value):
    status, headers, body = ask(served, Range=value)
    assert status == 416
    assert headers["Content-Range"] == "bytes */200"
    assert json.loads(body)["errors"][0]["code"] == "UNSUPPORTED"


@pytest.mark.parametrize(
    "value",
    ["bytes=-", "bytes=", "lines=0-1", "bytes=a-b", "bytes 0-1"],
)
def test_what_is_no_range_is_ignored(served, value):
    assert ask(served, Range=value)[0::2] == (200, DATA)


def test_head_ignores_ranges(served):
    """RFC 9110 section 14.2: ranges are defined for GET only."""
    status, headers, _ = ask(served, "HEAD", Range="bytes=0-9")
    assert (status, headers["Content-Length"]) == (200, "200")


def test_if_range(served):
    """RFC 9110 section 13.1.5: strong comparison, else the whole blob."""
    etag = f'"{served[1].digest}"'
    date = ask(served)[1]["Last-Modified"]
    for condition, status in [
        (etag, 206),
        (date, 206),
        (f"W/{etag}", 200),
        ('"other"', 200),
        ("Mon, 01 Jan 2001 00:00:00 GMT", 200),
        ("nonsense", 200),
    ]:
        assert ask(served, Range="bytes=0-1", If_Range=condition)[0] == status


def test_conditional_requests(served):
    """RFC 9110 section 13.2.2: If-None-Match wins over If-Modified-Since."""
    etag = f'"{served[1].digest}"'
    date = ask(served)[1]["Last-Modified"]
    old = "Mon, 01 Jan 2001 00:00:00 GMT"
    for conditions, status in [
        ({"If_None_Match": etag}, 304),
        ({"If_None_Match": f'"x", W/{etag}'}, 304),
        ({"If_None_Match": "*"}, 304),
        ({"If_None_Match": '"x"'}, 200),
        ({"If_None_Match": '"x"', "If_Modified_Since": date}, 200),
        ({"If_Modified_Since": date}, 304),
        ({"If_Modified_Since": old}, 200),
        ({"If_Modified_Since": "nonsense"}, 200),
        ({"If_None_Match": etag, "Range": "bytes=0-1"}, 304),
    ]:
        found, headers, body = ask(served, **conditions)
        assert found == status, conditions
        if status == 304:
            assert body == b""
            assert headers["ETag"] == etag
            assert "Content-Length" not in headers


def test_unknown_and_malformed_digests(served):
    code = lambda answer: json.loads(answer[2])["errors"][0]["code"]  # noqa: E731 - short
    missing = ask(served, digest="sha256:" + "0" * 64)
    assert (missing[0], code(missing)) == (404, "BLOB_UNKNOWN")
    malformed = ask(served, digest="latest")
    assert (malformed[0], code(malformed)) == (400, "DIGEST_INVALID")


def test_other_methods_are_refused(served):
    status, headers, _ = ask(served, "PUT")
    assert (status, headers["Allow"]) == (405, "DELETE, GET, HEAD")


def test_bytes_under_a_foreign_digest(served):
    """A fake serves what no real registry would."""
    registry, _ = served
    digest = "sha256:" + "1" * 64
    assert registry.put_blob("a/b", b"lies", digest=digest).digest == digest
    assert ask(served, digest=digest)[2] == b"lies"


@given(
    st.integers(0, 50),
    st.one_of(
        st.builds("bytes={}-{}".format, st.integers(0, 60), st.integers(0, 60)),
        st.builds("bytes={}-".format, st.integers(0, 60)),
        st.builds("bytes=-{}".format, st.integers(0, 60)),
    ),
)
def test_a_range_is_what_slicing_says(size, header):
    """The bytes of a range are those that a naive reading picks."""
    first, last = header.removeprefix("bytes=").split("-")
    wanted = (
        [n for n in range(size) if n >= int(first) and n <= int(last or size)]
        if first
        else list(range(size))[-int(last) :] * bool(int(last))
    )
    try:
        found = parse_ranges(header, size)
    except RangeNotSatisfiable:
        assert wanted == []
        return
    if not found:
        assert size == 0
        assert header not in {"bytes=-0"}
        assert not first
    else:
        assert list(range(*found[0])) == wanted != []


@given(st.text(max_size=30), st.integers(0, 1 << 40))
def test_any_text_is_ignored_or_inside(header, size):
    """No header raises, and no answer reaches outside."""
    try:
        found = parse_ranges(header, size)
    except RangeNotSatisfiable:
        return
    assert all(0 <= start < stop <= size for start, stop in found)


def test_endless_numbers_are_read():
    """Python refuses to convert thousands of digits."""
    with pytest.raises(RangeNotSatisfiable):
        parse_ranges("bytes=" + "9" * 9000 + "-", 5)
    assert parse_ranges("bytes=1-" + "9" * 9000, 5) == ((1, 5),)
