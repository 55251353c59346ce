"""Clients that do nothing pass nothing.

A suite that credits `true` with a single case judges nothing by it. These clients go
the whole way of a user: a description, the command `run`, the report.
"""

import json
import subprocess
import sys
from types import SimpleNamespace

import pytest

from conformance.case import Feature
from conformance.command import UNSHOWABLE
from conformance.whitebox import METHODS
from fakeregistry import Registry

# The command as it is, but for the patience with requests that nobody will send.
RUN = """
import sys
from conformance.__main__ import main
from fakeregistry.gate import Gate
from fakeregistry.journal import Journal
for wait in Gate.wait_for, Journal.wait_for:
    wait.__kwdefaults__["timeout"] = 0.05
sys.exit(main(["run", *sys.argv[1:]]))
"""
# Whatever a command can claim, so that no case is left out for want of a feature.
CLAIMED = sorted(feature.value for feature in Feature if feature not in UNSHOWABLE)
# Not used by any of these clients, but a claim needs its placeholder.
TOLD = [
    ["{username}"],
    ["{password}"],
    ["{ca}"],
    ["{platform}"],
    ["{max_concurrent_downloads}"],
    {"when": "all_platforms", "args": ["all"]},
    {"when": "all_metadata", "args": ["all"]},
]
# One that must be pulled, one that must fail, one with a gate, one that only tells.
FEW = "layer-intact or flipped-bit or siblings-are or octet-stream-config or 404"


@pytest.fixture
def judged(tmp_path):
    """Run the suite against a client, and return what the report says of it."""

    def run(*options):
        report = tmp_path / "report.json"
        done = subprocess.run(
            [sys.executable, "-c", RUN, "--json", report, *options],
            capture_output=True,
            text=True,
            check=False,
        )
        assert report.exists(), done.stderr or done.stdout
        said = json.loads(report.read_text())
        assert said["exit"] == done.returncode
        (client,) = said["clients"]
        return SimpleNamespace(
            status=done.returncode,
            cases=client["cases"],
            reasons={
                case["id"]: case["reason"]
                for case in client["cases"]
                if case["verdict"] in ("fail", "warn")
            },
        )

    return run


@pytest.fixture
def described(tmp_path):
    """Write the description of a client whose pull is a command."""

    def write(*command, folders=()):
        pull = ", ".join(map(_toml, (*command, *TOLD)))
        file = tmp_path / "null.toml"
        file.write_text(
            f'name = "null"\nfeatures = {json.dumps(CLAIMED)}\npull = [{pull}]\n'
            'env = { HOSTS = "{hosts_dir}" }\n'
            f"folders = {json.dumps(folders)}\n"
            '[result]\nkind = "dir"\npath = "{root}/images"\n'
        )
        return "--adapter", str(file)

    return write


def _toml(value):
    if isinstance(value, dict):
        inside = ", ".join(f"{k} = {json.dumps(v)}" for k, v in value.items())
        return f"{{ {inside} }}"
    return json.dumps(value)


@pytest.fixture
def spoken(tmp_path):
    """Write a client that speaks the contract and claims everything there is."""

    def write(answer):
        features = [str(f) for f in Feature if f not in METHODS]
        claims = {"name": "null", "version": "0", "features": features}
        parts = ("images", "content", "ingests", "leases", "snapshots")
        file = tmp_path / "null"
        file.write_text(
            "#!/bin/sh\ncase $1 in\n"
            f"capabilities) echo '{json.dumps(claims)}' ;;\n"
            f"pull) echo '{json.dumps(answer)}' ;;\n"
            f"inspect) echo '{json.dumps({part: [] for part in parts})}' ;;\n"
            "collect) echo '{}' ;;\nesac\n"
        )
        file.chmod(0o755)
        return "--command", str(file)

    return write


def assert_nothing_passed(found):
    """Hold that nothing looks like a success, and that no case broke on it."""
    allowed = {"fail", "warn", "info", "not-testable"}
    wrong = [case for case in found.cases if case["verdict"] not in allowed]
    wrong += [
        case
        for case in found.cases
        if case["verdict"] == "info" and "pulled" in case["reason"]
    ]
    assert not wrong, "\n".join(map(str, wrong))
    assert found.status == 1


@pytest.mark.slow
def test_false_passes_nothing(judged, described):
    found = judged(*described("/bin/false"))
    assert_nothing_passed(found)
    assert "exit status 1" in found.reasons["verify.layer-intact"]


@pytest.mark.slow
def test_true_passes_nothing(judged, described):
    found = judged(*described("/bin/true"))
    assert_nothing_passed(found)
    assert "asked for nothing" in found.reasons["verify.layer-intact"]


@pytest.mark.slow
def test_one_that_says_no_to_everything_passes_nothing(judged, spoken):
    error = {"class": "no", "message": "I would rather not"}
    found = judged(*spoken({"ok": False, "error": error}))
    assert_nothing_passed(found)
    assert "I would rather not" in found.reasons["verify.layer-intact"]


@pytest.mark.slow
def test_one_that_says_yes_to_everything_passes_nothing(judged, spoken):
    found = judged(*spoken({"ok": True}))
    assert_nothing_passed(found)
    assert "asked for nothing" in found.reasons["verify.layer-intact"]


@pytest.mark.slow
def test_one_that_has_the_files_already_passes_nothing(judged, described, tmp_path):
    """It writes just the right image, and never asks the registry for it."""
    crib = tmp_path / "crib"
    crib.mkdir()
    with Registry() as registry:
        image = registry.publish("library/test:v1", layers=2)
    for digest, data in image.data.items():
        (crib / digest.removeprefix("sha256:")).write_bytes(data)
    (crib / "manifest.json").write_bytes(image.data[image.digest])
    (crib / "version").write_text("Directory Transport Version: 1.1\n")
    adapter = described(
        *("cp", "-r", "-T", str(crib), "{root}/images/{ref}"),
        folders=["{root}/images/{registry}/{repository}"],
    )
    # What a claim needs goes to cp after the names, which would be more of them.
    found = judged(*adapter)
    assert_nothing_passed(found)
    assert "asked for nothing" in found.reasons["verify.layer-intact"]


@pytest.mark.slow
def test_one_that_hangs_misses_its_deadline(judged, described):
    found = judged(*described("sleep", "1000"), "--timeout", "0.3", "-k", FEW)
    assert_nothing_passed(found)
    assert "missed its deadline" in found.reasons["verify.layer-intact"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (("/bin/sh", "-c", "kill -SEGV $$"), "killed by SIGSEGV"),
        (("/bin/sh", "-c", "exec /nowhere/to/be/found"), "exit status 127"),
        (("./no-program",), "Exec format error"),
    ],
    ids=["killed", "starts nothing", "no program"],
)
def test_one_that_crashes_has_died(judged, described, tmp_path, command, reason):
    broken = tmp_path / "no-program"
    broken.write_bytes(b"\x7fELF, so to speak")
    broken.chmod(0o755)
    found = judged(*described(*command), "-k", FEW)
    assert_nothing_passed(found)
    assert "the client died" in found.reasons["verify.layer-intact"]
    assert reason in found.reasons["verify.layer-intact"]
