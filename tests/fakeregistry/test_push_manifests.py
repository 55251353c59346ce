"""Manifests going in: distribution-spec v1.1.1, Pushing Manifests."""

import hashlib
import json

import httpx
import pytest

from fakeregistry import Features, Registry

OCI = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
DOCKER = "application/vnd.docker.distribution.manifest.v2+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"
ZEROS = "sha256:" + "0" * 64


def digest_of(data, algorithm="sha256"):
    return f"{algorithm}:{hashlib.new(algorithm, data).hexdigest()}"


def described(data, media_type=LAYER, **more):
    return {
        "mediaType": media_type,
        "digest": digest_of(data),
        "size": len(data),
    } | more


def image(**members):
    """Return a manifest of what the registry holds, with members changed."""
    config = described(b"{}", "application/vnd.oci.image.config.v1+json")
    document = {"schemaVersion": 2, "mediaType": OCI, "config": config}
    document |= {"layers": [described(b"layer")]} | members
    kept = {name: value for name, value in document.items() if value is not ...}
    # Blanks that no canonical form has: the bytes are kept.
    return json.dumps(kept, indent=3).encode()


def index(*entries, **members):
    document = {"schemaVersion": 2, "mediaType": INDEX, "manifests": list(entries)}
    return json.dumps(document | members).encode()


def begin(**features):
    registry = Registry(features=Features(**features))
    for data in (b"{}", b"layer"):
        registry.put_blob("a/b", data)
    return registry


@pytest.fixture(scope="module")
def registry():
    with begin() as registry:
        yield registry


@pytest.fixture(scope="module")
def http():
    with httpx.Client(trust_env=False) as client:
        yield client


@pytest.fixture
def put(registry, http):
    def push(data, reference="1", media_type=OCI, to=registry, **headers):
        fields = {name.replace("_", "-"): value for name, value in headers.items()}
        if media_type is not None:
            fields["Content-Type"] = media_type
        url = f"{to.url}/v2/a/b/manifests/{reference}"
        return http.put(url, content=data, headers=fields)

    return push


def code(answer):
    return answer.json()["errors"][0]["code"]


@pytest.mark.parametrize("reference", ["tag", "sha256", "sha384", "sha512"])
def test_bytes_are_kept_under_every_reference(registry, http, put, reference):
    """ "The registry MUST store the manifest in the exact byte representation"."""
    data = image(annotations={"for": reference})
    digest = digest_of(data, "sha256" if reference == "tag" else reference)
    answer = put(data, "tag" if reference == "tag" else digest)
    assert (answer.status_code, answer.content) == (201, b"")
    assert answer.headers["Location"] == f"/v2/a/b/manifests/{digest}"
    assert answer.headers["Docker-Content-Digest"] == digest
    assert "OCI-Subject" not in answer.headers
    found = http.get(registry.url + answer.headers["Location"])
    assert found.content == data
    assert found.headers["Content-Type"] == OCI


def test_a_tag_moves(registry, put):
    first, second = image(annotations={"n": "1"}), image(annotations={"n": "2"})
    for data in (first, second):
        assert put(data, "moving").status_code == 201
        assert registry.store.repository("a/b").tags["moving"] == digest_of(data)


@pytest.mark.parametrize(
    ("data", "media_type", "stored"),
    [
        (image(), f"{OCI}; charset=utf-8", OCI),
        (image(), None, OCI),
        (image(), OCI.upper(), OCI),
        (image(mediaType=...), OCI, OCI),
        (image(mediaType=DOCKER), DOCKER, DOCKER),
        (b'{"anything": 1}', "application/vnd.example+json", None),
    ],
)
def test_what_it_is(registry, put, data, media_type, stored):
    """ "The registry SHOULD ignore parameters on the Content-Type header"."""
    assert put(data, "typed", media_type).status_code == 201
    found = registry.store.repository("a/b").manifest("typed")
    assert found.media_type == (stored or media_type)


