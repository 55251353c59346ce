"""Referrers: distribution-spec v1.1.1, Listing Referrers."""

import json

import httpx
import pytest

from fakeregistry import Descriptor, Features, Registry
from fakeregistry.referrers import fallback_tag, update_tag

OCI = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
SUBJECT = "sha256:" + "a" * 64
SBOM, SIGNATURE = "application/vnd.example.sbom", "application/vnd.example.signature"


@pytest.fixture(scope="module")
def http():
    with httpx.Client(trust_env=False) as client:
        yield client


def put(registry, media_type=OCI, subject=SUBJECT, **members):
    document = {"schemaVersion": 2, "subject": {"digest": subject}} | members
    data = json.dumps(document).encode()
    return registry.put_manifest("a/b", data, media_type=media_type)


def ask(http, registry, digest=SUBJECT, **query):
    url = f"{registry.url}/v2/a/b/referrers/{digest}"
    return http.get(url, params=query or None)


def digests(answer):
    return {entry["digest"] for entry in answer.json()["manifests"]}


def test_what_an_entry_tells(http):
    with Registry() as registry:
        config = {"mediaType": "application/vnd.example.config"}
        notes = {"created": "today"}
        typed = put(registry, artifactType=SBOM, annotations=notes, config=config)
        empty = put(registry, artifactType="", config=config)
        index = put(registry, INDEX, manifests=[])
        put(registry, subject="sha256:" + "b" * 64)
        registry.put_manifest("a/b", b"no JSON", media_type=OCI)
        registry.put_manifest("a/b", b"[]", media_type=OCI)
        registry.put_manifest("a/b", b'{"subject": 1}', media_type=OCI)
        answer = ask(http, registry)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == INDEX
    assert "OCI-Filters-Applied" not in answer.headers
    document = answer.json()
    assert (document["schemaVersion"], document["mediaType"]) == (2, INDEX)
    expected = [
        typed.to_json() | {"artifactType": SBOM, "annotations": notes},
        # "the value of artifactType MUST be set to the config descriptor mediaType"
        empty.to_json() | {"artifactType": config["mediaType"]},
        # "missing in an index, the artifactType MUST be omitted"
        index.to_json(),
    ]
    assert document["manifests"] == sorted(expected, key=lambda entry: entry["digest"])


def test_nobody_refers_to_it(http):
    """ "The registry MUST NOT return a 404": also where the repository is unknown."""
    with Registry() as registry:
        answer = ask(http, registry)
        assert (answer.status_code, answer.json()["manifests"]) == (200, [])
        invalid = ask(http, registry, "latest")
        assert invalid.status_code == 400
        assert invalid.json()["errors"][0]["code"] == "DIGEST_INVALID"
        url = f"{registry.url}/v2/a/b/referrers/{SUBJECT}"
        assert http.head(url).status_code == 200
        assert http.delete(url).headers["Allow"] == "GET, HEAD"


def test_filter(http):
    with Registry() as registry:
        sbom = put(registry, artifactType=SBOM)
        put(registry, artifactType=SIGNATURE)
        answer = ask(http, registry, artifactType=SBOM)
        assert answer.headers["OCI-Filters-Applied"] == "artifactType"
        assert digests(answer) == {sbom.digest}
        nothing = ask(http, registry, artifactType="x")
        assert nothing.headers["OCI-Filters-Applied"] == "artifactType"
        assert digests(nothing) == set()


@pytest.mark.parametrize("query", [{}, {"artifactType": SBOM}])
def test_pages(http, query):
    """ "A Link header MUST be included" when it takes several answers."""
    with Registry(features=Features(page_size=2)) as registry:
        wanted = {put(registry, artifactType=SBOM, n=n).digest for n in range(5)}
        others = {put(registry, artifactType=SIGNATURE, n=n).digest for n in range(3)}
        pages, answer = [], ask(http, registry, **query)
        while True:
            pages.append(digests(answer))
            link = answer.headers.get("Link")
            if link is None:
                break
            assert link.endswith('>; rel="next"')
            answer = http.get(registry.url + link[1:].partition(">")[0])
    assert all(len(page) == 2 for page in pages[:-1])
    found = [digest for page in pages for digest in page]
    assert len(found) == len(set(found))
    assert set(found) == (wanted if query else wanted | others)


def test_a_list_follows_what_is_pushed_and_deleted(http):
    """ "Registries MUST include all newly pushed image manifests"."""
    with Registry() as registry:
        found = put(registry, artifactType=SBOM)
        assert digests(ask(http, registry)) == {found.digest}
        # The same digest may get other bytes here: what was read is read again.
        registry.put_manifest("a/b", b"{}", media_type=OCI, digest=found.digest)
        assert digests(ask(http, registry)) == set()
        again = put(registry, artifactType=SBOM)
        registry.store.delete("a/b", again.digest)
        assert digests(ask(http, registry)) == set()


def test_without_the_api_the_list_is_a_tag(http):
    """Referrers Tag Schema: what publishes does as clients that push do."""
    with Registry(features=Features(referrers=False)) as registry:
        image = registry.publish("a/b:1")
        assert ask(http, registry, image.digest).status_code == 404
        tag = fallback_tag(image.digest)
        url = f"{registry.url}/v2/a/b/manifests/{tag}"
        assert http.get(url).status_code == 404
        subject = Descriptor(OCI, image.digest, image.descriptor.size)
        made = [
            registry.publish("a/b:2", subject=subject, artifact_type=kind)
            for kind in (SBOM, SIGNATURE)
        ]
        answer = http.get(url)
        assert answer.headers["Content-Type"] == INDEX
        assert digests(answer) == {item.digest for item in made}
        registry.store.delete("a/b", made[0].digest)
        assert update_tag(registry.store, "a/b", image.digest) == tag
        assert digests(http.get(url)) == {made[1].digest}


@pytest.mark.parametrize(
    ("digest", "tag"),
    [
        ("sha256:" + "a" * 64, "sha256-" + "a" * 64),
        ("sha512:" + "b" * 128, "sha512-" + "b" * 64),
        (
            "test+algorithm+using+algorithm+separators+and+lots+of+characters:x=y",
            "test-algorithm-using-algorithm-s-x-y",
        ),
    ],
)
def test_fallback_tags(digest, tag):
    assert fallback_tag(digest) == tag
