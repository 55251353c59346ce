"""What a client did with what was broken, told from the wire alone.

A client's error says what its author thought of; the wire says what it did. From
the requests of a case, the faults they met and how the pulls ended comes plain data:

    {"broken": [{"thing": "sha256:...", "server": "registry", "by": ["flip"],
                 "answers": [200],
                 "facts": [{"fact": "took-all", "times": 3, "bytes": [1024]},
                           {"fact": "asked-again", "times": 2}, {"fact": "gave-up"}]}],
     "more": 0, "requests": 7, "ended": ["failure"],
     "sentence": "asked for sha256:ab12... (flip) 3 times, took all 1024 bytes ..."}

`Fact` has the whole vocabulary. It holds for what is broken by a fault: content that
was published broken is no fault, and of it only the end is told. Several pulls of a
case are told as one.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final
from urllib.parse import unquote

__all__ = ["Asked", "Fact", "Trap", "account_of", "break_of"]

Json = dict[str, Any]

#: Of more broken things than these only the number is told; of offsets, too.
THINGS: Final = 5
#: How many of them the sentence tells.
SPOKEN: Final = 2
#: Actions after whose offset bytes are missing.
_ENDS: Final = ("truncate", "shorten", "cut", "reset", "stall")
_DIGEST: Final = re.compile(r"(sha\d{3}:[0-9a-f]{12})[0-9a-f]+")
#: What every client asks whatever it pulls; never said to be gone on to.
_NEUTRAL: Final = frozenset({"/v2", "/v2/", "/token"})


class Fact(StrEnum):
    """What a client may do with what is broken; several can hold at once.

    Bytes are those that the registry had handed to its system: a short body leaves
    in one piece, whether or not the client reads it.

    Attributes:
        NEVER_ASKED: No request met the fault.
        STOPPED_EARLY: It ended the connection before the break had been sent.
        STOPPED_LATE: It did so after the break, before the end of the body.
        TOOK_ALL: The whole body, or all of it that the fault let through, was sent.
        ASKED_AGAIN: It asked the same place for the same thing, from its start.
        RESUMED: It asked for the same thing from an offset on.
        FOLLOWED: It asked where a redirect pointed.
        WENT_ELSEWHERE: It asked another registry or CDN for the same thing.
        WENT_ON: It asked for other things afterwards.
        GAVE_UP: It asked for nothing more, and said that it failed.
    """

    NEVER_ASKED = "never-asked"
    STOPPED_EARLY = "stopped-early"
    STOPPED_LATE = "stopped-late"
    TOOK_ALL = "took-all"
    ASKED_AGAIN = "asked-again"
    RESUMED = "resumed"
    FOLLOWED = "followed"
    WENT_ELSEWHERE = "went-elsewhere"
    WENT_ON = "went-on"
    GAVE_UP = "gave-up"


@dataclass(frozen=True, slots=True, kw_only=True)
class Trap:
    """A fault that was set.

    Attributes:
        server: Whose it is: registry, registry 2, ...
        rule: Which requests it is meant for, in words.
        actions: The names of what it does.
        fired: How many requests it met.
    """

    server: str
    rule: str
    actions: tuple[str, ...]
    fired: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request and what came of it.

    Attributes:
        server: Who was asked: registry, cdn, registry 2, ...
        path: Percent-decoded, without its query.
        status: 0 if there was no answer.
        sent: Bytes of the body that were sent.
        outcome: As the journal has it; None while it lasts.
        start: The offset that it asked from.
        location: Where the answer pointed, if anywhere.
        traps: The names of what was done to it, empty if it met no fault.
        breaks: How many bytes were sent when the break was (`break_of`).
        journal: Whose ticks ``began`` and ``ended`` are; of two journals only
            the seconds ``started`` and ``finished`` can be compared.
    """

    server: str
    path: str
    method: str
    status: int
    sent: int
    outcome: str | None
    start: int = 0
    location: str = ""
    traps: tuple[str, ...] = ()
    breaks: int = 0
    journal: int = 0
    began: int = 0
    ended: int | None = None
    started: float = 0.0
    finished: float | None = None

    @property
    def good(self) -> bool:
        """Whether it was answered with what it asked for."""
        return 200 <= self.status <= 299

    @property
    def redirects(self) -> bool:
        """Whether the answer points elsewhere."""
        return 300 <= self.status <= 399 and bool(self.location)

    def follows(self, other: "Asked") -> bool:
        """Say whether it began when the other one was over."""
        if self.journal == other.journal:
            return other.ended is not None and self.began > other.ended
        return other.finished is not None and self.started > other.finished


