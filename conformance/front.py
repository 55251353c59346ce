"""`pull-conformance run`: pytest with the suite's own settings.

Nothing of the folder or the machine it is started on leaks in: no ini file, no
conftest, no PYTEST_ADDOPTS, no plugins that happen to be installed (`-p NAME` loads
one). What it does not know itself it hands to pytest.
"""

import io
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from conformance.gathering import Screen
from conformance.report.terminal import print_run

_HERE: Final = Path(__file__).parent
#: Options of xdist; without one of them it is not loaded, which saves time.
_XDIST: Final = ("-n", "--numprocesses", "--dist", "--tx", "--maxprocesses", "-d")
#: Options that ask for output of pytest's own, which is not shown otherwise.
_SHOWING: Final = (
    *("-v", "-s", "-r", "-l", "--verbose", "--capture", "--showlocals", "--tb"),
    *("--pdb", "--durations", "--collect-only", "--co", "--fixtures"),
    *("--markers", "--setup", "--debug", "--version"),
)
_ENVIRONMENT: Final[Mapping[str, str | None]] = {
    "PYTEST_ADDOPTS": None,
    "PYTEST_PLUGINS": None,
    "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
}
_MISUSE: Final = 2
#: What it means that pytest ended so without a report, as with --collect-only.
_WITHOUT_REPORT: Final[Mapping[int, int]] = {
    pytest.ExitCode.OK: 0,
    pytest.ExitCode.NO_TESTS_COLLECTED: 3,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """What `pull-conformance run` was told, in its own words."""

    clients: Sequence[str] = ()
    adapters: Sequence[str] = ()
    commands: Sequence[str] = ()
    cases: Sequence[str] = ()
    areas: Sequence[str] = ()
    levels: Sequence[str] = ()
    strict: bool = False
    json: str | None = None
    junit: str | None = None
    html: str | None = None
    har: str | None = None
    timeout: float | None = None
    trace: str = "failures"
    shard: str | None = None
    suite_version: str | None = None
    config: str | None = None


def run_suite(options: RunOptions, rest: Sequence[str]) -> int:
    """Run the suite with pytest and return the exit status of `run`.

    Args:
        options: What the suite was told.
        rest: What pytest is given besides.
    """
    screen = Screen(sys.stdout)
    said, complaints = io.StringIO(), io.StringIO()
    shown = sys.stdout if _shows(rest) else said
    with (
        # pytest's own place for temporary folders is shared by all its runs on a
        # machine, and each cleans up after the others: what they left can break it.
        tempfile.TemporaryDirectory(prefix="pull-conformance-") as folder,
        _environment(_ENVIRONMENT),
        redirect_stdout(shown),
        redirect_stderr(complaints),
    ):
        status = int(
            pytest.main(
                [
                    f"--basetemp={folder}/pytest",
                    *_arguments(options, rest),
                    *rest,
                    *_where(rest),
                ],
                [screen],
            )
        )
    if status == pytest.ExitCode.USAGE_ERROR:
        text = _complaint(complaints.getvalue())
        sys.stderr.write(f"pull-conformance run: error: {text}\n")
        return _MISUSE
    sys.stderr.write(complaints.getvalue())
    if screen.run is not None:
        print_run(screen.run, screen.file)
        return screen.run.exit_status
    if shown is said:
        # Something went wrong before there was anything to report.
        sys.stderr.write(said.getvalue())
    return _WITHOUT_REPORT.get(status, 1)


def _shows(rest: Sequence[str]) -> bool:
    return any(word.startswith(_SHOWING) for word in rest)


def _arguments(options: RunOptions, rest: Sequence[str]) -> list[str]:
    made = ["-p", "conformance.plugin", "-p", "no:cacheprovider"]
    if not any(word.startswith("--tb") for word in rest):
        # For its own tracebacks pytest parses the module of every case that fails.
        made.append("--tb=native")
    if any(word.startswith(_XDIST) for word in rest):
        made += ["-p", "xdist.plugin"]
    for option, values in (
        ("--client", options.clients),
        ("--adapter", options.adapters),
        ("--command", options.commands),
        ("--case", options.cases),
        ("--area", options.areas),
        ("--level", options.levels),
        ("--conformance-json", filter(None, [options.json])),
        ("--conformance-junit", filter(None, [options.junit])),
        ("--conformance-html", filter(None, [options.html])),
        ("--conformance-har", filter(None, [options.har])),
        ("--conformance-trace", [options.trace]),
        ("--conformance-config", filter(None, [options.config])),
        ("--shard", filter(None, [options.shard])),
        ("--suite-version", filter(None, [options.suite_version])),
        ("--client-timeout", filter(None, [options.timeout])),
    ):
        made += [f"{option}={value}" for value in values]
    if options.strict:
        made.append("--conformance-strict")
    return made


def _where(rest: Sequence[str]) -> list[str]:
    """Return where the cases and pytest's settings are, unless told otherwise."""
    made = [f"--rootdir={_HERE}"]
    if "-c" not in rest:
        made += ["-c", str(_HERE / "pytest.ini")]
    return [*made, str(_HERE / "cases")]


@contextmanager
def _environment(values: Mapping[str, str | None]) -> Iterator[None]:
    """Set or, with None, remove environment variables for a while."""
    before = {name: os.environ.get(name) for name in values}
    _set_environment(values)
    try:
        yield
    finally:
        _set_environment(before)


def _set_environment(values: Mapping[str, str | None]) -> None:
    for name, value in values.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def _complaint(said: str) -> str:
    """Find the line that says what is wrong in what pytest prints of it."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    for line in lines:
        before, mark, text = line.partition("error: ")
        if mark and not before.startswith("ERROR: usage"):
            return text
    for line in lines:
        if line.startswith("ERROR: "):
            return line.removeprefix("ERROR: ")
    return lines[0] if lines else "wrong options"
