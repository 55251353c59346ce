"""Expected failures: what is known to be wrong with a client, and why.

A file NAME.xfails lies beside the adapter, one case a line; what follows ``#``
at the start of a line is a comment::

    # case | reason | evidence | versions | until
    verify.layer-with-a-flipped-bit-is-rejected | no digest check | https://...
    resume.reset-is-resumed | starts over | measured: skopeo 1.9.3, 2026-11-24 | <1.16
    auth.expired-token-is-replaced | gives up | https://... | | 2027-06-30

A listed case that fails is *known*; one that passes is red, so that the list
never says more than is true. The last two columns may be left out: the versions of
the client that the line is about, and the last day on which it holds. Outside of
them the case is judged as if it were not listed.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

from conformance.contract import AdapterError
from conformance.ranges import check_range, in_range

__all__ = ["Xfail", "check_xfails", "make_xfail", "parse_xfails", "read_xfails"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Xfail:
    """Why a case is expected to fail, and where that can be seen.

    ``link`` is an address or "measured: client version, date"; ``place`` is the
    file and line that says so; ``versions`` is a range, empty for all; ``until`` is
    the last day on which it holds.
    """

    reason: str
    link: str
    place: str = ""
    versions: str = ""
    until: date | None = None

    def lapsed(self, version: str) -> str | None:
        """Return None if a failure of that version is expected today, or why not.

        Raises:
            AdapterError: The client's version cannot be compared.
        """
        if self.until is not None and datetime.now(UTC).date() > self.until:
            return f"it was expected until {self.until} ({self.reason})"
        try:
            if self.versions and not in_range(version, self.versions):
                return f"it is expected of versions {self.versions} ({self.reason})"
        except ValueError as err:
            raise AdapterError(f"{self.place}: the client's version {err}") from err
        return None


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
    if not 3 <= len(parts) <= 5:
        raise AdapterError(
            f"{place}: a line is 'case | reason | link', with 'versions' and 'until' "
            f"behind if needed, not {line!r}"
        )
    case, reason, link, versions, until = (*parts, "", "")[:5]
    if not case:
        raise AdapterError(f"{place}: the case is empty")
    return case, make_xfail(reason, link, place=place, versions=versions, until=until)


def make_xfail(
    reason: str, link: str, *, place: str, versions: str = "", until: str = ""
) -> Xfail:
    """Return an expected failure, its parts checked.

    Raises:
        AdapterError: One of them is wrong.
    """
    for what, value in (("reason", reason), ("link", link)):
        if not value:
            raise AdapterError(f"{place}: the {what} is empty")
    if not link.startswith(("https://", "http://", "measured: ")):
        raise AdapterError(
            f"{place}: {link!r} is neither an address nor 'measured: client, date'"
        )
    try:
        if versions:
            check_range(versions)
        last = date.fromisoformat(until) if until else None
    except ValueError as err:
        raise AdapterError(f"{place}: {err}") from err
    return Xfail(reason=reason, link=link, place=place, versions=versions, until=last)


def check_xfails(xfails: Mapping[str, Xfail], cases: Collection[str]) -> None:
    """Make sure that every expected failure is one of a case that exists.

    Raises:
        AdapterError: It is not so.
    """
    for case, xfail in xfails.items():
        if case not in cases:
            raise AdapterError(f"{xfail.place}: {case} is no case of the suite")
