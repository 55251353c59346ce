"""The reference and Debian's containerd side by side.

    python tests/differential/run.py
    python tests/differential/run.py -k schema1 -v
    python tests/differential/run.py --list

Every scenario is played twice for each way to pull that it names, by refimpl and by
containerd 1.6.20, against the same registry; what they asked for and what they left
behind is compared fact by fact. A difference is a bug, or it stands with its reason
in explained.toml. Needs root, containerd and ctr, and grpcio; says so where one of
them is missing.
"""

import importlib
import sys
from pathlib import Path

if __name__ == "__main__":
    # In place of this folder, whose modules are to be known by one name only.
    sys.path[0] = str(Path(__file__).resolve().parents[2])
    sys.exit(importlib.import_module("tests.differential.cli").main())
