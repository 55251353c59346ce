"""The suite as a dependency of pytest: its cases, and cases of your own beside them."""

import subprocess
import sys

OWN = '''
from conformance.case import Level, case

@case(clause="our contract, section 3", level=Level.MUST, twin="verify.layer-intact")
def test_missing_layer_is_an_error(bench):
    """A layer that is gone must not look like an image that was pulled."""
    image = bench.publish(layers=2)
    digest = image.layers[0].digest
    gone = bench.registry.fault(method="GET", digest=digest, status=404)
    bench.must_reject(bench.pull(image), gone)
'''


def test_pytest_runs_the_cases(tmp_path):
    (tmp_path / "test_own.py").write_text(OWN)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-p", "conformance.plugin"),
            *("--client", "refimpl", "-k", "missing_layer_is or flipped_bit"),
            *("--pyargs", "conformance.cases", "test_own.py"),
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "refimpl 1.5.18" in done.stdout
    assert " 0 failed" not in done.stdout
    assert done.stdout.splitlines()[-1].startswith("ok - ")