def break_of(actions: Mapping[str, Any], length: int | None) -> int:
    """Return how many bytes of a body have been sent when its break has.

    The break of a flipped byte is sent with that byte; of bytes that are missing,
    with the last one before them. What is wrong in the head is so from 0 on.

    Args:
        actions: What a fault does, as `fakeregistry.actions.Actions` names it.
        length: Of the body as announced, in bytes.
    """
    found = []
    for name in _ENDS:
        value = actions.get(name)
        if value is not None and value is not False:
            found.append(0 if value is True else int(value))
    offset = actions.get("flip")
    if offset is not None and (offset >= 0 or length is not None):
        found.append(offset + 1 + (length or 0) * (offset < 0))
    if actions.get("append") and length is not None:
        found.append(length - len(actions["append"]) + 1)
    return max(0, min(found, default=0))


def account_of(
    traps: Sequence[Trap], requests: Sequence[Asked], ended: Sequence[str]
) -> Json:
    """Return what a client did with what was broken.

    Args:
        traps: The faults of the case.
        requests: Of all registries, in the order in which they arrived.
        ended: How each pull ended: success, failure, deadline, died, cancelled,
            running.
    """
    things = [_thing(one.path) for one in requests]
    met: dict[str, list[int]] = {}
    for place, one in enumerate(requests):
        if one.traps:
            met.setdefault(things[place], []).append(place)
    failed = bool(ended) and ended[-1] == "failure"
    told = [
        _broken(thing, places, requests, things, failed=failed)
        for thing, places in list(met.items())[:THINGS]
    ]
    missed = [trap for trap in traps if not trap.fired]
    told += [_missed(trap) for trap in missed[: THINGS - len(told)]]
    made: Json = {
        "broken": told,
        "more": len(met) + len(missed) - len(told),
        "requests": len(requests),
        "ended": list(ended),
    }
    made["sentence"] = _sentence(made)
    return made


def _thing(path: str) -> str:
    """Return what a path names: a digest, a tag of a repository, or itself.

    The digest is one thing at every mirror and every CDN; so is the tag.
    """
    before, _, last = path.rpartition("/")
    if ":" in last:
        return last
    return f"manifests/{last}" if before.endswith("/manifests") else path


def _missed(trap: Trap) -> Json:
    return {
        "thing": trap.rule,
        "server": trap.server,
        "by": sorted(trap.actions),
        "answers": [],
        "facts": [{"fact": str(Fact.NEVER_ASKED)}],
    }


def _broken(
    thing: str,
    places: Sequence[int],
    requests: Sequence[Asked],
    things: Sequence[str],
    *,
    failed: bool,
) -> Json:
    """Tell of one thing that met faults, at these places of the requests."""
    met = [requests[place] for place in places]
    names = {thing}
    same: list[Asked] = []
    others: list[Asked] = []
    for place, one in enumerate(requests):
        if things[place] not in names:
            others.append(one)
            continue
        same.append(one)
        if one.redirects:
            names.add(_thing(_path_of(one.location)))
    facts = [*_taken(met), *_repeated(same, met[0])]
    last = met[-1]
    after = [one for one in others if one.follows(last)]
    went_on = sum(one.path not in _NEUTRAL for one in after)
    # Of an answer that stalls nobody knows when the client was through with it.
    unsure = last.ended is None and any(one.started > last.started for one in others)
    if went_on:
        facts.append({"fact": str(Fact.WENT_ON), "times": went_on})
    elif failed and same[-1] is last and not (after or unsure):
        facts.append({"fact": str(Fact.GAVE_UP)})
    return {
        "thing": thing,
        "server": met[0].server,
        "by": sorted({name for one in met for name in one.traps}),
        "answers": list(dict.fromkeys(one.status for one in met)),
        "facts": facts,
    }


def _taken(met: Iterable[Asked]) -> list[Json]:
    """Tell how much of the broken bodies was sent, and who ended that."""
    found: dict[Fact, list[int]] = {}
    for one in met:
        if one.method == "HEAD" or not one.good:
            continue
        # The registry does not see a client leave that it has nothing to send to.
        if one.outcome in (None, "held") and "stall" not in one.traps:
            continue
        fact = Fact.TOOK_ALL
        if one.outcome == "client-gone":
            early = one.sent < one.breaks
            fact = Fact.STOPPED_EARLY if early else Fact.STOPPED_LATE
        found.setdefault(fact, []).append(one.sent)
    return [
        {"fact": str(fact), "times": len(found[fact]), "bytes": _some(found[fact])}
        for fact in Fact
        if fact in found
    ]


