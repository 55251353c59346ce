"""conformance/plugin.py and what it rests on: selection, session, gathering.

Each test runs pytest inside pytest on cases of its own, against naive clients.
"""

import json

import pytest

import conformance.plugin  # noqa: F401 - else pytester forgets it after each run

pytest_plugins = ["pytester"]
pytestmark = pytest.mark.usefixtures("no_cases")


def verdicts(report):
    return {
        (client["name"], one["id"].removeprefix("sample.")): one["verdict"]
        for client in report["clients"]
        for one in client["cases"]
    }


OUTCOMES = """
@good()
def test_passes(bench):
    "It pulls."
    bench.must_pull(bench.publish())

@good()
def test_fails(bench):
    "It cannot be."
    assert len("four") == 5

@good(level=Level.SHOULD)
def test_warns(bench):
    "It should."
    raise AssertionError("it does not")

@good(level=Level.MAY)
def test_informs(bench):
    "It may."
    bench.observe("it does so")

@good(needs={Feature.GC})
def test_lacks(bench):
    "It collects."

@good()
def test_declines(bench):
    "It says no."
    not_testable("no such thing here")

@good()
def test_breaks(bench):
    "It is written wrongly."
    1 / 0

@good(level=Level.REFERENCE)
def test_mirrors(bench):
    "It does as containerd does."
    raise RuntimeError("never run")
"""


EXPECTED = {
    "passes": "pass",
    "fails": "fail",
    "warns": "warn",
    "informs": "info",
    "lacks": "not-testable",
    "declines": "not-testable",
    "breaks": "error",
    "mirrors": "not-testable",
}


def test_every_verdict_and_its_reason(run):
    report, result = run(OUTCOMES)
    cases = {one["id"]: one for one in report["clients"][0]["cases"]}
    assert {name: one["verdict"] for name, one in cases.items()} == {
        f"sample.{name}": verdict for name, verdict in EXPECTED.items()
    }
    # Only a rewritten assertion can say what its parts were.
    assert cases["sample.fails"]["reason"].startswith("assert 4 == 5")
    assert cases["sample.warns"]["reason"] == "it does not"
    assert cases["sample.informs"]["reason"] == "it does so"
    assert cases["sample.lacks"]["reason"] == "the adapter does not offer: gc"
    assert cases["sample.declines"]["reason"] == "no such thing here"
    assert "ZeroDivisionError" in cases["sample.breaks"]["reason"]
    assert "1 / 0" in cases["sample.breaks"]["details"]
    assert report["clients"][0]["totals"]["pass"] == 1
    assert result.ret == report["exit"] == 1
    # pytest's own outcomes go with the verdicts.
    result.assert_outcomes(passed=3, failed=2, skipped=3)


def test_report_follows_what_pytest_prints(run):
    _, result = run(OUTCOMES)
    result.stdout.fnmatch_lines(
        ["naive 1.0", "*sample * 1 * 1 * 1 * 1 * 3 * 1*", "fail  sample.fails  (MUST)"]
    )


TWINS = """
@good(twin="sample.healthy")
def test_broken_is_rejected(bench):
    "It rejects what is broken."
    image = bench.publish()
    fault = bench.registry.fault(digest=image.layers[0].digest, flip=1)
    bench.must_reject(bench.pull(image), fault)

@good()
def test_healthy(bench):
    "It pulls what is not."
    bench.must_pull(bench.publish())
"""


@pytest.mark.parametrize(
    ("flaw", "healthy", "rejected"),
    [
        (None, "pass", "pass"),
        ("no-digest-check", "pass", "fail"),
        ("always-fails", "fail", "not-testable"),
        ("crashes", "fail", "fail"),
    ],
)
def test_rejection_is_judged_with_its_twin(run, naive_client, flaw, healthy, rejected):
    client = naive_client(*filter(None, [flaw]))
    report, result = run(TWINS, clients=[client])
    assert verdicts(report) == {
        ("naive", "healthy"): healthy,
        ("naive", "broken-is-rejected"): rejected,
    }
    assert result.ret == (0 if flaw is None else 1)


