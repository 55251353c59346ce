"""Expected failures are read strictly, so that the list stays true."""

import pytest

from conformance.adapter import BUNDLED
from conformance.contract import AdapterError
from conformance.xfails import check_xfails, parse_xfails, read_xfails

GOOD = """\
# what is known

verify.a | no digest check | https://example.org/1
auth.b|asks twice|measured: some-client 1.2, 2026-11-24
"""


def test_lines_are_read():
    found = parse_xfails(GOOD, where="x.xfails")
    assert list(found) == ["verify.a", "auth.b"]
    assert found["verify.a"].reason == "no digest check"
    assert found["verify.a"].link == "https://example.org/1"
    assert found["auth.b"].place == "x.xfails:4"


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("verify.a", "a line is 'case | reason | link'"),
        ("verify.a | b | https://c | d", "'d' is no bound like '>=1.2' or '<2'"),
        ("verify.a | b | https://c | | soon", "Invalid isoformat string: 'soon'"),
        ("verify.a | b | https://c | | | e", "a line is 'case | reason | link'"),
        ("| b | https://c", "the case is empty"),
        ("verify.a | | https://c", "the reason is empty"),
        ("verify.a | b |", "the link is empty"),
        ("verify.a | b | somewhere", "neither an address nor"),
        ("a.a | b | https://c\na.a | b | https://c", "a.a is listed at x:1 too"),
    ],
)
def test_wrong_lines_are_errors(line, text):
    with pytest.raises(AdapterError, match=r"^x:\d: ") as caught:
        parse_xfails(line, where="x")
    assert text in str(caught.value)


def test_unknown_case_is_an_error():
    found = parse_xfails(GOOD, where="x.xfails")
    check_xfails(found, {"verify.a", "auth.b"})
    with pytest.raises(AdapterError, match=r"x.xfails:4: auth.b is no case"):
        check_xfails(found, {"verify.a"})


def test_absent_file_means_none(tmp_path):
    assert read_xfails(tmp_path / "none.xfails") == {}


def test_file_that_is_no_text_is_an_error(tmp_path):
    file = tmp_path / "bad.xfails"
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(AdapterError, match="cannot be read"):
        read_xfails(file)


@pytest.mark.parametrize("file", sorted(BUNDLED.glob("*.xfails")), ids=lambda f: f.stem)
def test_bundled_files_are_right(file):
    from conformance.case import load_suite  # noqa: PLC0415 - the cases are many

    check_xfails(read_xfails(file), load_suite())


@pytest.mark.parametrize(
    ("columns", "version", "lapsed"),
    [
        ("", "1.9.3", None),
        ("| <1.16", "1.9.3", None),
        ("| <1.16", "1.16.0", "it is expected of versions <1.16 (gives up)"),
        ("| | 2126-11-26", "unknown", None),
        ("| | 2026-01-31", "1.0", "it was expected until 2026-01-31 (gives up)"),
        ("| >=1.2, <2 | 2126-11-26", "v1.2-rc1", None),
    ],
)
def test_line_holds_for_some_versions_and_some_time(columns, version, lapsed):
    line = f"verify.a | gives up | https://example.org/1 {columns}"
    (xfail,) = parse_xfails(line, where="x").values()
    assert xfail.lapsed(version) == lapsed


def test_version_that_cannot_be_compared_is_an_error():
    found = parse_xfails("verify.a | b | https://c | <2", where="x")
    with pytest.raises(AdapterError, match=r"x:1: the client's version 'unknown' has"):
        found["verify.a"].lapsed("unknown")