def _repeated(same: Sequence[Asked], first: Asked) -> list[Json]:
    """Tell what else was asked for the thing since the fault was first met."""
    begin = next(place for place, one in enumerate(same) if one is first)
    servers = {one.server for one in same[: begin + 1]}
    methods = {first.method}
    counts = dict.fromkeys(
        (Fact.ASKED_AGAIN, Fact.RESUMED, Fact.FOLLOWED, Fact.WENT_ELSEWHERE), 0
    )
    offsets: list[int] = []
    reached: list[str] = []
    before = first
    for one in same[begin + 1 :]:
        elsewhere = one.server not in servers
        if before.redirects:
            counts[Fact.FOLLOWED] += 1
        elif one.start:
            counts[Fact.RESUMED] += 1
            offsets.append(one.start)
        elif not elsewhere and (one.method in methods or not before.good):
            # A GET after the HEAD that was answered is how clients ask once.
            counts[Fact.ASKED_AGAIN] += 1
        if elsewhere and not before.redirects:
            counts[Fact.WENT_ELSEWHERE] += 1
            reached.append(one.server)
        servers.add(one.server)
        methods.add(one.method)
        before = one
    details: dict[Fact, Json] = {
        Fact.RESUMED: {"offsets": _some(offsets)},
        Fact.WENT_ELSEWHERE: {"servers": _some(reached)},
    }
    return [
        {"fact": str(fact), "times": times, **details.get(fact, {})}
        for fact, times in counts.items()
        if times
    ]


def _some(values: Sequence[Any]) -> list[Any]:
    """Return each value once, of many the first ones and the last."""
    found = list(dict.fromkeys(values))
    return found if len(found) <= THINGS else [*found[: THINGS - 1], found[-1]]


def _path_of(location: str) -> str:
    path = location.partition("?")[0]
    if "://" in path:
        path = "/" + path.partition("://")[2].partition("/")[2]
    return unquote(path)


_ENDED: Final = {
    "success": "succeeded",
    "failure": "failed",
    "deadline": "missed its deadline",
    "died": "ended when the client died",
    "cancelled": "was cancelled",
    "running": "goes on",
}


def _sentence(made: Mapping[str, Any]) -> str:
    parts = [_phrase(one) for one in made["broken"][:SPOKEN]]
    silent = len(made["broken"]) - len(parts) + made["more"]
    if not parts:
        parts = [f"no fault was set, {_count(made['requests'], 'request')} came"]
    if silent:
        parts.append(_count(silent, "more broken thing"))
    ended = made["ended"]
    if ended:
        which = "the pull" if len(ended) == 1 else f"the last of {len(ended)} pulls"
        parts.append(f"{which} {_ENDED.get(ended[-1], ended[-1])}")
    return "; ".join(parts)


def _phrase(one: Mapping[str, Any]) -> str:
    facts = {fact["fact"]: fact for fact in one["facts"]}
    at = "" if one["server"] == "registry" else f" at {one['server']}"
    thing = _DIGEST.sub(r"\1…", one["thing"])
    by = ", ".join(one["by"])
    if Fact.NEVER_ASKED in facts:
        return f"never asked for what was broken{at} ({thing}: {by})"
    asked = 1 + facts.get(Fact.ASKED_AGAIN, {"times": 0})["times"]
    said = [f"asked for {thing}{at} ({by}){f' {_times(asked)}' if asked > 1 else ''}"]
    bad = [status for status in one["answers"] if not 200 <= status <= 299]
    # What raw bytes answer is not for the journal to say.
    if any(bad):
        said.append(
            f"was answered {', '.join(str(status) for status in bad if status)}"
        )
    if 0 in bad and "raw" not in one["by"]:
        said.append("got no answer")
    said += [_SAID[name](fact) for name, fact in facts.items() if name in _SAID]
    if Fact.GAVE_UP in facts:
        said.append("then gave up")
    return ", ".join(said)


def _times(number: int) -> str:
    return {1: "once", 2: "twice"}.get(number, f"{number} times")


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _bytes(fact: Mapping[str, Any]) -> str:
    how_often = "" if fact["times"] == 1 else f" ({_times(fact['times'])})"
    *more, last = fact["bytes"]
    return f"{''.join(f'{one}, ' for one in more)}{_count(last, 'byte')}{how_often}"


def _span(offsets: Sequence[int]) -> str:
    first, last = offsets[0], offsets[-1]
    return f"{first}" if first == last else f"{first} up to {last}"


_SAID: Final[Mapping[str, Any]] = {
    Fact.STOPPED_EARLY: lambda f: f"left before the break, after {_bytes(f)}",
    Fact.STOPPED_LATE: lambda f: f"left after the break, after {_bytes(f)}",
    Fact.TOOK_ALL: lambda f: f"took all {_bytes(f)}",
    Fact.RESUMED: lambda f: (
        f"resumed {_times(f['times'])} from byte {_span(f['offsets'])}"
    ),
    Fact.FOLLOWED: lambda f: f"followed a redirect {_times(f['times'])}",
    Fact.WENT_ELSEWHERE: lambda f: f"went to {', '.join(f['servers'])} for it",
    Fact.WENT_ON: lambda f: f"went on to {_count(f['times'], 'other request')}",
}
