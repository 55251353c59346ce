"""conformance/evidence.py: what a case leaves behind, bounded and without secrets."""

import base64
import http.client
import json
from urllib.parse import urlencode

import pytest

from conformance.client import PullResult
from conformance.evidence import FIRST, LAST, PULLS, TAIL, evidence_of
from fakeregistry import BasicAuth, TokenAuth

SECRET = "open-sesame-77"  # noqa: S105 - of a registry made here


def ask(registry, method, target, *, body=None, **headers):
    """Send one request on a connection of its own, and read the answer."""
    connection = http.client.HTTPConnection("127.0.0.1", registry.port, timeout=10)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, target, body=body, headers=named)
    connection.getresponse().read()
    connection.close()


@pytest.fixture
def bench(naive_client, bench_of):
    return bench_of(naive_client())


def test_wire_and_words_are_plain_data(bench):
    image = bench.publish(layers=2)
    fault = bench.registry.fault(method="GET", digest=image.layers[1].digest, flip=3)
    bench.pull(image)
    trace = evidence_of(bench)
    assert json.loads(json.dumps(trace)) == trace
    first = trace["exchanges"][0]
    assert (first["method"], first["target"]) == (
        "GET",
        "/v2/library/test/manifests/v1",
    )
    assert (first["status"], first["outcome"], first["at"]) == (200, "complete", 0.0)
    assert ["Accept", "*/*"] in first["request"]
    assert ["Docker-Content-Digest", image.digest] in first["response"]
    assert "Date" not in dict(first["response"])
    last = trace["exchanges"][-1]
    assert (last["bytes"], last["connection"]) == (image.layers[1].size, 4)
    (pull,) = trace["pulls"]
    assert (pull["ok"], pull["exit"], pull["reason"]) == (False, 1, None)
    assert pull["error"].startswith(f"{image.layers[1].digest}: got ")
    (met,) = trace["faults"]
    assert met == {"server": "registry", "fired": 1, "what": f"{fault.rule}: flip=3"}
    account = trace["account"]
    assert (account["requests"], account["ended"]) == (4, ["failure"])
    (broken,) = account["broken"]
    assert broken["thing"] == image.layers[1].digest
    assert [fact["fact"] for fact in broken["facts"]] == ["took-all", "gave-up"]


def test_nothing_happened_yet(bench):
    assert evidence_of(bench) == {
        "pulls": [],
        "faults": [],
        "exchanges": [],
        "omitted": 0,
        "account": None,
    }


def test_pull_that_goes_on_is_said_to(bench):
    image = bench.publish()
    with bench.registry.gate("/blobs/*") as gate:
        running = bench.start_pull(image)
        gate.wait_for(1)
        trace = evidence_of(bench)
        gate.open()
        running.wait()
    (pull,) = trace["pulls"]
    assert (pull["ok"], pull["seconds"], pull["reason"]) == (None, None, "running")
    held = trace["exchanges"][-1]
    assert (held["status"], held["outcome"], held["seconds"]) == (0, "held", None)


def test_secrets_stay_out(naive_client, bench_of):
    bench = bench_of(naive_client("prints-secrets"))
    bench.new_registry(auth=BasicAuth("someone", SECRET))
    bench.pull(bench.publish())
    token = bench.new_registry(auth=TokenAuth("someone", SECRET))
    form = urlencode({"grant_type": "password", "password": SECRET, "service": "x"})
    ask(
        *(token, "POST", f"/token?account=a&token={SECRET}"),
        body=form,
        Content_Type="application/x-www-form-urlencoded",
        Authorization=f"Bearer {SECRET}",
        X_Note=f"mine is {SECRET}",
    )
    text = json.dumps(evidence_of(bench))
    assert SECRET not in text
    assert base64.b64encode(f"someone:{SECRET}".encode()).decode() not in text
    posted = evidence_of(bench)["exchanges"][-1]
    assert posted["server"] == "registry 2"
    assert "grant_type=password" in posted["form"]
    assert ["Authorization", "Bearer [redacted]"] in posted["request"]
    assert ["X-Note", "mine is [redacted]"] in posted["request"]


def test_long_journal_is_cut_in_the_middle(bench):
    registry = bench.registry
    connection = http.client.HTTPConnection("127.0.0.1", registry.port)
    for number in range(FIRST + LAST + 7):
        connection.request("GET", f"/v2/?{number}")
        connection.getresponse().read()
    connection.close()
    trace = evidence_of(bench)
    numbers = [int(one["target"].partition("?")[2]) for one in trace["exchanges"]]
    assert trace["omitted"] == 7
    assert trace["account"]["requests"] == FIRST + LAST + 7
    assert numbers == [*range(FIRST), *range(FIRST + 7, FIRST + LAST + 7)]


def test_long_words_keep_their_end(bench, monkeypatch):
    said = PullResult(ok=False, stdout="a" * TAIL + "the end\udc80\x1e", stderr="b")
    monkeypatch.setattr(bench, "pulls", lambda: [("x", said)] * (PULLS + 1))
    trace = evidence_of(bench)
    assert len(trace["pulls"]) == PULLS
    shown = trace["pulls"][0]["stdout"]
    assert shown.startswith("[9 characters before]\n")
    assert shown.endswith("the end? ")
    assert shown.encode()


def test_faults_that_are_gone_are_told_when_they_were_met(bench):
    with bench.registry.fault(path="/v2/", body=b"no", status=500):
        ask(bench.registry, "GET", "/v2/")
    bench.registry.fault(
        path="/v2/*", when=lambda exchange: True, redirect=lambda e: ""
    )
    assert [fault["what"] for fault in evidence_of(bench)["faults"]] == [
        "path='/v2/*', when=...: redirect=...",
        "path='/v2/': body=<2 bytes>, status=500",
    ]
