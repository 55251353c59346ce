"""The pytest plugin that runs cases against clients and judges them.

    pytest -p conformance.plugin --pyargs conformance.cases --client skopeo -k verify

`pull-conformance run` is this with settings of its own. Every function that asks
for the fixture `bench` runs once a client. What it found goes with pytest's report
to where the run's results meet (conformance/gathering.py); pytest's own outcome
follows the verdict as far as it is known by then, so that -x and editors work.

Options that pytest or common plugins have under the same name carry a prefix here
(`--conformance-strict` is `--strict` of `pull-conformance run`).
"""

import fnmatch
from collections.abc import Generator, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, Literal

import pytest

from conformance.adapter import AdapterError
from conformance.bench import Bench
from conformance.case import (
    CaseError,
    ClientDied,
    DeadlineMissed,
    NotTestable,
)
from conformance.evidence import evidence_of
from conformance.gathering import Gatherer
from conformance.har import save_har
from conformance.report.run import TRACES
from conformance.selection import (
    client_of,
    duplicates,
    in_shard,
    item_case,
    with_twins,
)
from conformance.session import Session, open_session
from conformance.verdict import (
    Judged,
    Outcome,
    Raw,
    Result,
    Verdict,
    judge,
    not_testable_because,
    result_of,
)
from fakeregistry import GateTimeout, JournalTimeout

REASON_LIMIT: Final = 4000

_bench_key: Final = pytest.StashKey[Bench]()
_selected_key: Final = pytest.StashKey[bool]()
_raw_key: Final = pytest.StashKey[Raw]()
session_key: Final = pytest.StashKey[Session]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of the suite."""
    group = parser.getgroup("pull-conformance", "conformance of pull clients")
    add = group.addoption
    add("--client", action="append", default=[], metavar="NAME", help="a known client")
    add(
        "--adapter",
        action="append",
        default=[],
        metavar="FILE",
        help="a client described in TOML",
    )
    add(
        "--command",
        action="append",
        default=[],
        metavar="COMMAND",
        help="a client behind an executable that speaks the adapter contract",
    )
    add("--case", action="append", default=[], metavar="ID", help="run only this case")
    add("--area", action="append", default=[], metavar="A", help="run only this area")
    add("--level", action="append", default=[], metavar="L", help="run only this level")
    add(
        "--client-timeout",
        type=float,
        metavar="S",
        help="deadline of one run of the client, in seconds (default: 60)",
    )
    add(
        "--suite-version",
        metavar="V",
        help="let only the cases of this released version be red",
    )
    add("--shard", metavar="I/N", help="run the I-th of N parts")
    add(
        "--conformance-config",
        metavar="FILE",
        help="settings (default: pull-conformance.toml in the current folder)",
    )
    add(
        "--conformance-trace",
        choices=TRACES,
        default="failures",
        help="of which cases the JSON report has the wire (default: %(default)s)",
    )
    add(
        "--conformance-strict",
        action="store_true",
        help="a SHOULD that is not met is red, too",
    )
    add("--conformance-json", metavar="FILE", help="write the report as JSON")
    add("--conformance-junit", metavar="FILE", help="write the verdicts as JUnit XML")
    add("--conformance-html", metavar="FILE", help="write the report as one HTML page")
    add(
        "--conformance-har",
        metavar="DIR",
        help="write DIR/CLIENT/CASE.har of each case that did not pass",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Load the suite and the clients; anything wrong is said before a case runs."""
    if config.option.help or config.option.version:
        return
    try:
        session = open_session(config.option)
        config.stash[session_key] = session
        if not hasattr(config, "workerinput"):
            session.check_clients()
            config.pluginmanager.register(Gatherer(config, session), "conformance")
    except (AdapterError, CaseError, ValueError) as err:
        raise pytest.UsageError(str(err)) from err


def pytest_unconfigure(config: pytest.Config) -> None:
    """End what clients keep running."""
    session = config.stash.get(session_key, None)
    if session is not None:
        session.close()


