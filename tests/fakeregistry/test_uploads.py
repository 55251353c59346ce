"""Blobs going in: distribution-spec v1.1.1, Pushing blobs."""

import hashlib
import re
import socket
from urllib.parse import urljoin

import httpx
import pytest

from fakeregistry import BasicAuth, Features, Registry, TokenAuth

DATA = bytes(range(256)) * 10
ZEROS = "sha256:" + "0" * 64


def digest_of(data, algorithm="sha256"):
    return f"{algorithm}:{hashlib.new(algorithm, data).hexdigest()}"


@pytest.fixture
def http():
    with httpx.Client(trust_env=False) as client:
        yield client


@pytest.fixture
def registry():
    with Registry() as registry:
        yield registry


@pytest.fixture
def begin(registry, http):
    """Begin uploads; return the URLs of them."""

    def start(name="a/b", **query):
        answer = http.post(
            f"{registry.url}/v2/{name}/blobs/uploads/", params=query or None
        )
        assert answer.status_code == 202
        assert answer.content == b""
        return urljoin(registry.url, answer.headers["Location"])

    return start


def finish(http, url, digest, content=b"", **headers):
    return http.put(f"{url}&digest={digest}", content=content, headers=headers)


def code(answer):
    return answer.json()["errors"][0]["code"]


def stored(registry, digest, name="a/b"):
    return bytes(registry.store.repository(name).blobs[digest].data)


def test_post_then_put(registry, http, begin):
    """POST then PUT: end-4a and end-6."""
    digest = digest_of(DATA)
    answer = finish(http, begin(), digest, DATA)
    assert answer.status_code == 201
    assert answer.headers["Location"] == f"/v2/a/b/blobs/{digest}"
    assert answer.headers["Docker-Content-Digest"] == digest
    assert http.get(registry.url + answer.headers["Location"]).content == DATA


def test_single_post(registry, http):
    """Single POST: end-4b."""
    url = f"{registry.url}/v2/a/b/blobs/uploads/"
    digest = digest_of(DATA)
    answer = http.post(url, params={"digest": digest}, content=DATA)
    assert answer.status_code == 201
    assert answer.headers["Location"] == f"/v2/a/b/blobs/{digest}"
    assert stored(registry, digest) == DATA
    wrong = http.post(url, params={"digest": ZEROS}, content=DATA)
    assert (wrong.status_code, code(wrong)) == (400, "DIGEST_INVALID")
    assert http.get(f"{registry.url}/v2/a/b/blobs/{ZEROS}").status_code == 404


@pytest.mark.parametrize("algorithm", ["sha256", "sha384", "sha512"])
def test_every_algorithm(registry, http, begin, algorithm):
    """image-spec v1.1, Registered Algorithms; announced or not."""
    digest = digest_of(DATA, algorithm)
    for query in ({}, {"digest-algorithm": algorithm}):
        assert finish(http, begin(**query), digest, DATA).status_code == 201
        assert stored(registry, digest) == DATA


def test_an_empty_blob(registry, http, begin):
    digest = digest_of(b"")
    assert finish(http, begin(), digest).status_code == 201
    answer = http.get(f"{registry.url}/v2/a/b/blobs/{digest}")
    assert (answer.content, answer.headers["Content-Length"]) == (b"", "0")


def test_chunks(registry, http, begin):
    """Pushing a blob in chunks: end-5, end-6 and end-13."""
    url = begin()
    assert http.get(url).headers["Range"] == "0-0"
    for first in range(0, len(DATA), 1000):
        part = DATA[first : first + 1000]
        last = first + len(part) - 1
        answer = http.patch(
            url, content=part, headers={"Content-Range": f"{first}-{last}"}
        )
        assert answer.status_code == 202
        assert answer.headers["Range"] == f"0-{last}"
        assert "OCI-Chunk-Min-Length" not in answer.headers
        status = http.get(urljoin(registry.url, answer.headers["Location"]))
        assert (status.status_code, status.headers["Range"]) == (204, f"0-{last}")
        assert http.head(url).headers["Range"] == f"0-{last}"
    assert finish(http, url, digest_of(DATA)).status_code == 201
    assert stored(registry, digest_of(DATA)) == DATA
    assert code(http.get(url)) == "BLOB_UPLOAD_UNKNOWN"


def test_a_stream_of_unknown_length_and_a_last_chunk_in_the_put(registry, http, begin):
    url = begin()
    assert http.patch(url, content=iter([DATA[:9], DATA[9:99]])).status_code == 202
    answer = finish(
        http, url, digest_of(DATA), DATA[99:], **{"Content-Range": "99-2559"}
    )
    assert answer.status_code == 201
    assert stored(registry, digest_of(DATA)) == DATA


