"""What a user is told of a search: a paragraph, a scenario file, JSON."""

import shlex
import tempfile
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from conformance import __version__
from conformance.client import Client
from conformance.contract import Json
from conformance.explain import exchange_line
from conformance.fuzz.findings import FINDINGS, Finding
from conformance.fuzz.judge import PLATFORM
from conformance.fuzz.scenarios import (
    BY_DIGEST,
    Document,
    short_hash,
    summary,
    to_toml,
)
from conformance.fuzz.search import REPEATS, Search
from fakeregistry import Image
from fakeregistry.scenario import read_scenario

__all__ = [
    "Origin",
    "as_json",
    "file_name",
    "file_text",
    "paragraph",
    "replay_lines",
]

WIDTH: Final = 80
PORT: Final = 5000
#: Of a longer journal only the beginning and the end are shown.
SHOWN: Final = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Whence a finding comes.

    Attributes:
        client: Who was judged.
        chosen: The options that named it, such as ``("--client", "skopeo")``.
        seed: Of the search; None where a file was replayed.
    """

    client: Client
    chosen: Sequence[str]
    seed: int | None = None

    @property
    def name(self) -> str:
        """The client and its version."""
        return f"{self.client.name} {self.client.version}"


def file_name(finding: Finding, document: Document) -> Path:
    """Return the name of a scenario file that was given none."""
    return Path(f"fuzz-{finding.name}-{short_hash(document)}.toml")


def file_text(origin: Origin, finding: Finding, document: Document) -> str:
    """Return the scenario file of a finding; the same finding gives the same text."""
    comments = [
        f"Found by `pull-conformance fuzz` with {origin.name}, seed {origin.seed}.",
        f"Finding: {finding.name} ({FINDINGS[finding.name]})",
    ]
    return to_toml(document, comments)


def paragraph(
    origin: Origin, finding: Finding, evidence: Json, document: Document | None = None
) -> Iterator[str]:
    """Yield the lines that tell a finding.

    Args:
        origin: Whence it comes.
        finding: What is wrong with the client.
        evidence: Of the scenario that shows it.
        document: The scenario; None where its file is told already.
    """
    yield f"{origin.name}: {finding.name} ({FINDINGS[finding.name]})"
    yield from _wrapped(finding.text)
    if document is not None:
        yield "The scenario:"
        yield from _wrapped(summary(document))
    yield "What was asked, and answered:"
    exchanges = evidence["exchanges"]
    lines = [f"  {exchange_line(exchange)}" for exchange in exchanges]
    if len(lines) > SHOWN:
        left = len(lines) - SHOWN
        half = SHOWN // 2
        lines = [*lines[:half], f"  ... and {left} more", *lines[-half:]]
    yield from lines or ["  nothing"]
    for pull in evidence["pulls"]:
        how = "success" if pull["ok"] else "failure"
        yield f"  pull of {pull['ref']}: {how}"


def replay_lines(origin: Origin, file: Path) -> Iterator[str]:
    """Yield the commands that show a finding again."""
    name = shlex.quote(str(file))
    yield "To see it again:"
    yield f"  fakeregistry serve --scenario {name} --port {PORT}"
    yield from (f"  {line}" for line in _by_hand(origin.client, file))
    chosen = shlex.join(origin.chosen)
    yield f"or  pull-conformance fuzz --replay {name} {chosen}".rstrip()


def _by_hand(client: Client, file: Path) -> Iterator[str]:
    """Yield the client's own command for the registry that the line above starts."""
    tell = getattr(client.adapter, "command_line", None)
    if tell is None:
        return
    scenario = read_scenario(file)
    root = tempfile.mkdtemp(prefix="pull-conformance-fuzz-")
    argv, env = tell(_request(scenario.images[0], scenario.arguments, root, client))
    words = [f"{key}={value}" for key, value in env.items()]
    prefix = ["env", *words] if words else []
    yield f"cd {shlex.quote(root)} && {shlex.join([*prefix, *argv])}"


def _request(image: Image, arguments: Any, root: str, client: Client) -> Json:  # noqa: ANN401 - the keywords of Registry
    tls = bool(arguments.get("tls"))
    auth = arguments.get("auth")
    host = f"127.0.0.1:{PORT}"
    by_digest = image.tag == BY_DIGEST
    end = f"@{image.digest}" if by_digest else f":{image.tag}"
    platform = len(image.documents) > 1 and "platform" in client.features
    return {
        "ref": f"{host}/{image.repository}{end}",
        "registry": host,
        "root": root,
        "platform": PLATFORM if platform else None,
        "all_platforms": False,
        "all_metadata": False,
        "unpack": False,
        "max_concurrent_downloads": None,
        "plain_http": not tls,
        # `fakeregistry serve` says where it has its authority.
        "ca": "ca.pem" if tls else None,
        "username": auth.username if auth else None,
        "password": auth.password if auth else None,
        "labels": {},
        "hosts_dir": None,
    }


def as_json(origin: Origin, made: Search, file: Path | None) -> Json:
    """Return a search as data.

    Args:
        origin: Of whom, and with which seed.
        made: What came of it.
        file: The scenario file, if one was written.
    """
    client = {"name": origin.client.name, "version": origin.client.version}
    told: Json = {
        "suite": __version__,
        "client": client,
        "seed": origin.seed,
        "tried": made.tried,
        "pulled": made.pulled,
        "met": made.met,
        "finding": None,
    }
    if made.trial is not None and made.trial.finding is not None:
        told["finding"] = {
            "name": made.trial.finding.name,
            "text": made.trial.finding.text,
            "again": made.again,
            "repeats": REPEATS,
            "file": None if file is None else str(file),
            "scenario": to_toml(made.document or {}),
            "evidence": made.trial.evidence,
        }
    return told


def _wrapped(text: str) -> Iterator[str]:
    for line in text.splitlines():
        yield from textwrap.wrap(
            line,
            WIDTH,
            initial_indent="  ",
            subsequent_indent="  ",
            break_on_hyphens=False,
            break_long_words=False,
        )
