"""conformance/fuzz/judge.py: what is a finding, and what is none."""

import json
from pathlib import Path
from types import SimpleNamespace
from urllib.request import Request, urlopen

import pytest

from conformance.client import Client, ClientInfo
from conformance.fuzz.judge import Judge
from fakeregistry.scenario import ScenarioError

IMAGE = '[[image]]\nref = "library/fuzz:1"\nlayers = 2\n'
BY_DIGEST = '[[image]]\nref = "library/fuzz:by-digest"\nlayers = 2\n'
#: A letter of the manifest that no parser looks at.
NOTED = f'{IMAGE}annotations = {{ note = "intact" }}\n'
LAYERS = '[[fault]]\nmethod = "GET"\npath = "/blobs/*"\n'
TAG = '[[fault]]\nmethod = "GET"\npath = "/manifests/1"\n'
ALWAYS = '[[fault]]\npath = "/v2/*"\n'


@pytest.fixture
def judged(tmp_path, naive_client):
    """Judge a scenario with a client; return what came of it."""

    def judge(text, client=None, *flaws, timeout=10.0):
        file = tmp_path / "scenario.toml"
        file.write_text(text)
        who = client or naive_client(*flaws)
        trial = Judge(who, tmp_path / "stores", timeout).judge(file)
        name = trial.finding and trial.finding.name
        text = trial.finding.text if trial.finding else ""
        return SimpleNamespace(
            name=name, text=text, pulled=trial.pulled, met=trial.met, trial=trial
        )

    return judge


@pytest.fixture
def client_of(naive):
    """Make a client of the naive adapter with some of its methods replaced."""

    def make(**methods):
        adapter = type("Adapter", (naive.NaiveAdapter,), methods)()
        return Client(adapter=adapter, info=ClientInfo(name="naive", kind="python"))

    return make


def test_a_well_registry_and_a_client_that_pulls(judged):
    found = judged(IMAGE)
    assert (found.name, found.pulled, found.met) == (None, True, 0)


@pytest.mark.parametrize("image", [IMAGE, BY_DIGEST])
@pytest.mark.parametrize(
    "fault",
    [
        "flip = 0",
        "shorten = 5",
        "truncate = 5",
        'replace = "{}"',
        "status = 404",
        "cut = true",
    ],
)
def test_a_client_that_checks_digests_is_never_at_fault(judged, image, fault):
    found = judged(f"{image}{LAYERS}{fault}\n")
    assert (found.name, found.pulled) == (None, False)
    assert found.met
    # It was given the chance to pull from the registry when it was well again.
    assert [pull["ok"] for pull in found.trial.evidence["pulls"]] == [False, True]


def test_bytes_under_a_digest_that_they_lack(judged):
    found = judged(f"{IMAGE}{LAYERS}nth = 2\nflip = 0\n", None, "no-digest-check")
    assert found.name == "corrupt"
    assert "the pull succeeded, and bytes are kept wrongly: sha256:" in found.text
    assert "is in truth sha256:" in found.text


def test_bytes_that_were_never_sent_by_a_client_that_shows_none(judged):
    flaws = "no-digest-check", "no-content"
    found = judged(f"{IMAGE}{LAYERS}nth = 2\nflip = 0\n", None, *flaws)
    assert found.name == "incomplete"
    assert "was never sent sha256:" in found.text


@pytest.mark.parametrize("action", ["append", "flip", "encode"])
def test_what_can_have_been_put_together_counts_as_sent(judged, action):
    """The bytes came after all: in a second answer, before others, or packed."""
    told = {
        "append": 'append = "x"',
        "flip": "times = 1\nflip = 9000",
        "encode": 'encode = "gzip"',
    }[action]
    found = judged(f"{IMAGE}{LAYERS}{told}\n", None, "no-digest-check", "no-content")
    assert (found.name, found.pulled) == (None, True)