@pytest.mark.parametrize(
    ("data", "media_type"),
    [
        (b"", OCI),
        (b"[]", OCI),
        (b"{", OCI),
        (b'{"a": NaN}', OCI),
        (b'{"a": "\xff"}', OCI),
        (b"[" * 100_000, OCI),
        (image().decode().encode("utf-16"), OCI),
        (image(), DOCKER),
        (image(mediaType=...), None),
        (image(mediaType=1), OCI),
        (image(mediaType="a\nb"), None),
        (image(schemaVersion=1), OCI),
        (image(config=...), OCI),
        (image(layers=...), OCI),
        (image(layers={}), OCI),
        (image(layers=[1]), OCI),
        (image(layers=[described(b"layer", size="5")]), OCI),
        (image(layers=[described(b"layer", size=-5)]), OCI),
        (image(layers=[described(b"layer", digest="latest")]), OCI),
        (image(layers=[described(b"layer", mediaType=None)]), OCI),
        (image(manifests=[]), OCI),
        (image(subject="sha256:1"), OCI),
        (index({"digest": ZEROS}), INDEX),
        (b'{"subject": {}}', "application/vnd.example+json"),
    ],
)
def test_what_is_no_manifest(put, data, media_type):
    answer = put(data, "bad", media_type)
    assert (answer.status_code, code(answer)) == (400, "MANIFEST_INVALID")


def test_everything_that_is_missing_is_named(put):
    """ "It MUST result in one or more MANIFEST_BLOB_UNKNOWN errors"."""
    lost = [described(b"x"), described(b"layer"), described(b"y"), described(b"x")]
    for data, media_type in [
        (image(layers=lost), OCI),
        (index(described(b"x", OCI), described(b"y", OCI)), INDEX),
    ]:
        answer = put(data, "sparse", media_type)
        assert answer.status_code == 400
        assert [
            (error["code"], error["detail"]["digest"])
            for error in answer.json()["errors"]
        ] == [("MANIFEST_BLOB_UNKNOWN", digest_of(data)) for data in (b"x", b"y")]


def test_what_need_not_be_there(put):
    """Layers that are not distributed; a subject, in either order."""
    foreign = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"
    oci = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"
    layers = [
        described(b"x", foreign),
        described(b"x", oci),
        described(b"x", urls=["http://127.0.0.1/x"]),
    ]
    assert put(image(layers=layers), "foreign").status_code == 201
    subject = described(b"not there", OCI)
    answer = put(image(subject=subject), "referrer")
    assert answer.status_code == 201
    assert answer.headers["OCI-Subject"] == subject["digest"]


def test_an_index_of_what_is_there(put):
    data = image()
    put(data, "child")
    cached = described(b"layer")
    assert put(index(described(data, OCI), cached), "i", INDEX).status_code == 201


def test_the_digest_must_match(put):
    for reference in (ZEROS, "sha256:short", "md5:" + "0" * 32, "sha256:" + "A" * 64):
        answer = put(image(), reference)
        assert (answer.status_code, code(answer)) == (400, "DIGEST_INVALID")


def test_what_is_no_reference(put):
    for reference in ("-a", "a" * 129, "%C3%A4"):
        answer = put(image(), reference)
        assert (answer.status_code, code(answer)) == (400, "MANIFEST_INVALID")


def test_tags_as_parameters(registry, put):
    """Pushing by digest with ``?tag=``, of the specification's next version."""
    data = image(annotations={"many": "tags"})
    query = "&".join(f"tag=v{number % 10}" for number in range(11))
    answer = put(data, f"{digest_of(data)}?{query}")
    assert answer.status_code == 201
    tags = [f"v{number}" for number in range(10)]
    assert answer.headers["OCI-Tag"] == ", ".join(tags)
    repository = registry.store.repository("a/b")
    assert {repository.tags[tag] for tag in tags} == {digest_of(data)}
    assert put(data, f"{digest_of(data)}?tag=-").status_code == 400
    assert "OCI-Tag" not in put(data, "other?tag=unused").headers
    assert "unused" not in repository.tags


def test_sizes(http, put):
    """A limit of its own gets 413, announced or not; 4 MB are always taken."""
    large = image(annotations={"a": "x" * 4_000_000})
    assert put(large, "large").status_code == 201
    with begin(manifest_limit=len(image())) as registry:
        assert put(image(), to=registry).status_code == 201
        for content in (image() + b" ", iter([image(), b" "])):
            answer = put(content, to=registry)
            assert (answer.status_code, code(answer)) == (413, "SIZE_INVALID")


