"""conformance/cli_reports.py: commands on reports that were saved."""

import json

import pytest

from conformance import cli_reports
from conformance.__main__ import main

CASE = "verify.layer-with-a-flipped-bit-is-rejected"


@pytest.fixture
def reports(naive_client, monkeypatch, tmp_path, capsys):
    """Run a few cases in two shards, and once more with a worse client."""

    def run(name, client, *options):
        monkeypatch.setattr(
            "conformance.session.load_clients", lambda names, files, commands: [client]
        )
        file = tmp_path / name
        status = main(["run", "--case", CASE, "--json", str(file), *options])
        assert status == json.loads(file.read_text())["exit"]
        return str(file)

    made = {
        "first": run("1.json", naive_client(), "--shard", "1/2"),
        "second": run("2.json", naive_client(), "--shard", "2/2"),
        "careless": run("c.json", naive_client("no-digest-check")),
    }
    capsys.readouterr()
    return made


def test_shards_are_merged_into_what_one_run_gives(reports, tmp_path, capsys):
    whole, junit = tmp_path / "all.json", tmp_path / "all.xml"
    options = ["--json", str(whole), "--junit", str(junit)]
    assert main(["merge", reports["first"], reports["second"], *options]) == 0
    data = json.loads(whole.read_text())
    found = {one["id"]: one["verdict"] for one in data["clients"][0]["cases"]}
    assert found == {"verify.layer-intact": "pass", CASE: "pass"}
    assert data["shard"] is None
    assert CASE in junit.read_text()
    assert "ok - 2 cases" in capsys.readouterr().out


def test_merge_has_the_exit_status_of_a_run(reports, capsys):
    assert main(["merge", reports["first"]]) == 1
    assert "broken: shard 2/2 is missing" in capsys.readouterr().out
    assert main(["merge", reports["careless"]]) == 1


def test_report_is_made_of_saved_ones(reports, tmp_path):
    page = tmp_path / "x.html"
    assert main(["report", *reports.values(), "--html", str(page)]) == 0
    assert CASE in page.read_text()


def test_compare_says_what_got_worse(reports, tmp_path, capsys):
    whole = tmp_path / "all.json"
    main(["merge", reports["first"], reports["second"], "--json", str(whole)])
    capsys.readouterr()
    assert main(["compare", str(whole), reports["careless"]]) == 1
    assert f"worse    naive  {CASE}: pass -> fail" in capsys.readouterr().out
    assert main(["compare", reports["careless"], str(whole), "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["better"]) == 1


def test_badge_is_what_shields_takes(reports, capsys):
    assert main(["badge", reports["careless"], "--client", "naive"]) == 0
    made = json.loads(capsys.readouterr().out)
    assert (made["message"], made["color"]) == ("1 of 2 pass", "red")


def test_list_of_a_version_is_frozen(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("conformance.released.FOLDER", tmp_path)
    assert main(["freeze", "1.2.3"]) == 0
    assert CASE in json.loads((tmp_path / "1.2.3.json").read_text())["cases"]
    assert main(["freeze", "1.2.3"]) == 2
    assert "1.2.3 has been released" in capsys.readouterr().err


def test_recording_says_what_changed(monkeypatch, capsys):
    monkeypatch.setattr(cli_reports, "record", lambda: (0, ["a.b"]))
    assert main(["record"]) == 0
    assert capsys.readouterr().out == "changed: a.b\n"


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["report", "{careless}"], "say what to write"),
        (["merge", "no-such.json"], "no-such.json: cannot be read"),
        (["merge", "{careless}", "--json", "no/such/x"], "there is no such folder"),
        (["badge", "{careless}", "--client", "x"], "it has no client 'x'"),
        (["compare", "{careless}", "/dev/null"], "is not JSON"),
        (["freeze", "x"], "'x' is no version"),
    ],
)
def test_misuse_is_one_line_and_exit_2(reports, capsys, arguments, complaint):
    assert main([word.format(**reports) for word in arguments]) == 2
    error = capsys.readouterr().err
    assert complaint in error
    assert len(error.splitlines()) == 1
