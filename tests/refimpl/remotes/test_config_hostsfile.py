"""config/hosts.go, parseHostsFile and loadHostDir; hosts_test.go."""

import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refimpl.errdefs import ErrInvalidArgument
from refimpl.remotes.docker.config import (
    HostConfig,
    load_cert_files,
    load_host_dir,
    parse_hosts_file,
)
from refimpl.remotes.docker.registry import ALL_CAPABILITIES, HostCapabilities

PULL = HostCapabilities.PULL
RESOLVE = HostCapabilities.RESOLVE


@pytest.fixture
def parse(tmp_path):
    """Parse a text as the hosts.toml of a folder."""

    def run(text):
        return parse_hosts_file(tmp_path / "hosts.toml", text.encode())

    return run


def names(configs):
    return [f"{one.scheme}://{one.host}{one.path}" for one in configs]


def test_hosts_come_in_the_order_of_the_file_and_the_server_last(parse):
    configs = parse(
        """
        server = "https://registry.example"
        [host."https://z.example"]
        [host."http://a.example:5000"]
        [host."https://m.example/hub"]
        [host."b.example".header]
        x = "y"
        """
    )
    assert names(configs) == [
        "https://z.example/v2",
        "http://a.example:5000/v2",
        "https://m.example/hub/v2",
        "https://b.example/v2",
        "https://registry.example/v2",
    ]


def test_without_a_server_the_registry_itself_comes_last(parse):
    """Its keys count, its capabilities and path are the default's (hosts.go:99)."""
    _, own = parse('ca = "a.pem"\ncapabilities = ["pull"]\n[host."https://m.example"]')
    assert (own.host, own.scheme, own.path) == ("", "", "")
    assert [file.name for file in own.ca_certs] == ["a.pem"]


def test_a_server_needs_no_mirrors(parse):
    """Go wants a table ``host``, though docs/hosts.md shows files without one."""
    assert names(parse('server = "https://mirror.example"')) == [
        "https://mirror.example/v2"
    ]


SERVERS = [
    ("registry.example", "https://registry.example/v2"),
    ("http.example", "https://http.example/v2"),
    ("http://registry.example:80", "http://registry.example:80/v2"),
    ("https://registry.example/", "https://registry.example/v2"),
    ("https://registry.example/v2", "https://registry.example/v2"),
    ("https://registry.example/v2/", "https://registry.example/v2"),
    ("https://registry.example/a//b/../c", "https://registry.example/a/c/v2"),
    ("https://user:secret@registry.example", "https://registry.example/v2"),
    ("https://[::1]:5000", "https://[::1]:5000/v2"),
]


@pytest.mark.parametrize(("server", "expected"), SERVERS)
def test_a_name_becomes_scheme_host_and_path(parse, server, expected):
    assert names(parse(f'server = "{server}"')) == [expected]


@pytest.mark.parametrize(
    ("server", "expected"),
    [
        ("https://registry.example", "https://registry.example"),
        ("https://registry.example/v2/hub", "https://registry.example/v2/hub"),
    ],
)
def test_a_path_can_be_taken_as_it_is(parse, server, expected):
    configs = parse(f'server = "{server}"\noverride_path = true')
    assert names(configs) == [expected]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("[]", ALL_CAPABILITIES),
        ('["pull"]', PULL),
        ('["Pull", "RESOLVE"]', PULL | RESOLVE),
        ('["resolve", "push"]', RESOLVE | HostCapabilities.PUSH),
    ],
)
def test_capabilities(parse, given, expected):
    [config] = parse(f'server = "a.example"\ncapabilities = {given}')
    assert config.capabilities == expected


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ('"a.pem"', [("a.pem", None)]),
        ('["a.pem", "/b.pem"]', [("a.pem", None), ("/b.pem", None)]),
        ('[["a.cert", "keys/a.key"]]', [("a.cert", "keys/a.key")]),
        ('[["a.pem", ""], "b.pem"]', [("a.pem", None), ("b.pem", None)]),
    ],
)
def test_client_certificates(parse, tmp_path, given, expected):
    [config] = parse(f'server = "a.example"\nclient = {given}')
    assert config.client_pairs == tuple(
        (tmp_path / certificate, tmp_path / key if key else None)
        for certificate, key in expected
    )


