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
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

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
from conformance.description import Description
from conformance.layouts import READERS
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
        *(Feature.HANDLERS, Feature.CONTENT_STORE),
    }
)
#: A claim that needs one of these placeholders or switches in the command.
NEEDED: Final[Mapping[Feature, tuple[str, ...]]] = {
    Feature.BASIC_AUTH: ("username", "docker_config"),
    Feature.TOKEN_AUTH: ("username", "docker_config"),
    Feature.TLS: ("ca", "ca_dir", "hosts_dir"),
    Feature.PLATFORM: ("platform", "os", "arch"),
    Feature.LIMIT: ("max_concurrent_downloads",),
    Feature.ALL_PLATFORMS: ("all_platforms",),
    Feature.ALL_METADATA: ("all_metadata",),
    Feature.MIRRORS: ("hosts_dir",),
}
#: What a reader leaves out.
HIDDEN: Final[Mapping[str, frozenset[Feature]]] = {
    "none": frozenset({Feature.CONTENT, Feature.IMAGE_RECORD}),
    "containerd": frozenset({Feature.IMAGE_RECORD}),
    "containers-storage": frozenset({Feature.CONTENT}),
    "docker": frozenset({Feature.CONTENT}),
    "files": frozenset({Feature.IMAGE_RECORD}),
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
        return cls.described(Description.read(file))

    @classmethod
    def described(cls, told: Description) -> "CommandAdapter":
        """Make an adapter of what an adapter file says.

        Raises:
            AdapterError: It says what nobody understands.
        """
        return _read_command(told)

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
        return [self.program, *argv[1:]], self._own(values)

    def inspect(self, request: Json) -> Json:
        """Read what the commands wrote below a root."""
        path = Path(fill(self.result_path, {"root": request["root"]}))
        return READERS[self.result_kind](path)

    @property
    def _wanted(self) -> frozenset[str]:
        own = frozenset[str]().union(*(names(text) for text in self.env.values()))
        return own | self.pull_template.mentioned

    def _own(self, values: Mapping[str, str]) -> dict[str, str]:
        """Return the variables of the adapter's own that have all their values."""
        return {
            name: fill(text, values)
            for name, text in self.env.items()
            if names(text) <= values.keys()
        }

    def _version(self) -> str:
        if not self.version_command:
            return "unknown"
        with tempfile.TemporaryDirectory(prefix="pull-conformance-") as root:
            env = client_environment(root) | self._own({})
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


def _read_command(told: Description) -> CommandAdapter:
    """Return the adapter that a file describes, everything of it checked."""
    told.check_keys(KEYS)
    template = parse_template(told.table.get("pull"), where=told.at("pull"))
    kind, path = told.result()
    features = check_features(told.table.get("features", []), where=told.where)
    env = told.texts("env")
    version, pattern = _version(told)
    _check_claims(told, features, template, env, kind)
    return CommandAdapter(
        info=told.info("command", features),
        pull_template=template,
        program=told.program(told.table["pull"][0]),
        env=env,
        folders=_folders(told),
        version_command=version,
        version_pattern=pattern,
        result_kind=kind,
        result_path=path,
    )


def _folders(told: Description) -> tuple[str, ...]:
    where = told.at("folders")
    value = told.table.get("folders", [])
    if not isinstance(value, list):
        raise AdapterError(f"{where} must be a list, not {value!r}")
    folders = tuple(check_text(v, where=where) for v in value)
    for folder in folders:
        if not folder.startswith("{root}") or names(folder) - ALWAYS:
            raise AdapterError(
                f"{where}: {folder!r} must start with {{root}} and "
                f"have placeholders only that always have a value"
            )
    return folders


def _version(told: Description) -> tuple[tuple[str, ...], re.Pattern[str]]:
    table = told.table_of("version", frozenset({"command", "pattern"}))
    pattern = table.get("pattern", VERSION)
    try:
        compiled = re.compile(pattern)
    except (re.error, TypeError) as err:
        raise AdapterError(f"{told.at('version.pattern')}: {err}") from err
    command = table.get("command", [])
    if not isinstance(command, list) or not all(
        isinstance(word, str) for word in command
    ):
        raise AdapterError(f"{told.at('version.command')} must be a list of texts")
    if table and not command:
        raise AdapterError(f"{told.at('version')} must have a command")
    return (tuple(map(told.program, command[:1])) + tuple(command[1:])), compiled


def _check_claims(
    told: Description,
    features: frozenset[Feature],
    template: Template,
    env: Mapping[str, str],
    kind: str,
) -> None:
    where = told.at("features")
    used = template.mentioned.union(*(names(text) for text in env.values()))
    for feature in sorted(features):
        needed = NEEDED.get(feature, ())
        if needed and used.isdisjoint(needed):
            raise AdapterError(
                f"{where}: {feature} is claimed, but neither pull "
                f"nor env uses {' or '.join(needed)}"
            )
        if feature in UNSHOWABLE or feature in HIDDEN.get(kind, ()):
            raise AdapterError(
                f"{where}: {feature} is claimed, but result.kind {kind} cannot show it"
            )
