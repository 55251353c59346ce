"""What the commands print, and what they say when they fail."""

import contextlib
import re
from datetime import UTC, datetime, timedelta

import anyio
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from fakeregistry import BasicAuth
from refimpl.__main__ import main
from refimpl.client import LEASE_EXPIRATION, Client
from refimpl.stores.leases import EXPIRE_LABEL

PLATFORMS = ["linux/amd64", "linux/s390x"]
DIGEST = f"sha256:{'0' * 64}"


@pytest.fixture
def contents(root):
    """Return all that the store holds, but for what failed pulls leave to collect."""

    async def read():
        async with Client(root) as client:
            await client.db.garbage_collect()
            return (
                await client.image_service().list(),
                [
                    (info.digest, info.size, info.labels)
                    for info in await client.content_store().walk()
                ],
                await client.leases_service().list(),
            )

    return lambda: anyio.run(read)


def check_failure(result, pattern):
    """Check that a command failed with one line that matches, and nothing else."""
    status, out, err = result
    assert (status, out) == (1, b"")
    assert err.endswith("\n")
    (line,) = err.splitlines()
    assert line.startswith("refpull: ")
    assert re.search(pattern, line), line


# -- what a pull prints ---------------------------------------------------------------


def test_pull_prints_name_and_digest(registry, refpull):
    image = registry.publish("library/hello:1")
    ref = registry.ref(image)
    assert refpull("pull", ref) == (0, f"{ref}\t{image.digest}\n".encode(), "")


def test_pull_prints_the_record_as_json(registry, refpull, as_json):
    image = registry.publish("library/hello:1")
    labels = ("--label", "a=b=c", "--label", "é=", "--label", "k=1", "--label", "k=2")
    assert as_json("pull", registry.ref(image), *labels) == {
        "image": {
            "name": registry.ref(image),
            "target": image.descriptor.to_json(),
            "labels": {"a": "b=c", "k": "2"},
        }
    }


def test_pull_converts_schema1_unless_told_not_to(registry, refpull, as_json):
    image = registry.publish("library/old:1", format="schema1")
    ref = registry.ref(image)
    check_failure(refpull("pull", "--no-schema1", ref), r"v1\+prettyjws not supported$")
    assert as_json("images", "ls") == []
    target = as_json("pull", ref)["image"]["target"]
    assert target["mediaType"] == "application/vnd.oci.image.manifest.v1+json"


def test_images_ls_prints_all_records(registry, refpull, as_json):
    refs = [registry.ref(registry.publish(f"library/{name}:1")) for name in "ab"]
    for ref in reversed(refs):
        refpull("pull", ref)
    listed = as_json("images", "ls")
    assert [image["name"] for image in listed] == refs
    assert all(image.keys() == {"name", "target", "labels"} for image in listed)
    keys = {"mediaType", "digest", "size"}
    assert all(image["target"].keys() == keys for image in listed)
    _, out, _ = refpull("images", "ls")
    rows = [line.split("\t") for line in out.decode().splitlines()]
    assert rows == [[i["name"], i["target"]["digest"]] for i in listed]


def test_content_ls_prints_digest_size_and_labels(registry, refpull, as_json):
    image = registry.publish("library/hello:1", layers=2)
    refpull("pull", registry.ref(image))
    listed = as_json("content", "ls")
    assert {row["digest"]: row["size"] for row in listed} == {
        desc.digest: desc.size for desc in image.blobs
    }
    assert all(row.keys() == {"digest", "size", "labels"} for row in listed)
    (root,) = (row for row in listed if row["digest"] == image.digest)
    assert root["labels"]["containerd.io/gc.ref.content.config"] == image.config.digest
    _, out, _ = refpull("content", "ls")
    first = out.decode().splitlines()[0].split("\t")
    assert first[:2] == [listed[0]["digest"], str(listed[0]["size"])]


def test_content_get_writes_the_bytes(registry, refpull):
    image = registry.publish("library/hello:1", layers=1, layer_size=3 << 20)
    refpull("pull", registry.ref(image))
    for desc in image.blobs:
        data = image.data[desc.digest]
        assert refpull("content", "get", desc.digest) == (0, data, "")


