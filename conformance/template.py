"""Command lines with holes: ``{placeholders}``, optional groups and switches.

A template is a list. A text in it is one argument; a nested list is a group that
appears only when every placeholder in it has a value; a table ``{when, args}``
appears when the request says so.

    template = parse_template(
        ["pull", ["--user", "{username}:{password}"], "{ref}"], where="x.toml: pull"
    )
    template.fill({"ref": "127.0.0.1:5000/a:b"})   # ["pull", "127.0.0.1:5000/a:b"]
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from conformance.contract import AdapterError

__all__ = [
    "ALWAYS",
    "OPTIONAL",
    "SWITCHES",
    "Template",
    "check_text",
    "fill",
    "names",
    "parse_template",
]

#: Placeholders that have a value in every run.
ALWAYS: Final = frozenset(
    {"ref", "registry", "repository", "target", "scheme", "root", "hosts_dir"}
)
#: Placeholders that have one only sometimes: inside a group, that is.
OPTIONAL: Final = frozenset(
    {
        *("tag", "digest", "platform", "os", "arch", "variant", "ca", "ca_dir"),
        *("username", "password", "docker_config", "max_concurrent_downloads"),
    }
)
#: What ``when`` may ask: true or false in the request.
SWITCHES: Final = frozenset(
    {"plain_http", "all_platforms", "all_metadata", "credentials", "unpack"}
)

_PLACEHOLDER: Final = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True, slots=True)
class _Group:
    parts: "tuple[str | _Group | _Switch, ...]"

    def fill(self, values: Mapping[str, str], on: frozenset[str]) -> list[str]:
        """Return the arguments, none if a placeholder of the group has no value."""
        own = {name for p in self.parts if isinstance(p, str) for name in names(p)}
        return fill_parts(self.parts, values, on) if own <= values.keys() else []


@dataclass(frozen=True, slots=True)
class _Switch:
    when: str
    parts: "tuple[str | _Group | _Switch, ...]"

    def fill(self, values: Mapping[str, str], on: frozenset[str]) -> list[str]:
        """Return the arguments, none if the switch is off."""
        return fill_parts(self.parts, values, on) if self.when in on else []


_Part = str | _Group | _Switch


def fill_parts(
    parts: tuple[_Part, ...], values: Mapping[str, str], on: frozenset[str]
) -> list[str]:
    """Return the arguments of parts one after the other."""
    filled: list[str] = []
    for part in parts:
        if isinstance(part, str):
            filled.append(fill(part, values))
        else:
            filled += part.fill(values, on)
    return filled


@dataclass(frozen=True, slots=True)
class Template:
    """A command line to be filled."""

    parts: tuple[_Part, ...]

    def fill(
        self, values: Mapping[str, str], on: frozenset[str] = frozenset()
    ) -> list[str]:
        """Return the arguments of one run.

        Args:
            values: What the placeholders stand for; those without a value absent.
            on: The switches that are on.
        """
        return fill_parts(self.parts, values, on)

    @property
    def mentioned(self) -> frozenset[str]:
        """Every placeholder and switch that occurs anywhere."""
        return _mentioned(self.parts)


def fill(text: str, values: Mapping[str, str]) -> str:
    """Return a text with its placeholders filled."""
    return _PLACEHOLDER.sub(lambda match: values[match[1]], text)


def names(text: str) -> frozenset[str]:
    """Return the placeholders in a text."""
    return frozenset(_PLACEHOLDER.findall(text))


def parse_template(value: object, *, where: str) -> Template:
    """Check a template and return it.

    Raises:
        AdapterError: It has a wrong part, an unknown placeholder, or one outside
            a group that may be without a value.
    """
    if not isinstance(value, list) or not value or not isinstance(value[0], str):
        raise AdapterError(f"{where} must be a list that starts with a program")
    parts = _parts(value, where)
    _check_loose(parts, where)
    return Template(parts)


def _check_loose(
    parts: tuple[_Part, ...], where: str, *, grouped: bool = False
) -> None:
    for part in parts:
        if not isinstance(part, str):
            _check_loose(part.parts, where, grouped=isinstance(part, _Group))
        elif not grouped and names(part) & OPTIONAL:
            raise AdapterError(
                f"{where}: {{{min(names(part) & OPTIONAL)}}} may be without a value: "
                f"put {part!r} into a nested list, with the option it belongs to"
            )


def check_text(value: object, *, where: str) -> str:
    """Return a text whose placeholders are all known.

    Raises:
        AdapterError: It is none.
    """
    if not isinstance(value, str):
        raise AdapterError(f"{where} must be a text, not {value!r}")
    unknown = names(value) - ALWAYS - OPTIONAL
    if unknown:
        known = ", ".join(sorted(ALWAYS | OPTIONAL))
        raise AdapterError(
            f"{where}: unknown placeholder {{{min(unknown)}}}; known are {known}"
        )
    return value


def _parts(values: object, where: str) -> tuple[_Part, ...]:
    if not isinstance(values, list):
        raise AdapterError(f"{where} must be a list, not {values!r}")
    return tuple(_part(value, where) for value in values)


def _part(value: object, where: str) -> _Part:
    if isinstance(value, list):
        group = _Group(_parts(value, where))
        if not any(isinstance(p, str) and names(p) for p in group.parts):
            raise AdapterError(f"{where}: the group {value!r} has no placeholder")
        return group
    if not isinstance(value, dict):
        return check_text(value, where=where)
    if value.keys() != {"when", "args"}:
        raise AdapterError(f"{where}: {value!r} must have 'when' and 'args' only")
    if value["when"] not in SWITCHES:
        raise AdapterError(
            f"{where}: when = {value['when']!r}; it may be "
            f"{', '.join(sorted(SWITCHES))}"
        )
    return _Switch(str(value["when"]), _parts(value["args"], where))


def _mentioned(parts: tuple[_Part, ...]) -> frozenset[str]:
    found: frozenset[str] = frozenset()
    for part in parts:
        if isinstance(part, str):
            found |= names(part)
            continue
        found |= _mentioned(part.parts)
        if isinstance(part, _Switch):
            found |= {part.when}
    return found
