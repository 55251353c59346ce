"""How vectors write errors, platforms, matchers and handlers."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from refimpl import platforms
from refimpl.descriptor import Descriptor
from refimpl.digest import Digest
from refimpl.errdefs import (
    ContainerdError,
    ErrAlreadyExists,
    ErrFailedPrecondition,
    ErrInvalidArgument,
    ErrNotFound,
    ErrNotImplemented,
    ErrSkipDesc,
    ErrStopHandler,
    ErrUnavailable,
    message,
)
from refimpl.platforms import MatchComparer

__all__ = [
    "Json",
    "Outcome",
    "descriptors",
    "error_json",
    "fail",
    "matcher",
    "named",
    "names",
]

# A value of a vector: it is what its file's notes say.
Json = Any

_CLASSES: Final = {
    ErrInvalidArgument: "invalid_argument",
    ErrNotFound: "not_found",
    ErrAlreadyExists: "already_exists",
    ErrFailedPrecondition: "failed_precondition",
    ErrUnavailable: "unavailable",
    ErrNotImplemented: "not_implemented",
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came out of a function that has an output even when it fails.

    Attributes:
        error: what was raised, or what :func:`error_json` made of it.
    """

    output: Json
    error: Exception | Json


# Vectors mark the texts in which these words of Go's own library occur: they change
# with its version.
_GO_LIBRARY: Final = re.compile(
    r'json: |JSON input|invalid character|unexpected EOF|parsing time |parse "'
    r"|illegal base64 data"
)


def error_json(err: Exception) -> dict[str, Json]:
    """Return an error as vectors write it: the text, and the class if it has one."""
    out: dict[str, Json] = {"text": message(err)}
    if _GO_LIBRARY.search(out["text"]):
        out["go_stdlib_text"] = True
    for kind, name in _CLASSES.items():
        if isinstance(err, kind):
            out["class"] = name
    return out


def matcher(text: str) -> MatchComparer | None:
    """Return a named matcher: a platform, all, nil, ``ordered:a,b`` or ``any:a,b``."""
    if text == "nil":
        return None
    if text == "all":
        return platforms.ALL
    kind, colon, rest = text.partition(":")
    if not colon:
        return platforms.only(platforms.parse(text))
    make = {"ordered": platforms.ordered, "any": platforms.any_}[kind]
    return make(*map(platforms.parse, rest.split(",")))


def descriptors(values: Sequence[Mapping[str, Any]] | None) -> tuple[Descriptor, ...]:
    """Return descriptors from their JSON form."""
    return tuple(map(Descriptor.from_json, values or ()))


def named(name: str) -> Descriptor:
    """Return a descriptor that stands for a node of a tree."""
    return Descriptor(digest=Digest(name))


def names(descs: Sequence[Descriptor]) -> list[str]:
    """Return the nodes that descriptors stand for."""
    return [str(desc.digest) for desc in descs]


def fail(name: str | None) -> None:
    """Raise the error that a handler of a vector is to return, if any."""
    if not name:
        return
    signal, wrapped = name.removeprefix("fmt-"), "wrapped" in name
    signal = signal.removeprefix("wrapped-")
    err: Exception
    if signal == "skip":
        err = ErrSkipDesc()
    elif signal == "stop":
        err = ErrStopHandler()
    else:
        raise ContainerdError(name)
    if wrapped:
        err.add_note("wrapped")
    raise err
