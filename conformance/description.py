"""An adapter file: TOML, checked strictly.

A misspelt key, a wrong type or an unknown placeholder is an error of one line,
never silently ignored. What is common to all kinds of adapter files is here.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from conformance.case import Feature
from conformance.client import ClientInfo
from conformance.contract import AdapterError, check_name
from conformance.layouts import READERS
from conformance.template import check_text, names

__all__ = ["Description"]


@dataclass(frozen=True, slots=True)
class Description:
    """The table of an adapter file.

    Attributes:
        where: The file, for messages.
        table: What it says.
        folder: What relative paths in it are relative to.
    """

    where: str
    table: dict[str, Any]
    folder: Path

    @classmethod
    def read(cls, file: Path) -> "Description":
        """Read an adapter file.

        Raises:
            AdapterError: It is absent or no TOML.
        """
        try:
            table = tomllib.loads(file.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as err:
            reason = getattr(err, "strerror", None) or str(err)
            raise AdapterError(f"{file}: cannot be read: {reason}") from err
        except tomllib.TOMLDecodeError as err:
            raise AdapterError(f"{file}: is not TOML: {err}") from err
        return cls(str(file), table, file.parent)

    def at(self, key: str) -> str:
        """Return the place of a key, for messages."""
        return f"{self.where}: {key}"

    def check_keys(self, known: frozenset[str]) -> None:
        """Make sure that no key is unknown.

        Raises:
            AdapterError: One is.
        """
        self._check_keys(self.table, known, "")

    def info(self, kind: str, features: frozenset[Feature] = frozenset()) -> ClientInfo:
        """Return what the file tells of its client.

        Raises:
            AdapterError: It has no name, or something is no text.
        """
        return ClientInfo(
            name=check_name(self.table.get("name"), where=self.at("name")),
            kind=kind,
            description=self.text("description"),
            homepage=self.text("homepage"),
            install=self.text("install"),
            features=features,
        )

    def text(self, key: str) -> str:
        """Return a text, empty if it is absent.

        Raises:
            AdapterError: It is none.
        """
        value = self.table.get(key, "")
        if not isinstance(value, str):
            raise AdapterError(f"{self.at(key)} must be a text, not {value!r}")
        return value

    def table_of(self, key: str, known: frozenset[str] | None) -> dict[str, Any]:
        """Return a table, empty if it is absent.

        Args:
            key: Its name.
            known: The keys that it may have; any if None.

        Raises:
            AdapterError: It is none, or has an unknown key.
        """
        value = self.table.get(key, {})
        if not isinstance(value, dict):
            raise AdapterError(f"{self.at(key)} must be a table, not {value!r}")
        if known is not None:
            self._check_keys(value, known, f"{key}.")
        return value

    def texts(self, key: str) -> dict[str, str]:
        """Return a table of texts with placeholders.

        Raises:
            AdapterError: It is none, or a placeholder is unknown.
        """
        table = self.table_of(key, None)
        return {k: check_text(v, where=self.at(f"{key}.{k}")) for k, v in table.items()}

    def program(self, word: str) -> str:
        """Return a program as it can be run from anywhere."""
        # A path is relative to the file that names it, not to where a user stands.
        is_path = "/" in word and not Path(word).is_absolute()
        return str(self.folder.resolve() / word) if is_path else word

    def result(self) -> tuple[str, str]:
        """Return the kind of the result, and where it lies.

        Raises:
            AdapterError: There is no reader of that kind, or the path is wrong.
        """
        table = self.table_of("result", frozenset({"kind", "path"}))
        kind = table.get("kind", "none")
        if kind not in READERS:
            raise AdapterError(
                f"{self.at('result.kind')}: {kind!r} is unknown; known are "
                f"{', '.join(sorted(READERS))}"
            )
        if kind != "none" and "path" not in table:
            raise AdapterError(f"{self.at('result')} must have a path")
        path = check_text(table.get("path", "{root}"), where=self.at("result.path"))
        if names(path) - {"root"}:
            raise AdapterError(f"{self.at('result.path')} may hold {{root}} only")
        return kind, path

    def _check_keys(
        self, table: Mapping[str, Any], known: frozenset[str], inside: str
    ) -> None:
        unknown = sorted(table.keys() - known)
        if unknown:
            raise AdapterError(
                f"{self.where}: unknown key {inside}{unknown[0]}; known are "
                f"{', '.join(sorted(known))}"
            )
