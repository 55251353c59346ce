"""Go's strconv.Quote (quote_test.go) and time.Time.String."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from refimpl.gotext import format_time, quote


@pytest.mark.parametrize(
    ("text", "quoted"),
    [
        ("", '""'),
        ("plain", '"plain"'),
        ('say "hi"', r'"say \"hi\""'),
        ("\a\b\f\r\n\t\v", r'"\a\b\f\r\n\t\v"'),
        ("\\", r'"\\"'),
        ("\x04\x7f", r'"\x04\x7f"'),
        ("\u00a0\u2028", r'"\u00a0\u2028"'),
        ("\U0010ffff", r'"\U0010ffff"'),
        ("☺\U0001f600", '"☺\U0001f600"'),
        ("\ud800", r'"\ufffd"'),
    ],
)
def test_quote(text, quoted):
    assert quote(text) == quoted


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (datetime(2021, 11, 24, tzinfo=UTC), "2021-11-24 00:00:00 +0000 UTC"),
        (
            datetime(2021, 11, 24, 3, 42, 0, 120000, timezone(timedelta(hours=1))),
            "2021-11-24 02:42:00.12 +0000 UTC",
        ),
    ],
)
def test_format_time(moment, text):
    assert format_time(moment) == text
