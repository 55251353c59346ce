"""Mirrors: containerd v1.5.18 platforms/platforms.go, platforms/defaults.go.

A specifier is ``<os>``, ``<arch>`` or ``<os>/<arch>[/<variant>]``; what is left
out is this host's.

>>> format_platform(parse("linux/aarch64"))
'linux/arm64'
"""

import re
from dataclasses import dataclass
from typing import Final, Protocol

from refimpl.descriptor import Platform
from refimpl.errdefs import ErrInvalidArgument
from refimpl.gotext import quote
from refimpl.platforms import database

__all__ = [
    "Matcher",
    "default_spec",
    "default_string",
    "format_platform",
    "new_matcher",
    "normalize",
    "parse",
]

_COMPONENT: Final = re.compile(r"^[A-Za-z0-9_-]+$", re.ASCII)


class Matcher(Protocol):
    """Says whether a platform will do (platforms.go:123)."""

    def match(self, platform: Platform, /) -> bool:
        """Return whether the platform matches."""
        ...


@dataclass(frozen=True, slots=True)
class _Matcher:
    """Compares operating system, architecture and variant."""

    wanted: tuple[str, str, str]

    def match(self, platform: Platform, /) -> bool:
        """Return whether the platform is this one once its aliases are resolved."""
        return _normal_names(platform) == self.wanted


def new_matcher(platform: Platform) -> Matcher:
    """Return a matcher for exactly one platform, in any spelling."""
    return _Matcher(_normal_names(platform))


def parse(specifier: str) -> Platform:
    """Return the platform that a specifier names (platforms.go:165).

    Raises:
        ErrInvalidArgument: the specifier is malformed, or a single word that is
            neither a known operating system nor a known architecture.
    """
    if "*" in specifier:
        raise ErrInvalidArgument(f"{quote(specifier)}: wildcards not yet supported")
    parts = specifier.split("/")
    for part in parts:
        if not _COMPONENT.fullmatch(part):
            raise ErrInvalidArgument(
                f"{quote(part)} is an invalid component of {quote(specifier)}: "
                f"platform specifier component must match {quote(_COMPONENT.pattern)}"
            )
    match parts:
        case [word]:
            return _parse_word(word)
        case [system, arch]:
            return _parse_pair(system, arch)
        case [system, arch, variant]:
            return _parse_triple(system, arch, variant)
    raise ErrInvalidArgument(f"{quote(specifier)}: cannot parse platform specifier")


def _parse_word(word: str) -> Platform:
    """Take a word for an operating system if it is one, else for an architecture."""
    system = database.normalize_os(word)
    if system in database.KNOWN_SYSTEMS:
        arch, variant = database.host_architecture(), ""
        if arch == "arm" and database.cpu_variant() != "v7":
            variant = database.cpu_variant()
        return Platform(os=system, architecture=arch, variant=variant)
    platform = _parse_pair(database.host_os(), word)
    if platform.architecture in database.KNOWN_ARCHITECTURES:
        return platform
    raise ErrInvalidArgument(f"{quote(word)}: unknown operating system or architecture")


def _parse_pair(system: str, arch: str) -> Platform:
    """Leave arm without its default variant: v7 goes without saying."""
    arch, variant = database.normalize_arch(arch, "")
    if arch == "arm" and variant == "v7":
        variant = ""
    return Platform(
        os=database.normalize_os(system), architecture=arch, variant=variant
    )


def _parse_triple(system: str, arch: str, variant: str) -> Platform:
    """Keep every variant that was asked for, arm64's default too."""
    arch, variant = database.normalize_arch(arch, variant)
    if arch == "arm64" and not variant:
        variant = "v8"
    return Platform(
        os=database.normalize_os(system), architecture=arch, variant=variant
    )


def format_platform(platform: Platform) -> str:
    """Return the specifier of a platform (platforms.go:245, Format)."""
    if not platform.os:
        return "unknown"
    parts = (platform.os, platform.architecture, platform.variant)
    return "/".join(part for part in parts if part)


def normalize(platform: Platform) -> Platform:
    """Return the platform with its aliases resolved (platforms.go:269).

    The version and the features of the operating system are dropped, so no
    matcher of this package sees them.
    """
    system, arch, variant = _normal_names(platform)
    return Platform(os=system, architecture=arch, variant=variant)


def _normal_names(platform: Platform) -> tuple[str, str, str]:
    arch, variant = database.normalize_arch(platform.architecture, platform.variant)
    return database.normalize_os(platform.os), arch, variant


def default_spec() -> Platform:
    """Return the platform of this host (defaults.go:31)."""
    return Platform(
        os=database.host_os(),
        architecture=database.host_architecture(),
        variant=database.cpu_variant(),
    )


def default_string() -> str:
    """Return the specifier of this host's platform (defaults.go:26)."""
    return format_platform(default_spec())