SATISFIED_BY_ALL = """
@good(twin="sample.healthy")
def test_nothing_wrong_is_kept(bench):
    "It keeps nothing that is wrong."
    bench.pull(bench.publish())
    assert not bench.stored().corrupt()

@good()
def test_healthy(bench):
    "It pulls."
    bench.must_pull(bench.publish())
"""


def test_satisfied_without_its_twin_is_no_pass_to_pytest_either(run, naive_client):
    report, result = run(SATISFIED_BY_ALL, clients=[naive_client("always-fails")])
    assert verdicts(report)["naive", "nothing-wrong-is-kept"] == "not-testable"
    result.assert_outcomes(failed=1, skipped=1)


@pytest.mark.parametrize(
    "options",
    [
        ["-k", "broken_is"],
        ["-k", "sample.broken-is-rejected"],
        ["--case", "sample.broken-is-rejected"],
    ],
)
def test_selected_case_brings_its_twin(run, options):
    report, result = run(TWINS + OUTCOMES, *options)
    cases = report["clients"][0]["cases"]
    assert {one["id"]: one["selected"] for one in cases} == {
        "sample.broken-is-rejected": True,
        "sample.healthy": False,
    }
    assert result.ret == 0


def test_twins_run_first(run):
    _, result = run(TWINS, "-v")
    result.stdout.fnmatch_lines(["*test_healthy*PASSED*", "*test_broken*PASSED*"])


def test_level_and_area_select(run):
    report, _ = run(OUTCOMES, "--level", "SHOULD", "--area", "sample")
    assert verdicts(report) == {("naive", "warns"): "warn"}


def test_nothing_selected_is_exit_3(run):
    report, result = run(OUTCOMES, "-k", "no-such-case")
    assert (result.ret, report["exit"]) == (3, 3)


def test_nothing_judged_is_exit_3(run):
    _, result = run(OUTCOMES, "-k", "lacks or declines")
    assert result.ret == 3


def test_strict_makes_a_warning_red(run):
    _, result = run(OUTCOMES, "-k", "warns")
    assert result.ret == 0
    report, result = run(OUTCOMES, "-k", "warns", "--conformance-strict")
    assert result.ret == 1
    assert report["strict"]
    result.assert_outcomes(failed=1, deselected=7)


def test_expected_failures(run, naive_client):
    client = naive_client(xfails=["sample.fails", "sample.passes"])
    report, result = run(OUTCOMES, "-k", "fails or passes", clients=[client])
    assert verdicts(report) == {
        ("naive", "passes"): "unexpected-pass",
        ("naive", "fails"): "known",
    }
    assert result.ret == 1
    result.assert_outcomes(failed=1, xfailed=1, deselected=6)


def test_clients_are_judged_side_by_side(run, naive_client):
    clients = [naive_client(), naive_client("no-digest-check", name="careless")]
    report, result = run(TWINS, clients=clients)
    assert verdicts(report) == {
        ("naive", "healthy"): "pass",
        ("naive", "broken-is-rejected"): "pass",
        ("careless", "healthy"): "pass",
        ("careless", "broken-is-rejected"): "fail",
    }
    assert [client.adapter.setups for client in clients] == [1, 1]
    assert [client.adapter.teardowns for client in clients] == [1, 1]
    assert result.ret == 1


def test_client_that_hangs_is_ended_at_the_deadline(run, naive_client):
    report, _ = run(TWINS, "--client-timeout=0.02", clients=[naive_client("hangs")])
    assert set(verdicts(report).values()) == {"fail"}
    assert "missed its deadline" in report["clients"][0]["cases"][0]["reason"]


def test_broken_setup_of_a_client_is_an_error_of_every_case(run, naive_client):
    client = naive_client()
    tried = []

    def setup():
        tried.append(1)
        raise RuntimeError("no daemon")

    client.adapter.setup = setup
    report, result = run(TWINS, clients=[client])
    assert set(verdicts(report).values()) == {"error"}
    assert "no daemon" in report["clients"][0]["cases"][0]["reason"]
    assert (len(tried), result.ret) == (1, 1)


