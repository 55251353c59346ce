"""A client that is a library: a program of a page, and what runs it.

    name = "oras-py"
    install = "pip install oras"
    runtime = "python"
    executable = "python/oras_py.py"
    result = { kind = "none" }

The program speaks the contract (conformance/executable.py). It is run by the Python
that PULL_CONFORMANCE_PYTHON names, or else by the suite's own; and by ``node``, with
the packages of the folder that PULL_CONFORMANCE_NODE names, or else of the current
one. So a user installs libraries where they like.
"""

import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from conformance.contract import AdapterError, Json
from conformance.description import Description
from conformance.executable import ExecutableAdapter
from conformance.layouts import READERS
from conformance.process import client_environment
from conformance.request import placeholder_values
from conformance.template import fill, names

if TYPE_CHECKING:
    from conformance.client import ClientInfo

__all__ = ["LibraryAdapter"]

KEYS: Final = frozenset(
    {
        *("name", "description", "homepage", "install"),
        *("runtime", "executable", "env", "result"),
    }
)
RUNTIMES: Final = ("node", "python")
PYTHON: Final = "PULL_CONFORMANCE_PYTHON"


class LibraryAdapter(ExecutableAdapter):
    """Runs the program for every pull, and reads what it wrote itself."""

    def __init__(self, told: Description) -> None:
        told.check_keys(KEYS)
        self.info: ClientInfo = told.info("library")
        script = told.text("executable")
        if not script:
            raise AdapterError(f"{told.at('executable')} must be a file")
        runtime = told.text("runtime")
        if runtime not in RUNTIMES:
            raise AdapterError(
                f"{told.at('runtime')} must be {' or '.join(RUNTIMES)}, not {runtime!r}"
            )
        super().__init__([_interpreter(runtime), str(told.folder.resolve() / script)])
        self.where = told.where
        self._env = told.texts("env")
        self._kind, self._path = told.result()
        self._told: Json | None = None

    def installed(self) -> str | None:
        """Return None if the library is there, or how to install it."""
        missing = super().installed() or self.capabilities().get("missing")
        if not missing:
            return None
        how = f"; install it with: {self.info.install}" if self.info.install else ""
        return f"{missing}{how}"

    def capabilities(self) -> Json:
        """Return name, version and features, asked for once.

        Raises:
            AdapterError: The program gives another name than its file.
        """
        if self._told is None:
            told = super().capabilities()
            if told.get("name") != self.info.name:
                raise AdapterError(
                    f"{self.where}: is called {self.info.name!r}, but its program "
                    f"says {told.get('name')!r}"
                )
            self._told = told
        return self._told

    def inspect(self, request: Json) -> Json:
        """Read what the program wrote below a root."""
        path = Path(fill(self._path, {"root": request["root"]}))
        return READERS[self._kind](path)

    def _environment(self, asked: Json, root: str) -> Mapping[str, str]:
        env = client_environment(root)
        if "ref" in asked:
            wanted = frozenset[str]().union(*map(names, self._env.values()))
            values = placeholder_values(asked, wanted)
            env |= {
                name: fill(text, values)
                for name, text in self._env.items()
                if names(text) <= values.keys()
            }
        return env


def _interpreter(runtime: str) -> str:
    if runtime == "python":
        return os.environ.get(PYTHON) or sys.executable
    return shutil.which("node") or "node"
