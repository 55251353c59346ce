"""The facts of two clients, side by side."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

__all__ = ["Difference", "differences", "without"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """A fact on which the two clients do not agree.

    Attributes:
        path: What it is about.
        ours: What refimpl's value is; None if it has no such fact.
        theirs: The same of containerd.
    """

    path: str
    ours: str | None
    theirs: str | None

    def __str__(self) -> str:
        ours, theirs = (
            "-" if value is None else value for value in (self.ours, self.theirs)
        )
        return f"{self.path}: refimpl {ours}, containerd {theirs}"


def differences(
    ours: Mapping[str, str], theirs: Mapping[str, str]
) -> tuple[Difference, ...]:
    """Return what differs, in the order of the paths."""
    return tuple(
        Difference(path=path, ours=ours.get(path), theirs=theirs.get(path))
        for path in sorted({*ours, *theirs})
        if ours.get(path) != theirs.get(path)
    )


def without(
    facts: Mapping[str, str], names: Collection[str], *, of: str = ""
) -> Mapping[str, str]:
    """Return the facts that are not about any of the named things.

    Args:
        facts: All of them.
        names: What is not to be told of; with it goes the order of requests.
        of: Leave out only facts whose path has this in it.
    """
    if not names:
        return facts
    return {
        path: value
        for path, value in facts.items()
        if of not in path
        or not (path.endswith("order") or any(name in path for name in names))
    }
