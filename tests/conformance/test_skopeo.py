"""skopeo, as its adapter file drives it."""

import pytest

from conformance.adapter import load_clients
from conformance.command import CommandAdapter
from conformance.request import placeholder_values, switches
from fakeregistry import BasicAuth, Registry, TokenAuth

skopeo = load_clients(["skopeo"])[0]
assert isinstance(skopeo.adapter, CommandAdapter)
TEMPLATE = skopeo.adapter.pull_template


def command(tmp_path, **request):
    asked = {"ref": "127.0.0.1:1/library/a:v1", "root": str(tmp_path), **request}
    values = placeholder_values(asked, TEMPLATE.mentioned)
    return TEMPLATE.fill(values, switches(asked))


def test_command_of_a_plain_pull(tmp_path):
    assert command(tmp_path, plain_http=True) == [
        *("skopeo", "--insecure-policy", "--tmpdir", str(tmp_path / "tmp")),
        *("copy", "--quiet", "--src-tls-verify=false"),
        "docker://127.0.0.1:1/library/a:v1",
        f"dir:{tmp_path}/images/127.0.0.1:1/library/a:v1",
    ]


def test_command_with_everything(tmp_path):
    ca = tmp_path / "ca.pem"
    ca.write_text("PEM")
    argv = command(
        tmp_path,
        platform="linux/arm/v7",
        ca=str(ca),
        username="u",
        password="p",  # noqa: S106 - nobody's
        all_platforms=True,
    )
    for part in (
        ("--override-os", "linux", "--override-arch", "arm"),
        ("--override-variant", "v7"),
        ("--src-cert-dir", f"{tmp_path}/certs", "--src-creds", "u:p", "--all"),
    ):
        start = argv.index(part[0])
        assert tuple(argv[start : start + len(part)]) == part
    assert "--src-tls-verify=false" not in argv


def pull(registry, image, root, **more):
    request = {
        "ref": registry.ref(image),
        "root": str(root),
        "plain_http": registry.ca_file is None,
        "ca": registry.ca_file and str(registry.ca_file),
        **more,
    }
    return skopeo.pull(request, 30), skopeo.inspect(root).image(request["ref"])


@pytest.mark.skipif(
    skopeo.installed() is not None, reason=skopeo.installed() or "skopeo can run"
)
@pytest.mark.clients
class TestRealSkopeo:
    """Pulls with skopeo from a registry of ours."""

    @pytest.mark.parametrize("form", ["oci", "docker"])
    def test_pull_and_read_back(self, form, tmp_path):
        with Registry() as registry:
            image = registry.publish("library/test:v1", layers=2, format=form)
            result, record = pull(registry, image, tmp_path)
        assert result.ok, result
        assert record.target.digest == image.digest
        assert record.target.size == image.descriptor.size
        assert record.target.media_type == image.descriptor.media_type
        stored = skopeo.inspect(tmp_path)
        assert set(stored.content or ()) == {blob.digest for blob in image.blobs}
        assert stored.corrupt() == ()
        assert stored.leases is None

    @pytest.mark.parametrize("auth", [BasicAuth("u", "p"), TokenAuth("u", "p")])
    def test_credentials(self, auth, tmp_path):
        with Registry(auth=auth) as registry:
            image = registry.publish("library/test:v1")
            assert not pull(registry, image, tmp_path)[0].ok
            user = {"username": "u", "password": "p"}
            assert pull(registry, image, tmp_path, **user)[0].ok

    def test_private_authority(self, tmp_path):
        with Registry(tls=True) as registry:
            image = registry.publish("library/test:v1")
            result, _ = pull(registry, image, tmp_path)
        assert result.ok, result

    def test_platform(self, tmp_path):
        with Registry() as registry:
            platforms = ["linux/amd64", "linux/arm/v7"]
            image = registry.publish("library/test:v1", platforms=platforms)
            _, record = pull(registry, image, tmp_path, platform="linux/arm/v7")
        wanted = image.manifest("linux/arm/v7").descriptor.digest
        assert record.target.digest == wanted

    def test_all_platforms(self, tmp_path):
        with Registry() as registry:
            platforms = ["linux/amd64", "linux/arm/v7"]
            image = registry.publish("library/test:v1", platforms=platforms)
            _, record = pull(registry, image, tmp_path, all_platforms=True)
        assert record.target.digest == image.digest
        stored = skopeo.inspect(tmp_path)
        assert all(stored.intact(blob.digest) for blob in image.blobs)

    def test_failure_leaves_no_record(self, tmp_path):
        with Registry() as registry:
            image = registry.publish("library/test:v1")
            registry.fault(digest=image.layers[0].digest, flip=9)
            result, record = pull(registry, image, tmp_path)
        assert (result.ok, result.exit, record) == (False, 1, None)
        assert "Digest did not match" in result.error