@pytest.mark.parametrize("method", ["PATCH", "PUT"])
def test_a_gap_and_a_repetition_get_416(http, begin, method):
    """ "If a chunk is uploaded out of order, the registry MUST respond with a 416"."""
    url = begin()
    http.patch(url, content=DATA[:10], headers={"Content-Range": "0-9"})
    for value in ("11-20", "0-9", "9-18"):
        target = f"{url}&digest={digest_of(DATA)}" if method == "PUT" else url
        answer = http.request(
            method, target, content=DATA[:10], headers={"Content-Range": value}
        )
        assert (answer.status_code, code(answer)) == (416, "BLOB_UPLOAD_INVALID")
        assert answer.headers["Range"] == "0-9"
        assert answer.headers["Location"] in url
    assert finish(http, url, digest_of(DATA), DATA[10:]).status_code == 201


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("bytes=0-9", "BLOB_UPLOAD_INVALID"),
        ("0-", "BLOB_UPLOAD_INVALID"),
        ("9-0", "BLOB_UPLOAD_INVALID"),
        ("0-8", "SIZE_INVALID"),
        ("0-10", "SIZE_INVALID"),
    ],
)
def test_a_range_that_is_not_that_of_the_chunk(http, begin, value, expected):
    """It MUST match ``^[0-9]+-[0-9]+$``; nothing of the chunk is kept."""
    for content in (DATA[:10], iter([DATA[:4], DATA[4:10]])):
        url = begin()
        answer = http.patch(url, content=content, headers={"Content-Range": value})
        assert (answer.status_code, code(answer)) == (400, expected)
        assert http.get(url).headers["Range"] == "0-0"
        assert finish(http, url, digest_of(DATA), DATA).status_code == 201


def test_what_broke_off_is_resumed(registry, http, begin):
    """ "A GET request may be used to retrieve the current valid offset"."""
    url = begin()
    target = url.removeprefix(registry.url)
    with socket.create_connection(("127.0.0.1", registry.port), timeout=10) as sock:
        sock.sendall(
            f"PATCH {target} HTTP/1.1\r\nHost: x\r\nContent-Length: 2560\r\n"
            "Content-Range: 0-2559\r\n\r\n".encode()
            + DATA[:1000]
        )
        sock.shutdown(socket.SHUT_WR)
        assert sock.recv(100).startswith(b"HTTP/1.1 400 ")
    assert registry.journal[-1].body.size == 1000
    assert http.get(url).headers["Range"] == "0-999"
    headers = {"Content-Range": "1000-2559"}
    assert http.patch(url, content=DATA[1000:], headers=headers).status_code == 202
    assert finish(http, url, digest_of(DATA)).status_code == 201


@pytest.mark.parametrize("digest", ["", "sha256:1", "md5:" + "0" * 32, "x", ZEROS])
def test_digests_that_cannot_be_right(registry, http, begin, digest):
    url = begin()
    answer = finish(http, url, digest, DATA)
    assert (answer.status_code, code(answer)) == (400, "DIGEST_INVALID")
    assert registry.store.repository("a/b") is None
    # Only a digest that was computed and is another one ends the session.
    ended = http.get(url).status_code == 404
    assert ended == (digest == ZEROS)


def test_cancel(http, begin):
    url = begin()
    http.patch(url, content=DATA)
    assert http.delete(url).status_code == 204
    for method in ("GET", "PATCH", "PUT", "DELETE"):
        answer = http.request(method, url)
        assert answer.status_code == 404
        assert code(answer) == "BLOB_UPLOAD_UNKNOWN"


def test_sessions_are_secret_and_of_one_repository(registry, http, begin):
    """ "The <location> MUST contain a UUID"; its query is critical."""
    url = begin()
    path, _, query = url.partition("?")
    assert re.fullmatch(r".*/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", path)
    for other in (path, f"{path}?_state=x", url.replace("/a/b/", "/a/c/")):
        assert code(http.patch(other, content=DATA)) == "BLOB_UPLOAD_UNKNOWN"
    registry.expire_uploads()
    assert code(http.get(f"{path}?{query}")) == "BLOB_UPLOAD_UNKNOWN"


def test_a_session_that_is_written_to_expires_afterwards(tmp_path, http):
    """A client that hangs holds up neither the call nor the end."""
    with Registry(storage=tmp_path) as registry:
        location = http.post(f"{registry.url}/v2/a/blobs/uploads/").headers["Location"]
        head = f"PATCH {location} HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n"
        with socket.create_connection(("127.0.0.1", registry.port), timeout=10) as sock:
            sock.sendall(head.encode() + b"1234")
            # The body is asked for while the session is held.
            registry.journal.wait_for(1, method="PATCH")
            registry.expire_uploads()
            assert http.get(registry.url + location).status_code == 404
    assert not list((tmp_path / ".uploads").iterdir())


