"""`pull-conformance.toml`: what a project asks of its client, kept beside its code.

    suite-version = "0.1.0"
    adapters = ["ci/mine.toml"]
    levels = ["MUST"]

    [[off]]
    area = "leases"
    reason = "mine has none"

    [[expected-failure]]
    case = "resume.connection-reset"
    reason = "starts over"
    link = "https://example.org/issues/7"

CONFIG.md beside this file explains every key. The file is checked strictly: what
nobody understands is an error, never silently ignored.
"""

import datetime
import tomllib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from conformance.case import Case, Level
from conformance.contract import AdapterError
from conformance.xfails import Xfail, make_xfail

__all__ = ["Config", "ConfigError", "find_config", "read_config"]

NAME: Final = "pull-conformance.toml"
KEYS: Final = frozenset(
    {
        *("suite-version", "clients", "adapters", "commands", "levels", "strict"),
        *("timeout", "off", "on", "expected-failure"),
    }
)
_SWITCH: Final = frozenset({"case", "area", "reason"})
_XFAIL: Final = frozenset({"case", "client", "reason", "link", "versions", "until"})

Json = dict[str, Any]


class ConfigError(ValueError):
    """The file says what cannot be meant; the text is one line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Switch:
    """A case or an area that is switched off, or a case that is on all the same."""

    reason: str
    case: str = ""
    area: str = ""

    def meets(self, made: Case) -> bool:
        """Say whether it is about a case."""
        return self.case == made.id if self.case else self.area == made.area


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """What the file says; the default is what holds without one.

    Attributes:
        levels: Of which a case may be red.
        expected: Expected failures: the client (empty: all of them), the case, why.
    """

    place: str = ""
    suite_version: str = ""
    clients: tuple[str, ...] = ()
    adapters: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()
    levels: frozenset[Level] = frozenset(Level)
    strict: bool = False
    timeout: float | None = None
    off: tuple[Switch, ...] = ()
    on: tuple[Switch, ...] = ()
    expected: tuple[tuple[str, str, Xfail], ...] = ()

    def switched_off(self, made: Case) -> str | None:
        """Return why a case is not to run, None if it is."""
        if any(switch.meets(made) for switch in self.on):
            return None
        for switch in self.off:
            if switch.meets(made):
                return f"switched off: {switch.reason}"
        return None

    def xfails_of(self, client: str, own: Mapping[str, Xfail]) -> dict[str, Xfail]:
        """Return a client's expected failures; the file's win over its own."""
        made = dict(own)
        for name, case, xfail in self.expected:
            if name in ("", client):
                made[case] = xfail
        return made

    def check(self, suite: Mapping[str, Case]) -> None:
        """Make sure that every case and area exists.

        Raises:
            ConfigError: One does not.
        """
        areas = {made.area for made in suite.values()}
        for switch in (*self.off, *self.on):
            if switch.case and switch.case not in suite:
                raise ConfigError(f"{self.place}: {switch.case} is no case")
            if switch.area and switch.area not in areas:
                raise ConfigError(
                    f"{self.place}: {switch.area} is no area; there are "
                    f"{', '.join(sorted(areas))}"
                )
        for _, case, xfail in self.expected:
            if case not in suite:
                raise ConfigError(f"{xfail.place}: {case} is no case")

    def check_clients(self, names: Collection[str]) -> None:
        """Make sure that expected failures are about clients of this run, or known.

        Raises:
            ConfigError: They name a client that the file does not.
        """
        for client, case, _ in self.expected:
            if client and client not in names:
                raise ConfigError(
                    f"{self.place}: expected-failure of {case}: {client!r} is no "
                    f"client; there are {', '.join(sorted(names))}"
                )


def find_config(name: str | None) -> Config:
    """Return the file named, or the one in the current folder; else the default.

    Raises:
        ConfigError: It cannot be read, or something in it is wrong.
    """
    if name is not None:
        return read_config(Path(name))
    file = Path(NAME)
    return read_config(file) if file.is_file() else Config()


def read_config(file: Path) -> Config:
    """Read a file.

    Raises:
        ConfigError: It cannot be read, or something in it is wrong.
    """
    try:
        table = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as err:
        reason = getattr(err, "strerror", None) or str(err)
        raise ConfigError(f"{file}: cannot be read: {reason}") from err
    except tomllib.TOMLDecodeError as err:
        raise ConfigError(f"{file}: is not TOML: {err}") from err
    return _Reader(str(file), table, file.parent).config()


@dataclass(frozen=True, slots=True)
class _Reader:
    where: str
    table: Json
    folder: Path = field(default_factory=Path)

    def config(self) -> Config:
        self._check_keys(self.table, KEYS, self.where)
        return Config(
            place=self.where,
            suite_version=self._typed("suite-version", str, ""),
            clients=self._texts("clients"),
            adapters=tuple(str(self.folder / f) for f in self._texts("adapters")),
            commands=self._texts("commands"),
            levels=self._levels(),
            strict=self._typed("strict", bool, default=False),
            timeout=self._timeout(),
            off=self._switches("off"),
            on=self._switches("on"),
            expected=tuple(
                self._expected(entry, place)
                for entry, place in self._tables("expected-failure", _XFAIL)
            ),
        )

    def _check_keys(self, table: Json, known: frozenset[str], place: str) -> None:
        unknown = sorted(table.keys() - known)
        if unknown:
            raise ConfigError(
                f"{place}: unknown key {unknown[0]!r}; known are "
                f"{', '.join(sorted(known))}"
            )

    def _typed(self, key: str, kind: type, default: Any) -> Any:  # noqa: ANN401 - as the kind says
        value = self.table.get(key, default)
        if not isinstance(value, kind):
            name = {str: "a text", bool: "true or false", list: "a list"}[kind]
            raise ConfigError(f"{self.where}: {key} must be {name}, not {value!r}")
        return value

    def _texts(self, key: str) -> tuple[str, ...]:
        values = self._typed(key, list, [])
        if not all(isinstance(value, str) for value in values):
            raise ConfigError(f"{self.where}: {key} must be a list of texts")
        return tuple(values)

    def _levels(self) -> frozenset[Level]:
        if "levels" not in self.table:
            return frozenset(Level)
        for value in self._texts("levels"):
            if value not in list(Level):
                raise ConfigError(
                    f"{self.where}: levels: {value!r} is none; there are "
                    f"{', '.join(Level)}"
                )
        return frozenset(Level(value) for value in self._texts("levels"))

    def _timeout(self) -> float | None:
        value = self.table.get("timeout")
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float) or value <= 0:
            raise ConfigError(
                f"{self.where}: timeout must be a number of seconds, not {value!r}"
            )
        return float(value)

    def _tables(self, key: str, known: frozenset[str]) -> Sequence[tuple[Json, str]]:
        entries = self._typed(key, list, [])
        made = []
        for number, entry in enumerate(entries, 1):
            place = f"{self.where}: [[{key}]] {number}"
            if not isinstance(entry, dict):
                raise ConfigError(f"{place} must be a table, not {entry!r}")
            self._check_keys(entry, known, place)
            for name, value in entry.items():
                if name != "until" and not isinstance(value, str):
                    raise ConfigError(f"{place}: {name} must be a text")
            if not entry.get("reason"):
                raise ConfigError(f"{place}: there must be a reason")
            made.append((entry, place))
        return made

    def _switches(self, key: str) -> tuple[Switch, ...]:
        made = []
        for entry, place in self._tables(key, _SWITCH):
            if ("case" in entry) == ("area" in entry):
                raise ConfigError(f"{place}: it is about either a case or an area")
            made.append(Switch(**entry))
        return tuple(made)

    def _expected(self, entry: Json, place: str) -> tuple[str, str, Xfail]:
        if not entry.get("case"):
            raise ConfigError(f"{place}: there must be a case")
        until = entry.get("until", "")
        if isinstance(until, datetime.datetime) or not isinstance(
            until, datetime.date | str
        ):
            raise ConfigError(f"{place}: until must be a day, not {until!r}")
        try:
            xfail = make_xfail(
                entry["reason"],
                entry.get("link", ""),
                place=place,
                versions=entry.get("versions", ""),
                until=str(until),
            )
        except AdapterError as err:
            raise ConfigError(str(err)) from err
        return entry.get("client", ""), entry["case"], xfail