def pytest_collect_file(
    file_path: Path, parent: pytest.Collector
) -> pytest.Module | None:
    """Collect the modules of cases, which are not called test_*.py."""
    session = parent.config.stash.get(session_key, None)
    if session is None or file_path.suffix != ".py":
        return None
    cases = Path(__file__).with_name("cases")
    patterns: Sequence[str] = parent.config.getini("python_files")
    if (
        file_path.parent != cases
        or file_path.name == "__init__.py"
        or any(fnmatch.fnmatch(file_path.name, pattern) for pattern in patterns)
        or parent.session.isinitpath(file_path)
    ):
        return None
    module: pytest.Module = pytest.Module.from_parent(parent, path=file_path)
    return module


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run every case once a client."""
    session = metafunc.config.stash.get(session_key, None)
    if session is not None and "bench" in metafunc.fixturenames:
        metafunc.parametrize("bench", list(session.clients), indirect=True)


@pytest.hookimpl(wrapper=True)
def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> Generator[None, None, None]:
    """Select what was asked for, with its twins, and put it in order."""
    for item in items:
        made = item_case(item)
        if made is not None:
            item.extra_keyword_matches.add(made.id)
    everything = list(items)
    yield
    session = config.stash[session_key]
    twice = duplicates(everything)
    if twice is not None:
        raise pytest.UsageError(f"{twice} is collected twice; a case is one scenario")
    selected = [
        item
        for item in items
        if (made := item_case(item)) is None or session.wanted.has(made)
    ]
    for item in everything:
        item.stash[_selected_key] = False
    for item in selected:
        item.stash[_selected_key] = True
    items[:] = in_shard(with_twins(selected, everything), session.shard)


@pytest.fixture
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    """A registry and a client for one case (conformance/bench.py)."""
    session = request.config.stash[session_key]
    client = session.ready(request.param)
    made = Bench(
        client,
        session.folder(),
        timeout=session.timeout,
        record_bodies=session.har is not None,
    )
    request.node.stash[_bench_key] = made
    yield made
    made.close()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Leave out a case on which the client cannot be judged."""
    made = item_case(item)
    if made is None or not client_of(item):
        return
    session = item.config.stash[session_key]
    client = session.clients[client_of(item)]
    reason = session.switched_off(made) or not_testable_because(made, client.features)
    if reason is not None:
        item.stash[_raw_key] = Raw(outcome=Outcome.NOT_TESTABLE, reason=reason)
        pytest.skip(reason)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Send what the case found with pytest's report."""
    report = yield
    made = item_case(item)
    if made is None or not client_of(item):
        return report
    raw = _raw(item, call, report)
    if raw is None:
        return report
    session = item.config.stash[session_key]
    client = session.clients[client_of(item)]
    bench = item.stash.get(_bench_key, None)
    listed = client.xfails.get(made.id)
    lapsed = None if listed is None else listed.lapsed(client.version)
    if listed is not None and lapsed is not None:
        listed = None
        if raw.outcome is Outcome.VIOLATED:
            raw = replace(raw, reason=f"{raw.reason}\n{lapsed}")
    result = replace(
        result_of(
            made,
            raw,
            client=client.name,
            xfail=None if listed is None else listed.reason,
            selected=item.stash.get(_selected_key, True),
            seconds=call.duration,
        ),
        xfail_link="" if listed is None else listed.link,
        uncounted=session.uncounted(made),
        trace=_trace(session, raw, bench, expected=listed is not None),
    )
    result = _with_har(session, result, bench)
    session.results[client.name, made.id] = result
    report.conformance = result.to_json()  # type: ignore[attr-defined]
    _restate(report, _judged_so_far(session, result), strict=session.strict)
    _redact(report, bench)
    return report


def _with_har(session: Session, result: Result, bench: Bench | None) -> Result:
    """Write the HAR file of a case if it is wanted; say it if that goes wrong."""
    if session.har is None or bench is None:
        return result
    complaint = save_har(session.har, _judged_so_far(session, result), bench)
    if not complaint:
        return result
    reason = "\n".join(filter(None, (result.raw.reason, complaint)))
    return replace(result, raw=replace(result.raw, reason=reason))


