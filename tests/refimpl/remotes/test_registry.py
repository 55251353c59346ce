"""registry.go, registry_test.go."""

import pytest

from refimpl.errdefs import ErrInvalidArgument
from refimpl.remotes.docker.registry import (
    HostCapabilities,
    RegistryHost,
    configure_default_registries,
    match_all_hosts,
    match_localhost,
    registries,
)


@pytest.mark.parametrize(
    ("capabilities", "asked", "expected"),
    [
        (HostCapabilities(0), HostCapabilities.PULL, False),
        (HostCapabilities.PULL, HostCapabilities.PULL, True),
        (HostCapabilities.PUSH, HostCapabilities.PULL, False),
        (
            HostCapabilities.PULL,
            HostCapabilities.PULL | HostCapabilities.RESOLVE,
            False,
        ),
        (HostCapabilities(7), HostCapabilities.PULL | HostCapabilities.PUSH, True),
    ],
)
def test_capabilities(capabilities, asked, expected):
    assert (asked in capabilities) is expected


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("", False),
        ("127.1.1.1", True),
        ("127.0.0.1", True),
        ("127.256.0.1", False),
        ("127.23.34.52", True),
        ("127.0.0.1:5000", True),
        ("registry.org", False),
        ("126.example.com", False),
        ("localhost", True),
        ("localhost:5000", True),
        ("localhost5000", False),
        ("LOCALHOST", False),
        ("host.local", False),
        ("[::1]", True),
        ("::1", True),
        ("[::1]:5000", True),
        ("[::ffff:127.0.0.1]:5000", True),
        ("[2001:db8::1]:5000", False),
    ],
)
def test_localhost(host, expected):
    assert match_localhost(host) is expected


@pytest.mark.parametrize("host", ["127.0.0.1:", "localhost:", "a:b:c", "::1:5000"])
def test_what_is_no_host(host):
    with pytest.raises(ErrInvalidArgument):
        match_localhost(host)


def test_the_default_host():
    [host] = configure_default_registries(plain_http=match_localhost)("docker.io")
    assert (host.scheme, host.host, host.path) == (
        "https",
        "registry-1.docker.io",
        "/v2",
    )
    [host] = configure_default_registries(plain_http=match_localhost)("localhost:5000")
    assert (host.scheme, host.host) == ("http", "localhost:5000")
    [host] = configure_default_registries(plain_http=match_all_hosts)("r.example")
    assert host.scheme == "http"
    [host] = configure_default_registries(host=lambda name: f"m.{name}")("docker.io")
    assert (host.scheme, host.host) == ("https", "m.docker.io")


def test_the_first_function_that_knows_hosts_answers():
    def nothing(namespace):
        return ()

    def named(namespace):
        return (RegistryHost(host=namespace),)

    assert registries(nothing, named, nothing)("a")[0].host == "a"
    assert registries(nothing)("a") == ()


@pytest.mark.parametrize(
    ("host", "namespace", "expected"),
    [
        ("r.example", "r.example", False),
        ("m.example", "r.example", True),
        ("registry-1.docker.io", "docker.io", False),
        ("registry-1.docker.io", "r.example", True),
        ("m.example", "docker.io", True),
    ],
)
def test_a_proxy_is_told_the_namespace(host, namespace, expected):
    assert RegistryHost(host=host).is_proxy(namespace) is expected
