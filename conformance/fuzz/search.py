"""Many scenarios, one client: the first finding, made as small as it gets."""

import tempfile
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import hypothesis
from hypothesis import HealthCheck, Phase, Verbosity
from hypothesis.configuration import set_hypothesis_home_dir

from conformance.fuzz.findings import FINDINGS
from conformance.fuzz.judge import Judge, Trial
from conformance.fuzz.scenarios import Document, key_of, to_toml
from conformance.fuzz.strategies import scenarios

__all__ = ["REPEATS", "Search", "search"]

#: How often what was found is tried again: a race is not seen every time.
REPEATS: Final = 3


class _Found(Exception):
    """A client broke an invariant; one class for each, which never shrink together."""

    def __init__(self, document: Document) -> None:
        super().__init__("found")
        self.document = document


_CLASSES: Final = {name: type(f"Found_{name}", (_Found,), {}) for name in FINDINGS}


@dataclass(kw_only=True)
class Search:
    """What came of a search.

    Attributes:
        tried: How many different scenarios were judged.
        pulled: In how many of them the client pulled the image at the first try.
        met: In how many of them a request met a fault.
        document: The smallest scenario with the finding, if there is one.
        trial: How that went, the last time that it was found.
        again: In how many of ``REPEATS`` more trials it was found again.
    """

    tried: int = 0
    pulled: int = 0
    met: int = 0
    document: Document | None = None
    trial: Trial | None = None
    again: int = 0
    _known: dict[str, Trial] = field(default_factory=dict)

    def learn(self, document: Document, judge: Callable[[Document], Trial]) -> Trial:
        """Judge a scenario, each only once.

        What a client does may differ from time to time; to shrink one needs an
        oracle that does not.
        """
        key = key_of(document)
        if key not in self._known:
            trial = self._known[key] = judge(document)
            self.tried += 1
            self.pulled += trial.pulled
            self.met += trial.met > 0
        return self._known[key]


def search(
    judge: Judge, *, examples: int, seed: int, wanted: Collection[str] = FINDINGS
) -> Search:
    """Draw scenarios until the client breaks an invariant, and shrink that one.

    Args:
        judge: Who judges.
        examples: How many scenarios to draw at most.
        seed: Of what is drawn. The same seed gives the same scenarios, with the same
            version of hypothesis.
        wanted: The findings to look for; others are passed over.
    """
    made = Search()

    def judged(document: Document) -> Trial:
        file = judge.folder / "scenario.toml"
        file.write_text(to_toml(document), encoding="utf-8")
        return judge.judge(file)

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=examples,
        database=None,
        deadline=None,
        phases=(Phase.generate, Phase.shrink),
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
        verbosity=Verbosity.quiet,
        print_blob=False,
    )
    @hypothesis.given(scenarios(judge.client.features))
    def attempt(document: Document) -> None:
        finding = made.learn(document, judged).finding
        if finding is not None and finding.name in wanted:
            raise _CLASSES[finding.name](document)

    try:
        with _nothing_left():
            attempt()
    except _Found as err:
        _settle(made, err.document, judged)
    return made


def _settle(
    made: Search, document: Document, judged: Callable[[Document], Trial]
) -> None:
    """Keep what was found, and see whether it is found again."""
    made.document, made.trial = document, made.learn(document, judged)
    name = made.trial.finding and made.trial.finding.name
    for _ in range(REPEATS):
        trial = judged(document)
        if trial.finding is not None and trial.finding.name == name:
            made.again += 1
            made.trial = trial


@contextmanager
def _nothing_left() -> Iterator[None]:
    """Keep hypothesis from leaving a folder where the user is."""
    with tempfile.TemporaryDirectory(prefix="pull-conformance-") as folder:
        set_hypothesis_home_dir(Path(folder))
        try:
            yield
        finally:
            set_hypothesis_home_dir(None)
