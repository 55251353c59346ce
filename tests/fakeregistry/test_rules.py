import pytest

from fakeregistry.journal import Journal
from fakeregistry.rules import Rule, path_matches


def ask(target="/v2/a/b/blobs/sha256:00", method="GET", headers=(), server="registry"):
    return Journal().begin(method, target, headers, server=server)


@pytest.mark.parametrize(
    ("pattern", "path", "expected"),
    [
        ("/blobs/*", "/v2/a/blobs/sha256:00", True),
        ("/blobs/*", "/v2/a/b/c/blobs/sha256:00", True),
        ("/blobs/*", "/v2/blobs/manifests/1", False),
        ("/blobs/*", "/v2/a/blobs/b/manifests/1", False),
        ("/blobs/*", "/v2/a/blobs/uploads/", True),
        ("/blobs/*", "/blobs/x", False),
        ("/manifests/1.0", "/v2/a/manifests/1.0", True),
        ("/manifests/1.0", "/v2/a/manifests/1.01", False),
        ("/manifests/1.?", "/v2/a/manifests/1.0", True),
        ("/tags/list", "/v2/a/tags/list", True),
        ("/referrers/*", "/v2/a/referrers/sha256:00", True),
        ("/v2/*/blobs/*", "/v2/a/b/blobs/x", True),
        ("/library/hello/*", "/v2/library/hello/manifests/1", True),
        ("/library/hello/*", "/v2/library/hello2/manifests/1", False),
        ("/token", "/token", True),
        ("/token", "/v2/token", True),
        ("/", "/v2/", True),
        ("/v2/", "/v2/", True),
        ("*", "/anything", True),
        ("/V2/", "/v2/", False),
    ],
)
def test_path_patterns(pattern, path, expected):
    assert path_matches(pattern, path) is expected


@pytest.mark.parametrize(
    ("criteria", "expected"),
    [
        ({}, True),
        ({"method": "GET"}, True),
        ({"method": "HEAD"}, False),
        ({"digest": "sha256:00"}, True),
        ({"digest": "sha256:01"}, False),
        ({"reference": "sha256:00"}, True),
        ({"reference": "1"}, False),
        ({"server": "registry"}, True),
        ({"server": "cdn"}, False),
        ({"range": True}, True),
        ({"range": False}, False),
        ({"authorized": False}, True),
        ({"authorized": True}, False),
        ({"when": lambda exchange: exchange.query == "ns=x"}, True),
        ({"when": lambda exchange: not exchange.query}, False),
        ({"path": "/blobs/*", "method": "GET", "digest": "sha256:01"}, False),
    ],
)
def test_criteria(criteria, expected):
    exchange = ask("/v2/a/blobs/sha256%3A00?ns=x", headers=[("range", "bytes=1-")])
    assert Rule(**criteria).matches(exchange) is expected


@pytest.mark.parametrize(
    ("criteria", "named"),
    [
        ({"method": "get"}, "method"),
        ({"path": "blobs/*"}, "path"),
        ({"digest": "latest"}, "digest"),
        ({"server": "mirror"}, "server"),
    ],
)
def test_criteria_that_can_never_hold_are_refused(criteria, named):
    with pytest.raises(ValueError, match=f"^{named}="):
        Rule(**criteria)


def test_a_rule_tells_its_criteria():
    assert str(Rule()) == "any request"
    assert str(Rule(method="GET", path="/x")) == "method='GET', path='/x'"
