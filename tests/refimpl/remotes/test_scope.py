"""scope.go, scope_test.go."""

import pytest

from refimpl.reference import Spec
from refimpl.remotes.docker.scope import (
    current_scopes,
    get_token_scopes,
    repository_scope,
    with_repository_scope,
    with_scope,
)


@pytest.mark.parametrize(
    ("locator", "expected"),
    [
        ("foo.bar/foo/bar", "repository:foo/bar:pull"),
        ("foo.bar:5000/foo/bar", "repository:foo/bar:pull"),
        ("foo.bar/a%20b", "repository:a b:pull"),
    ],
)
def test_the_scope_of_a_repository(locator, expected):
    assert repository_scope(Spec(locator=locator)) == expected


def test_scopes_add_up_and_go_with_their_block():
    with with_repository_scope(Spec(locator="h/b")):
        with with_scope("repository:a:pull"):
            scopes = get_token_scopes(["repository:b:pull", "repository:c:pull"])
            assert scopes == (
                "repository:a:pull",
                "repository:b:pull",
                "repository:c:pull",
            )
        assert current_scopes() == ("repository:b:pull",)
    assert current_scopes() == ()
    assert get_token_scopes(()) == ()
