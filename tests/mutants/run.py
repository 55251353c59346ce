"""Run the suite against the reference with one thing broken in it.

    python tests/mutants/run.py digest-believed
    python tests/mutants/run.py digest-believed -v --timeout 5

The mutants stand in catalogue/*.toml: a text of a module of refimpl, and what is
put in its place. Only the cases that are meant to see it are run, with their twins;
other options are those of ``pull-conformance run``.

``--serve`` is for the tests: each line on stdin is a run, in a process forked from
this one, which has imported all but the reference already.
"""

import importlib.machinery
import importlib.util
import json
import os
import signal
import sys
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
#: Seconds after which a run is killed, whatever it waits for.
LONGEST = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """A text of a module, and what is put in its place."""

    module: str
    old: str
    new: str

    def applied_to(self, source: str) -> str:
        """Return the source with the text replaced; it must be there just once."""
        found = source.count(self.old)
        if found != 1:
            raise ValueError(
                f"{self.module} has this text {found} times, not once:\n{self.old}"
            )
        return source.replace(self.old, self.new)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """A client that is wrong in one way.

    Attributes:
        name: What it is called.
        does: What it does wrong, in one line.
        edits: One; more where the reference guards the same thing twice.
        caught_by: The cases meant to see it, with a pattern of the reason.
        timeout: The deadline of its pulls, in seconds.
        patience: How long a gate waits for requests that do not come, or a handler
            for its end, in seconds.
    """

    name: str
    does: str
    edits: tuple[Edit, ...]
    caught_by: Mapping[str, str]
    timeout: float = 20.0
    patience: float = 10.0


def load() -> dict[str, Mutant]:
    """Return all mutants by name."""
    made: dict[str, Mutant] = {}
    for file in sorted((HERE / "catalogue").glob("*.toml")):
        for entry in tomllib.loads(file.read_text(encoding="utf-8"))["mutant"]:
            mutant = _mutant(entry)
            if mutant.name in made:
                raise ValueError(f"{file.name}: {mutant.name} is there already")
            made[mutant.name] = mutant
    return made


def _mutant(entry: dict[str, Any]) -> Mutant:
    edits = entry.pop("edit", None) or [
        {key: entry.pop(key) for key in ("module", "old", "new")}
    ]
    return Mutant(edits=tuple(Edit(**edit) for edit in edits), **entry)


def break_reference(mutant: Mutant) -> None:
    """Let the modules of a mutant be imported with their texts replaced."""
    early = sorted(name for name in sys.modules if name.startswith("refimpl"))
    if early:
        raise RuntimeError(f"imported before it was broken: {early}")
    sys.meta_path.insert(0, _Finder(mutant.edits))


class _Finder:
    """Finds the modules that are edited (importlib.abc.MetaPathFinder)."""

    def __init__(self, edits: Sequence[Edit]) -> None:
        self._edits = edits

    def find_spec(
        self,
        name: str,
        path: Sequence[str] | None = None,
        target: ModuleType | None = None,
    ) -> importlib.machinery.ModuleSpec | None:
        edits = [edit for edit in self._edits if edit.module == name]
        if not edits:
            return None
        found = importlib.machinery.PathFinder.find_spec(name, path, target)
        if found is None or found.origin is None:
            return None
        loader = _Loader(name, found.origin, edits)
        return importlib.util.spec_from_file_location(
            name,
            found.origin,
            loader=loader,
            submodule_search_locations=found.submodule_search_locations,
        )


class _Loader(importlib.machinery.SourceFileLoader):
    """Compiles the edited source, and neither reads nor writes bytecode."""

    def __init__(self, name: str, path: str, edits: Sequence[Edit]) -> None:
        super().__init__(name, path)
        self._edits = edits

    def path_stats(self, path: str) -> Mapping[str, Any]:
        raise OSError(f"{path}: no bytecode of an edited module")

    def get_data(self, path: str) -> bytes:
        source = super().get_data(path).decode("utf-8")
        for edit in self._edits:
            source = edit.applied_to(source)
        return source.encode("utf-8")


def run(name: str, options: Sequence[str]) -> int:
    """Run the cases meant to catch a mutant, and return the suite's exit status."""
    from conformance.__main__ import main  # noqa: PLC0415 - not before sys.path is set
    from conformance.tree import Tree  # noqa: PLC0415 - not before sys.path is set
    from fakeregistry.gate import Gate  # noqa: PLC0415 - not before sys.path is set

    mutants = load()
    if name not in mutants:
        sys.stderr.write(f"no mutant {name!r}; there are {', '.join(mutants)}\n")
        return 2
    mutant = mutants[name]
    break_reference(mutant)
    defaults = Gate.wait_for.__kwdefaults__
    assert defaults is not None
    defaults["timeout"] = mutant.patience
    Tree.patience = mutant.patience
    cases = [f"--case={case}" for case in mutant.caught_by]
    deadline = f"--timeout={mutant.timeout}"
    return main(["run", "--client", "refimpl", deadline, *cases, *options])


def serve() -> int:
    """Run what the lines of stdin ask for, and answer each with an exit status."""
    # What takes its time to import, the reference excepted.
    import anyio.from_thread  # noqa: F401, PLC0415 - for the processes forked from here
    import httpx  # noqa: F401, PLC0415 - likewise

    import conformance.__main__  # noqa: F401, PLC0415 - likewise

    for line in sys.stdin:
        asked = json.loads(line)
        child = os.fork()
        if not child:
            os._exit(_forked(asked))
        _, status = os.waitpid(child, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()
    return 0


def _forked(asked: Mapping[str, Any]) -> int:
    """Do one run with its output in a file; never return to the server's loop."""
    signal.alarm(LONGEST)
    log = os.open(asked["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(log, sys.stdout.fileno())
    os.dup2(log, sys.stderr.fileno())
    status = 70
    try:
        status = run(asked["name"], asked["options"])
    except SystemExit as err:
        status = err.code if isinstance(err.code, int) else 1
    except BaseException:  # noqa: BLE001 - the log is where it is read
        sys.excepthook(*sys.exc_info())
    sys.stdout.flush()
    sys.stderr.flush()
    return status


if __name__ == "__main__":
    sys.path[0] = str(ROOT)
    if sys.argv[1:] == ["--serve"]:
        sys.exit(serve())
    if not sys.argv[1:]:
        sys.exit("usage: run.py NAME [OPTION...]")
    sys.exit(run(sys.argv[1], sys.argv[2:]))
