"""platforms/database.go and platforms/cpuinfo.go."""

import sys
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refimpl.platforms import database

PI = "processor : 0\nmodel name : ARMv6-compatible rev 7\nCPU architecture: 7\n"


@pytest.mark.parametrize(
    ("given_", "normal"),
    [
        (("x86_64", "v2"), ("amd64", "")),
        (("AMD64", "V2"), ("amd64", "v2")),
        (("i386", "x"), ("386", "")),
        (("aarch64", "8"), ("arm64", "")),
        (("arm64", "v9"), ("arm64", "v9")),
        (("armhf", "v5"), ("arm", "v7")),
        (("armel", ""), ("arm", "v6")),
        (("arm", ""), ("arm", "v7")),
        (("arm", "9"), ("arm", "9")),
        (("riscv64", "X"), ("riscv64", "x")),
    ],
)
def test_normalize_arch(given_, normal):
    assert database.normalize_arch(*given_) == normal


@given(st.text(max_size=8), st.text(max_size=3))
def test_normalising_twice_changes_nothing(arch, variant):
    once = database.normalize_arch(arch.casefold(), variant.casefold())
    if once[0] not in ("armhf", "armel"):
        assert database.normalize_arch(*once) == once


def test_normalize_os():
    assert database.normalize_os("macOS") == "darwin"
    assert database.normalize_os("Linux") == "linux"
    assert database.normalize_os("") == database.host_os()


@pytest.mark.parametrize(
    ("platform", "system"),
    [("linux", "linux"), ("darwin", "darwin"), ("win32", "windows")],
)
def test_the_host_s_operating_system(monkeypatch, platform, system):
    monkeypatch.setattr(sys, "platform", platform)
    assert database.host_os() == system


@pytest.mark.parametrize(
    ("machine", "arch"),
    [
        ("x86_64", "amd64"),
        ("AMD64", "amd64"),
        ("i686", "386"),
        ("aarch64", "arm64"),
        ("armv6l", "arm"),
        ("armv8l", "arm"),
        ("s390x", "s390x"),
    ],
)
def test_the_host_s_architecture(monkeypatch, machine, arch):
    monkeypatch.setattr("os.uname", lambda: SimpleNamespace(machine=machine))
    assert database.host_architecture() == arch


@pytest.mark.parametrize(
    ("arch", "cpu_info", "variant"),
    [
        ("arm64", "CPU architecture: 8\n", "v8"),
        ("arm64", "CPU architecture : AArch64\n", "v8"),
        ("arm", "CPU architecture: 5TEJ\n", "v5"),
        ("arm", "CPU architecture: 7\nCPU architecture: 8\n", "v7"),
        ("arm", PI, "v6"),
        ("arm64", PI, "v7"),
        ("arm", "CPU architecture: 99\n", "unknown"),
        ("arm", "processor: 0\n", ""),
        ("arm", "", ""),
    ],
)
def test_the_variant_that_the_kernel_names(monkeypatch, arch, cpu_info, variant):
    monkeypatch.setattr(database, "host_architecture", lambda: arch)
    monkeypatch.setattr(database, "host_os", lambda: "linux")
    monkeypatch.setattr(database, "_read_cpu_info", lambda: cpu_info)
    assert database.cpu_variant.__wrapped__() == variant


@pytest.mark.parametrize(
    ("system", "arch", "variant"),
    [
        ("windows", "arm64", "v8"),
        ("darwin", "arm64", "v8"),
        ("windows", "arm", "v7"),
        ("linux", "amd64", ""),
    ],
)
def test_the_variant_where_no_kernel_is_asked(monkeypatch, system, arch, variant):
    monkeypatch.setattr(database, "host_architecture", lambda: arch)
    monkeypatch.setattr(database, "host_os", lambda: system)
    assert database.cpu_variant.__wrapped__() == variant


def test_a_host_without_proc_has_no_variant(monkeypatch, tmp_path):
    monkeypatch.setattr(database, "Path", lambda _: tmp_path / "missing")
    assert database._read_cpu_info() == ""
