"""A client described by a TOML file: the command of a pull and where it writes.

    name = "skopeo"
    features = ["content", "plain-http"]
    pull = ["skopeo", "copy", "docker://{ref}", "oci:{root}/layout:image"]
    version = { command = ["skopeo", "--version"] }
    [result]
    kind = "oci-layout"
    path = "{root}/layout"

ADAPTER.md explains every key. The file is checked strictly: a misspelt key, a
wrong type or an unknown placeholder is an error, never silently ignored.
"""

import re
import shutil
import tempfile
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from conformance.case import Feature
from conformance.client import ClientInfo
from conformance.contract import (
    AdapterError,
    Json,
    OnCancel,
    check_features,
    check_name,
    failure,
)
from conformance.layouts import READERS, UNREADABLE
from conformance.process import Ended, Process, client_environment, run
from conformance.request import placeholder_values, switches
from conformance.template import (
    ALWAYS,
    Template,
    check_text,
    fill,
    names,
    parse_template,
)

__all__ = ["CommandAdapter", "is_template"]

KEYS: Final = frozenset(
    {
        *("name", "description", "homepage", "install", "version", "features"),
        *("pull", "env", "folders", "result"),
    }
)
#: What a file on disk cannot show; it takes an executable or a Python adapter.
UNSHOWABLE: Final = frozenset(
    {
        *(Feature.LABELS, Feature.LEASES, Feature.GC, Feature.INGESTS),
        *(Feature.SNAPSHOTS, Feature.UNPACK),
    }
)
#: A claim that needs one of these placeholders or switches in the command.
NEEDED: Final[Mapping[Feature, tuple[str, ...]]] = {
    Feature.BASIC_AUTH: ("username",),
    Feature.TOKEN_AUTH: ("username",),
    Feature.TLS: ("ca", "ca_dir", "hosts_dir"),
    Feature.PLATFORM: ("platform", "os", "arch"),
    Feature.LIMIT: ("max_concurrent_downloads",),
    Feature.ALL_PLATFORMS: ("all_platforms",),
    Feature.ALL_METADATA: ("all_metadata",),
    Feature.MIRRORS: ("hosts_dir",),
}
VERSION: Final = r"(\d+(?:\.\d+)+\S*)"
QUICK: Final = 10.0
_LOGFMT: Final = re.compile(r"""level=\w+ msg="((?:[^"\\]|\\.)*)\"""")


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandAdapter:
    """Runs a command for every pull and reads what it wrote."""

    info: ClientInfo
    pull_template: Template
    program: str
    env: Mapping[str, str] = field(default_factory=dict)
    folders: tuple[str, ...] = ()
    version_command: tuple[str, ...] = ()
    version_pattern: re.Pattern[str] = field(default=re.compile(VERSION))
    result_kind: str = "none"
    result_path: str = "{root}"

    @classmethod
    def read(cls, file: Path) -> "CommandAdapter":
        """Read an adapter file.

        Raises:
            AdapterError: It is absent, broken or says what nobody understands.
        """
        try:
            table = tomllib.loads(file.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as err:
            reason = getattr(err, "strerror", None) or str(err)
            raise AdapterError(f"{file}: cannot be read: {reason}") from err
        except tomllib.TOMLDecodeError as err:
            raise AdapterError(f"{file}: is not TOML: {err}") from err
        return _Reader(str(file), table, file.parent).adapter()

    @classmethod
    def from_words(cls, words: Sequence[str]) -> "CommandAdapter":
        """Make an adapter of a command line that holds ``{ref}``.

        Its store cannot be read back, so it claims only what a command shows.

        Raises:
            AdapterError: A placeholder is unknown or may be without a value.
        """
        where = "--command"
        template = parse_template(list(words), where=where)
        name = check_name(Path(words[0]).name, where=where)
        features = frozenset({Feature.PLAIN_HTTP, Feature.DIGEST_REF})
        return cls(
            info=ClientInfo(name=name, kind="command", features=features),
            pull_template=template,
            program=words[0],
        )

    def installed(self) -> str | None:
        """Return None if the program is there, or how to install it."""
        if shutil.which(self.program):
            return None
        how = f"; install it with: {self.info.install}" if self.info.install else ""
        return f"{self.program}: not found{how}"

    def capabilities(self) -> Json:
        """Return name, version and features."""
        version = "unknown" if self.installed() else self._version()
        return {
            "name": self.info.name,
            "version": version,
            "features": sorted(self.info.features),
        }

    def pull(self, request: Json, on_cancel: OnCancel) -> Json:
        """Run the command of a pull."""
        root = Path(request["root"])
        argv, own = self.command_line(request)
        process = Process(argv, env=client_environment(root) | own, cwd=root)
        on_cancel(process.stop)
        return _result(process.wait())

    def command_line(self, request: Json) -> tuple[list[str], dict[str, str]]:
        """Return the command of a pull and the variables that it is given.

        The folders that it needs exist afterwards.
        """
        values = placeholder_values(request, self._wanted)
        for folder in self.folders:
            Path(fill(folder, values)).mkdir(parents=True, exist_ok=True)
        argv = self.pull_template.fill(values, switches(request))
        own = {
            name: fill(text, values)
            for name, text in self.env.items()
            if names(text) <= values.keys()
        }
        return [self.program, *argv[1:]], own

    def inspect(self, request: Json) -> Json:
        """Read what the commands wrote below a root."""
        path = Path(fill(self.result_path, {"root": request["root"]}))
        return READERS[self.result_kind](path)

    @property
    def _wanted(self) -> frozenset[str]:
        own = frozenset[str]().union(*(names(text) for text in self.env.values()))
        return own | self.pull_template.mentioned

    def _version(self) -> str:
        if not self.version_command:
            return "unknown"
        with tempfile.TemporaryDirectory(prefix="pull-conformance-") as root:
            env = client_environment(root)
            ended = run(self.version_command, env=env, timeout=QUICK)
        said = (ended.stdout + b"\n" + ended.stderr).decode(errors="replace")
        found = self.version_pattern.search(said)
        if ended.died or not found:
            shown = ended.died or f"said {ended.last_line()!r}"
            raise AdapterError(f"{self.info.name}: no version: {shown}")
        return found[1] if found.re.groups else found[0]


def is_template(words: Sequence[str]) -> bool:
    """Whether a command line has holes, and so is no executable of the contract."""
    return any("{ref}" in word or names(word) & ALWAYS for word in words)


def _result(ended: Ended) -> Json:
    said = {
        "stdout": ended.stdout.decode(errors="replace"),
        "stderr": ended.stderr.decode(errors="replace"),
    }
    if ended.died is not None:
        return {**failure(ended.died, died=ended.died), **said, "exit": ended.exit}
    error = None
    if ended.exit != 0:
        text = _message(ended.last_line()) or f"exit status {ended.exit}"
        error = {"class": "", "message": text}
    return {"ok": ended.exit == 0, "exit": ended.exit, "error": error, **said}


def _message(line: str) -> str:
    """Return the message of a line in logfmt, as Go's logrus writes; else the line."""
    found = _LOGFMT.search(line)
    return found[1].replace('\\"', '"') if found else line


class _Reader:
    """Turns the table of an adapter file into an adapter, checking everything."""

    def __init__(self, where: str, table: dict[str, Any], folder: Path) -> None:
        self._where = where
        self._table = table
        self._folder = folder

    def adapter(self) -> CommandAdapter:
        """Return the adapter that the file describes."""
        self._check_keys(self._table, KEYS, "")
        template = parse_template(self._table.get("pull"), where=self._at("pull"))
        kind, path = self._result()
        features = check_features(self._table.get("features", []), where=self._where)
        env = self._texts("env")
        version, pattern = self._version()
        self._check_claims(features, template, env, kind)
        return CommandAdapter(
            info=ClientInfo(
                name=check_name(self._table.get("name"), where=self._at("name")),
                kind="command",
                description=self._text("description"),
                homepage=self._text("homepage"),
                install=self._text("install"),
                features=features,
            ),
            pull_template=template,
            program=self._program(self._table["pull"][0]),
            env=env,
            folders=self._folders(),
            version_command=version,
            version_pattern=pattern,
            result_kind=kind,
            result_path=path,
        )

    def _at(self, key: str) -> str:
        return f"{self._where}: {key}"

    def _check_keys(
        self, table: Mapping[str, Any], known: frozenset[str], inside: str
    ) -> None:
        unknown = sorted(table.keys() - known)
        if unknown:
            raise AdapterError(
                f"{self._where}: unknown key {inside}{unknown[0]}; known are "
                f"{', '.join(sorted(known))}"
            )

    def _text(self, key: str) -> str:
        value = self._table.get(key, "")
        if not isinstance(value, str):
            raise AdapterError(f"{self._at(key)} must be a text, not {value!r}")
        return value

    def _table_of(self, key: str, known: frozenset[str] | None) -> dict[str, Any]:
        value = self._table.get(key, {})
        if not isinstance(value, dict):
            raise AdapterError(f"{self._at(key)} must be a table, not {value!r}")
        if known is not None:
            self._check_keys(value, known, f"{key}.")
        return value

    def _texts(self, key: str) -> dict[str, str]:
        table = self._table_of(key, None)
        return {
            k: check_text(v, where=self._at(f"{key}.{k}")) for k, v in table.items()
        }

    def _folders(self) -> tuple[str, ...]:
        value = self._table.get("folders", [])
        if not isinstance(value, list):
            raise AdapterError(f"{self._at('folders')} must be a list, not {value!r}")
        folders = tuple(check_text(v, where=self._at("folders")) for v in value)
        for folder in folders:
            if not folder.startswith("{root}") or names(folder) - ALWAYS:
                raise AdapterError(
                    f"{self._at('folders')}: {folder!r} must start with {{root}} and "
                    f"have placeholders only that always have a value"
                )
        return folders

    def _program(self, word: str) -> str:
        # A path is relative to the file that names it, not to where a user stands.
        is_path = "/" in word and not Path(word).is_absolute()
        return str(self._folder.resolve() / word) if is_path else word

    def _version(self) -> tuple[tuple[str, ...], re.Pattern[str]]:
        table = self._table_of("version", frozenset({"command", "pattern"}))
        pattern = table.get("pattern", VERSION)
        try:
            compiled = re.compile(pattern)
        except (re.error, TypeError) as err:
            raise AdapterError(f"{self._at('version.pattern')}: {err}") from err
        command = table.get("command", [])
        if not isinstance(command, list) or not all(
            isinstance(word, str) for word in command
        ):
            raise AdapterError(f"{self._at('version.command')} must be a list of texts")
        if table and not command:
            raise AdapterError(f"{self._at('version')} must have a command")
        return (tuple(map(self._program, command[:1])) + tuple(command[1:])), compiled

    def _result(self) -> tuple[str, str]:
        table = self._table_of("result", frozenset({"kind", "path"}))
        kind = table.get("kind", "none")
        where = self._at("result.kind")
        if kind in UNREADABLE:
            raise AdapterError(f"{where}: there is no reader of {kind} yet")
        if kind not in READERS:
            raise AdapterError(
                f"{where}: {kind!r} is unknown; known are {', '.join(sorted(READERS))}"
            )
        if kind != "none" and "path" not in table:
            raise AdapterError(f"{self._at('result')} must have a path")
        path = check_text(table.get("path", "{root}"), where=self._at("result.path"))
        if names(path) - {"root"}:
            raise AdapterError(f"{self._at('result.path')} may hold {{root}} only")
        return kind, path

    def _check_claims(
        self,
        features: frozenset[Feature],
        template: Template,
        env: Mapping[str, str],
        kind: str,
    ) -> None:
        told = template.mentioned.union(*(names(text) for text in env.values()))
        for feature in sorted(features):
            needed = NEEDED.get(feature, ())
            if needed and told.isdisjoint(needed):
                raise AdapterError(
                    f"{self._at('features')}: {feature} is claimed, but neither pull "
                    f"nor env uses {' or '.join(needed)}"
                )
            unshowable = feature in UNSHOWABLE or (
                kind == "none" and feature in {Feature.CONTENT, Feature.IMAGE_RECORD}
            )
            if unshowable:
                raise AdapterError(
                    f"{self._at('features')}: {feature} is claimed, but result.kind "
                    f"{kind} cannot show it"
                )
