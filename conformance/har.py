"""What went over the wire in a case, as a file that replays without the case.

    pull-conformance run --client skopeo --har hars
    fakeregistry serve --har hars/skopeo/verify.layer-intact.har

The file has the bodies as they were sent, of every registry and CDN of the case
together, and no secrets (fakeregistry/har.py). It is written where the case ran, under
xdist by the worker: bodies are too much to send around.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Final

from conformance.verdict import RED, Judged, Verdict
from fakeregistry.har import merged_har

if TYPE_CHECKING:
    from conformance.bench import Bench

__all__ = ["har_file", "save_har"]

WRITTEN: Final = RED | {Verdict.WARN, Verdict.KNOWN}


def har_file(folder: Path, judged: Judged) -> Path:
    """Return where the file of a case with a client belongs."""
    return folder / judged.result.client / f"{judged.result.id}.har"


def save_har(folder: Path, judged: Judged, bench: "Bench") -> str:
    """Write the file of a case that did not pass; remove an older one if it did.

    A case in which nothing was asked has none.

    Returns:
        What went wrong with it, empty if nothing did.
    """
    file = har_file(folder, judged)
    asked = any(len(registry.journal) for registry in bench.registries)
    try:
        if judged.verdict not in WRITTEN or not asked:
            file.unlink(missing_ok=True)
            return ""
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{_har(bench)}\n", encoding="utf-8")
    except OSError as err:
        return f"cannot write {file}: {err.strerror or err}"
    return ""


def _har(bench: "Bench") -> str:
    journals = {
        "registry" if number == 1 else f"registry {number}": registry.journal
        for number, registry in enumerate(bench.registries, 1)
    }
    return json.dumps(merged_har(journals), indent=1)
