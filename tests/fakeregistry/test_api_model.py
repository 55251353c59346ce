"""The API against a model of dictionaries: any order of requests."""

import hashlib
import http.client
import json

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    rule,
    run_state_machine_as_test,
)

from fakeregistry import Registry

OCI = "application/vnd.oci.image.manifest.v1+json"
NAMES = st.sampled_from(["a", "a/b"])
TAGS = st.sampled_from(["x", "y"])
DATA = st.binary(max_size=4)


def digest_of(data):
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def manifest_of(data):
    """Return a manifest with a blob as its config and only layer."""
    entry = {"mediaType": "a/b", "digest": digest_of(data), "size": len(data)}
    document = {"schemaVersion": 2, "config": entry, "layers": [entry]}
    return json.dumps(document).encode()


class Api(RuleBasedStateMachine):
    uploads = Bundle("uploads")

    def __init__(self):
        super().__init__()
        self.registry = Registry().start()
        self.client = http.client.HTTPConnection(
            "127.0.0.1", self.registry.port, timeout=10
        )
        self.blobs, self.manifests, self.tags = {}, {}, {}
        self.pending = {}

    def ask(self, method, path, body=None, **headers):
        fields = {name.replace("_", "-"): value for name, value in headers.items()}
        self.client.request(method, path, body, fields)
        response = self.client.getresponse()
        return response.status, response.headers, response.read()

    # -- blobs ---------------------------------------------------------------

    @rule(target=uploads, name=NAMES)
    def begin(self, name):
        status, headers, _ = self.ask("POST", f"/v2/{name}/blobs/uploads/")
        assert status == 202
        self.pending[headers["Location"]] = (name, b"")
        return headers["Location"]

    @rule(upload=uploads, data=DATA)
    def send(self, upload, data):
        name, before = self.pending[upload]
        first, after = len(before), before + data
        span = {"Content_Range": f"{first}-{len(after) - 1}"} if data else {}
        status, headers, _ = self.ask("PATCH", upload, data, **span)
        assert status == 202
        assert headers["Range"] == f"0-{max(len(after) - 1, 0)}"
        self.pending[upload] = (name, after)

    @rule(upload=uploads, gap=st.integers(1, 3))
    def send_too_far(self, upload, gap):
        first = len(self.pending[upload][1]) + gap
        span = {"Content_Range": f"{first}-{first}"}
        assert self.ask("PATCH", upload, b"x", **span)[0] == 416

    @rule(upload=consumes(uploads), right=st.booleans())
    def finish(self, upload, right):
        name, data = self.pending.pop(upload)
        digest = digest_of(data if right else data + b"!")
        status, headers, _ = self.ask("PUT", f"{upload}&digest={digest}")
        assert status == (201 if right else 400)
        if right:
            assert headers["Location"] == f"/v2/{name}/blobs/{digest}"
            self.blobs[name, digest] = data
        assert self.ask("GET", upload)[0] == 404

    @rule(upload=consumes(uploads))
    def cancel(self, upload):
        del self.pending[upload]
        assert self.ask("DELETE", upload)[0] == 204
        assert self.ask("PATCH", upload, b"x")[0] == 404

    @rule(name=NAMES, source=NAMES, data=DATA)
    def mount(self, name, source, data):
        digest = digest_of(data)
        query = f"mount={digest}&from={source}"
        status, _, _ = self.ask("POST", f"/v2/{name}/blobs/uploads/?{query}")
        assert status == (201 if (source, digest) in self.blobs else 202)
        if status == 201:
            self.blobs[name, digest] = data

    @rule(name=NAMES, data=DATA)
    def delete_blob(self, name, data):
        digest = digest_of(data)
        status, _, _ = self.ask("DELETE", f"/v2/{name}/blobs/{digest}")
        found = self.blobs.pop((name, digest), None)
        assert status == (404 if found is None else 202)

    # -- manifests -----------------------------------------------------------

    @rule(name=NAMES, tag=TAGS, data=DATA)
    def push(self, name, tag, data):
        document = manifest_of(data)
        digest = digest_of(document)
        path = f"/v2/{name}/manifests/{tag}"
        status, headers, _ = self.ask("PUT", path, document, Content_Type=OCI)
        held = (name, digest_of(data)) in self.blobs
        assert status == (201 if held else 400)
        if held:
            assert headers["Docker-Content-Digest"] == digest
            self.manifests[name, digest] = document
            self.tags[name, tag] = digest

    @rule(name=NAMES, tag=TAGS)
    def delete_tag(self, name, tag):
        status, _, _ = self.ask("DELETE", f"/v2/{name}/manifests/{tag}")
        assert status == (202 if self.tags.pop((name, tag), None) else 404)

    @rule(name=NAMES, data=DATA)
    def delete_manifest(self, name, data):
        digest = digest_of(manifest_of(data))
        status, _, _ = self.ask("DELETE", f"/v2/{name}/manifests/{digest}")
        assert status == (202 if self.manifests.pop((name, digest), None) else 404)
        for key in [key for key in self.tags if key[0] == name]:
            if self.tags[key] == digest:
                del self.tags[key]

    # -- what holds at any time ----------------------------------------------

    @rule(name=NAMES)
    def list_tags(self, name):
        status, _, body = self.ask("GET", f"/v2/{name}/tags/list")
        tags = sorted(tag for held, tag in self.tags if held == name)
        if status == 200:
            assert json.loads(body) == {"name": name, "tags": tags}
        else:
            assert (status, tags) == (404, [])

    @invariant()
    def all_is_served(self):
        held = [("blobs", self.blobs), ("manifests", self.manifests)]
        for kind, contents in held:
            for (name, digest), data in contents.items():
                status, _, body = self.ask("GET", f"/v2/{name}/{kind}/{digest}")
                assert (status, body) == (200, data)
        for (name, tag), digest in self.tags.items():
            status, headers, _ = self.ask("HEAD", f"/v2/{name}/manifests/{tag}")
            assert (status, headers["Docker-Content-Digest"]) == (200, digest)

    @invariant()
    def nothing_else_is_there(self):
        store = self.registry.store
        found = [
            (name, digest)
            for name in store.names
            if (repository := store.repository(name)) is not None
            for digest in (*repository.blobs, *repository.manifests)
        ]
        assert sorted(found) == sorted((*self.blobs, *self.manifests))

    def teardown(self):
        self.client.close()
        self.registry.stop()


@pytest.mark.slow
def test_the_api_is_what_the_model_says():
    run_state_machine_as_test(
        Api, settings=settings(max_examples=25, stateful_step_count=25, deadline=None)
    )
