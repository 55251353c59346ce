import threading

import pytest

from fakeregistry.journal import BODY_LIMIT, HeaderList, Journal, JournalTimeout


@pytest.fixture
def journal():
    return Journal()


def test_exchanges_come_in_order_of_arrival(journal):
    for path in ("/v2/", "/v2/a/manifests/1", "/v2/a/blobs/sha256:00"):
        journal.begin("GET", path, [])
    assert [exchange.index for exchange in journal] == [0, 1, 2]
    assert len(journal) == 3
    assert journal[1].reference == "1"
    assert journal.paths("GET")[0] == "/v2/"
    assert journal.paths("HEAD") == []


def test_target_is_kept_as_sent_and_path_is_decoded(journal):
    exchange = journal.begin("GET", "/v2/a/blobs/sha256%3A00?ns=x%2Fy", [])
    assert exchange.target == "/v2/a/blobs/sha256%3A00?ns=x%2Fy"
    assert exchange.path == "/v2/a/blobs/sha256:00"
    assert exchange.query == "ns=x%2Fy"


@pytest.mark.parametrize("origin", ["http://h:5000", "HTTPS://[::1]:1", "http://[bad"])
def test_absolute_targets(journal, origin):
    """RFC 9112 section 3.2.2."""
    assert journal.begin("GET", f"{origin}/v2/?a", []).path == "/v2/"


def test_requests_by_criteria_of_request_and_response(journal):
    first = journal.begin("GET", "/v2/a/blobs/sha256:00", [("Range", "bytes=5-")])
    second = journal.begin("GET", "/v2/a/blobs/sha256:00", [], server="cdn")
    first.replied(206, [("ETag", "x")])
    first.finish("complete")
    second.replied(200, [])
    second.finish("reset")
    assert journal.requests(path="/blobs/*", range=True) == (first,)
    assert journal.requests(status=206) == (first,)
    assert journal.requests(outcome="reset") == (second,)
    assert journal.requests(server="cdn", status=206) == ()
    assert journal.paths(status=200) == [second.path]
    with pytest.raises(ValueError, match=r"^colour: unknown keyword"):
        journal.requests(colour="red")


def test_headers_keep_order_and_case_and_are_found_in_any():
    headers = HeaderList([("accept", "a"), ("ACCEPT", "b"), ("Host", "h")])
    assert headers.get("Accept") == "a"
    assert headers.get_all("Accept") == ("a", "b")
    assert headers.get("Range", "none") == "none"
    assert "HOST" in headers
    assert "Range" not in headers
    assert list(headers)[1] == ("ACCEPT", "b")
    assert len(headers) == 3
    assert headers == HeaderList(list(headers))
    assert hash(headers) == hash(HeaderList(list(headers)))
    assert headers != ()


def test_no_representation_shows_a_secret(journal):
    value = "c2VjcmV0"
    exchange = journal.begin(
        "POST",
        f"/token?X-Amz-Signature={value}&refresh_token={value}&scope=a:b:pull",
        [("authorization", f"Basic {value}"), ("Cookie", value), ("Host", "h")],
        body=f"password={value}".encode(),
    )
    exchange.replied(200, [("Set-Cookie", value)])
    texts = (exchange, journal, exchange.request_headers, exchange.response_headers)
    for text in map(repr, texts):
        assert value not in text
    assert "scope=a:b:pull" in repr(exchange)
    assert "('Host', 'h')" in repr(exchange.request_headers)
    assert exchange.request_headers.get("Authorization") == f"Basic {value}"


def test_request_bodies_are_bounded(journal):
    exchange = journal.begin("POST", "/token", [], body=bytes(BODY_LIMIT + 1))
    assert len(exchange.request_body) == BODY_LIMIT


def test_max_in_flight_counts_overlap_not_number(journal):
    a = journal.begin("GET", "/v2/a/blobs/1", [])
    b = journal.begin("GET", "/v2/a/blobs/2", [])
    journal.begin("GET", "/v2/a/manifests/1", [])
    a.finish("complete")
    c = journal.begin("GET", "/v2/a/blobs/3", [])
    assert journal.max_in_flight("/blobs/*") == 2
    assert journal.max_in_flight() == 3
    assert journal.max_in_flight("/blobs/*", method="HEAD") == 0
    b.finish("complete")
    c.finish("complete")


def test_a_request_that_is_ending_is_not_in_flight(journal):
    first = journal.begin("GET", "/v2/a/blobs/1", [])
    first.ending()
    journal.begin("GET", "/v2/a/blobs/2", [])
    first.finish("complete")
    assert journal.max_in_flight("/blobs/*") == 1


def test_finish_counts_once(journal):
    exchange = journal.begin("GET", "/", [])
    assert exchange.finished is None
    exchange.finish("client-gone")
    finished = exchange.finished
    exchange.finish("complete")
    assert exchange.outcome == "client-gone"
    assert exchange.finished == finished
    assert exchange.started <= finished


def test_wait_for_returns_what_came(journal):
    late = threading.Thread(target=lambda: journal.begin("GET", "/v2/", []))
    late.start()
    (found,) = journal.wait_for(1, path="/v2/")
    late.join()
    assert found.path == "/v2/"


def test_wait_for_sees_responses(journal):
    exchange = journal.begin("GET", "/v2/", [])

    def answer():
        exchange.replied(200, [])
        exchange.finish("complete")

    late = threading.Thread(target=answer)
    late.start()
    assert journal.wait_for(1, outcome="complete") == (exchange,)
    late.join()


def test_wait_for_misses_nothing_between_its_look_and_its_wait():
    class Late(Journal):
        def __init__(self):
            super().__init__()
            self.late = threading.Thread(
                target=self.begin, args=("GET", "/v2/", []), daemon=True
            )

        def requests(self, **criteria):
            found = super().requests(**criteria)
            if self.late.ident is None:
                self.late.start()
                self.late.join(0.05)
                assert self.late.is_alive(), "it came in between, and woke nobody"
            return found

    journal = Late()
    assert journal.wait_for(1, timeout=3600)
    journal.late.join()


def test_wait_for_says_what_it_saw(journal):
    journal.begin("GET", "/v2/", [])
    with pytest.raises(JournalTimeout, match=r"1 of 2 requests .*GET /v2/"):
        journal.wait_for(2, timeout=0, method="GET")


def test_close_ends_waits(journal):
    journal.close()
    with pytest.raises(JournalTimeout):
        journal.wait_for(1, timeout=3600)


def test_clear_forgets_and_counts_on(journal):
    journal.begin("GET", "/1", [])
    journal.clear()
    assert len(journal) == 0
    assert journal.begin("GET", "/2", []).index == 1


def test_indexes_are_unique_across_threads(journal):
    def ask():
        for _ in range(50):
            journal.begin("GET", "/", []).finish("complete")

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [exchange.index for exchange in journal] == list(range(200))
    assert 1 <= journal.max_in_flight() <= 4


def test_a_fault_can_hide_the_range(journal):
    exchange = journal.begin("GET", "/", [("Range", "bytes=1-")])
    assert exchange.range == "bytes=1-"
    exchange.ignore_range = True
    assert exchange.range is None
    assert journal.begin("GET", "/", []).range is None


def test_waiting_ends_when_nobody_is_left_to_ask():
    journal = Journal()
    journal.expect_requests("the client has ended")
    with pytest.raises(JournalTimeout, match=r"^the client has ended: 0 of 1"):
        journal.wait_for(1, timeout=3600)
