"""Clients that push: what arrives is what went out, byte for byte."""

import os
import shutil
import subprocess

import pytest

from fakeregistry import BasicAuth, Registry, TokenAuth

pytestmark = [
    pytest.mark.clients,
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("skopeo") is None, reason="skopeo: not installed"),
]

USER = ("user", "a password")


def skopeo(registry, *arguments):
    environment = {**os.environ, "SSL_CERT_FILE": str(registry.ca_file or "")}
    flags = ["--insecure-policy", "copy", "--all"]
    for side in ("src", "dest"):
        flags += [f"--{side}-tls-verify={str(registry.ca_file is not None).lower()}"]
        flags += [f"--{side}-creds={':'.join(USER)}"]
    subprocess.run(
        ["skopeo", *flags, *arguments],
        env=environment,
        check=True,
        capture_output=True,
        timeout=60,
    )


def held(registry, name):
    found = registry.store.repository(name)
    return {
        digest: bytes(stored.data)
        for digest, stored in (*found.blobs.items(), *found.manifests.items())
    }


@pytest.mark.parametrize("kind", ["oci", "docker"])
@pytest.mark.parametrize("auth", [None, BasicAuth(*USER), TokenAuth(*USER)])
@pytest.mark.parametrize("stored", [False, True])
def test_there_and_back(tmp_path, kind, auth, stored):
    """Another repository (mounts), a folder, and in again (uploads)."""
    storage = tmp_path / "storage" if stored else None
    with Registry(auth, tls=stored, storage=storage) as registry:
        image = registry.publish(
            "library/hello:1", format=kind, platforms=["linux/amd64", "linux/arm64"]
        )
        ref = f"docker://{registry.ref(image)}"
        there = f"docker://{registry.host}/library/there:1"
        skopeo(registry, ref, there)
        assert held(registry, "library/there") == image.data
        skopeo(registry, there, f"dir:{tmp_path}/dir")
        back = f"docker://{registry.host}/back:1"
        skopeo(registry, f"dir:{tmp_path}/dir", back)
        assert held(registry, "back") == image.data
        found = registry.store.repository("back")
        assert found is not None
        assert found.tags == {"1": image.digest}
        if auth is None or isinstance(auth, TokenAuth):
            mounted = registry.journal.requests(method="POST", status=201)
            assert [item for item in mounted if "mount=" in item.query]
