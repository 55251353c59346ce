"""What the command `fuzz` does with one client, once its options are understood."""

import json
import tempfile
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from conformance.client import Client
from conformance.fuzz.findings import FINDINGS
from conformance.fuzz.judge import Judge
from conformance.fuzz.report import (
    Origin,
    as_json,
    file_name,
    file_text,
    paragraph,
    replay_lines,
)
from conformance.fuzz.scenarios import to_toml
from conformance.fuzz.search import REPEATS, Search, search
from conformance.fuzz.strategies import plain

__all__ = ["replay_file", "search_client"]

Say = Callable[[str], None]

NOTHING: Final = 0
FOUND: Final = 1


def search_client(  # noqa: PLR0913 - the options of the command
    client: Client,
    chosen: Sequence[str],
    *,
    examples: int,
    seed: int,
    wanted: Collection[str],
    timeout: float,
    out: Path | None,
    json_file: Path | None,
    say: Say,
) -> int:
    """Look for a scenario that breaks a client, and write the smallest one.

    Args:
        client: Who pulls; it is installed.
        chosen: The options that named it.
        examples: How many scenarios to draw at most.
        seed: Of what is drawn.
        wanted: The findings to look for; empty: all of them.
        timeout: Deadline of one pull, in seconds.
        out: Where to write the scenario; None: under a name of its own, here.
        json_file: Where to write what came of it as JSON.
        say: Takes each line for the user.

    Returns 0 if nothing was found, 1 if something was, or nothing can be.
    """
    origin = Origin(client=client, chosen=chosen, seed=seed)
    with _judge(client, timeout) as judge:
        if _is_hopeless(origin, judge, say):
            return FOUND
        made = search(judge, examples=examples, seed=seed, wanted=wanted or FINDINGS)
    file = _tell_finding(origin, made, out, say)
    say(_tally(origin, made))
    if json_file is not None:
        text = json.dumps(as_json(origin, made, file), indent=1)
        json_file.write_text(f"{text}\n", encoding="utf-8")
    return NOTHING if file is None else FOUND


def replay_file(client: Client, file: Path, *, timeout: float, say: Say) -> int:
    """Judge one scenario file; returns as ``search_client`` does.

    Raises:
        ScenarioError: The file cannot be read, or nothing of it can be pulled.
    """
    origin = Origin(client=client, chosen=())
    with _judge(client, timeout) as judge:
        if _is_hopeless(origin, judge, say):
            return FOUND
        trial = judge.judge(file)
    if trial.finding is not None:
        for line in paragraph(origin, trial.finding, trial.evidence):
            say(line)
        return FOUND
    how = "pulls" if trial.pulled else "refuses"
    met = "" if trial.met else ", and meets no fault"
    say(f"nothing found - {origin.name} {how} the image of {file}{met}")
    return NOTHING


@contextmanager
def _judge(client: Client, timeout: float) -> Iterator[Judge]:
    with tempfile.TemporaryDirectory(prefix="pull-conformance-") as folder:
        try:
            client.setup()
            yield Judge(client, Path(folder), timeout)
        finally:
            client.teardown()


def _is_hopeless(origin: Origin, judge: Judge, say: Say) -> bool:
    """Say so if nothing can be learned from how this client fails: it always does."""
    file = judge.folder / "plain.toml"
    file.write_text(to_toml(plain(judge.client.features)), encoding="utf-8")
    trial = judge.judge(file)
    if trial.pulled and trial.finding is None:
        return False
    say(f"nothing to fuzz: {origin.name} does not pull a plain image")
    if trial.finding is not None:
        why = trial.finding.text
    else:
        pull = trial.evidence["pulls"][0]
        why = pull["error"] or pull["stderr"] or f"exit status {pull['exit']}"
    say(f"  {' '.join(why.split())}")
    return True


def _tell_finding(
    origin: Origin, made: Search, out: Path | None, say: Say
) -> Path | None:
    """Write and tell what was found; return the scenario file, None without any."""
    if made.document is None or made.trial is None or made.trial.finding is None:
        return None
    finding, document = made.trial.finding, made.document
    file = out or file_name(finding, document)
    file.write_text(file_text(origin, finding, document), encoding="utf-8")
    for line in paragraph(origin, finding, made.trial.evidence, document):
        say(line)
    if made.again < REPEATS:
        say(f"It was found again in {made.again} of {REPEATS} more trials.")
    for line in replay_lines(origin, file):
        say(line)
    return file


def _tally(origin: Origin, made: Search) -> str:
    found = "nothing found" if made.document is None else "found"
    return (
        f"{found} - {origin.name}, seed {origin.seed}: {made.tried} scenarios, faults "
        f"met in {made.met}, the image pulled in {made.pulled}"
    )
