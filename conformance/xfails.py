"""Expected failures: what is known to be wrong with a client, and why.

A file NAME.xfails lies beside the adapter, one case a line; what follows ``#``
at the start of a line is a comment::

    # case                                          | reason | evidence
    verify.layer-with-a-flipped-bit-is-rejected | no digest check | https://...
    resume.reset-is-resumed | starts over | measured: skopeo 1.9.3, 2026-11-24

A listed case that fails is *known*; one that passes is red, so that the list
never says more than is true.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from conformance.contract import AdapterError

__all__ = ["Xfail", "check_xfails", "parse_xfails", "read_xfails"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Xfail:
    """Why a case is expected to fail, and where that can be seen.

    ``link`` is an address or "measured: client version, date"; ``place`` is the
    file and line that says so.
    """

    reason: str
    link: str
    place: str = ""


def read_xfails(file: Path) -> dict[str, Xfail]:
    """Return the expected failures by case id; none if there is no such file.

    Raises:
        AdapterError: A line is wrong.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as err:
        raise AdapterError(f"{file}: cannot be read: {err}") from err
    return parse_xfails(text, where=str(file))


def parse_xfails(text: str, *, where: str) -> dict[str, Xfail]:
    """Return the expected failures that a file's text lists.

    Raises:
        AdapterError: A line is wrong, or a case is listed twice.
    """
    found: dict[str, Xfail] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        place = f"{where}:{number}"
        case, xfail = _line(line, place)
        if case in found:
            raise AdapterError(f"{place}: {case} is listed at {found[case].place} too")
        found[case] = xfail
    return found


def _line(line: str, place: str) -> tuple[str, Xfail]:
    parts = [part.strip() for part in line.split("|")]
    if len(parts) != 3:
        raise AdapterError(f"{place}: a line is 'case | reason | link', not {line!r}")
    case, reason, link = parts
    for what, value in (("case", case), ("reason", reason), ("link", link)):
        if not value:
            raise AdapterError(f"{place}: the {what} is empty")
    if not link.startswith(("https://", "http://", "measured: ")):
        raise AdapterError(
            f"{place}: {link!r} is neither an address nor 'measured: client, date'"
        )
    return case, Xfail(reason=reason, link=link, place=place)


def check_xfails(xfails: Mapping[str, Xfail], cases: Collection[str]) -> None:
    """Make sure that every expected failure is one of a case that exists.

    Raises:
        AdapterError: It is not so.
    """
    for case, xfail in xfails.items():
        if case not in cases:
            raise AdapterError(f"{xfail.place}: {case} is no case of the suite")
