"""Mirrors nothing in containerd: a trace as one page to look at.

    Path("pull.html").write_text(page(json.loads(Path("pull.json").read_text())))

A timeline of the handlers under the limiter, the tree of descriptors with why each was
kept or left out, and the requests. The page needs nothing but itself.
"""

from __future__ import annotations

from collections import deque
from html import escape
from typing import TYPE_CHECKING, Any, Final

from refimpl.errdefs import ErrInvalidArgument
from refimpl.trace import VERSION

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

__all__ = ["page"]

_WIDTH: Final = 720
_ROW: Final = 20
_LABEL: Final = 250

_STYLE: Final = """\
:root { color-scheme: light dark; --wait: #c7b784; --run: #3b7dd8; --bad: #c0392b;
  --dim: #767676; --line: #8884; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 64rem; margin: 2rem auto;
  padding: 0 1rem; }
h1 { font-size: 1.3rem; overflow-wrap: anywhere; }
h2 { font-size: 1.1rem; margin-top: 2rem; }
code, td, .tree { font-family: ui-monospace, monospace; font-size: .85rem; }
svg { width: 100%; height: auto; }
svg text { font: 12px ui-monospace, monospace; fill: currentColor; }
.wait { fill: var(--wait); } .run { fill: var(--run); } .bad { fill: var(--bad); }
.grid { stroke: var(--line); }
.tree ul { list-style: none; border-left: 1px solid var(--line); padding-left: 1.2rem; }
.out { color: var(--dim); text-decoration: line-through; }
.why { color: var(--dim); } .error { color: var(--bad); }
table { border-collapse: collapse; width: 100%; }
td, th { text-align: left; padding: .15rem .6rem .15rem 0; vertical-align: top;
  border-bottom: 1px solid var(--line); overflow-wrap: anywhere; }
td.number { text-align: right; }
td.number, td.word { white-space: nowrap; overflow-wrap: normal; }
"""


def page(trace: Mapping[str, Any]) -> str:
    """Return the page of a trace.

    Raises:
        ErrInvalidArgument: it is no trace, or one of a later version.
    """
    version = trace.get("trace") if hasattr(trace, "get") else None
    if version != VERSION:
        told = "no trace" if version is None else f"a trace of version {version}"
        raise ErrInvalidArgument(f"this is {told}; version {VERSION} is known here")
    try:
        return "".join(_parts(trace))
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as err:
        raise ErrInvalidArgument(f"the trace is broken: {err!r}") from err


def _parts(trace: Mapping[str, Any]) -> Iterator[str]:
    title = escape(trace["ref"])
    yield (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{title}</title><style>{_STYLE}</style></head><body>"
        f"<h1>{title}</h1><p>{_summary(trace)}</p>"
    )
    yield "<h2>Handlers</h2>"
    limit = trace["limit"]
    how = f"at most {limit} at once" if limit else "as many at once as there are"
    yield (
        f"<p>Handlers run {how}. Light: found by its parent and waiting; dark: in the "
        "hands of the handlers, which fetch it, read it and find its children.</p>"
    )
    yield _timeline(trace)
    yield '<h2>Descriptors</h2><div class="tree">'
    yield _tree(trace["handlers"])
    yield "</div><h2>Requests</h2>"
    yield _requests(trace["requests"])
    yield "</body></html>\n"


def _summary(trace: Mapping[str, Any]) -> str:
    handled, requests = len(trace["handlers"]), len(trace["requests"])
    size = sum(request["bytes"] for request in trace["requests"])
    text = (
        f"{escape(trace['started'])}: {handled} descriptors handled, {requests} "
        f"requests, {size:,} bytes in {trace['seconds']:.3f} s. "
    )
    if trace["error"] is not None:
        said = f"{trace['error']['class']}: {trace['error']['message']}"
        return f'{text}<span class="error">Failed: {escape(said)}</span>'
    if trace["image"] is None:
        return f"{text}Nothing was recorded."
    return f"{text}Recorded: <code>{escape(trace['image']['target']['digest'])}</code>"


def _timeline(trace: Mapping[str, Any]) -> str:
    visits: Sequence[Mapping[str, Any]] = trace["handlers"]
    end = max([trace["seconds"], *(visit["ended"] or 0 for visit in visits)]) or 1
    height = _ROW * (len(visits) + 1)
    total = _LABEL + _WIDTH
    scale = _WIDTH / end
    rows = [_axis(end, scale, height)]
    for number, visit in enumerate(visits, 1):
        found, started = visit["found"], visit["started"]
        ended = end if visit["ended"] is None else visit["ended"]
        name, kind = _named(visit["descriptor"]), "bad" if visit["error"] else "run"
        top = number * _ROW + 3
        rows += [
            f'<text x="0" y="{top + 11}">{escape(name)}</text>',
            _bar("wait", found, started, scale=scale, top=top),
            f"<g><title>{escape(_said(visit))}</title>"
            f"{_bar(kind, started, ended, scale=scale, top=top)}</g>",
        ]
    return (
        f'<svg viewBox="0 0 {total} {height}" role="img" '
        f'aria-label="Timeline of the handlers">{"".join(rows)}</svg>'
    )


