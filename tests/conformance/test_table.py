"""Saved reports as a table."""

import json

import pytest

from conformance.__main__ import main
from conformance.report.table import TableError, read_clients, table


def case(area, level, verdict, **more):
    name = f"{area}.{level}-{verdict}".lower()
    return {"id": name, "area": area, "level": level, "verdict": verdict, **more}


@pytest.fixture
def report(tmp_path):
    """Write a report, and return its file."""

    def report(name, version, *cases):
        file = tmp_path / f"{name}-{version}.json"
        client = {"name": name, "version": version, "cases": list(cases)}
        file.write_text(json.dumps({"clients": [client]}))
        return file

    return report


def test_table(report, capsys):
    skopeo = report(
        "skopeo",
        "1.9.3",
        case("auth", "MUST", "pass"),
        case("auth", "MUST", "known", critical=True),
        case("verify", "SHOULD", "warn"),
        case("verify", "MAY", "info"),
        case("verify", "REFERENCE", "not-testable"),
    )
    buildah = report("buildah", "1", case("verify", "MUST", "pass", critical=True))
    assert main(["table", str(skopeo), str(buildah)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:4] == [
        "| client | version | MUST | SHOULD | REFERENCE | critical | not testable |",
        "| --- | --- | --: | --: | --: | --: | --: |",
        "| buildah | 1 | 1/1 | - | - | 0 | 0 |",
        "| skopeo | 1.9.3 | 1/2 | 0/1 | - | 1 failed | 1 |",
    ]
    assert lines[-4:] == [
        "| client | version | auth | verify |",
        "| --- | --- | --: | --: |",
        "| buildah | 1 | - | 1/1 |",
        "| skopeo | 1.9.3 | 1/2 | 0/1 |",
    ]


def test_versions_are_clients_of_their_own(report):
    one, two = report("a", "1"), report("a", "2")
    assert [c["version"] for c in read_clients([two, one, one])] == ["1", "2"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "is no report: JSONDecodeError"),
        ("[]", "is no report: TypeError"),
        ("{}", "is no report: KeyError: 'clients'"),
        ('{"clients": [{"name": "a", "version": "1", "cases": [{}]}]}', "KeyError"),
    ],
)
def test_what_is_no_report(text, said, tmp_path):
    file = tmp_path / "report.json"
    file.write_text(text)
    with pytest.raises(TableError) as caught:
        read_clients([file])
    assert said in str(caught.value)


def test_absent_report_is_misuse(tmp_path, capsys):
    assert main(["table", str(tmp_path / "none.json")]) == 2
    assert "none.json: cannot be read: No such file" in capsys.readouterr().err


def test_nothing_at_all():
    assert table([]).startswith("| client | version |")