def _trace(
    session: Session, raw: Raw, bench: Bench | None, *, expected: bool
) -> dict[str, Any] | None:
    """Return the wire and the client's output, if a report may want them."""
    failed = raw.outcome in (Outcome.VIOLATED, Outcome.ERROR)
    if bench is None or not (
        session.trace == "all" or (session.trace == "failures" and (failed or expected))
    ):
        return None
    return evidence_of(bench)


def _raw(
    item: pytest.Item, call: pytest.CallInfo[None], report: pytest.TestReport
) -> Raw | None:
    """Return what a phase of a case tells, None if it tells nothing."""
    bench = item.stash.get(_bench_key, None)
    redact = str if bench is None else bench.redact
    observed = "" if bench is None else redact(bench.observed)
    if call.excinfo is None:
        if call.when != "call":
            return None
        return Raw(outcome=Outcome.SATISFIED, observed=observed)
    if _raw_key in item.stash:
        return item.stash[_raw_key]
    outcome = _outcome(call.when, call.excinfo.value)
    details = ""
    if outcome is Outcome.ERROR:
        reason = f"{call.when}: {call.excinfo.exconly(tryshort=True)}"
        details = redact(str(report.longrepr))
    else:
        reason = _why(call.excinfo.value, bench)
    return Raw(
        outcome=outcome,
        reason=redact(reason)[:REASON_LIMIT],
        observed=observed,
        details=details,
    )


def _why(error: BaseException, bench: Bench | None) -> str:
    """Return the reason of a case that did not hold."""
    text = str(error) or "assertion failed, without a message"
    if bench is None:
        return text
    if (lost := bench.obituary()) is not None:
        return lost
    waited = isinstance(error, GateTimeout | JournalTimeout)
    if waited and (ended := bench.ended()) is not None:
        return f"{ended}\n{text}"
    return text


def _outcome(when: str, error: BaseException) -> Outcome:
    match error:
        case NotTestable() | pytest.skip.Exception():
            return Outcome.NOT_TESTABLE
        case ClientDied() | DeadlineMissed():
            return Outcome.VIOLATED
        case AssertionError() | pytest.fail.Exception() if when == "call":
            return Outcome.VIOLATED
    return Outcome.ERROR


def _judged_so_far(session: Session, result: Result) -> Judged:
    """Judge with what is known in this process; the last word comes later."""
    twin = session.results.get((result.client, result.twin or ""))
    if twin is None:
        result = replace(result, twin=None)
    return judge(result, twin=twin)


def _restate(report: pytest.TestReport, judged: Judged, *, strict: bool) -> None:
    """Give pytest the outcome that goes with the verdict."""
    outcome: Literal["passed", "failed", "skipped"] = "passed"
    if judged.is_red(strict=strict):
        outcome = "failed"
    elif judged.verdict in (Verdict.NOT_TESTABLE, Verdict.KNOWN):
        outcome = "skipped"
    if outcome == "skipped":
        path, line = report.location[0], report.location[1] or 0
        report.longrepr = (path, line + 1, f"Skipped: {judged.reason}")
        if judged.verdict is Verdict.KNOWN:
            report.wasxfail = judged.reason
    elif outcome == "passed":
        report.longrepr = None
    elif report.outcome != "failed":
        report.longrepr = f"{judged.verdict}: {judged.reason}"
    report.outcome = outcome


def _redact(report: pytest.TestReport, bench: Bench | None) -> None:
    """Take secrets out of what pytest shows."""
    if bench is None:
        return
    report.sections = [(name, bench.redact(text)) for name, text in report.sections]
    if report.outcome == "failed" and report.longrepr is not None:
        shown = str(report.longrepr)
        clean = bench.redact(shown)
        if clean != shown:
            report.longrepr = clean
