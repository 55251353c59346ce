"""What changed from one report to another: better, worse, otherwise, new, gone."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from conformance.report.run import ClientRun, Run
from conformance.verdict import Judged, Verdict

__all__ = ["compare", "told"]

Json = dict[str, Any]

#: How well a client does, 0 best. A pass that nobody expected is one all the same.
_RANK: Final[Mapping[Verdict, int]] = {
    Verdict.PASS: 0,
    Verdict.INFO: 0,
    Verdict.UNEXPECTED_PASS: 0,
    Verdict.WARN: 1,
    Verdict.KNOWN: 1,
    Verdict.FAIL: 2,
    Verdict.ERROR: 2,
}
KINDS: Final = ("worse", "better", "changed", "new", "gone")


def compare(old: Run, new: Run) -> Json:
    """Return the changes by kind, each a list of cases.

    Clients are matched by their names; a report about one client is compared with
    another about one client whatever they are called.
    """
    changes: Json = {kind: [] for kind in KINDS}
    for before, after in _matched(old, new):
        ids = dict.fromkeys([*before, *after])
        for case in ids:
            one, other = before.get(case), after.get(case)
            kind = _kind(one, other)
            if kind is not None:
                changes[kind].append(_change(case, one, other))
    return changes


def told(changes: Json) -> Iterator[str]:
    """Yield the changes in lines, and last how many there are."""
    for kind in KINDS:
        for one in changes[kind]:
            old, new = one["old"] or "-", one["new"] or "-"
            yield f"{kind:8} {one['client']}  {one['id']}: {old} -> {new}"
            if one["reason"] and kind in ("worse", "changed"):
                yield f"         {one['reason'].splitlines()[0]}"
    yield ", ".join(f"{len(changes[kind])} {kind}" for kind in KINDS)


_Cases = Mapping[str, Judged]


def _matched(old: Run, new: Run) -> Iterator[tuple[_Cases, _Cases]]:
    if len(old.clients) == len(new.clients) == 1:
        yield _cases(old.clients[0]), _cases(new.clients[0])
        return
    names = dict.fromkeys(client.name for client in (*old.clients, *new.clients))
    for name in names:
        yield _of(old, name), _of(new, name)


def _of(run: Run, name: str) -> _Cases:
    """Return the cases of a client; of its last version where there are several."""
    found: dict[str, Judged] = {}
    for client in run.clients:
        if client.name == name:
            found |= _cases(client)
    return found


def _cases(client: ClientRun) -> dict[str, Judged]:
    return {judged.result.id: judged for judged in client.cases}


def _kind(one: Judged | None, other: Judged | None) -> str | None:
    if one is None or other is None:
        return "new" if one is None else "gone"
    if one.verdict is other.verdict:
        return None
    before, after = _RANK.get(one.verdict), _RANK.get(other.verdict)
    # What could not be judged, and now can, got worse only if it is bad.
    if before is None:
        return {0: "better", 1: "changed", 2: "worse"}[after or 0]
    if after is None:
        return "worse" if before == 0 else "changed"
    if before == after:
        return "changed"
    return "worse" if after > before else "better"


def _change(case: str, one: Judged | None, other: Judged | None) -> Json:
    shown = other or one
    assert shown is not None  # noqa: S101 - a case is in one report at least
    return {
        "id": case,
        "client": shown.result.client,
        "level": str(shown.result.level),
        "critical": shown.result.critical,
        "old": None if one is None else str(one.verdict),
        "new": None if other is None else str(other.verdict),
        "reason": "" if other is None else other.reason,
    }
