"""What a case is: a pytest function with an id, a clause and a level.

    @case(
        clause="distribution-spec v1.1.1, Pulling manifests",
        level=Level.MUST,
        twin="verify.layer-intact",
    )
    def test_layer_with_a_flipped_bit_is_rejected(bench: Bench) -> None:
        '''A client must not keep a layer whose bytes do not match its digest.'''

The id is the area (the module's name) and the function's name:
``verify.layer-with-a-flipped-bit-is-rejected``. It is what reports show and
what selects the case everywhere, so a function is not renamed lightly.
"""

import importlib
import inspect
import pkgutil
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final, NoReturn

import pytest

if TYPE_CHECKING:
    from conformance.bench import Bench

CASES_PACKAGE: Final = "conformance.cases"


class Level(StrEnum):
    """How much a clause asks for (RFC 2119), or that containerd chose so."""

    MUST = "MUST"
    SHOULD = "SHOULD"
    MAY = "MAY"
    REFERENCE = "REFERENCE"


class Feature(StrEnum):
    """What an adapter says its client can do; a case names what it needs."""

    BASIC_AUTH = "basic-auth"
    TOKEN_AUTH = "token-auth"  # noqa: S105 - the name of a feature
    TLS = "tls"
    PLATFORM = "platform"
    ALL_PLATFORMS = "all-platforms"
    ALL_METADATA = "all-metadata"
    DIGEST_REF = "digest-ref"
    LIMIT = "limit"
    RESUME = "resume"
    CANCEL = "cancel"
    IMAGE_RECORD = "image-record"
    LABELS = "labels"
    LEASES = "leases"
    GC = "gc"
    SNAPSHOTS = "snapshots"
    INGESTS = "ingests"
    CONTENT = "content"
    MIRRORS = "mirrors"
    SCHEMA1 = "schema1"
    UNPACK = "unpack"
    PLAIN_HTTP = "plain-http"
    REFERENCE = "reference"
    HANDLERS = "handlers"
    CONTENT_STORE = "content-store"


class CaseError(Exception):
    """The suite itself is written wrongly: a case cannot be registered."""


class NotTestable(Exception):
    """This client cannot be judged on the case; the reason is the message."""


def not_testable(why: str) -> NoReturn:
    """End a case: this client cannot be judged on it."""
    raise NotTestable(why)


class ClientDied(AssertionError):
    """The client could not be run, or something killed it."""


class DeadlineMissed(AssertionError):
    """The client was still running when its time was over."""


CaseFunction = Callable[["Bench"], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One thing the suite knows how to find out about a client."""

    id: str
    area: str
    title: str
    function: CaseFunction
    docstring: str
    clause: str
    level: Level
    needs: frozenset[Feature] = frozenset()
    twin: str | None = None
    critical: bool = False
    link: str | None = None
    catalogue: tuple[str, ...] = ()


_registered: dict[str, Case] = {}
_by_function: dict[CaseFunction, Case] = {}


def case(  # noqa: PLR0913 - the declaration of a case, every part named
    *,
    clause: str,
    level: Level,
    needs: Iterable[Feature] = (),
    twin: str | None = None,
    critical: bool = False,
    title: str | None = None,
    link: str | None = None,
    catalogue: Iterable[str] = (),
) -> Callable[[CaseFunction], CaseFunction]:
    """Make a pytest function a case of the suite.

    Args:
        clause: The text it rests on, quoted or named exactly.
        level: What that text asks for.
        needs: Features without which a client cannot be judged.
        twin: Id of the same scenario without the fault. Every case that
            expects a rejection names one.
        critical: Not met, it fails even where the text only says SHOULD.
        title: One line for reports; the docstring's first line if absent.
        link: Where the clause can be read.
        catalogue: Ids of the case catalogue that it covers.

    Raises:
        CaseError: There is no docstring or no bench, the id is taken, or the case
            is its own twin.
    """
    if isinstance(catalogue, str):
        raise CaseError(f"catalogue of a case is a tuple of ids, not {catalogue!r}")

    def register(function: CaseFunction) -> CaseFunction:
        docstring = inspect.getdoc(function) or ""
        if not docstring.strip():
            raise CaseError(f"{_place(function)}: a case needs a docstring")
        if "bench" not in inspect.signature(function).parameters:
            raise CaseError(f"{_place(function)}: a case takes the fixture bench")
        area = _dashed(function.__module__.rpartition(".")[2].removeprefix("test_"))
        made = Case(
            id=f"{area}.{_dashed(function.__name__.removeprefix('test_'))}",
            area=area,
            title=title or " ".join(docstring.split("\n\n")[0].split()),
            function=function,
            docstring=docstring,
            clause=clause,
            level=level,
            needs=frozenset(needs),
            twin=twin,
            critical=critical,
            link=link,
            catalogue=tuple(catalogue),
        )
        _register(made)
        return function

    return register


def _register(made: Case) -> None:
    known = _registered.get(made.id)
    # A module that is loaded twice (under two names, or again) is no duplicate.
    if known is not None and _place(known.function) != _place(made.function):
        raise CaseError(
            f"{_place(made.function)}: the id {made.id} is taken by "
            f"{_place(known.function)}"
        )
    if made.twin == made.id:
        raise CaseError(f"{_place(made.function)}: {made.id} is its own twin")
    _registered[made.id] = made
    _by_function[made.function] = made


def _dashed(name: str) -> str:
    return name.replace("_", "-")


def _place(function: CaseFunction) -> str:
    code = inspect.unwrap(function).__code__
    return f"{code.co_filename}:{code.co_firstlineno}"


def case_of(function: object) -> Case | None:
    """Return the case that a pytest function was declared to be."""
    try:
        return _by_function.get(function)  # type: ignore[call-overload, no-any-return]
    except TypeError:  # not hashable, so never registered
        return None


def load_suite() -> Mapping[str, Case]:
    """Import every module of cases and return its cases by id, in order.

    Raises:
        CaseError: A twin is unknown, or twins go round in a circle.
    """
    if CASES_PACKAGE not in sys.modules:
        pytest.register_assert_rewrite(CASES_PACKAGE)
    package = importlib.import_module(CASES_PACKAGE)
    for module in sorted(m.name for m in pkgutil.iter_modules(package.__path__)):
        importlib.import_module(f"{CASES_PACKAGE}.{module}")
    suite = {
        made.id: made
        for made in _registered.values()
        if made.function.__module__.startswith(f"{CASES_PACKAGE}.")
    }
    check_twins(suite)
    return suite


def check_twins(suite: Mapping[str, Case]) -> None:
    """Make sure that every twin exists and that no chain of them is a circle.

    Raises:
        CaseError: It is not so.
    """
    for made in suite.values():
        seen = [made.id]
        for twin in twins(made, suite):
            if twin in seen:
                raise CaseError(f"twins in a circle: {' -> '.join([*seen, twin])}")
            if twin not in suite:
                raise CaseError(f"{seen[-1]}: its twin {twin} is not a case")
            seen.append(twin)


def twins(made: Case, suite: Mapping[str, Case]) -> Iterator[str]:
    """Yield the id of the case's twin, of that one's twin, and so on."""
    twin = made.twin
    while twin is not None:
        yield twin
        twin = suite[twin].twin if twin in suite else None
