"""Several ranges at once: RFC 9110 sections 14.2, 14.6 and 15.3.7.2."""

import email
import http.client
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakeregistry import Features, Registry
from fakeregistry.ranges import RangeNotSatisfiable, parse_ranges

DATA = bytes(range(256)) * 4


@pytest.fixture(scope="module")
def served():
    with Registry() as registry:
        yield registry, registry.put_blob("a/b", DATA).digest


def ask(served, value, method="GET", **headers):
    registry, digest = served
    client = http.client.HTTPConnection("127.0.0.1", registry.port, timeout=10)
    try:
        client.request(
            method, f"/v2/a/b/blobs/{digest}", headers={"Range": value, **headers}
        )
        response = client.getresponse()
        return response.status, response.headers, response.read()
    finally:
        client.close()


def parts_of(headers, body):
    """Read multipart/byteranges with a parser that is not ours."""
    head = f"Content-Type: {headers['Content-Type']}\r\n\r\n".encode()
    message = email.message_from_bytes(head + body)
    assert message.get_content_type() == "multipart/byteranges"
    return [
        (part["Content-Range"], part["Content-Type"], part.get_payload(decode=True))
        for part in message.walk()
        if not part.is_multipart()
    ]


def test_several_ranges_come_in_the_order_in_which_they_were_asked_for(served):
    status, headers, body = ask(served, "bytes=1000-, 65-67 ,-2")
    assert status == 206
    assert headers["Content-Length"] == str(len(body))
    # Section 15.3.7.2: each part has the field, the response has not.
    assert "Content-Range" not in headers
    octets = "application/octet-stream"
    assert parts_of(headers, body) == [
        ("bytes 1000-1023/1024", octets, DATA[1000:]),
        ("bytes 65-67/1024", octets, b"ABC"),
        ("bytes 1022-1023/1024", octets, DATA[-2:]),
    ]


def test_what_is_not_there_is_left_out(served):
    status, headers, body = ask(served, "bytes=65-66,, 5000-6000, 0-0")
    assert status == 206
    ranges = [part[0] for part in parts_of(headers, body)]
    assert ranges == ["bytes 65-66/1024", "bytes 0-0/1024"]
    # A single part needs no multipart body.
    status, headers, body = ask(served, "bytes=65-66, 5000-6000")
    assert (status, body) == (206, b"AB")
    assert headers["Content-Range"] == "bytes 65-66/1024"
    assert ask(served, "bytes=5000-, 6000-")[0] == 416


@pytest.mark.parametrize(
    "value",
    [
        "bytes=0-999, 0-999",
        "bytes=" + ",".join(f"{n}-{n}" for n in range(65)),
        "bytes=0-1, x-y",
    ],
)
def test_more_than_there_is_and_what_is_malformed_gets_everything(served, value):
    """Section 14.2 lets a server ignore what looks like an attack."""
    assert ask(served, value)[0::2] == (200, DATA)


def test_head_and_if_range(served):
    etag = ask(served, "bytes=0-0")[1]["ETag"]
    two = "bytes=0-0,2-2"
    assert ask(served, two, "HEAD")[0::2] == (200, b"")
    assert ask(served, two, **{"If-Range": '"other"'})[0] == 200
    assert ask(served, two, **{"If-Range": etag})[0] == 206


def test_a_fault_counts_the_bytes_of_all_parts(served):
    registry, _ = served
    whole = ask(served, "bytes=0-0,2-2")[2]
    with (
        registry.fault(path="/blobs/*", truncate=50),
        pytest.raises(http.client.IncompleteRead) as caught,
    ):
        ask(served, "bytes=0-0,2-2")
    assert caught.value.partial == whole[:50]


def test_it_can_be_switched_off():
    features = Features(multiple_ranges=False)
    with Registry(features=features) as registry:
        served = registry, registry.put_blob("a/b", DATA).digest
        assert ask(served, "bytes=0-0,2-2")[0] == 200
        assert ask(served, "bytes=0-0")[0] == 206


@given(
    st.integers(0, 30),
    st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), min_size=1, max_size=5),
)
def test_ranges_are_what_slicing_says(size, pairs):
    header = "bytes=" + ",".join(f"{first}-{last}" for first, last in pairs)
    wanted = [list(range(size))[first : last + 1] for first, last in pairs]
    wanted = [numbers for numbers in wanted if numbers]
    try:
        found = [list(range(*part)) for part in parse_ranges(header, size)]
    except RangeNotSatisfiable:
        assert wanted == []
        return
    if found:
        assert found == wanted
    else:
        assert len(wanted) > 1
        assert len(list(itertools.chain(*wanted))) > size
