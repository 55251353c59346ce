"""Every benchmark of the project, in one place.

    python tests/benchmarks/bench.py
    python tests/benchmarks/bench.py --only pull unpack --rounds 7 --json pull.json
    python tests/benchmarks/bench.py --quick
    python tests/benchmarks/bench.py --markdown pull.json

`registry` compares fakeregistry with other registries; `pull`, `unpack` and `memory`
compare refpull with other clients; `suite` says what a case costs, and `scaling` what
each layer, label, entry or record costs refpull when there are many. Contestants take
turns, round by round; shown are medians, the lowest and highest of the rounds, and
ratios to the peers that are installed (apt-get install docker-registry skopeo
containerd podman umoci; registries.py says where the programs written in Go come
from). Only the ratios of one run mean anything on another machine, or on a busy one.
Stores and images go to TMPDIR: a file system in memory gives other figures than a
disk. What is unpacked goes into memory, or where --store says.

The exit status says whether everything could be measured, never what came out.
"""

import importlib
import sys
from pathlib import Path

if __name__ == "__main__":
    # In place of this folder, whose modules are to be known by one name only.
    sys.path[0] = str(Path(__file__).resolve().parents[2])
    sys.exit(importlib.import_module("tests.benchmarks.cli").main())
