"""A request as the values of placeholders."""

import tomllib

import pytest

from conformance.request import (
    make_hosts_dir,
    placeholder_values,
    split_reference,
    switches,
)

DIGEST = "sha256:" + "a" * 64


def values(tmp_path, wanted=(), **request):
    asked = {"ref": "127.0.0.1:5000/library/a:v1", "root": str(tmp_path), **request}
    return placeholder_values(asked, wanted)


@pytest.mark.parametrize(
    ("ref", "parts"),
    [
        ("127.0.0.1:5000/a/b:v1", ("127.0.0.1:5000", "a/b", "v1", None)),
        (f"[::1]:5000/a@{DIGEST}", ("[::1]:5000", "a", None, DIGEST)),
        (f"h:1/a:v1@{DIGEST}", ("h:1", "a", "v1", DIGEST)),
        ("h:1/a", ("h:1", "a", None, None)),
    ],
)
def test_parts_of_a_reference(ref, parts):
    names = ("registry", "repository", "tag", "digest")
    wanted = {n: p for n, p in zip(names, parts, strict=True) if p is not None}
    wanted["target"] = parts[3] or parts[2] or "latest"
    assert split_reference(ref) == wanted


@pytest.mark.parametrize(
    ("platform", "wanted"),
    [
        ("linux/arm/v7", {"os": "linux", "arch": "arm", "variant": "v7"}),
        ("linux/amd64", {"os": "linux", "arch": "amd64"}),
        ("arm64", {"arch": "arm64"}),
        ("windows", {"os": "windows"}),
        (None, {}),
    ],
)
def test_parts_of_a_platform(tmp_path, platform, wanted):
    found = values(tmp_path, platform=platform)
    assert {k: found[k] for k in ("os", "arch", "variant") if k in found} == wanted
    assert found.get("platform") == platform


def test_user_without_a_password_has_an_empty_one(tmp_path):
    assert values(tmp_path, username="u", password=None)["password"] == ""
    assert "password" not in values(tmp_path)


def test_folders_are_made_only_if_wanted(tmp_path):
    ca = tmp_path / "ca.pem"
    ca.write_text("PEM")
    found = values(tmp_path, ca=str(ca))
    assert "ca_dir" not in found
    assert "hosts_dir" not in found
    found = values(tmp_path, ["ca_dir"], ca=str(ca))
    assert (tmp_path / "certs/ca.crt").read_text() == "PEM"
    assert found["ca_dir"] == str(tmp_path / "certs")


@pytest.mark.parametrize("plain_http", [True, False])
def test_hosts_folder_of_containerd(tmp_path, plain_http):
    request = {"ref": "127.0.0.1:5000/a:b", "root": str(tmp_path)}
    folder = make_hosts_dir({**request, "plain_http": plain_http, "ca": "/ca.pem"})
    table = tomllib.loads((folder / "127.0.0.1:5000/hosts.toml").read_text())
    server = ("http" if plain_http else "https") + "://127.0.0.1:5000"
    assert table["server"] == server
    assert (table["ca"], table["host"]) == ("/ca.pem", {})


def test_switches_are_what_is_true():
    request = {"plain_http": True, "all_platforms": False, "limit": 1, "ca": None}
    assert switches(request) == {"plain_http"}


def test_hosts_folder_of_a_case_with_mirrors(tmp_path):
    hosts = str(tmp_path / "given")
    assert make_hosts_dir({"ref": "a:1/b:c", "hosts_dir": hosts}) == tmp_path / "given"
    assert values(tmp_path, ["hosts_dir"], hosts_dir=hosts)["hosts_dir"] == hosts