def test_a_single_post_that_breaks_off_leaves_nothing(tmp_path):
    with Registry(storage=tmp_path) as registry:
        path = f"/v2/a/blobs/uploads/?digest={ZEROS}"
        head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n"
        with socket.create_connection(("127.0.0.1", registry.port), timeout=10) as sock:
            sock.sendall(head.encode() + b"1234")
            sock.shutdown(socket.SHUT_WR)
            assert sock.recv(100).startswith(b"HTTP/1.1 400 ")
        assert not list((tmp_path / ".uploads").iterdir())


def test_an_algorithm_that_nobody_knows(registry, http):
    url = f"{registry.url}/v2/a/blobs/uploads/"
    answer = http.post(url, params={"digest-algorithm": "md5"})
    assert (answer.status_code, code(answer)) == (400, "DIGEST_INVALID")


def test_mount(registry, http):
    """Mounting a blob from another repository: end-11."""
    digest = registry.put_blob("base", DATA).digest
    url = f"{registry.url}/v2/new/blobs/uploads/"
    answer = http.post(url, params={"mount": digest, "from": "base"})
    assert answer.status_code == 201
    assert answer.headers["Location"] == f"/v2/new/blobs/{digest}"
    assert answer.headers["Docker-Content-Digest"] == digest
    mounted = registry.store.repository("new").blobs[digest]
    assert mounted.data is registry.store.repository("base").blobs[digest].data
    registry.store.delete_blob("base", digest)
    assert stored(registry, digest, "new") == DATA


@pytest.mark.parametrize(
    "query",
    [
        {"mount": ZEROS, "from": "base"},
        {"mount": "nonsense", "from": "base"},
        {"mount": ZEROS, "from": "../base"},
        {"mount": ZEROS},
    ],
)
def test_what_cannot_be_mounted_is_uploaded(registry, http, query):
    """ "If [...] unable to mount the requested blob, it SHOULD return a 202"."""
    registry.put_blob("base", b"other")
    answer = http.post(f"{registry.url}/v2/new/blobs/uploads/", params=query)
    assert answer.status_code == 202
    url = urljoin(registry.url, answer.headers["Location"])
    assert finish(http, url, digest_of(DATA), DATA).status_code == 201


def test_an_anonymous_mount_and_one_that_is_switched_off(http):
    for features, status in [
        (Features(), 201),
        (Features(anonymous_mount=False), 202),
        (Features(mount=False), 202),
    ]:
        with Registry(features=features) as registry:
            digest = registry.put_blob("base", DATA).digest
            url = f"{registry.url}/v2/new/blobs/uploads/"
            assert http.post(url, params={"mount": digest}).status_code == status


def test_nothing_is_mounted_out_of_what_may_not_be_read(http):
    with Registry(BasicAuth("u", "p", forbidden=["secret"])) as registry:
        digest = registry.put_blob("secret", DATA).digest
        url = f"{registry.url}/v2/new/blobs/uploads/"
        for query in ({"mount": digest}, {"mount": digest, "from": "secret"}):
            assert http.post(url, params=query, auth=("u", "p")).status_code == 202


def test_features(http):
    features = Features(single_post=False, min_chunk=5, absolute_locations=True)
    with Registry(features=features) as registry:
        url = f"{registry.url}/v2/a/b/blobs/uploads/"
        answer = http.post(url, params={"digest": digest_of(DATA)}, content=DATA)
        assert answer.status_code == 202
        assert answer.headers["OCI-Chunk-Min-Length"] == "5"
        location = answer.headers["Location"]
        assert location.startswith(f"{registry.url}/v2/")
        done = finish(http, location, digest_of(DATA), DATA)
        assert done.headers["Location"] == (
            f"{registry.url}/v2/a/b/blobs/{digest_of(DATA)}"
        )
    with Registry(features=Features(push=False)) as registry:
        answer = http.post(f"{registry.url}/v2/a/b/blobs/uploads/")
        assert (answer.status_code, code(answer)) == (405, "UNSUPPORTED")
    with pytest.raises(ValueError, match="min_chunk=0"):
        Features(min_chunk=0)


def test_methods_that_are_not_there(registry, http, begin):
    url = begin()
    for method, target, allowed in [
        ("POST", url, "DELETE, GET, HEAD, PATCH, PUT"),
        ("GET", f"{registry.url}/v2/a/b/blobs/uploads/", "POST"),
        ("PUT", f"{registry.url}/v2/a/b/blobs/uploads", "POST"),
    ]:
        answer = http.request(method, target)
        assert (answer.status_code, code(answer)) == (405, "UNSUPPORTED")
        assert answer.headers["Allow"] == allowed


