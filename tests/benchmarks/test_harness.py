"""The parts of the benchmarks that decide what a figure says.

Turns, medians, ratios, goals, spans; and the small clients that put the load on.
"""

import importlib
import io
import itertools
import json
import math
import os
import socket
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from fakeregistry import Registry

ROOT = Path(__file__).parents[2]


def load(name):
    """Import a module of the benchmarks, wherever pytest was started."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT))
        return importlib.import_module(f"tests.benchmarks.{name}")


harness, markdown = load("harness"), load("markdown")


def row(name, *values, peer=False):
    return harness.Row(name, [harness.Sample(value) for value in values], peer)


def test_two_take_turns_in_coming_first():
    orders = ["".join(harness.order("ab", number)) for number in range(4)]
    assert orders == ["ab", "ba", "ba", "ab"]


def test_three_come_in_every_order():
    orders = {tuple(harness.order("abc", number)) for number in range(6)}
    assert orders == set(itertools.permutations("abc"))


@given(st.integers(1, 6))
def test_everyone_has_every_place_equally_often(count):
    names = [str(number) for number in range(count)]
    places = Counter(
        (place, name)
        for number in range(2 * count)
        for place, name in enumerate(harness.order(names, number))
    )
    assert set(places.values()) == {2}
    assert len(places) == count * count


def test_rounds_are_interleaved_and_the_warm_up_does_not_count():
    ran = []

    def contestant(name):
        def run():
            ran.append(name)
            return len(ran)

        return run

    told: list[str] = []
    results = harness.interleave(
        {"a": contestant("a"), "b": contestant("b")}, rounds=2, tell=told.append
    )
    assert "".join(ran) == "ab" + "ab" + "ba"
    assert results == {"a": [3, 6], "b": [4, 5]}
    assert told[:3] == ["a, warm-up", "b, warm-up", "a, round 1"]


def test_row_has_the_median_of_time_and_the_highest_peak():
    samples = [
        harness.Sample(3, cpu=1, peak=10),
        harness.Sample(100, cpu=7, peak=30),
        harness.Sample(1, cpu=2, peak=20),
    ]
    made = harness.Row("a", samples)
    assert (made.median, made.cpu, made.peak) == (3, 2, 30)


def test_what_is_not_known_is_left_open():
    assert (row("a", 1).cpu, row("a", 1).peak) == (None, None)


def test_ratio_is_median_over_median_with_the_rounds_apart():
    ratio = harness.Ratio.of(row("a", 1, 2, 9), row("b", 4, 2, 3))
    assert ratio.value == pytest.approx(2 / 3)
    assert (ratio.low, ratio.high) == (0.25, 3)


def test_rounds_of_a_ratio_belong_together():
    with pytest.raises(ValueError, match="shorter"):
        harness.Ratio.of(row("a", 1, 2), row("b", 1))


@given(
    st.lists(st.tuples(*[st.floats(0.01, 100)] * 2), min_size=1, max_size=9),
    st.floats(0.1, 10),
)
def test_ratio_does_not_know_how_fast_the_machine_is(pairs, factor):
    def ratio(scale):
        ours = row("a", *(mine * scale for mine, _ in pairs))
        return harness.Ratio.of(ours, row("b", *(other * scale for _, other in pairs)))

    before, after = ratio(1), ratio(factor)
    assert math.isclose(before.value, after.value, rel_tol=1e-9)
    assert before.low <= before.high


@pytest.mark.parametrize(
    ("bounds", "value", "reached", "text"),
    [
        ({"most": 0.5}, 0.5, True, "<= 0.5"),
        ({"most": 0.5}, 0.51, False, "<= 0.5"),
        ({"least": 3}, 3, True, ">= 3"),
        ({"least": 3}, 2.9, False, ">= 3"),
    ],
)
def test_goal(bounds, value, reached, text):
    goal = harness.Goal("a", "b", **bounds)
    assert goal.reached(value) is reached
    assert str(goal) == text


def test_figure_compares_ours_with_peers_only():
    figure = harness.Figure(
        name="area.thing",
        title="a thing",
        unit="s",
        rows=[row("a", 1), row("b", 2), row("c", 4, peer=True)],
        goals=[harness.Goal("a", "c", most=0.2), harness.Goal("b", most=2)],
    )
    told = figure.to_json()
    assert [(r["ours"], r["peer"], r["value"]) for r in told["ratios"]] == [
        ("a", "c", 0.25),
        ("b", "c", 0.5),
    ]
    assert (told["ratios"][0]["goal"], told["ratios"][0]["reached"]) == (
        "<= 0.2",
        False,
    )
    assert "goal" not in told["ratios"][1]
    assert (told["rows"][1]["goal"], told["rows"][1]["reached"]) == ("<= 2", True)
    assert told["rows"][0]["values"] == [1]


@pytest.mark.parametrize(
    ("spans", "seconds"),
    [
        ([], 0),
        ([(1, 3), (5, 6)], 3),
        ([(1, 6), (2, 3)], 5),
        ([(4, 6), (1, 5)], 5),
        ([(-5, 1), (9, 20)], 2),
        ([(-5, 20)], 10),
        ([(-2, -1)], 0),
    ],
)
def test_time_in_spans_counts_once_and_only_inside(spans, seconds):
    assert load("spans").covered(spans, 0, 10) == seconds


def test_reply_is_read_as_it_comes():
    """A head in two parts, a body in two parts, the next reply on the same line."""
    ours, theirs = socket.socketpair()
    connection = bare_connection(ours)
    with ours, theirs:
        connection.ask(b"GET / HTTP/1.1\r\n\r\n")
        assert theirs.recv(100) == b"GET / HTTP/1.1\r\n\r\n"
        body = bytearray()
        complete = []
        for part in (b"HTTP/1.1 200 OK\r\nContent-", b"Length: 5\r\n\r\nhe", b"llo"):
            theirs.sendall(part)
            complete.append(connection.read(body))
        assert complete == [False, False, True]
        assert body == b"hello"
        connection.ask(b"GET /")
        theirs.sendall(b"HTTP/1.1 201 Created\r\ncontent-length:0\r\n\r\n")
        assert connection.read()
        assert connection.head.startswith(b"HTTP/1.1 201")


@pytest.mark.parametrize(
    "reply",
    [
        b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"",
    ],
)
def test_reply_that_measures_nothing_is_refused(reply):
    ours, theirs = socket.socketpair()
    connection = bare_connection(ours)
    with ours, theirs:
        connection.ask(b"GET /")
        theirs.sendall(reply)
        theirs.shutdown(socket.SHUT_WR)
        with pytest.raises(ConnectionError):
            connection.read()


def bare_connection(sock):
    """Return a connection of the load that is there already."""
    connection = object.__new__(load("load").Connection)
    connection.sock = sock
    return connection


def grown(*totals, shared=True, most=2.0):
    """Return what grows, of (size, seconds)."""
    growth = load("growth")
    points = [growth.Point(size, [seconds], shared) for size, seconds in totals]
    return growth.Growth(
        name="a.b", title="a", items="things", points=points, most=most
    )


@pytest.mark.parametrize(
    ("totals", "factor", "well"),
    [
        ([(1, 5), (10, 10), (1000, 2000)], 2, True),
        ([(1, 5), (10, 10), (1000, 2001)], 2.001, False),
        ([(1, 100), (10, 1), (100, 1)], 0.1, True),
        ([(1, 1), (20, 1)], None, None),
    ],
)
def test_what_each_takes_is_held_against_that_of_ten(totals, factor, well):
    growth = grown(*totals)
    assert growth.factor == (factor and pytest.approx(factor))
    assert growth.well is well
    assert growth.to_json()["reached"] is well


def test_one_more_among_many_is_not_shared_by_them():
    growth = grown((10, 1), (100, 3), shared=False)
    assert [point.each for point in growth.points] == [1, 3]
    assert (growth.factor, growth.well) == (3, False)
    assert growth.more() == [None, None]


@given(st.floats(0, 10), st.floats(0.01, 10))
def test_each_more_knows_no_fixed_cost(fixed, each):
    growth = grown(*((size, fixed + size * each) for size in (1, 10, 1000)))
    assert growth.more()[0] is None
    assert growth.more()[1:] == [pytest.approx(each)] * 2


def test_nothing_is_wanted_of_small_sizes():
    assert grown((10, 1), (20, 9), most=None).well is None


def test_tables_say_what_was_wanted_and_whether_it_is_so():
    figure = harness.Figure(
        name="area.thing",
        title="a thing",
        unit="s",
        rows=[row("a", 1), row("b", -4, peer=True)],
        goals=[harness.Goal("a", most=2)],
        notes=["c: left out, not installed"],
        compared=False,
    )
    shown = printed("show", figure)
    assert "wanted <= 2: yes" in shown
    assert "-4.00 to -4.00" in shown
    assert "/ b" not in shown
    assert "c: left out, not installed" in shown


def test_table_of_what_grows_says_so():
    assert "wanted <= 2: NO" in printed("show_growth", grown((10, 1), (100, 30)))
    assert "wanted" not in printed("show_growth", grown((10, 1), (100, 30), most=None))


def printed(function, shown):
    out = io.StringIO()
    getattr(load("tables"), function)(Console(file=out, width=120), shown)
    return out.getvalue()


def test_several_parts_are_named_at_once():
    """One after the other, and again as before."""
    parse = load("cli")._parser().parse_args
    assert parse(["--only", "pull", "unpack"]).only == ["pull", "unpack"]
    assert parse(["--only", "pull", "--only", "suite"]).only == ["pull", "suite"]


def test_load_is_put_on_over_tls():
    with Registry(tls=True) as registry:
        image = registry.publish("library/hello:1", layers=1)
        path = f"/v2/library/hello/manifests/{image.digest}"
        body = load("load").get("127.0.0.1", registry.port, path, registry.ca_file)
    assert body == image.data[image.digest]


def test_pushed_image_is_there_byte_for_byte():
    upload = load("upload")
    layers = [b"one", b"two"]
    with Registry() as registry:
        assert upload.push("127.0.0.1", registry.port, "pushed/new", layers) > 0
        repository = registry.store.repository("pushed/new")
        assert repository is not None
        stored = repository.manifest(upload.TAG)
        assert stored is not None
        connections = {exchange.connection for exchange in registry.journal}
    manifest = bytes(stored.data)
    assert manifest == upload.manifest_of(layers)
    for described, layer in zip(json.loads(manifest)["layers"], layers, strict=True):
        assert bytes(repository.blobs[described["digest"]].data) == layer
    assert len(connections) == 1


@pytest.mark.parametrize(
    ("location", "url"),
    [
        ("/v2/a/blobs/uploads/1", "/v2/a/blobs/uploads/1?digest=sha256:0"),
        ("http://host:1/u?_state=x%3D", "/u?_state=x%3D&digest=sha256:0"),
    ],
)
def test_upload_ends_where_the_registry_says(location, url):
    """Distribution-spec v1.1.1, POST then PUT: the query may be critical."""
    assert load("upload").blob_url(location, "sha256:0") == url


def test_only_what_listens_is_a_port():
    """Lines as Linux writes them; proc_pid_net(5)."""
    table = (
        "  sl  local_address rem_address   st tx_queue:rx_queue tr:tm->when retrnsmt"
        "   uid  timeout inode\n"
        "   0: 0100007F:ACF3 00000000:0000 0A 00000000:00000000 00:00000000 00000000"
        "     0        0 241451 1 0000000000000000 100 0 0 10 0\n"
        "   1: 0100007F:8AE2 0100007F:ACF3 01 00000000:00000000 00:00000000 00000000"
        "     0        0 241452 1 0000000000000000 20 4 30 10 -1\n"
    )
    assert list(load("processes").listening(table)) == [(0xACF3, 241451)]


def test_port_of_a_process_is_the_one_it_listens_on():
    """The worker of pytest listens nowhere else."""
    processes = load("processes")
    before = processes.port_of(os.getpid())
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        assert processes.port_of(os.getpid()) == port
    assert before is None


def test_process_that_has_ended_has_no_port():
    """The kernel gives no process a number beyond its own bound (proc(5))."""
    assert load("processes").port_of(1 << 23) is None


@given(st.binary(max_size=99))
def test_request_says_how_long_its_body_is(body):
    made = load("load").request("h", 1, "/", method="PUT", media_type="a/b", body=body)
    head, _, rest = made.partition(b"\r\n\r\n")
    assert rest == body
    assert f"Content-Length: {len(body)}".encode() in head.split(b"\r\n")


def test_what_was_wanted_becomes_a_table_of_all_runs(tmp_path):
    figure = harness.Figure(
        name="pull.small",
        title="pull: small",
        unit="s",
        rows=[row("ours", 1), row("peer", 4, peer=True), row("other", 9, peer=True)],
        goals=[harness.Goal("ours", "peer", most=0.5)],
    )
    run = {
        "started": "2026-11-26T12:00:00+00:00",
        "machine": {"processors": 2, "processor": "X", "kernel": "6", "python": "3"},
        "versions": {"peer": "v1", "absent": "v2"},
        "figures": [figure.to_json()],
    }
    files = [tmp_path / name for name in ("1.json", "2.json")]
    for file in files:
        file.write_text(json.dumps(run), encoding="utf-8")
    lines = markdown.to_markdown(files).splitlines()
    assert lines[2:] == [
        "| pull: small | ours 1 s | peer 4 | 0.25, 0.25 | <= 0.5 |",
        "",
        "Of 2026-11-26, 2 x X, Linux 6, Python 3, peer v1.",
    ]


@pytest.mark.parametrize("text", ["", "[]", "{}"])
def test_table_of_what_is_no_benchmark(tmp_path, text):
    file = tmp_path / "a.json"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(harness.BenchError, match="no figures"):
        markdown.to_markdown([file])
