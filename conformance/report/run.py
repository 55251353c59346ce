"""What a run found, as every report takes it."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from conformance import __version__
from conformance.verdict import Judged, Verdict, exit_status

#: Which cases carry what went over the wire.
TRACES: Final = ("all", "failures", "none")


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
        trace: Of which cases the wire is written to JSON: one of `TRACES`.
        shard: Such as "1/4" for a part of a run, empty for a whole one.
        suite_version: The released version whose cases alone count, if one was named.
    """

    started: datetime
    seconds: float
    strict: bool
    clients: tuple[ClientRun, ...]
    broken: Sequence[str] = ()
    suite: str = __version__
    trace: str = "failures"
    shard: str = ""
    suite_version: str = ""

    @property
    def cases(self) -> tuple[Judged, ...]:
        """The cases of every client."""
        return tuple(one for client in self.clients for one in client.cases)

    @property
    def exit_status(self) -> int:
        """0: all that counts passed. 1: not. 3: nothing ran.

        A shard in which nothing was judged is no failure; whether anything was, is
        for `merge` to say.
        """
        if self.broken:
            return 1
        status = exit_status(self.cases, strict=self.strict)
        return 0 if status == 3 and self.shard else status
