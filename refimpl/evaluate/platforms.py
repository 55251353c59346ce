"""Vectors of containerd's platforms package."""

from functools import cmp_to_key

from refimpl import platforms
from refimpl.descriptor import Platform
from refimpl.evaluate.values import Json
from refimpl.platforms import MatchComparer, format_platform, normalize

__all__ = ["match", "normalized", "parsed"]


async def parsed(_kind: str, specifier: Json) -> Json:
    """Parse a specifier."""
    platform = platforms.parse(specifier)
    return {"platform": platform.to_json(), **_formats(platform)}


async def normalized(_kind: str, value: Json) -> Json:
    """Normalize a platform."""
    return _formats(Platform.from_json(value))


def _formats(platform: Platform) -> Json:
    return {
        "format": format_platform(platform),
        "normalized": normalize(platform).to_json(),
        "format_normalized": format_platform(normalize(platform)),
    }


async def match(_kind: str, value: Json) -> Json:
    """Match, compare and sort candidates."""
    comparer = _comparer(value["matcher"], value["platforms"] or ())
    candidates = [Platform.from_json(c) for c in value["candidates"] or ()]

    def compare(i: int, j: int) -> int:
        a, b = candidates[i], candidates[j]
        return comparer.less(b, a) - comparer.less(a, b)

    return {
        "match": [comparer.match(c) for c in candidates],
        "less": [
            "".join(str(int(comparer.less(a, b))) for b in candidates)
            for a in candidates
        ],
        "sorted_indices": sorted(range(len(candidates)), key=cmp_to_key(compare)),
    }


def _comparer(name: str, values: Json) -> MatchComparer:
    wanted = [Platform.from_json(value) for value in values]
    if name == "All":
        return platforms.ALL
    if name == "Only":
        return platforms.only(*wanted)
    if name == "OnlyStrict":
        return platforms.only_strict(*wanted)
    return platforms.any_(*wanted) if name == "Any" else platforms.ordered(*wanted)
