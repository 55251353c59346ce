"""conformance/report: what programs, people and CI are shown of a run."""

import io
import json
from dataclasses import replace
from datetime import UTC, datetime
from xml.etree import ElementTree as ET

import pytest

from conformance import __version__
from conformance.case import Case, Feature, Level
from conformance.report.json import SCHEMA, to_json, write_json, write_whole
from conformance.report.junit import write_junit
from conformance.report.run import ClientRun, Run
from conformance.report.terminal import Progress, print_run
from conformance.verdict import Outcome, Raw, Verdict, judge_all, result_of

jsonschema = pytest.importorskip("jsonschema")

LONG = "a reason that goes on " * 12


def a_case(name, level=Level.MUST, *, area="verify", critical=False):
    return Case(
        id=f"{area}.{name}",
        area=area,
        title=f"What {name} means.",
        function=print,
        docstring=f"What {name} means.",
        clause="a spec, section 1",
        level=level,
        critical=critical,
        needs=frozenset({Feature.TLS}),
        link="https://example.com",
    )


def results(client):
    violated = Raw(outcome=Outcome.VIOLATED, reason=f"seen here\n{LONG}")
    yield result_of(a_case("good"), Raw(outcome=Outcome.SATISFIED), client=client)
    yield result_of(a_case("bad", critical=True), violated, client=client)
    yield result_of(a_case("lax", Level.SHOULD), violated, client=client)
    yield result_of(a_case("free", Level.MAY), violated, client=client)
    yield result_of(a_case("old"), violated, client=client, xfail="since 2019")
    yield result_of(
        a_case("mended"), Raw(outcome=Outcome.SATISFIED), client=client, xfail="was"
    )
    broken = Raw(outcome=Outcome.ERROR, reason="it broke", details="Traceback: x\n  y")
    yield result_of(a_case("broken", area="auth"), broken, client=client)
    for number in range(8):
        declined = Raw(outcome=Outcome.NOT_TESTABLE, reason="no tls")
        yield result_of(a_case(f"n{number}", area="tls"), declined, client=client)
    other = Raw(outcome=Outcome.NOT_TESTABLE, reason="\x1b[31mno way\x07")
    yield result_of(a_case("single", area="tls"), other, client=client)


def a_run(make=results, *, strict=False, broken=()):
    return Run(
        started=datetime(2026, 11, 24, 12, 0, 0, tzinfo=UTC),
        seconds=1.25,
        strict=strict,
        broken=broken,
        clients=(
            ClientRun(
                name="skopeo",
                version="1.9.3",
                features=("content", "tls"),
                cases=judge_all(make("skopeo")),
            ),
        ),
    )


def only_good(client):
    yield result_of(a_case("good"), Raw(outcome=Outcome.SATISFIED), client=client)


def none_at_all(client):
    return iter(())


FACT = {"fact": "resumed", "times": 2, "offsets": [7]}
BROKEN = {
    "thing": "/x",
    "server": "cdn",
    "by": ["cut"],
    "answers": [200],
    "facts": [FACT, {"fact": "gave-up"}],
}
ACCOUNT = {
    "broken": [BROKEN],
    "more": 0,
    "requests": 3,
    "ended": ["failure"],
    "sentence": "asked for /x at cdn (cut), \x1b[31m then gave up; the pull failed",
}


def traced(client, account=ACCOUNT):
    trace = {"pulls": [], "faults": [], "exchanges": [], "omitted": 0}
    for result in results(client):
        yield replace(result, trace={**trace, "account": account})


def traced_before(client):
    """As a version of the suite left it that made no account."""
    for result in traced(client):
        yield replace(result, trace={k: result.trace[k] for k in WITHOUT})


WITHOUT = ("pulls", "faults", "exchanges", "omitted")


# JSON


