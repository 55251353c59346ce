"""Runs the registry conformance suite of OCI against fakeregistry.

    $ python tests/fakeregistry/registry_conformance.py
    serve: 986 tests, 986 passed, 0 failed, 0 errors, 0 skipped

All APIs and all kinds of data are switched on, those of the specification's
next version too. The first run is against the command ``fakeregistry serve`` as
it comes; the second against a registry with TLS, tokens and a folder, lenient,
so that manifests with parts missing are in. Needs Go, which builds the suite.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from xml.etree import ElementTree

from fakeregistry import Features, Registry, TokenAuth

SUITE = "github.com/opencontainers/distribution-spec/conformance"
# The newest one when this was written.
VERSION = "v0.0.0-20260831232431-97274622c111"
BUILD_SECONDS, RUN_SECONDS = 600, 300
COUNTS = ("tests", "failures", "errors", "skipped")

Variables = Mapping[str, str]


def main(argv: list[str] | None = None) -> int:
    """Run the suite twice; return 1 unless everything passed."""
    parser = argparse.ArgumentParser(description="OCI registry conformance")
    parser.add_argument("--suite", default=VERSION, help="version, or 'latest'")
    parser.add_argument("--results", type=Path, help="where to leave the reports")
    options = parser.parse_args(argv)
    if shutil.which("go") is None:
        say("skipped: Go, which builds the suite, is not installed")
        return 0
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        results = options.results or folder
        program = build(folder, options.suite)
        passed = []
        for name, serving in (("serve", served()), ("folder", embedded(folder))):
            with serving as variables:
                passed.append(run(name, program, results / name, variables))
    return 0 if all(passed) else 1


def build(folder: Path, version: str) -> Path:
    """Build the suite."""
    subprocess.run(
        ["go", "install", f"{SUITE}@{version}"],
        env={**os.environ, "GOBIN": str(folder)},
        check=True,
        timeout=BUILD_SECONDS,
    )
    return folder / "conformance"


@contextlib.contextmanager
def served() -> Iterator[Variables]:
    """Serve with the command; yield what the suite is to know."""
    command = [sys.executable, "-m", "fakeregistry", "serve"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            url = server.stdout.readline().strip()
            yield {"OCI_REGISTRY": url.partition("://")[2], "OCI_TLS": "disabled"}
        finally:
            server.terminate()


@contextlib.contextmanager
def embedded(folder: Path) -> Iterator[Variables]:
    """Serve from this process; yield what the suite is to know."""
    auth = TokenAuth("conformance", "a password")
    features = Features(lenient=True)
    with Registry(
        auth, tls=True, storage=folder / "storage", features=features
    ) as registry:
        yield {
            "OCI_REGISTRY": registry.host,
            "SSL_CERT_FILE": str(registry.ca_file),
            "OCI_USERNAME": "conformance",
            "OCI_PASSWORD": "a password",
            "OCI_DATA_SPARSE": "true",
        }


def run(name: str, program: Path, results: Path, variables: Variables) -> bool:
    """Run the suite and print its counts; say whether everything passed."""
    results.mkdir(parents=True)
    fixed = {"OCI_VERSION": "dev", "OCI_RESULTS_DIR": str(results)}
    done = subprocess.run(
        [program],
        env={**os.environ, **fixed, **variables},
        cwd=results,
        capture_output=True,
        text=True,
        check=False,
        timeout=RUN_SECONDS,
    )
    report = results / "junit.xml"
    if not report.exists():
        say(f"{name}: no report\n{done.stdout}{done.stderr}")
        return False
    # Our own run wrote it.
    suites = ElementTree.parse(report).getroot()  # noqa: S314 - see above
    tests, failures, errors, skipped = (int(suites.get(key, "0")) for key in COUNTS)
    passed = tests - failures - errors - skipped
    say(
        f"{name}: {tests} tests, {passed} passed, {failures} failed, "
        f"{errors} errors, {skipped} skipped"
    )
    if done.returncode == 0 and passed == tests > 0:
        return True
    say(done.stdout + done.stderr)
    return False


def say(text: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