def test_authorities_are_beside_the_file_unless_they_are_elsewhere(parse, tmp_path):
    [config] = parse('server = "a.example"\nca = ["a.pem", "../b.pem", "/c/d.pem"]')
    texts = [str(file) for file in config.ca_certs]
    assert texts == [f"{tmp_path}/a.pem", f"{tmp_path.parent}/b.pem", "/c/d.pem"]
    [config] = parse('server = "a.example"\nca = "a.pem"')
    assert config.ca_certs == (tmp_path / "a.pem",)


def test_verification_and_headers(parse):
    first, second = parse(
        """
        skip_verify = false
        [host."a.example"]
        skip_verify = true
        [host."a.example".header]
        X-One = "1"
        x-many = ["2", "ä"]
        """
    )
    assert (first.skip_verify, second.skip_verify) == (True, False)
    assert first.header == (("X-One", "1"), ("x-many", "2"), ("x-many", "ä"))
    assert first.has_tls
    assert second.has_tls
    assert not HostConfig().has_tls


ERRORS = [
    ("server = ", "hosts.toml: Invalid value"),
    ("[host", "hosts.toml: Expected"),
    ("server = 5", "hosts.toml: server must be a text"),
    ('server = "ftp://a.example"', "server must be a host, or an http or https URL"),
    ('server = "https://"', "server must be a host, or an http or https URL"),
    ('server = "https://a.example:port"', "server must be a host"),
    ("host = 5", "hosts.toml: host must be a table of tables"),
    ("[host]\nx = 5", 'hosts.toml: host."x" must be a table'),
    ('[host.""]', 'hosts.toml: host."": its name must be a host'),
    ('[host."a"]\ncapabilities = "pull"', 'host."a": capabilities must be a list of'),
    ('[host."a"]\ncapabilities = ["pull", "pul"]', "a list of pull, resolve, push"),
    ('[host."a"]\ncapabilities = ["pull", 5]', 'host."a": capabilities must be'),
    ('[host."a"]\nca = 5', 'host."a": ca must be a text or a list of texts'),
    ('[host."a"]\nca = ["a", 5]', 'host."a": ca must be a text or a list of texts'),
    ("client = 5", "hosts.toml: client must be a text or a list"),
    ("client = [5]", "client must be a list of texts, or of pairs of texts"),
    ('client = [["a"]]', "client must be a list of texts, or of pairs of texts"),
    ('client = [["", "a"]]', "client must be a list of texts, or of pairs of texts"),
    ('client = [["a", "b", "c"]]', "client must be a list of texts, or of pairs"),
    ('skip_verify = "yes"', "skip_verify must be a boolean"),
    ("override_path = 1", "override_path must be a boolean"),
    ("header = 5", "hosts.toml: header must be a table"),
    ('[host."a".header]\n"x y" = "z"', 'host."a": header.x y must be named by a token'),
    ("[header]\nx = 5", "header.x must be a text of one line"),
    ('[header]\nx = ["a", 5]', "header.x must be a text of one line"),
    ('[header]\nx = "a\\nb: c"', "header.x must be a text of one line"),
]


@pytest.mark.parametrize(("text", "said"), ERRORS)
def test_what_cannot_be_used_is_named(parse, text, said):
    """Go logs it and pulls from the registry itself, as if no file were there."""
    with pytest.raises(ErrInvalidArgument) as caught:
        parse(text)
    assert said in str(caught.value)
    assert "hosts.toml: " in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_no_text_is_named(tmp_path):
    (tmp_path / "hosts.toml").write_bytes(b"\xff")
    with pytest.raises(ErrInvalidArgument, match=r"hosts\.toml: .*utf-8"):
        load_host_dir(tmp_path)


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    (tmp_path / "hosts.toml").mkdir()
    with pytest.raises(ErrInvalidArgument, match=r"hosts\.toml: Is a directory"):
        load_host_dir(tmp_path)