def test_content_active_prints_what_a_failed_pull_left(registry, refpull, as_json):
    image = registry.publish("library/hello:1", layers=1)
    layer = image.layers[0]
    registry.fault(method="GET", digest=layer.digest, shorten=7)
    alone = ("--max-concurrent-downloads", "1")
    result = refpull("pull", *alone, registry.ref(image))
    check_failure(result, "size validation: 7 != ")
    ref = f"layer-{layer.digest}"
    assert as_json("content", "active") == [
        {"ref": ref, "offset": 7, "total": layer.size}
    ]
    _, out, _ = refpull("content", "active")
    assert out.decode() == f"{ref}\t7\t{layer.size}\n"


def test_images_rm_and_gc_remove_an_image(registry, refpull, as_json, contents):
    image = registry.publish("library/hello:1", layers=1)
    refpull("pull", registry.ref(image))
    removed = as_json("images", "rm", registry.ref(image))
    assert removed == {"removed": registry.ref(image)}
    assert len(as_json("content", "ls")) == 3
    nodes = as_json("gc")["removed"]
    assert {node["key"] for node in nodes} == {desc.digest for desc in image.blobs}
    assert contents() == ((), [], ())
    assert refpull("gc") == (0, b"", "")


async def leave_a_lease(root):
    """Leave what a pull that was killed leaves."""
    async with Client(root) as client:
        manager = client.leases_service()
        return (await manager.create(expiration=LEASE_EXPIRATION)).id


def test_leases_ls_and_rm(root, refpull, as_json):
    assert as_json("leases", "ls") == []
    lease = anyio.run(leave_a_lease, root)
    (row,) = as_json("leases", "ls")
    assert row.keys() == {"id", "created", "labels"}
    assert (row["id"], row["labels"].keys()) == (lease, {EXPIRE_LABEL})
    _, out, _ = refpull("leases", "ls")
    assert out.decode() == f"{lease}\t{row['created']}\n"
    assert as_json("leases", "rm", lease) == {"removed": lease}
    assert as_json("leases", "ls") == []


# -- options of a pull ---------------------------------------------------------------


def test_a_platform_is_chosen(registry, refpull, as_json):
    image = registry.publish("library/hello:1", platforms=PLATFORMS)
    refpull("pull", registry.ref(image), "--platform", "linux/s390x")
    digests = {row["digest"] for row in as_json("content", "ls")}
    assert image.manifest("linux/s390x").config.digest in digests
    assert image.manifest("linux/amd64").config.digest not in digests


@pytest.mark.parametrize(
    ("options", "kept"),
    [
        (["--all-platforms"], PLATFORMS),
        (["--all-platforms", "--platform", "linux/s390x"], PLATFORMS[1:]),
        ([f"--platform={p}" for p in PLATFORMS] + ["--all-platforms"], PLATFORMS),
    ],
)
def test_several_platforms_are_kept(registry, refpull, as_json, options, kept):
    image = registry.publish("library/hello:1", platforms=[*PLATFORMS, "linux/arm64"])
    if options == ["--all-platforms"]:
        kept = [*kept, "linux/arm64"]
    assert refpull("pull", registry.ref(image), *options)[0] == 0
    digests = {row["digest"] for row in as_json("content", "ls")}
    configs = {str(m.platform): m.config.digest in digests for m in image.manifests}
    assert {name for name, here in configs.items() if here} == set(kept)


def test_all_metadata_keeps_configurations(registry, refpull, as_json):
    image = registry.publish("library/hello:1", layers=1, platforms=PLATFORMS)
    options = ("--all-platforms", "--all-metadata", "--platform", "linux/s390x")
    refpull("pull", registry.ref(image), *options)
    digests = {row["digest"] for row in as_json("content", "ls")}
    assert {m.config.digest for m in image.manifests} <= digests
    assert image.manifest("linux/amd64").layers[0].digest not in digests


def test_a_number_of_downloads_is_kept(registry, refpull):
    image = registry.publish("library/hello:1", layers=4)
    refpull("pull", registry.ref(image), "--max-concurrent-downloads", 1)
    assert registry.journal.max_in_flight("/blobs/*") == 1


def test_a_namespace_keeps_images_apart(registry, root, refpull, as_json, capsysbinary):
    image = registry.publish("library/hello:1")
    words = ["--root", str(root), "--namespace", "other"]
    assert main([*words, "pull", registry.ref(image)]) == 0
    assert as_json("images", "ls") == []
    assert main([*words, "images", "ls"]) == 0
    assert image.digest.encode() in capsysbinary.readouterr().out


def test_a_certificate_authority_is_trusted(tls_registry, refpull):
    image = tls_registry.publish("library/hello:1")
    ref = tls_registry.ref(image)
    assert refpull("pull", ref, "--ca", tls_registry.ca_file)[0] == 0


