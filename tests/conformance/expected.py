"""What the suite is expected to say of the clients that Debian and PyPI have.

Failures are listed in conformance/adapters/NAME.xfails, with their reasons. What is
left is here, in expected/NAME.json: the version that was measured, and the cases on
which the client could not be judged for what it did (it never asked for what was
broken, or did not pass the twin). All else passes.

    python tests/conformance/expected.py skopeo podman     # measure anew
    python tests/conformance/expected.py --all
    python tests/conformance/expected.py containerd@2.4.2  # beside another version

This writes expected/NAME.json, and prints a line for each failure that is not
listed yet: it goes into the .xfails file once somebody has found out the reason.
"""

import argparse
import datetime
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).with_name("expected")
#: Told by the features of the adapter alone, so nothing to expect.
BY_FEATURES = ("the adapter does not offer: ", "containerd's choice, ")
RED = ("fail", "warn", "error", "unexpected-pass")


def client_of(name):
    """Return the client's own name: what is before the version, if there is one."""
    return name.partition("@")[0]


def measured(name):
    """Run the suite with a client and return what is said of it."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        ended = subprocess.run(
            [
                *(sys.executable, "-m", "conformance", "run"),
                *("--client", client_of(name), "-n", "2", "--json", str(report)),
            ],
            # What a worker of xdist has in its environment is not meant for the run.
            env={k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")},
            capture_output=True,
            text=True,
            check=False,
        )
        if not report.exists():
            raise SystemExit(ended.stderr or ended.stdout)
        return json.loads(report.read_text(encoding="utf-8"))["clients"][0]


def unjudged(client):
    """Return the cases that what the client did has made impossible to judge."""
    return sorted(
        case["id"]
        for case in client["cases"]
        if case["verdict"] == "not-testable"
        and not case["reason"].startswith(BY_FEATURES)
    )


def differences(client, expected):
    """Return a line for everything that is not as expected."""
    lines = [
        f"{case['verdict']}: {case['id']}: {' '.join(case['reason'].split())}"
        for case in client["cases"]
        if case["verdict"] in RED
    ]
    now, then = set(unjudged(client)), set(expected["not-testable"])
    reasons = {case["id"]: case["reason"] for case in client["cases"]}
    lines += [
        f"not testable any more: {case}: {' '.join(reasons[case].split())}"
        for case in sorted(now - then)
    ]
    lines += [
        f"expected not to be testable, but it is{'' if case in reasons else ' gone'}: "
        f"{case}"
        for case in sorted(then - now)
    ]
    return lines


def path_of(name):
    """Return the file of a client."""
    return HERE / f"{name}.json"


def names():
    """Return the clients of which something is expected."""
    return sorted(file.stem for file in HERE.glob("*.json"))


def update(name):
    """Measure a client, write what is expected of it, print what is not listed."""
    client = measured(name)
    expected = {"version": client["version"], "not-testable": unjudged(client)}
    text = json.dumps(expected, indent=1) + "\n"
    path_of(name).write_text(text, encoding="utf-8")
    today = datetime.datetime.now(datetime.UTC).date()
    for case in client["cases"]:
        if case["verdict"] in RED:
            seen = " ".join(case["reason"].split()).replace("|", "/")
            evidence = f"measured: {client['name']} {client['version']}, {today}"
            line = f"{case['id']} | {case['verdict']}: {seen[:200]} | {evidence}"
            sys.stdout.write(f"{line}\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", nargs="*")
    parser.add_argument("--all", action="store_true")
    options = parser.parse_args()
    for wanted in names() if options.all else options.name:
        update(wanted)
