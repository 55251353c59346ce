"""What the reference asks in every case, as recorded (conformance/recording.json).

Reports show it beside what another client asked, and `pull-conformance explain` tells
it. `pull-conformance record` makes it anew with the reference that is installed; a
case whose requests have not changed keeps its entry, so that the file's history shows
what did.
"""

import json
import re
from collections import Counter
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

__all__ = [
    "FILE",
    "compact",
    "load_recording",
    "parse",
    "same_requests",
    "strangers",
    "to_text",
]

Json = dict[str, Any]

FILE: Final = Path(__file__).with_name("recording.json")
#: What is worth its place; a header that a fault sets is always one of these.
_ASKED: Final = frozenset({"authorization", "range"})
_ANSWERED: Final = frozenset(
    {
        *("content-range", "content-encoding", "location", "www-authenticate"),
        *("link", "retry-after", "warning"),
    }
)
#: What most exchanges have, and the file leaves out.
_USUAL: Final[Mapping[str, Any]] = {
    "server": "registry",
    "method": "GET",
    "status": 200,
    "outcome": "complete",
    "request": [],
    "response": [],
}
_ORDER: Final = (
    *("server", "method", "target", "form", "status", "bytes", "outcome"),
    *("request", "response"),
)
_PORT: Final = re.compile(r"(127\.0\.0\.1|localhost):(\d+)")
_EXPIRY: Final = re.compile(r"(expires=)\d+", re.I)


@cache
def load_recording() -> Mapping[str, Json]:
    """Return what was recorded by case id; nothing where there is no file."""
    if not FILE.exists():
        return {}
    return parse(FILE.read_text(encoding="utf-8"))


def parse(text: str) -> dict[str, Json]:
    """Return the cases that a recording's text holds, with nothing left out."""
    return {
        case: {
            **recorded,
            "exchanges": [{**_USUAL, **one} for one in recorded["exchanges"]],
        }
        for case, recorded in json.loads(text).items()
    }


def compact(trace: Json) -> Json:
    """Return what is kept of a case: no times, no ports, the headers that matter."""
    names = _names(trace["exchanges"])
    return {
        "faults": [_placed(fault["what"], names) for fault in trace["faults"]],
        "exchanges": [
            {
                **{
                    key: exchange[key]
                    for key in ("server", "method", "status", "bytes", "outcome")
                },
                **{
                    key: _placed(exchange[key], names)
                    for key in ("target", "form")
                    if key in exchange
                },
                "request": _kept(exchange["request"], _ASKED, names),
                "response": _kept(exchange["response"], _ANSWERED, names),
            }
            for exchange in trace["exchanges"]
        ],
    }


def same_requests(one: Json, other: Json) -> bool:
    """Say whether the same was asked and answered, in whatever order."""
    return one["faults"] == other["faults"] and _keys(one) == _keys(other)


def strangers(trace: Json, recorded: Json) -> list[bool]:
    """Say of each exchange whether it is one that the other side did not have.

    The same requests in another order are none.
    """
    left = _keys(recorded)
    found = []
    for exchange in compact(trace)["exchanges"]:
        (key,) = _keys({"exchanges": [exchange]})
        found.append(left[key] <= 0)
        left[key] -= 1
    return found


def _keys(recorded: Json) -> Counter[str]:
    """Count what was asked and answered; how far a broken body came is chance."""
    return Counter(
        json.dumps([exchange[key] for key in ("server", "method", "target", "status")])
        for exchange in recorded["exchanges"]
    )


def _names(exchanges: list[Json]) -> dict[str, str]:
    """Return names for the ports of the servers that were asked."""
    names: dict[str, str] = {}
    for exchange in exchanges:
        for name, value in exchange["request"]:
            found = _PORT.fullmatch(value) if name.lower() == "host" else None
            if found is not None:
                names.setdefault(found[2], exchange["server"].replace(" ", "-"))
    return names


def _placed(text: str, names: Mapping[str, str]) -> str:
    def name(found: re.Match[str]) -> str:
        return names.get(found[2], "elsewhere")

    return _EXPIRY.sub(r"\1...", _PORT.sub(name, text))


def _kept(
    pairs: list[list[str]], known: frozenset[str], names: Mapping[str, str]
) -> list[list[str]]:
    return [
        [name, _placed(value, names)] for name, value in pairs if name.lower() in known
    ]


def to_text(cases: Mapping[str, Json]) -> str:
    """Return JSON with a line a case, which shows changes and does not sprawl."""
    lines = (
        f"{json.dumps(case)}: "
        + json.dumps(_shortened(recorded), ensure_ascii=False, separators=(",", ":"))
        for case, recorded in cases.items()
    )
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _shortened(recorded: Json) -> Json:
    exchanges = [
        {
            key: exchange[key]
            for key in _ORDER
            if key in exchange and (key not in _USUAL or exchange[key] != _USUAL[key])
        }
        for exchange in recorded["exchanges"]
    ]
    return {**recorded, "exchanges": exchanges}