def test_module_that_cannot_be_collected_is_red(run, pytester):
    broken = pytester.makepyfile(test_broken="import no_such_module_anywhere")
    report, result = run(OUTCOMES, "-k", "passes", str(broken))
    assert result.ret == report["exit"] == 1
    assert "no_such_module_anywhere" in report["broken"][0]


def test_ordinary_tests_may_stand_beside_cases(run, pytester):
    plain = pytester.makepyfile(test_plain="def test_sum():\n    assert 1 + 1 == 2")
    report, result = run(TWINS, str(plain))
    assert len(report["clients"][0]["cases"]) == 2
    result.assert_outcomes(passed=3)
    assert result.ret == 0


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--area", "nowhere"], "unknown area 'nowhere'; there are sample"),
        (["--level", "must"], "unknown level 'must'; there are MUST, SHOULD"),
        (["--case", "a.b"], "unknown case 'a.b'"),
        (["--client-timeout", "0"], "a deadline of 0.0 s is none"),
        (["--conformance-junit", "no/such/file"], "there is no such folder"),
        (["--conformance-junit", "."], "it is a folder"),
    ],
)
def test_misuse_is_one_line_before_anything_runs(run, options, complaint):
    report, result = run(OUTCOMES, *options)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert report is None
    lines = [line for line in result.errlines if line]
    assert len(lines) == 1
    assert complaint in lines[0]


def test_known_failure_of_no_case_is_misuse(run, naive_client):
    client = naive_client(xfails=["sample.long-gone"])
    _, result = run(OUTCOMES, clients=[client])
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*sample.long-gone is no case of the suite*"])


def test_client_that_is_not_installed_is_misuse(run, naive_client):
    client = naive_client()
    client.adapter.installed = lambda: "not found; apt-get install naive"
    _, result = run(OUTCOMES, clients=[client])
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*naive cannot run: not found; apt-get install*"])


def test_report_that_cannot_be_written_is_red(run, monkeypatch):
    def write_json(run, path):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("conformance.gathering.write_json", write_json)
    _, result = run(TWINS)
    assert result.ret == 1
    result.stdout.fnmatch_lines(["broken: cannot write *No space left on device"])


def test_first_failure_can_end_the_run(run):
    report, result = run(OUTCOMES, "-x")
    assert verdicts(report) == {
        ("naive", "passes"): "pass",
        ("naive", "fails"): "fail",
    }
    assert result.ret == 1


def test_run_that_is_ended_early_is_red(run):
    report, result = run(
        """
        import pytest

        @good()
        def test_a_passes(bench):
            "It pulls."

        @good()
        def test_b_is_where_the_user_has_enough(bench):
            "It is not finished."
            pytest.exit("enough")
        """
    )
    assert verdicts(report) == {("naive", "a-passes"): "pass"}
    assert report["broken"] == ["interrupted: not every case ran"]
    assert result.ret == report["exit"] == 1


def test_nothing_is_left_behind(run, tmp_path_factory, monkeypatch):
    place = tmp_path_factory.mktemp("temporary")
    monkeypatch.setattr("tempfile.tempdir", str(place))
    run(TWINS)
    assert list(place.iterdir()) == []


def cases_of(report):
    return {
        one["id"].removeprefix("sample."): one for one in report["clients"][0]["cases"]
    }


@pytest.mark.parametrize(
    ("trace", "shown"),
    [
        ("all", {"passes", "fails", "warns", "informs", "declines", "breaks"}),
        ("failures", {"fails", "warns", "breaks"}),
        ("none", set()),
    ],
)
def test_wire_is_in_the_report_where_it_is_wanted(run, trace, shown):
    report, _ = run(OUTCOMES, f"--conformance-trace={trace}")
    found = cases_of(report)
    assert {name for name, one in found.items() if one["trace"]} == shown
    if trace == "all":
        assert found["passes"]["trace"]["exchanges"][0]["status"] == 200


