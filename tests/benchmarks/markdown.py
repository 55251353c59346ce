"""What was wanted and what was reached, as a table for the README.

python tests/benchmarks/bench.py --markdown first.json second.json third.json
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from tests.benchmarks.harness import BenchError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

__all__ = ["to_markdown"]

Json = dict[str, Any]

_HEAD: Final = (
    "| what | ours | peer | ours / peer, run by run | wanted |\n"
    "| --- | --: | --: | --: | --: |"
)


def to_markdown(files: Sequence[Path]) -> str:
    """Return a table of all that has a goal, and what it was measured with.

    Medians are those of the last file that has the figure.

    Raises:
        BenchError: A file holds no figures.
    """
    runs = [_read(file) for file in files]
    lines: dict[tuple[str, str, str], Json] = {}
    for run in runs:
        for figure in run["figures"]:
            for goal in _goals(figure):
                key = figure["name"], goal["ours"], goal["peer"]
                kept = lines.setdefault(key, {"ratios": []})
                ratios = [*kept["ratios"], goal["value"]]
                kept.update(goal, title=figure["title"], ratios=ratios)
    rows = [_row(line) for line in lines.values()]
    return "\n".join([_HEAD, *rows, "", _measured_with(runs)])


def _read(file: Path) -> Json:
    try:
        document: Json = json.loads(file.read_text(encoding="utf-8"))
        document["figures"], document["versions"], document["machine"]
    except (OSError, ValueError, KeyError, TypeError) as err:
        raise BenchError(f"{file}: no figures of a benchmark ({err})") from err
    return document


def _goals(figure: Json) -> Iterator[Json]:
    """Yield the comparisons of a figure that were to reach something."""
    medians = {row["name"]: _number(row["median"]) for row in figure["rows"]}
    for row in figure["rows"]:
        if row.get("goal"):
            yield {
                "ours": row["name"],
                "peer": "",
                "left": f"{row['name']} {medians[row['name']]} {figure['unit']}",
                "right": "",
                "value": row["median"],
                "goal": f"{row['goal']} {figure['unit']}",
            }
    for ratio in figure["ratios"]:
        if ratio.get("goal"):
            yield {
                "ours": ratio["ours"],
                "peer": ratio["peer"],
                "left": f"{ratio['ours']} {medians[ratio['ours']]} {figure['unit']}",
                "right": f"{ratio['peer']} {medians[ratio['peer']]}",
                "value": ratio["value"],
                "goal": ratio["goal"],
            }


def _row(line: Json) -> str:
    ratios = ", ".join(map(_number, line["ratios"]))
    cells = line["title"], line["left"], line["right"], ratios, line["goal"]
    return f"| {' | '.join(cells)} |"


def _number(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _measured_with(runs: Sequence[Json]) -> str:
    """Say of the last run on which machine it was, and of all who took part."""
    versions: dict[str, str] = {}
    for run in runs:
        names = {row["name"] for one in run["figures"] for row in one["rows"]}
        for name, text in run["versions"].items():
            if name in names:
                versions[name] = text if name in text else f"{name} {text}"
    last, machine = runs[-1], runs[-1]["machine"]
    return (
        f"Of {last['started'][:10]}, {machine['processors']} x {machine['processor']}, "
        f"Linux {machine['kernel']}, Python {machine['python']}, "
        f"{'; '.join(versions.values())}."
    )
