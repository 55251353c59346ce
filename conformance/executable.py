"""A client behind an executable that speaks the contract in JSON.

``EXE capabilities|pull|inspect|collect|evaluate`` reads an object on stdin and
prints one on stdout. A pull that failed is an answer like any other: the
executable exits with 0 then. Exit status 3 says "not implemented"; any other is
the adapter's own failure.
"""

import json
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from conformance.contract import AdapterError, Json, OnCancel, failure
from conformance.process import Ended, Process, client_environment

__all__ = ["ExecutableAdapter"]

NOT_IMPLEMENTED: Final = 3
#: How long an answer without the network may take.
QUICK: Final = 10.0
SLOW: Final = 60.0
#: The longest answer that is read.
LONGEST: Final = 64 * 1024 * 1024


class ExecutableAdapter:
    """Speaks to an executable; see ADAPTER.md for what is said."""

    def __init__(self, argv: Sequence[str]) -> None:
        self.argv = tuple(argv)
        self.where = f"--command {' '.join(argv)!r}"

    @property
    def program(self) -> Path:
        """The file that is run."""
        return Path(shutil.which(self.argv[0]) or self.argv[0])

    def installed(self) -> str | None:
        """Return None if the executable exists, or what is missing."""
        if shutil.which(self.argv[0]):
            return None
        return f"{self.argv[0]}: not found or not executable"

    def capabilities(self) -> Json:
        """Return name, version and features, as the executable tells them."""
        with tempfile.TemporaryDirectory(prefix="pull-conformance-") as root:
            return self._object("capabilities", {}, root=root, timeout=QUICK)

    def pull(self, request: Json, on_cancel: OnCancel) -> Json:
        """Pull an image."""
        process = self._start("pull", request, request["root"])
        on_cancel(process.stop)
        ended = process.wait()
        if ended.died is not None:
            return {**failure(ended.died, died=ended.died), **_streams(ended)}
        try:
            answer = self._parsed("pull", ended)
            return {"stderr": _streams(ended)["stderr"], **answer}
        except AdapterError as err:
            return {**failure(str(err), died=str(err)), **_streams(ended)}

    def inspect(self, request: Json) -> Json:
        """Return what lies under a root, in normal form."""
        return self._object("inspect", request, root=request["root"], timeout=SLOW)

    def collect(self, request: Json) -> Json:
        """Run the client's garbage collection."""
        return self._object("collect", request, root=request["root"], timeout=SLOW)

    def evaluate(self, function: str, kind: str, value: Any) -> Any:  # noqa: ANN401 - the JSON edge
        """Compute the outcome of a vector: its output, its error, or both."""
        asked = {"function": function, "kind": kind, "input": value}
        with tempfile.TemporaryDirectory(prefix="pull-conformance-") as root:
            answer = self._object("evaluate", asked, root=root, timeout=SLOW)
        if answer.keys().isdisjoint({"output", "error"}):
            text = "evaluate printed neither 'output' nor 'error'"
            raise AdapterError(f"{self.where}: {text}")
        return answer

    def _environment(self, _asked: Json, root: str) -> Mapping[str, str]:
        return client_environment(root)

    def _start(self, verb: str, asked: Json, root: str) -> Process:
        return Process(
            [*self.argv, verb],
            env=self._environment(asked, root),
            stdin=json.dumps(asked).encode(),
            kept=LONGEST,
        )

    def _object(self, verb: str, asked: Json, *, root: str, timeout: float) -> Json:
        ended = self._start(verb, asked, root).wait(timeout)
        if ended.died is not None:
            raise AdapterError(f"{self.where}: {verb}: {ended.died}")
        if ended.exit == NOT_IMPLEMENTED:
            raise NotImplementedError(f"{self.where} does not implement {verb}")
        return self._parsed(verb, ended)

    def _parsed(self, verb: str, ended: Ended) -> Json:
        said = ended.last_line()
        if ended.exit != 0:
            text = f"{self.where}: {verb} ended with exit status {ended.exit}"
            raise AdapterError(f"{text}: {said}" if said else text)
        if ended.truncated:
            raise AdapterError(
                f"{self.where}: {verb} printed more than {LONGEST} bytes"
            )
        try:
            answer = json.loads(ended.stdout)
        except (ValueError, RecursionError):
            shown = f"{said[:200]!r}" if said else "nothing"
            text = f"{self.where}: {verb} must print one JSON object, not {shown}"
            raise AdapterError(text) from None
        if not isinstance(answer, dict):
            raise AdapterError(f"{self.where}: {verb} must print one JSON object")
        return answer


def _streams(ended: Ended) -> Json:
    """Return the executable's own output, for a pull without a result."""
    return {
        "stdout": ended.stdout[-65536:].decode(errors="replace"),
        "stderr": ended.stderr[-65536:].decode(errors="replace"),
    }