def test_a_lenient_registry_looks_at_nothing(put):
    with begin(lenient=True) as registry:
        for data in (image(layers=[described(b"x")]), image(schemaVersion=7)):
            assert put(data, to=registry).status_code == 201
        assert code(put(b"no JSON", to=registry)) == "MANIFEST_INVALID"


def test_without_the_referrers_api_no_subject_is_processed(put):
    with begin(referrers=False, tag_parameters=False, push=True) as registry:
        data = image(subject=described(b"x", OCI))
        answer = put(data, f"{digest_of(data)}?tag=t", to=registry)
        assert answer.status_code == 201
        assert "OCI-Subject" not in answer.headers
        assert not registry.store.repository("a/b").tags


def test_lost_updates_are_refused(registry, put):
    """RFC 9110 section 13.1: If-Match, If-None-Match, If-Unmodified-Since."""
    first, second = image(annotations={"n": "1"}), image(annotations={"n": "2"})
    old = "Mon, 01 Jan 2001 00:00:00 GMT"
    tag = f'"{digest_of(first)}"'
    for headers, status in [
        ({"If_Match": "*"}, 412),
        ({"If_None_Match": "*"}, 201),
        ({"If_None_Match": "*"}, 412),
        ({"If_Match": f'"{ZEROS}"'}, 412),
        ({"If_Match": f"W/{tag}"}, 412),
        ({"If_Match": f'"x", {tag}'}, 201),
        ({"If_None_Match": tag}, 412),
        ({"If_None_Match": '"x"'}, 201),
        ({"If_Unmodified_Since": old}, 412),
    ]:
        answer = put(first, "guarded", **headers)
        assert answer.status_code == status, headers
        if status == 412:
            assert code(answer) == "UNSUPPORTED"
    assert put(second, "guarded", If_Match=tag).status_code == 201
    assert put(first, "guarded", If_Match=tag).status_code == 412
    found = registry.store.repository("a/b").tags["guarded"]
    assert found == digest_of(second)


def test_a_reader_can_insist_too(registry, http, put):
    put(image(), "read")
    url = f"{registry.url}/v2/a/b/manifests/read"
    tag = http.get(url).headers["ETag"]
    for headers, status in [
        ({"If-Match": tag}, 200),
        ({"If-Match": "*"}, 200),
        ({"If-Match": '"x"'}, 412),
        ({"If-Match": tag, "If-None-Match": tag}, 304),
        ({"If-Unmodified-Since": "Mon, 01 Jan 2001 00:00:00 GMT"}, 412),
        ({"If-Unmodified-Since": "nonsense"}, 200),
    ]:
        assert http.get(url, headers=headers).status_code == status, headers


def test_names(registry, http):
    answer = http.put(f"{registry.url}/v2/A/manifests/1", content=image())
    assert (answer.status_code, code(answer)) == (400, "NAME_INVALID")
    answer = http.post(f"{registry.url}/v2/a/b/manifests/1", content=image())
    assert (answer.status_code, code(answer)) == (405, "UNSUPPORTED")
    assert answer.headers["Allow"] == "DELETE, GET, HEAD, PUT"


def test_warnings_for_people(http):
    """distribution-spec v1.1.1, Warnings."""
    with begin() as registry:
        notice = registry.warn('say "hi" \\', path="/tags/*", times=1)
        registry.warn("x" * 4040, path="/tags/*")
        registry.warn("too much with the others", path="/tags/*", method="GET")
        url = f"{registry.url}/v2/a/b/tags/list"
        values = http.get(url).headers.get_list("Warning")
        assert values == ['299 - "say \\"hi\\" \\\\"', f'299 - "{"x" * 4040}"']
        again = http.get(url).headers.get_list("Warning")
        assert again == [values[1], '299 - "too much with the others"']
        assert notice.fired == len(notice.exchanges) == 1
        assert "Warning" not in http.get(f"{registry.url}/v2/").headers
        for text in ("", "a\r\nb", "ä", "x" * 5000):
            with pytest.raises(ValueError, match=r"warning|header"):
                registry.warn(text)
        with pytest.raises(ValueError, match="times=0"):
            registry.warn("x", times=0)
        with pytest.raises(ValueError, match="colour: unknown"):
            registry.warn("x", colour="red")