def test_page_has_the_wire_of_all_and_the_json_what_was_asked(run, pytester):
    page = pytester.path / "page.html"
    report, _ = run(OUTCOMES, f"--conformance-html={page}")
    assert cases_of(report)["passes"]["trace"] is None
    assert "sample.passes" in page.read_text()


def test_shards_are_parts_that_make_a_whole(run):
    parts = [
        cases_of(run(OUTCOMES + TWINS, f"--shard={n}/3")[0]).keys() for n in (1, 2, 3)
    ]
    whole = cases_of(run(OUTCOMES + TWINS)[0]).keys()
    assert sorted(name for part in parts for name in part) == sorted(whole)
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_shard_of_nothing_is_no_failure(run):
    report, result = run(OUTCOMES, "--shard=2/2", "-k", "passes")
    assert (result.ret, report["exit"], report["shard"]) == (0, 0, "2/2")


@pytest.mark.parametrize("shard", ["0/2", "3/2", "1", "a/b", "1/0"])
def test_what_is_no_shard_is_misuse(run, shard):
    _, result = run(OUTCOMES, f"--shard={shard}")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"*'{shard}' is no shard like 1/4"])


def test_case_that_is_newer_than_the_version_is_never_red(run, tmp_path, monkeypatch):
    monkeypatch.setattr("conformance.released.FOLDER", tmp_path)
    listed = {"cases": ["sample.passes"], "renamed": {}, "removed": {}}
    (tmp_path / "0.1.0.json").write_text(json.dumps(listed))
    options = ("-k", "passes or fails or breaks")
    report, result = run(OUTCOMES, "--suite-version=0.1.0", *options)
    assert result.ret == report["exit"] == 0
    fails = cases_of(report)["fails"]
    assert (fails["verdict"], fails["uncounted"]) == ("fail", "not in suite 0.1.0")
    assert report["suite_version"] == "0.1.0"
    result.assert_outcomes(passed=3, deselected=5)
    _, result = run(OUTCOMES, *options)
    assert result.ret == 1
    _, result = run(OUTCOMES, "--suite-version=0.2.0")
    result.stderr.fnmatch_lines(["*unknown suite version '0.2.0'; there are 0.1.0"])


CONFIG = """
levels = ["SHOULD"]
strict = true
[[off]]
case = "sample.breaks"
reason = "not today"
[[expected-failure]]
case = "sample.warns"
reason = "never did"
link = "https://example.org/1"
[[expected-failure]]
case = "sample.fails"
reason = "once"
link = "https://example.org/2"
until = 2026-01-31
"""


@pytest.fixture
def configured(pytester):
    file = pytester.path / "pull-conformance.toml"
    file.write_text(CONFIG)
    return file


@pytest.mark.usefixtures("configured")
def test_settings_of_the_current_folder_hold(run):
    report, result = run(OUTCOMES)
    found = cases_of(report)
    assert result.ret == 0
    assert report["strict"]
    assert found["breaks"]["verdict"] == "not-testable"
    assert found["breaks"]["reason"] == "switched off: not today"
    assert found["warns"]["verdict"] == "known"
    assert found["warns"]["expected"]["link"] == "https://example.org/1"
    assert found["fails"]["verdict"] == "fail"
    assert found["fails"]["uncounted"] == "the level MUST does not count here"
    assert found["fails"]["reason"].endswith("expected until 2026-01-31 (once)")


@pytest.mark.usefixtures("configured")
def test_options_win_over_settings(run):
    report, result = run(OUTCOMES, "--case=sample.breaks", "--level=MUST")
    assert verdicts(report) == {("naive", "breaks"): "error"}
    assert result.ret == 1


def test_settings_can_be_named(run, tmp_path):
    (tmp_path / "x.toml").write_text("levels = []")
    report, result = run(OUTCOMES, f"--conformance-config={tmp_path / 'x.toml'}")
    assert result.ret == report["exit"] == 0


def test_wrong_settings_are_misuse(run, configured):
    configured.write_text("[[off]]\ncase = 'sample.nine'\nreason = 'x'")
    _, result = run(OUTCOMES)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*pull-conformance.toml: sample.nine is no case"])