def test_a_client_that_asks_first(registry, begin):
    """RFC 9110 section 10.1.1: a refusal comes before the body does."""
    target = begin().removeprefix(registry.url)
    wrong = f"PATCH {target}x HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"
    right = wrong.replace("x HTTP", " HTTP")
    for head, first, then in [
        (wrong, b"HTTP/1.1 404 ", b""),
        (right, b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 202 "),
    ]:
        with socket.create_connection(("127.0.0.1", registry.port), timeout=10) as sock:
            sock.sendall(head.encode() + b"Content-Length: 3\r\n\r\n")
            received = sock.recv(4096)
            assert received.startswith(first)
            if then:
                sock.sendall(b"abc")
                assert sock.recv(4096).startswith(then)
            else:
                assert b"\r\nConnection: close\r\n" in received


@pytest.mark.slow
def test_a_long_body_is_not_held_in_memory(registry, http, begin):
    """What does not fit goes to a file without a name."""
    size, block = 24_000_000, bytes(1_000_000)
    expected = hashlib.sha256()
    for _ in range(24):
        expected.update(block)
    digest = f"sha256:{expected.hexdigest()}"
    url = begin()
    assert http.patch(url, content=(block for _ in range(24))).status_code == 202
    assert len(registry.journal[-1].request_body) < 10_000
    assert finish(http, url, digest).status_code == 201
    content = registry.store.repository("a/b").blobs[digest].content
    assert isinstance(content, memoryview)
    assert type(content.obj).__name__ == "mmap"
    assert len(content) == size


def test_faults_and_gates_meet_uploads(registry, http, begin):
    url = begin()
    fault = registry.fault(method="PATCH", path="/blobs/uploads/*", times=1, status=503)
    assert http.patch(url, content=DATA).status_code == 503
    assert http.patch(url, content=DATA).status_code == 202
    assert fault.fired == 1
    with registry.gate("/blobs/uploads/*", method="PUT") as gate:
        gate.release()
        assert finish(http, url, digest_of(DATA)).status_code == 201
    assert len(gate.arrived) == 1


def test_push_needs_more_than_pull(http):
    """Docker Registry v2 authentication: the challenge says what for."""
    with Registry(TokenAuth()) as registry:
        digest = registry.put_blob("base", DATA).digest
        url = f"{registry.url}/v2/new/blobs/uploads/"

        def ask(scope, **query):
            token = None
            if scope:
                found = http.get(f"{registry.url}/token", params={"scope": scope})
                token = {"Authorization": f"Bearer {found.json()['token']}"}
            return http.post(url, params=query or None, headers=token)

        refused = ask([], mount=digest, **{"from": "base"})
        assert refused.status_code == 401
        challenge = refused.headers["WWW-Authenticate"]
        assert 'scope="repository:new:pull,push repository:base:pull"' in challenge
        weak = ask(["repository:new:pull"])
        assert weak.status_code == 401
        assert 'error="insufficient_scope"' in weak.headers["WWW-Authenticate"]
        push = "repository:new:pull,push"
        assert ask([push]).status_code == 202
        assert ask([push], mount=digest).status_code == 201
        again = ask([push], mount=digest, **{"from": "base"})
        assert again.headers["WWW-Authenticate"].startswith(challenge)
        both = [push, "repository:base:pull"]
        assert ask(both, mount=digest, **{"from": "base"}).status_code == 201


def test_a_repository_that_is_forbidden_is_not_asked_for_again(http):
    """A challenge that cannot be met would end the push: upload in its place."""
    with Registry(TokenAuth(forbidden=["secret"])) as registry:
        digest = registry.put_blob("secret", DATA).digest
        scope = ["repository:new:pull,push", "repository:secret:pull"]
        found = http.get(f"{registry.url}/token", params={"scope": scope}).json()
        headers = {"Authorization": f"Bearer {found['token']}"}
        for query in ({"mount": digest}, {"mount": digest, "from": "secret"}):
            answer = http.post(
                f"{registry.url}/v2/new/blobs/uploads/", params=query, headers=headers
            )
            assert answer.status_code == 202


def test_who_may_only_read(http):
    auth = TokenAuth(actions=["pull"])
    with Registry(auth) as registry:
        scope = "repository:a:pull,push"
        found = http.get(f"{registry.url}/token", params={"scope": scope}).json()
        headers = {"Authorization": f"Bearer {found['token']}"}
        url = f"{registry.url}/v2/a/blobs/uploads/"
        assert http.post(url, headers=headers).status_code == 401
        assert http.get(f"{registry.url}/v2/", headers=headers).status_code == 200
    with Registry(BasicAuth("u", "p", actions=["pull", "delete"])) as registry:
        url = f"{registry.url}/v2/a/blobs/uploads/"
        denied = http.post(url, auth=("u", "p"))
        assert (denied.status_code, code(denied)) == (403, "DENIED")
    with pytest.raises(ValueError, match="actions="):
        BasicAuth("u", "p", actions="pull")
