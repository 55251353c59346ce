"""Where the results of a run meet: the process that pytest was started in.

Under xdist that is the controller. Results arrive with pytest's reports; when the
run is over they are judged together, the reports are written, and the exit status
is set.
"""

import re
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final, TextIO

import pytest

from conformance.report.html import write_html
from conformance.report.json import write_json
from conformance.report.junit import write_junit
from conformance.report.run import ClientRun, Run
from conformance.report.terminal import Progress, print_run
from conformance.verdict import Outcome, Raw, Result, judge_all, result_of

if TYPE_CHECKING:
    from conformance.session import Session

_CASE_NODE: Final = re.compile(r"([\w-]+)\.py::(\w+)\[(.+)\]$")
#: pytest's exit statuses after which the verdicts decide.
_DECIDED_BY_VERDICTS: Final = frozenset(
    {
        pytest.ExitCode.OK,
        pytest.ExitCode.TESTS_FAILED,
        pytest.ExitCode.NO_TESTS_COLLECTED,
    }
)


@dataclass(eq=False)
class Screen:
    """Where `pull-conformance run` shows progress, and takes the run to print it.

    A plugin without hooks, found by its type: the one thing that a front has to
    give to the process in which results meet.
    """

    file: TextIO
    run: Run | None = None


class Gatherer:
    """Collects results and says what came of them."""

    def __init__(self, config: pytest.Config, session: "Session") -> None:
        self._config = config
        self._session = session
        self._started = datetime.now(UTC)
        self._clock = time.monotonic()
        self._results: dict[tuple[str, str], Result] = {}
        self._broken: list[str] = []
        self._run: Run | None = None
        self._screen = next(
            (p for p in config.pluginmanager.get_plugins() if isinstance(p, Screen)),
            None,
        )
        self._progress = Progress(None if self._screen is None else self._screen.file)

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Learn how many cases there will be."""
        self._progress.total = max(self._progress.total, len(session.items))

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(
        self, node: object, ids: Sequence[str]
    ) -> None:
        """Learn the same from a worker."""
        self._progress.total = len(ids)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take the result of a case out of pytest's report."""
        data = getattr(report, "conformance", None)
        if data is not None:
            result = Result.from_json(data)
            self._results[result.client, result.id] = result
            self._progress.show(len(self._results), f"{result.client} {result.id}")
        elif report.failed:
            self._lost(report)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Note a module that cannot be collected."""
        if report.failed:
            lines = str(report.longrepr).strip().splitlines() or ["no reason given"]
            self._broken.append(f"cannot collect {report.nodeid}: {lines[-1]}")

    def pytest_internalerror(self, excrepr: object) -> None:
        """Note that pytest or a plugin broke."""
        lines = str(excrepr).strip().splitlines() or ["no reason given"]
        self._broken.append(f"internal error: {lines[-1]}")

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """Judge, write the reports and decide the exit status."""
        self._progress.clear()
        if exitstatus not in _DECIDED_BY_VERDICTS and not self._broken:
            self._broken.append("interrupted: not every case ran")
        if self._config.option.collectonly or exitstatus == pytest.ExitCode.USAGE_ERROR:
            return
        self._run = self._judged()
        self._write()
        session.exitstatus = self._run.exit_status

    @pytest.hookimpl(trylast=True)
    def pytest_unconfigure(self) -> None:
        """Print the report, below whatever pytest printed."""
        if self._run is None:
            return
        if self._screen is not None:
            self._screen.run = self._run
        else:
            print_run(self._run, sys.stdout)

    def _judged(self) -> Run:
        order = {case: place for place, case in enumerate(self._session.suite)}
        judged = judge_all(
            sorted(self._results.values(), key=lambda r: order.get(r.id, len(order)))
        )
        return Run(
            started=self._started,
            seconds=time.monotonic() - self._clock,
            strict=self._session.strict,
            trace=self._config.option.conformance_trace,
            shard=str(self._session.shard or ""),
            suite_version=self._session.suite_version,
            broken=tuple(self._broken),
            clients=tuple(
                ClientRun(
                    name=client.name,
                    version=client.version,
                    features=tuple(sorted(client.features)),
                    cases=tuple(j for j in judged if j.result.client == client.name),
                )
                for client in self._session.clients.values()
            ),
        )

    def _write(self) -> None:
        if self._run is None:
            return
        option = self._config.option
        for file, write in (
            (option.conformance_json, write_json),
            (option.conformance_junit, write_junit),
            (option.conformance_html, write_html),
        ):
            if file is None:
                continue
            try:
                write(self._run, Path(file))
            except OSError as err:
                self._broken.append(f"cannot write {file}: {err.strerror or err}")
                self._run = self._judged()

    def _lost(self, report: pytest.TestReport) -> None:
        """Note a failure that brought no result, as when a worker crashes."""
        lines = str(report.longrepr).strip().splitlines() or ["no reason given"]
        found = _CASE_NODE.search(report.nodeid)
        if found is not None:
            area, name, client = found.groups()
            case = f"{area}.{name.removeprefix('test_')}".replace("_", "-")
            made = self._session.suite.get(case)
            if made is not None:
                raw = Raw(outcome=Outcome.ERROR, reason=lines[-1])
                self._results[client, case] = result_of(made, raw, client=client)
                return
        self._broken.append(f"{report.nodeid}: {lines[-1]}")
