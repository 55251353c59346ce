"""Go's time.Time as JSON."""

from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refimpl.errdefs import message
from refimpl.gojson import parse
from refimpl.gotime import TimeError, normalize, parse_json_time

AS = r'as "\"2006-01-02T15:04:05Z07:00\"": cannot parse'


@pytest.mark.parametrize(
    ("text", "again"),
    [
        ("2016-10-07T21:03:58Z", "2016-10-07T21:03:58Z"),
        ("2016-10-07T21:03:58.120Z", "2016-10-07T21:03:58.12Z"),
        ("2016-10-07T21:03:58.000Z", "2016-10-07T21:03:58Z"),
        ("2016-10-07T21:03:58,5Z", "2016-10-07T21:03:58.5Z"),
        ("2016-10-07T21:03:58.1234567899Z", "2016-10-07T21:03:58.123456789Z"),
        ("2016-10-07T21:03:58+00:00", "2016-10-07T21:03:58Z"),
        ("2016-10-07T21:03:58-05:30", "2016-10-07T21:03:58-05:30"),
        ("2016-10-07T1:03:58Z", "2016-10-07T01:03:58Z"),
        ("0000-02-29T00:00:00Z", "0000-02-29T00:00:00Z"),
    ],
)
def test_a_time_is_written_again_as_go_does(text, again):
    assert normalize(f'"{text}"') == again


@pytest.mark.parametrize(
    ("literal", "error"),
    [
        ('"2016-02-30T00:00:00Z"', r'"\"2016-02-30T00:00:00Z\"": day out of range'),
        ('"2016-13-01T00:00:00Z"', r'"\"2016-13-01T00:00:00Z\"": month out of range'),
        ('"2016-01-01T24:00:00Z"', r'"\"2016-01-01T24:00:00Z\"": hour out of range'),
        ('"2016-01-01T00:00:60Z"', r'"\"2016-01-01T00:00:60Z\"": second out of range'),
        ('""', rf'"\"\"" {AS} "\"" as "2006"'),
        ("5", rf'"5" {AS} "5" as "\""'),
        ('"2016-01-01t"', rf'"\"2016-01-01t\"" {AS} "t\"" as "T"'),
        (
            '"2016-01-01T00:00:00Z"x',
            r'"\"2016-01-01T00:00:00Z\"x": extra text: "x"',
        ),
    ],
)
def test_what_is_no_time_is_refused_in_the_words_of_go(literal, error):
    with pytest.raises(TimeError) as caught:
        normalize(literal)
    assert message(caught.value) == f"parsing time {error}"


@pytest.mark.parametrize("document", [b"5", b"true", b"{}", b"[1]", b'"x"'])
def test_what_is_no_string_is_no_time(document):
    with pytest.raises(TimeError):
        parse_json_time(parse(document))


@given(st.datetimes(min_value=datetime(1, 1, 1)))  # noqa: DTZ001 - a zone is added
def test_every_moment_is_a_fixed_point(moment):
    literal = f'"{moment.isoformat()}Z"'
    assert normalize(f'"{normalize(literal)}"') == normalize(literal)
    assert datetime.fromisoformat(normalize(literal)).replace(tzinfo=None) == moment
