"""conformance/bench.py: what a case holds, tried with good and broken clients."""

import shutil
import tomllib
from pathlib import Path

import pytest

from conformance.bench import Mirror, Pull, remove_tree
from conformance.case import ClientDied, DeadlineMissed, Feature, NotTestable
from conformance.client import Client, ClientInfo
from fakeregistry import BasicAuth, GateTimeout


@pytest.fixture
def bench(naive_client, bench_of):
    return bench_of(naive_client())


def test_registry_is_made_when_first_needed_and_then_kept(bench):
    assert bench.registry is bench.registry


def test_first_registry_made_is_the_registry_of_the_case(bench):
    first = bench.new_registry()
    second = bench.new_registry()
    assert bench.registry is first
    assert first.port != second.port


@pytest.mark.parametrize(
    ("features", "scheme"),
    [((), "http"), (("plain-http", "tls"), "http"), (("tls",), "https")],
)
def test_client_without_plain_http_is_met_over_tls(
    features, scheme, naive_client, bench_of, monkeypatch
):
    client = naive_client()
    told = {"name": "naive", "version": "1.0", "features": features}
    monkeypatch.setattr(client.adapter, "capabilities", lambda: told)
    bench = bench_of(client)
    assert bench.registry.url.partition(":")[0] == scheme
    assert bench.new_registry(tls=False).url.startswith("http:")


def test_pull_gives_the_image_its_record_and_its_content(bench):
    image = bench.publish(layers=2)
    pull = bench.must_pull(image)
    assert pull.image.name == bench.registry.ref(image)
    assert pull.image.target.digest == image.digest
    stored = bench.stored()
    assert set(stored.content) == {descriptor.digest for descriptor in image.blobs}
    assert stored.corrupt() == ()


def test_pull_by_digest(bench):
    image = bench.publish()
    assert bench.must_pull(image, digest=True).image.name.endswith(f"@{image.digest}")


def test_reference_already_has_its_digest(bench):
    bench.publish()
    with pytest.raises(TypeError, match="goes with an image"):
        bench.pull("127.0.0.1:1/a", digest=True)


def test_pull_that_must_succeed_says_why_it_did_not(naive_client, bench_of):
    bench = bench_of(naive_client("always-fails"))
    with pytest.raises(
        AssertionError, match="must succeed; exit status 1: this client never succeeds"
    ):
        bench.must_pull(bench.publish())


def flipped(bench):
    image = bench.publish()
    fault = bench.registry.fault(digest=image.layers[0].digest, method="GET", flip=1)
    return bench.pull(image), fault


def test_rejection_of_what_was_reached_is_one(bench):
    bench.must_reject(*flipped(bench))


def test_success_with_what_was_reached_is_none(naive_client, bench_of):
    bench = bench_of(naive_client("no-digest-check"))
    with pytest.raises(AssertionError, match="the client reported success"):
        bench.must_reject(*flipped(bench))


def test_client_that_never_met_the_fault_cannot_be_judged(naive_client, bench_of):
    bench = bench_of(naive_client("always-fails"))
    with pytest.raises(NotTestable, match="never asked for what was broken"):
        bench.must_reject(*flipped(bench))


def test_success_of_one_that_asked_for_nothing_is_none(naive_client, bench_of):
    bench = bench_of(naive_client("always-succeeds"))
    with pytest.raises(AssertionError, match="success and asked for nothing"):
        bench.pull(bench.publish())


def test_client_that_dies_has_not_rejected_anything(naive_client, bench_of):
    bench = bench_of(naive_client("crashes"))
    with pytest.raises(ClientDied, match="segmentation fault"):
        bench.pull(bench.publish())
    assert "the client died" in bench.obituary()


def test_client_that_hangs_is_ended(naive_client, bench_of):
    bench = bench_of(naive_client("hangs"))
    with pytest.raises(DeadlineMissed, match="missed its deadline"):
        bench.pull(bench.publish(), deadline=0.01)
    assert "missed its deadline" in bench.obituary()


def test_client_that_ends_by_itself_has_no_obituary(bench):
    bench.pull("127.0.0.1:1/a:b")
    assert bench.obituary() is None
    assert "the client has ended: exit status 1" in bench.ended()


def test_running_pull_can_be_cancelled(naive_client, bench_of):
    bench = bench_of(naive_client("hangs"))
    running = bench.start_pull(bench.publish())
    assert bench.ended() is None
    pull = running.cancel()
    assert pull.reason in {"cancelled", None}


def test_running_pull_goes_on_beside_the_case(bench):
    image = bench.publish()
    with bench.registry.gate("/blobs/*") as gate:
        running = bench.start_pull(image)
        gate.wait_for(1)
        gate.open()
        assert running.wait().ok


def test_nobody_waits_for_requests_of_a_client_that_has_ended(naive_client, bench_of):
    bench = bench_of(naive_client("always-fails"))
    image = bench.publish()
    with bench.registry.gate("/blobs/*") as gate:
        bench.start_pull(image)
        with pytest.raises(GateTimeout, match="but the client has ended"):
            gate.wait_for(1, timeout=60)
    assert "this client never succeeds" in bench.ended()


def test_credentials_of_the_registry_are_given(bench):
    bench.new_registry(auth=BasicAuth("someone", "s3cret"))
    bench.must_pull(bench.publish())


@pytest.mark.parametrize(
    ("username", "password"), [("", None), ("someone", "wrong"), ("other", "s3cret")]
)
def test_other_credentials_can_be_given(bench, username, password):
    bench.new_registry(auth=BasicAuth("someone", "s3cret"))
    pull = bench.pull(bench.publish(), username=username, password=password)
    assert not pull.ok


