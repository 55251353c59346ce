"""conformance/hosts.py: what is written is what containerd's docs/hosts.md says."""

import tomllib
from pathlib import Path

from conformance.hosts import Host, write_hosts


def written(tmp_path, server, *mirrors):
    write_hosts(tmp_path, "registry.example:5000", server, mirrors)
    file = tmp_path / "registry.example:5000" / "hosts.toml"
    return tomllib.loads(file.read_text())


def test_server_alone(tmp_path):
    server = Host(url="https://registry.example:5000", ca=Path("/ca.pem"))
    assert written(tmp_path, server) == {
        "server": "https://registry.example:5000",
        "capabilities": ["pull", "resolve"],
        "ca": "/ca.pem",
        "host": {},
    }


def test_mirrors_keep_their_order(tmp_path):
    urls = ["http://z", "http://a", "http://m"]
    table = written(tmp_path, Host(url="http://r"), *(Host(url=url) for url in urls))
    assert list(table["host"]) == urls


def test_everything_about_a_mirror(tmp_path):
    mirror = Host(
        url="http://127.0.0.1:5001/v2/cache",
        capabilities=("pull",),
        headers={"X-Key": 'a "quoted" one'},
    )
    table = written(tmp_path, Host(url="http://r"), mirror)
    assert table["host"] == {
        "http://127.0.0.1:5001/v2/cache": {
            "capabilities": ["pull"],
            "override_path": True,
            "header": {"X-Key": 'a "quoted" one'},
        }
    }
