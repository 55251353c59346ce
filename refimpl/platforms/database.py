"""Mirrors: containerd v1.5.18 platforms/database.go, platforms/cpuinfo.go.

The names that Go knows, the spellings that mean the same, and what this host is.

>>> normalize_arch("aarch64", "v8")
('arm64', '')
"""

import os
import sys
from functools import cache
from pathlib import Path
from typing import Final

__all__ = [
    "KNOWN_ARCHITECTURES",
    "KNOWN_SYSTEMS",
    "cpu_variant",
    "host_architecture",
    "host_os",
    "normalize_arch",
    "normalize_os",
]


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# database.go:44; later versions of containerd also know ios.
KNOWN_SYSTEMS: Final = _words(
    "aix android darwin dragonfly freebsd hurd illumos js linux nacl netbsd openbsd"
    " plan9 solaris windows zos"
)
# database.go:65; later versions also know loong64.
KNOWN_ARCHITECTURES: Final = _words(
    "386 amd64 amd64p32 arm armbe arm64 arm64be ppc64 ppc64le mips mipsle mips64"
    " mips64le mips64p32 mips64p32le ppc riscv riscv64 s390 s390x sparc sparc64"
    " wasm"
)

# What a spelling means; a variant of None is kept as it was given (database.go:89).
_ARCHITECTURES: Final[dict[str, tuple[str, str | None]]] = {
    "i386": ("386", ""),
    "x86_64": ("amd64", ""),
    "x86-64": ("amd64", ""),
    "aarch64": ("arm64", None),
    "armhf": ("arm", "v7"),
    "armel": ("arm", "v6"),
}
_VARIANTS: Final = {
    ("arm64", "8"): "",
    ("arm64", "v8"): "",
    ("arm", ""): "v7",
    ("arm", "7"): "v7",
    ("arm", "5"): "v5",
    ("arm", "6"): "v6",
    ("arm", "8"): "v8",
}

# The names of uname(2) and of Windows, as GOARCH.
_MACHINES: Final = {
    "i386": "386",
    "i686": "386",
    "x86": "386",
    "x86_64": "amd64",
    "amd64": "amd64",
    "aarch64": "arm64",
    "loongarch64": "loong64",
    "mips64el": "mips64le",
    "mipsel": "mipsle",
}

_CPU_VARIANTS: Final = {
    "8": "v8",
    "aarch64": "v8",
    **dict.fromkeys(("7", "7m", "?(12)", "?(13)", "?(14)", "?(15)"), "v7"),
    **dict.fromkeys(("?(16)", "?(17)"), "v7"),
    **dict.fromkeys(("6", "6tej"), "v6"),
    **dict.fromkeys(("5", "5t", "5te", "5tej"), "v5"),
    **dict.fromkeys(("4", "4t"), "v4"),
    "3": "v3",
}


def normalize_os(name: str) -> str:
    """Return Go's name of an operating system; nothing means this host's."""
    if not name:
        return host_os()
    name = name.lower()
    return "darwin" if name == "macos" else name


def normalize_arch(arch: str, variant: str) -> tuple[str, str]:
    """Return Go's name of an architecture, and the variant without its aliases."""
    arch, variant = arch.lower(), variant.lower()
    arch, fixed = _ARCHITECTURES.get(arch, (arch, None))
    if fixed is not None:
        return arch, fixed
    return arch, _VARIANTS.get((arch, variant), variant)


def host_os() -> str:
    """Return what Go calls the operating system of this host (GOOS)."""
    return {"win32": "windows", "cygwin": "windows"}.get(sys.platform, sys.platform)


def host_architecture() -> str:
    """Return what Go calls the architecture of this host (GOARCH)."""
    machine = os.uname().machine.lower()
    if machine.startswith("armv"):
        # A 32-bit system on a 64-bit processor says armv8l.
        return "arm"
    return _MACHINES.get(machine, machine)


@cache
def cpu_variant() -> str:
    """Return the variant of this host's processor, empty unless it is an ARM."""
    arch = host_architecture()
    if arch not in ("arm", "arm64"):
        return ""
    if host_os() in ("windows", "darwin"):
        return "v8" if arch == "arm64" else "v7"
    return _variant_of(arch, _read_cpu_info())


def _read_cpu_info() -> str:
    try:
        return Path("/proc/cpuinfo").read_text(errors="replace")
    except OSError:
        return ""


def _variant_of(arch: str, cpu_info: str) -> str:
    """Return the variant that the text of /proc/cpuinfo names (cpuinfo.go:80)."""
    variant = _cpu_field(cpu_info, "cpu architecture")
    if variant is None:
        return ""
    if arch == "arm" and variant == "7":
        # A Raspberry Pi with an ARMv6 core says 7: a quirk of its kernel.
        model = _cpu_field(cpu_info, "model name") or ""
        if model.lower().startswith("armv6-compatible"):
            return "v6"
    return _CPU_VARIANTS.get(variant.lower(), "unknown")


def _cpu_field(cpu_info: str, name: str) -> str | None:
    """Return a field of the first processor that has it."""
    for line in cpu_info.splitlines():
        key, colon, value = line.partition(":")
        if colon and key.strip().lower() == name:
            return value.partition(":")[0].strip()
    return None