def test_an_unknown_key_is_passed_over(parse, caplog):
    """It may be one of a later containerd; a slip of the pen is worth a word."""
    with caplog.at_level(logging.WARNING):
        [_, own] = parse('dial_timeout = "3s"\n[host."a.example"]\ncapabilites = []')
    assert own.capabilities == ALL_CAPABILITIES
    assert [record.message.partition("hosts.toml")[2] for record in caplog.records] == [
        ': host."a.example": unknown key capabilites is ignored',
        ": unknown key dial_timeout is ignored",
    ]


@pytest.mark.parametrize("text", ["", "# nothing yet\n"])
def test_a_file_without_a_word_leaves_it_to_certificates(tmp_path, text):
    (tmp_path / "hosts.toml").write_text(text)
    (tmp_path / "ca.crt").touch()
    [config] = load_host_dir(tmp_path)
    assert config.ca_certs == (tmp_path / "ca.crt",)


def test_certificates_as_docker_keeps_them(tmp_path):
    for name in ("b.crt", "a.crt", "z.cert", "z.key", "lone.cert", "notes.txt"):
        (tmp_path / name).touch()
    (tmp_path / "folder.crt").mkdir()
    [config] = load_host_dir(tmp_path)
    assert config == HostConfig(
        ca_certs=(tmp_path / "a.crt", tmp_path / "b.crt"),
        client_pairs=(
            (tmp_path / "lone.cert", None),
            (tmp_path / "z.cert", tmp_path / "z.key"),
        ),
        where=str(tmp_path),
    )


def test_a_folder_without_anything_says_nothing(tmp_path):
    empty = (HostConfig(where=str(tmp_path)),)
    assert load_host_dir(tmp_path) == empty
    gone = tmp_path / "gone"
    assert load_cert_files(gone) == (HostConfig(where=str(gone)),)
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(ErrInvalidArgument, match="file: Not a directory"):
        load_cert_files(file)


TEXTS = st.text(st.characters(codec="utf-8", categories=("L", "N", "P")), max_size=8)
VALUES = st.recursive(
    st.one_of(TEXTS, st.integers(-1, 1), st.booleans()),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=4,
)
KEYS = st.sampled_from(
    ["server", "capabilities", "ca", "client", "skip_verify", "override_path", "host"]
)


def toml(value):
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return f"[{', '.join(map(toml, value))}]"
    if isinstance(value, int):
        return str(value)
    escaped = "".join(f"\\U{ord(character):08x}" for character in value)
    return f'"{escaped}"'


@given(document=st.dictionaries(KEYS, VALUES, max_size=4))
def test_a_file_is_used_or_refused(tmp_path_factory, document):
    """Whatever it holds: hosts, each to be reached, or one line of an error."""
    text = "\n".join(f"{key} = {toml(value)}" for key, value in document.items())
    file = tmp_path_factory.getbasetemp() / "hosts.toml"
    said, configs = "", tuple[HostConfig, ...]()
    try:
        configs = parse_hosts_file(file, text.encode())
    except ErrInvalidArgument as err:
        said = str(err)
    if said:
        assert str(file) in said
        assert "\n" not in said
        return
    assert bool(configs) == bool(document)
    for config in configs:
        assert config.scheme in ("http", "https") or not config.host
        assert config.capabilities


@given(
    hosts=st.lists(
        st.tuples(
            st.from_regex(r"[a-z]{1,8}\.example(:[1-9][0-9]{0,3})?", fullmatch=True),
            st.lists(st.sampled_from(["pull", "resolve", "push"]), min_size=1),
        ),
        max_size=6,
        unique_by=lambda host: host[0],
    )
)
def test_every_host_is_found_with_what_it_may(tmp_path_factory, hosts):
    text = 'server = "registry.example"\n' + "".join(
        f'[host."{name}"]\ncapabilities = {toml(caps)}\n' for name, caps in hosts
    )
    file = tmp_path_factory.getbasetemp() / "hosts.toml"
    *mirrors, server = parse_hosts_file(file, text.encode())
    assert server.host == "registry.example"
    assert [one.host for one in mirrors] == [name for name, _ in hosts]
    for mirror, (_, caps) in zip(mirrors, hosts, strict=True):
        held = {cap.name.lower() for cap in mirror.capabilities if cap.name}
        assert held == set(caps)
