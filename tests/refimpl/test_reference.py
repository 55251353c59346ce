"""reference/reference.go."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refimpl import reference
from refimpl.errdefs import ContainerdError, message

DIGEST = f"sha256:{'0' * 64}"


@pytest.mark.parametrize(
    ("text", "locator", "name"),
    [
        ("docker.io/library/a:latest", "docker.io/library/a", "latest"),
        (f"docker.io/a@{DIGEST}", "docker.io/a", f"@{DIGEST}"),
        (f"docker.io/a:t@{DIGEST}", "docker.io/a", f"t@{DIGEST}"),
        ("h:5000/a:5000", "h:5000/a", "5000"),
        ("h//a/../b/", "h/b", ""),
        ("h", "h", ""),
        ("h/a?x:y", "h/a", ""),
        ("./a", "a", ""),
    ],
)
def test_parse(text, locator, name):
    spec = reference.parse(text)
    assert (spec.locator, spec.object) == (locator, name)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("http://h/a", "invalid reference"),
        ("", "hostname required"),
        ("/a", "hostname required"),
        (
            "busybox:latest",
            'parse "dummy://busybox:latest": invalid port ":latest" after host',
        ),
    ],
)
def test_what_is_no_reference(text, error):
    with pytest.raises(ContainerdError) as caught:
        reference.parse(text)
    assert message(caught.value) == error


def test_the_tag_keeps_its_at_sign():
    assert reference.split_object(f"t@{DIGEST}") == ("t@", DIGEST)
    assert reference.split_object("t") == ("t", "")


def test_the_digest_may_be_any_text():
    assert reference.parse("h/a@b").digest == "b"
    assert reference.parse("h/a").digest == ""


component = st.from_regex(r"[a-z0-9]{1,4}(?:[._-][a-z0-9]{1,3})?", fullmatch=True)


@given(
    component,
    st.lists(component, min_size=1, max_size=3),
    st.sampled_from(["", ":tag", f"@{DIGEST}", f":tag@{DIGEST}"]),
)
def test_what_is_printed_parses_to_the_same(host, path, name):
    spec = reference.parse(f"{host}/{'/'.join(path)}{name}")
    assert reference.parse(str(spec)) == spec
    assert spec.hostname == host


@given(st.text(max_size=30))
def test_any_text_is_a_reference_or_an_error(text):
    try:
        spec = reference.parse(text)
    except ContainerdError:
        return
    assert spec.locator
    assert not spec.locator.endswith("/")