def test_success_without_a_layer(judged, client_of, naive):
    def _pull(self, request):
        try:
            naive.NaiveAdapter._pull(self, request)
        except ValueError:
            if not Path(request["root"], "blobs").exists():
                raise
            blob = next(Path(request["root"], "blobs", "sha256").iterdir())
            document = json.loads(blob.read_text())
            assert document
            target = {"digest": f"sha256:{blob.name}", "size": 1, "mediaType": ""}
            record = {"name": request["ref"], "target": target, "labels": {}}
            Path(request["root"], "images.json").write_text(json.dumps([record]))

    found = judged(f"{IMAGE}{LAYERS}status = 404\n", client_of(_pull=_pull))
    assert found.name == "incomplete"
    assert "was never sent" in found.text


def test_success_without_asking_again(judged, client_of, naive):
    """Nothing is known of the store: the well twin tells what is asked for."""

    def _get(self, request, url):
        if "/blobs/" in url and getattr(self, "busy", False):
            return b"", ""
        try:
            return naive.NaiveAdapter._get(self, request, url)
        except ValueError:
            self.busy = True
            return b"", ""

    def pull(self, request, on_cancel):
        self.flaws |= {"no-content", "no-digest-check"}
        self.busy = False
        return naive.NaiveAdapter.pull(self, request, on_cancel)

    adapter = client_of(_get=_get, pull=pull)
    adapter.adapter.flaws.add("no-content")
    text = f"{IMAGE}{LAYERS}nth = 1\nchange_status = 503\n"
    found = judged(text, adapter)
    assert found.name == "incomplete"
    assert "never asked for sha256:" in found.text


def records_what_it_is_told(naive):
    def _pull(self, request):
        naive.NaiveAdapter._pull(self, request)
        (record,) = json.loads(Path(request["root"], "images.json").read_text())
        registry, _, rest = request["ref"].partition("/")
        name, _, tag = rest.rpartition(":")
        url = f"http://{registry}/v2/{name}/manifests/{tag}"
        with urlopen(Request(url, method="HEAD")) as response:
            digest = response.headers["Docker-Content-Digest"]
        record["target"]["digest"] = digest
        Path(request["root"], "images.json").write_text(json.dumps([record]))

    return _pull


def test_a_record_of_what_is_not_there(judged, client_of, naive):
    client = client_of(_pull=records_what_it_is_told(naive))
    assert judged(IMAGE, client).name is None
    wrong = "sha256:" + "0" * 64
    header = f'headers = {{ Docker-Content-Digest = "{wrong}" }}\n'
    head = '[[fault]]\nmethod = "HEAD"\npath = "/manifests/1"\n'
    found = judged(f"{IMAGE}{head}{header}", client)
    assert found.name == "astray"
    assert f"its name stands for {wrong}, of which nothing is kept" in found.text


def test_a_record_of_what_nobody_said(judged, client_of, naive):
    """No fault met what the name stands for: it can stand for nothing else."""
    wrong = "sha256:" + "0" * 64

    def _pull(self, request):
        naive.NaiveAdapter._pull(self, request)
        (record,) = json.loads(Path(request["root"], "images.json").read_text())
        if "hurried" in self.flaws:
            record["target"]["digest"] = wrong
        Path(request["root"], "images.json").write_text(json.dumps([record]))

    def _get(self, request, url):
        body, media_type = naive.NaiveAdapter._get(self, request, url)
        if media_type == "text/html":
            self.flaws.add("hurried")
        return body, media_type

    client = client_of(_pull=_pull, _get=_get)
    html = 'headers = { Content-Type = "text/html" }\n'
    found = judged(f"{IMAGE}{LAYERS}{html}", client)
    # It is hurried for good, so the twin says that this is how it records things.
    assert (found.name, found.pulled) == (None, True)
    client.adapter.flaws.clear()
    calm = client.adapter.pull

    def pull(request, on_cancel):
        client.adapter.flaws.clear()
        return calm(request, on_cancel)

    client.adapter.pull = pull
    found = judged(f"{IMAGE}{LAYERS}{html}", client)
    assert found.name == "astray"
    assert f"its name stands for {wrong}; the registry has sha256:" in found.text


def test_what_a_tag_stands_for_is_the_word_of_the_registry(judged):
    """Nothing tells that the manifest is another one: it may be taken for it."""
    found = judged(f"{NOTED}{TAG}flip = -6\n")
    assert (found.name, found.pulled, found.met) == (None, True, 1)