def check(report):
    """Hold a report to the schema that is published."""
    schema = json.loads(SCHEMA.read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(report, schema)


@pytest.mark.parametrize(
    "make", [results, only_good, none_at_all, traced, traced_before]
)
def test_report_is_as_its_schema_says(make, tmp_path):
    write_json(a_run(make, broken=["a worker was lost"]), tmp_path / "report.json")
    check(json.loads((tmp_path / "report.json").read_text()))


def test_schema_knows_every_key_and_every_verdict():
    schema = json.loads(SCHEMA.read_text())
    report = to_json(a_run())
    client = report["clients"][0]
    assert schema["properties"].keys() == report.keys()
    assert schema["$defs"]["client"]["properties"].keys() == client.keys()
    assert schema["$defs"]["case"]["properties"].keys() == client["cases"][0].keys()
    assert schema["$defs"]["verdict"]["enum"] == [str(v) for v in Verdict]


def test_schema_knows_every_key_of_an_account():
    schema = json.loads(SCHEMA.read_text())["$defs"]
    assert schema["account"]["required"] == list(ACCOUNT)
    broken = schema["account"]["properties"]["broken"]["items"]
    assert broken["required"] == list(BROKEN)
    assert FACT.keys() <= schema["fact"]["properties"].keys()
    report = to_json(a_run(traced))
    bad = next(one for one in report["clients"][0]["cases"] if one["trace"])
    bad["trace"]["account"]["broken"][0]["facts"][0] = {"fact": "sulked"}
    with pytest.raises(jsonschema.ValidationError):
        check(report)


def test_schema_refuses_what_is_no_report():
    report = to_json(a_run())
    report["clients"][0]["cases"][0]["verdict"] = "passed"
    with pytest.raises(jsonschema.ValidationError, match="'passed' is not one of"):
        check(report)


def test_report_says_what_the_design_says():
    report = to_json(a_run())
    assert report["suite"] == __version__
    assert report["started"] == "2026-11-24T12:00:00.000+00:00"
    (client,) = report["clients"]
    assert (client["name"], client["version"]) == ("skopeo", "1.9.3")
    assert client["features"] == ["content", "tls"]
    verdicts = {one["id"]: one["verdict"] for one in client["cases"]}
    assert verdicts["verify.good"] == "pass"
    assert verdicts["verify.bad"] == "fail"
    assert verdicts["verify.lax"] == "warn"
    assert verdicts["verify.free"] == "info"
    assert verdicts["verify.old"] == "known"
    assert verdicts["verify.mended"] == "unexpected-pass"
    assert verdicts["auth.broken"] == "error"
    assert verdicts["tls.single"] == "not-testable"
    assert client["totals"]["not-testable"] == 9
    bad = next(one for one in client["cases"] if one["id"] == "verify.bad")
    assert bad["reason"].startswith("seen here\n")
    assert bad["critical"]
    assert bad["needs"] == ["tls"]


def test_version_is_that_of_the_project(request):
    text = (request.config.rootpath / "pyproject.toml").read_text()
    assert f'version = "{__version__}"' in text


def test_file_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    file = tmp_path / "report.json"
    file.write_text("old")
    write_whole(file, "new")
    assert file.read_text() == "new"
    assert file.stat().st_mode & 0o400

    def replace(self, target):
        raise OSError("no")

    monkeypatch.setattr("pathlib.Path.replace", replace)
    with pytest.raises(OSError, match="no"):
        write_whole(file, "newer")
    assert file.read_text() == "new"
    assert list(tmp_path.iterdir()) == [file]


def test_what_is_no_plain_file_is_written_in_place(tmp_path):
    write_whole(tmp_path / "x", "")
    link = tmp_path / "null"
    link.symlink_to("/dev/null")
    write_whole(link, "gone")
    assert link.is_symlink()


# JUnit


def junit(run, tmp_path):
    write_junit(run, tmp_path / "junit.xml")
    file = tmp_path / "junit.xml"
    return ET.parse(file).getroot()  # noqa: S314 - just written by us


def kinds(root):
    return {
        case.get("name"): [child.tag for child in case]
        for case in root.iter("testcase")
    }


def test_junit_has_a_failure_for_what_is_red(tmp_path):
    root = junit(a_run(), tmp_path)
    found = kinds(root)
    assert found["verify.good"] == []
    assert found["verify.bad"] == found["verify.mended"] == ["failure"]
    assert found["auth.broken"] == ["error"]
    assert found["verify.old"] == found["tls.single"] == ["skipped"]
    assert found["verify.lax"] == found["verify.free"] == ["system-out"]
    suite = root.find("testsuite")
    assert suite.get("name") == "skopeo"
    numbers = [suite.get(key) for key in ("tests", "failures", "errors", "skipped")]
    assert numbers == ["16", "2", "1", "10"]


def test_junit_names_are_unique(tmp_path):
    names = [
        (case.get("classname"), case.get("name"))
        for case in junit(a_run(), tmp_path).iter("testcase")
    ]
    assert len(names) == len(set(names)) == 16
    assert ("skopeo.verify", "verify.bad") in names


def test_junit_has_a_failure_for_a_warning_of_a_strict_run(tmp_path):
    assert kinds(junit(a_run(strict=True), tmp_path))["verify.lax"] == ["failure"]


def test_junit_has_what_went_wrong_outside_cases(tmp_path):
    root = junit(a_run(only_good, broken=["a \x00 worker was lost"]), tmp_path)
    error = root.find("testsuite[@name='run']/testcase/error")
    assert error.get("message") == "a ? worker was lost"


# terminal


def printed(run, *, terminal=False):
    class File(io.StringIO):
        def isatty(self):
            return terminal

    file = File()
    print_run(run, file)
    return file.getvalue()


@pytest.fixture
def colours(monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "100")


def test_report_for_people_is_plain_in_a_file(monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    text = printed(a_run())
    assert "\x1b" not in text
    assert "\x07" not in text
    assert "skopeo 1.9.3" in text


def test_report_for_people_has_colours_on_a_terminal(colours):
    assert "\x1b[" in printed(a_run(), terminal=True)


def test_colours_can_be_declined(colours, monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[3" not in printed(a_run(), terminal=True)


def test_table_counts_verdicts_by_area():
    rows = {
        line.split()[0]: line.split()[1:]
        for line in printed(a_run()).splitlines()
        if line.startswith(("verify ", "tls ", "auth ", "all "))
    }
    assert rows["verify"] == ["1", "1", "1", "1", "-", "1", "1", "-"]
    assert rows["tls"] == ["-", "-", "-", "-", "9", "-", "-", "-"]
    assert rows["all"] == ["1", "1", "1", "1", "9", "1", "1", "1"]


def test_every_case_that_did_not_pass_is_told_with_its_reason():
    lines = printed(a_run()).splitlines()
    bad = lines.index("fail  verify.bad  (MUST, critical)")
    assert lines[bad + 1] == "    seen here"
    assert lines[bad + 2] == f"    {LONG}"
    assert lines[bad + 3] == "    What bad means."
    assert "warn  verify.lax  (SHOULD)" in lines
    assert "known  verify.old  (MUST)" in lines
    assert "unexpected pass  verify.mended  (MUST)" in lines
    assert not any("verify.good" in line for line in lines)
    broken = lines.index("error  auth.broken  (MUST)")
    assert lines[broken + 1 : broken + 3] == ["    Traceback: x", "      y"]


def test_what_the_client_did_is_told_of_what_failed():
    sentence = "asked for /x at cdn (cut), ?[31m then gave up; the pull failed"
    told = f"    on the wire: {sentence}"
    lines = printed(a_run(traced)).splitlines()
    assert lines.count(told) == 3
    bad = lines.index("fail  verify.bad  (MUST, critical)")
    assert lines[bad + 3] == told
    assert told in lines[lines.index("warn  verify.lax  (SHOULD)") :][:5]
    assert told in lines[lines.index("known  verify.old  (MUST)") :][:4]
    # Of a version of the suite that made none, and of a case without a registry.
    for make in (traced_before, lambda client: traced(client, account=None)):
        assert "on the wire" not in printed(a_run(make))


def failing(count):
    def make(client):
        no = Raw(outcome=Outcome.VIOLATED, reason="no")
        for number in range(count):
            yield result_of(a_case(f"bad{number}"), no, client=client)

    return make


def replays(run):
    text = printed(run)
    return [line for line in text.splitlines() if "pull-conformance replay" in line]


def test_failed_cases_can_be_played_again():
    assert replays(a_run()) == [
        "    again: pull-conformance replay verify.bad --client skopeo --run"
    ]
    assert len(replays(a_run(failing(5)))) == 5
    assert replays(a_run(failing(6))) == [
        "    again: pull-conformance replay verify.bad0 --client skopeo --run"
        "  (and so on)"
    ]
    assert replays(a_run(only_good)) == []


def test_client_that_is_not_bundled_is_named_by_its_adapter():
    run = a_run(failing(1))
    mine = replace(run.clients[0], name="mine")
    assert replays(replace(run, clients=(mine,))) == [
        "    again: pull-conformance replay verify.bad0 --adapter FILE --run"
    ]


def test_many_cases_with_one_reason_are_counted():
    lines = printed(a_run()).splitlines()
    assert "not testable  8 cases: no tls" in lines
    single = lines.index("not testable  1 case: ?[31mno way?")
    assert lines[single + 1] == "    tls.single"
    assert not any("tls.n3" in line for line in lines)


@pytest.mark.parametrize(
    ("run", "last"),
    [
        (a_run(), "not ok - 16 cases in 1.2 s"),
        (a_run(only_good), "ok - 1 case in 1.2 s"),
        (a_run(none_at_all), "nothing was judged - 0 cases in 1.2 s"),
        (a_run(only_good, strict=True), "ok - 1 case in 1.2 s, strict"),
        (a_run(only_good, broken=["x"]), "not ok - 1 case in 1.2 s"),
    ],
)
def test_last_line_says_how_it_went(run, last):
    assert printed(run).splitlines()[-1] == last


def uncounted(client):
    violated = Raw(outcome=Outcome.VIOLATED, reason="no")
    made = result_of(a_case("new"), violated, client=client)
    yield replace(made, uncounted="not in suite 0.1.0")
    yield from only_good(client)


def test_what_does_not_count_is_told_and_not_red(tmp_path):
    lines = printed(replace(a_run(uncounted), shard="1/4")).splitlines()
    assert "fail  verify.new  (MUST)  does not count: not in suite 0.1.0" in lines
    last = "ok - 2 cases in 1.2 s, shard 1/4: merge judges it with the others"
    assert lines[-1] == last
    assert kinds(junit(a_run(uncounted), tmp_path))["verify.new"] == ["skipped"]


def test_junit_names_of_two_versions_of_a_client_are_unique(tmp_path):
    run = a_run()
    other = replace(run.clients[0], version="1.16")
    root = junit(replace(run, clients=(*run.clients, other)), tmp_path)
    names = [(c.get("classname"), c.get("name")) for c in root.iter("testcase")]
    assert len(names) == len(set(names)) == 32
    assert ("skopeo 1.16.verify", "verify.bad") in names


def test_what_broke_outside_cases_is_told():
    assert "broken: a worker was lost" in printed(a_run(broken=["a worker was lost"]))


def test_progress_shows_on_terminals_only(monkeypatch):
    monkeypatch.setattr("conformance.report.terminal.SHOW_EVERY", 0.0)

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    for file, shown in ((Terminal(), True), (io.StringIO(), False)):
        progress = Progress(file)
        progress.total = 7
        progress.show(3, "verify.good")
        progress.clear()
        assert ("3/7  verify.good" in file.getvalue()) is shown
    Progress(None).show(1, "nowhere")