def test_a_user_logs_in(registry_factory, refpull):
    registry = registry_factory(BasicAuth("jane", "pass:word"))
    image = registry.publish("library/hello:1")
    assert refpull("pull", registry.ref(image), "--user", "jane:pass:word")[0] == 0


def test_a_missing_password_is_asked_for_on_a_terminal(
    registry_factory, refpull, monkeypatch
):
    registry = registry_factory(BasicAuth("jane", "secret"))
    image = registry.publish("library/hello:1")
    asked = []

    def answer(prompt):
        asked.append(prompt)
        return "secret"

    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("getpass.getpass", answer)
    assert refpull("pull", registry.ref(image), "--user", "jane")[0] == 0
    assert asked == ["Password of jane: "]


# -- bad input: one line, status 1, and the store as it was ---------------------------

REFERENCES = [
    ("alpine", "as in docker.io/library/alpine"),
    ("alpine:3", "as in docker.io/library/alpine:3"),
    ("", "as in HOST/NAME:TAG"),
    ("/hello:1", "as in HOST/NAME:TAG"),
    ("{host}/hello", "object required"),
    ("{host}/hello:2", "hello:2: not found"),
    ("{host}/other:1", "other:1: not found"),
    ("{host}/hello@sha256:12", "invalid checksum digest length"),
    (f"{{host}}/hello@{DIGEST}", "not found"),
    ("http://{host}/hello:1", "invalid reference"),
    ("{host}/hello:1\n", "invalid control character"),
    ("[::1/hello:1", "missing ']' in host"),
    ("{host}x/hello:1", "invalid port"),
    ("%zz/hello:1", "invalid URL escape"),
    ("127.0.0.1:1/hello:1", "connection refused"),
    ("localhost:1/hello:1", "connection refused"),
]


@pytest.mark.parametrize(("ref", "said"), REFERENCES)
def test_a_wrong_reference(registry, refpull, contents, ref, said):
    registry.publish("hello:1")
    refpull("pull", f"{registry.host}/hello:1", "--label", "a=b")
    before = contents()
    check_failure(refpull("pull", ref.format(host=registry.host)), re.escape(said))
    assert contents() == before


OPTIONS = [
    ("--platform nonsense", "unknown operating system or architecture"),
    ("--platform linux/*", "wildcards not yet supported"),
    ("--platform linux/amd64/v1/x", "cannot parse platform specifier"),
    ("--platform=", "invalid component"),
    ("--platform windows/amd64", "no match for platform"),
    ("--platform linux/amd64 --platform linux/s390x", "add --all-platforms"),
    ("--all-platforms --platform nonsense", "unknown operating system"),
    ("--label novalue", '--label "novalue": write it as KEY=VALUE'),
    ("--label =value", '--label "=value": write it as KEY=VALUE'),
    ("--label=", '--label "": write it as KEY=VALUE'),
    (f"--platform linux/s390x --label k={'v' * 4096}", "greater than maximum size"),
    ("--user jane", "--user jane: no password, and no terminal"),
    ("--user=", "--user: the name is missing"),
    ("--user :secret", "--user: the name is missing"),
    ("--ca missing.pem", "--ca missing.pem: no such file"),
    ("--ca /", "--ca /: no such file"),
    ("--ca /dev/null", "--ca /dev/null: no such file"),
    ("--unpack --all-platforms", "unpack on fetch not supported, try pull"),
    ("--snapshotter native", "--snapshotter: add --unpack"),
    ("--hosts-dir missing", "--hosts-dir missing: no such folder"),
    ("--hosts-dir /dev/null", "--hosts-dir /dev/null: no such folder"),
]


def test_a_mirror_is_asked_first(registry, registry_factory, refpull, tmp_path):
    image = registry.publish("hello:1")
    mirror = registry_factory()
    mirror.add_image(image)
    folder = tmp_path / "hosts" / registry.host
    folder.mkdir(parents=True)
    (folder / "hosts.toml").write_text(f'[host."{mirror.url}"]\n')
    status, _, err = refpull("pull", registry.ref(image), "--hosts-dir", folder.parent)
    assert (status, err) == (0, "")
    assert not len(registry.journal)
    assert mirror.journal.requests(method="GET", digest=image.layers[0].digest)
    (folder / "hosts.toml").write_text("[host]\nm = 1")
    result = refpull("pull", registry.ref(image), "--hosts-dir", folder.parent)
    check_failure(result, r'hosts\.toml: host\."m" must be a table')


