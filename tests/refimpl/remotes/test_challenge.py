"""WWW-Authenticate beyond the vectors (RFC 9110 section 11.6.1)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refimpl.remotes.docker.challenge import parse_auth_header


def parse(*values):
    return [(c.scheme.name, dict(c.parameters)) for c in parse_auth_header(values)]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (
            'Basic realm="a, b", Bearer realm="https://c/t", service="s"',
            [
                ("BEARER", {"realm": "https://c/t", "service": "s"}),
                ("BASIC", {"realm": "a, b"}),
            ],
        ),
        (
            'Negotiate, Basic realm="a"',
            [("BASIC", {"realm": "a"})],
        ),
        ('Negotiate YW/j==, Basic realm="a"', [("BASIC", {"realm": "a"})]),
        ('Negotiate YWJj=, Basic realm="a"', [("BASIC", {"realm": "a"})]),
        ('Negotiate YWJj, Basic realm="a"', [("BASIC", {"realm": "a"})]),
        ("NTLM,Basic , bearer realm=x", [("BEARER", {"realm": "x"}), ("BASIC", {})]),
        ('Basic realm="a", junk!', [("BASIC", {"realm": "a"})]),
        ('Basic realm="a", Bearer/1 realm="b"', [("BASIC", {"realm": "a"})]),
        ('"Bearer" realm="x"', []),
        (",", []),
    ],
)
def test_several_challenges_in_one_field(value, expected):
    """Deviation D6."""
    assert parse(value) == expected


@given(st.text(max_size=60))
def test_no_text_is_too_odd(text):
    for scheme, parameters in parse(text):
        assert scheme in {"BASIC", "DIGEST", "BEARER"}
        assert all(name == name.lower() for name in parameters)


TOKENS = st.text("abcXYZ0189-_.~", min_size=1, max_size=8)
CHALLENGES = st.lists(
    st.tuples(
        st.sampled_from(["Basic", "BEARER", "digest"]),
        st.dictionaries(TOKENS.map(str.lower), st.text(max_size=12), max_size=3),
    ),
    max_size=4,
)


@given(CHALLENGES)
def test_what_is_written_by_the_grammar_is_read_back(challenges):
    def quote(text):
        return text.replace("\\", "\\\\").replace('"', '\\"')

    field = ", ".join(
        " ".join([scheme, ", ".join(f'{k}="{quote(v)}"' for k, v in params.items())])
        for scheme, params in challenges
    )
    written = [(scheme.upper(), params) for scheme, params in challenges]
    assert sorted(parse(field), key=str) == sorted(written, key=str)


def test_a_great_many_challenges_are_read():
    field = ", ".join(f'Basic realm="{n}"' for n in range(2000))
    assert len(parse(field)) == 2000
