"""conformance/har.py: a failure, saved and replayed without case and suite."""

import base64
import hashlib
import json
import subprocess
import sys
from contextlib import contextmanager

import httpx
import pytest

from conformance.__main__ import main
from conformance.bench import Bench
from conformance.case import Level
from conformance.har import har_file, save_har
from conformance.verdict import Judged, Outcome, Raw, Result, Verdict
from fakeregistry import BasicAuth, Registry, TokenAuth

FLIPPED = "verify.layer-with-a-flipped-bit-is-rejected"


@pytest.fixture
def careless(naive_client, monkeypatch):
    """Let `run` find a naive client that checks no digest."""

    def load_clients(names, files, commands):
        del names, files, commands
        return [naive_client("no-digest-check", name="careless")]

    monkeypatch.setattr("conformance.session.load_clients", load_clients)


def judged(verdict=Verdict.FAIL):
    result = Result(
        client="naive",
        id="verify.some-case",
        area="verify",
        title="",
        clause="",
        link=None,
        level=Level.MUST,
        critical=False,
        needs=(),
        twin=None,
        xfail=None,
        selected=True,
        seconds=0.0,
        raw=Raw(outcome=Outcome.VIOLATED),
    )
    return Judged(result=result, verdict=verdict, reason="")


@contextmanager
def served(file):
    """Serve a file in another process; give the references that it prints."""
    command = [sys.executable, "-m", "fakeregistry", "serve", "--har", str(file)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            _, *refs = (server.stdout.readline().strip() for _ in range(2))
            yield refs
        finally:
            server.terminate()
            server.wait(10)
    assert server.returncode == 0


def body(content):
    if content.get("encoding") == "base64":
        return base64.b64decode(content["text"])
    return content["text"].encode()


def pull(naive, flaws, ref, root):
    """Let a naive client pull; return its result and what it stored."""
    adapter = naive.NaiveAdapter(flaws)
    root.mkdir()
    request = {"ref": ref, "root": str(root), "username": None, "password": None}
    result = adapter.pull(request, lambda function: None)
    blobs = {path.name: path.read_bytes() for path in root.glob("blobs/sha256/*")}
    return result, blobs


def test_a_failing_case_fails_again_from_its_file(careless, naive, tmp_path, capsys):
    """The same wrong outcome, byte for byte, and a good client still says no."""
    folder = tmp_path / "hars"
    assert main(["run", "--case", FLIPPED, "--har", str(folder)]) == 1
    capsys.readouterr()
    (file,) = folder.rglob("*.har")
    assert file == folder / "careless" / f"{FLIPPED}.har"
    recorded = {
        entry["request"]["url"].rpartition(":")[2]: body(entry["response"]["content"])
        for entry in json.loads(file.read_text())["log"]["entries"]
    }
    with served(file) as (ref,):
        result, blobs = pull(naive, {"no-digest-check"}, ref, tmp_path / "careless")
        good, _ = pull(naive, (), ref, tmp_path / "good")
    assert result["ok"]
    wrong = {
        name for name, data in blobs.items() if hashlib.sha256(data).hexdigest() != name
    }
    (name,) = wrong
    assert blobs[name] == recorded[name]
    assert not good["ok"]
    assert "got sha256:" in good["error"]["message"]


def test_a_case_that_passes_has_no_file_and_loses_an_older_one(tmp_path):
    file = har_file(tmp_path, judged())
    file.parent.mkdir()
    file.write_text("of an earlier run")

    class Nothing:
        registries = ()

    assert save_har(tmp_path, judged(Verdict.PASS), Nothing()) == ""  # type: ignore[arg-type]
    assert not file.exists()


@pytest.mark.parametrize(
    "verdict",
    [Verdict.FAIL, Verdict.WARN, Verdict.KNOWN, Verdict.ERROR, Verdict.UNEXPECTED_PASS],
)
def test_what_is_written(tmp_path, bench_of, naive_client, verdict):
    bench = bench_of(naive_client())
    assert save_har(tmp_path, judged(verdict), bench) == ""
    file = har_file(tmp_path, judged())
    assert not file.exists(), "nothing was asked"
    httpx.get(f"{bench.registry.url}/v2/")
    assert save_har(tmp_path, judged(verdict), bench) == ""
    assert file.exists()


def test_a_folder_that_cannot_be_written_is_told(tmp_path, bench_of, naive_client):
    bench = bench_of(naive_client())
    httpx.get(f"{bench.registry.url}/v2/")
    (tmp_path / "naive").write_text("in the way")
    complaint = save_har(tmp_path, judged(), bench)
    assert complaint.startswith(f"cannot write {har_file(tmp_path, judged())}: ")


def test_a_folder_that_cannot_be_made_is_misuse(careless, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    folder = tmp_path / "file" / "hars"
    assert main(["run", "--case", FLIPPED, "--har", str(folder)]) == 2
    said = capsys.readouterr().err
    assert said == (
        f"pull-conformance run: error: cannot write to {folder}: Not a directory\n"
    )


def test_bodies_are_recorded_only_for_a_file(bench_of, naive_client):
    bench = bench_of(naive_client())
    bench.must_pull(bench.publish())
    assert bench.registry.journal.recorded == {}


def test_registries_of_a_case_are_one_file(tmp_path, naive_client):
    """In order of arrival; ``_server`` says who answered, and secrets are not there."""
    bench = Bench(naive_client(), tmp_path / "case", timeout=10, record_bodies=True)
    try:
        first = bench.new_registry(auth=BasicAuth("user", "geheim-1"))
        second = bench.new_registry(auth=TokenAuth("user", "geheim-2"))
        with httpx.Client() as client:
            client.get(f"{first.url}/v2/", auth=("user", "geheim-1"))
            token = client.get(f"{second.url}/token", auth=("user", "geheim-2")).json()
            client.get(f"{second.cdn.url}/x")
            client.get(f"{first.url}/v2/")
        assert save_har(tmp_path, judged(), bench) == ""
    finally:
        bench.close()
    file = har_file(tmp_path, judged())
    text = file.read_text()
    for secret in ("geheim-1", "geheim-2", token["token"]):
        assert secret not in text
    log = json.loads(text)["log"]
    names = ["registry", "registry 2", "cdn 2", "registry"]
    assert [entry["_server"] for entry in log["entries"]] == names
    assert log["_servers"].keys() == {"registry", "registry 2", "cdn 2"}
    with Registry(har=file) as registry, httpx.Client(base_url=registry.url) as client:
        statuses = [client.get("/v2/").status_code for _ in range(2)]
        assert statuses == [200, 401]
        assert client.get("/token").json().keys() == token.keys()
        assert client.get("/x").status_code == 403