@pytest.mark.parametrize(("options", "said"), OPTIONS)
def test_a_wrong_option(registry, refpull, contents, options, said):
    image = registry.publish("hello:1", platforms=PLATFORMS)
    refpull("pull", registry.ref(image), "--platform", "linux/s390x")
    before, asked = contents(), len(registry.journal)
    result = refpull("pull", registry.ref(image), *options.split())
    check_failure(result, re.escape(said))
    assert contents() == before
    if "match" not in said and "maximum" not in said:
        assert len(registry.journal) == asked


@pytest.mark.parametrize("options", ["--label x", "--user x", "--ca x"])
def test_a_wrong_option_makes_no_store(root, refpull, options):
    check_failure(refpull("pull", "example.com/a:1", *options.split()), "--")
    assert not root.exists()


def test_a_ca_file_that_is_none(registry, refpull, tmp_path):
    file = tmp_path / "ca.pem"
    file.write_text("no certificate")
    image = registry.publish("hello:1")
    result = refpull("pull", registry.ref(image), "--ca", file)
    check_failure(result, re.escape(f"TLS files of {file}"))


def test_a_certificate_of_somebody_else(tls_registry, refpull, tmp_path):
    image = tls_registry.publish("hello:1")
    stranger = tmp_path / "ca.pem"
    stranger.write_bytes(self_signed())
    result = refpull("pull", tls_registry.ref(image), "--ca", stranger)
    check_failure(result, "certificate verify failed|unable to get local issuer")


def self_signed():
    """Return a certificate that no registry here has, in PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "stranger")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), 1)
        .not_valid_before(now)
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    return certificate.public_bytes(Encoding.PEM)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("images rm nobody", 'image "nobody": not found'),
        ("leases rm nobody", 'lease "nobody": not found'),
        ("content get nonsense", "invalid checksum digest format"),
        (f"content get {DIGEST}", "not found"),
        ("content get ../../x", "invalid checksum digest format"),
        ("snapshots mount-path x", "snapshot x does not exist: not found"),
    ],
)
def test_a_thing_that_is_not_there(refpull, words, said):
    check_failure(refpull(*words.split()), said)


@pytest.mark.parametrize("words", ["images ls", "content ls", "pull example.com/a:1"])
@pytest.mark.parametrize("namespace", ["", "../x", "a b", "a" * 77])
def test_a_wrong_namespace(refpull, words, namespace):
    command = ["--namespace", namespace, *words.split()]
    check_failure(refpull(*command), "^refpull: namespace ")


@pytest.mark.parametrize("words", ["images ls", "gc", "pull 127.0.0.1:1/a:1"])
def test_a_root_that_is_a_file(root, refpull, words):
    root.write_text("mine")
    check_failure(refpull(*words.split()), re.escape(f"{root} cannot hold a store"))
    assert root.read_text() == "mine"


def test_a_root_below_a_file(tmp_path, refpull):
    (tmp_path / "file").touch()
    result = refpull("--root", tmp_path / "file" / "store", "images", "ls")
    check_failure(result, "cannot hold a store")


def test_a_database_that_is_none(root, refpull):
    root.mkdir()
    (root / "metadata.db").write_text("nothing that SQLite knows\n" * 100)
    check_failure(refpull("images", "ls"), "is damaged or no database")
    assert (root / "metadata.db").read_text().startswith("nothing that SQLite knows")


# -- secrets, terminals and JSON ------------------------------------------------------


def test_a_reference_with_a_password_is_refused_without_showing_it(registry, refpull):
    result = refpull("pull", f"jane:hunter2@{registry.host}/hello:1")
    check_failure(result, "use --user")
    assert "hunter2" not in result[2]
    assert len(registry.journal) == 0


def test_a_closed_standard_input_is_no_terminal(refpull, monkeypatch):
    monkeypatch.setattr("sys.stdin", None)
    result = refpull("pull", "127.0.0.1:1/a:1", "--user", "jane")
    check_failure(result, "no terminal to ask")


def test_a_closed_standard_error_is_no_terminal(registry, refpull, monkeypatch):
    image = registry.publish("hello:1")
    with contextlib.redirect_stderr(None):
        status, out, _ = refpull("pull", registry.ref(image))
    assert (status, image.digest in out.decode()) == (0, True)
