"""conformance/recording.py: what the reference asks, as it is shipped."""

import json

import pytest

from conformance import front, recorder
from conformance.case import load_suite
from conformance.front import RunOptions
from conformance.recording import (
    compact,
    load_recording,
    parse,
    same_requests,
    strangers,
    to_text,
)

TRACE = {
    "pulls": [],
    "faults": [{"server": "registry", "what": "x 127.0.0.1:9: status=500", "fired": 1}],
    "exchanges": [
        {
            "server": server,
            "connection": 1,
            "at": 0.1,
            "seconds": 0.2,
            "method": "GET",
            "target": "/v2/a/blobs/x?expires=123",
            "status": 307,
            "bytes": 0,
            "outcome": "complete",
            "request": [["Host", f"127.0.0.1:{port}"], ["Accept", "*/*"]],
            "response": [["Location", "http://localhost:81/x"], ["Etag", "1"]],
        }
        for server, port in (("registry", 80), ("registry 2", 81))
    ],
    "omitted": 0,
}


def test_what_is_chance_is_left_out():
    made = compact(TRACE)
    assert made["faults"] == ["x elsewhere: status=500"]
    assert made["exchanges"][0] == {
        "server": "registry",
        "method": "GET",
        "target": "/v2/a/blobs/x?expires=...",
        "status": 307,
        "bytes": 0,
        "outcome": "complete",
        "request": [],
        "response": [["Location", "http://registry-2/x"]],
    }


def test_recording_is_read_as_it_was_written():
    cases = {"a.b": compact(TRACE), "c.d": {"faults": [], "exchanges": []}}
    text = to_text(cases)
    assert parse(text) == cases
    assert len(text.splitlines()) == 4


def test_order_is_no_difference():
    one = compact(TRACE)
    other = {**one, "exchanges": one["exchanges"][::-1]}
    assert same_requests(one, other)
    assert not same_requests(one, {**one, "exchanges": one["exchanges"][:1]})
    assert strangers(TRACE, other) == [False, False]
    assert strangers(TRACE, {**one, "exchanges": one["exchanges"][:1]}) == [False, True]


def test_what_is_shipped_is_about_cases_that_exist():
    recorded, suite = load_recording(), load_suite()
    assert recorded
    gone = sorted(recorded.keys() - suite.keys())
    assert not gone, "run `pull-conformance record`"
    for case, one in recorded.items():
        for exchange in one["exchanges"]:
            assert exchange["target"].startswith("/"), case
            assert ":" not in exchange["server"]
    assert "127.0.0.1:" not in json.dumps(recorded)
    assert len(to_text(recorded)) < 1200 * len(recorded)


@pytest.mark.slow
def test_reference_still_asks_what_was_recorded(tmp_path, monkeypatch):
    """A few cases that leave nothing to chance."""
    few = ["resume.rest-of-a-cut-body-is-asked-for", "verify.layer-intact"]

    def run_suite(options, rest):
        made = RunOptions(
            clients=options.clients, json=options.json, trace="all", cases=few
        )
        return front.run_suite(made, rest)

    monkeypatch.setattr(recorder, "run_suite", run_suite)
    file = tmp_path / "recording.json"
    shipped = load_recording()
    file.write_text(to_text({case: shipped[case] for case in few}))
    before = file.read_text()
    assert recorder.record(file) == (0, [])
    assert file.read_text() == before
    file.write_text(to_text({few[0]: shipped[few[1]], "a.gone": shipped[few[1]]}))
    status, changed = recorder.record(file)
    assert (status, sorted(changed)) == (0, ["a.gone", *few])
    assert parse(file.read_text()).keys() == set(few)
