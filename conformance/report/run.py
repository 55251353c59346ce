"""What a run found, as every report takes it."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from conformance import __version__
from conformance.verdict import Judged, Verdict, exit_status


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientRun:
    """One client and what was said of it."""

    name: str
    version: str
    features: tuple[str, ...]
    cases: tuple[Judged, ...]

    @property
    def totals(self) -> Counter[Verdict]:
        """How often each verdict was given."""
        return Counter(one.verdict for one in self.cases)


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A run of the suite.

    Attributes:
        broken: What went wrong outside any case, one line each.
    """

    started: datetime
    seconds: float
    strict: bool
    clients: tuple[ClientRun, ...]
    broken: Sequence[str] = ()
    suite: str = __version__

    @property
    def cases(self) -> tuple[Judged, ...]:
        """The cases of every client."""
        return tuple(one for client in self.clients for one in client.cases)

    @property
    def exit_status(self) -> int:
        """0: all that counts passed. 1: not. 3: nothing ran."""
        return 1 if self.broken else exit_status(self.cases, strict=self.strict)
