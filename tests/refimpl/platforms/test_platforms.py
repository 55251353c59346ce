"""platforms/platforms.go, platforms/defaults.go."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refimpl import platforms
from refimpl.descriptor import Platform
from refimpl.errdefs import ErrInvalidArgument, message
from refimpl.platforms import database

words = st.from_regex(r"[A-Za-z0-9_-]{1,6}", fullmatch=True)


@pytest.fixture
def amd64(monkeypatch):
    monkeypatch.setattr(database, "host_os", lambda: "linux")
    monkeypatch.setattr(database, "host_architecture", lambda: "amd64")


@pytest.mark.usefixtures("amd64")
@pytest.mark.parametrize(
    ("specifier", "platform"),
    [
        ("linux", ("linux", "amd64", "")),
        ("macOS", ("darwin", "amd64", "")),
        ("arm64", ("linux", "arm64", "")),
        ("arm", ("linux", "arm", "")),
        ("armel", ("linux", "arm", "v6")),
        ("linux/arm", ("linux", "arm", "")),
        ("linux/arm/v7", ("linux", "arm", "v7")),
        ("linux/arm64/v8", ("linux", "arm64", "v8")),
        ("linux/arm64/8", ("linux", "arm64", "v8")),
        ("who/knows", ("who", "knows", "")),
    ],
)
def test_parse(specifier, platform):
    system, arch, variant = platform
    assert platforms.parse(specifier) == Platform(
        os=system, architecture=arch, variant=variant
    )


@pytest.mark.parametrize(
    ("specifier", "error"),
    [
        ("linux/*", '"linux/*": wildcards not yet supported'),
        ("a/b/c/d", '"a/b/c/d": cannot parse platform specifier'),
        ("nonsense", '"nonsense": unknown operating system or architecture'),
        (
            "linux/",
            '"" is an invalid component of "linux/": platform specifier component '
            'must match "^[A-Za-z0-9_-]+$"',
        ),
        (
            "linux\n",
            r'"linux\n" is an invalid component of "linux\n": platform specifier '
            'component must match "^[A-Za-z0-9_-]+$"',
        ),
    ],
)
def test_what_is_no_specifier(specifier, error):
    with pytest.raises(ErrInvalidArgument) as caught:
        platforms.parse(specifier)
    assert message(caught.value) == f"{error}: invalid argument"


@pytest.mark.parametrize(("cpu", "variant"), [("v7", ""), ("v6", "v6")])
def test_an_arm_host_adds_its_variant_unless_it_is_the_default(
    monkeypatch, cpu, variant
):
    monkeypatch.setattr(database, "host_architecture", lambda: "arm")
    monkeypatch.setattr(database, "cpu_variant", lambda: cpu)
    assert platforms.parse("linux").variant == variant


@given(words, words, words)
def test_what_is_formatted_parses_to_the_same(system, arch, variant):
    platform = platforms.parse(f"{system}/{arch}/{variant}")
    again = platforms.parse(platforms.format_platform(platform))
    assert platforms.normalize(again) == platforms.normalize(platform)


@given(words, words, st.just("") | words)
def test_a_matcher_takes_every_spelling(system, arch, variant):
    platform = Platform(os=system, architecture=arch, variant=variant, os_version="9")
    matcher = platforms.new_matcher(platform)
    assert matcher.match(platform)
    assert matcher.match(platforms.normalize(platform))


def test_formatting_leaves_out_what_is_empty():
    assert platforms.format_platform(Platform()) == "unknown"
    assert platforms.format_platform(Platform(os="a", variant="c")) == "a/c"


@pytest.mark.usefixtures("amd64")
def test_the_default_is_this_host():
    assert platforms.default_string() == "linux/amd64"
    assert platforms.default().match(platforms.parse("linux/386"))
    assert not platforms.default_strict().match(platforms.parse("linux/386"))