def _axis(end: float, scale: float, height: int) -> str:
    lines = []
    for quarter in range(5):
        seconds = end * quarter / 4
        x = _LABEL + seconds * scale
        anchor = "end" if quarter == 4 else "start"
        lines.append(
            f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="0" y2="{height}"/>'
            f'<text x="{x:.1f}" y="12" text-anchor="{anchor}">'
            f"{seconds * 1000:.0f} ms</text>"
        )
    return "".join(lines)


def _bar(kind: str, begin: float, end: float, *, scale: float, top: int) -> str:
    width = max((end - begin) * scale, 1 if kind != "wait" else 0)
    x = _LABEL + begin * scale
    return (
        f'<rect class="{kind}" x="{x:.1f}" y="{top}" width="{width:.1f}" '
        f'height="{_ROW - 6}"/>'
    )


def _said(visit: Mapping[str, Any]) -> str:
    desc = visit["descriptor"]
    took = (
        "" if visit["ended"] is None else f"{visit['ended'] - visit['started']:.4f} s"
    )
    words = [desc.get("mediaType", ""), desc["digest"], took, visit["error"] or ""]
    return "\n".join(filter(None, words))


def _named(desc: Mapping[str, Any]) -> str:
    kind = desc.get("mediaType", "").rpartition("/")[2]
    for word in ("index", "manifest.list", "manifest", "config", "image.v1", "layer"):
        if word in kind:
            kind = {"manifest.list": "index", "image.v1": "config"}.get(word, word)
            break
    else:
        kind = "layer" if "rootfs" in kind else kind[:16] or "unknown"
    algorithm, _, value = desc["digest"].partition(":")
    platform = desc.get("platform")
    told = f" {_platform(platform)}" if platform else ""
    return f"{kind} {algorithm}:{value[:8]}{told}"


def _platform(platform: Mapping[str, Any]) -> str:
    parts = (platform.get(key) for key in ("os", "architecture", "variant"))
    return "/".join(filter(None, parts))


def _tree(visits: Sequence[Mapping[str, Any]]) -> str:
    """Return the tree, children as their document names them; nothing recurses."""
    below: dict[tuple[int | None, str], deque[Mapping[str, Any]]] = {}
    for visit in visits:
        place = visit["parent"], visit["descriptor"]["digest"]
        below.setdefault(place, deque()).append(visit)
    roots = [visit for visit in visits if visit["parent"] is None]
    todo: list[str | Mapping[str, Any]] = ["</ul>", *reversed(roots), "<ul>"]
    out = []
    while todo:
        item = todo.pop()
        if isinstance(item, str):
            out.append(item)
            continue
        out.append(_item(item["descriptor"], item["error"], "error"))
        todo.append("</ul></li>")
        for child in reversed(item["children"]):
            found = below.get((item["id"], child["descriptor"]["digest"]))
            if child["kept"] and found:
                todo.append(found.pop())
            else:
                why = child["why"] if not child["kept"] else "never came to it"
                todo.append(_item(child["descriptor"], why, "why", out=True) + "</li>")
        todo.append("<ul>")
    return "".join(out)


def _item(
    desc: Mapping[str, Any], note: str | None, kind: str, *, out: bool = False
) -> str:
    name, digest = escape(_named(desc)), escape(desc["digest"])
    shown = (
        f'<span class="out" title="{digest}">' if out else f'<span title="{digest}">'
    )
    said = f' <span class="{kind}">{escape(note)}</span>' if note else ""
    return f"<li>{shown}{name}</span> {desc['size']:,} bytes{said}"


def _requests(requests: Sequence[Mapping[str, Any]]) -> str:
    rows = [
        "<tr>"
        f'<td class="number">{1000 * request["started"]:.1f} ms</td>'
        f'<td class="word">{escape(request["method"])}</td>'
        f"<td>{_target(request)}</td>"
        f'<td class="word">{request["status"] or ""}</td>'
        f'<td class="number">{request["bytes"]:,} bytes</td></tr>'
        for request in requests
    ]
    head = "<tr><th>sent</th><th></th><th>URL</th><th>status</th><th>body</th></tr>"
    return f"<table>{head}{''.join(rows)}</table>"


def _target(request: Mapping[str, Any]) -> str:
    text = escape(request["url"])
    if request["range"]:
        text += f' <span class="why">Range: {escape(request["range"])}</span>'
    if request["authorized"]:
        text += ' <span class="why">with Authorization</span>'
    if request["error"]:
        text += f'<br><span class="error">{escape(request["error"])}</span>'
    return text
