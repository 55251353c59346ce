"""What the first registry of a process costs, as JSON in milliseconds.

    python -m tests.benchmarks.first

Nothing else is imported before, but what Python starts with.
"""

import time

_began = time.perf_counter()
import fakeregistry  # noqa: E402 - this is what is timed

_known = time.perf_counter()
from fakeregistry import Registry  # noqa: E402 - imports what it is made of

_imported = time.perf_counter()
with Registry():
    pass
_first = time.perf_counter()
with Registry():
    pass
_second = time.perf_counter()

import json  # noqa: E402 - it is not to be there before
import sys  # noqa: E402 - as above

json.dump(
    {
        "import fakeregistry": 1000 * (_known - _began),
        f"from fakeregistry import {Registry.__name__}": 1000 * (_imported - _known),
        "first registry": 1000 * (_first - _imported),
        f"next one of {fakeregistry.__name__}": 1000 * (_second - _first),
    },
    sys.stdout,
)
