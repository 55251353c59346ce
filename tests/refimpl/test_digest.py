"""go-digest v1.0.0: the order of the checks, and what a digest is made of."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refimpl import digest
from refimpl.errdefs import ErrInvalidArgument, message

FORMAT = "invalid checksum digest format"
LENGTH = "invalid checksum digest length"
UNSUPPORTED = "unsupported digest algorithm"


@pytest.mark.parametrize(
    ("text", "defect"),
    [
        (f"sha256:{'a' * 64}", ""),
        (f"sha384:{'0' * 96}", ""),
        (f"sha512:{'f' * 128}", ""),
        ("", FORMAT),
        (":", FORMAT),
        (f":{'a' * 64}", FORMAT),
        ("sha256:", FORMAT),
        (f"sha256:{'A' * 64}", FORMAT),
        (f"sha256:{'a' * 63}\n", FORMAT),
        (f"sha256:{'a' * 64}\n", LENGTH),
        (f"sha256:{'a' * 63}", LENGTH),
        ("sha256:../../x", LENGTH),
        (f"sha256:{'../' * 21}x", FORMAT),
        (f"sha256:{'é' * 32}", FORMAT),
        ("md5:d41d8cd98f00b204e9800998ecf8427e", UNSUPPORTED),
        ("SHA256:aa", FORMAT),
        ("md5:a/b", FORMAT),
    ],
)
def test_the_first_defect_is_the_one_that_go_reports(text, defect):
    """digest.go:96 asks for the algorithm first, algorithm.go:171 for the length."""
    assert digest.defect(text) == defect


def test_validate_adds_the_class():
    with pytest.raises(ErrInvalidArgument) as caught:
        digest.validate("sha256:x")
    assert message(caught.value) == f"{LENGTH}: invalid argument"


def test_a_hash_of_an_unknown_algorithm_is_refused():
    with pytest.raises(ErrInvalidArgument, match=UNSUPPORTED):
        digest.hasher("md5")


@given(st.binary(max_size=64), st.sampled_from(sorted(digest.ALGORITHMS)))
def test_what_from_bytes_makes_is_a_digest(data, name):
    made = digest.parse(digest.from_bytes(data, name))
    assert digest.algorithm(made) == name
    assert digest.encoded(made) == hashlib.new(name, data).hexdigest()