def test_what_stands_for_an_image_must_be_one(judged, client_of, naive):
    def _pull(self, request):
        try:
            naive.NaiveAdapter._pull(self, request)
        except ValueError:
            blob = next(Path(request["root"], "blobs", "sha256").iterdir())
            target = {"digest": f"sha256:{blob.name}", "size": 2, "mediaType": ""}
            record = {"name": request["ref"], "target": target, "labels": {}}
            Path(request["root"], "images.json").write_text(json.dumps([record]))

    found = judged(f'{IMAGE}{TAG}replace = "{{}}"\n', client_of(_pull=_pull))
    assert found.name == "incomplete"
    assert "it is neither a manifest nor an index" in found.text


def test_credentials_that_a_stranger_is_shown(judged, client_of):
    def _get(self, request, url):
        # urllib sends on a redirect what it sent before, wherever that leads.
        wanted = Request(url, headers={"Accept": "*/*"})  # noqa: S310 - loopback
        wanted.add_header("Authorization", "Basic dXNlcjpvcGVuLXNlc2FtZQ==")
        with urlopen(wanted) as response:  # noqa: S310 - loopback
            return response.read(), response.headers["Content-Type"]

    scenario = (
        '[registry]\nprofile = "signed-redirects"\ncdn_host = "localhost"\n'
        '[auth]\nkind = "basic"\nusername = "user"\npassword = "open-sesame"\n'
    )
    found = judged(f"{scenario}{IMAGE}", client_of(_get=_get))
    assert found.name == "leak"
    assert "credentials are shown to localhost" in found.text
    assert "dXNlcjpv" not in found.text


def test_a_store_that_is_spoilt_for_good(judged, client_of, naive):
    def _pull(self, request):
        mark = Path(request["root"], "pulling")
        mark.touch(exist_ok=False)
        naive.NaiveAdapter._pull(self, request)
        mark.unlink()

    found = judged(f"{IMAGE}{ALWAYS}nth = 1\nstatus = 503\n", client_of(_pull=_pull))
    assert found.name == "unrecovered"
    assert "a fresh store can" in found.text


def test_a_client_that_cannot_pull_the_image_at_all_need_not_recover(judged):
    """The naive client knows no index: its first failure took nothing from it."""
    index = f'{IMAGE}platforms = ["linux/amd64"]\n'
    found = judged(f"{index}{ALWAYS}nth = 1\nstatus = 503\n")
    assert (found.name, found.pulled) == (None, False)
    assert len(found.trial.evidence["pulls"]) == 2


def test_a_client_that_tries_for_ever(judged, client_of, naive):
    def _get(self, request, url):
        while True:
            try:
                return naive.NaiveAdapter._get(self, request, url)
            except ValueError:
                if self.over:
                    raise

    def pull(self, request, on_cancel):
        on_cancel(lambda: setattr(self, "over", True))
        return naive.NaiveAdapter.pull(self, request, on_cancel)

    client = client_of(_get=_get, pull=pull, over=False)
    found = judged(f"{IMAGE}{LAYERS}status = 503\n", client, timeout=0.3)
    assert found.name == "hangs"


@pytest.mark.parametrize("error", [RuntimeError, KeyError])
def test_a_client_that_crashes(judged, client_of, naive, error):
    def _get(self, request, url):
        try:
            return naive.NaiveAdapter._get(self, request, url)
        except ValueError:
            raise error("status") from None

    found = judged(f"{IMAGE}{LAYERS}status = 503\n", client_of(_get=_get))
    assert found.name == "died"


def test_an_error_of_its_own_is_no_crash(judged):
    assert judged(f"{IMAGE}{LAYERS}status = 503\n").name is None


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "there is no image to pull"),
        (f'{IMAGE}[[gate]]\npath = "/blobs/*"\n', "nobody would open its gates"),
        (f"{IMAGE}[[fault]]\nflop = 1\n", "flop: unknown key"),
    ],
)
def test_what_cannot_be_judged_is_refused(judged, text, problem):
    with pytest.raises(ScenarioError, match=problem):
        judged(text)