def test_credentials_go_with_the_registry_that_is_named(bench):
    bench.new_registry()
    other = bench.new_registry(auth=BasicAuth("someone", "s3cret"))
    image = other.publish("library/other:v1")
    bench.must_pull(other.ref(image))


def test_fresh_store_is_empty(bench):
    image = bench.publish()
    bench.must_pull(image)
    before = bench.root
    assert bench.fresh_store() != before
    assert not bench.stored().content


def test_what_a_client_claims(bench):
    assert bench.claims(Feature.CONTENT)
    assert not bench.claims(Feature.GC)


def test_observations_are_joined(bench):
    bench.observe("asks twice")
    bench.observe("waits")
    assert bench.observed == "asks twice; waits"


def test_password_is_taken_out_of_what_is_shown(naive_client, bench_of):
    bench = bench_of(naive_client("prints-secrets"))
    bench.new_registry(auth=BasicAuth("someone", "s3cret"))
    pull = bench.must_pull(bench.publish())
    assert "s3cret" in pull.stderr
    assert "s3cret" not in bench.redact(str(pull) + pull.stderr)
    other = "another-one"
    bench.pull(bench.publish(), username="someone", password=other)
    assert bench.redact("it is another-one") == "it is [redacted]"


def test_close_stops_registries_and_removes_stores(naive_client, bench_of):
    bench = bench_of(naive_client())
    bench.must_pull(bench.publish())
    root, port = bench.root, bench.registry.port
    bench.close()
    assert not root.exists()
    bench.fresh_store()
    assert not bench.pull(f"127.0.0.1:{port}/library/test:v1").ok


@pytest.mark.parametrize(
    ("pull", "text"),
    [
        (Pull(ok=True), "success"),
        (Pull(ok=False, exit=1), "exit status 1, nothing printed"),
        (Pull(ok=False, error="it broke\n"), "failure: it broke"),
        (Pull(ok=False, exit=2, stderr="a\n" * 9), "exit status 2: " + "a\n" * 5 + "a"),
    ],
)
def test_end_of_a_pull_in_words(pull, text):
    assert str(pull) == text


def test_tree_with_folders_nobody_may_enter_is_removed(tmp_path, monkeypatch):
    tree = tmp_path / "tree"
    locked = tree / "a" / "locked"
    locked.mkdir(parents=True)
    (locked / "file").write_text("x")
    (tree / "link").symlink_to(tmp_path)
    locked.chmod(0)
    (tree / "a").chmod(0o500)
    real = shutil.rmtree
    refused: list[object] = []

    def rmtree(path, **options):
        # The superuser may do what an ordinary user is refused here.
        if not refused and locked.stat().st_mode & 0o777 == 0:
            refused.append(path)
            raise PermissionError(path)
        assert locked.stat().st_mode & 0o700 == 0o700
        real(path, **options)

    monkeypatch.setattr(shutil, "rmtree", rmtree)
    remove_tree(tree)
    assert refused == [tree]
    assert not tree.exists()
    assert tmp_path.exists()


def test_tree_that_is_not_there_is_removed_already(tmp_path):
    remove_tree(tmp_path / "nothing")


class Asked:
    """A client that keeps what it was asked, and asks a registry for something."""

    def capabilities(self):
        return {"name": "asked", "version": "1", "features": []}

    def pull(self, request, on_cancel):
        self.request = request
        return {"ok": False}

    def inspect(self, request):
        return {}


def asking(bench_of):
    client = Asked()
    info = ClientInfo(name="asked", kind="python")
    return client, bench_of(Client(adapter=client, info=info))


def test_mirrors_are_written_down_beside_the_store(bench_of):
    client, bench = asking(bench_of)
    image = bench.publish()
    first, second = bench.new_registry(), bench.new_registry(tls=True)
    mirrors = [
        Mirror(registry=first, capabilities=["pull"], headers={"X-Key": "a"}),
        second,
    ]
    bench.pull(image, mirrors=mirrors)
    hosts = Path(client.request["hosts_dir"])
    assert not hosts.is_relative_to(bench.root)
    table = tomllib.loads((hosts / bench.registry.host / "hosts.toml").read_text())
    assert table == {
        "server": bench.registry.url,
        "capabilities": ["pull", "resolve"],
        "host": {
            first.url: {"capabilities": ["pull"], "header": {"X-Key": "a"}},
            second.url: {
                "capabilities": ["pull", "resolve"],
                "ca": str(second.ca_file),
            },
        },
    }
    bench.pull(image, mirrors=[first])
    assert client.request["hosts_dir"] != str(hosts)
    bench.pull(image)
    assert client.request["hosts_dir"] is None


def test_registry_of_another_name_is_the_cases(bench_of):
    client, bench = asking(bench_of)
    bench.publish()
    bench.pull("registry.example/library/test:v1", mirrors=[bench.new_registry()])
    file = Path(client.request["hosts_dir"]) / "registry.example" / "hosts.toml"
    assert tomllib.loads(file.read_text())["server"] == bench.registry.url


def test_refresh_token_goes_without_a_user(bench_of):
    client, bench = asking(bench_of)
    bench.new_registry(auth=BasicAuth("me", "secret"))
    image = bench.publish()
    token = "-".join(("refresh", "me"))
    bench.pull(image, username="", password=token, plain_http=False)
    told = client.request
    assert (told["username"], told["password"]) == (None, token)
    assert told["plain_http"] is False
