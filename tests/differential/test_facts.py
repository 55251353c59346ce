"""The normal form: what is named, what is counted, and what stays as it is."""

import pytest

from fakeregistry.content import build_image
from fakeregistry.image import digest_of
from fakeregistry.journal import Exchange, Journal
from tests.differential.facts import (
    Names,
    content_facts,
    image_facts,
    ingest_facts,
    lease_facts,
    request_facts,
    snapshot_facts,
)

STRANGE = f"sha256:{'ab' * 32}"


def ask(method: str, target: str, status: int = 200, **options) -> Exchange:
    """Return an exchange with headers by their names in snake case."""
    body = options.pop("body", b"")
    server = options.pop("server", "registry")
    headers = [(key.replace("_", "-").title(), text) for key, text in options.items()]
    exchange = Journal().begin(method, target, headers, body=body, server=server)
    exchange.replied(status, [])
    return exchange


def facts_of(*exchanges: Exchange, ordered: bool = False) -> dict[str, str]:
    return request_facts(exchanges, ordered=ordered, naming=lambda text: text)


def test_what_was_published_is_named():
    image = build_image(layers=2)
    names = Names()
    names.add_host("127.0.0.1:5000", "registry")
    names.add_image(image)
    assert names.text(f"127.0.0.1:5000/a@{image.digest}") == "registry/a@<root>"
    assert names.text(image.config.digest) == "<config>"
    assert names.text(f"l.1={image.layers[1].digest}") == "l.1=<layer 1>"


def test_manifests_of_an_index_are_told_apart():
    image = build_image(layers=1, platforms=["linux/amd64", "linux/arm64"])
    names = Names()
    names.add_image(image, "old")
    arm = image.manifest("linux/arm64")
    assert names.text(arm.descriptor.digest) == "<old linux/arm64 manifest>"
    assert names.text(arm.layers[0].digest) == "<old linux/arm64 layer 0>"


def test_chain_ids_are_those_of_image_spec():
    """image-spec v1.1, config.md, Layer ChainID."""
    image = build_image(layers=2)
    names = Names()
    names.add_image(image)
    first, second = image.document(image.config)["rootfs"]["diff_ids"]
    chain = digest_of(f"{first} {second}".encode())
    assert [names.text(item) for item in (first, second, chain)] == [
        *("<diff 0>", "<diff 1>", "<chain 1>"),
    ]


def test_what_the_client_made_stays_as_it_is():
    names = Names()
    names.add_image(build_image())
    assert names.text(STRANGE) == STRANGE


def test_keys_of_extractions_lose_their_random_part():
    """unpacker.go:159 (v1.5.18)."""
    key = f"extract-283710938-Ab_9 {STRANGE}"
    assert Names().text(key) == f"extract-RANDOM {STRANGE}"


def test_paths_and_values_are_named():
    image = build_image()
    names = Names()
    names.add_image(image)
    facts = names.facts({f"content/{image.digest}": image.config.digest})
    assert facts == {"content/<root>": "<config>"}


def test_the_same_requests_are_counted():
    facts = facts_of(
        ask("GET", "/v2/a"), ask("GET", "/v2/a"), ask("HEAD", "/v2/b", 404)
    )
    assert facts["requests/GET /v2/a 200"] == "2 times"
    assert facts["requests/HEAD /v2/b 404"] == "1 time"


def test_what_matters_of_a_request_is_in_its_line():
    exchange = ask("GET", "/v2/a", 206, range="bytes=5-", accept="x/y, */*")
    assert "requests/GET /v2/a 206 bytes=5- accept=x/y, */*" in facts_of(exchange)


@pytest.mark.parametrize("scheme", ["Basic", "Bearer"])
def test_of_credentials_only_the_scheme_is_told(scheme):
    facts = facts_of(ask("GET", "/v2/a", authorization=f"{scheme} c2VjcmV0"))
    assert f"requests/GET /v2/a 200 {scheme}" in facts
    assert "c2VjcmV0" not in str(facts)


def test_of_a_form_passwords_are_left_out():
    body = b"username=me&password=secret&scope=a&grant_type=password"
    facts = facts_of(ask("POST", "/token", body=body))
    line = "POST /token 200 form=grant_type=password&password&scope=a&username=me"
    assert f"requests/{line}" in facts


def test_the_order_of_a_query_does_not_matter():
    one, other = ask("GET", "/token?b=2&a=1"), ask("GET", "/token?a=1&b=2")
    assert facts_of(one) == facts_of(other)


def test_the_signature_of_the_cdn_is_left_out():
    facts = facts_of(ask("GET", "/v2/a?X-Amz-Signature=1", server="cdn"))
    assert "requests/GET cdn /v2/a 200" in facts


def test_the_order_of_requests_counts_where_it_is_fixed():
    one, other = ask("HEAD", "/v2/a"), ask("GET", "/v2/b", accept="x/y")
    assert (
        facts_of(one, other, ordered=True)["order"] == "HEAD /v2/a 200 | GET /v2/b 200"
    )
    assert "order" not in facts_of(one, other)


def test_encodings_are_told_once_and_not_by_request():
    facts = facts_of(ask("GET", "/a", accept_encoding="gzip"), ask("GET", "/b"))
    assert facts["headers/Accept-Encoding of GET"] == "gzip, none"
    assert "gzip" not in " ".join(path for path in facts if "requests" in path)


def test_a_record_is_told_with_target_labels_and_annotations():
    target = {"mediaType": "x/y", "digest": "d", "size": 3, "annotations": {"a": "1"}}
    facts = image_facts([{"name": "n", "target": target, "labels": {"l": "2"}}])
    assert facts == {
        "images/n/target": "x/y d 3 bytes",
        "images/n/annotations/a": "1",
        "images/n/labels/l": "2",
    }


def test_the_rest_of_a_store():
    blobs = [{"digest": "d", "size": 3, "labels": {"l": "2"}}]
    assert content_facts(blobs) == {"content/d": "3 bytes", "content/d/labels/l": "2"}
    ingests = [{"ref": "layer-d", "offset": 1, "total": 3}]
    assert ingest_facts(ingests) == {"ingests/layer-d": "1 of 3 bytes"}
    assert lease_facts(["one"]) == {"leases": "1 left"}


def test_a_snapshot_is_told_with_its_files():
    snapshot = {
        "name": "n",
        "kind": "Committed",
        "parent": "",
        "labels": {"l": "2"},
        "files": {"etc": "drwx"},
    }
    assert snapshot_facts([snapshot]) == {
        "snapshots/n": "Committed, parent none",
        "snapshots/n/labels/l": "2",
        "snapshots/n/files/etc": "drwx",
    }
