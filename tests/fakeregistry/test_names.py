from pathlib import Path

import pytest

from fakeregistry.archive import ExchangeError
from fakeregistry.names import Name, Namer

NAMER = Namer(Path("/somewhere/My-Image.v2.tar"))


@pytest.mark.parametrize(
    ("reference", "repository", "tag"),
    [
        ("hello", "hello", "latest"),
        ("hello:1", "hello", "1"),
        ("library/hello:1", "library/hello", "1"),
        ("docker.io/library/hello:1", "library/hello", "1"),
        ("localhost/hello:1", "hello", "1"),
        ("127.0.0.1:5000/a/b/c", "a/b/c", "latest"),
        ("127.0.0.1:5000/a@sha256:00", "a", None),
        ("a/b:1@sha256:00", "a/b", "1"),
    ],
)
def test_references_lose_their_host(reference, repository, tag):
    assert NAMER.full(reference) == Name(repository, tag)
    assert Namer(NAMER.path, "x/y").full(reference) == Name("x/y", tag)


@pytest.mark.parametrize(
    ("reference", "name"),
    [
        ("v1", Name("my-image", "v1")),
        ("hello:v1", Name("hello", "v1")),
        ("a/hello", Name("a/hello", "latest")),
    ],
)
def test_a_single_word_is_a_tag(reference, name):
    """image-spec v1.1, annotations.md, org.opencontainers.image.ref.name."""
    assert NAMER.short(reference) == name


def test_the_only_image_is_the_latest():
    assert NAMER.unnamed(alone=True) == Name("my-image", "latest")
    assert NAMER.unnamed(alone=False) == Name("my-image", None)


def test_names_that_are_none():
    with pytest.raises(ExchangeError, match=r"v2\.tar: 'UPPER' is no repository name"):
        NAMER.full("UPPER:1")
    with pytest.raises(ExchangeError, match=r"v2\.tar: 'a b' is no tag"):
        NAMER.short("a b")
    with pytest.raises(ExchangeError, match="say repository="):
        Namer(Path("/a/_")).unnamed(alone=True)
    assert Namer(Path("/a/_"), "a").unnamed(alone=True) == Name("a", "latest")
